//! The questions the broker asks its owner: who is this, may it publish here, may it subscribe there.

use crate::codec::{ProtocolVersion, QoS, ReasonCode};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

/// Why something was refused, for the log and for MQTT 5 reason strings.
pub type Why = Cow<'static, str>;

/// Authentication and authorisation. Called on connection tasks, so every method must be cheap and never block.
pub trait Access: Send + Sync + 'static {
    /// Decides who a client is. An empty client id that is accepted gets the id of the returned principal.
    ///
    /// # Errors
    /// The refusal that is sent in CONNACK.
    fn authenticate(&self, connect: &ConnectRequest<'_>) -> Result<Principal, ConnectRefusal>;

    /// Decides about one PUBLISH, or about the will of a CONNECT (which may not be `Intake`).
    fn publish(&self, principal: &Principal, topic: &str, qos: QoS, retain: bool) -> PublishAccess;

    /// Decides about one topic filter of a SUBSCRIBE; of a shared subscription, about what it shares.
    fn subscribe(&self, principal: &Principal, filter: &str) -> SubscribeAccess;
}

/// What a CONNECT says about its sender.
#[derive(Debug, Clone, Copy)]
pub struct ConnectRequest<'a> {
    /// As sent; empty if the client wants one assigned.
    pub client_id: &'a str,
    /// An unused id that the broker proposes when `client_id` is empty.
    pub proposed_id: Option<&'a str>,
    /// User name, if sent.
    pub username: Option<&'a str>,
    /// Password, if sent.
    pub password: Option<&'a [u8]>,
    /// The client's own certificate, DER, if it showed one in a TLS handshake: verified against the roots of the
    /// listener, valid at that time, and the client has its key.
    pub certificate: Option<&'a [u8]>,
    /// Where the connection comes from.
    pub peer: SocketAddr,
    /// Protocol level.
    pub version: ProtocolVersion,
    /// Clean start (3.1.1: clean session).
    pub clean_start: bool,
}

/// An authenticated client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The session's name. Usually the client id that was sent; a different one replaces it.
    pub client_id: Arc<str>,
    /// The owner's number for the client. 0: not a robot, causes no events.
    pub tag: u64,
    /// Whether the session may outlive the connection.
    pub sessions: SessionPolicy,
}

/// Whether sessions outlive connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionPolicy {
    /// As the client asks, within the limits.
    Persistent,
    /// Nothing is kept; CONNACK always says session present 0.
    AlwaysClean,
}

/// A CONNECT that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRefusal {
    /// Sent in CONNACK; MQTT 3.1.1 gets the nearest of its five codes.
    pub code: ReasonCode,
    /// Logged, and sent as reason string on MQTT 5.
    pub why: Why,
}

/// What happens to a PUBLISH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishAccess {
    /// Refused.
    Deny {
        /// Logged, and sent as reason string on MQTT 5.
        why: Why,
    },
    /// Ordinary routing to subscribers; acknowledged at once.
    Route,
    /// Handed over as [`Event::Publish`](crate::Event::Publish); acknowledged when settled. Needs a tag other than 0.
    Intake,
}

/// What happens to a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscribeAccess {
    /// Refused.
    Deny {
        /// Logged, and sent as reason string on MQTT 5.
        why: Why,
    },
    /// Granted with at most this quality of service.
    Grant {
        /// Caps what the client asked for.
        max_qos: QoS,
    },
}
