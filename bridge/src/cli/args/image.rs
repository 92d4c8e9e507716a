//! The grammar of what has to do with images.

use super::Confirm;
use clap::{Args, Subcommand};
use rollcall_engine::{HardwareId, ImageRef, Model, Requirement};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ImageCommand {
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
pub(in crate::cli) struct AddImage {
    /// Name and version.
    #[arg(value_name = "NAME@VERSION")]
    pub(in crate::cli) image: ImageRef,

    /// The boards that it runs on.
    #[arg(long, required = true, num_args = 1.., value_delimiter = ',', value_name = "HW")]
    pub(in crate::cli) hardware: Vec<HardwareId>,

    /// The file; the server stores it and robots fetch it there.
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) file: Option<PathBuf>,

    /// Where robots fetch it.
    #[arg(long, requires = "size", requires = "sha256")]
    pub(in crate::cli) url: Option<String>,

    /// Size of the file at the URL, bytes.
    #[arg(long, value_name = "N", requires = "url")]
    pub(in crate::cli) size: Option<u64>,

    /// SHA-256 of the file; a file that is another one is refused.
    #[arg(long, value_name = "HEX")]
    pub(in crate::cli) sha256: Option<String>,

    /// The only model that it is meant for.
    #[arg(long)]
    pub(in crate::cli) model: Option<Model>,

    /// The build id that ECUs must report after the update.
    #[arg(long)]
    pub(in crate::cli) build_id: Option<String>,

    /// What the version that it replaces must meet, such as '>= 1.0.0 and < 2.0.0'; docs/versions.md.
    #[arg(long, value_name = "REQUIREMENT")]
    pub(in crate::cli) from_version: Option<Requirement>,
}
