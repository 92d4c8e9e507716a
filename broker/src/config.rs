//! Limits of the broker. Every queue and table has a bound here, with its unit and the reason for its default.

use std::time::Duration;

/// How a broker is set up.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Bounds on what clients may use.
    pub limits: Limits,
}

/// Bounds on what clients may use. Crossing one gives a typed, counted refusal, never growth.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest control packet taken from a client, bytes (fixed header not counted). Default 66,560: a 65,536-byte
    /// payload, which is what devices may send, with 1 KiB for topic and properties. Capped at 1 MiB, since one
    /// client's half-received packet occupies this much.
    pub max_packet_size: usize,
    /// Connections past their CONNECT at one time. Default 15,000, below the usual 20,000 open files of a process.
    pub max_connections: usize,
    /// Connections of one listener whose CONNECT is not complete at one time. Default 2,048: a fleet's reconnect burst fits, silent
    /// peers cannot take all the files.
    pub max_handshaking: usize,
    /// Time from accept to a complete CONNECT. Default 10 s.
    pub connect_timeout: Duration,
    /// Longest keep-alive of an MQTT 5 client, whole seconds: one that asks for more, or for none, is given this one. An
    /// MQTT 3.1.1 client cannot be told and keeps its own. Default none: robots on slow links know best.
    pub max_keep_alive: Option<Duration>,
    /// Publishes of one client that may wait for their commit. The socket is not read while so many wait.
    /// Default 64: at 5 ms per commit that still allows 12,800 messages/s from one client.
    pub intake_window: usize,
    /// Unfinished QoS 1 and 2 publishes that a client may have, announced on MQTT 5 as Receive Maximum. Beyond it
    /// the client is disconnected. Default 1,024 (16 bytes each).
    pub receive_maximum: u16,
    /// Unfinished QoS 1 and 2 publishes sent to one client; an MQTT 5 client may ask for fewer. Default 100, as
    /// Astarte's broker has it.
    pub send_window: u16,
    /// Messages that may wait for one client. Default 1,000.
    pub queue_messages: usize,
    /// Bytes (topic and payload) that may wait for one client. Default 1 MiB.
    pub queue_bytes: usize,
    /// Subscriptions of one client. Default 128: a device has one per interface.
    pub max_subscriptions: usize,
    /// Retained messages in all. Default 100,000.
    pub max_retained_messages: usize,
    /// Bytes of retained messages in all (topic and payload). Default 64 MiB.
    pub max_retained_bytes: usize,
    /// Sessions in all, connected or not. Default 50,000.
    pub max_sessions: usize,
    /// Longest time that a session outlives its connection; also what an MQTT 3.1.1 client with clean session 0
    /// gets. Default 1 day.
    pub max_session_expiry: Duration,
    /// Levels of a topic name or filter. Default 32: bounds the depth of every tree walk.
    pub max_topic_levels: usize,
    /// Topic aliases that a client may set, announced on MQTT 5 as Topic Alias Maximum; 0 turns them off. Default 16.
    pub topic_alias_maximum: u16,
    /// Bytes of the topics behind the aliases of one connection, for each direction. A client that sets more is
    /// disconnected with 0x97. Default 8 KiB: with 15,000 connections that all misuse it, 120 MB. A connection without
    /// aliases pays nothing.
    pub topic_alias_bytes: usize,
    /// Length of a client id, bytes. Default 256.
    pub max_client_id: usize,
    /// Bytes that may lie in the send buffer of a client that does not read; then nothing more is read from it and
    /// its messages wait in its queue. Default 64 KiB.
    pub send_buffer: usize,
}

/// The largest value that `max_packet_size` may take.
pub const PACKET_SIZE_CEILING: usize = 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_packet_size: 65_536 + 1_024,
            max_connections: 15_000,
            max_handshaking: 2_048,
            connect_timeout: Duration::from_secs(10),
            max_keep_alive: None,
            intake_window: 64,
            receive_maximum: 1_024,
            send_window: 100,
            queue_messages: 1_000,
            queue_bytes: 1024 * 1024,
            max_subscriptions: 128,
            max_retained_messages: 100_000,
            max_retained_bytes: 64 * 1024 * 1024,
            max_sessions: 50_000,
            max_session_expiry: Duration::from_secs(24 * 60 * 60),
            max_topic_levels: 32,
            topic_alias_maximum: 16,
            topic_alias_bytes: 8 * 1024,
            max_client_id: 256,
            send_buffer: 64 * 1024,
        }
    }
}

impl Limits {
    /// The limits with impossible values moved to the nearest possible one, so that the rest need not check.
    #[must_use]
    pub fn clamped(mut self) -> Self {
        self.max_packet_size = self.max_packet_size.clamp(128, PACKET_SIZE_CEILING);
        self.intake_window = self.intake_window.max(1);
        self.receive_maximum = self.receive_maximum.max(1);
        self.send_window = self.send_window.max(1);
        self.queue_messages = self.queue_messages.max(1);
        self.queue_bytes = self.queue_bytes.max(self.max_packet_size);
        self.max_topic_levels = self.max_topic_levels.clamp(1, 128);
        self
    }
}
