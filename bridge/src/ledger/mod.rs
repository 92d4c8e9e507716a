//! Following ledgers: reads them when it is time, takes what they say to the engine, and fetches the files of what they
//! record into our own store, from which robots get them like any other image.
//!
//! A reading has an end (every wait has one), and there is one at a time for a channel. A ledger that fails changes
//! nothing that was imported before; it is asked again soon, and then ever later (`schedule`).

mod client;
mod digest;
mod files;
mod mirror;
mod report;
mod schedule;
mod sync;
mod wire;

pub use client::Settings;
pub use report::{RefusedRecord, SyncReport, SyncStatus};

use crate::artifacts::Artifacts;
use crate::writer::{Bridge, CommandError};
use client::Client;
use parking_lot::Mutex;
use rollcall_engine::{
    Actor, ChannelKey, ChannelName, LedgerOrigin, LedgerSource, Millis, Refusal,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use sync::Import;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Ledgers that are read at the same time.
const READINGS: usize = 4;
/// Files that are fetched at the same time.
const FILES: usize = 2;
/// Without anything to do for so long, the channels are looked through all the same.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// Why a ledger was not read.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The channel does not follow a ledger, or there is none.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Somebody brings files for it.
    #[error(
        "channel {channel} follows files that somebody brings; `rollcall channel import {channel} FILE` brings one, and \
         `rollcall channel source {channel} ledger --url URL ...` lets it read a node"
    )]
    NoNode {
        /// Which.
        channel: ChannelName,
    },
    /// What was brought is no file of versions.
    #[error(
        "the file cannot be read: {why}; bring what a node answers at /dcl/model/versions/VID/PID/VERSION, or a list of that"
    )]
    NoVersions {
        /// Why.
        why: String,
    },
}

/// Follows the ledgers of all channels.
#[derive(Debug)]
pub struct Ledgers {
    bridge: Bridge,
    artifacts: Arc<Artifacts>,
    client: Client,
    followers: Mutex<BTreeMap<ChannelKey, Arc<Follower>>>,
    readings: Semaphore,
    files: Semaphore,
    news: Notify,
    cancel: CancellationToken,
}

/// How it stands with one channel.
#[derive(Debug, Default)]
struct Follower {
    /// Held while the ledger is read.
    reading: tokio::sync::Mutex<()>,
    /// Held while files are fetched.
    fetching: tokio::sync::Mutex<()>,
    standing: Mutex<Standing>,
}

#[derive(Debug, Default)]
struct Standing {
    source: Option<LedgerSource>,
    status: SyncStatus,
    /// When it is read next.
    next: Option<Instant>,
    /// Something may have become fetchable since files were last looked for.
    wants_files: bool,
}

impl Standing {
    /// Begins anew if the source is another one, and says whether it is.
    fn begin(&mut self, source: &LedgerSource) -> bool {
        let is_new = self.source.as_ref() != Some(source);
        if is_new {
            *self = Self {
                source: Some(source.clone()),
                ..Self::default()
            };
        }
        is_new
    }

    /// Notes what came of a reading of `source`, unless the channel has another one meanwhile.
    fn note(&mut self, source: &LedgerSource, report: &SyncReport) {
        if self.source.as_ref() != Some(source) {
            return;
        }
        let failures = match report.error {
            Some(_) => self.status.failures.saturating_add(1),
            None => 0,
        };
        self.status.failures = failures;
        self.status.last = Some(report.clone());
        self.next = Some(Instant::now() + pause(source.every, failures));
    }
}

/// A channel that follows a ledger.
#[derive(Debug, Clone)]
struct Followed {
    key: ChannelKey,
    name: ChannelName,
    source: LedgerSource,
}

impl Ledgers {
    /// Begins to follow the ledgers of all channels, until `cancel`.
    ///
    /// # Errors
    /// When the system's certificates cannot be used.
    pub fn start(
        bridge: Bridge,
        artifacts: Arc<Artifacts>,
        settings: Settings,
        cancel: CancellationToken,
    ) -> Result<(Arc<Self>, JoinHandle<()>), reqwest::Error> {
        let ledgers = Arc::new(Self {
            bridge,
            artifacts,
            client: Client::new(settings)?,
            followers: Mutex::default(),
            readings: Semaphore::new(READINGS),
            files: Semaphore::new(FILES),
            news: Notify::new(),
            cancel,
        });
        let task = tokio::spawn(Arc::clone(&ledgers).run());
        Ok((ledgers, task))
    }

    /// Some channel has another source.
    pub fn look_again(&self) {
        self.news.notify_one();
    }

    /// How it stands with the channel.
    #[must_use]
    pub fn status(&self, channel: ChannelKey) -> SyncStatus {
        let follower = self.followers.lock().get(&channel).cloned();
        let Some(follower) = follower else {
            return SyncStatus::default();
        };
        let standing = follower.standing.lock();
        let left = |next: Instant| next.saturating_duration_since(Instant::now()).as_secs();
        SyncStatus {
            next_in_s: standing.next.map(left),
            ..standing.status.clone()
        }
    }

    /// Reads the channel's ledger now. Files are fetched behind it.
    ///
    /// # Errors
    /// See [`SyncError`]; a ledger that fails is none, the report says so.
    pub async fn sync(
        self: &Arc<Self>,
        by: Actor,
        channel: ChannelName,
    ) -> Result<SyncReport, SyncError> {
        let followed = self.followed(channel).await?;
        if matches!(followed.source.origin, LedgerOrigin::File) {
            let channel = followed.name;
            return Err(SyncError::NoNode { channel });
        }
        Ok(self.read(by, &followed).await?)
    }

    /// Reads a file that somebody brings for the channel's product.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn import(
        self: &Arc<Self>,
        by: Actor,
        channel: ChannelName,
        file: &[u8],
    ) -> Result<SyncReport, SyncError> {
        let followed = self.followed(channel).await?;
        let entries = wire::file(file).map_err(|why| SyncError::NoVersions { why })?;
        let follower = self.follower(followed.key);
        let _turn = follower.reading.lock().await;
        let now = self.followed(followed.name.clone()).await?;
        if now.key != followed.key {
            let name = now.name;
            return Err(CommandError::Refused(Refusal::LedgerSourceChanged { name }).into());
        }
        let followed = now;
        let import = Import::new(&self.bridge, by, &followed);
        let report = import.file(entries).await?;
        if matches!(followed.source.origin, LedgerOrigin::File) {
            let mut standing = follower.standing.lock();
            standing.begin(&followed.source);
            standing.status.last = Some(report.clone());
        }
        self.fetch_behind(&followed);
        Ok(report)
    }

    async fn run(self: Arc<Self>) {
        let cancel = self.cancel.clone();
        let forever = async {
            loop {
                let wake = match self.begin_what_is_due().await {
                    Ok(wake) => wake,
                    // The writer is gone, and the server with it.
                    Err(_) => return,
                };
                tokio::select! {
                    () = self.news.notified() => {}
                    () = tokio::time::sleep_until(wake) => {}
                }
            }
        };
        let _ = cancel.run_until_cancelled(forever).await;
    }

    /// Begins what is due, and says when something is again.
    async fn begin_what_is_due(self: &Arc<Self>) -> Result<Instant, CommandError> {
        let followed = self.all_followed().await?;
        let keys: BTreeSet<_> = followed.iter().map(|followed| followed.key).collect();
        // Whoever reads or fetches keeps its locks: a new follower's would let a second one in beside it.
        let in_use = |follower: &Arc<Follower>| Arc::strong_count(follower) > 1;
        self.followers
            .lock()
            .retain(|key, follower| keys.contains(key) || in_use(follower));
        let now = Instant::now();
        let mut wake = now + IDLE;
        for followed in followed {
            let follower = self.follower(followed.key);
            let (is_new, is_due) = {
                let mut standing = follower.standing.lock();
                let is_new = standing.begin(&followed.source);
                let reads = matches!(followed.source.origin, LedgerOrigin::Rest { .. });
                let is_due = reads && standing.next.is_none_or(|next| next <= now);
                if is_due {
                    // Until the reading is done, which says when the next one is.
                    standing.next = Some(now + pause(followed.source.every, 0));
                }
                if let Some(next) = standing.next {
                    wake = wake.min(next);
                }
                (is_new, is_due)
            };
            if is_due {
                self.read_behind(followed);
            } else if is_new {
                self.fetch_behind(&followed);
            }
        }
        Ok(wake)
    }

    fn read_behind(self: &Arc<Self>, followed: Followed) {
        let ledgers = Arc::clone(self);
        let read = async move {
            let by = Actor("ledger".to_owned());
            if let Err(error) = ledgers.read(by, &followed).await {
                tracing::warn!(channel = %followed.name, %error, "a ledger was not read");
            }
        };
        self.behind(read);
    }

    fn behind(&self, work: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        tokio::spawn(async move {
            let _ = cancel.run_until_cancelled(work).await;
        });
    }

    async fn read(
        self: &Arc<Self>,
        by: Actor,
        followed: &Followed,
    ) -> Result<SyncReport, CommandError> {
        let follower = self.follower(followed.key);
        let _turn = follower.reading.lock().await;
        // The semaphore is never closed.
        let _slot = self.readings.acquire().await;
        // Whoever waited for its turn may find another source.
        let now = self.followed(followed.name.clone()).await?;
        let (true, LedgerOrigin::Rest { url }) = (now.key == followed.key, &now.source.origin)
        else {
            let name = now.name;
            return Err(CommandError::Refused(Refusal::LedgerSourceChanged { name }));
        };
        follower.standing.lock().begin(&now.source);
        let _running = Running::begin(&follower);
        let import = Import::new(&self.bridge, by, &now);
        let read = import.ledger(&self.client, url).await;
        let noted = match &read {
            Ok(report) => Some(report.clone()),
            // The channel has another source, or is gone.
            Err(CommandError::Refused(_)) => None,
            Err(error) => Some(SyncReport::failed(error)),
        };
        if let Some(report) = noted {
            log(&now, &report);
            follower.standing.lock().note(&now.source, &report);
        }
        self.look_again();
        let report = read?;
        self.fetch_behind(&now);
        Ok(report)
    }

    async fn all_followed(&self) -> Result<Vec<Followed>, CommandError> {
        let followed = self.bridge.query(|view| {
            let follows = |channel: &rollcall_engine::Channel| {
                Some(Followed {
                    key: channel.key,
                    name: channel.name.clone(),
                    source: channel.source.ledger()?.clone(),
                })
            };
            view.state.channels().filter_map(follows).collect()
        });
        followed.await
    }

    async fn followed(&self, name: ChannelName) -> Result<Followed, CommandError> {
        let found = self.bridge.query(move |view| {
            let Some(channel) = view.state.channel(name.as_str()) else {
                return Err(Refusal::UnknownChannel { name });
            };
            match channel.source.ledger() {
                Some(source) => Ok(Followed {
                    key: channel.key,
                    name,
                    source: source.clone(),
                }),
                None => Err(Refusal::NotFromLedger { name }),
            }
        });
        Ok(found.await??)
    }

    fn follower(&self, channel: ChannelKey) -> Arc<Follower> {
        Arc::clone(self.followers.lock().entry(channel).or_default())
    }
}

/// Shows that the ledger is being read, however the reading ends.
struct Running<'a>(&'a Follower);

impl<'a> Running<'a> {
    fn begin(follower: &'a Follower) -> Self {
        follower.standing.lock().status.running = true;
        Self(follower)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.standing.lock().status.running = false;
    }
}

fn pause(every: Millis, failures: u32) -> Duration {
    schedule::pause(Duration::from_millis(every), failures)
}

fn log(followed: &Followed, report: &SyncReport) {
    let channel = &followed.name;
    let SyncReport {
        listed,
        changed,
        withdrawn,
        refused,
        ..
    } = report;
    match &report.error {
        Some(error) => {
            tracing::warn!(%channel, error, "a ledger cannot be read; it will be asked again")
        }
        None => tracing::info!(
            %channel,
            listed,
            changed = changed.len(),
            withdrawn = withdrawn.len(),
            refused = report.not_taken(),
            "a ledger was read"
        ),
    }
    for record in refused {
        tracing::warn!(%channel, version = record.version, why = record.why, "a record of a ledger is not taken");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_engine::{HardwareId, Product};

    fn source(url: &str) -> LedgerSource {
        LedgerSource {
            origin: LedgerOrigin::Rest {
                url: url.to_owned(),
            },
            product: Product { vid: 1, pid: 2 },
            hardware_ids: [HardwareId::new("hw").unwrap()].into(),
            every: 3_600_000,
        }
    }

    #[test]
    fn a_reading_that_the_writer_did_not_take_is_shown_and_tried_again_soon() {
        let source = source("http://a");
        let mut standing = Standing::default();
        standing.begin(&source);
        let full = CommandError::IntakeStopped {
            why: "the disk is full".to_owned(),
        };
        standing.note(&source, &SyncReport::failed(&full));
        assert_eq!(standing.status.failures, 1);
        let said = standing.status.last.unwrap().error.unwrap();
        assert_eq!(said, full.to_string());
        let next = standing.next.unwrap();
        assert!(next <= Instant::now() + Duration::from_secs(30));
    }

    #[test]
    fn the_end_of_an_old_reading_says_nothing_of_the_new_source() {
        let (old, new) = (source("http://a"), source("http://b"));
        let mut standing = Standing::default();
        standing.begin(&old);
        assert!(standing.begin(&new), "another one");
        standing.note(&old, &SyncReport::default());
        assert_eq!(
            (standing.status.last.is_some(), standing.next),
            (false, None)
        );
        standing.note(&new, &SyncReport::default());
        assert!(standing.status.last.is_some() && standing.next.is_some());
        assert!(!standing.begin(&new), "the same");
        assert!(standing.next.is_some());
    }
}
