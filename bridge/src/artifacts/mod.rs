//! Artifacts: image files that are hosted here, each under a name that nobody can guess.
//!
//! A file is written to a temporary name, synced, and only then renamed to its token; the image that names the token is
//! added after that. So every hosted image has its whole file, and a file without an image is a leftover of an upload
//! that was interrupted: [`Artifacts::sweep`] removes those at start.

mod range;
mod serve;
mod upload;

pub use serve::router;
pub use upload::{Stored, UploadError};

use crate::hex;
use crate::writer::{Bridge, CommandError};
use rollcall_engine::Image;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use tokio::sync::Semaphore;

const TOKEN_BYTES: usize = 32;

/// The folder of hosted files.
#[derive(Debug)]
pub struct Artifacts {
    directory: PathBuf,
    public_url: String,
    limits: Limits,
    uploads: Semaphore,
}

/// Bounds on uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Greatest size of a file, bytes.
    pub max_size: u64,
    /// Uploads at one time.
    pub max_uploads: usize,
    /// Bytes that an upload must leave free on the disk.
    pub reserve: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_size: 8 << 30,
            max_uploads: 4,
            reserve: 256_000_000,
        }
    }
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("artifact folder {} cannot be used", .path.display())]
pub struct OpenError {
    path: PathBuf,
    #[source]
    source: io::Error,
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

impl Artifacts {
    /// Opens `<data_dir>/artifacts`, and makes it if there is none. `public_url` is how robots reach the device HTTP
    /// listener, without a trailing slash.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(data_dir: &Path, public_url: &str, limits: Limits) -> Result<Self, OpenError> {
        let directory = data_dir.join("artifacts");
        std::fs::create_dir_all(&directory).map_err(|source| OpenError {
            path: directory.clone(),
            source,
        })?;
        Ok(Self {
            directory,
            public_url: public_url.trim_end_matches('/').to_owned(),
            uploads: Semaphore::new(limits.max_uploads),
            limits,
        })
    }

    /// Where robots fetch the image: absolute, and the same for the image's whole life.
    #[must_use]
    pub fn url(&self, image: &Image) -> String {
        if image.hosted {
            format!("{}/artifacts/{}", self.public_url, image.url)
        } else {
            image.url.clone()
        }
    }

    /// Removes every file that no image names, and returns how many there were. Call it before uploads are served.
    ///
    /// # Errors
    /// When the images cannot be asked for, or the folder cannot be read. A file that cannot be removed is logged.
    pub async fn sweep(&self, bridge: &Bridge) -> Result<usize, SweepError> {
        let hosted = bridge.query(|view| {
            let hosted = view.state.images().filter(|image| image.hosted);
            hosted.map(|image| image.url.clone()).collect()
        });
        Ok(self.sweep_all_but(&hosted.await?)?)
    }

    fn sweep_all_but(&self, keep: &HashSet<String>) -> io::Result<usize> {
        let mut removed = 0;
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry
                .file_name()
                .to_str()
                .is_some_and(|name| keep.contains(name))
            {
                continue;
            }
            match std::fs::remove_file(entry.path()) {
                Ok(()) => removed += 1,
                Err(error) => {
                    tracing::warn!(path = %entry.path().display(), %error, "leftover artifact stays");
                }
            }
        }
        Ok(removed)
    }

    /// The path of the artifact called `token`; `None` for anything but a token, so no path can be smuggled in.
    fn path(&self, token: &str) -> Option<PathBuf> {
        hex::decode::<TOKEN_BYTES>(token)?;
        Some(self.directory.join(token))
    }
}

#[cfg(test)]
mod tests;
