//! Sections 3.3 to 3.7 of both standards: PUBLISH and its answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{
    Ack, Packet, Properties, PropertyId as Id, RetainHandling, SubscribeOptions,
};
use rollcall_broker::{QoS, ReasonCode};
use support::conformance::{
    BOTH, EVERY_QOS, ends, number, payloads, retain, send, unacknowledged, with_number,
};
use support::{ANY, Client, Server, ack, connect, publish};

#[tokio::test]
async fn dup_is_not_passed_on_to_subscribers() {
    let server = Server::start().await;
    let mut subscriber = Client::v5(server.addr, "subscriber").await;
    subscriber.subscribe("t", ANY).await;
    for version in BOTH {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut client = Client::open(server.addr, connect(version, "publisher")).await;
            let mut again = publish("t", b"x", qos, 1);
            again.dup = true;
            client.publish(again).await;
            assert!(!subscriber.message().await.dup);
        }
    }
}

#[tokio::test]
async fn qos_3_and_dup_with_qos_0_end_the_connection() {
    let server = Server::start().await;
    for version in BOTH {
        for first in [0x36, 0x3e, 0x37, 0x38, 0x39] {
            let mut client = Client::open(server.addr, connect(version, "a")).await;
            let bytes = [&[first][..], b"\x07\0\x01t\0\x01\0x"].concat();
            client.send_bytes(&bytes).await;
            ends(&mut client, version, ReasonCode::MalformedPacket).await;
        }
    }
}

#[tokio::test]
async fn a_topic_name_with_wildcards_or_without_characters_ends_the_connection() {
    let server = Server::start().await;
    for version in BOTH {
        for (topic, code) in [
            ("a/+", ReasonCode::TopicNameInvalid),
            ("#", ReasonCode::TopicNameInvalid),
            ("a+b", ReasonCode::TopicNameInvalid),
            ("", ReasonCode::ProtocolError),
        ] {
            let mut client = Client::open(server.addr, connect(version, "a")).await;
            client
                .publish(publish(topic, b"x", QoS::AtMostOnce, 0))
                .await;
            ends(&mut client, version, code).await;
        }
    }
}

#[tokio::test]
async fn a_retained_message_is_kept_with_its_qos_until_another_or_nothing_replaces_it() {
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "publisher")).await;
        for (payload, qos, retain, expected) in [
            (
                "first",
                QoS::ExactlyOnce,
                true,
                Some(("first", QoS::AtLeastOnce)),
            ),
            (
                "not kept",
                QoS::AtMostOnce,
                false,
                Some(("first", QoS::AtLeastOnce)),
            ),
            (
                "",
                QoS::AtMostOnce,
                false,
                Some(("first", QoS::AtLeastOnce)),
            ),
            (
                "second",
                QoS::AtMostOnce,
                true,
                Some(("second", QoS::AtMostOnce)),
            ),
            ("", QoS::AtMostOnce, true, None),
        ] {
            let mut message = publish("t", payload.as_bytes(), qos, 0);
            message.retain = retain;
            if qos != QoS::AtMostOnce {
                message.packet_id = 1;
            }
            client.publish(message).await;
            client.until_pong().await;
            let mut late = Client::open(server.addr, connect(version, "late")).await;
            let options = SubscribeOptions::qos(QoS::AtLeastOnce);
            late.subscribe("t", options).await;
            let found = late.until_pong().await;
            let found = found.first().map(|packet| match packet {
                Packet::Publish(publish) => {
                    assert!(publish.retain);
                    (std::str::from_utf8(&publish.payload).unwrap(), publish.qos)
                }
                other => panic!("a publish was expected, not {other:?}"),
            });
            assert_eq!(found, expected);
        }
        assert_eq!(server.handle.metrics().retained_messages, 0);
    }
}

#[tokio::test]
async fn retained_messages_outlive_the_session_that_published_them() {
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "publisher")).await;
        let mut message = publish("t", b"kept", QoS::AtMostOnce, 0);
        message.retain = true;
        client.publish(message).await;
        client.until_pong().await;
        drop(client);
        support::conformance::until_connections(&server, 0).await;
        assert_eq!(server.handle.metrics().sessions, 0);
        let mut late = Client::open(server.addr, connect(version, "late")).await;
        late.subscribe("t", ANY).await;
        assert_eq!(late.message().await.payload, "kept");
        drop(late);
        support::conformance::until_connections(&server, 0).await;
    }
}

#[tokio::test]
async fn v5_3_3_1_9_to_11_retain_handling_says_when_retained_messages_come() {
    let server = Server::start().await;
    retain(&server, "t", "kept", QoS::AtMostOnce);
    for (retain_handling, expected) in [
        (RetainHandling::Send, [1, 1]),
        (RetainHandling::SendIfNew, [1, 0]),
        (RetainHandling::DoNotSend, [0, 0]),
    ] {
        let mut client = Client::v5(server.addr, "a").await;
        for number in expected {
            let options = SubscribeOptions {
                retain_handling,
                ..ANY
            };
            client.subscribe("t", options).await;
            assert_eq!(
                client.until_pong().await.len(),
                number,
                "{retain_handling:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_retain_flag_of_a_live_message_is_passed_on_only_to_who_asks() {
    let server = Server::start().await;
    let mut plain = Client::v5(server.addr, "plain").await;
    plain.subscribe("t", ANY).await;
    let mut old = Client::v4(server.addr, "old").await;
    old.subscribe("t", ANY).await;
    let mut asking = Client::v5(server.addr, "asking").await;
    let retain_as_published = SubscribeOptions {
        retain_as_published: true,
        ..ANY
    };
    asking.subscribe("t", retain_as_published).await;
    for flag in [true, false] {
        server
            .handle
            .publish("t", "x".into(), QoS::AtMostOnce, flag)
            .unwrap();
        assert!(!plain.message().await.retain);
        assert!(!old.message().await.retain);
        assert_eq!(asking.message().await.retain, flag);
    }
}

#[tokio::test]
async fn what_is_delivered_has_the_topic_that_was_published_and_matches_the_filter() {
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        client.subscribe("a/+/c/#", ANY).await;
        for topic in ["a/b/c", "a//c/", "a/b/c/d/e", "a/b", "b/a/c", "A/b/c"] {
            send(&server, topic, topic, QoS::AtMostOnce);
        }
        let mut found = Vec::new();
        for packet in client.until_pong().await {
            let Packet::Publish(publish) = packet else {
                panic!("a publish was expected, not {packet:?}");
            };
            assert_eq!(publish.topic.as_bytes(), &publish.payload[..]);
            found.push(publish.topic.to_string());
        }
        assert_eq!(found, ["a/b/c", "a//c/", "a/b/c/d/e"]);
    }
}

#[tokio::test]
async fn v5_3_3_2_14_a_response_topic_with_wildcards_ends_the_connection() {
    let server = Server::start().await;
    for topic in ["a/#", "+"] {
        let mut client = Client::v5(server.addr, "a").await;
        let mut message = publish("t", b"x", QoS::AtMostOnce, 0);
        let properties = Properties::builder().text(Id::ResponseTopic, topic);
        message.properties = properties.build().unwrap();
        client.publish(message).await;
        client.ends_with(Some(ReasonCode::ProtocolError)).await;
    }
}

#[tokio::test]
async fn v5_3_3_2_4_a_payload_is_passed_on_whatever_its_format_indicator_says() {
    let server = Server::start().await;
    let mut client = Client::v5(server.addr, "a").await;
    client.subscribe("t", ANY).await;
    for indicator in [0, 1] {
        let mut message = publish("t", b"\xff\xfe", QoS::AtMostOnce, 0);
        message.properties = number(Id::PayloadFormatIndicator, indicator);
        client.publish(message.clone()).await;
        let found = client.message().await;
        assert_eq!(found.properties, message.properties);
        assert_eq!(found.payload, message.payload);
    }
}

#[tokio::test]
async fn v5_3_3_2_6_an_expiry_is_passed_on_less_the_whole_seconds_waited() {
    let server = Server::start().await;
    let mut client = Client::v5(server.addr, "a").await;
    client.subscribe("t", ANY).await;
    let mut message = publish("t", b"x", QoS::AtMostOnce, 0);
    message.properties = number(Id::MessageExpiryInterval, 4_000_000_000);
    client.publish(message.clone()).await;
    let found = client.message().await.properties;
    let left = found.number(Id::MessageExpiryInterval).unwrap();
    assert!((3_999_999_800..=4_000_000_000).contains(&left), "{left}");
    let expired = server.handle.metrics();
    assert_eq!(expired.count(rollcall_broker::Count::MessageExpired), 0);
}

#[tokio::test]
async fn v5_3_3_4_6_a_subscription_identifier_from_a_client_ends_the_connection() {
    let server = Server::start().await;
    let mut client = Client::v5(server.addr, "a").await;
    let mut message = publish("t", b"x", QoS::AtMostOnce, 0);
    message.properties = number(Id::SubscriptionIdentifier, 1);
    client.publish(message).await;
    client.ends_with(Some(ReasonCode::ProtocolError)).await;
}

#[tokio::test]
async fn v5_3_4_2_2_and_3_5_2_2_reason_strings_are_left_out_where_they_do_not_fit() {
    let server = Server::start().await;
    // "nobody publishes below deny/" has 28 bytes, its packet 37.
    for (maximum, has_reason) in [(37, true), (36, false)] {
        let connect = with_number("a", Id::MaximumPacketSize, maximum);
        let mut client = Client::open(server.addr, connect).await;
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            client.publish(publish("deny/a", b"x", qos, 1)).await;
            let (Packet::PubAck(answer) | Packet::PubRec(answer)) = client.recv().await else {
                panic!("an answer was expected");
            };
            assert_eq!(answer.code, ReasonCode::NotAuthorized);
            let reason = answer.properties.text(Id::ReasonString);
            assert_eq!(reason.is_some(), has_reason);
        }
    }
}

#[tokio::test]
async fn unknown_identifiers_are_answered_and_do_no_harm() {
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        let answer = |code| Ack { code, ..ack(7) };
        let unknown = if version.is_v5() {
            answer(ReasonCode::PacketIdentifierNotFound)
        } else {
            ack(7)
        };
        client.send(Packet::PubRel(ack(7))).await;
        client.expect(Packet::PubComp(unknown.clone())).await;
        client.send(Packet::PubRec(ack(7))).await;
        client.expect(Packet::PubRel(unknown)).await;
        client.send(Packet::PubAck(ack(7))).await;
        client.send(Packet::PubComp(ack(7))).await;
        if version.is_v5() {
            client
                .send(Packet::PubRec(answer(ReasonCode::UnspecifiedError)))
                .await;
            client
                .send(Packet::PubRel(answer(ReasonCode::PacketIdentifierNotFound)))
                .await;
            let complete = answer(ReasonCode::PacketIdentifierNotFound);
            client.expect(Packet::PubComp(complete)).await;
        }
        assert_eq!(client.until_pong().await, []);
    }
}

#[tokio::test]
async fn an_answer_of_the_wrong_kind_ends_the_connection() {
    let server = Server::start().await;
    for version in BOTH {
        for (qos, answer) in [
            (QoS::AtLeastOnce, Packet::PubRec(ack(1))),
            (QoS::AtLeastOnce, Packet::PubComp(ack(1))),
            (QoS::ExactlyOnce, Packet::PubAck(ack(1))),
            (QoS::ExactlyOnce, Packet::PubComp(ack(1))),
        ] {
            let mut client = Client::open(server.addr, connect(version, "a")).await;
            client.subscribe("t", ANY).await;
            send(&server, "t", "x", qos);
            assert_eq!(unacknowledged(&mut client).await.packet_id, 1);
            client.send(answer).await;
            ends(&mut client, version, ReasonCode::ProtocolError).await;
        }
    }
}

#[tokio::test]
async fn a_reason_code_of_another_packet_ends_the_connection() {
    let server = Server::start().await;
    for (first, code) in [
        (0x40, 0x92),
        (0x50, 0x01),
        (0x62, 0x10),
        (0x70, 0x80),
        (0x40, 0x7f),
    ] {
        let mut client = Client::v5(server.addr, "a").await;
        client.send_bytes(&[first, 3, 0, 1, code]).await;
        client.ends_with(Some(ReasonCode::MalformedPacket)).await;
    }
    // MQTT 3.1.1 has none.
    let mut client = Client::v4(server.addr, "a").await;
    client.send_bytes(&[0x40, 3, 0, 1, 0]).await;
    client.ends_with(None).await;
}

#[tokio::test]
async fn every_qos_is_answered_as_it_demands() {
    let server = Server::start().await;
    let mut watcher = Client::v5(server.addr, "watcher").await;
    watcher.subscribe("t", ANY).await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        for qos in EVERY_QOS {
            let id = if qos == QoS::AtMostOnce { 0 } else { 5 };
            client.publish(publish("t", b"x", qos, id)).await;
            let expected = match qos {
                QoS::AtMostOnce => vec![],
                QoS::AtLeastOnce => vec![Packet::PubAck(ack(5))],
                QoS::ExactlyOnce => vec![Packet::PubRec(ack(5))],
            };
            assert_eq!(client.until_pong().await, expected);
            assert_eq!(payloads(&watcher.until_pong().await), ["x"]);
        }
    }
}
