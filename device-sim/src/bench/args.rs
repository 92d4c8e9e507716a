//! Arguments of `device-sim bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::packet::Version;
use crate::cli::parse_broker;
use crate::driver::Broker;

/// Measure an MQTT server, whichever it is, over MQTT 3.1.1 or 5.
///
/// Everything is measured from outside, by clients of this program. They are lean (raw sockets, few threads), but they
/// need CPU too: on the server's own machine they take it from the server, so every report says how much it was. Compare
/// servers only with figures of the same machine, the same settings and the same quarter of an hour.
///
/// Exit codes: 0 measured, 1 the measurement failed, 2 the command line is wrong.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub(super) what: What,
}

/// What is measured.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum What {
    /// Connections per second: N clients connect, at most K of them at one time, and stay.
    Connect(ConnectArgs),
    /// Memory per idle connection: N clients connect and say nothing; needs --server-pid.
    Idle(IdleArgs),
    /// Messages per second from many publishers to one subscriber (or into the server itself, with OTAEvents).
    FanIn(FanInArgs),
    /// One message to each of N clients, each subscribed to a topic of its own: time to the last delivery.
    #[command(mut_arg("window", |window| window.default_value("100")))]
    FanOut(FanOutArgs),
    /// As fan-in, at QoS 2: a message counts when its PUBCOMP has come.
    Qos2(LoadArgs),
    /// Clients that connect and disconnect, over and over.
    Churn(ChurnArgs),
    /// N connected clients lose their connections and reconnect, all at the same moment.
    Storm(StormArgs),
}

impl What {
    pub(super) fn target(&self) -> &TargetArgs {
        match self {
            Self::Connect(args) => &args.target,
            Self::Idle(args) => &args.target,
            Self::FanIn(args) => &args.load.target,
            Self::FanOut(args) => &args.target,
            Self::Qos2(args) => &args.target,
            Self::Churn(args) => &args.target,
            Self::Storm(args) => &args.target,
        }
    }
}

/// Which server, and how to get in.
#[derive(Debug, Clone, Args)]
pub(super) struct TargetArgs {
    /// Address of the server, mqtt://HOST:PORT or mqtts://HOST:PORT, port 1883 or 8883 if left out.
    /// Several addresses are taken in turn, which allows more connections than one address has ports.
    #[arg(long, value_name = "URL", required = true, num_args = 1.., value_parser = parse_broker)]
    pub(super) broker: Vec<Broker>,

    /// Certificates of the authorities whose servers are trusted, PEM; for mqtts.
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,

    /// MQTT version.
    #[arg(long, value_enum, default_value_t)]
    pub(super) mqtt: Version,

    /// User name of all clients that are no robots.
    #[arg(
        long,
        value_name = "NAME",
        requires = "password",
        conflicts_with = "credentials"
    )]
    pub(super) user: Option<String>,

    /// Password of all clients that are no robots.
    #[arg(
        long,
        value_name = "TEXT",
        env = "DEVICE_SIM_PASSWORD",
        hide_env_values = true,
        requires = "user"
    )]
    pub(super) password: Option<String>,

    /// Clients are Rollcall's robots, one JSON object per line as `rollcall robot add --json` prints it; as many as
    /// are needed must be in it.
    #[arg(long, value_name = "FILE")]
    pub(super) credentials: Option<PathBuf>,

    /// First level of every topic.
    #[arg(long, value_name = "NAME", default_value = "fleet")]
    pub(super) realm: String,

    /// Threads of this program. With more than one, subscribers of fan-in have the first for themselves.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) threads: u16,

    /// One line of JSON on standard output instead of a table.
    #[arg(long)]
    pub(super) json: bool,
}

/// The server's process.
#[derive(Debug, Clone, Args)]
pub(super) struct ServerArgs {
    /// Process id of the server, on this machine: its CPU and memory are told.
    #[arg(long, value_name = "PID")]
    pub(super) server_pid: Option<u32>,
}

/// Messages, and those who wait for them.
#[derive(Debug, Clone, Args)]
pub(super) struct MessageArgs {
    /// Publishes of one client that may be unacknowledged, at most what the server allows (MQTT 5).
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(super) window: u16,

    /// Bytes of a payload.
    #[arg(long, value_name = "BYTES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(super) size: u32,

    /// Robots without --credentials: ECUs of each.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(super) ecus: u16,

    /// How long to wait for what clients are to get: robots their first OTARequest, subscribers of fan-out their messages.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(super) patience: Duration,
}

const CLIENTS: &str = "1000";

/// Clients that connect and stay.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct GroupArgs {
    /// How many clients.
    #[arg(long, value_name = "N", default_value = CLIENTS, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) clients: u32,

    /// How many may be under way at one time.
    #[arg(long, value_name = "K", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) at_once: u32,
}

#[derive(Debug, Clone, Args)]
pub(super) struct ConnectArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,

    #[command(flatten)]
    pub(super) server: ServerArgs,

    #[command(flatten)]
    pub(super) group: GroupArgs,
}

#[derive(Debug, Clone, Args)]
pub(super) struct IdleArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,

    #[command(flatten)]
    pub(super) group: GroupArgs,

    /// Process id of the server, on this machine: its memory is what is measured.
    #[arg(long, value_name = "PID")]
    pub(super) server_pid: u32,

    /// Quiet before the server's memory is read.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = humantime::parse_duration)]
    pub(super) rest: Duration,

    /// Clients that come and go before the first reading, so that what a server sets up once is not counted.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(super) warm_up_clients: u32,
}

/// What publishers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Payload {
    /// Zeros, on the topic REALM/bench-NUMBER/events; works with every server.
    #[default]
    Plain,
    /// Clients are native robots of Rollcall: each says what it is, waits for an OTARequest and answers with OTAEvents,
    /// 200 per request (times --repeat), then reports the image. Launch a rollout to all of them, before or meanwhile.
    /// Without --credentials they are sim-00001, sim-00002, … with password "dev", for a server with --dev.
    OtaEvents,
}

#[derive(Debug, Clone, Args)]
pub(super) struct FanInArgs {
    #[command(flatten)]
    pub(super) load: LoadArgs,

    /// Quality of service of the publishes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(super) qos: u8,
}

#[derive(Debug, Clone, Args)]
pub(super) struct LoadArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,

    #[command(flatten)]
    pub(super) server: ServerArgs,

    #[command(flatten)]
    pub(super) messages: MessageArgs,

    /// How many publish.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) publishers: u32,

    /// How many subscribe to everything; with OTAEvents there are none, since the server itself takes them.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    pub(super) subscribers: u16,

    /// Quality of service of the subscriptions; default: as the publishes.
    #[arg(long, value_name = "QOS", value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(super) subscriber_qos: Option<u8>,

    /// Messages per second, all publishers together; without it as fast as it goes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(super) rate: Option<u64>,

    /// Without --rate: messages that may be acknowledged and not yet delivered; beyond it publishers pause, since a
    /// server that cannot keep up with its subscribers would only collect them.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) ahead: u64,

    /// How long messages are counted.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(super) duration: Duration,

    /// Tell the figures of every interval of this length as they come, each as a line of JSON before the report. A queue
    /// that grows does not end the measurement then.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, requires_all = ["rate", "json"])]
    pub(super) every: Option<Duration>,

    /// How long messages are sent before they are counted.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    pub(super) warm_up: Duration,

    /// Afterwards search for the highest rate that is held without a growing queue.
    #[arg(long, conflicts_with = "rate")]
    pub(super) find_peak: bool,

    /// How long a rate must be held to be the peak.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration, requires = "find_peak")]
    pub(super) hold: Duration,

    /// What publishers say.
    #[arg(long, value_enum, default_value_t)]
    pub(super) payload: Payload,

    /// OTAEvents: how often each step of an update is said; every first one moves the operation on, the others only
    /// count. More of them make one rollout last longer.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) repeat: u32,
}

#[derive(Debug, Clone, Args)]
pub(super) struct FanOutArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,

    #[command(flatten)]
    pub(super) server: ServerArgs,

    #[command(flatten)]
    pub(super) messages: MessageArgs,

    /// How many clients get a message.
    #[arg(long, value_name = "N", default_value = CLIENTS, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) clients: u32,

    /// Quality of service of publishes and subscriptions.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(super) qos: u8,

    /// Clients are native robots of Rollcall, and the messages are the server's: say `ready` on standard error, then
    /// wait for each robot's first OTARequest. Launch a rollout to all of them when you see it.
    #[arg(long)]
    pub(super) by_server: bool,
}

#[derive(Debug, Clone, Args)]
pub(super) struct ChurnArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,

    #[command(flatten)]
    pub(super) server: ServerArgs,

    /// How many clients come and go at one time.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) clients: u32,

    /// Visits per second, all clients together; without it as fast as it goes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) rate: Option<u32>,

    /// How long.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(super) duration: Duration,
}

#[derive(Debug, Clone, Args)]
pub(super) struct StormArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,

    #[command(flatten)]
    pub(super) server: ServerArgs,

    /// How many clients.
    #[arg(long, value_name = "N", default_value = CLIENTS, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) clients: u32,

    /// How long to wait until all are back.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(super) patience: Duration,
}
