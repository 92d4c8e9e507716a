//! `[mqtt.limits]`: the broker's limits as they are written.

use super::check::{Check, YEAR};
use super::{Error, size};
use rollcall_broker::{Limits, PACKET_SIZE_CEILING};
use serde::Deserialize;
use std::time::Duration;

/// By the names of [`Limits`].
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LimitsFile {
    #[serde(deserialize_with = "size::deserialize")]
    max_packet_size: u64,
    max_connections: usize,
    max_handshaking: usize,
    #[serde(with = "humantime_serde")]
    connect_timeout: Duration,
    #[serde(with = "humantime_serde")]
    max_keep_alive: Option<Duration>,
    intake_window: usize,
    receive_maximum: u16,
    send_window: u16,
    queue_messages: usize,
    #[serde(deserialize_with = "size::deserialize")]
    queue_bytes: u64,
    max_subscriptions: usize,
    max_retained_messages: usize,
    #[serde(deserialize_with = "size::deserialize")]
    max_retained_bytes: u64,
    max_sessions: usize,
    #[serde(with = "humantime_serde")]
    max_session_expiry: Duration,
    max_topic_levels: usize,
    topic_alias_maximum: u16,
    #[serde(deserialize_with = "size::deserialize")]
    topic_alias_bytes: u64,
    max_client_id: usize,
    #[serde(deserialize_with = "size::deserialize")]
    send_buffer: u64,
}

impl Default for LimitsFile {
    fn default() -> Self {
        let limits = Limits::default();
        let bytes = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
        Self {
            max_packet_size: bytes(limits.max_packet_size),
            max_connections: limits.max_connections,
            max_handshaking: limits.max_handshaking,
            connect_timeout: limits.connect_timeout,
            max_keep_alive: limits.max_keep_alive,
            intake_window: limits.intake_window,
            receive_maximum: limits.receive_maximum,
            send_window: limits.send_window,
            queue_messages: limits.queue_messages,
            queue_bytes: bytes(limits.queue_bytes),
            max_subscriptions: limits.max_subscriptions,
            max_retained_messages: limits.max_retained_messages,
            max_retained_bytes: bytes(limits.max_retained_bytes),
            max_sessions: limits.max_sessions,
            max_session_expiry: limits.max_session_expiry,
            max_topic_levels: limits.max_topic_levels,
            topic_alias_maximum: limits.topic_alias_maximum,
            topic_alias_bytes: bytes(limits.topic_alias_bytes),
            max_client_id: limits.max_client_id,
            send_buffer: bytes(limits.send_buffer),
        }
    }
}

impl LimitsFile {
    pub(super) fn check(self, check: &Check<'_>) -> Result<Limits, Error> {
        let ceiling = u64::try_from(PACKET_SIZE_CEILING).unwrap_or(u64::MAX);
        let (packet, queue, retained, send) = (
            "mqtt.limits.max_packet_size",
            "mqtt.limits.queue_bytes",
            "mqtt.limits.max_retained_bytes",
            "mqtt.limits.send_buffer",
        );
        let one = |key, value| check.at_least_one(key, value);
        let window = |key, value: u16| one(key, usize::from(value)).map(|_| value);
        if self.max_sessions < self.max_connections {
            return Err(check.error(
                "mqtt.limits.max_sessions",
                self.max_sessions,
                format!(
                    "every connection has a session; use at least mqtt.limits.max_connections, which is {}",
                    self.max_connections
                ),
            ));
        }
        Ok(Limits {
            max_packet_size: check.bytes(packet, self.max_packet_size, 128, ceiling)?,
            max_connections: one("mqtt.limits.max_connections", self.max_connections)?,
            max_handshaking: one("mqtt.limits.max_handshaking", self.max_handshaking)?,
            connect_timeout: check.span(
                "mqtt.limits.connect_timeout",
                self.connect_timeout,
                Duration::from_secs(3_600),
            )?,
            max_keep_alive: self
                .max_keep_alive
                .map(|span| {
                    let most = Duration::from_secs(u64::from(u16::MAX));
                    check.span("mqtt.limits.max_keep_alive", span, most)
                })
                .transpose()?,
            intake_window: one("mqtt.limits.intake_window", self.intake_window)?,
            receive_maximum: window("mqtt.limits.receive_maximum", self.receive_maximum)?,
            send_window: window("mqtt.limits.send_window", self.send_window)?,
            queue_messages: one("mqtt.limits.queue_messages", self.queue_messages)?,
            queue_bytes: check.bytes(queue, self.queue_bytes, self.max_packet_size, 1 << 40)?,
            max_subscriptions: one("mqtt.limits.max_subscriptions", self.max_subscriptions)?,
            max_retained_messages: self.max_retained_messages,
            max_retained_bytes: check.bytes(retained, self.max_retained_bytes, 0, 1 << 40)?,
            max_sessions: one("mqtt.limits.max_sessions", self.max_sessions)?,
            max_session_expiry: check.span(
                "mqtt.limits.max_session_expiry",
                self.max_session_expiry,
                100 * YEAR,
            )?,
            max_topic_levels: check.bytes(
                "mqtt.limits.max_topic_levels",
                u64::try_from(self.max_topic_levels).unwrap_or(u64::MAX),
                1,
                128,
            )?,
            topic_alias_maximum: self.topic_alias_maximum,
            topic_alias_bytes: check.bytes(
                "mqtt.limits.topic_alias_bytes",
                self.topic_alias_bytes,
                0,
                1 << 20,
            )?,
            max_client_id: one("mqtt.limits.max_client_id", self.max_client_id)?,
            send_buffer: check.bytes(send, self.send_buffer, 1, 1 << 30)?,
        })
    }
}
