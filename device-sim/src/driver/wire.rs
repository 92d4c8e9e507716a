//! The two versions of rumqttc behind one face.
//!
//! Every connection gets an event loop of its own: rumqttc would otherwise send again, after a
//! reconnect, what the robot itself decides to send again.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5;
use rumqttc::{
    AsyncClient, EventLoop, MqttOptions, NetworkOptions, Outgoing, Packet, QoS, TlsConfiguration,
    Transport,
};
use rustls::ClientConfig;

use super::trouble::Trouble;

/// Requests that wait inside rumqttc. Small, since ten thousand robots each have one.
const QUEUE: usize = 16;
/// Keep-alive; Astarte's SDK has the same.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Largest packet from the server that rumqttc lets through, in bytes. Above the limit of Astarte's
/// SDK, so that the model can say what came.
const PACKET_MAX: usize = 64 * 1024;

/// What differs between the two kinds of robots.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Publishes in flight.
    inflight: u16,
    /// Longest time from the attempt to CONNACK, in seconds.
    patience_seconds: u64,
}

impl Manner {
    pub(super) const NATIVE: Self = Self {
        inflight: 16,
        patience_seconds: 5,
    };
    /// As Astarte's SDK and rumqttc within it.
    pub(super) const EDGEHOG: Self = Self {
        inflight: 100,
        patience_seconds: 30,
    };

    /// Longer than rumqttc's own limit, which says more.
    pub(super) fn patience(self) -> Duration {
        Duration::from_secs(self.patience_seconds + 5)
    }
}

/// Who connects, where, and how.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) client_id: String,
    /// The password, where no certificate takes its place.
    pub(super) secret: Option<String>,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) clean_session: bool,
    pub(super) v5: bool,
    pub(super) manner: Manner,
}

/// What happened on a connection.
#[derive(Debug)]
pub(super) enum WireEvent {
    Connected {
        session_present: bool,
    },
    /// A message of the server.
    Message {
        topic: String,
        payload: bytes::Bytes,
    },
    /// The oldest publish that was handed over has left with this packet identifier, 0 for QoS 0.
    Sent(u16),
    /// PUBACK or PUBCOMP, and whether it is a refusal.
    Acknowledged {
        packet: u16,
        refused: bool,
    },
    /// DISCONNECT has left.
    SaidGoodbye,
    Other,
}

pub(super) enum Wire {
    V3(AsyncClient, Box<EventLoop>),
    V5(v5::AsyncClient, Box<v5::EventLoop>),
}

impl Wire {
    pub(super) fn open(target: Target) -> Self {
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(target.manner.patience_seconds);
        let Target {
            host,
            port,
            client_id,
            secret,
            tls,
            clean_session,
            v5,
            manner,
        } = target;
        let transport = tls.map_or_else(Transport::tcp, |config| {
            Transport::tls_with_config(TlsConfiguration::Rustls(config))
        });
        if v5 {
            let mut options = v5::MqttOptions::new(client_id.clone(), host, port);
            options
                .set_keep_alive(KEEP_ALIVE)
                .set_clean_start(clean_session)
                .set_transport(transport);
            if let Some(secret) = secret {
                options.set_credentials(client_id, secret);
            }
            options
                .set_outgoing_inflight_upper_limit(manner.inflight)
                .set_network_options(network);
            let (client, mut events) = v5::AsyncClient::new(options, QUEUE);
            events.state.events = Default::default();
            Self::V5(client, Box::new(events))
        } else {
            let mut options = MqttOptions::new(client_id.clone(), host, port);
            options
                .set_keep_alive(KEEP_ALIVE)
                .set_clean_session(clean_session)
                .set_transport(transport);
            if let Some(secret) = secret {
                options.set_credentials(client_id, secret);
            }
            options
                .set_max_packet_size(PACKET_MAX, PACKET_MAX)
                .set_inflight(manner.inflight);
            let (client, mut events) = AsyncClient::new(options, QUEUE);
            events.set_network_options(network);
            events.state.events = Default::default();
            Self::V3(client, Box::new(events))
        }
    }

    /// Hands a publish over; `false` when there is no room now.
    pub(super) fn publish(&self, topic: &str, qos: u8, payload: &[u8]) -> bool {
        match self {
            Self::V3(client, _) => client
                .try_publish(topic, v3_qos(qos), false, payload)
                .is_ok(),
            Self::V5(client, _) => client
                .try_publish(topic, v5_qos(qos), false, payload.to_vec())
                .is_ok(),
        }
    }

    /// Hands subscriptions over; `false` when there is no room now.
    pub(super) fn subscribe(&self, filters: &[(String, u8)]) -> bool {
        match self {
            Self::V3(client, _) => {
                let filters = filters
                    .iter()
                    .map(|(path, qos)| rumqttc::SubscribeFilter::new(path.clone(), v3_qos(*qos)));
                client.try_subscribe_many(filters).is_ok()
            }
            Self::V5(client, _) => {
                let filters = filters
                    .iter()
                    .map(|(path, qos)| v5::mqttbytes::v5::Filter::new(path.clone(), v5_qos(*qos)));
                client.try_subscribe_many(filters).is_ok()
            }
        }
    }

    /// Asks for a DISCONNECT; `false` when there is no room now.
    pub(super) fn say_goodbye(&self) -> bool {
        match self {
            Self::V3(client, _) => client.try_disconnect().is_ok(),
            Self::V5(client, _) => client.try_disconnect().is_ok(),
        }
    }

    /// Waits for the next event; the first is [`WireEvent::Connected`]. After an error the
    /// connection is over.
    pub(super) async fn next(&mut self) -> Result<WireEvent, Trouble> {
        match self {
            Self::V3(_, events) => Ok(from_v3(events.poll().await?)),
            Self::V5(_, events) => Ok(from_v5(events.poll().await?)),
        }
    }
}

fn v3_qos(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

fn v5_qos(qos: u8) -> v5::mqttbytes::QoS {
    match qos {
        0 => v5::mqttbytes::QoS::AtMostOnce,
        1 => v5::mqttbytes::QoS::AtLeastOnce,
        _ => v5::mqttbytes::QoS::ExactlyOnce,
    }
}

fn from_outgoing(outgoing: &Outgoing) -> WireEvent {
    match outgoing {
        Outgoing::Publish(packet) => WireEvent::Sent(*packet),
        Outgoing::Disconnect => WireEvent::SaidGoodbye,
        _ => WireEvent::Other,
    }
}

fn from_v3(event: rumqttc::Event) -> WireEvent {
    match event {
        rumqttc::Event::Outgoing(outgoing) => from_outgoing(&outgoing),
        rumqttc::Event::Incoming(packet) => match packet {
            Packet::ConnAck(ack) => WireEvent::Connected {
                session_present: ack.session_present,
            },
            Packet::Publish(publish) => WireEvent::Message {
                topic: publish.topic,
                payload: publish.payload,
            },
            Packet::PubAck(ack) => WireEvent::Acknowledged {
                packet: ack.pkid,
                refused: false,
            },
            Packet::PubComp(ack) => WireEvent::Acknowledged {
                packet: ack.pkid,
                refused: false,
            },
            _ => WireEvent::Other,
        },
    }
}

fn from_v5(event: v5::Event) -> WireEvent {
    use v5::mqttbytes::v5::{Packet, PubAckReason, PubRecReason};
    match event {
        v5::Event::Outgoing(outgoing) => from_outgoing(&outgoing),
        v5::Event::Incoming(packet) => match packet {
            Packet::ConnAck(ack) => WireEvent::Connected {
                session_present: ack.session_present,
            },
            Packet::Publish(publish) => WireEvent::Message {
                topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                payload: publish.payload,
            },
            Packet::PubAck(ack) => {
                let accepted = [PubAckReason::Success, PubAckReason::NoMatchingSubscribers];
                let refused = !accepted.contains(&ack.reason);
                WireEvent::Acknowledged {
                    packet: ack.pkid,
                    refused,
                }
            }
            Packet::PubRec(rec)
                if ![PubRecReason::Success, PubRecReason::NoMatchingSubscribers]
                    .contains(&rec.reason) =>
            {
                WireEvent::Acknowledged {
                    packet: rec.pkid,
                    refused: true,
                }
            }
            Packet::PubComp(ack) => WireEvent::Acknowledged {
                packet: ack.pkid,
                refused: false,
            },
            _ => WireEvent::Other,
        },
    }
}
