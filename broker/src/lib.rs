//! MQTT 3.1.1 and 5.0 broker that acknowledges a robot's publish only after its owner has made it durable.
//!
//! Layers, outermost last: [`codec`] (bytes and packets), `connection` (one client's protocol state), `routing`
//! (sessions, subscriptions, retained messages) and `server` (tokio). Only `server` knows sockets, clocks and tasks.

mod access;
pub mod codec;
mod config;
mod connection;
mod event;
mod message;
mod metrics;
mod routing;
mod server;

pub use access::{
    Access, ConnectRefusal, ConnectRequest, Principal, PublishAccess, SessionPolicy,
    SubscribeAccess, Why,
};
pub use codec::{ProtocolVersion, QoS, ReasonCode};
pub use config::{Config, Limits, PACKET_SIZE_CEILING};
pub use event::{ConnectionId, DisconnectReason, Event, Ticket, Verdict};
pub use metrics::{Count, MetricsSnapshot};
pub use server::{Broker, BrokerHandle, SendError};
