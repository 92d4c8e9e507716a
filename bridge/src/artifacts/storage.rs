//! Where the files lie: a folder of the data directory, or a bucket that speaks S3. Both through `object_store`.
//!
//! **Invariant**: when [`Writing::finish`] has returned, the file and its name are durable. In a folder that takes
//! `with_fsync`, which syncs the file before and its directory after the rename; a bucket answers when it has the
//! object. A file that never finished is never to be seen under its name.

use super::s3::{self, S3Settings};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{
    Error, GetOptions, GetRange, GetResultPayload, MultipartUpload, ObjectStore, ObjectStoreExt,
};
use std::collections::HashSet;
use std::fmt;
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

/// Bytes that are read from a disk at a time.
pub(super) const CHUNK: usize = 64 * 1024;
/// Bytes that are written to a disk at a time.
const LOCAL_PART: usize = 1 << 20;
/// A bucket takes parts from 5 MiB on, and at most 10,000 of them.
const BUCKET_PART: usize = 8 << 20;
const BUCKET_PARTS: u64 = 9_000;

/// Where files are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StorageSettings {
    /// In `<data_dir>/artifacts`.
    #[default]
    Local,
    /// In a bucket.
    S3(S3Settings),
}

/// The folder or bucket of hosted files.
pub(super) struct Storage {
    store: Arc<dyn ObjectStore>,
    place: Place,
    part: usize,
}

enum Place {
    /// The files themselves are there, so whatever has no image is a leftover.
    Folder(PathBuf),
    /// A bucket may hold what is not ours, and costs by the look. So the names of objects that may have no image are
    /// noted here, as empty files, before anything is sent.
    Bucket { prefix: Key, notes: PathBuf },
}

// The store's own form could show credentials.
impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Storage({})", self.store)
    }
}

/// A part of a file, or all of it.
pub(super) struct Reading {
    /// Size of the whole file, bytes.
    pub(super) size: u64,
    pub(super) bytes: BoxStream<'static, io::Result<Bytes>>,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("it is not there")]
    Missing,
    #[error("the storage does not give it")]
    Storage(#[source] Error),
    #[error("the disk does not give it")]
    Disk(#[from] io::Error),
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound { .. } => Self::Missing,
            other => Self::Storage(other),
        }
    }
}

/// Without `with_fsync` it would sync nothing.
fn local(folder: &Path) -> Result<LocalFileSystem, Error> {
    Ok(LocalFileSystem::new_with_prefix(folder)?.with_fsync(true))
}

impl Storage {
    pub(super) fn open(
        data_dir: &Path,
        settings: &StorageSettings,
        max_size: u64,
    ) -> Result<Self, super::OpenError> {
        let folder = |name: &str| {
            let path = data_dir.join(name);
            // A file is durable only if its folder's own name is.
            std::fs::create_dir_all(&path)
                .and_then(|()| std::fs::File::open(data_dir)?.sync_all())
                .map(|()| path.clone())
                .map_err(|source| super::OpenError::Folder { path, source })
        };
        match settings {
            StorageSettings::Local => {
                let path = folder("artifacts")?;
                Ok(Self {
                    store: Arc::new(local(&path)?),
                    place: Place::Folder(path),
                    part: LOCAL_PART,
                })
            }
            StorageSettings::S3(settings) => {
                let part = usize::try_from(max_size / BUCKET_PARTS).unwrap_or(usize::MAX);
                Ok(Self {
                    store: Arc::new(s3::open(settings)?),
                    place: Place::Bucket {
                        prefix: Key::from(settings.prefix.as_str()),
                        notes: folder("artifact-notes")?,
                    },
                    part: part.max(BUCKET_PART),
                })
            }
        }
    }

    /// The folder that fills up; a bucket does not.
    pub(super) fn folder(&self) -> Option<&Path> {
        match &self.place {
            Place::Folder(path) => Some(path),
            Place::Bucket { .. } => None,
        }
    }

    fn key(&self, token: &str) -> Key {
        match &self.place {
            Place::Folder(_) => Key::from(token),
            Place::Bucket { prefix, .. } => prefix.clone().join(token),
        }
    }

    /// Begins a file. Nothing is to be seen of it before it is finished.
    pub(super) async fn write(&self, token: &str) -> Result<Writing, Error> {
        Ok(Writing {
            upload: Some(self.store.put_multipart(&self.key(token)).await?),
            buffer: BytesMut::new(),
            part: self.part,
            begun: false,
        })
    }

    /// Opens a file for reading.
    pub(super) async fn read(
        &self,
        token: &str,
        range: Option<Range<u64>>,
    ) -> Result<Reading, ReadError> {
        let options = GetOptions {
            range: range.map(GetRange::Bounded),
            ..GetOptions::default()
        };
        let got = self.store.get_opts(&self.key(token), options).await?;
        let (size, range) = (got.meta.size, got.range.clone());
        let bytes = match got.payload {
            // Its own stream would read 8 KiB at a time.
            GetResultPayload::File(mut file, _) => {
                file.seek(SeekFrom::Start(range.start))?;
                let part = tokio::fs::File::from_std(file).take(range.end - range.start);
                ReaderStream::with_capacity(part, CHUNK).boxed()
            }
            GetResultPayload::Stream(stream) => {
                stream.map(|bytes| bytes.map_err(io::Error::other)).boxed()
            }
        };
        Ok(Reading { size, bytes })
    }

    /// The size of a file, bytes.
    pub(super) async fn size(&self, token: &str) -> Result<u64, ReadError> {
        Ok(self.store.head(&self.key(token)).await?.size)
    }

    /// Removes a file; one that is not there is removed already.
    pub(super) async fn remove(&self, token: &str) -> Result<(), Error> {
        match self.store.delete(&self.key(token)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Notes that there may be a file without an image from now on.
    pub(super) fn note(&self, token: &str) -> io::Result<()> {
        let Place::Bucket { notes, .. } = &self.place else {
            return Ok(());
        };
        std::fs::File::create(notes.join(token))?;
        std::fs::File::open(notes)?.sync_all()
    }

    /// The file has an image, or is gone.
    pub(super) fn settle(&self, token: &str) {
        if let Place::Bucket { notes, .. } = &self.place
            && let Err(error) = std::fs::remove_file(notes.join(token))
        {
            tracing::warn!(token, %error, "note of an artifact stays until the next start");
        }
    }

    /// Removes every file that has no image, and returns how many there were.
    pub(super) async fn sweep(&self, keep: &HashSet<String>) -> io::Result<usize> {
        let (folder, files_are_here) = match &self.place {
            Place::Folder(path) => (path, true),
            Place::Bucket { notes, .. } => (notes, false),
        };
        let mut removed = 0;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let token = name.to_str().unwrap_or_default();
            let kept = keep.contains(token);
            if files_are_here && kept {
                continue;
            }
            if !files_are_here && !kept {
                if let Err(error) = self.remove(token).await {
                    tracing::warn!(token, %error, "leftover artifact stays in the bucket until the next start");
                    continue;
                }
                removed += 1;
            }
            match std::fs::remove_file(entry.path()) {
                Ok(()) => removed += usize::from(files_are_here),
                Err(error) => {
                    tracing::warn!(path = %entry.path().display(), %error, "leftover artifact stays");
                }
            }
        }
        Ok(removed)
    }
}

/// A file in the making. Dropped before it is finished, it leaves nothing.
pub(super) struct Writing {
    upload: Option<Box<dyn MultipartUpload>>,
    buffer: BytesMut,
    part: usize,
    begun: bool,
}

impl Writing {
    /// Adds bytes; at most one part is held in memory.
    pub(super) async fn write(&mut self, mut data: &[u8]) -> Result<(), Error> {
        while !data.is_empty() {
            let (now, later) = data.split_at(data.len().min(self.part - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            data = later;
            if self.buffer.len() == self.part {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Error> {
        let part = self.buffer.split().freeze();
        let upload = self.upload.as_mut().ok_or(Error::NotImplemented {
            operation: "writing on".to_owned(),
            implementer: "a finished file".to_owned(),
        })?;
        self.begun = true;
        upload.put_part(part.into()).await
    }

    /// Makes the file durable under its name.
    pub(super) async fn finish(mut self) -> Result<(), Error> {
        // A bucket wants one part at least.
        if !self.buffer.is_empty() || !self.begun {
            self.send().await?;
        }
        if let Some(upload) = self.upload.as_mut() {
            upload.complete().await?;
        }
        self.upload = None;
        Ok(())
    }

    /// Takes back what was written.
    pub(super) async fn abort(mut self) {
        if let Some(upload) = self.upload.take() {
            take_back(upload).await;
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(take_back(upload));
        }
    }
}

async fn take_back(mut upload: Box<dyn MultipartUpload>) {
    if let Err(error) = upload.abort().await {
        tracing::warn!(%error, "parts of an artifact that broke off may stay in the storage");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No test can see a missing sync without a loss of power; `strace` shows both, of the file and of its folder.
    #[test]
    fn what_is_finished_in_a_folder_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("{:?}", local(folder.path()).unwrap());
        assert!(store.contains("fsync: true"), "{store}");
    }
}
