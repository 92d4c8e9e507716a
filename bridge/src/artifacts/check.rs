//! Looking at every hosted file once after a start: is it there, has it its size and its SHA-256.
//!
//! Sizes first, which is quick; then the files are read, one at a time and slowly, while the server works. A storage
//! that does not answer decides nothing: those files are looked at again later.

use super::catalogue::{Condition, Hosted};
use super::pace::Pace;
use super::storage::{ReadError, Storage};
use super::{Artifacts, StartCheck};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Until a storage that did not answer is asked again.
const AGAIN: Duration = Duration::from_secs(60);

/// Checks all hosted files in a task of its own, until it is done or cancelled.
pub fn check(artifacts: Arc<Artifacts>, cancel: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let _ = cancel.run_until_cancelled(run(&artifacts)).await;
    })
}

async fn run(artifacts: &Artifacts) {
    let mut open = artifacts.catalogue.all();
    open.sort_by(|a, b| a.image.cmp(&b.image));
    while !open.is_empty() {
        let mut later = Vec::new();
        for hosted in &open {
            if let Err(error) = size(&artifacts.storage, hosted).await {
                tracing::warn!(image = hosted.image, %error, "a hosted file cannot be looked at; it will be tried again");
                later.push(Arc::clone(hosted));
            }
        }
        if let StartCheck::Digest { bytes_per_second } = artifacts.check {
            let pace = Pace::new(bytes_per_second);
            for hosted in &open {
                if hosted.condition() == Condition::Unchecked
                    && !later.iter().any(|later| Arc::ptr_eq(later, hosted))
                    && let Err(error) = digest(&artifacts.storage, hosted, &pace).await
                {
                    tracing::warn!(image = hosted.image, %error, "a hosted file cannot be read; it will be tried again");
                    later.push(Arc::clone(hosted));
                }
            }
        }
        open = later;
        if !open.is_empty() {
            tokio::time::sleep(AGAIN).await;
        }
    }
    let counts = artifacts.conditions();
    let count = |condition| counts.get(&condition).copied().unwrap_or(0);
    tracing::info!(
        whole = count(Condition::Whole),
        damaged = count(Condition::Damaged),
        missing = count(Condition::Missing),
        "hosted files are checked"
    );
}

async fn size(storage: &Storage, hosted: &Hosted) -> Result<(), ReadError> {
    match storage.size(&hosted.token).await {
        Ok(size) if size == hosted.size => Ok(()),
        Ok(_) => {
            hosted.found(Condition::Damaged);
            Ok(())
        }
        Err(ReadError::Missing) => {
            hosted.found(Condition::Missing);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

async fn digest(storage: &Storage, hosted: &Hosted, pace: &Pace) -> Result<(), ReadError> {
    let mut reading = storage.read(&hosted.token, None).await?;
    let mut hash = Sha256::new();
    while let Some(piece) = reading.bytes.next().await {
        let piece = piece?;
        hash.update(&piece);
        pace.wait(piece.len()).await;
    }
    let right = <[u8; 32]>::from(hash.finalize()) == hosted.sha256;
    // A file that was put back meanwhile is looked at for what it was, so only doubts are settled.
    if hosted.condition() == Condition::Unchecked {
        hosted.found(if right {
            Condition::Whole
        } else {
            Condition::Damaged
        });
    }
    Ok(())
}
