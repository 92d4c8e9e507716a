//! The command line, for `device-sim` itself and for programs that embed it.
//!
//! Standard output gets the report and nothing else; progress and messages go to standard error.

mod args;
mod progress;
mod table;

use std::io::{self, Write};
use std::sync::Arc;

use tokio::sync::watch;

use crate::driver::{self, Report, RunError, Stats};

pub use args::{ArgsError, RunArgs};
pub(crate) use args::{parse_broker, seconds_since_1970};

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The arguments do not fit together, or a file that they name cannot be used.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// The run could not begin.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The report could not be written.
    #[error("write the report")]
    Write(#[from] io::Error),
    /// The report could not be put into JSON.
    #[error("encode the report")]
    Encode(#[from] serde_json::Error),
    /// The system does not let the process wait for signals.
    #[error("wait for signals")]
    Signals(#[source] io::Error),
}

impl CliError {
    /// Whether the command line is wrong, and not a server or the machine.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        match self {
            Self::Args(_) => true,
            Self::Run(error) => matches!(
                error,
                RunError::NoBroker | RunError::NoRobots | RunError::NoTrust(_)
            ),
            Self::Write(_) | Self::Encode(_) | Self::Signals(_) => false,
        }
    }
}

/// Runs robots as the arguments say until the run ends, SIGINT or SIGTERM comes, or, where the
/// arguments ask for it, standard input closes; then writes the report to `out`.
///
/// # Errors
/// See [`CliError`].
pub async fn execute(args: &RunArgs, out: &mut (impl Write + Send)) -> Result<Report, CliError> {
    let options = args.options()?;
    let stats = Arc::new(Stats::default());
    let (stop, stopped) = watch::channel(false);
    listen(stop, args.until_stdin_closes)?;
    let bars = progress::show(stats.clone(), options.fleet.len(), args.quiet);
    let report = driver::run(options, stats, stopped).await;
    bars.finish().await;
    let report = report?;
    if args.json {
        serde_json::to_writer(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", table::render(&report))?;
    }
    out.flush()?;
    Ok(report)
}

/// Turns signals and, if asked for, the end of standard input into the stop signal.
fn listen(stop: watch::Sender<bool>, stdin: bool) -> Result<(), CliError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Signals)?;
    if stdin {
        let stop = stop.clone();
        // A thread of its own: a blocked read of the runtime's would keep the process alive.
        std::thread::spawn(move || {
            // Whatever ends the reading, nobody is there any more.
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            let _ = stop.send(true);
        });
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        let _ = stop.send(true);
    });
    Ok(())
}
