//! The grammar of the command line.

mod credentials;

pub(super) use credentials::{
    AddToken, CaCommand, CredentialsCommand, IssueArgs, PairingCommand, TokenCommand,
};

use crate::config::Switch;
use crate::demo::DemoArgs;
use clap::{Args, Parser, Subcommand};
use device_sim::cli::RunArgs;
use rollcall_engine::{
    ChannelName, EcuName, ForceDowngrade, GroupName, HardwareId, ImageRef, Model, Requirement,
    RobotId, RolloutName, Selector, Tag, TargetSelection,
};
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

#[derive(Debug, Subcommand)]
pub(super) enum RobotCommand {
    /// Register a robot and print its credentials, once.
    Add(AddRobot),
    /// List the robots.
    Ls,
    /// Show a robot.
    Show {
        /// Which.
        id: String,
    },
    /// Put tags on a robot, or take them off.
    #[command(subcommand)]
    Tag(TagCommand),
    /// Set a robot's labels, or take them off.
    #[command(subcommand)]
    Label(LabelCommand),
    /// Remove a robot; its open operations are cancelled.
    Rm {
        /// Which.
        id: String,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Cancel the operation under way on a robot. What the robot then does decides.
    Cancel {
        /// Which.
        id: String,
        /// Everything that it waits for too, in every running rollout.
        #[arg(long)]
        all: bool,
    },
    /// Properties that the server sets on an Edgehog device.
    #[command(subcommand)]
    Property(PropertyCommand),
    /// Take what a robot declares of its ECUs for its registration; ends a hold.
    Accept {
        /// Which.
        id: String,
    },
    /// A robot's secret and certificate.
    #[command(subcommand)]
    Credentials(CredentialsCommand),
    /// Show a robot's rollouts and everything that happened to it, newest first.
    History {
        /// Which.
        id: String,
        #[command(flatten)]
        page: HistoryArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum PropertyCommand {
    /// Set one; the device is told now, or when it returns.
    Set {
        /// On which robot.
        id: String,
        /// The interface, such as io.edgehog.devicemanager.config.Telemetry.
        interface: String,
        /// The path, such as /request/io.edgehog.devicemanager.SystemStatus/periodSeconds.
        path: String,
        /// Its value.
        #[arg(allow_negative_numbers = true)]
        value: String,
    },
    /// Remove one.
    Unset {
        /// On which robot.
        id: String,
        /// The interface.
        interface: String,
        /// The path.
        path: String,
    },
    /// List those that are set.
    Ls {
        /// On which robot.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum TagCommand {
    /// Put tags on a robot.
    Add {
        /// Which.
        id: String,
        /// The tags.
        #[arg(required = true)]
        tag: Vec<Tag>,
    },
    /// Take tags off a robot.
    Rm {
        /// Which.
        id: String,
        /// The tags.
        #[arg(required = true)]
        tag: Vec<Tag>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum LabelCommand {
    /// Set labels of a robot.
    Set {
        /// Which.
        id: String,
        /// The labels.
        #[arg(required = true, value_name = "K=V", value_parser = label)]
        label: Vec<(String, String)>,
    },
    /// Take labels off a robot.
    Rm {
        /// Which.
        id: String,
        /// Their keys.
        #[arg(required = true)]
        key: Vec<String>,
    },
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

#[derive(Debug, Args)]
pub(super) struct AddRobot {
    /// Its identity for life.
    pub(super) id: RobotId,

    /// An ECU; one of several is `,primary`.
    #[arg(long, required_unless_present = "edgehog", num_args = 1.., value_name = "NAME=HARDWARE_ID[,primary]", value_parser = ecu)]
    pub(super) ecu: Vec<Ecu>,

    /// An Edgehog device; its part number becomes its hardware id and its model.
    #[arg(long, conflicts_with_all = ["ecu", "model"])]
    pub(super) edgehog: bool,

    /// A label.
    #[arg(long, num_args = 1.., value_name = "K=V", value_parser = label)]
    pub(super) label: Vec<(String, String)>,

    /// A tag.
    #[arg(long, num_args = 1..)]
    pub(super) tag: Vec<Tag>,

    /// What people call it; the id if not given.
    #[arg(long)]
    pub(super) name: Option<String>,

    /// The product that it is.
    #[arg(long)]
    pub(super) model: Option<Model>,
}

#[derive(Debug, Clone)]
pub(super) struct Ecu {
    pub(super) name: EcuName,
    pub(super) hardware_id: HardwareId,
    pub(super) primary: bool,
}

fn ecu(text: &str) -> Result<Ecu, String> {
    let (spec, primary) = match text.split_once(',') {
        None => (text, false),
        Some((spec, "primary")) => (spec, true),
        Some((_, other)) => {
            return Err(format!(
                "{other:?} says nothing here; only `primary` may follow the comma"
            ));
        }
    };
    let (name, hardware_id) = spec
        .split_once('=')
        .ok_or("write NAME=HARDWARE_ID or NAME=HARDWARE_ID,primary")?;
    Ok(Ecu {
        name: EcuName::new(name).map_err(|error| error.to_string())?,
        hardware_id: HardwareId::new(hardware_id).map_err(|error| error.to_string())?,
        primary,
    })
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum ChannelCommand {
    /// Make a channel of groups, or of every robot.
    Add {
        /// Its name.
        name: ChannelName,
        /// A group that it owns; without any it means every robot.
        #[arg(long, num_args = 1.., value_name = "NAME")]
        group: Vec<GroupName>,
    },
    /// Change which groups a channel owns.
    #[command(group = clap::ArgGroup::new("change").required(true).multiple(true)
        .args(["group", "add_group", "remove_group", "every_robot"]))]
    Edit {
        /// Which.
        name: String,
        /// A group that it owns from now on, in place of those that it had.
        #[arg(long, num_args = 1.., value_name = "NAME", conflicts_with_all = ["add_group", "remove_group"])]
        group: Vec<GroupName>,
        /// A group to add.
        #[arg(long, num_args = 1.., value_name = "NAME")]
        add_group: Vec<GroupName>,
        /// A group to take away.
        #[arg(long, num_args = 1.., value_name = "NAME")]
        remove_group: Vec<GroupName>,
        /// Take all groups away: it means every robot then.
        #[arg(long, conflicts_with_all = ["group", "add_group", "remove_group"])]
        every_robot: bool,
    },
    /// List the channels.
    Ls,
    /// Show a channel and its robots.
    Show {
        /// Which.
        name: String,
        /// Say of this robot whether the channel means it, and why.
        #[arg(long, value_name = "ID")]
        robot: Option<RobotId>,
    },
    /// Remove a channel; its groups stay.
    Rm {
        /// Which.
        name: String,
        #[command(flatten)]
        confirm: Confirm,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// Make a group of listed robots or of those that a selector means, or add robots to one that lists them.
    Add {
        /// Its name.
        name: GroupName,
        /// A robot to add.
        #[arg(long, num_args = 1.., value_name = "ID", conflicts_with = "selector")]
        robot: Vec<RobotId>,
        /// Which robots, such as 'label["site"] == "kiel"'; docs/selectors.md.
        #[arg(long)]
        selector: Option<Selector>,
    },
    /// Give a group that has a selector another one.
    Edit {
        /// Which.
        name: String,
        /// Which robots from now on.
        #[arg(long)]
        selector: Selector,
    },
    /// Show which robots a selector means. Nothing is stored.
    Check {
        /// The selector.
        selector: Selector,
        /// Say of this robot whether it is meant, and why.
        #[arg(long, value_name = "ID")]
        robot: Option<RobotId>,
    },
    /// List the groups.
    Ls,
    /// Show a group and its robots.
    Show {
        /// Which.
        name: String,
        /// Say of this robot whether it belongs, and why.
        #[arg(long, value_name = "ID")]
        robot: Option<RobotId>,
    },
    /// Remove a group that no channel owns; running rollouts keep their robots.
    Rm {
        /// Which.
        name: String,
        #[command(flatten)]
        confirm: Confirm,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ImageCommand {
    /// Add an image: a file to be hosted here, or the URL of one.
    Add(AddImage),
    /// List the images.
    Ls,
    /// Show an image.
    Show {
        /// NAME@VERSION
        image: String,
    },
    /// Put the file of a hosted image back that is damaged or missing.
    Restore {
        /// NAME@VERSION
        image: String,
        /// The same file again; any other is refused.
        #[arg(long, value_name = "PATH")]
        file: PathBuf,
    },
    /// Remove an image and its file; rollouts that are not completed keep theirs.
    Rm {
        /// NAME@VERSION
        image: String,
        #[command(flatten)]
        confirm: Confirm,
    },
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("origin").required(true).args(["file", "url"]))]
pub(super) struct AddImage {
    /// Name and version.
    #[arg(value_name = "NAME@VERSION")]
    pub(super) image: ImageRef,

    /// The boards that it runs on.
    #[arg(long, required = true, num_args = 1.., value_delimiter = ',', value_name = "HW")]
    pub(super) hardware: Vec<HardwareId>,

    /// The file; the server stores it and robots fetch it there.
    #[arg(long, value_name = "PATH")]
    pub(super) file: Option<PathBuf>,

    /// Where robots fetch it.
    #[arg(long, requires = "size", requires = "sha256")]
    pub(super) url: Option<String>,

    /// Size of the file at the URL, bytes.
    #[arg(long, value_name = "N", requires = "url")]
    pub(super) size: Option<u64>,

    /// SHA-256 of the file; a file that is another one is refused.
    #[arg(long, value_name = "HEX")]
    pub(super) sha256: Option<String>,

    /// The only model that it is meant for.
    #[arg(long)]
    pub(super) model: Option<Model>,

    /// The build id that ECUs must report after the update.
    #[arg(long)]
    pub(super) build_id: Option<String>,

    /// What the version that it replaces must meet, such as '>= 1.0.0 and < 2.0.0'; docs/versions.md.
    #[arg(long, value_name = "REQUIREMENT")]
    pub(super) from_version: Option<Requirement>,
}

#[derive(Debug, Subcommand)]
pub(super) enum RolloutCommand {
    /// Show what a rollout would do to each robot. Nothing is stored.
    Preview(PreviewArgs),
    /// Create a rollout. Nothing is sent before its launch.
    Create(CreateArgs),
    /// List the rollouts.
    Ls,
    /// Show a rollout.
    Show {
        /// Its number.
        id: u32,
        /// Every robot and ECU too.
        #[arg(long)]
        robots: bool,
    },
    /// Change a prepared rollout.
    Edit(EditArgs),
    /// Delete a prepared rollout.
    Delete {
        /// Its number.
        id: u32,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Launch a prepared rollout: robots are told from now on.
    Launch {
        /// Its number.
        id: u32,
        /// Launch although the fleet has changed since the preview.
        #[arg(long)]
        accept_drift: bool,
    },
    /// Follow a rollout until it is completed.
    Watch {
        /// Its number.
        id: u32,
    },
    /// Say where a robot stands in a rollout, and why.
    Why {
        /// The rollout's number.
        id: u32,
        /// Which robot.
        robot: String,
    },
    /// Show what happened to a rollout, newest first.
    History {
        /// Its number.
        id: u32,
        #[command(flatten)]
        page: HistoryArgs,
    },
}

#[derive(Debug, Args)]
pub(super) struct PreviewArgs {
    /// What people will call it.
    #[arg(long, default_value = "preview")]
    pub(super) name: RolloutName,

    #[command(flatten)]
    pub(super) plan: PlanArgs,

    /// Show every robot, not only the first of each kind.
    #[arg(long)]
    pub(super) all: bool,
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// What people call it.
    #[arg(long)]
    pub(super) name: RolloutName,

    #[command(flatten)]
    pub(super) plan: PlanArgs,
}

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Which robots: group:NAME, hardware:ID or robots:ID,ID
    #[arg(long, value_parser = target, required_unless_present = "selector")]
    pub(super) target: Option<TargetSelection>,

    /// Which robots: those that the selector means at the launch; docs/selectors.md.
    #[arg(long, conflicts_with = "target")]
    pub(super) selector: Option<Selector>,

    /// Which image for which hardware id.
    #[arg(long, required = true, num_args = 1.., value_name = "HW=NAME@VERSION", value_parser = mapped)]
    pub(super) image: Vec<(HardwareId, ImageRef)>,

    /// Robots with an operation under way at one time [default: 100].
    #[arg(long, value_name = "N")]
    pub(super) max_in_progress: Option<u32>,

    /// Send images that are older than what runs too: `all` rules for versions are off, or `within-requirement` the order only.
    #[arg(long, value_name = "SCOPE", num_args = 0..=1, default_missing_value = "all", value_parser = force_downgrade)]
    pub(super) force_downgrade: Option<ForceDowngrade>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true)
    .args(["name", "target", "selector", "image", "max_in_progress", "force_downgrade"]))]
pub(super) struct EditArgs {
    /// Its number.
    pub(super) id: u32,

    /// Another name.
    #[arg(long)]
    pub(super) name: Option<RolloutName>,

    /// Other robots: group:NAME, hardware:ID or robots:ID,ID
    #[arg(long, value_parser = target)]
    pub(super) target: Option<TargetSelection>,

    /// Other robots: those that the selector means at the launch.
    #[arg(long, conflicts_with = "target")]
    pub(super) selector: Option<Selector>,

    /// Another map, whole.
    #[arg(long, num_args = 1.., value_name = "HW=NAME@VERSION", value_parser = mapped)]
    pub(super) image: Vec<(HardwareId, ImageRef)>,

    /// Another cap.
    #[arg(long, value_name = "N")]
    pub(super) max_in_progress: Option<u32>,

    /// Other rules for versions: no, all or within-requirement.
    #[arg(long, value_name = "SCOPE", num_args = 0..=1, default_missing_value = "all", value_parser = force_downgrade)]
    pub(super) force_downgrade: Option<ForceDowngrade>,

    /// Refuse when the rollout is no longer at this revision.
    #[arg(long, value_name = "N")]
    pub(super) revision: Option<u32>,
}

fn force_downgrade(text: &str) -> Result<ForceDowngrade, String> {
    match text {
        "no" => Ok(ForceDowngrade::No),
        "all" => Ok(ForceDowngrade::All),
        "within-requirement" => Ok(ForceDowngrade::WithinRequirement),
        _ => Err(format!(
            "{text:?} is no scope; use all, within-requirement or no"
        )),
    }
}

/// The target that one of two arguments gives.
pub(super) fn one_target(
    target: Option<TargetSelection>,
    selector: Option<Selector>,
) -> Option<TargetSelection> {
    target.or(selector.map(TargetSelection::Selector))
}

fn target(text: &str) -> Result<TargetSelection, String> {
    let (kind, what) = text
        .split_once(':')
        .ok_or("write group:NAME, hardware:ID or robots:ID,ID")?;
    match kind {
        "group" => GroupName::new(what).map(TargetSelection::Group),
        "hardware" => HardwareId::new(what).map(TargetSelection::Hardware),
        "robots" => what
            .split(',')
            .map(RobotId::new)
            .collect::<Result<_, _>>()
            .map(TargetSelection::Robots),
        _ => {
            return Err(format!(
                "{kind:?} is no kind of target; use group, hardware or robots"
            ));
        }
    }
    .map_err(|error| error.to_string())
}

fn mapped(text: &str) -> Result<(HardwareId, ImageRef), String> {
    let (hardware_id, image) = text
        .split_once('=')
        .ok_or("write HARDWARE_ID=NAME@VERSION")?;
    Ok((
        HardwareId::new(hardware_id).map_err(|error| error.to_string())?,
        image.parse()?,
    ))
}

#[cfg(test)]
mod tests;
