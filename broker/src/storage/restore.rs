//! Putting stored rows together again. Every row must make sense: a session that lacks a message would lose it silently.

use super::records::{self, Clock, DeliveryRecord, RetainedRecord, SessionState, Stage};
use super::{Journal, RestoreError, StoredKey, StoredRow, StoredTable};
use crate::clock;
use crate::codec::QoS;
use crate::connection::Session;
use crate::message::{Delivery, Message};
use crate::routing::Router;
use prost::Message as _;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Rows on their way to sessions.
#[derive(Default)]
struct Rows {
    messages: BTreeMap<u64, Arc<Message>>,
    retained: BTreeMap<u64, QoS>,
    sessions: BTreeMap<u64, Stored>,
}

/// The rows of one session.
#[derive(Default)]
struct Stored {
    state: Option<SessionState>,
    deliveries: BTreeMap<u64, (DeliveryRecord, QoS, Stage)>,
    received: Vec<(u16, u64)>,
}

/// Fills an empty router with what was stored.
///
/// # Errors
/// The first row that cannot be understood, or that another one lacks.
pub(crate) fn restore(
    router: &mut Router,
    journal: &Journal,
    stored: impl IntoIterator<Item = StoredRow>,
) -> Result<(), RestoreError> {
    let now = clock::now();
    let clock = Clock::read(now, SystemTime::now());
    let mut rows = Rows::default();
    for row in stored {
        let (table, key) = (row.table, row.key);
        rows.take(row, clock)
            .map_err(|why| damaged(table, key, why))?;
    }
    let last = |numbers: Option<&u64>| numbers.copied().unwrap_or(0);
    journal.resume(
        last(rows.sessions.keys().next_back()),
        last(rows.messages.keys().next_back()),
    );
    for (number, qos) in &rows.retained {
        let message = rows
            .message(*number)
            .map_err(|why| damaged(StoredTable::Retained, StoredKey::new(0, *number), why))?;
        journal.refer_stored(*number);
        router.restore_retained(message, *qos);
    }
    for (number, stored) in std::mem::take(&mut rows.sessions) {
        restore_session(router, journal, &rows, number, stored, now)?;
    }
    // Only a defect leaves such rows, but nobody else would ever remove them.
    for (number, message) in &rows.messages {
        if Arc::strong_count(message) == 1 {
            journal.delete_stored(StoredTable::Messages, StoredKey::new(0, *number));
        }
    }
    Ok(())
}

fn damaged(table: StoredTable, key: StoredKey, why: impl Into<String>) -> RestoreError {
    RestoreError::Damaged {
        table,
        key,
        why: why.into(),
    }
}

impl Rows {
    fn take(&mut self, row: StoredRow, clock: Clock) -> Result<(), String> {
        let (high, low) = row.key.parts();
        match row.table {
            StoredTable::Sessions => {
                let state = SessionState::decode(&row.value, clock)?;
                self.sessions.entry(high).or_default().state = Some(state);
            }
            StoredTable::Deliveries => {
                let delivery = DeliveryRecord::read(&row.value)?;
                let session = self.sessions.entry(high).or_default();
                session.deliveries.insert(low, delivery);
            }
            StoredTable::Received => {
                let id = u16::try_from(low).map_err(|_| "it is no packet identifier")?;
                let fingerprint = <[u8; 8]>::try_from(&*row.value)
                    .map_err(|_| "a fingerprint has eight bytes")?;
                let session = self.sessions.entry(high).or_default();
                let fingerprint = u64::from_be_bytes(fingerprint);
                session.received.push((id, fingerprint));
            }
            StoredTable::Messages => {
                let message = records::decode_message(&row.value, clock)?;
                message.store_as(|| low);
                self.messages.insert(low, message);
            }
            StoredTable::Retained => {
                let record =
                    RetainedRecord::decode(&*row.value).map_err(|error| error.to_string())?;
                self.retained.insert(low, records::quality(record.qos)?);
            }
        }
        Ok(())
    }

    fn message(&self, number: u64) -> Result<Arc<Message>, String> {
        let message = self.messages.get(&number).cloned();
        message.ok_or_else(|| format!("message {number} is missing"))
    }
}

fn restore_session(
    router: &mut Router,
    journal: &Journal,
    rows: &Rows,
    number: u64,
    stored: Stored,
    now: Instant,
) -> Result<(), RestoreError> {
    let key = StoredKey::new(number, 0);
    let missing = || {
        damaged(
            StoredTable::Sessions,
            key,
            "it is missing, and other rows belong to it",
        )
    };
    let state = stored.state.ok_or_else(missing)?;
    let session_number =
        NonZeroU64::new(number).ok_or_else(|| damaged(StoredTable::Sessions, key, "it is 0"))?;
    let mut session = Session::default();
    for (id, fingerprint) in stored.received {
        session.inbound.restore(id, fingerprint);
    }
    let last_delivery = stored.deliveries.keys().next_back().copied().unwrap_or(0);
    for (sequence, (record, qos, stage)) in stored.deliveries {
        let place = StoredKey::new(number, sequence);
        let unfit = |why: String| damaged(StoredTable::Deliveries, place, why);
        let number = NonZeroU64::new(sequence).ok_or_else(|| unfit("it is 0".into()))?;
        if let Stage::Released(id) = stage {
            session.outbound.restore(id, Err(number));
            continue;
        }
        let message = rows.message(record.message).map_err(unfit)?;
        journal.refer_stored(record.message);
        let delivery = Delivery {
            message,
            qos,
            retain: record.retain,
            subscription_ids: Some(record.subscription_ids.into_boxed_slice())
                .filter(|ids| !ids.is_empty()),
            transient: false,
            share: None,
            sequence: Some(number),
        };
        match stage {
            Stage::Sent(id) => session.outbound.restore(id, Ok(delivery)),
            Stage::Queued | Stage::Released(_) => session.queue.push_back(delivery),
        }
    }
    router.restore_session(session_number, state, session, last_delivery, now);
    Ok(())
}
