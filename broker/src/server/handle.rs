//! The broker as the rest of the process sees it.

use super::hub::Hub;
use super::listener::{self, Layers};
use super::mailbox::Rejected;
use super::pipe::Pipe;
use crate::access::Access;
use crate::clock;
use crate::codec::{Properties, QoS, ReasonCode, topic};
use crate::config::Config;
use crate::connection::Close;
use crate::event::{ConnectionId, Event, Ticket, Verdict};
use crate::message::{Delivery, Message};
use crate::metrics::MetricsSnapshot;
use crate::storage::{RestoreError, Storage, StoredRow, Unstored};
use crate::tls::Tls;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// One broker; any number of listeners may share it.
#[derive(Debug)]
pub struct Broker {
    handle: BrokerHandle,
}

impl Broker {
    /// A broker without listeners. Must be called within a tokio runtime, which then runs its tasks.
    ///
    /// Robots' events go into `events`; its capacity bounds how far clients run ahead of the receiver. The receiver must
    /// keep receiving, or be dropped, while the broker shuts down.
    #[must_use]
    pub fn new(config: Config, access: Arc<dyn Access>, events: mpsc::Sender<Event>) -> Self {
        Self::of(Hub::new(config, access, events, None))
    }

    /// A broker whose sessions and retained messages are stored: it goes on where `rows` end, tells `storage` when
    /// there is something to collect with [`BrokerHandle::unstored`], and says nothing that promises durability before
    /// [`BrokerHandle::stored`]. Rows come in any order.
    ///
    /// # Errors
    /// A row that cannot be understood.
    pub fn restore(
        config: Config,
        access: Arc<dyn Access>,
        events: mpsc::Sender<Event>,
        storage: Arc<dyn Storage>,
        rows: impl IntoIterator<Item = StoredRow>,
    ) -> Result<Self, RestoreError> {
        Hub::restore(config, access, events, storage, rows).map(Self::of)
    }

    fn of(hub: Hub) -> Self {
        let hub = Arc::new(hub);
        tokio::spawn(listener::keep_time(Arc::clone(&hub)));
        Self {
            handle: BrokerHandle {
                hub,
                piping: Arc::default(),
            },
        }
    }

    /// Serves clients that connect to this listener until the broker shuts down.
    pub fn listen(&self, listener: TcpListener) {
        self.accept(listener, Layers::default());
    }

    /// The same, for clients that speak TLS, under settings that may be replaced meanwhile.
    pub fn listen_tls(&self, listener: TcpListener, tls: Tls) {
        self.accept(
            listener,
            Layers {
                tls: Some(tls),
                websocket: false,
            },
        );
    }

    /// The same, for clients that speak WebSocket (RFC 6455) at the path `/mqtt` with the subprotocol `mqtt`, within TLS if there
    /// are settings for it.
    pub fn listen_websocket(&self, listener: TcpListener, tls: Option<Tls>) {
        self.accept(
            listener,
            Layers {
                tls,
                websocket: true,
            },
        );
    }

    fn accept(&self, listener: TcpListener, layers: Layers) {
        let hub = Arc::clone(&self.handle.hub);
        tokio::spawn(listener::accept(hub, listener, layers));
    }

    /// The handle for the rest of the process.
    #[must_use]
    pub fn handle(&self) -> BrokerHandle {
        self.handle.clone()
    }
}

/// Speaks to a running broker; cheap to clone, callable from any thread.
#[derive(Debug, Clone)]
pub struct BrokerHandle {
    hub: Arc<Hub>,
    /// Clients of this process that are not accepted yet.
    piping: Arc<AtomicUsize>,
}

/// Why a message could not be sent.
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
    /// Answers a PUBLISH that was handed over. A second answer to the same ticket has no effect, and neither has one for
    /// a connection that is gone (except that a lasting session remembers it).
    pub fn settle(&self, ticket: Ticket, verdict: Verdict) {
        self.hub.settle(&ticket, verdict);
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
        let mailbox = self.hub.connection(connection).ok_or(SendError::Gone)?;
        let delivery = Delivery {
            message: message(topic, &payload)?,
            qos,
            retain: false,
            subscription_ids: None,
            transient: true,
            share: None,
            sequence: None,
        };
        mailbox
            .push_if_subscribed(delivery, &self.hub.limits)
            .map_err(|rejected| match rejected {
                Rejected::Closed => SendError::Gone,
                Rejected::NotSubscribed => SendError::NotSubscribed,
                Rejected::Full => SendError::QueueFull,
            })
    }

    /// Ends a connection. One that has ended already is left alone.
    pub fn disconnect(&self, connection: ConnectionId, code: ReasonCode, why: &str) {
        if let Some(mailbox) = self.hub.connection(connection) {
            mailbox.order(Close::by_server(code, why.to_owned()));
        }
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
        let message = message(topic, &payload)?;
        self.hub.publish(None, &message, qos, retain, || 0);
        Ok(())
    }

    /// Connects a client of this process, which then speaks MQTT like any other: the same limits and the same access rules
    /// hold, and [`ConnectRequest::peer`](crate::ConnectRequest::peer) is 127.0.0.1 with port 0. It takes no file. Must be called
    /// within a tokio runtime.
    ///
    /// Where a socket would be closed at once, because too many clients have not sent their CONNECT yet, the pipe is.
    #[must_use]
    pub fn pipe(&self) -> Pipe {
        let (ours, theirs) = Pipe::pair();
        listener::admit_pipe(&self.hub, &self.piping, ours);
        theirs
    }

    /// What has changed since the last collection, to be made durable in one step; `None` if nothing has. One
    /// collection must be stored before the next is.
    #[must_use]
    pub fn unstored(&self) -> Option<Unstored> {
        self.hub.unstored()
    }

    /// Says that a collection is durable; whoever waited for it is told now.
    pub fn stored(&self, collected: &Unstored) {
        self.hub.stored(collected.mark);
    }

    /// Counters and gauges.
    #[must_use]
    pub fn metrics(&self) -> MetricsSnapshot {
        self.hub.snapshot()
    }

    /// Stops accepting, tells every client (MQTT 5: 0x8B) and returns when all connections have ended.
    pub async fn shutdown(&self) {
        self.hub.stop();
        loop {
            let changed = self.hub.changed.notified();
            if !self.hub.has_connections() {
                return;
            }
            changed.await;
        }
    }
}

fn message(topic: &str, payload: &[u8]) -> Result<Arc<Message>, SendError> {
    if topic::is_name(topic) {
        Ok(Message::copied(
            topic,
            payload,
            &Properties::none(),
            clock::now(),
        ))
    } else {
        Err(SendError::InvalidTopic)
    }
}
