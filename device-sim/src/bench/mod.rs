//! The load generator: measures any MQTT server from outside, over 3.1.1 and 5.
//!
//! ```text
//! coordinator ── phase, rate ──► threads, each with a runtime, its clients and a tally
//!      ▲                              │
//!      └────────── counts ◄───────────┘
//! ```
//!
//! Invariant: nothing here knows which server it measures, except that with OTAEvents the clients are Rollcall's robots.

mod args;
mod client;
mod connect;
mod crew;
mod fan_in;
mod fan_out;
mod packet;
mod peak;
mod process;
mod publisher;
mod report;
mod robot;
mod setup;
mod window;

use std::collections::BTreeMap;
use std::io::{self, Write};

use args::What;

pub use args::BenchArgs;
pub use process::ProcessError;
pub use report::{
    BenchReport, ChurnReport, ConnectReport, FanInReport, FanOutReport, IdleReport, IntervalReport,
    LatencyReport, PeakReport, StormReport, TryReport,
};
pub use setup::SetupError;

/// Why a measurement failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// It could not begin.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A process cannot be looked at.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A thread of this program failed.
    #[error("run the clients")]
    Threads(#[from] io::Error),
    /// Not a single client got anywhere.
    #[error("no client {what}: {why}")]
    Nobody {
        /// What none did.
        what: &'static str,
        /// Reasons with their counts.
        why: String,
    },
    /// The server answers, and takes nothing.
    #[error("the server refused every publish, {0} of them: may these clients publish there?")]
    AllRefused(u64),
    /// Figures of a part of the clients would say nothing.
    #[error("not all clients could {what}: {why}")]
    NotAll {
        /// What they were to do.
        what: &'static str,
        /// Reasons with their counts.
        why: String,
    },
    /// The report could not be put into JSON.
    #[error("encode the report")]
    Encode(#[from] serde_json::Error),
}

impl BenchError {
    /// Whether the command line is wrong, and not the server or the machine.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Setup(error) if error.is_usage())
    }

    fn nobody(what: &'static str, troubles: &BTreeMap<String, u64>) -> Self {
        let why = reasons(troubles);
        Self::Nobody { what, why }
    }
}

/// Measures as the arguments say, and writes the report to `out`. Blocks until it is done.
///
/// # Errors
/// See [`BenchError`].
pub fn execute(args: &BenchArgs, out: &mut impl Write) -> Result<BenchReport, BenchError> {
    let report = match &args.what {
        What::Connect(args) => BenchReport::Connect(connect::connect(args)?),
        What::Idle(args) => BenchReport::Idle(connect::idle(args)?),
        What::FanIn(args) => {
            BenchReport::FanIn(Box::new(fan_in::measure(&args.load, args.qos, out)?))
        }
        What::FanOut(args) => BenchReport::FanOut(fan_out::measure(args)?),
        What::Qos2(args) => BenchReport::FanIn(Box::new(fan_in::measure(args, 2, out)?)),
        What::Churn(args) => BenchReport::Churn(connect::churn(args)?),
        What::Storm(args) => BenchReport::Storm(connect::storm(args)?),
    };
    let value = serde_json::to_value(&report)?;
    if args.what.target().json {
        writeln!(out, "{value}")?;
    } else {
        writeln!(out, "{}", report::table(&value))?;
    }
    out.flush()?;
    Ok(report)
}

/// Reasons with their counts, for an error.
fn reasons(troubles: &BTreeMap<String, u64>) -> String {
    if troubles.is_empty() {
        return "no reason was given".to_owned();
    }
    let each = troubles
        .iter()
        .map(|(why, count)| format!("{why} ({count} times)"));
    each.collect::<Vec<_>>().join("; ")
}

/// Something per something, 0 of nothing.
fn per(amount: f64, of: f64) -> f64 {
    if of > 0.0 { amount / of } else { 0.0 }
}

/// Counts of arguments fit the machine's words.
fn count(argument: impl TryInto<usize>) -> usize {
    argument.try_into().unwrap_or(usize::MAX)
}

/// Says something on standard error, where nobody may be listening any more.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
