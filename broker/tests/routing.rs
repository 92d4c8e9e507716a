//! Ordinary messages between clients.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{
    Packet, PacketType, Properties, PropertyId, RetainHandling, SubscribeOptions, Unsubscribe,
    Value,
};
use rollcall_broker::{QoS, ReasonCode};
use support::{ANY, Client, Server, V4, V5, ack, connect, publish, subscription};

#[tokio::test]
async fn messages_flow_at_every_quality_of_service_between_both_versions() {
    let server = Server::start().await;
    for (from, to) in [(V4, V4), (V4, V5), (V5, V4), (V5, V5)] {
        let mut subscriber = Client::open(server.addr, connect(to, "subscriber")).await;
        subscriber.subscribe("plain/+", ANY).await;
        let mut publisher = Client::open(server.addr, connect(from, "publisher")).await;
        publisher
            .publish(publish("plain/a", b"zero", QoS::AtMostOnce, 0))
            .await;
        publisher
            .publish(publish("plain/a", b"one", QoS::AtLeastOnce, 1))
            .await;
        publisher.expect(Packet::PubAck(ack(1))).await;
        publisher
            .publish(publish("plain/a", b"two", QoS::ExactlyOnce, 2))
            .await;
        publisher.expect(Packet::PubRec(ack(2))).await;
        publisher.send(Packet::PubRel(ack(2))).await;
        publisher.expect(Packet::PubComp(ack(2))).await;
        for (payload, qos) in [
            ("zero", QoS::AtMostOnce),
            ("one", QoS::AtLeastOnce),
            ("two", QoS::ExactlyOnce),
        ] {
            let message = subscriber.message().await;
            assert_eq!(
                (&message.payload[..], message.qos),
                (payload.as_bytes(), qos)
            );
        }
    }
}

#[tokio::test]
async fn subscribe_and_publish_may_be_sent_without_waiting() {
    let server = Server::start().await;
    let mut client = Client::v4(server.addr, "fleet/eager").await;
    let mut bytes = Vec::new();
    for (id, filter) in [(1, "base/a/#"), (2, "base/b/#")] {
        subscription(id, filter, ANY)
            .encode(V4, &mut bytes)
            .unwrap();
    }
    for (id, topic) in [(3, "base/a/x"), (4, "base/b/y")] {
        Packet::Publish(publish(topic, topic.as_bytes(), QoS::ExactlyOnce, id))
            .encode(V4, &mut bytes)
            .unwrap();
    }
    Packet::PubRel(ack(3)).encode(V4, &mut bytes).unwrap();
    client.send_bytes(&bytes).await;
    let mut kinds = Vec::new();
    let mut topics = Vec::new();
    for _ in 0..7 {
        let packet = client.recv().await;
        if let Packet::Publish(publish) = &packet {
            topics.push(publish.topic.to_string());
        } else {
            kinds.push(packet.kind());
        }
    }
    assert_eq!(
        kinds,
        [
            PacketType::SubAck,
            PacketType::SubAck,
            PacketType::PubRec,
            PacketType::PubRec,
            PacketType::PubComp
        ]
    );
    assert_eq!(topics, ["base/a/x", "base/b/y"]);
}

#[tokio::test]
async fn retained_messages_come_with_a_subscription_and_go_with_an_empty_payload() {
    let server = Server::start().await;
    let mut publisher = Client::v4(server.addr, "publisher").await;
    for (topic, payload) in [
        ("r", "r"),
        ("r/a", "old"),
        ("r/a", "new"),
        ("r/b", "b"),
        ("s", "s"),
    ] {
        let mut message = publish(topic, payload.as_bytes(), QoS::AtLeastOnce, 1);
        message.retain = true;
        publisher.publish(message).await;
        publisher.expect(Packet::PubAck(ack(1))).await;
    }
    let mut subscriber = Client::v5(server.addr, "subscriber").await;
    subscriber.subscribe("r/#", ANY).await;
    let mut found = Vec::new();
    for _ in 0..3 {
        let message = subscriber.message().await;
        assert!(message.retain);
        found.push((message.topic.to_string(), message.payload));
    }
    let expected = [("r", "r"), ("r/a", "new"), ("r/b", "b")];
    assert_eq!(found, expected.map(|(t, p)| (t.to_owned(), p.into())));
    let mut clear = publish("r/a", b"", QoS::AtLeastOnce, 1);
    clear.retain = true;
    publisher.publish(clear).await;
    let live = subscriber.message().await;
    assert_eq!((live.retain, live.payload.len()), (false, 0));
    subscriber.subscribe("r/a", ANY).await;
    assert_eq!(subscriber.until_pong().await, []);
    assert_eq!(server.handle.metrics().retained_messages, 3);
}

#[tokio::test]
async fn subscription_options_of_v5_are_obeyed() {
    let server = Server::start().await;
    let mut client = Client::v5(server.addr, "client").await;
    let mut retained = publish("o", b"kept", QoS::AtMostOnce, 0);
    retained.retain = true;
    client.publish(retained.clone()).await;
    let handling = |retain_handling| SubscribeOptions {
        retain_handling,
        ..ANY
    };
    client
        .subscribe("o", handling(RetainHandling::DoNotSend))
        .await;
    client
        .subscribe("o", handling(RetainHandling::SendIfNew))
        .await;
    assert_eq!(client.until_pong().await, []);
    client
        .send(Packet::Unsubscribe(Unsubscribe {
            packet_id: 7,
            properties: Properties::none(),
            filters: vec!["o".into(), "never".into()],
        }))
        .await;
    let Packet::UnsubAck(unsuback) = client.recv().await else {
        panic!("unsuback");
    };
    assert_eq!(
        unsuback.codes,
        [ReasonCode::Success, ReasonCode::NoSubscriptionExisted]
    );
    client
        .subscribe("o", handling(RetainHandling::SendIfNew))
        .await;
    assert_eq!(client.message().await.payload, "kept");
    let own = SubscribeOptions {
        no_local: true,
        retain_handling: RetainHandling::DoNotSend,
        retain_as_published: true,
        ..ANY
    };
    client.subscribe("o", own).await;
    client.publish(retained.clone()).await;
    assert_eq!(client.until_pong().await, [], "no local");
    let mut other = Client::v5(server.addr, "other").await;
    other.publish(retained).await;
    assert!(client.message().await.retain, "retain as published");
}

#[tokio::test]
async fn a_message_that_matches_twice_comes_once_with_all_identifiers_and_the_best_qos() {
    let server = Server::start().await;
    let (low, high) = (("m/+", QoS::AtMostOnce), ("m/#", QoS::AtLeastOnce));
    for (version, filters) in [
        (V4, [low, high]),
        (V4, [high, low]),
        (V5, [low, high]),
        (V5, [high, low]),
    ] {
        let mut client = Client::open(server.addr, connect(version, "client")).await;
        let mut expected = Vec::new();
        for (id, (filter, qos)) in (1..).zip(filters) {
            let mut properties = Properties::none();
            if version.is_v5() {
                properties = support::conformance::number(PropertyId::SubscriptionIdentifier, id);
                expected.push(Value::Number(id));
            }
            let options = SubscribeOptions { qos, ..ANY };
            support::conformance::subscribe_to(&mut client, 9, properties, &[(filter, options)])
                .await;
        }
        server
            .handle
            .publish("m/a", "x".into(), QoS::ExactlyOnce, false)
            .unwrap();
        let message = client.message().await;
        assert_eq!(message.qos, QoS::AtLeastOnce);
        let mut ids: Vec<_> = message.properties.iter().map(|(_, value)| value).collect();
        ids.sort_by_key(|value| format!("{value:?}"));
        assert_eq!(ids, expected);
        assert_eq!(client.until_pong().await, []);
    }
}

#[tokio::test]
async fn properties_of_a_message_reach_v5_subscribers_and_its_expiry_shrinks() {
    let server = Server::start().await;
    let mut subscriber = Client::v5(server.addr, "new").await;
    subscriber.subscribe("p", ANY).await;
    let mut old = Client::v4(server.addr, "old").await;
    old.subscribe("p", ANY).await;
    let sent = Properties::builder()
        .number(PropertyId::PayloadFormatIndicator, 1)
        .text(PropertyId::ContentType, "text/plain")
        .text(PropertyId::ResponseTopic, "answers/1")
        .binary(PropertyId::CorrelationData, &[1, 0, 2])
        .user("a", "1")
        .user("a", "2");
    let expected = sent.build().unwrap();
    let mut message = publish("p", b"x", QoS::AtMostOnce, 0);
    message.properties = Properties::builder()
        .number(PropertyId::MessageExpiryInterval, 100)
        .append(&expected)
        .build()
        .unwrap();
    let mut publisher = Client::v5(server.addr, "publisher").await;
    publisher.publish(message.clone()).await;
    let received = subscriber.message().await.properties;
    let left = received.number(PropertyId::MessageExpiryInterval).unwrap();
    assert!((1..=100).contains(&left), "{left}");
    assert_eq!(
        received.without(&[PropertyId::MessageExpiryInterval]),
        expected
    );
    assert_eq!(old.message().await.payload, "x");
    message.properties = Properties::builder()
        .number(PropertyId::MessageExpiryInterval, 0)
        .build()
        .unwrap();
    publisher.publish(message).await;
    publisher.until_pong().await;
    assert_eq!(subscriber.until_pong().await, [], "expired at once");
}

#[tokio::test]
async fn wildcards_do_not_reach_the_servers_own_topics() {
    let server = Server::start().await;
    let mut client = Client::v5(server.addr, "client").await;
    client.subscribe("#", ANY).await;
    client.subscribe("+/x", ANY).await;
    let publish = |topic| {
        server
            .handle
            .publish(topic, "x".into(), QoS::AtMostOnce, false)
            .unwrap();
    };
    publish("$internal/x");
    assert_eq!(client.until_pong().await, []);
    client.subscribe("$internal/+", ANY).await;
    publish("$internal/x");
    assert_eq!(client.message().await.topic, "$internal/x");
}

#[tokio::test]
async fn several_listeners_share_one_broker() {
    let server = Server::start().await;
    let other = server.another_listener().await;
    let mut subscriber = Client::v4(server.addr, "subscriber").await;
    subscriber.subscribe("t", ANY).await;
    let mut publisher = Client::v5(other, "publisher").await;
    publisher
        .publish(publish("t", b"x", QoS::AtMostOnce, 0))
        .await;
    assert_eq!(subscriber.message().await.payload, "x");
}
