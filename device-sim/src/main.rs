//! `device-sim`: simulated robots.
//!
//! Exit codes: 0 the run ended as asked, 1 it failed, 2 the command line is wrong.

use clap::{Parser, Subcommand};
use device_sim::cli::{self, RunArgs};

/// Simulated robots for Rollcall.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<RunArgs>),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Command::Run(args) = Cli::parse().command;
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    cli::execute(&args, &mut std::io::stdout()).await?;
    Ok(())
}
