//! Counters of everything that passes or is refused. Cheap enough to be read at every scrape.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// What is counted since the broker started.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Count {
            $($(#[$doc])* $name,)*
        }

        impl Count {
            /// Every counter.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The counter's name in snake case, fit for a metrics label.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

counts! {
    /// Sockets accepted.
    SocketsAccepted => "sockets_accepted",
    /// Failed accepts, such as running out of files.
    AcceptErrors => "accept_errors",
    /// Connections whose CONNECT was accepted.
    ConnectionsOpened => "connections_opened",
    /// Connections that ended after their CONNECT was accepted.
    ConnectionsClosed => "connections_closed",
    /// Bytes read from sockets.
    BytesIn => "bytes_in",
    /// Bytes written to sockets.
    BytesOut => "bytes_out",
    /// Control packets read.
    PacketsIn => "packets_in",
    /// PUBLISH packets read.
    PublishesIn => "publishes_in",
    /// PUBLISH packets written.
    PublishesOut => "publishes_out",
    /// Publishes handed to the owner.
    IntakeHanded => "intake_handed",
    /// Publishes that the owner accepted.
    IntakeAccepted => "intake_accepted",
    /// Publishes that the owner refused.
    IntakeRefused => "intake_refused",
    /// Verdicts that came after their connection had ended.
    LateVerdicts => "late_verdicts",
    /// QoS 2 publishes that came again and were not handed over again.
    DuplicatesSuppressed => "duplicates_suppressed",
    /// Sockets closed because too many connections had no CONNECT yet.
    HandshakeLimit => "handshake_limit",
    /// Connections that did not complete CONNECT in time.
    ConnectTimeout => "connect_timeout",
    /// Connections that ended before a complete CONNECT.
    ConnectAbandoned => "connect_abandoned",
    /// First packets that were no valid CONNECT.
    ConnectMalformed => "connect_malformed",
    /// TLS handshakes that were completed.
    TlsHandshakes => "tls_handshakes",
    /// Connections to a TLS listener whose first bytes were not TLS.
    TlsNotSpoken => "tls_not_spoken",
    /// TLS handshakes without a version, cipher or signature that both sides know.
    TlsIncompatible => "tls_incompatible",
    /// TLS handshakes that the client gave up, such as one that does not trust the server's certificate.
    TlsRefusedByClient => "tls_refused_by_client",
    /// TLS handshakes with malformed or unexpected messages.
    TlsMalformed => "tls_malformed",
    /// TLS handshakes without the client certificate that is required.
    TlsCertificateMissing => "tls_certificate_missing",
    /// TLS handshakes with a client certificate that is not valid any more, or not yet.
    TlsCertificateExpired => "tls_certificate_expired",
    /// TLS handshakes with a client certificate of an unknown issuer.
    TlsCertificateUnknownIssuer => "tls_certificate_unknown_issuer",
    /// TLS handshakes with a client certificate that is refused for another reason.
    TlsCertificateInvalid => "tls_certificate_invalid",
    /// Connections that broke the rules of TLS after their handshake.
    TlsViolation => "tls_violation",
    /// WebSocket connections whose request was granted.
    WebSocketsOpened => "websockets_opened",
    /// Requests to a WebSocket listener that were no HTTP/1.1 or not as RFC 6455 wants them.
    WebSocketRequestMalformed => "websocket_request_malformed",
    /// Requests to a WebSocket listener that were too long.
    WebSocketRequestTooLarge => "websocket_request_too_large",
    /// Requests to a WebSocket listener for something else, such as another path.
    WebSocketNotAsked => "websocket_not_asked",
    /// Requests for another version of WebSocket.
    WebSocketVersionRefused => "websocket_version_refused",
    /// Requests that did not offer the subprotocol `mqtt`.
    WebSocketSubprotocolRefused => "websocket_subprotocol_refused",
    /// WebSocket connections cut for a frame that was not masked.
    WebSocketUnmasked => "websocket_unmasked",
    /// WebSocket connections cut for a text frame.
    WebSocketNotBinary => "websocket_not_binary",
    /// WebSocket connections cut for a frame that was too long.
    WebSocketFrameTooLarge => "websocket_frame_too_large",
    /// WebSocket connections cut for a frame that broke another rule.
    WebSocketMalformed => "websocket_malformed",
    /// CONNECTs refused because too many connections are open.
    ConnectionLimit => "connection_limit",
    /// CONNECTs refused because too many sessions exist.
    SessionLimit => "session_limit",
    /// CONNECTs refused because an older connection of the client did not end in time.
    TakeOverTimeout => "take_over_timeout",
    /// CONNECTs refused because their session could not be stored in time.
    StorageUnavailable => "storage_unavailable",
    /// CONNECTs refused by the owner.
    ConnectRefused => "connect_refused",
    /// CONNECTs refused for their will.
    WillRefused => "will_refused",
    /// CONNECTs refused for an unusable client id.
    ClientIdRefused => "client_id_refused",
    /// Publishes refused by authorisation.
    PublishDenied => "publish_denied",
    /// Topic filters refused by authorisation.
    SubscribeDenied => "subscribe_denied",
    /// Topic filters refused because the client has too many.
    SubscriptionLimit => "subscription_limit",
    /// Shared subscriptions refused for their group or filter.
    SharedSubscriptionMalformed => "shared_subscription_malformed",
    /// Topics or filters with too many levels.
    TopicTooDeep => "topic_too_deep",
    /// Messages not retained because the store is full.
    RetainedLimit => "retained_limit",
    /// Connections closed for a packet above the maximum size: from the client ours, to the client its own.
    PacketTooLarge => "packet_too_large",
    /// Connections closed for a malformed packet.
    MalformedPacket => "malformed_packet",
    /// Connections closed for another breach of the protocol.
    ProtocolError => "protocol_error",
    /// Connections closed for too many unfinished publishes.
    ReceiveMaximumExceeded => "receive_maximum_exceeded",
    /// Connections closed for silence.
    KeepAliveTimeout => "keep_alive_timeout",
    /// Connections replaced by a newer one of the same client.
    TakenOver => "taken_over",
    /// Connections lost without DISCONNECT.
    ConnectionLost => "connection_lost",
    /// Connections closed because their queue was full.
    QueueFull => "queue_full",
    /// Connections closed by the owner.
    ClosedByServer => "closed_by_server",
    /// Messages dropped because their client's queue was full; a connected client is disconnected besides.
    MessageDropped => "message_dropped",
    /// Messages dropped because they had expired.
    MessageExpired => "message_expired",
    /// Messages dropped because they exceed what the client accepts.
    TooLargeForClient => "too_large_for_client",
    /// Wills published.
    WillsPublished => "wills_published",
    /// Sessions that ended because nobody came back for them.
    SessionsExpired => "sessions_expired",
}

/// The live counters.
#[derive(Debug)]
pub(crate) struct Metrics {
    counts: Vec<AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            counts: Count::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Metrics {
    pub(crate) fn add(&self, count: Count, by: u64) {
        if by > 0 {
            self.counts[count as usize].fetch_add(by, Relaxed);
        }
    }

    pub(crate) fn one(&self, count: Count) {
        self.add(count, 1);
    }

    pub(crate) fn get(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Relaxed)
    }
}

/// Counters and gauges at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsSnapshot {
    /// Connections past their CONNECT.
    pub connections: usize,
    /// Connections that have not completed their CONNECT.
    pub handshaking: usize,
    /// Sessions, connected or not.
    pub sessions: usize,
    /// Subscriptions of all sessions.
    pub subscriptions: usize,
    /// Retained messages.
    pub retained_messages: usize,
    /// Bytes of retained messages.
    pub retained_bytes: usize,
    /// Messages that wait for clients, connected or not.
    pub queued_messages: usize,
    /// Bytes of these (topic, payload, properties), counted for each client.
    pub queued_bytes: usize,
    /// Events that wait for the owner.
    pub events_waiting: usize,
    /// Changed rows that wait to be stored.
    pub unstored: usize,
    pub(crate) counts: Vec<u64>,
}

impl MetricsSnapshot {
    /// One counter.
    #[must_use]
    pub fn count(&self, count: Count) -> u64 {
        self.counts[count as usize]
    }

    /// Every counter with its name.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Count::ALL
            .iter()
            .map(|count| (count.name(), self.count(*count)))
    }
}
