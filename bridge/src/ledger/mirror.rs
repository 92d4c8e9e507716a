//! Fetching the file of a version into our own store. What comes is counted and hashed on the way, as the ledger says it
//! has to be; anything else is given up, and nothing of it is kept.

use super::client::{Client, file_failure};
use super::digest::Digester;
use super::wire;
use crate::artifacts::{Artifacts, Stored, UploadError};
use crate::hex;
use axum::body::{Body, Bytes};
use futures_util::stream;
use parking_lot::Mutex;
use reqwest::Response;
use rollcall_engine::{ChecksumType, LedgerFile};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Why a file is not here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Something is wrong with the file, its server or the ledger.
    Problem(String),
    /// We could not take it at the moment.
    Later(String),
}

/// Fetches the file and keeps it, if it is the ledger's. `name` is what the log calls it.
pub(super) async fn fetch(
    client: &Client,
    artifacts: &Artifacts,
    name: &str,
    file: &LedgerFile,
) -> Result<Stored, Missing> {
    let patience = client.patience(file.size);
    let fetched = tokio::time::timeout(patience, fetch_at_leisure(client, artifacts, name, file));
    fetched.await.unwrap_or_else(|_| Err(too_slow(patience)))
}

fn too_slow(patience: Duration) -> Missing {
    Missing::Problem(format!("it was not there after {} s", patience.as_secs()))
}

async fn fetch_at_leisure(
    client: &Client,
    artifacts: &Artifacts,
    name: &str,
    file: &LedgerFile,
) -> Result<Stored, Missing> {
    let response = client.open(&file.url).await.map_err(Missing::Problem)?;
    if let Some(length) = response
        .content_length()
        .filter(|found| *found != file.size)
    {
        return Err(Missing::Problem(other_size(length, file.size)));
    }
    let wrong = Arc::new(Mutex::new(None));
    let checking = Checking {
        response,
        left: file.size,
        digester: Digester::new(file.kind),
        wrong: Arc::clone(&wrong),
        silence: client.settings().silence,
    };
    let wanted = file.clone();
    let pieces = stream::try_unfold(Some(checking), move |checking| {
        let wanted = wanted.clone();
        async move {
            match checking {
                Some(checking) => checking.next(&wanted).await,
                None => Ok(None),
            }
        }
    });
    let sha256 = match file.kind {
        ChecksumType::Sha256 => <[u8; 32]>::try_from(file.checksum.as_slice()).ok(),
        _ => None,
    };
    let stored = artifacts.store(name, Body::from_stream(pieces), Some(file.size), sha256);
    stored
        .await
        .map_err(|error| match (error, wrong.lock().take()) {
            (UploadError::Incomplete, Some(why)) => Missing::Problem(why),
            (error @ UploadError::Busy { .. }, _) => Missing::Later(error.to_string()),
            (error @ (UploadError::Write(_) | UploadError::Storage(_)), _) => {
                Missing::Later(error.to_string())
            }
            (error, _) => Missing::Problem(error.to_string()),
        })
}

/// A file on its way.
struct Checking {
    response: Response,
    /// Bytes that are still to come.
    left: u64,
    digester: Digester,
    /// What was wrong, for whoever only hears that the file is not whole.
    wrong: Arc<Mutex<Option<String>>>,
    /// How long its server may be silent.
    silence: Duration,
}

impl Checking {
    /// The next piece. The last one comes only if the whole file is the ledger's.
    async fn next(mut self, wanted: &LedgerFile) -> io::Result<Option<(Bytes, Option<Self>)>> {
        match self.response.chunk().await {
            Ok(Some(piece)) => {
                let bytes = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                let Some(left) = self.left.checked_sub(bytes) else {
                    let more = format!(
                        "its server sends more than the {} bytes of the ledger",
                        wanted.size
                    );
                    return Err(self.is_wrong(more));
                };
                self.left = left;
                self.digester.update(&piece);
                Ok(Some((piece, Some(self))))
            }
            Ok(None) if self.left > 0 => {
                let found = wanted.size - self.left;
                let why = other_size(found, wanted.size);
                Err(self.is_wrong(why))
            }
            Ok(None) => {
                let found = self.digester.clone().finish();
                if found == wanted.checksum {
                    return Ok(None);
                }
                let why = format!(
                    "its {} is {}, and the ledger says {}",
                    wanted.kind,
                    hex::encode(&found),
                    hex::encode(&wanted.checksum)
                );
                Err(self.is_wrong(why))
            }
            Err(error) => {
                let why = file_failure(self.silence, &error);
                Err(self.is_wrong(why))
            }
        }
    }

    fn is_wrong(&self, why: String) -> io::Error {
        *self.wrong.lock() = Some(why);
        io::ErrorKind::InvalidData.into()
    }
}

fn other_size(found: u64, wanted: u64) -> String {
    format!("it has {found} bytes, and the ledger says {wanted}")
}

/// What is noted beside the version.
pub(super) fn problem(url: &str, why: &str) -> String {
    format!("{}: {why}", wire::shown(url))
}
