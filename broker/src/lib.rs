//! MQTT 3.1.1 and 5.0 broker that acknowledges a robot's publish only after its owner has made it durable.
//!
//! Layers, outermost last: [`codec`] (bytes and packets), `connection` (one client's protocol state), `routing`
//! (sessions, subscriptions, retained messages), `storage` (what of them survives a restart), `tls` (one connection's
//! records), [`websocket`] (one connection's frames) and `server` (tokio). Only `server` knows
//! sockets and tasks.
//!
//! The owner implements [`Access`], starts a [`Broker`], receives [`Event`]s of its robots and answers their publishes
//! with [`BrokerHandle::settle`].
//!
//! Choices where the standard leaves one:
//!
//! - A denied PUBLISH gets 0x87 on MQTT 5. MQTT 3.1.1 has no such answer: a robot is disconnected, another client gets a
//!   plain acknowledgement, and nobody gets the message.
//! - PUBACK and PUBREC share one order, that of the PUBLISHes, also between the two qualities of service.
//! - A QoS 2 PUBLISH under a known identifier is a repetition only if topic and payload are the same; otherwise the
//!   client has lost its memory, and the message is new. QoS 1 has no such check: a publish that was not acknowledged
//!   when its connection ended is handed over again when it is repeated.
//! - What [`BrokerHandle::send`] sent to a connection is not repeated on the next one, even if the session lasts.
//! - A client whose queue is full is disconnected; for an absent one the newest messages are dropped. Both are counted.
//! - Of a shared subscription, which MQTT 3.1.1 clients may use too, members who are there come before absent ones, and
//!   each group takes turns. One whose queue is full is passed over and stays; if eight in turn are full, the message is
//!   dropped and counted. What waits in a lasting session stays there; when a session ends, what it had not finished
//!   goes to another member, except QoS 2 that was sent.
//! - A topic that is sent to an MQTT 5 client for the second time gets an alias, if the client takes aliases and it saves
//!   bytes.

mod access;
mod clock;
pub mod codec;
mod config;
mod connection;
mod event;
mod message;
mod metrics;
mod routing;
mod server;
mod storage;
mod tls;
pub mod websocket;

pub use access::{
    Access, ConnectRefusal, ConnectRequest, Principal, PublishAccess, SessionPolicy,
    SubscribeAccess, Why,
};
pub use codec::{ProtocolVersion, QoS, ReasonCode};
pub use config::{Config, Limits, PACKET_SIZE_CEILING};
pub use event::{ConnectionId, DisconnectReason, Event, Ticket, Verdict};
pub use metrics::{Count, MetricsSnapshot};
pub use server::{Broker, BrokerHandle, Pipe, SendError};
pub use storage::{
    KEY_LEN, RestoreError, Storage, StoredChange, StoredKey, StoredRow, StoredTable, Unstored,
};
pub use tls::{ClientCertificates, Tls, TlsConfigError, server_config};
