//! The grammar of the command line.

mod credentials;
mod group;
mod image;
mod pace;
mod release;
mod robot;
mod rollout;

pub(super) use credentials::{
    AddToken, CaCommand, CredentialsCommand, IssueArgs, PairingCommand, TokenCommand,
};
pub(super) use group::{ChannelCommand, GroupCommand, LedgerArgs, SourceCommand};
pub(super) use image::{AddImage, ImageCommand};
pub(super) use pace::{PaceArgs, Setting};
pub(super) use release::{PublishArgs, ReleaseCommand, ReleaseName};
pub(super) use robot::{
    AddRobot, Ecu, LabelCommand, PropertyCommand, RobotCommand, TagCommand, UpdateArgs,
};
pub(super) use rollout::{CreateArgs, EditArgs, PlanArgs, PreviewArgs, RolloutCommand, one_target};

use crate::config::Switch;
use crate::demo::DemoArgs;
use clap::{Args, Parser, Subcommand};
use device_sim::cli::RunArgs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Software rollouts for fleets of robots over MQTT.
#[derive(Debug, Parser)]
#[command(
    name = "rollcall",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by the server, 4 not found, \
                  5 server unreachable or token not accepted, 6 watched rollout not successful."
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// Where the server's API is.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "ROLLCALL_API",
        default_value = "http://127.0.0.1:8080"
    )]
    pub(super) api: String,

    /// The token to ask with; without it the admin token in the data directory.
    #[arg(long, global = true, env = "ROLLCALL_TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,

    /// The server's data directory [default: rollcall-data].
    #[arg(long, global = true, value_name = "DIR", env = "ROLLCALL_DATA_DIR")]
    pub(super) data_dir: Option<PathBuf>,

    /// Print JSON instead of tables.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl Global {
    pub(super) fn data_dir(&self) -> &Path {
        self.data_dir
            .as_deref()
            .unwrap_or(Path::new("rollcall-data"))
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the server.
    Serve(ServeArgs),
    /// Show a whole rollout on a simulated fleet.
    Demo(DemoArgs),
    /// The simulated fleet of `demo`, which runs as a process of its own.
    #[command(hide = true)]
    Fleet(Box<RunArgs>),
    /// Register, show and remove robots.
    #[command(subcommand)]
    Robot(RobotCommand),
    /// How robots register themselves.
    #[command(subcommand)]
    Pairing(PairingCommand),
    /// The certificate authority and the server's certificate.
    #[command(subcommand)]
    Ca(CaCommand),
    /// Groups of robots.
    #[command(subcommand)]
    Group(GroupCommand),
    /// Channels, which own groups.
    #[command(subcommand)]
    Channel(ChannelCommand),
    /// Releases: an image for a share of a channel's robots.
    #[command(subcommand)]
    Release(ReleaseCommand),
    /// Images for ECUs.
    #[command(subcommand)]
    Image(ImageCommand),
    /// Preview, create, launch and follow rollouts.
    #[command(subcommand)]
    Rollout(RolloutCommand),
}

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// A configuration file; examples/rollcall.toml shows every key.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Where to serve MQTT [default: 127.0.0.1:1883].
    #[arg(long, value_name = "ADDR")]
    pub(super) mqtt: Option<SocketAddr>,

    /// Where to serve MQTT with TLS, or `off` [default: 0.0.0.0:8883].
    #[arg(long, value_name = "ADDR")]
    pub(super) mqtts: Option<Switch>,

    /// Where to serve MQTT over WebSocket, or `off` [default: off].
    #[arg(long, value_name = "ADDR")]
    pub(super) websocket: Option<Switch>,

    /// Where to serve the admin API [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    pub(super) http: Option<SocketAddr>,

    /// Where robots pair and fetch artifacts [default: 127.0.0.1:8081].
    #[arg(long, value_name = "ADDR")]
    pub(super) device_http: Option<SocketAddr>,

    /// Register unknown robots at their first connection; loopback only.
    #[arg(long)]
    pub(super) dev: bool,
}

#[derive(Debug, Args)]
pub(super) struct Confirm {
    /// Do not ask.
    #[arg(long, short)]
    pub(super) yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// How many records, newest first.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(super) limit: u16,

    /// Only records older than this one.
    #[arg(long, value_name = "SEQ")]
    pub(super) before: Option<u64>,
}

#[cfg(test)]
mod tests;
