//! Taking a file in: streamed to disk, hashed on the way, durable before anybody hears its name.

use super::{Artifacts, TOKEN_BYTES};
use crate::hex;
use crate::store::space;
use axum::body::Body;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use std::io;
use std::time::Duration;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

/// A client that sends nothing for so long is given up.
const IDLE: Duration = Duration::from_secs(60);
/// Free space is asked for again after so many bytes.
const SPACE_CHECK_EVERY: u64 = 64 << 20;

/// A file that was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its name; what the image's `url` holds.
    pub token: String,
    /// Bytes.
    pub size: u64,
    /// What was received.
    pub sha256: [u8; 32],
}

/// Why a file was not taken in. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// As many uploads as may be are under way.
    #[error("as many uploads are under way as may be; try again when one is done")]
    Busy,
    /// The file is larger than files may be.
    #[error(
        "the file is larger than {max} bytes; raise device_http.max_artifact_size, or give a URL instead"
    )]
    TooLarge {
        /// The greatest size, bytes.
        max: u64,
    },
    /// The disk would be fuller than it may be.
    #[error(
        "the disk has no room for the file beside its reserve of {reserve} bytes; free some space"
    )]
    DiskFull {
        /// What must stay free, bytes.
        reserve: u64,
    },
    /// The client went away or fell silent.
    #[error("the upload ended before the file was complete; send it again")]
    Incomplete,
    /// The disk said no.
    #[error("the file cannot be written")]
    Write(#[from] io::Error),
}

impl Artifacts {
    /// Takes in the file that `body` holds. `announced` is its Content-Length, if it has one.
    ///
    /// # Errors
    /// See [`UploadError`]; nothing of the file is left then, nor when the future is dropped.
    pub async fn store(&self, body: Body, announced: Option<u64>) -> Result<Stored, UploadError> {
        let _permit = self.uploads.try_acquire().map_err(|_| UploadError::Busy)?;
        self.check_room(0, announced.unwrap_or(0))?;
        let directory = self.directory.clone();
        let temporary =
            blocking(move || NamedTempFile::with_prefix_in("upload-", directory)).await?;
        let mut file = tokio::fs::File::from_std(temporary.reopen()?);
        let (size, sha256) = self.receive(body, &mut file).await?;
        file.flush().await?;
        file.sync_all().await?;
        drop(file);
        let token = hex::encode(&rand::random::<[u8; TOKEN_BYTES]>());
        let (directory, path) = (self.directory.clone(), self.directory.join(&token));
        blocking(move || {
            temporary
                .persist_noclobber(path)
                .map_err(|error| error.error)?;
            // The new name is durable only when its directory is.
            std::fs::File::open(directory)?.sync_all()
        })
        .await?;
        Ok(Stored {
            token,
            size,
            sha256,
        })
    }

    async fn receive(
        &self,
        mut body: Body,
        file: &mut tokio::fs::File,
    ) -> Result<(u64, [u8; 32]), UploadError> {
        let (mut size, mut checked) = (0, 0);
        let mut hash = Sha256::new();
        loop {
            let frame = tokio::time::timeout(IDLE, body.frame()).await;
            let Some(frame) = frame.map_err(|_| UploadError::Incomplete)? else {
                break;
            };
            let frame = frame.map_err(|_| UploadError::Incomplete)?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            size += u64::try_from(data.len()).unwrap_or(u64::MAX);
            if size - checked > SPACE_CHECK_EVERY {
                checked = size;
                self.check_room(size, 0)?;
            }
            if size > self.limits.max_size {
                return Err(self.too_large());
            }
            hash.update(&data);
            file.write_all(&data).await?;
        }
        Ok((size, hash.finalize().into()))
    }

    fn too_large(&self) -> UploadError {
        UploadError::TooLarge {
            max: self.limits.max_size,
        }
    }

    fn check_room(&self, received: u64, coming: u64) -> Result<(), UploadError> {
        if received.saturating_add(coming) > self.limits.max_size {
            return Err(self.too_large());
        }
        let reserve = self.limits.reserve;
        if space::available(&self.directory)? < reserve.saturating_add(coming) {
            return Err(UploadError::DiskFull { reserve });
        }
        Ok(())
    }

    /// Removes a file whose image was not added.
    pub async fn discard(&self, stored: &Stored) {
        let path = self.directory.join(&stored.token);
        if let Err(error) = tokio::fs::remove_file(&path).await {
            tracing::warn!(path = %path.display(), %error, "artifact without an image stays until the next start");
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
