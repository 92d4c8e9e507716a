//! A store in memory, whose commits happen when a test says so, and brokers that go on where it ends.

use super::{Rules, soon};
use parking_lot::Mutex;
use rollcall_broker::{
    Broker, BrokerHandle, Config, Event, Limits, RestoreError, Storage, StoredKey, StoredRow,
    StoredTable,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};

/// What is on disk.
#[derive(Debug, Default)]
pub struct Shelf {
    rows: Mutex<BTreeMap<(StoredTable, StoredKey), Vec<u8>>>,
    wanted: Notify,
}

impl Storage for Shelf {
    fn wanted(&self) {
        self.wanted.notify_one();
    }
}

impl Shelf {
    pub fn rows(&self) -> Vec<StoredRow> {
        let rows = self.rows.lock();
        let rows = rows.iter().map(|((table, key), value)| StoredRow {
            table: *table,
            key: *key,
            value: value.clone(),
        });
        rows.collect()
    }

    pub fn put(&self, row: StoredRow) {
        self.rows.lock().insert((row.table, row.key), row.value);
    }

    pub fn count(&self, table: StoredTable) -> usize {
        self.rows
            .lock()
            .keys()
            .filter(|(found, _)| *found == table)
            .count()
    }

    /// Takes what `broker` wants to have stored, without telling it yet.
    fn take(&self, broker: &BrokerHandle) -> Option<rollcall_broker::Unstored> {
        let mut unstored = broker.unstored()?;
        let mut rows = self.rows.lock();
        for change in std::mem::take(&mut unstored.changes) {
            let key = (change.table, change.key);
            match change.value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
        Some(unstored)
    }

    /// Makes everything durable that has changed.
    pub fn commit(&self, broker: &BrokerHandle) {
        if let Some(stored) = self.take(broker) {
            broker.stored(&stored);
        }
    }

    /// The commit before a crash: it is on disk and nobody was told.
    pub fn commit_untold(&self, broker: &BrokerHandle) {
        drop(self.take(broker));
    }
}

/// A broker on a shelf, reached through pipes.
pub struct Stored {
    pub handle: BrokerHandle,
    pub shelf: Arc<Shelf>,
    _broker: Broker,
    _events: mpsc::Receiver<Event>,
}

impl Stored {
    pub fn start(shelf: &Arc<Shelf>) -> Self {
        Self::with(shelf, Limits::default()).unwrap()
    }

    pub fn with(shelf: &Arc<Shelf>, limits: Limits) -> Result<Self, RestoreError> {
        let (sender, events) = mpsc::channel(1_024);
        let (config, storage) = (Config { limits }, Arc::clone(shelf));
        let broker = Broker::restore(config, Arc::new(Rules), sender, storage, shelf.rows())?;
        Ok(Self {
            handle: broker.handle(),
            shelf: Arc::clone(shelf),
            _broker: broker,
            _events: events,
        })
    }

    pub fn commit(&self) {
        self.shelf.commit(&self.handle);
    }

    /// Commits whenever somebody waits for it, until `future` is done.
    pub async fn committing<T>(&self, future: impl Future<Output = T>) -> T {
        let commits = async {
            loop {
                self.shelf.wanted.notified().await;
                self.commit();
            }
        };
        tokio::select! {
            done = future => done,
            () = commits => unreachable!("there is always another commit"),
        }
    }

    /// Waits until somebody waits for a commit, and makes it.
    pub async fn commit_wanted(&self) {
        soon("a wish for a commit", self.shelf.wanted.notified()).await;
        self.commit();
    }
}
