//! Chapters 1 and 2 of both standards: strings, numbers, flags and packet identifiers, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{Packet, Properties, PropertyId as Id, Unsubscribe};
use rollcall_broker::{Limits, ProtocolVersion, QoS, ReasonCode};
use std::collections::BTreeSet;
use support::conformance::{BOTH, encoded, ends, send, subscribe_to, unacknowledged};
use support::{ANY, Client, Server, V4, V5, ack, connect, publish, subscription, will};

/// Stands in a packet where a test puts something else.
const PLACE: &str = "ZZZ";

/// A surrogate, an overlong encoding, and U+0000.
const BAD: [[u8; 3]; 3] = [[0xed, 0xa0, 0x80], [0xc0, 0x80, b'a'], [b'a', 0, b'a']];

fn spoiled(bytes: &[u8], bad: [u8; 3]) -> Vec<u8> {
    let at = bytes
        .windows(3)
        .position(|window| window == PLACE.as_bytes())
        .expect("the place is there");
    let mut bytes = bytes.to_vec();
    bytes[at..at + 3].copy_from_slice(&bad);
    bytes
}

fn text(id: Id) -> Properties {
    Properties::builder().text(id, PLACE).build().unwrap()
}

/// CONNECTs with every string that one may have.
fn connects(version: ProtocolVersion) -> Vec<Vec<u8>> {
    let mut connects = Vec::new();
    connects.push(connect(version, PLACE));
    let mut named = connect(version, "a");
    named.username = Some(PLACE.into());
    connects.push(named);
    let mut dying = connect(version, "a");
    dying.will = Some(will(PLACE, b"x"));
    connects.push(dying);
    if version.is_v5() {
        for id in [Id::ResponseTopic, Id::ContentType] {
            let mut testament = will("t", b"x");
            testament.properties = text(id);
            let mut dying = connect(version, "a");
            dying.will = Some(testament);
            connects.push(dying);
        }
        let mut described = connect(version, "a");
        described.properties = Properties::builder().user("name", PLACE).build().unwrap();
        connects.push(described);
    }
    connects
        .into_iter()
        .map(|connect| encoded(version, &Packet::Connect(Box::new(connect))))
        .collect()
}

/// Later packets with every string that one may have.
fn others(version: ProtocolVersion) -> Vec<Vec<u8>> {
    let mut packets = vec![
        Packet::Publish(publish(PLACE, b"x", QoS::AtLeastOnce, 1)),
        subscription(1, PLACE, ANY),
        Packet::Unsubscribe(Unsubscribe {
            packet_id: 1,
            properties: Properties::none(),
            filters: vec![PLACE.into()],
        }),
    ];
    if version.is_v5() {
        let user = |name: &str, value: &str| Properties::builder().user(name, value).build();
        for properties in [
            text(Id::ResponseTopic),
            text(Id::ContentType),
            user(PLACE, "x").unwrap(),
            user("x", PLACE).unwrap(),
        ] {
            let mut described = publish("t", b"x", QoS::AtLeastOnce, 1);
            described.properties = properties;
            packets.push(Packet::Publish(described));
        }
    }
    let encode = |packet: &Packet| encoded(version, packet);
    packets.iter().map(encode).collect()
}

#[tokio::test]
async fn a_string_that_is_not_utf_8_or_holds_u_0000_ends_the_connection() {
    let server = Server::start().await;
    for version in BOTH {
        for bad in BAD {
            for bytes in connects(version) {
                let mut client = Client::raw(server.addr, version).await;
                client.send_bytes(&spoiled(&bytes, bad)).await;
                if version.is_v5() {
                    let Packet::ConnAck(answer) = client.recv().await else {
                        panic!("connack was expected");
                    };
                    assert_eq!(answer.code, ReasonCode::MalformedPacket);
                }
                // MQTT 3.1.1 wants no CONNACK (MQTT-3.1.4-1 there), and MQTT 5 nothing after it.
                client.ends_with(None).await;
            }
            for bytes in others(version) {
                let mut client = Client::open(server.addr, connect(version, "a")).await;
                client.send_bytes(&spoiled(&bytes, bad)).await;
                ends(&mut client, version, ReasonCode::MalformedPacket).await;
            }
        }
    }
}

#[tokio::test]
async fn a_byte_order_mark_belongs_to_its_string() {
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "\u{feff}a")).await;
        client.subscribe("\u{feff}t", ANY).await;
        send(&server, "t", "without", QoS::AtMostOnce);
        send(&server, "\u{feff}t", "with", QoS::AtMostOnce);
        let message = client.message().await;
        assert_eq!(
            (&*message.topic, &message.payload[..]),
            ("\u{feff}t", &b"with"[..])
        );
    }
}

#[tokio::test]
async fn reserved_flags_of_the_fixed_header_end_the_connection() {
    let server = Server::start().await;
    for version in BOTH {
        for (kind, body) in [
            (0x40, &b"\x02\0\x01"[..]),
            (0x50, b"\x02\0\x01"),
            (0x62, b"\x02\0\x01"),
            (0x70, b"\x02\0\x01"),
            (0x82, b"\x07\0\x01\0\0\x01a\0"),
            (0xa2, b"\x06\0\x01\0\0\x01a"),
            (0xc0, b"\0"),
            (0xe0, b"\0"),
            (0xf0, b"\0"),
        ] {
            for flags in (0..16).filter(|flags| *flags != kind & 0x0f) {
                let mut client = Client::open(server.addr, connect(version, "a")).await;
                let bytes = [&[kind & 0xf0 | flags], body].concat();
                client.send_bytes(&bytes).await;
                ends(&mut client, version, ReasonCode::MalformedPacket).await;
            }
        }
    }
}

#[tokio::test]
async fn packet_identifier_zero_ends_the_connection() {
    let server = Server::start().await;
    for version in BOTH {
        for packet in [
            Packet::Publish(publish("t", b"x", QoS::AtLeastOnce, 0)),
            Packet::Publish(publish("t", b"x", QoS::ExactlyOnce, 0)),
            subscription(0, "t", ANY),
            Packet::Unsubscribe(Unsubscribe {
                packet_id: 0,
                properties: Properties::none(),
                filters: vec!["t".into()],
            }),
            Packet::PubRel(ack(0)),
        ] {
            let mut client = Client::open(server.addr, connect(version, "a")).await;
            client.send(packet).await;
            ends(&mut client, version, ReasonCode::MalformedPacket).await;
        }
    }
}

#[tokio::test]
async fn an_answer_carries_the_identifier_of_its_question() {
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        for id in [1, 0x0102, 0xffff] {
            // Checks the identifier of the SUBACK itself.
            subscribe_to(&mut client, id, Properties::none(), &[("t", ANY)]).await;
            client
                .send(Packet::Unsubscribe(Unsubscribe {
                    packet_id: id,
                    properties: Properties::none(),
                    filters: vec!["t".into()],
                }))
                .await;
            let Packet::UnsubAck(answer) = client.recv().await else {
                panic!("unsuback was expected");
            };
            assert_eq!(answer.packet_id, id);
            client
                .publish(publish("u", b"x", QoS::AtLeastOnce, id))
                .await;
            client.expect(Packet::PubAck(ack(id))).await;
            client
                .publish(publish("u", b"x", QoS::ExactlyOnce, id))
                .await;
            client.expect(Packet::PubRec(ack(id))).await;
            client.send(Packet::PubRel(ack(id))).await;
            client.expect(Packet::PubComp(ack(id))).await;
        }
    }
}

#[tokio::test]
async fn the_servers_packet_identifiers_are_never_zero_and_never_in_use() {
    let limits = Limits {
        send_window: 100,
        ..Limits::default()
    };
    let server = Server::with(limits, 16).await;
    let mut client = Client::v4(server.addr, "a").await;
    client.subscribe("t", ANY).await;
    let mut held = BTreeSet::new();
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        send(&server, "t", "held", qos);
        held.insert(unacknowledged(&mut client).await.packet_id);
    }
    assert_eq!(held.len(), 2);
    // Once around.
    let mut highest = 0;
    for _ in 0..u32::from(u16::MAX) / 90 + 2 {
        let mut acks = Vec::new();
        let mut under_way = BTreeSet::new();
        for _ in 0..90 {
            send(&server, "t", "x", QoS::AtLeastOnce);
        }
        for _ in 0..90 {
            let id = unacknowledged(&mut client).await.packet_id;
            assert!(
                id != 0 && !held.contains(&id) && under_way.insert(id),
                "{id}"
            );
            highest = highest.max(id);
            acks.extend(encoded(V4, &Packet::PubAck(ack(id))));
        }
        client.send_bytes(&acks).await;
    }
    assert_eq!(highest, u16::MAX);
}

#[tokio::test]
async fn a_length_of_more_bytes_than_it_needs_ends_the_connection() {
    let server = Server::start().await;
    for version in BOTH {
        for bytes in [
            &b"\xc0\x80\x00"[..],
            b"\xc0\x80\x80\x80\x00",
            b"\xc0\xff\xff\xff\xff",
        ] {
            let mut client = Client::open(server.addr, connect(version, "a")).await;
            client.send_bytes(bytes).await;
            ends(&mut client, version, ReasonCode::MalformedPacket).await;
        }
    }
    // The same for the length of properties.
    let mut client = Client::v5(server.addr, "a").await;
    client.send_bytes(b"\x30\x06\0\x01a\x80\x00x").await;
    ends(&mut client, V5, ReasonCode::MalformedPacket).await;
}
