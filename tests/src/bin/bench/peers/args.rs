//! Arguments of `bench peers`.

use std::path::PathBuf;
use std::time::Duration;

/// What the comparison is told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PeersArgs {
    /// peers: a few seconds per figure and one round, to see that it works; its figures say nothing.
    #[arg(long)]
    pub(super) quick: bool,
    /// peers: rounds; default 5, with --quick 1.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) rounds: Option<u32>,
    /// peers: only figures whose name contains this, such as "fan-in".
    #[arg(long, value_name = "TEXT")]
    pub(super) only: Option<String>,
    /// peers: where peer-rumqttd and peer-rmqtt are; default: where Cargo builds them.
    #[arg(long, value_name = "DIR", default_value = "tests/peers/target/release")]
    pub(super) peers: PathBuf,
    /// peers, soak: the load generator; default: `device-sim` beside this program.
    #[arg(long, value_name = "FILE")]
    pub(crate) generator: Option<PathBuf>,
    /// peers: bytes of a payload.
    #[arg(long, value_name = "BYTES", default_value_t = 200)]
    pub(super) size: u32,
    /// peers: unacknowledged publishes of a client where there are 100; where there are more it is 8.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(super) window: u16,
    /// peers: threads of the load generator; with two, the subscriber of fan-in has one for itself.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub(super) threads: u16,
    /// peers: how long a rate must be held to be the peak, which is searched for after the rounds; 0s leaves that out.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_seconds)]
    pub(super) hold: Duration,
    /// peers: how long messages are counted; default 5s, with --quick 2s.
    #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
    pub(super) count_for: Option<Duration>,
    /// peers: write every result into this file as it comes, one JSON object per line, after what is there already.
    #[arg(long, value_name = "FILE")]
    pub(super) keep: Option<PathBuf>,
    /// peers: measure nothing; make the table of what --keep wrote, also of several files and runs.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["quick", "rounds", "only", "keep", "hold", "count_for"])]
    pub(crate) from: Vec<PathBuf>,
    /// peers, soak: write the table into this document, between its two marks, beside standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) into: Option<PathBuf>,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let number = text
        .strip_suffix('s')
        .and_then(|number| number.parse().ok());
    number
        .map(Duration::from_secs)
        .ok_or_else(|| "write seconds, such as 30s".to_owned())
}
