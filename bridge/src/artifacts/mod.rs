//! Artifacts: image files that are hosted here, each under a name that nobody can guess.
//!
//! A file is durable under its token before the image that names the token is added. So every hosted image has its
//! whole file, and a file without an image is a leftover of an upload that was interrupted: [`Artifacts::start`]
//! removes those. What the disk does to a file later is found by [`check`], and by the download that meets it.

mod catalogue;
mod check;
mod download;
mod gate;
mod ledger;
mod pace;
mod range;
mod s3;
mod serve;
mod storage;
mod upload;

pub use catalogue::Condition;
pub use check::check;
pub use ledger::Tally;
pub use s3::{S3Error, S3Settings};
pub use serve::router;
pub use storage::StorageSettings;
pub use upload::{Stored, UploadError};

use crate::writer::{Bridge, CommandError};
use catalogue::Catalogue;
pub(crate) use gate::MAX_DOWNLOADS;

use gate::Gate;
use ledger::Ledger;
use pace::Pace;
use rollcall_engine::Image;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use storage::Storage;
use tokio::sync::Semaphore;
use uuid::Uuid;

const TOKEN_BYTES: usize = 32;

/// The hosted files.
#[derive(Debug)]
pub struct Artifacts {
    storage: Storage,
    catalogue: Catalogue,
    public_url: String,
    max_size: u64,
    max_uploads: usize,
    reserve: u64,
    uploads: Semaphore,
    gate: Gate,
    pace: Pace,
    stall: Duration,
    check: StartCheck,
    ledger: Ledger,
}

/// Where files are kept, and bounds on uploads and downloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where files are kept.
    pub storage: StorageSettings,
    /// Greatest size of a file, bytes.
    pub max_size: u64,
    /// Uploads at one time.
    pub max_uploads: usize,
    /// Bytes that an upload must leave free on the disk.
    pub reserve: u64,
    /// Downloads at one time.
    pub max_downloads: usize,
    /// How long a download may wait for another to end before it is refused.
    pub download_wait: Duration,
    /// Bytes in a second for all downloads together; as fast as it goes if not given.
    pub max_bandwidth: Option<u64>,
    /// A robot that takes nothing for so long loses its download.
    pub stall: Duration,
    /// What is checked of each file after a start.
    pub check: StartCheck,
}

/// What is checked of each file after a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartCheck {
    /// That it is there with its size.
    Size,
    /// Its SHA-256 too.
    Digest {
        /// How fast files are read; as fast as it goes if not given.
        bytes_per_second: Option<u64>,
    },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            storage: StorageSettings::Local,
            max_size: 8 << 30,
            max_uploads: 4,
            reserve: 256_000_000,
            max_downloads: 1_000,
            download_wait: Duration::from_secs(20),
            max_bandwidth: None,
            stall: Duration::from_secs(60),
            check: StartCheck::Digest {
                bytes_per_second: Some(64 << 20),
            },
        }
    }
}

/// Why the storage cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder cannot be made.
    #[error("artifact folder {} cannot be used", .path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder is none that files can be kept in.
    #[error("artifact folder cannot be used")]
    Local(#[from] object_store::Error),
    /// The bucket cannot be used.
    #[error(transparent)]
    Bucket(#[from] S3Error),
}

/// Why leftovers were not removed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The writer is gone.
    #[error(transparent)]
    Writer(#[from] CommandError),
    /// The folder cannot be read.
    #[error("artifact folder cannot be read")]
    Read(#[from] io::Error),
}

/// What downloads did since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloads {
    /// Downloads that run.
    pub running: usize,
    /// Downloads that wait for a slot.
    pub waiting: usize,
    /// Requests by how they ended.
    pub ends: BTreeMap<&'static str, u64>,
    /// Bytes that went out.
    pub bytes: u64,
    /// Requests whose operation was no UUID.
    pub strange_operations: u64,
}

impl Artifacts {
    /// Opens `<data_dir>/artifacts` or the bucket. `public_url` is how robots reach the device HTTP listener, without a
    /// trailing slash.
    ///
    /// # Errors
    /// When a folder cannot be made, or the settings of the bucket make no sense. A bucket that is out of reach is no
    /// error: robots have other things to say.
    pub fn open(data_dir: &Path, public_url: &str, settings: Settings) -> Result<Self, OpenError> {
        Ok(Self {
            storage: Storage::open(data_dir, &settings.storage, settings.max_size)?,
            catalogue: Catalogue::default(),
            public_url: public_url.trim_end_matches('/').to_owned(),
            max_size: settings.max_size,
            max_uploads: settings.max_uploads,
            reserve: settings.reserve,
            uploads: Semaphore::new(settings.max_uploads),
            gate: Gate::new(settings.max_downloads, settings.download_wait),
            pace: Pace::new(settings.max_bandwidth),
            stall: settings.stall,
            check: settings.check,
            ledger: Ledger::default(),
        })
    }

    /// Where robots fetch the image: absolute, and the same for the image's whole life.
    #[must_use]
    pub fn url(&self, image: &Image) -> String {
        self.url_at(None, image)
    }

    /// The same below `base`, which an operation was first requested with: its URL stays, wherever the server is now.
    #[must_use]
    pub fn url_at(&self, base: Option<&str>, image: &Image) -> String {
        if image.hosted {
            let base = base.unwrap_or(&self.public_url);
            format!("{base}/artifacts/{}", image.url)
        } else {
            image.url.clone()
        }
    }

    /// What the URLs of hosted files begin with.
    #[must_use]
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Takes in the images that the database knows, and removes every file that none of them names; returns how many
    /// there were. Call it before anything is served.
    ///
    /// # Errors
    /// When the images cannot be asked for, or the folder cannot be read. A file that cannot be removed is logged.
    pub async fn start(&self, bridge: &Bridge) -> Result<usize, SweepError> {
        let hosted = bridge.query(|view| {
            let images = view.state.images();
            let hosted = images.filter(|image| image.hosted && image.removed.is_none());
            hosted.cloned().collect::<Vec<_>>()
        });
        self.catalogue.load(hosted.await?.iter());
        Ok(self.storage.sweep(&self.catalogue.tokens()).await?)
    }

    /// What is known of the image's file; `None` for an image that lies elsewhere.
    #[must_use]
    pub fn condition(&self, image: &Image) -> Option<Condition> {
        image.hosted.then(|| {
            let hosted = self.catalogue.get(&image.url);
            hosted.map_or(Condition::Missing, |hosted| hosted.condition())
        })
    }

    /// How many hosted files there are in each condition.
    #[must_use]
    pub fn conditions(&self) -> BTreeMap<Condition, usize> {
        self.catalogue.counts()
    }

    /// What the operation downloaded since the start; `None` when it asked for nothing, or so long ago that it is
    /// forgotten.
    #[must_use]
    pub fn downloaded(&self, operation: Uuid) -> Option<Tally> {
        self.ledger.operation(operation)
    }

    /// What all downloads did since the start.
    #[must_use]
    pub fn downloads(&self) -> Downloads {
        Downloads {
            running: self.gate.taken(),
            waiting: self.gate.waiting(),
            ends: self.ledger.ends(),
            bytes: self.ledger.bytes(),
            strange_operations: self.ledger.strange_operations(),
        }
    }
}

#[cfg(test)]
mod tests;
