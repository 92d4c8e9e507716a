//! Taking a file in: streamed to the storage, hashed on the way, durable before anybody hears its name.

use super::catalogue::{Condition, Hosted};
use super::storage::{Storage, Writing};
use super::{Artifacts, TOKEN_BYTES};
use crate::hex;
use crate::store::space;
use axum::body::Body;
use http_body_util::BodyExt;
use rollcall_engine::Image;
use sha2::{Digest, Sha256};
use std::error::Error as _;
use std::io;
use std::time::Duration;
use tokio::sync::SemaphorePermit;

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
    #[error("as many uploads are under way as may be ({max}); try again when one is done")]
    Busy {
        /// How many.
        max: usize,
    },
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
    /// It is another file than the one that was announced.
    #[error(
        "the file has the SHA-256 {found}, not {expected}; check which file it is, and send it again"
    )]
    OtherDigest {
        /// What it has to be, in hexadecimal digits.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The disk said no.
    #[error("the file cannot be written")]
    Write(#[from] io::Error),
    /// The storage said no.
    #[error(
        "the artifact storage does not take the file: {0}; nothing of it is kept, send it again when the storage works"
    )]
    Storage(#[source] object_store::Error),
}

impl From<object_store::Error> for UploadError {
    /// A full disk is found wherever it hides.
    fn from(error: object_store::Error) -> Self {
        let mut cause = error.source();
        while let Some(inner) = cause {
            if let Some(io) = inner.downcast_ref::<io::Error>()
                && io.kind() == io::ErrorKind::StorageFull
            {
                return Self::Write(io::ErrorKind::StorageFull.into());
            }
            cause = inner.source();
        }
        Self::Storage(error)
    }
}

/// A file that is written, but not yet to be seen under its name.
struct Received<'a> {
    writing: Writing,
    size: u64,
    sha256: [u8; 32],
    _slot: SemaphorePermit<'a>,
}

/// Takes the note back when an upload breaks off before anything can be in the storage.
struct Unsettled<'a> {
    storage: &'a Storage,
    token: &'a str,
    armed: bool,
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.storage.settle(self.token);
        }
    }
}

impl Artifacts {
    /// Takes in the file of the image called `name`, which `body` holds. `announced` is its Content-Length, if it has
    /// one; `expected` the SHA-256 that it must have, if that is known.
    ///
    /// # Errors
    /// See [`UploadError`]; nothing of the file is left then, nor when the future is dropped.
    pub async fn store(
        &self,
        name: &str,
        body: Body,
        announced: Option<u64>,
        expected: Option<[u8; 32]>,
    ) -> Result<Stored, UploadError> {
        let token = hex::encode(&rand::random::<[u8; TOKEN_BYTES]>());
        self.storage.note(&token)?;
        let mut unsettled = Unsettled {
            storage: &self.storage,
            token: &token,
            armed: true,
        };
        let received = self.receive(&token, body, announced, expected).await?;
        let (size, sha256) = (received.size, received.sha256);
        // From here on it may be there even if the storage says that it is not.
        unsettled.armed = false;
        received.writing.finish().await?;
        drop(unsettled);
        // Before anybody can hear of the image.
        let condition = Condition::Whole;
        self.catalogue
            .add(Hosted::new(&token, name, size, sha256, condition));
        Ok(Stored {
            token,
            size,
            sha256,
        })
    }

    /// Puts the file of an image back that is lost.
    ///
    /// # Errors
    /// See [`UploadError`]; [`UploadError::OtherDigest`] when it is not the image's file.
    pub async fn restore(
        &self,
        image: &Image,
        body: Body,
        announced: Option<u64>,
    ) -> Result<(), UploadError> {
        let expected = Some(image.sha256);
        let received = self.receive(&image.url, body, announced, expected).await?;
        received.writing.finish().await?;
        match self.catalogue.get(&image.url) {
            Some(hosted) => hosted.found(Condition::Whole),
            // The image was removed meanwhile.
            None => self.discard(&image.url).await,
        }
        Ok(())
    }

    async fn receive(
        &self,
        token: &str,
        body: Body,
        announced: Option<u64>,
        expected: Option<[u8; 32]>,
    ) -> Result<Received<'_>, UploadError> {
        let busy = |_| UploadError::Busy {
            max: self.max_uploads,
        };
        let slot = self.uploads.try_acquire().map_err(busy)?;
        self.check_room(0, announced.unwrap_or(0))?;
        let mut writing = self.storage.write(token).await?;
        match self.receive_into(&mut writing, body, expected).await {
            Ok((size, sha256)) => Ok(Received {
                writing,
                size,
                sha256,
                _slot: slot,
            }),
            Err(error) => {
                writing.abort().await;
                Err(error)
            }
        }
    }

    async fn receive_into(
        &self,
        writing: &mut Writing,
        mut body: Body,
        expected: Option<[u8; 32]>,
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
            if size > self.max_size {
                return Err(self.too_large());
            }
            hash.update(&data);
            writing.write(&data).await?;
        }
        let sha256: [u8; 32] = hash.finalize().into();
        match expected {
            Some(expected) if expected != sha256 => Err(UploadError::OtherDigest {
                expected: hex::encode(&expected),
                found: hex::encode(&sha256),
            }),
            _ => Ok((size, sha256)),
        }
    }

    fn too_large(&self) -> UploadError {
        UploadError::TooLarge { max: self.max_size }
    }

    fn check_room(&self, received: u64, coming: u64) -> Result<(), UploadError> {
        if received.saturating_add(coming) > self.max_size {
            return Err(self.too_large());
        }
        let Some(folder) = self.storage.folder() else {
            return Ok(());
        };
        let reserve = self.reserve;
        if space::available(folder)? < reserve.saturating_add(coming) {
            return Err(UploadError::DiskFull { reserve });
        }
        Ok(())
    }

    /// Notes that a file may be without an image from now on.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn note(&self, token: &str) -> io::Result<()> {
        self.storage.note(token)
    }

    /// The file has its image.
    pub fn settle(&self, token: &str) {
        self.storage.settle(token);
    }

    /// Removes a file that has no image: robots get no more of it, and it is gone at the next start if not now.
    pub async fn discard(&self, token: &str) {
        self.catalogue.remove(token);
        match self.storage.remove(token).await {
            Ok(()) => self.storage.settle(token),
            Err(error) => {
                tracing::warn!(token, %error, "artifact without an image stays until the next start");
            }
        }
    }
}
