//! What the tests of the standards' statements share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    unreachable_pub,
    reason = "tests fail by panicking, and each file of them uses a part of this"
)]

use super::{Client, Server, connect, soon};
use rollcall_broker::codec::{
    Connect, Disconnect, Packet, Properties, PropertyId, Publish, Subscribe, SubscribeOptions,
    Subscription,
};
use rollcall_broker::{ProtocolVersion, QoS, ReasonCode};

pub const BOTH: [ProtocolVersion; 2] = [ProtocolVersion::V4, ProtocolVersion::V5];
pub const EVERY_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// A CONNECT of a client whose session lasts.
pub fn lasting(version: ProtocolVersion, client_id: &str) -> Connect {
    let mut connect = connect(version, client_id);
    connect.clean_start = false;
    if version.is_v5() {
        connect.properties = number(PropertyId::SessionExpiryInterval, 1_000);
    }
    connect
}

/// One numeric property.
pub fn number(id: PropertyId, value: u32) -> Properties {
    Properties::builder().number(id, value).build().unwrap()
}

/// A CONNECT of an MQTT 5 client with one numeric property.
pub fn with_number(client_id: &str, id: PropertyId, value: u32) -> Connect {
    let mut connect = connect(ProtocolVersion::V5, client_id);
    connect.properties = number(id, value);
    connect
}

pub fn encoded(version: ProtocolVersion, packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(version, &mut out).unwrap();
    out
}

/// Sends a message as the server itself.
pub fn send(server: &Server, topic: &str, payload: &str, qos: QoS) {
    let payload = payload.to_owned().into();
    server.handle.publish(topic, payload, qos, false).unwrap();
}

pub fn retain(server: &Server, topic: &str, payload: &str, qos: QoS) {
    let payload = payload.to_owned().into();
    server.handle.publish(topic, payload, qos, true).unwrap();
}

/// Payloads of packets that are all publishes.
pub fn payloads(packets: &[Packet]) -> Vec<String> {
    packets
        .iter()
        .map(|packet| match packet {
            Packet::Publish(publish) => String::from_utf8(publish.payload.to_vec()).unwrap(),
            other => panic!("a publish was expected, not {other:?}"),
        })
        .collect()
}

/// The next PUBLISH, not acknowledged.
pub async fn unacknowledged(client: &mut Client) -> Publish {
    match client.recv().await {
        Packet::Publish(publish) => publish,
        other => panic!("a publish was expected, not {other:?}"),
    }
}

/// Subscribes to several filters in one packet; the codes of the answer, whose identifier is checked.
pub async fn subscribe_to(
    client: &mut Client,
    packet_id: u16,
    properties: Properties,
    filters: &[(&str, SubscribeOptions)],
) -> Vec<ReasonCode> {
    let subscriptions = filters
        .iter()
        .map(|(filter, options)| Subscription {
            filter: (*filter).into(),
            options: *options,
        })
        .collect();
    client
        .send(Packet::Subscribe(Subscribe {
            packet_id,
            properties,
            subscriptions,
        }))
        .await;
    match client.recv().await {
        Packet::SubAck(answer) => {
            assert_eq!(answer.packet_id, packet_id);
            answer.codes
        }
        other => panic!("suback was expected, not {other:?}"),
    }
}

/// DISCONNECT with a code.
pub fn leave(code: ReasonCode) -> Packet {
    Packet::Disconnect(Disconnect {
        code,
        properties: Properties::none(),
    })
}

/// Asserts that the server ends the connection, and on MQTT 5 says why.
pub async fn ends(client: &mut Client, version: ProtocolVersion, code: ReasonCode) {
    client.ends_with(version.is_v5().then_some(code)).await;
}

/// Waits until the server has put the sessions of lost connections away.
pub async fn until_connections(server: &Server, number: usize) {
    soon("the end of the connection", async {
        while server.handle.metrics().connections > number {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The packet, if it is one that a server may send, without user properties of the server's own: there are none.
pub fn from_server(packet: Packet) -> Packet {
    let properties = match &packet {
        Packet::Publish(_) | Packet::PingResp => return packet,
        Packet::ConnAck(answer) => &answer.properties,
        Packet::PubAck(answer)
        | Packet::PubRec(answer)
        | Packet::PubRel(answer)
        | Packet::PubComp(answer) => &answer.properties,
        Packet::SubAck(answer) => &answer.properties,
        Packet::UnsubAck(answer) => &answer.properties,
        Packet::Disconnect(last) => &last.properties,
        other => panic!("{other:?} from a server"),
    };
    assert_eq!(properties.get(PropertyId::UserProperty), None, "{packet:?}");
    packet
}
