//! Fetching the files of what ledgers record, and taking them to the engine.

use super::mirror::{self, Missing};
use super::{Followed, Follower, Ledgers};
use crate::artifacts::Stored;
use crate::writer::CommandError;
use rollcall_engine::{Actor, ChannelKey, Command, ImageRef, LedgerFile, Reply, StoredFile};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What becomes of a version without a file.
#[derive(Debug)]
enum Next {
    Fetch(u32, LedgerFile),
    /// Its image's name is another's, so its file is not fetched.
    Taken(u32, ImageRef),
}

fn in_the_way(image: &ImageRef) -> String {
    format!(
        "there is another image {image} already; `rollcall image rm {image}` removes it, and the next reading fetches the \
         ledger's"
    )
}

impl Ledgers {
    /// Fetches what can be fetched, unless that goes on already, which then sees what is new.
    pub(super) fn fetch_behind(self: &Arc<Self>, followed: &Followed) {
        let (ledgers, followed) = (Arc::clone(self), followed.clone());
        let follower = self.follower(followed.key);
        follower.standing.lock().wants_files = true;
        self.behind(async move {
            // Whoever wants files while others are fetched leaves the wish, which is looked at after each turn.
            while follower.standing.lock().wants_files {
                let Ok(_turn) = follower.fetching.try_lock() else {
                    return;
                };
                follower.standing.lock().wants_files = false;
                if let Err(error) = ledgers.fetch_files(&followed, &follower).await {
                    tracing::warn!(channel = %followed.name, %error, "files of a ledger were not fetched");
                    return;
                }
            }
        });
    }

    /// Tries every version without a file once.
    async fn fetch_files(
        &self,
        followed: &Followed,
        follower: &Follower,
    ) -> Result<(), CommandError> {
        let mut tried = BTreeSet::new();
        while let Some(next) = self.next_without_file(followed.key, &tried).await? {
            let (number, file) = match next {
                Next::Fetch(number, file) => (number, file),
                Next::Taken(number, image) => {
                    tried.insert(number);
                    self.note(followed, number, in_the_way(&image)).await?;
                    continue;
                }
            };
            tried.insert(number);
            // The semaphore is never closed.
            let _slot = self.files.acquire().await;
            follower.standing.lock().status.fetching = Some(number);
            let fetched = self.fetch_one(followed, number, &file).await;
            follower.standing.lock().status.fetching = None;
            fetched?;
        }
        Ok(())
    }

    async fn fetch_one(
        &self,
        followed: &Followed,
        number: u32,
        file: &LedgerFile,
    ) -> Result<(), CommandError> {
        let channel = &followed.name;
        let name = format!("version {number} of channel {channel}");
        let fetched = mirror::fetch(&self.client, &self.artifacts, &name, file).await;
        let problem = match fetched {
            Ok(stored) => match self.attach(followed, number, file, stored).await {
                Ok(_) => return Ok(()),
                Err(CommandError::Refused(refusal)) => refusal.to_string(),
                Err(error) => return Err(error),
            },
            Err(Missing::Problem(why)) => mirror::problem(&file.url, &why),
            Err(Missing::Later(why)) => why,
        };
        self.note(followed, number, problem).await
    }

    async fn note(
        &self,
        followed: &Followed,
        number: u32,
        problem: String,
    ) -> Result<(), CommandError> {
        let channel = &followed.name;
        tracing::warn!(%channel, version = number, problem, "the file of a version on a ledger is not here");
        let command = Command::NoteLedgerProblem {
            channel: channel.clone(),
            number,
            problem,
        };
        match self.command(command).await {
            // The version is gone meanwhile.
            Ok(_) | Err(CommandError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn attach(
        &self,
        followed: &Followed,
        number: u32,
        checked: &LedgerFile,
        stored: Stored,
    ) -> Result<Reply, CommandError> {
        let command = Command::AttachLedgerFile {
            channel: followed.name.clone(),
            number,
            file: StoredFile {
                token: stored.token.clone(),
                size: stored.size,
                sha256: stored.sha256,
                checksum: checked.checksum.clone(),
            },
        };
        let attached = self.command(command).await;
        match &attached {
            // The same file was here already.
            Ok(Reply::Stale) => self.artifacts.discard(&stored.token).await,
            Ok(_) => self.artifacts.settle(&stored.token),
            Err(_) => self.artifacts.discard(&stored.token).await,
        }
        attached
    }

    async fn command(&self, command: Command) -> Result<Reply, CommandError> {
        self.bridge
            .command(Actor("ledger".to_owned()), command)
            .await
    }

    /// The first version that has a file on the ledger and none here, and was not tried.
    async fn next_without_file(
        &self,
        channel: ChannelKey,
        tried: &BTreeSet<u32>,
    ) -> Result<Option<Next>, CommandError> {
        let tried = tried.clone();
        let next = self.bridge.query(move |view| {
            let follows = view
                .state
                .channel_by_key(channel)?
                .source
                .ledger()
                .is_some();
            let mut versions = view.state.ledger_versions(channel).filter(|_| follows);
            versions.find_map(|version| {
                let number = version.record.software_version;
                let open = version.image.is_none() && version.withdrawn().is_none();
                let file = version
                    .record
                    .file()
                    .filter(|_| open && !tried.contains(&number));
                file.map(|file| match view.state.in_the_way_of(version) {
                    Some(image) => Next::Taken(number, image.reference.clone()),
                    None => Next::Fetch(number, file),
                })
            })
        });
        next.await
    }
}
