//! The grammar of what has to do with releases.

use super::Confirm;
use super::pace::PaceArgs;
use clap::{Args, Subcommand};
use rollcall_engine::{ChannelName, ImageRef, RobotId, Sampling, Share};
use std::convert::Infallible;
use std::str::FromStr;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ReleaseCommand {
    /// Release an image to a share of a channel's robots: they get it from now on.
    Publish(PublishArgs),
    /// Show the newest release of each channel.
    Ls {
        /// All that were ever published.
        #[arg(long)]
        all: bool,
    },
    /// Show a release.
    Show {
        /// Its channel, or its number.
        release: ReleaseName,
        /// Say of this robot whether the release goes to it, and why.
        #[arg(long, value_name = "ID")]
        robot: Option<RobotId>,
    },
    /// Stop a release: nobody more gets it; robots that have it keep it.
    Stop {
        /// Its channel, or its number.
        release: ReleaseName,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Let an inactive release go on, with the robots and the percentage that it had.
    Resume {
        /// Its channel, or its number.
        release: ReleaseName,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Release to more robots; those that were chosen stay.
    Raise {
        /// Its channel, or its number.
        release: ReleaseName,
        /// The percentage from now on.
        percentage: Share,
    },
    /// Show what was done to the releases of a channel, newest first.
    History {
        /// The channel, or the number of one of its releases.
        release: ReleaseName,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PublishArgs {
    /// To which channel.
    pub(in crate::cli) channel: ChannelName,

    /// What.
    #[arg(long, value_name = "NAME@VERSION", required_unless_present = "ledger")]
    pub(in crate::cli) image: Option<ImageRef>,

    /// A version of the ledger that the channel follows: the newest, or the one with this number.
    #[arg(long, value_name = "NUMBER", num_args = 0..=1, conflicts_with_all = ["image", "percentage", "new_set", "same_set"])]
    pub(in crate::cli) ledger: Option<Option<u32>>,

    /// To how many of the channel's robots that the image suits, 1 to 100.
    #[arg(
        long,
        short,
        value_name = "PERCENT",
        required_unless_present_any = ["same_set", "ledger"]
    )]
    pub(in crate::cli) percentage: Option<Share>,

    /// Draw other robots than those of the channel's former release.
    #[arg(long)]
    pub(in crate::cli) new_set: bool,

    /// Leave out the robots of the former release.
    #[arg(long, requires = "new_set")]
    pub(in crate::cli) away_from_former: bool,

    /// Take the robots of the channel's former release, and its percentage.
    #[arg(long, conflicts_with_all = ["new_set", "percentage", "sampling"])]
    pub(in crate::cli) same_set: bool,

    /// `exact`: the percentage to one robot; `bernoulli`: each robot by its own chance, later ones too.
    #[arg(long, value_parser = sampling, default_value = "exact")]
    pub(in crate::cli) sampling: Sampling,

    /// Show what would happen; nothing is stored.
    #[arg(long)]
    pub(in crate::cli) preview: bool,

    #[command(flatten)]
    pub(in crate::cli) confirm: Confirm,

    #[command(flatten)]
    pub(in crate::cli) pace: PaceArgs,
}

/// How people name a release: by its channel, which means the newest there, or by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum ReleaseName {
    Number(u32),
    Channel(String),
}

impl FromStr for ReleaseName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let number = text.parse().map(Self::Number);
        Ok(number.unwrap_or_else(|_| Self::Channel(text.to_owned())))
    }
}

fn sampling(text: &str) -> Result<Sampling, String> {
    match text {
        "exact" => Ok(Sampling::Exact),
        "bernoulli" => Ok(Sampling::Bernoulli),
        _ => Err("it is `exact` or `bernoulli`".to_owned()),
    }
}
