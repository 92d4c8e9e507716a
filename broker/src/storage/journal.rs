//! What has changed since the last collection, and who waits for it.
//!
//! Invariant: after a collection was stored, the rows on disk are those of the broker's memory at the moment of the
//! collection, so a mark that is stored stands for every change up to it.
//!
//! Its lock is the innermost: nothing else is locked while it is held.

use super::records::{self, DeliveryRecord, RetainedRecord, SessionState, Stage};
use super::{Storage, StoredChange, StoredKey, StoredTable, Unstored};
use crate::clock;
use crate::codec::QoS;
use crate::message::{Delivery, Message};
use crate::server::Mailbox;
use parking_lot::Mutex;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use tokio::sync::oneshot;

/// Stands for all changes up to it. 0: nothing to wait for.
pub(crate) type Mark = u64;

/// Waiters among whom nobody is looked for who has given up.
const WAITERS: usize = 1_024;

/// Changes that may gather before they are collected although nobody waits for them.
const GATHERED: usize = 10_000;

/// The changes of one broker.
pub(crate) struct Journal {
    storage: Arc<dyn Storage>,
    stored: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mark: Mark,
    collected: Mark,
    /// Whether the owner has been told since the last collection.
    told: bool,
    dirty: BTreeMap<(StoredTable, StoredKey), Dirty>,
    /// Rows that refer to a stored message, by its number.
    references: HashMap<u64, u32>,
    last_message: u64,
    last_session: u64,
    waiting: BTreeMap<Mark, Vec<Waiter>>,
    /// How many wait, those who have given up included.
    waiters: usize,
    /// How many may wait before it is looked who has given up.
    patience: usize,
}

struct Dirty {
    value: Option<Value>,
    /// The row is not on disk and in no collection: deleting it leaves nothing to do.
    fresh: bool,
}

/// A row's value, encoded when it is collected.
enum Value {
    Session(Box<SessionState>),
    Message(Arc<Message>),
    Encoded(Vec<u8>),
}

/// What one collection has taken.
pub(crate) struct Taken {
    dirty: BTreeMap<(StoredTable, StoredKey), Dirty>,
    mark: Mark,
}

/// Who waits for a mark.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// A connection with answers to send.
    Connection(Arc<Mailbox>),
    /// A task; it learns of it by the sender's end.
    Task(oneshot::Sender<()>),
}

impl Waiter {
    fn is_there(&self) -> bool {
        match self {
            Self::Connection(mailbox) => !mailbox.is_closed(),
            Self::Task(sender) => !sender.is_closed(),
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

impl Journal {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self {
            storage,
            stored: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    /// Everything up to here is durable.
    pub(crate) fn stored(&self) -> Mark {
        self.stored.load(Ordering::Acquire)
    }

    /// The mark of the last change.
    pub(crate) fn mark(&self) -> Mark {
        self.state.lock().mark
    }

    /// A number for a session that is to be kept.
    pub(crate) fn begin_session(&self) -> NonZeroU64 {
        let mut state = self.state.lock();
        state.last_session += 1;
        NonZeroU64::MIN.saturating_add(state.last_session - 1)
    }

    /// Notes a session as it is now.
    pub(crate) fn put_session(&self, number: NonZeroU64, session: SessionState, is_new: bool) {
        let value = Value::Session(Box::new(session));
        let mut state = self.state.lock();
        state.put(StoredTable::Sessions, (number.get(), 0), value, is_new);
        self.tell_if_many(state);
    }

    /// Notes the end of a session whose deliveries and identifiers are ended by others.
    pub(crate) fn delete_session(&self, number: NonZeroU64) {
        let mut state = self.state.lock();
        state.delete(StoredTable::Sessions, (number.get(), 0));
    }

    /// Notes a message that waits for a session, under the number that the delivery carries.
    pub(crate) fn put_delivery(&self, session: NonZeroU64, delivery: &Delivery) {
        let mut state = self.state.lock();
        let message = state.refer(&delivery.message);
        state.put_delivery(session, delivery, Stage::Queued, message, true);
        self.tell_if_many(state);
    }

    /// Notes a retained message.
    pub(crate) fn put_retained(&self, message: &Arc<Message>, qos: QoS) {
        let mut state = self.state.lock();
        let number = state.refer(message);
        let record = RetainedRecord {
            qos: u32::from(qos.bits()),
        };
        let value = Value::Encoded(records::encode(&record));
        state.put(StoredTable::Retained, (0, number), value, true);
        self.tell_if_many(state);
    }

    /// Notes that a message is not retained any more.
    pub(crate) fn delete_retained(&self, message: &Message) {
        let mut state = self.state.lock();
        if let Some(number) = message.stored_as() {
            state.delete(StoredTable::Retained, (0, number));
        }
        state.release(message);
        self.tell_if_many(state);
    }

    fn tell_if_many(&self, mut state: parking_lot::MutexGuard<'_, State>) {
        if state.dirty.len() >= GATHERED && !state.told {
            state.told = true;
            drop(state);
            self.storage.wanted();
        }
    }

    /// Lets somebody wait for a mark; false if it is stored already.
    pub(crate) fn wait(&self, mark: Mark, waiter: Waiter) -> bool {
        let mut state = self.state.lock();
        if mark <= self.stored() {
            return false;
        }
        state.forget_who_gave_up();
        state.waiters += 1;
        state.waiting.entry(mark).or_default().push(waiter);
        if mark > state.collected && !state.told {
            state.told = true;
            drop(state);
            self.storage.wanted();
        }
        true
    }

    /// Whether anything has changed since the last collection.
    pub(crate) fn is_dirty(&self) -> bool {
        let state = self.state.lock();
        state.mark > state.collected
    }

    /// Rows that wait for a collection.
    pub(crate) fn unstored(&self) -> usize {
        self.state.lock().dirty.len()
    }

    /// Takes what has gathered; `None` if nothing has changed.
    pub(crate) fn take(&self) -> Option<Taken> {
        let mut state = self.state.lock();
        state.told = false;
        if state.mark == state.collected {
            return None;
        }
        state.collected = state.mark;
        Some(Taken {
            dirty: std::mem::take(&mut state.dirty),
            mark: state.mark,
        })
    }

    /// What was collected up to `mark` is durable: whoever waited for it goes on.
    pub(crate) fn store(&self, mark: Mark) {
        let mut state = self.state.lock();
        self.stored.fetch_max(mark, Ordering::Release);
        let later = state.waiting.split_off(&(mark + 1));
        let done = std::mem::replace(&mut state.waiting, later);
        state.waiters -= done.values().map(Vec::len).sum::<usize>();
        drop(state);
        for waiter in done.into_values().flatten() {
            match waiter {
                Waiter::Connection(mailbox) => mailbox.nudge(),
                Waiter::Task(sender) => drop(sender),
            }
        }
    }

    /// Takes over what rows say that were stored by an earlier broker: the greatest numbers in use.
    pub(super) fn resume(&self, last_session: u64, last_message: u64) {
        let mut state = self.state.lock();
        state.last_session = last_session;
        state.last_message = last_message;
    }

    /// Counts a stored row that refers to a stored message.
    pub(super) fn refer_stored(&self, message: u64) {
        *self.state.lock().references.entry(message).or_default() += 1;
    }

    /// Ends a row that nothing in memory stands for.
    pub(super) fn delete_stored(&self, table: StoredTable, key: StoredKey) {
        self.state.lock().delete(table, key.parts());
    }
}

impl Taken {
    /// The changes as the owner gets them. Nothing is locked meanwhile.
    pub(crate) fn encode(self) -> Unstored {
        let clock = records::Clock::read(clock::now(), SystemTime::now());
        let dirty = self.dirty.into_iter();
        let changes = dirty.map(|((table, key), dirty)| StoredChange {
            table,
            key,
            value: dirty.value.map(|value| match value {
                Value::Session(session) => session.encode(clock),
                Value::Message(message) => records::encode_message(&message, clock),
                Value::Encoded(bytes) => bytes,
            }),
        });
        Unstored {
            changes: changes.collect(),
            mark: self.mark,
        }
    }
}

impl State {
    fn put(&mut self, table: StoredTable, (high, low): (u64, u64), value: Value, is_new: bool) {
        self.mark += 1;
        match self.dirty.entry((table, StoredKey::new(high, low))) {
            Entry::Occupied(mut known) => known.get_mut().value = Some(value),
            Entry::Vacant(place) => {
                place.insert(Dirty {
                    value: Some(value),
                    fresh: is_new,
                });
            }
        }
    }

    fn delete(&mut self, table: StoredTable, (high, low): (u64, u64)) {
        self.mark += 1;
        match self.dirty.entry((table, StoredKey::new(high, low))) {
            Entry::Occupied(known) if known.get().fresh => {
                known.remove();
            }
            Entry::Occupied(mut known) => known.get_mut().value = None,
            Entry::Vacant(place) => {
                place.insert(Dirty {
                    value: None,
                    fresh: false,
                });
            }
        }
    }

    fn put_delivery(
        &mut self,
        session: NonZeroU64,
        delivery: &Delivery,
        stage: Stage,
        message: u64,
        is_new: bool,
    ) {
        let Some(sequence) = delivery.sequence else {
            return;
        };
        let value = Value::Encoded(records::encode(&DeliveryRecord::new(
            delivery, stage, message,
        )));
        let key = (session.get(), sequence.get());
        self.put(StoredTable::Deliveries, key, value, is_new);
    }

    /// While nothing is stored, clients that come and go must not leave more and more behind. Looking costs as much as there
    /// are, so it is done when their number has doubled.
    fn forget_who_gave_up(&mut self) {
        if self.waiters < self.patience.max(WAITERS) {
            return;
        }
        self.waiting.retain(|_, waiters| {
            waiters.retain(Waiter::is_there);
            !waiters.is_empty()
        });
        self.waiters = self.waiting.values().map(Vec::len).sum();
        self.patience = 2 * self.waiters;
    }

    /// Counts one more row that refers to a message; the message's number.
    fn refer(&mut self, message: &Arc<Message>) -> u64 {
        let number = message.store_as(|| {
            self.last_message += 1;
            self.last_message
        });
        let references = self.references.entry(number).or_default();
        *references += 1;
        if *references == 1 {
            let value = Value::Message(Arc::clone(message));
            self.put(StoredTable::Messages, (0, number), value, true);
        }
        number
    }

    /// Counts one row less; the last takes the message along.
    fn release(&mut self, message: &Message) {
        let Some(message) = message.stored_as() else {
            return;
        };
        let Some(references) = self.references.get_mut(&message) else {
            return;
        };
        *references -= 1;
        if *references == 0 {
            self.references.remove(&message);
            self.delete(StoredTable::Messages, (0, message));
        }
    }
}

/// The journal as one connection writes it: without effect if the broker stores nothing, or not this session.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionJournal {
    journal: Option<Arc<Journal>>,
    session: Option<NonZeroU64>,
}

impl SessionJournal {
    pub(crate) const fn new(journal: Option<Arc<Journal>>, session: Option<NonZeroU64>) -> Self {
        Self { journal, session }
    }

    /// Everything up to here is durable.
    pub(crate) fn stored(&self) -> Mark {
        self.journal
            .as_ref()
            .map_or(Mark::MAX, |journal| journal.stored())
    }

    /// Whether the session is stored.
    pub(crate) const fn keeps(&self) -> bool {
        self.session.is_some()
    }

    fn note(&self, change: impl FnOnce(&mut State, NonZeroU64)) -> Mark {
        let (Some(journal), Some(session)) = (&self.journal, self.session) else {
            return 0;
        };
        let mut state = journal.state.lock();
        change(&mut state, session);
        let mark = state.mark;
        journal.tell_if_many(state);
        mark
    }

    /// A delivery gets a packet identifier.
    pub(crate) fn sent(&self, delivery: &Delivery, packet_id: u16) -> Mark {
        let Some(message) = delivery.message.stored_as() else {
            return 0;
        };
        let stage = Stage::Sent(packet_id);
        self.note(|state, session| {
            state.put_delivery(session, delivery, stage, message, false);
        })
    }

    /// The client has received a QoS 2 message; only its identifier is still needed.
    pub(crate) fn released(&self, delivery: &Delivery, packet_id: u16) -> Mark {
        let Some(sequence) = delivery.sequence else {
            return 0;
        };
        let record = DeliveryRecord::released(packet_id);
        let value = Value::Encoded(records::encode(&record));
        self.note(|state, session| {
            let key = (session.get(), sequence.get());
            state.put(StoredTable::Deliveries, key, value, false);
            state.release(&delivery.message);
        })
    }

    /// A delivery is done with, or dropped.
    pub(crate) fn finished(&self, delivery: &Delivery) {
        if let Some(sequence) = delivery.sequence {
            self.note(|state, session| {
                let key = (session.get(), sequence.get());
                state.delete(StoredTable::Deliveries, key);
                state.release(&delivery.message);
            });
        }
    }

    /// A released delivery is done with.
    pub(crate) fn completed(&self, sequence: NonZeroU64) {
        self.note(|state, session| {
            let key = (session.get(), sequence.get());
            state.delete(StoredTable::Deliveries, key);
        });
    }

    /// A QoS 2 publish of the client is taken; its identifier is in use.
    pub(crate) fn received(&self, packet_id: u16, fingerprint: u64) -> Mark {
        let value = Value::Encoded(fingerprint.to_be_bytes().to_vec());
        self.note(|state, session| {
            let key = (session.get(), u64::from(packet_id));
            state.put(StoredTable::Received, key, value, false);
        })
    }

    /// The client released the identifier, or uses it for something else.
    pub(crate) fn forgotten(&self, packet_id: u16) -> Mark {
        self.note(|state, session| {
            let key = (session.get(), u64::from(packet_id));
            state.delete(StoredTable::Received, key);
        })
    }
}
