//! The grammar of what has to do with groups and channels.

use super::Confirm;
use clap::Subcommand;
use rollcall_engine::{ChannelName, GroupName, RobotId, Selector};

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
    /// Remove a channel; its groups stay.
    Rm {
        /// Which.
        name: String,
        #[command(flatten)]
        confirm: Confirm,
    },
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
