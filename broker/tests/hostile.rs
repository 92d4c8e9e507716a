//! What has killed or blocked other brokers must not even be noticed by the next client.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{Packet, PropertyId};
use rollcall_broker::{Count, Limits, QoS, ReasonCode};
use std::time::Duration;
use support::{ANY, Client, Server, V4, V5, ack, connect, publish};

/// Proves that the broker still routes: two new clients exchange a message.
async fn assert_serves(server: &Server) {
    let mut subscriber = Client::v5(server.addr, "proof-subscriber").await;
    subscriber.subscribe("proof", ANY).await;
    let mut publisher = Client::v4(server.addr, "proof-publisher").await;
    publisher
        .publish(publish("proof", b"alive", QoS::AtLeastOnce, 1))
        .await;
    publisher.expect(Packet::PubAck(ack(1))).await;
    assert_eq!(subscriber.message().await.payload, "alive");
}

#[tokio::test]
async fn a_topic_that_begins_with_a_non_ascii_character_is_routed() {
    let server = Server::start().await;
    let mut client = Client::v4(server.addr, "a").await;
    client.subscribe("éü/+", ANY).await;
    client
        .publish(publish("éü/日", b"x", QoS::AtMostOnce, 0))
        .await;
    assert_eq!(client.message().await.topic, "éü/日");
    assert_serves(&server).await;
}

#[tokio::test]
async fn client_ids_with_a_slash_are_accepted_again_and_again() {
    let server = Server::start().await;
    for _ in 0..3 {
        Client::v4(server.addr, "fleet/2TBn-jNESuuHamE2Zo1anA").await;
    }
    assert_serves(&server).await;
}

#[tokio::test]
async fn a_reset_right_after_connect_kills_nothing() {
    let server = Server::start().await;
    for round in 0..20 {
        let mut client = Client::raw(server.addr, V4).await;
        client
            .send(Packet::Connect(Box::new(connect(V4, "fleeting"))))
            .await;
        if round % 2 == 0 {
            client.recv().await;
        }
        client.stream.set_zero_linger().unwrap();
    }
    assert_serves(&server).await;
}

#[tokio::test]
async fn silent_and_half_finished_connections_delay_nobody_and_are_closed() {
    let limits = Limits {
        connect_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = Server::with(limits, 16).await;
    let mut stuck = Vec::new();
    for beginning in [&b""[..], b"\x10", b"\x10\xff\xff\x03\0\x04MQ"] {
        for _ in 0..20 {
            let mut client = Client::raw(server.addr, V4).await;
            client.send_bytes(beginning).await;
            stuck.push(client);
        }
    }
    assert_serves(&server).await;
    for client in &mut stuck {
        client.ends_with(None).await;
    }
    let metrics = server.handle.metrics();
    let timed_out = metrics.count(Count::ConnectTimeout);
    let too_large = metrics.count(Count::ConnectMalformed);
    assert_eq!((timed_out, too_large, metrics.handshaking), (60, 0, 0));
}

#[tokio::test]
async fn half_a_packet_for_ever_delays_nobody() {
    let server = Server::start().await;
    let mut half = Client::v4(server.addr, "half").await;
    half.send_bytes(b"\x30\x80\x80\x03\0\x05abc").await;
    assert_serves(&server).await;
    assert_eq!(server.handle.metrics().connections, 1 + 2);
}

#[tokio::test]
async fn what_is_no_connect_is_closed_without_an_answer() {
    let server = Server::start().await;
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\xc0\x00",
        b"\x10\x0d\0\x04HTTP\x04\x02\0\0\0\x01a",
        b"\x10\x0d\0\x04MQTT\x04\x03\0\0\0\x01a",
        b"\x00\x00",
    ] {
        let mut client = Client::raw(server.addr, V4).await;
        client.send_bytes(bytes).await;
        client.ends_with(None).await;
    }
    assert_eq!(server.handle.metrics().count(Count::ConnectMalformed), 6);
    assert_serves(&server).await;
}

#[tokio::test]
async fn other_protocol_levels_hear_that_the_level_is_the_problem() {
    let server = Server::start().await;
    let mut old = Client::raw(server.addr, V4).await;
    old.send_bytes(b"\x10\x0f\0\x06MQIsdp\x03\x02\0\0\0\x01a")
        .await;
    let Packet::ConnAck(connack) = old.recv().await else {
        panic!("a connack");
    };
    assert_eq!(connack.code, ReasonCode::UnsupportedProtocolVersion);
    let mut new = Client::raw(server.addr, V5).await;
    new.send_bytes(b"\x10\x0e\0\x04MQTT\x06\x02\0\0\0\0\x01a")
        .await;
    let Packet::ConnAck(connack) = new.recv().await else {
        panic!("a connack");
    };
    assert_eq!(connack.code, ReasonCode::UnsupportedProtocolVersion);
}

#[tokio::test]
async fn malformed_packets_end_the_connection_with_their_reason() {
    let server = Server::start().await;
    for (bytes, code) in [
        (&b"\x30\x04\0\x01#\0"[..], ReasonCode::TopicNameInvalid),
        (b"\x30\x04\0\x01\0\0", ReasonCode::MalformedPacket),
        (b"\x38\x04\0\x01a\0", ReasonCode::MalformedPacket),
        (b"\x32\x06\0\x01a\0\0\0", ReasonCode::MalformedPacket),
        (b"\xc0\x80\x00", ReasonCode::MalformedPacket),
        (b"\x30\xff\xff\xff\x7f", ReasonCode::PacketTooLarge),
        (b"\x30\x06\0\0\x03\x23\0\x00", ReasonCode::TopicAliasInvalid),
        (b"\x30\x06\0\0\x03\x23\0\x01", ReasonCode::ProtocolError),
        (b"\x30\x06\0\x01a\x02\x0b\x01", ReasonCode::ProtocolError),
        (b"\x82\x07\0\x01\0\0\x01#\x03", ReasonCode::MalformedPacket),
        (
            b"\x82\x08\0\x01\0\0\x02a#\0",
            ReasonCode::TopicFilterInvalid,
        ),
        (b"\x20\x03\0\0\0", ReasonCode::ProtocolError),
        (b"\xf0\x00", ReasonCode::ProtocolError),
        (
            b"\x10\x0e\0\x04MQTT\x05\x02\0\0\0\0\x01a",
            ReasonCode::ProtocolError,
        ),
    ] {
        let mut client = Client::v5(server.addr, "bad").await;
        client.send_bytes(bytes).await;
        client.ends_with(Some(code)).await;
        let mut client = Client::v4(server.addr, "bad").await;
        client.send_bytes(&bytes[..2]).await;
        client.send_bytes(&bytes[2..]).await;
        drop(client);
    }
    assert_serves(&server).await;
}

#[tokio::test]
async fn qos_2_releases_the_message_that_was_named() {
    let server = Server::start().await;
    let mut subscriber = Client::v4(server.addr, "subscriber").await;
    subscriber.subscribe("q2", ANY).await;
    let mut publisher = Client::v4(server.addr, "publisher").await;
    for id in [1, 2, 3] {
        let payload = [b'0' + u8::try_from(id).unwrap()];
        publisher
            .publish(publish("q2", &payload, QoS::ExactlyOnce, id))
            .await;
        publisher.expect(Packet::PubRec(ack(id))).await;
    }
    for id in [3, 1, 2] {
        publisher.send(Packet::PubRel(ack(id))).await;
        publisher.expect(Packet::PubComp(ack(id))).await;
    }
    let mut ids = Vec::new();
    for payload in ["1", "2", "3"] {
        let Packet::Publish(message) = subscriber.recv().await else {
            panic!("a publish");
        };
        assert_eq!(message.payload, payload);
        ids.push(message.packet_id);
    }
    for id in ids.iter().rev() {
        subscriber.send(Packet::PubRec(ack(*id))).await;
        subscriber.expect(Packet::PubRel(ack(*id))).await;
    }
    for id in ids {
        subscriber.send(Packet::PubComp(ack(id))).await;
    }
    assert_eq!(subscriber.until_pong().await, [], "each came once");
}

#[tokio::test]
async fn a_reader_that_lags_is_disconnected_and_counted_and_delays_nobody() {
    let limits = Limits {
        queue_messages: 50,
        send_buffer: 16 * 1024,
        ..Limits::default()
    };
    let server = Server::with(limits, 16).await;
    let mut lagging = Client::v5(server.addr, "lagging").await;
    lagging.subscribe("flood", ANY).await;
    let mut keen = Client::v5(server.addr, "keen").await;
    keen.subscribe("flood", ANY).await;
    let mut publisher = Client::v4(server.addr, "publisher").await;
    let payload = vec![7; 60_000];
    let mut sent = 0;
    while server.handle.metrics().count(Count::QueueFull) == 0 {
        sent += 1;
        publisher
            .publish(publish("flood", &payload, QoS::AtMostOnce, 0))
            .await;
        assert_eq!(keen.message().await.payload.len(), payload.len());
        assert!(sent < 10_000, "the queue is bounded");
    }
    let metrics = server.handle.metrics();
    assert!(metrics.count(Count::MessageDropped) >= 1);
    assert_serves(&server).await;
}

#[tokio::test]
async fn both_versions_hear_how_a_publish_was_denied() {
    let server = Server::start().await;
    let mut client = Client::v5(server.addr, "client").await;
    for topic in ["deny/a", "$SYS/a"] {
        client
            .publish(publish(topic, b"x", QoS::AtLeastOnce, 1))
            .await;
        let Packet::PubAck(refused) = client.recv().await else {
            panic!("a puback");
        };
        assert_eq!(refused.code, ReasonCode::NotAuthorized);
        assert!(refused.properties.text(PropertyId::ReasonString).is_some());
    }
    for _ in 0..2 {
        client
            .publish(publish("deny/a", b"x", QoS::ExactlyOnce, 2))
            .await;
        let Packet::PubRec(refused) = client.recv().await else {
            panic!("a pubrec");
        };
        assert_eq!(refused.code, ReasonCode::NotAuthorized);
    }
    client
        .publish(publish("deny/a", b"x", QoS::AtMostOnce, 0))
        .await;
    assert_eq!(client.until_pong().await, []);

    let mut plain = Client::v4(server.addr, "plain").await;
    plain.subscribe("#", ANY).await;
    plain
        .publish(publish("deny/a", b"x", QoS::AtLeastOnce, 1))
        .await;
    plain.expect(Packet::PubAck(ack(1))).await;
    assert_eq!(plain.until_pong().await, [], "acknowledged, not routed");

    let mut robot = Client::v4(server.addr, "robot").await;
    robot
        .publish(publish("deny/a", b"x", QoS::AtLeastOnce, 1))
        .await;
    robot.ends_with(None).await;
    assert_eq!(server.handle.metrics().count(Count::PublishDenied), 7);
}

#[tokio::test]
async fn denied_subscriptions_are_answered_one_by_one() {
    let server = Server::start().await;
    let mut new = Client::v5(server.addr, "new").await;
    let mut old = Client::v4(server.addr, "old").await;
    for (filter, code_v5, granted) in [
        ("deny/a", ReasonCode::NotAuthorized, false),
        ("low/a", ReasonCode::Success, true),
        ("$share/g/deny/a", ReasonCode::NotAuthorized, false),
        ("fine/a", ReasonCode::GrantedQoS2, true),
    ] {
        assert_eq!(new.subscribe(filter, ANY).await, code_v5);
        let expected = if granted {
            code_v5
        } else {
            ReasonCode::UnspecifiedError
        };
        assert_eq!(old.subscribe(filter, ANY).await, expected);
    }
    assert_eq!(server.handle.metrics().count(Count::SubscribeDenied), 4);
}
