//! `device-sim`: simulated robots.
//!
//! Exit codes: 0 the run ended as asked, 1 it failed, 2 the command line is wrong.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use device_sim::abuse::{self, AbuseArgs};
use device_sim::bench::{self, BenchArgs};
use device_sim::cli::{self, RunArgs};

/// As the server's: a load generator that spends less leaves more of the machine to what it measures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Simulated robots for Rollcall, and a load generator and hostile clients for any MQTT server.
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
    Abuse(Box<AbuseArgs>),
}

fn main() -> anyhow::Result<ExitCode> {
    let command = Cli::parse().command;
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match command {
        Command::Run(args) => run(&args)?,
        Command::Bench(args) => drop(bench::execute(&args, &mut std::io::stdout())?),
        Command::Abuse(args) => return attack(&args),
    }
    Ok(ExitCode::SUCCESS)
}

#[tokio::main]
async fn run(args: &RunArgs) -> anyhow::Result<()> {
    cli::execute(args, &mut std::io::stdout()).await?;
    Ok(())
}

#[tokio::main]
async fn attack(args: &AbuseArgs) -> anyhow::Result<ExitCode> {
    match abuse::execute(args, &mut std::io::stdout()).await {
        Err(error) if error.is_usage() => {
            let kind = ErrorKind::ValueValidation;
            Cli::command().error(kind, error).exit()
        }
        report => Ok(ExitCode::from(u8::from(report?.has_failures()))),
    }
}
