//! The last retained message of every topic.

use crate::codec::{QoS, topic};
use crate::message::Message;
use bytestring::ByteString;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

/// Retained messages in the order of their topics, so that a filter visits only what shares its literal beginning.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    messages: BTreeMap<ByteString, Entry>,
    bytes: usize,
    /// Before this nothing expires.
    next_expiry: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    message: Arc<Message>,
    qos: QoS,
}

/// The store is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Retained {
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps the message as its topic's last; an empty payload removes it. What goes for it is put into `removed`.
    pub(crate) fn set(
        &mut self,
        message: &Arc<Message>,
        qos: QoS,
        now: Instant,
        max_messages: usize,
        max_bytes: usize,
        removed: &mut Vec<Arc<Message>>,
    ) -> Result<(), Full> {
        removed.extend(self.remove(&message.topic));
        if message.payload.is_empty() {
            return Ok(());
        }
        let fits = |store: &Self| {
            store.messages.len() < max_messages && store.bytes + message.size() <= max_bytes
        };
        if !fits(self) {
            self.drop_expired(now, removed);
        }
        if !fits(self) {
            return Err(Full);
        }
        self.restore(Arc::clone(message), qos);
        Ok(())
    }

    /// Takes over a message that was stored, whatever the limits are now.
    pub(crate) fn restore(&mut self, message: Arc<Message>, qos: QoS) {
        self.bytes += message.size();
        let expiries = self.next_expiry.into_iter().chain(message.expires);
        self.next_expiry = expiries.min();
        self.messages
            .insert(message.topic.clone(), Entry { message, qos });
    }

    /// Messages that match a filter.
    pub(crate) fn matching(&self, filter: &str, now: Instant) -> Vec<(Arc<Message>, QoS)> {
        let literal = filter.split(['+', '#']).next().unwrap_or_default();
        // "a/#" also matches "a", which lies before "a/".
        let start = literal.strip_suffix('/').unwrap_or(literal);
        self.messages
            .range::<str, _>((Bound::Included(start), Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(start))
            .filter(|(name, entry)| topic::matches(filter, name) && !entry.message.is_expired(now))
            .map(|(_, entry)| (Arc::clone(&entry.message), entry.qos))
            .collect()
    }

    fn remove(&mut self, topic: &ByteString) -> Option<Arc<Message>> {
        let old = self.messages.remove(topic)?;
        self.bytes -= old.message.size();
        Some(old.message)
    }

    fn drop_expired(&mut self, now: Instant, removed: &mut Vec<Arc<Message>>) {
        // Else everybody who publishes to a full store would look through all of it.
        if self.next_expiry.is_none_or(|expiry| expiry > now) {
            return;
        }
        let bytes = &mut self.bytes;
        self.messages.retain(|_, entry| {
            let expired = entry.message.is_expired(now);
            if expired {
                *bytes -= entry.message.size();
                removed.push(Arc::clone(&entry.message));
            }
            !expired
        });
        let left = self.messages.values();
        self.next_expiry = left.filter_map(|entry| entry.message.expires).min();
    }
}
