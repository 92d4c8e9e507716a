//! The stored form of rows: protobuf, so that fields may be added. Numbers of fields are never reused.

use crate::codec::{Properties, QoS};
use crate::message::{Delivery, Message};
use crate::routing::Testament;
use prost::Message as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Converts between the broker's instants and times that mean something after a restart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    now: Instant,
    unix_ms: u64,
}

impl Clock {
    pub(crate) fn read(now: Instant, wall: SystemTime) -> Self {
        let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            now,
            unix_ms: millis(since),
        }
    }

    pub(super) fn now(self) -> Instant {
        self.now
    }

    fn unix_of(self, at: Instant) -> u64 {
        match at.checked_duration_since(self.now) {
            Some(ahead) => self.unix_ms.saturating_add(millis(ahead)),
            None => self.unix_ms.saturating_sub(millis(self.now - at)),
        }
    }

    /// What is past becomes now; `None` if it is farther off than the clock reaches.
    fn instant_of(self, unix_ms: u64) -> Option<Instant> {
        let ahead = Duration::from_millis(unix_ms.saturating_sub(self.unix_ms));
        self.now.checked_add(ahead)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn encode(record: &impl prost::Message) -> Vec<u8> {
    record.encode_to_vec()
}

/// A session as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct SessionState {
    pub(crate) name: Arc<str>,
    /// When it ends; `None` while a connection owns it.
    pub(crate) until: Option<Instant>,
    /// How long it outlives its connection.
    pub(crate) keep: Duration,
    pub(crate) subscriptions: Vec<SubscriptionState>,
    pub(crate) will: Option<WillState>,
}

/// A subscription as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubscriptionState {
    pub(crate) filter: Box<str>,
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) identifier: Option<u32>,
}

/// A will that is published unless its client comes back or says goodbye.
#[derive(Debug, Clone)]
pub(crate) struct WillState {
    pub(crate) testament: Testament,
    /// When it is due; `None` while the client is connected.
    pub(crate) due: Option<Instant>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SessionRecord {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint64, optional, tag = "2")]
    until_unix_ms: Option<u64>,
    #[prost(uint64, tag = "3")]
    keep_ms: u64,
    #[prost(message, repeated, tag = "4")]
    subscriptions: Vec<SubscriptionRecord>,
    #[prost(message, optional, tag = "5")]
    will: Option<WillRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SubscriptionRecord {
    #[prost(string, tag = "1")]
    filter: String,
    #[prost(uint32, tag = "2")]
    qos: u32,
    #[prost(bool, tag = "3")]
    no_local: bool,
    #[prost(bool, tag = "4")]
    retain_as_published: bool,
    #[prost(uint32, optional, tag = "5")]
    identifier: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WillRecord {
    #[prost(message, required, tag = "1")]
    message: MessageRecord,
    #[prost(uint32, tag = "2")]
    qos: u32,
    #[prost(bool, tag = "3")]
    retain: bool,
    #[prost(uint64, tag = "4")]
    delay_ms: u64,
    #[prost(uint64, optional, tag = "5")]
    expiry_ms: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    due_unix_ms: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MessageRecord {
    #[prost(string, tag = "1")]
    topic: String,
    #[prost(bytes = "vec", tag = "2")]
    payload: Vec<u8>,
    /// As they stand in a PUBLISH, without their length.
    #[prost(bytes = "vec", tag = "3")]
    properties: Vec<u8>,
    #[prost(uint64, optional, tag = "4")]
    expires_unix_ms: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RetainedRecord {
    #[prost(uint32, tag = "1")]
    pub(super) qos: u32,
}

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Queued,
    /// Under this packet identifier.
    Sent(u16),
    /// PUBREC has come.
    Released(u16),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DeliveryRecord {
    /// The message's number; 0 once it is no longer needed.
    #[prost(uint64, tag = "1")]
    pub(super) message: u64,
    #[prost(uint32, tag = "2")]
    qos: u32,
    #[prost(bool, tag = "3")]
    pub(super) retain: bool,
    #[prost(uint32, repeated, tag = "4")]
    pub(super) subscription_ids: Vec<u32>,
    /// 0: not sent yet.
    #[prost(uint32, tag = "5")]
    packet_id: u32,
    #[prost(bool, tag = "6")]
    released: bool,
}

impl DeliveryRecord {
    pub(super) fn new(delivery: &Delivery, stage: Stage, message: u64) -> Self {
        let (packet_id, released) = match stage {
            Stage::Queued => (0, false),
            Stage::Sent(id) => (id, false),
            Stage::Released(id) => (id, true),
        };
        Self {
            message,
            qos: u32::from(delivery.qos.bits()),
            retain: delivery.retain,
            subscription_ids: delivery
                .subscription_ids
                .as_deref()
                .unwrap_or_default()
                .to_vec(),
            packet_id: u32::from(packet_id),
            released,
        }
    }

    pub(super) fn released(packet_id: u16) -> Self {
        Self {
            message: 0,
            qos: u32::from(QoS::ExactlyOnce.bits()),
            retain: false,
            subscription_ids: Vec::new(),
            packet_id: u32::from(packet_id),
            released: true,
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Result<(Self, QoS, Stage), String> {
        let record = Self::decode(bytes).map_err(|error| error.to_string())?;
        let qos = quality(record.qos)?;
        let packet_id =
            u16::try_from(record.packet_id).map_err(|_| "its packet identifier is too great")?;
        let stage = match (packet_id, record.released) {
            (0, false) => Stage::Queued,
            (0, true) => return Err("it is released and has no packet identifier".into()),
            (id, false) => Stage::Sent(id),
            (id, true) => Stage::Released(id),
        };
        if qos == QoS::AtMostOnce {
            return Err("its quality of service is 0".into());
        }
        Ok((record, qos, stage))
    }
}

pub(super) fn quality(bits: u32) -> Result<QoS, String> {
    u8::try_from(bits)
        .ok()
        .and_then(QoS::from_bits)
        .ok_or_else(|| format!("there is no quality of service {bits}"))
}

impl MessageRecord {
    fn of(message: &Message, clock: Clock) -> Self {
        Self {
            topic: message.topic.to_string(),
            payload: message.payload.to_vec(),
            properties: message.properties.as_bytes().to_vec(),
            expires_unix_ms: message.expires.map(|at| clock.unix_of(at)),
        }
    }

    fn into_message(self, clock: Clock) -> Result<Arc<Message>, String> {
        if !crate::codec::topic::is_name(&self.topic) {
            return Err(format!("{:?} is no topic name", self.topic));
        }
        let properties =
            Properties::of_publish(self.properties.into()).map_err(|error| error.to_string())?;
        let message = Message::copied(&self.topic, &self.payload, &properties, clock.now());
        Ok(
            match self.expires_unix_ms.and_then(|ms| clock.instant_of(ms)) {
                Some(at) => message.expiring(Some(at)),
                None => message,
            },
        )
    }
}

pub(super) fn encode_message(message: &Message, clock: Clock) -> Vec<u8> {
    encode(&MessageRecord::of(message, clock))
}

pub(super) fn decode_message(bytes: &[u8], clock: Clock) -> Result<Arc<Message>, String> {
    MessageRecord::decode(bytes)
        .map_err(|error| error.to_string())?
        .into_message(clock)
}

impl SessionState {
    pub(super) fn encode(&self, clock: Clock) -> Vec<u8> {
        encode(&SessionRecord {
            name: self.name.to_string(),
            until_unix_ms: self.until.map(|at| clock.unix_of(at)),
            keep_ms: millis(self.keep),
            subscriptions: self.subscriptions.iter().map(Into::into).collect(),
            will: self.will.as_ref().map(|will| will.record(clock)),
        })
    }

    pub(super) fn decode(bytes: &[u8], clock: Clock) -> Result<Self, String> {
        let record = SessionRecord::decode(bytes).map_err(|error| error.to_string())?;
        let subscriptions = record.subscriptions.into_iter();
        Ok(Self {
            name: record.name.into(),
            until: record.until_unix_ms.and_then(|ms| clock.instant_of(ms)),
            keep: Duration::from_millis(record.keep_ms),
            subscriptions: subscriptions
                .map(SubscriptionRecord::into_state)
                .collect::<Result<_, _>>()?,
            will: record.will.map(|will| will.into_state(clock)).transpose()?,
        })
    }
}

impl From<&SubscriptionState> for SubscriptionRecord {
    fn from(state: &SubscriptionState) -> Self {
        Self {
            filter: state.filter.to_string(),
            qos: u32::from(state.qos.bits()),
            no_local: state.no_local,
            retain_as_published: state.retain_as_published,
            identifier: state.identifier,
        }
    }
}

impl SubscriptionRecord {
    fn into_state(self) -> Result<SubscriptionState, String> {
        if !crate::codec::topic::is_filter(&self.filter) {
            return Err(format!("{:?} is no topic filter", self.filter));
        }
        Ok(SubscriptionState {
            filter: self.filter.into(),
            qos: quality(self.qos)?,
            no_local: self.no_local,
            retain_as_published: self.retain_as_published,
            identifier: self.identifier,
        })
    }
}

impl WillState {
    fn record(&self, clock: Clock) -> WillRecord {
        let will = &self.testament;
        WillRecord {
            message: MessageRecord::of(&will.message, clock),
            qos: u32::from(will.qos.bits()),
            retain: will.retain,
            delay_ms: millis(will.delay),
            expiry_ms: will.expiry.map(millis),
            due_unix_ms: self.due.map(|at| clock.unix_of(at)),
        }
    }
}

impl WillRecord {
    fn into_state(self, clock: Clock) -> Result<WillState, String> {
        Ok(WillState {
            testament: Testament {
                message: self.message.into_message(clock)?,
                expiry: self.expiry_ms.map(Duration::from_millis),
                qos: quality(self.qos)?,
                retain: self.retain,
                delay: Duration::from_millis(self.delay_ms),
            },
            due: self.due_unix_ms.and_then(|ms| clock.instant_of(ms)),
        })
    }
}
