//! The two versions of rumqttc behind one face.
//!
//! Every connection gets an event loop of its own: rumqttc would otherwise send again, after a
//! reconnect, what the robot itself decides to send again.

use rumqttc::v5;
use rumqttc::{AsyncClient, EventLoop, MqttOptions, NetworkOptions, Outgoing, Packet, QoS};

/// Requests that wait inside rumqttc. Small, since ten thousand robots each have one.
const QUEUE: usize = 16;
/// Publishes in flight per robot.
const INFLIGHT: u16 = 16;
/// Keep-alive in seconds; Astarte's SDK has the same.
const KEEP_ALIVE_SECONDS: u64 = 15;

/// Who connects, where, and how.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) client_id: String,
    pub(super) secret: String,
    pub(super) clean_session: bool,
    pub(super) v5: bool,
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
        let keep_alive = std::time::Duration::from_secs(KEEP_ALIVE_SECONDS);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        let Target {
            host,
            port,
            client_id,
            secret,
            clean_session,
            v5,
        } = target;
        if v5 {
            let mut options = v5::MqttOptions::new(client_id.clone(), host, port);
            options
                .set_keep_alive(keep_alive)
                .set_clean_start(clean_session);
            options.set_credentials(client_id, secret);
            options
                .set_outgoing_inflight_upper_limit(INFLIGHT)
                .set_network_options(network);
            let (client, mut events) = v5::AsyncClient::new(options, QUEUE);
            events.state.events = Default::default();
            Self::V5(client, Box::new(events))
        } else {
            let mut options = MqttOptions::new(client_id.clone(), host, port);
            options
                .set_keep_alive(keep_alive)
                .set_clean_session(clean_session);
            options
                .set_credentials(client_id, secret)
                .set_inflight(INFLIGHT);
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
    pub(super) async fn next(&mut self) -> Result<WireEvent, String> {
        match self {
            Self::V3(_, events) => match events.poll().await {
                Ok(event) => Ok(from_v3(event)),
                Err(error) => Err(error.to_string()),
            },
            Self::V5(_, events) => match events.poll().await {
                Ok(event) => Ok(from_v5(event)),
                Err(error) => Err(error.to_string()),
            },
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
