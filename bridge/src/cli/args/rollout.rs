//! The grammar of what has to do with rollouts.

use super::pace::{PACE, PaceArgs};
use super::{Confirm, HistoryArgs};
use clap::{Args, Subcommand};
use rollcall_engine::{
    GroupName, HardwareId, ImageRef, RobotId, RolloutName, Selector, TargetSelection,
};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RolloutCommand {
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
        /// The file that would create it again.
        #[arg(long, conflicts_with_all = ["robots", "json"])]
        toml: bool,
    },
    /// Change a prepared rollout; of one that is launched name, cap, rate and deadline.
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
    /// Pause a rollout: nobody new is told; robots that were told go on.
    Pause {
        /// Its number.
        id: u32,
    },
    /// Let a paused or stopped rollout go on.
    Resume {
        /// Its number.
        id: u32,
    },
    /// Stop a rollout: robots that do not install yet are told to give up. It can be resumed.
    Stop {
        /// Its number.
        id: u32,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// End a rollout for good: as a stop, and robots that were not told never are.
    Cancel {
        /// Its number.
        id: u32,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Open the next phase of a rollout that waits for it.
    Approve {
        /// Its number.
        id: u32,
        /// The phase that is done [default: the one that waits].
        #[arg(value_parser = clap::value_parser!(u16).range(1..))]
        phase: Option<u16>,
        #[command(flatten)]
        confirm: Confirm,
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
pub(in crate::cli) struct PreviewArgs {
    /// What people will call it.
    #[arg(long)]
    pub(in crate::cli) name: Option<RolloutName>,

    #[command(flatten)]
    pub(in crate::cli) plan: PlanArgs,

    /// Show every robot, not only the first of each kind.
    #[arg(long)]
    pub(in crate::cli) all: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    /// What people call it; wins over the name in a file.
    #[arg(long, required_unless_present = "from")]
    pub(in crate::cli) name: Option<RolloutName>,

    #[command(flatten)]
    pub(in crate::cli) plan: PlanArgs,
}

/// A whole rollout: from a file, or in flags.
#[derive(Debug, Args)]
pub(in crate::cli) struct PlanArgs {
    /// A file that says all of it, or `-` for standard input; docs/rollouts.md.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "selector", "image"])]
    pub(in crate::cli) from: Option<PathBuf>,

    /// Which robots: group:NAME, hardware:ID or robots:ID,ID
    #[arg(long, value_parser = target, required_unless_present_any = ["selector", "from"])]
    pub(in crate::cli) target: Option<TargetSelection>,

    /// Which robots: those that the selector means at the launch; docs/selectors.md.
    #[arg(long, conflicts_with = "target")]
    pub(in crate::cli) selector: Option<Selector>,

    /// Which image for which hardware id.
    #[arg(long, required_unless_present = "from", num_args = 1.., value_name = "HW=NAME@VERSION", value_parser = mapped)]
    pub(in crate::cli) image: Vec<(HardwareId, ImageRef)>,

    #[command(flatten)]
    pub(in crate::cli) pace: PaceArgs,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true)
    .args(["from", "name", "target", "selector", "image"]).args(PACE))]
pub(in crate::cli) struct EditArgs {
    /// Its number.
    pub(in crate::cli) id: u32,

    /// A file that says all of it anew, or `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "selector", "image"])]
    pub(in crate::cli) from: Option<PathBuf>,

    /// Another name.
    #[arg(long)]
    pub(in crate::cli) name: Option<RolloutName>,

    /// Other robots: group:NAME, hardware:ID or robots:ID,ID
    #[arg(long, value_parser = target)]
    pub(in crate::cli) target: Option<TargetSelection>,

    /// Other robots: those that the selector means at the launch.
    #[arg(long, conflicts_with = "target")]
    pub(in crate::cli) selector: Option<Selector>,

    /// Another map, whole.
    #[arg(long, num_args = 1.., value_name = "HW=NAME@VERSION", value_parser = mapped)]
    pub(in crate::cli) image: Vec<(HardwareId, ImageRef)>,

    #[command(flatten)]
    pub(in crate::cli) pace: PaceArgs,

    /// Refuse when the rollout is no longer at this revision.
    #[arg(long, value_name = "N")]
    pub(in crate::cli) revision: Option<u32>,
}

/// The target that one of two arguments gives.
pub(in crate::cli) fn one_target(
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
