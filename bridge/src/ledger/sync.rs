//! One reading of a ledger, or of a file: each record is a command of its own, so that a bad one spoils nothing else.

use super::client::{Client, LedgerError};
use super::report::{RefusedRecord, SyncReport};
use super::wire::{self, Entry};
use crate::api::rfc3339;
use crate::writer::{Bridge, CommandError, wall_clock};
use futures_util::{StreamExt, stream};
use rollcall_engine::{Actor, ChannelName, Command, LedgerRecord, LedgerSource, Reply};
use std::collections::BTreeSet;

/// Records that are asked for at the same time.
const AT_ONCE: usize = 4;

/// Where what is read goes.
#[derive(Debug)]
pub(super) struct Import<'a> {
    bridge: &'a Bridge,
    by: Actor,
    channel: &'a ChannelName,
    report: SyncReport,
}

impl<'a> Import<'a> {
    pub(super) fn new(bridge: &'a Bridge, by: Actor, channel: &'a ChannelName) -> Self {
        let at = wall_clock();
        let report = SyncReport {
            at: rfc3339(at),
            at_ms: at.0,
            ..SyncReport::default()
        };
        Self {
            bridge,
            by,
            channel,
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

    /// Reads the ledger. When it fails, what it said before stands, and what it did not say is not touched.
    pub(super) async fn ledger(
        mut self,
        client: &Client,
        url: &str,
        source: &LedgerSource,
    ) -> Result<SyncReport, CommandError> {
        let limit = client.settings().listing;
        let read = tokio::time::timeout(limit, self.read(client, url, source)).await;
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

    async fn read(
        &mut self,
        client: &Client,
        url: &str,
        source: &LedgerSource,
    ) -> Result<(), Failed> {
        let product = source.product;
        let listed = client.list(url, product).await?;
        self.report.listed = listed.numbers.len();
        if listed.entries.is_empty() {
            let ask = |number| async move { (number, client.version(url, product, number).await) };
            let numbers = listed.numbers.iter().copied();
            let mut answers = stream::iter(numbers).map(ask).buffered(AT_ONCE);
            while let Some((number, answer)) = answers.next().await {
                match answer {
                    Ok(entry) => self.take_of(number, entry).await?,
                    // A node that is gone is not asked a thousand times more.
                    Err(error @ (LedgerError::Silent { .. } | LedgerError::Unreachable { .. })) => {
                        return Err(error.into());
                    }
                    Err(error) => self.refuse(None, Some(number), error.to_string()),
                }
            }
        }
        for entry in listed.entries {
            self.take(None, entry).await?;
        }
        if listed.complete {
            self.withdraw_others(&listed.numbers).await?;
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
        let command = Command::RecordLedgerVersion {
            channel: self.channel.clone(),
            record: Box::new(record),
        };
        match self.bridge.command(self.by.clone(), command).await {
            Ok(Reply::Stale) => self.report.unchanged += 1,
            Ok(_) => self.report.changed.push(number),
            Err(CommandError::Refused(refusal)) => {
                self.refuse(place, Some(number), refusal.to_string());
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What a complete list no longer has is not on the ledger any more.
    async fn withdraw_others(&mut self, listed: &BTreeSet<u32>) -> Result<(), CommandError> {
        let (name, listed) = (self.channel.clone(), listed.clone());
        let gone = self.bridge.query(move |view| {
            let channel = view.state.channel(name.as_str());
            let versions = channel.map(|channel| view.state.ledger_versions(channel.key));
            let there = versions.into_iter().flatten();
            let there = there.filter(|version| version.vanished.is_none());
            let numbers = there.map(|version| version.record.software_version);
            numbers
                .filter(|number| !listed.contains(number))
                .collect::<Vec<_>>()
        });
        for number in gone.await? {
            let command = Command::WithdrawLedgerVersion {
                channel: self.channel.clone(),
                number,
            };
            match self.bridge.command(self.by.clone(), command).await {
                Ok(_) => self.report.withdrawn.push(number),
                Err(CommandError::Refused(refusal)) => {
                    self.refuse(None, Some(number), refusal.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn refuse(&mut self, place: Option<usize>, version: Option<u32>, why: String) {
        self.report.refused.push(RefusedRecord {
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
