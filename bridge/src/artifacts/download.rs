//! The body of one download: from the storage, at the pace of all, to a robot that may be slow, gone or malicious.
//!
//! **Invariant**: a body that is not what the image says never ends as if it were whole. The last piece is held back
//! until size, and for a file that was not read since the start SHA-256, are known to be right; the connection is
//! broken off otherwise.

use super::Artifacts;
use super::catalogue::{Condition, Hosted};
use super::ledger::End;
use super::storage::Reading;
use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use sha2::{Digest, Sha256};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use uuid::Uuid;

/// A storage that gives nothing for so long is given up.
const STORAGE_SILENCE: Duration = Duration::from_secs(120);

/// What is to be sent.
pub(super) struct Download {
    pub(super) hosted: Arc<Hosted>,
    pub(super) range: Range<u64>,
    pub(super) operation: Option<Uuid>,
    /// Given back when the download is over.
    pub(super) _slot: OwnedSemaphorePermit,
}

impl Download {
    /// Begins to send. A task of its own reads, so that a robot that stops reading gives its slot back.
    pub(super) fn start(self, artifacts: Arc<Artifacts>, reading: Reading) -> Body {
        let left = self.range.end - self.range.start;
        let taken = Arc::new(AtomicU64::new(0));
        let (pieces, received) = mpsc::channel(1);
        tokio::spawn(self.run(artifacts, reading.bytes, pieces, Arc::clone(&taken)));
        let pieces = (received, left, taken);
        let body = stream::unfold(pieces, async |(mut received, left, taken)| {
            let piece: io::Result<Bytes> = match received.recv().await {
                Some(piece) => piece,
                None if left == 0 => return None,
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            };
            let size = piece.as_ref().map_or(0, len);
            taken.fetch_add(size, Relaxed);
            Some((piece, (received, left.saturating_sub(size), taken)))
        });
        Body::from_stream(body)
    }

    async fn run(
        self,
        artifacts: Arc<Artifacts>,
        bytes: BoxStream<'static, io::Result<Bytes>>,
        pieces: mpsc::Sender<io::Result<Bytes>>,
        taken: Arc<AtomicU64>,
    ) {
        let mut end = self.send(&artifacts, bytes, &pieces).await;
        // The connection lets go of the body when it has all of it, or is gone.
        let _ = tokio::time::timeout(artifacts.stall, pieces.closed()).await;
        let taken = taken.load(Relaxed);
        if end == End::Finished && taken < self.range.end - self.range.start {
            end = End::Abandoned;
        }
        let completed = end == End::Finished && self.range.end == self.hosted.size;
        artifacts.ledger.sent(self.operation, taken, completed);
        artifacts.ledger.ended(end);
    }

    async fn send(
        &self,
        artifacts: &Artifacts,
        mut bytes: BoxStream<'static, io::Result<Bytes>>,
        pieces: &mpsc::Sender<io::Result<Bytes>>,
    ) -> End {
        let all = self.range.end - self.range.start;
        let mut check = Check::of(&self.hosted, &self.range);
        let mut sent = 0;
        while sent < all {
            let Ok(Ok(room)) = tokio::time::timeout(artifacts.stall, pieces.reserve()).await else {
                return End::Abandoned;
            };
            let next = tokio::time::timeout(STORAGE_SILENCE, bytes.next()).await;
            let piece = match next {
                Ok(Some(Ok(piece))) => piece,
                Ok(Some(Err(error))) => return self.broken(room, error),
                Ok(None) => return self.broken(room, io::ErrorKind::UnexpectedEof.into()),
                Err(_) => return self.broken(room, io::ErrorKind::TimedOut.into()),
            };
            sent += len(&piece);
            if sent > all || !check.allows(&piece, sent == all) {
                self.hosted.found(Condition::Damaged);
                return self.broken(room, io::ErrorKind::InvalidData.into());
            }
            artifacts.pace.wait(piece.len()).await;
            room.send(Ok(piece));
        }
        if check.was_made() {
            self.hosted.found(Condition::Whole);
        }
        End::Finished
    }

    /// Breaks the connection off, which is the only way to say that the rest will not come.
    fn broken(&self, room: mpsc::Permit<'_, io::Result<Bytes>>, error: io::Error) -> End {
        let image = &self.hosted.image;
        tracing::warn!(image, %error, "a download breaks off: the storage does not give the file as it should");
        room.send(Err(error));
        End::Broken
    }
}

/// The SHA-256 of a file that was not read since the start, if all of it passes by.
struct Check {
    hash: Option<Sha256>,
    sha256: [u8; 32],
}

impl Check {
    fn of(hosted: &Hosted, range: &Range<u64>) -> Self {
        let wanted = hosted.condition() == Condition::Unchecked && *range == (0..hosted.size);
        Self {
            hash: wanted.then(Sha256::new),
            sha256: hosted.sha256,
        }
    }

    /// Whether this piece may go out.
    fn allows(&mut self, piece: &[u8], last: bool) -> bool {
        let Some(hash) = &mut self.hash else {
            return true;
        };
        hash.update(piece);
        !last || <[u8; 32]>::from(hash.clone().finalize()) == self.sha256
    }

    const fn was_made(&self) -> bool {
        self.hash.is_some()
    }
}

fn len(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
