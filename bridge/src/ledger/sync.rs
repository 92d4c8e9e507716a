//! One reading of a ledger, or of a file: each record is a command of its own, so that a bad one spoils nothing else.

use super::Followed;
use super::client::{Client, LedgerError};
use super::report::{RefusedRecord, SyncReport};
use super::wire::{self, Entry};
use crate::writer::{Bridge, CommandError};
use futures_util::{StreamExt, stream};
use rollcall_engine::{
    Actor, ChannelKey, ChannelName, Command, LedgerReading, LedgerRecord, LedgerVersion, Refusal,
    Reply,
};
use std::collections::BTreeSet;

/// Records that are asked for at the same time.
const AT_ONCE: usize = 4;

/// Where what is read goes.
#[derive(Debug)]
pub(super) struct Import<'a> {
    bridge: &'a Bridge,
    by: Actor,
    channel: &'a ChannelName,
    reading: LedgerReading,
    report: SyncReport,
}

impl<'a> Import<'a> {
    pub(super) fn new(bridge: &'a Bridge, by: Actor, followed: &'a Followed) -> Self {
        let report = SyncReport::begun();
        Self {
            bridge,
            by,
            channel: &followed.name,
            reading: followed.source.reading(followed.key),
            report,
        }
    }

    /// Reads a file.
    pub(super) async fn file(mut self, entries: Vec<Entry>) -> Result<SyncReport, CommandError> {
        self.report.listed = entries.len();
        for (place, entry) in (1..).zip(entries) {
            self.take(Some(place), entry).await?;
        }
        Ok(self.report)
    }

    /// Reads the ledger. When it fails, what it said until then was taken, and what it did not say is not touched.
    pub(super) async fn ledger(
        mut self,
        client: &Client,
        url: &str,
    ) -> Result<SyncReport, CommandError> {
        let limit = client.settings().listing;
        let read = tokio::time::timeout(limit, self.read(client, url)).await;
        let said = match read {
            Ok(Ok(())) => None,
            Ok(Err(Failed::Ledger(error))) => Some(error.to_string()),
            Ok(Err(Failed::Writer(error))) => return Err(error),
            Err(_) => Some(format!(
                "the ledger at {url} needs longer than {limit:?} for the product"
            )),
        };
        self.report.error = said;
        Ok(self.report)
    }

    async fn read(&mut self, client: &Client, url: &str) -> Result<(), Failed> {
        let product = self.reading.product;
        let listed = client.list(url, product).await?;
        self.report.listed = listed.numbers.len();
        if listed.entries.is_empty() {
            let ask = |number| async move { (number, client.version(url, product, number).await) };
            let numbers = listed.numbers.iter().copied();
            let mut answers = stream::iter(numbers).map(ask).buffered(AT_ONCE);
            while let Some((number, answer)) = answers.next().await {
                match answer {
                    Ok(entry) => self.take_of(number, entry).await?,
                    // A node that is gone or overloaded is not asked a thousand times more.
                    Err(error) if error.is_the_nodes() => return Err(error.into()),
                    Err(error) => self.refuse(None, Some(number), error.to_string()),
                }
            }
        }
        for entry in listed.entries {
            self.take(None, entry).await?;
        }
        if listed.complete {
            let gone = self.not_listed(&listed.numbers).await?;
            if listed.numbers.is_empty() && !gone.is_empty() {
                // More often a node that has not caught up than a vendor that has withdrawn everything.
                return Err(Failed::Ledger(LedgerError::Nothing {
                    url: url.to_owned(),
                    product,
                    known: gone.len(),
                }));
            }
            self.withdraw(gone).await?;
        }
        Ok(())
    }

    async fn take_of(&mut self, number: u32, entry: Entry) -> Result<(), CommandError> {
        let named = entry.map_err(|unreadable| wire::Unreadable {
            number: Some(number),
            ..unreadable
        });
        self.take(None, named).await
    }

    async fn take(&mut self, place: Option<usize>, entry: Entry) -> Result<(), CommandError> {
        match entry {
            Ok(record) => self.record(place, record).await,
            Err(unreadable) => {
                if let (Some(product), Some(number)) = (unreadable.withdraws, unreadable.number)
                    && product == self.reading.product
                {
                    self.invalidate(number).await?;
                }
                self.refuse(place, unreadable.number, unreadable.why);
                Ok(())
            }
        }
    }

    async fn record(
        &mut self,
        place: Option<usize>,
        record: LedgerRecord,
    ) -> Result<(), CommandError> {
        let number = record.software_version;
        let withdraws = !record.software_version_valid && record.product() == self.reading.product;
        match self.tell(record).await {
            Ok(Reply::Stale) => self.report.unchanged += 1,
            Ok(_) => self.report.changed.push(number),
            Err(CommandError::Refused(
                refusal @ (Refusal::BadLedgerRecord { .. } | Refusal::TooMany { .. }),
            )) => {
                if withdraws {
                    self.invalidate(number).await?;
                }
                self.refuse(place, Some(number), refusal.to_string());
            }
            // The channel is gone, or has another source: nothing more of this is its business.
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn tell(&self, record: LedgerRecord) -> Result<Reply, CommandError> {
        let command = Command::RecordLedgerVersion {
            channel: self.channel.clone(),
            reading: self.reading.clone(),
            record: Box::new(record),
        };
        self.bridge.command(self.by.clone(), command).await
    }

    /// A record that is refused withdraws its version all the same: to doubt that would be to go on with what the vendor
    /// has called back.
    async fn invalidate(&mut self, number: u32) -> Result<(), CommandError> {
        let key = self.reading.channel;
        let known = self.bridge.query(move |view| {
            let version = view.state.ledger_version(key, number)?;
            Some(version.record.clone())
        });
        let Some(known) = known.await?.filter(|known| known.software_version_valid) else {
            return Ok(());
        };
        self.tell(LedgerRecord {
            software_version_valid: false,
            ..known
        })
        .await?;
        self.report.changed.push(number);
        Ok(())
    }

    /// What a complete list no longer has is not on the ledger any more.
    async fn not_listed(&self, listed: &BTreeSet<u32>) -> Result<Vec<u32>, CommandError> {
        let (key, listed): (ChannelKey, _) = (self.reading.channel, listed.clone());
        let gone = self.bridge.query(move |view| {
            let there = |version: &&LedgerVersion| version.vanished.is_none();
            let there = view.state.ledger_versions(key).filter(there);
            let numbers = there.map(|version| version.record.software_version);
            numbers.filter(|number| !listed.contains(number)).collect()
        });
        gone.await
    }

    async fn withdraw(&mut self, gone: Vec<u32>) -> Result<(), CommandError> {
        for number in gone {
            let command = Command::WithdrawLedgerVersion {
                channel: self.channel.clone(),
                reading: self.reading.clone(),
                number,
            };
            self.bridge.command(self.by.clone(), command).await?;
            self.report.withdrawn.push(number);
        }
        Ok(())
    }

    fn refuse(&mut self, place: Option<usize>, version: Option<u32>, why: String) {
        self.report.refuse(RefusedRecord {
            place,
            version,
            why,
        });
    }
}

#[derive(Debug)]
enum Failed {
    Ledger(LedgerError),
    Writer(CommandError),
}

impl From<LedgerError> for Failed {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<CommandError> for Failed {
    fn from(error: CommandError) -> Self {
        Self::Writer(error)
    }
}
