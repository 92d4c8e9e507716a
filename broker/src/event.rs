//! What the broker tells its owner about robots (principals with a tag), and what the owner answers.
//!
//! Events of one connection arrive in the order in which they happened. The channel is bounded: while it is full, the
//! connections that have something to say are not read.

use crate::codec::{ProtocolVersion, QoS, ReasonCode};
use crate::server::Mailbox;
use bytes::Bytes;
use bytestring::ByteString;
use std::fmt;
use std::sync::Arc;

/// Names one connection; unique and increasing within a broker's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something a robot did.
#[derive(Debug)]
pub enum Event {
    /// The robot's CONNECT was accepted. Of the same client id, the `Disconnected` of an older connection comes first.
    Connected {
        /// The new connection.
        connection: ConnectionId,
        /// The principal's tag.
        tag: u64,
        /// The principal's client id.
        client_id: Arc<str>,
        /// Protocol level.
        version: ProtocolVersion,
        /// Clean start as the client asked for it.
        clean_start: bool,
    },
    /// A subscription is in force from now on (SUBACK is on its way), also one that a resumed session brought along.
    Subscribed {
        /// The connection it belongs to.
        connection: ConnectionId,
        /// The principal's tag.
        tag: u64,
        /// The topic filter; of a shared subscription with its `$share/<group>/`.
        filter: String,
        /// The granted quality of service.
        granted: QoS,
    },
    /// A subscription has ended.
    Unsubscribed {
        /// The connection it belonged to.
        connection: ConnectionId,
        /// The principal's tag.
        tag: u64,
        /// The topic filter.
        filter: String,
    },
    /// A PUBLISH that [`Access`](crate::Access) assigned to intake.
    Publish {
        /// To be settled once the effect is durable.
        ticket: Ticket,
        /// The principal's tag.
        tag: u64,
        /// Shares the receive buffer: copy it before keeping it for long.
        topic: ByteString,
        /// Shares the receive buffer: copy it before keeping it for long.
        payload: Bytes,
        /// Quality of service; with 0 settling has no effect.
        qos: QoS,
        /// The retain flag as sent.
        retain: bool,
    },
    /// The connection is gone.
    Disconnected {
        /// The connection.
        connection: ConnectionId,
        /// The principal's tag.
        tag: u64,
        /// Why it ended.
        reason: DisconnectReason,
    },
}

/// The right to settle one PUBLISH. Dropping it without settling leaves the publish unacknowledged for ever.
#[derive(Clone)]
pub struct Ticket {
    pub(crate) mailbox: Arc<Mailbox>,
    /// 0 for QoS 0, which has nothing to settle.
    pub(crate) sequence: u64,
}

impl Ticket {
    /// The connection on which the PUBLISH came.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.mailbox.id()
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({}, {})", self.mailbox.id(), self.sequence)
    }
}

/// The owner's answer to a PUBLISH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Durable: acknowledge.
    Accepted,
    /// Not taken. MQTT 5 gets the code and the reason string; MQTT 3.1.1 knows no such answer and gets a plain
    /// acknowledgement.
    Refused {
        /// Must be an error that PUBACK and PUBREC may carry; any other is sent as 0x80.
        code: ReasonCode,
        /// Reason string on MQTT 5.
        why: Arc<str>,
    },
    /// Not acknowledged; the connection is closed.
    Disconnect {
        /// Sent in DISCONNECT on MQTT 5.
        code: ReasonCode,
        /// Reason string on MQTT 5.
        why: Arc<str>,
    },
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DisconnectReason {
    /// The client said DISCONNECT.
    ByClient,
    /// The client said DISCONNECT and asked for its will.
    ByClientWithWill,
    /// The socket ended without DISCONNECT.
    ConnectionLost,
    /// Nothing came for 1.5 times the keep-alive.
    KeepAliveTimeout,
    /// A newer connection has the same client id.
    TakenOver,
    /// The client broke the protocol; the code says how.
    ProtocolViolation(ReasonCode),
    /// The client published or subscribed where it may not.
    NotAuthorized,
    /// More waited for the client than its queue holds.
    QueueFull,
    /// The owner ended it, by a verdict or by name.
    ByServer(ReasonCode),
    /// The broker stops.
    ServerShutdown,
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByClient => f.write_str("client disconnected"),
            Self::ByClientWithWill => f.write_str("client disconnected and asked for its will"),
            Self::ConnectionLost => f.write_str("connection lost"),
            Self::KeepAliveTimeout => f.write_str("keep-alive timeout"),
            Self::TakenOver => f.write_str("taken over by a newer connection"),
            Self::ProtocolViolation(code) => write!(f, "protocol violation: {code}"),
            Self::NotAuthorized => f.write_str("not authorised"),
            Self::QueueFull => f.write_str("queue of waiting messages full"),
            Self::ByServer(code) => write!(f, "disconnected by the server: {code}"),
            Self::ServerShutdown => f.write_str("server shutting down"),
        }
    }
}
