//! Chapter 4 of both standards: sessions, qualities of service, repetition, order, matching and flow control.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{Ack, Packet, Properties, PropertyId as Id};
use rollcall_broker::{Count, QoS, ReasonCode};
use std::collections::BTreeMap;
use support::conformance::{
    BOTH, EVERY_QOS, lasting, number, payloads, send, subscribe_to, unacknowledged,
    until_connections, with_number,
};
use support::{ANY, Client, Server, V4, V5, ack, connect, publish};

#[tokio::test]
async fn an_identifier_whose_exchange_is_over_belongs_to_a_new_message() {
    let server = Server::start().await;
    let mut watcher = Client::v5(server.addr, "watcher").await;
    watcher.subscribe("t", ANY).await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        for dup in [false, true, true] {
            let mut message = publish("t", b"same", QoS::AtLeastOnce, 7);
            message.dup = dup;
            client.publish(message.clone()).await;
            client.expect(Packet::PubAck(ack(7))).await;
            (message.qos, message.packet_id) = (QoS::ExactlyOnce, 8);
            client.publish(message).await;
            client.expect(Packet::PubRec(ack(8))).await;
            client.send(Packet::PubRel(ack(8))).await;
            client.expect(Packet::PubComp(ack(8))).await;
        }
        assert_eq!(payloads(&watcher.until_pong().await), ["same"; 6]);
    }
}

#[tokio::test]
async fn until_pubrel_a_qos_2_publish_is_acknowledged_again_and_routed_once() {
    let server = Server::start().await;
    let mut watcher = Client::v5(server.addr, "watcher").await;
    watcher.subscribe("t", ANY).await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        let mut message = publish("t", b"once", QoS::ExactlyOnce, 7);
        for _ in 0..3 {
            client.publish(message.clone()).await;
            client.expect(Packet::PubRec(ack(7))).await;
            message.dup = true;
        }
        for code in [ReasonCode::Success, ReasonCode::PacketIdentifierNotFound] {
            client.send(Packet::PubRel(ack(7))).await;
            let mut complete = ack(7);
            if version.is_v5() {
                complete.code = code;
            }
            client.expect(Packet::PubComp(complete)).await;
        }
        assert_eq!(watcher.message().await.payload, "once");
        assert_eq!(watcher.until_pong().await, []);
    }
}

#[tokio::test]
async fn v5_4_3_3_9_after_a_refusing_pubrec_the_identifier_is_free() {
    let server = Server::start().await;
    let mut watcher = Client::v5(server.addr, "watcher").await;
    watcher.subscribe("t", ANY).await;
    let mut client = Client::v5(server.addr, "a").await;
    client
        .publish(publish("deny/t", b"x", QoS::ExactlyOnce, 7))
        .await;
    let Packet::PubRec(refusal) = client.recv().await else {
        panic!("pubrec was expected");
    };
    assert_eq!(refusal.code, ReasonCode::NotAuthorized);
    client
        .publish(publish("t", b"x", QoS::ExactlyOnce, 7))
        .await;
    client.expect(Packet::PubRec(ack(7))).await;
    assert_eq!(watcher.message().await.payload, "x");
}

#[tokio::test]
async fn what_is_unacknowledged_is_repeated_after_a_reconnect_and_only_then() {
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, lasting(version, "a")).await;
        client.subscribe("t", ANY).await;
        send(&server, "t", "1", QoS::AtLeastOnce);
        send(&server, "t", "2", QoS::ExactlyOnce);
        let first = client.until_pong().await;
        assert_eq!(payloads(&first), ["1", "2"]);
        for _ in 0..3 {
            assert_eq!(client.until_pong().await, [], "not on this connection");
        }
        let mut client = Client::open(server.addr, lasting(version, "a")).await;
        let again = client.until_pong().await;
        assert_eq!(payloads(&again), ["1", "2"]);
        for (first, again) in first.iter().zip(&again) {
            let (Packet::Publish(first), Packet::Publish(again)) = (first, again) else {
                panic!("publishes were expected");
            };
            assert_eq!((first.dup, again.dup), (false, true));
            assert_eq!(first.packet_id, again.packet_id);
        }
        // After PUBREC the message itself is not repeated.
        let Packet::Publish(second) = &again[1] else {
            panic!("a publish was expected");
        };
        client.send(Packet::PubRec(ack(second.packet_id))).await;
        client.expect(Packet::PubRel(ack(second.packet_id))).await;
        let mut client = Client::open(server.addr, lasting(version, "a")).await;
        let third = client.until_pong().await;
        assert_eq!(third.len(), 2, "{third:?}");
        assert!(third.contains(&Packet::PubRel(ack(second.packet_id))));
        Client::open(server.addr, connect(version, "a")).await;
    }
}

#[tokio::test]
async fn v5_4_4_0_2_a_message_that_the_client_refused_is_not_sent_again() {
    let server = Server::start().await;
    let mut client = Client::open(server.addr, lasting(V5, "a")).await;
    client.subscribe("t", ANY).await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        send(&server, "t", "x", qos);
        let refusal = Ack {
            code: ReasonCode::PayloadFormatInvalid,
            ..ack(unacknowledged(&mut client).await.packet_id)
        };
        let answer = match qos {
            QoS::ExactlyOnce => Packet::PubRec(refusal),
            QoS::AtMostOnce | QoS::AtLeastOnce => Packet::PubAck(refusal),
        };
        client.send(answer).await;
    }
    assert_eq!(client.until_pong().await, []);
    let (mut client, answer) = Client::try_open(server.addr, lasting(V5, "a")).await;
    assert!(answer.session_present);
    assert_eq!(client.until_pong().await, []);
}

fn pairs<'a>(topics: &'a [&str], qualities: &'a [QoS]) -> impl Iterator<Item = (&'a str, QoS)> {
    let each = |topic| qualities.iter().map(move |qos| (topic, *qos));
    topics.iter().copied().flat_map(each)
}

#[tokio::test]
async fn messages_of_one_topic_and_qos_come_in_the_order_of_their_publisher() {
    const ROUNDS: u16 = 20;
    const TOPICS: [&str; 3] = ["t/a", "t/b", "t/c"];
    let server = Server::start().await;
    for (version, is_there) in [(V4, true), (V4, false), (V5, true), (V5, false)] {
        let mut subscriber = Client::open(server.addr, lasting(version, "subscriber")).await;
        subscriber.subscribe("t/+", ANY).await;
        if !is_there {
            drop(subscriber);
            until_connections(&server, 0).await;
            subscriber = Client::raw(server.addr, version).await;
        }
        // What waits for an absent client is never QoS 0.
        let qualities = &EVERY_QOS[usize::from(!is_there)..];
        let mut publishers = Vec::new();
        for name in ["first", "second"] {
            publishers.push((
                name,
                Client::open(server.addr, connect(version, name)).await,
            ));
        }
        let mut last = 0;
        for round in 1..=ROUNDS {
            for (name, publisher) in &mut publishers {
                for (topic, qos) in pairs(&TOPICS, qualities) {
                    let payload = format!("{name} {round:02}");
                    last += 1;
                    let id = if qos == QoS::AtMostOnce { 0 } else { last };
                    publisher
                        .publish(publish(topic, payload.as_bytes(), qos, id))
                        .await;
                }
            }
        }
        for (_, publisher) in &mut publishers {
            publisher.until_pong().await;
        }
        if !is_there {
            subscriber.introduce(lasting(version, "subscriber")).await;
        }
        let each = TOPICS.len() * qualities.len();
        let mut found = BTreeMap::<_, Vec<_>>::new();
        let mut left = usize::from(ROUNDS) * publishers.len() * each;
        while left > 0 {
            let message = match subscriber.recv().await {
                Packet::Publish(message) => message,
                Packet::PubRel(released) => {
                    subscriber.send(Packet::PubComp(released)).await;
                    continue;
                }
                other => panic!("a publish was expected, not {other:?}"),
            };
            match message.qos {
                QoS::AtMostOnce => {}
                QoS::AtLeastOnce => {
                    subscriber
                        .send(Packet::PubAck(ack(message.packet_id)))
                        .await
                }
                QoS::ExactlyOnce => {
                    subscriber
                        .send(Packet::PubRec(ack(message.packet_id)))
                        .await
                }
            }
            left -= 1;
            let payload = String::from_utf8(message.payload.to_vec()).unwrap();
            let (name, round) = payload.split_once(' ').unwrap();
            let course = (name.to_owned(), message.topic.to_string(), message.qos);
            found.entry(course).or_default().push(round.to_owned());
        }
        assert_eq!(found.len(), publishers.len() * each);
        let expected: Vec<_> = (1..=ROUNDS).map(|round| format!("{round:02}")).collect();
        for (course, rounds) in found {
            assert_eq!(rounds, expected, "{course:?}");
        }
        drop((subscriber, publishers));
        until_connections(&server, 0).await;
        Client::open(server.addr, connect(version, "subscriber")).await;
    }
}

#[tokio::test]
async fn v5_4_3_3_13_a_qos_2_publish_that_has_expired_is_acknowledged_to_the_end() {
    let server = Server::start().await;
    let mut client = Client::v5(server.addr, "a").await;
    client.subscribe("t", ANY).await;
    let mut message = publish("t", b"x", QoS::ExactlyOnce, 7);
    message.properties = number(Id::MessageExpiryInterval, 0);
    for dup in [false, true] {
        message.dup = dup;
        client.publish(message.clone()).await;
        client.expect(Packet::PubRec(ack(7))).await;
    }
    client.send(Packet::PubRel(ack(7))).await;
    client.expect(Packet::PubComp(ack(7))).await;
    assert_eq!(client.until_pong().await, [], "nobody gets it");
    server.counts(Count::MessageExpired, 1).await;
}

#[tokio::test]
async fn pubrel_follows_the_order_of_pubrec() {
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        client.subscribe("t", ANY).await;
        let mut ids = Vec::new();
        for payload in ["1", "2", "3"] {
            send(&server, "t", payload, QoS::ExactlyOnce);
            ids.push(unacknowledged(&mut client).await.packet_id);
        }
        ids.swap(0, 2);
        for id in &ids {
            client.send(Packet::PubRec(ack(*id))).await;
        }
        for id in &ids {
            client.expect(Packet::PubRel(ack(*id))).await;
        }
    }
}

#[tokio::test]
async fn names_and_filters_are_compared_as_they_are() {
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        // Composed and decomposed, case, empty levels, spaces: all different.
        let names = [
            "caf\u{e9}",
            "cafe\u{301}",
            "T",
            "t",
            "/t",
            "t/",
            "t//",
            " t",
            "t ",
        ];
        for name in names {
            client.subscribe(name, ANY).await;
        }
        for name in names {
            send(&server, name, "x", QoS::AtMostOnce);
            assert_eq!(client.message().await.topic, name);
            assert_eq!(client.until_pong().await, [], "{name:?}");
        }
    }
}

#[tokio::test]
async fn names_and_filters_may_have_65535_bytes() {
    let server = Server::start().await;
    let name = "x".repeat(65_535);
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        assert_eq!(client.subscribe(&name, ANY).await, ReasonCode::GrantedQoS2);
        client
            .publish(publish(&name, b"x", QoS::AtMostOnce, 0))
            .await;
        assert_eq!(client.message().await.topic, name);
    }
}

#[tokio::test]
async fn retained_and_live_messages_of_the_servers_own_topics_need_a_filter_of_their_own() {
    let server = Server::start().await;
    server
        .handle
        .publish("$internal/x", "kept".into(), QoS::AtMostOnce, true)
        .unwrap();
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        let wild = [("#", ANY), ("+/x", ANY), ("+/#", ANY)];
        subscribe_to(&mut client, 1, Properties::none(), &wild).await;
        send(&server, "$internal/x", "live", QoS::AtMostOnce);
        assert_eq!(client.until_pong().await, []);
        client.subscribe("$internal/#", ANY).await;
        assert_eq!(payloads(&client.until_pong().await), ["kept"]);
    }
}

#[tokio::test]
async fn v5_4_9_0_the_send_quota_is_the_clients_and_comes_back_with_every_end() {
    let server = Server::start().await;
    let connect = with_number("a", Id::ReceiveMaximum, 2);
    let mut client = Client::open(server.addr, connect).await;
    client.subscribe("t", ANY).await;
    for payload in ["1", "2", "3", "4", "5", "6"] {
        send(&server, "t", payload, QoS::ExactlyOnce);
    }
    send(&server, "t", "0", QoS::AtMostOnce);
    let first = client.until_pong().await;
    assert_eq!(payloads(&first), ["1", "2"]);
    let ids = first.iter().map(|packet| match packet {
        Packet::Publish(publish) => publish.packet_id,
        other => panic!("a publish was expected, not {other:?}"),
    });
    let ids: Vec<_> = ids.collect();
    // PUBREC does not give a place back, PUBCOMP does, and so does a PUBREC that refuses.
    client.send(Packet::PubRec(ack(ids[0]))).await;
    assert_eq!(client.until_pong().await, [Packet::PubRel(ack(ids[0]))]);
    client.send(Packet::PubComp(ack(ids[0]))).await;
    assert_eq!(payloads(&client.until_pong().await), ["3"]);
    let refusal = Ack {
        code: ReasonCode::UnspecifiedError,
        ..ack(ids[1])
    };
    client.send(Packet::PubRec(refusal)).await;
    assert_eq!(payloads(&client.until_pong().await), ["4"]);
}

#[tokio::test]
async fn v5_3_1_2_25_a_message_too_large_for_a_later_connection_is_not_sent_again() {
    let server = Server::start().await;
    let mut client = Client::open(server.addr, lasting(V5, "a")).await;
    client.subscribe("t", ANY).await;
    let large = "x".repeat(200);
    for payload in ["small", &large, "last"] {
        send(&server, "t", payload, QoS::AtLeastOnce);
    }
    assert_eq!(client.until_pong().await.len(), 3);
    let mut narrow = lasting(V5, "a");
    narrow.properties = Properties::builder()
        .number(Id::SessionExpiryInterval, 900)
        .number(Id::MaximumPacketSize, 100)
        .build()
        .unwrap();
    let mut client = Client::open(server.addr, narrow).await;
    assert_eq!(payloads(&client.until_pong().await), ["small", "last"]);
    server.counts(Count::TooLargeForClient, 1).await;
    // It counts as sent, so a wide connection does not see it either.
    let mut client = Client::open(server.addr, lasting(V5, "a")).await;
    assert_eq!(payloads(&client.until_pong().await), ["small", "last"]);
    drop(client);
    until_connections(&server, 0).await;
}
