//! The grammar of what has to do with groups and channels.

use super::Confirm;
use clap::{Args, Subcommand};
use rollcall_engine::{ChannelName, GroupName, HardwareId, RobotId, Selector};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ChannelCommand {
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
    /// Say where a channel's releases come from: from images that were added here, or from a ledger.
    #[command(subcommand_required = true)]
    Source {
        /// Which.
        name: String,
        #[command(subcommand)]
        source: SourceCommand,
    },
    /// Show what a channel's ledger records, and how it stands with the files.
    Ledger {
        /// Which.
        name: String,
    },
    /// Read a channel's ledger now.
    Sync {
        /// Which.
        name: String,
    },
    /// Take versions from a file: what a node answers at /dcl/model/versions/VID/PID/VERSION, or a list of that.
    Import {
        /// Which.
        name: String,
        /// The file.
        file: PathBuf,
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
pub(in crate::cli) enum SourceCommand {
    /// Images that were added here.
    Console {
        #[command(flatten)]
        confirm: Confirm,
    },
    /// The versions of a product on the Distributed Compliance Ledger.
    Ledger(LedgerArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct LedgerArgs {
    /// A node's REST API, such as https://on.dcl.csa-iot.org; without it somebody brings files (`channel import`).
    #[arg(long)]
    pub(in crate::cli) url: Option<String>,

    /// The vendor's number, such as 0xFFF1.
    #[arg(long, value_parser = number)]
    pub(in crate::cli) vid: u16,

    /// The number of the vendor's product, such as 0x8000.
    #[arg(long, value_parser = number)]
    pub(in crate::cli) pid: u16,

    /// A board that the product is.
    #[arg(long, num_args = 1.., required = true, value_name = "ID")]
    pub(in crate::cli) hardware_id: Vec<HardwareId>,

    /// Between two looks at the ledger, from 1m to 7days [default: 1h].
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(in crate::cli) every: Option<Duration>,

    #[command(flatten)]
    pub(in crate::cli) confirm: Confirm,
}

/// Reads a number as the ledger's people write it, or as its JSON does.
fn number(text: &str) -> Result<u16, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let read = match digits {
        Some(digits) => u16::from_str_radix(digits, 16),
        None => text.parse(),
    };
    read.map_err(|_| "write a number from 1 to 65535, or from 0x0001 to 0xFFFF".to_owned())
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum GroupCommand {
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
