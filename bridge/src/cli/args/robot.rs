//! The grammar of what has to do with robots.

use super::pace::offline;
use super::{Confirm, CredentialsCommand, HistoryArgs};
use crate::cli::rollout::words;
use clap::{Args, Subcommand};
use rollcall_engine::{
    Defaults, EcuName, HardwareId, ImageRef, Millis, Model, OfflinePolicy, RobotId, Tag,
};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RobotCommand {
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
    /// Update one robot by hand, past its model and the rules for versions. It can make the robot unusable.
    Update(UpdateArgs),
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
pub(in crate::cli) enum PropertyCommand {
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
pub(in crate::cli) enum TagCommand {
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
pub(in crate::cli) enum LabelCommand {
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
pub(in crate::cli) struct UpdateArgs {
    /// Which.
    pub(in crate::cli) id: String,

    /// The image.
    #[arg(long, value_name = "NAME@VERSION")]
    pub(in crate::cli) image: ImageRef,

    /// Which of its ECUs, when it has several.
    #[arg(long)]
    pub(in crate::cli) ecu: Option<EcuName>,

    /// What becomes of it while it is offline: `wait`, or `fail:10m` after so long [default: fail:5m].
    #[arg(long, value_name = "POLICY", value_parser = offline)]
    pub(in crate::cli) offline: Option<OfflinePolicy>,

    /// How long it may take [default: 30d].
    #[arg(long, value_name = "SPAN", value_parser = |text: &str| words::span(text, Defaults::MIN_REQUEST_TIMEOUT))]
    pub(in crate::cli) deadline: Option<Millis>,

    /// The robot's id once more, instead of typing it when asked.
    #[arg(long, value_name = "ROBOT")]
    pub(in crate::cli) confirm: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AddRobot {
    /// Its identity for life.
    pub(in crate::cli) id: RobotId,

    /// An ECU; one of several is `,primary`.
    #[arg(long, required_unless_present = "edgehog", num_args = 1.., value_name = "NAME=HARDWARE_ID[,primary]", value_parser = ecu)]
    pub(in crate::cli) ecu: Vec<Ecu>,

    /// An Edgehog device; its part number becomes its hardware id and its model.
    #[arg(long, conflicts_with_all = ["ecu", "model"])]
    pub(in crate::cli) edgehog: bool,

    /// A label.
    #[arg(long, num_args = 1.., value_name = "K=V", value_parser = label)]
    pub(in crate::cli) label: Vec<(String, String)>,

    /// A tag.
    #[arg(long, num_args = 1..)]
    pub(in crate::cli) tag: Vec<Tag>,

    /// What people call it; the id if not given.
    #[arg(long)]
    pub(in crate::cli) name: Option<String>,

    /// The product that it is.
    #[arg(long)]
    pub(in crate::cli) model: Option<Model>,
}

#[derive(Debug, Clone)]
pub(in crate::cli) struct Ecu {
    pub(in crate::cli) name: EcuName,
    pub(in crate::cli) hardware_id: HardwareId,
    pub(in crate::cli) primary: bool,
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
