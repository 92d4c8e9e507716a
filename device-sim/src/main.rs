//! `device-sim`: simulated robots.
//!
//! Exit codes: 0 the run ended as asked, 1 it failed, 2 the command line is wrong.

use clap::{Parser, Subcommand};
use device_sim::bench::{self, BenchArgs};
use device_sim::cli::{self, RunArgs};

/// Simulated robots for Rollcall, and a load generator for any MQTT server.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<RunArgs>),
    Bench(Box<BenchArgs>),
}

fn main() -> anyhow::Result<()> {
    let command = Cli::parse().command;
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match command {
        Command::Run(args) => run(&args),
        Command::Bench(args) => Ok(bench::execute(&args, &mut std::io::stdout()).map(drop)?),
    }
}

#[tokio::main]
async fn run(args: &RunArgs) -> anyhow::Result<()> {
    cli::execute(args, &mut std::io::stdout()).await?;
    Ok(())
}
