//! `device-sim`: simulated robots.
//!
//! Exit codes: 0 the run ended as asked, 1 it failed, 2 the command line is wrong.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use device_sim::abuse::{self, AbuseArgs, AbuseError};
use device_sim::bench::{self, BenchArgs, BenchError};
use device_sim::cli::{self, CliError, RunArgs};

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

fn main() -> ExitCode {
    let command = Cli::parse().command;
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(io::stderr)
        .init();
    match command {
        Command::Run(args) => ended(run(&args), CliError::is_usage),
        Command::Bench(args) => ended(measure(&args), BenchError::is_usage),
        Command::Abuse(args) => ended(attack(&args), AbuseError::is_usage),
    }
}

/// Says why a command could not do what it was asked for, and whose fault that is.
fn ended<E>(result: Result<ExitCode, E>, is_usage: impl FnOnce(&E) -> bool) -> ExitCode
where
    E: Error + Send + Sync + 'static,
{
    result.unwrap_or_else(|error| {
        let code = if is_usage(&error) { 2 } else { 1 };
        // Nobody may be listening any more.
        let _ = writeln!(io::stderr(), "error: {:#}", anyhow::Error::from(error));
        ExitCode::from(code)
    })
}

#[tokio::main]
async fn run(args: &RunArgs) -> Result<ExitCode, CliError> {
    cli::execute(args, &mut io::stdout()).await?;
    Ok(ExitCode::SUCCESS)
}

fn measure(args: &BenchArgs) -> Result<ExitCode, BenchError> {
    bench::execute(args, &mut io::stdout())?;
    Ok(ExitCode::SUCCESS)
}

#[tokio::main]
async fn attack(args: &AbuseArgs) -> Result<ExitCode, AbuseError> {
    let report = abuse::execute(args, &mut io::stdout()).await?;
    Ok(ExitCode::from(u8::from(report.has_failures())))
}
