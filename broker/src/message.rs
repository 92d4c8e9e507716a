//! A message on its way to subscribers.

use crate::codec::{Properties, PropertyId, QoS};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What was published, shared by all its deliveries. Owns its bytes: a receive buffer would keep many others alive.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) topic: ByteString,
    pub(crate) payload: Bytes,
    /// Forwarded unchanged; the expiry is kept apart, since it shrinks while the message waits.
    pub(crate) properties: Properties,
    pub(crate) expires: Option<Instant>,
    /// Under which number the message is stored; 0 if it never was.
    number: AtomicU64,
}

impl Message {
    /// Copies everything into one block.
    pub(crate) fn copied(
        topic: &str,
        payload: &[u8],
        properties: &Properties,
        now: Instant,
    ) -> Arc<Self> {
        let expires = properties
            .number(PropertyId::MessageExpiryInterval)
            .and_then(|seconds| now.checked_add(Duration::from_secs(u64::from(seconds))));
        let forwarded = properties.without(&[
            PropertyId::MessageExpiryInterval,
            PropertyId::TopicAlias,
            PropertyId::WillDelayInterval,
        ]);
        let mut block =
            BytesMut::with_capacity(topic.len() + payload.len() + forwarded.as_bytes().len());
        block.extend_from_slice(topic.as_bytes());
        block.extend_from_slice(payload);
        block.extend_from_slice(forwarded.as_bytes());
        let mut rest = block.freeze();
        let topic_bytes = rest.split_to(topic.len());
        let payload = rest.split_to(payload.len());
        Arc::new(Self {
            topic: ByteString::try_from(topic_bytes).unwrap_or_default(),
            payload,
            properties: forwarded.with_bytes(rest),
            expires,
            number: AtomicU64::new(0),
        })
    }

    /// The same message with another expiry.
    pub(crate) fn expiring(&self, expires: Option<Instant>) -> Arc<Self> {
        Arc::new(Self {
            topic: self.topic.clone(),
            payload: self.payload.clone(),
            properties: self.properties.clone(),
            expires,
            number: AtomicU64::new(0),
        })
    }

    /// The number under which the message is stored, if it ever was.
    pub(crate) fn stored_as(&self) -> Option<u64> {
        Some(self.number.load(Ordering::Relaxed)).filter(|number| *number != 0)
    }

    /// The same, with a new number if it has none. Only to be called under the journal's lock.
    pub(crate) fn store_as(&self, number: impl FnOnce() -> u64) -> u64 {
        self.stored_as().unwrap_or_else(|| {
            let number = number();
            self.number.store(number, Ordering::Relaxed);
            number
        })
    }

    /// Bytes that count against queue limits.
    pub(crate) fn size(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.as_bytes().len()
    }

    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// Messages that wait, for the metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Queued {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Queued {
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// One message for one client.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) message: Arc<Message>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Identifiers of the matching subscriptions (MQTT 5).
    pub(crate) subscription_ids: Option<Box<[u32]>>,
    /// Must not outlive the connection.
    pub(crate) transient: bool,
    /// Set if a shared subscription brought it here; boxed, since few do.
    pub(crate) share: Option<Box<Shared>>,
    /// The delivery's number in a session that is stored.
    pub(crate) sequence: Option<NonZeroU64>,
}

/// What another member of the share would need to get the message instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shared {
    pub(crate) share: ShareId,
    /// As published, before any subscription's cap.
    pub(crate) qos: QoS,
    /// As published.
    pub(crate) retain: bool,
}

/// Names one share (group and filter) as long as it has members; not used again soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ShareId(pub(crate) usize);
