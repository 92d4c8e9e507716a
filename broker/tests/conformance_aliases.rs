//! MQTT 5 section 3.3.2.3.4: topic aliases, from the client and to it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{Connect, Packet, Properties, PropertyId, Publish};
use rollcall_broker::{Event, Limits, QoS, ReasonCode};
use support::{ANY, Client, Server, V5, connect, publish};

fn aliased(topic: &str, alias: u32, payload: &[u8]) -> Publish {
    let mut publish = publish(topic, payload, QoS::AtMostOnce, 0);
    publish.properties = Properties::builder()
        .number(PropertyId::TopicAlias, alias)
        .build()
        .unwrap();
    publish
}

/// A CONNECT of a client that takes this many aliases, and whose session lasts.
fn taking(id: &str, aliases: u32) -> Connect {
    let mut connect = connect(V5, id);
    connect.clean_start = false;
    connect.properties = Properties::builder()
        .number(PropertyId::TopicAliasMaximum, aliases)
        .number(PropertyId::SessionExpiryInterval, 1_000)
        .build()
        .unwrap();
    connect
}

fn alias(publish: &Publish) -> Option<u32> {
    publish.properties.number(PropertyId::TopicAlias)
}

async fn topic_and_alias(client: &mut Client) -> (String, Option<u32>) {
    let publish = client.message().await;
    (publish.topic.to_string(), alias(&publish))
}

fn send(server: &Server, topic: &str, qos: QoS) {
    server
        .handle
        .publish(topic, "x".into(), qos, false)
        .unwrap();
}

#[tokio::test]
async fn v5_3_3_2_12_the_servers_maximum_is_announced_and_every_alias_up_to_it_is_taken() {
    let server = Server::start().await;
    let (mut client, connack) = Client::try_open(server.addr, connect(V5, "a")).await;
    let maximum = connack.properties.number(PropertyId::TopicAliasMaximum);
    assert_eq!(maximum, Some(16));
    let mut watcher = Client::v5(server.addr, "watcher").await;
    watcher.subscribe("#", ANY).await;
    for number in 1..=16 {
        let topic = format!("topic/{number}");
        client.publish(aliased(&topic, number, b"x")).await;
    }
    for number in (1..=16).rev() {
        client.publish(aliased("", number, b"x")).await;
    }
    for number in (1..=16).chain((1..=16).rev()) {
        let (topic, alias) = topic_and_alias(&mut watcher).await;
        assert_eq!(topic, format!("topic/{number}"));
        assert_eq!(alias, None, "an alias is between two, not for all");
    }
}

#[tokio::test]
async fn v5_3_3_2_8_and_9_an_alias_of_zero_or_above_the_maximum_ends_the_connection() {
    for (maximum, number) in [(16, 0), (16, 17), (16, 65_535), (0, 1)] {
        let limits = Limits {
            topic_alias_maximum: maximum,
            ..Limits::default()
        };
        let server = Server::with(limits, 16).await;
        for topic in ["t", ""] {
            let (mut client, connack) = Client::try_open(server.addr, connect(V5, "a")).await;
            let announced = connack.properties.number(PropertyId::TopicAliasMaximum);
            assert_eq!(announced, Some(u32::from(maximum)));
            client.publish(aliased(topic, number, b"x")).await;
            client.ends_with(Some(ReasonCode::TopicAliasInvalid)).await;
        }
    }
}

#[tokio::test]
async fn an_unknown_alias_and_an_empty_topic_without_one_are_protocol_errors() {
    let server = Server::start().await;
    let mut client = Client::v5(server.addr, "a").await;
    client.publish(aliased("t", 1, b"x")).await;
    client.publish(aliased("", 2, b"x")).await;
    client.ends_with(Some(ReasonCode::ProtocolError)).await;
    let mut client = Client::v5(server.addr, "a").await;
    client.publish(publish("", b"x", QoS::AtMostOnce, 0)).await;
    client.ends_with(Some(ReasonCode::ProtocolError)).await;
}

#[tokio::test]
async fn v5_3_3_2_7_and_10_aliases_die_with_their_connection_even_if_the_session_lives() {
    let server = Server::start().await;
    let mut client = Client::open(server.addr, taking("a", 0)).await;
    client.publish(aliased("t", 1, b"x")).await;
    client.until_pong().await;
    let (mut client, connack) = Client::try_open(server.addr, taking("a", 0)).await;
    assert!(connack.session_present);
    client.publish(aliased("", 1, b"x")).await;
    client.ends_with(Some(ReasonCode::ProtocolError)).await;
}

#[tokio::test]
async fn an_alias_may_be_set_anew_and_is_set_even_by_a_publish_that_is_denied() {
    let mut server = Server::start().await;
    let mut robot = Client::v5(server.addr, "robot").await;
    server.event().await;
    for (topic, expected) in [
        ("intake/a", "intake/a"),
        ("", "intake/a"),
        ("intake/b", "intake/b"),
        ("intake/b", "intake/b"),
        ("", "intake/b"),
    ] {
        robot.publish(aliased(topic, 3, b"x")).await;
        let Event::Publish { topic, .. } = server.event().await else {
            panic!("a publish");
        };
        assert_eq!(topic, expected);
    }
    let mut denied = aliased("deny/a", 3, b"x");
    (denied.qos, denied.packet_id) = (QoS::AtLeastOnce, 1);
    let mut again = aliased("", 3, b"x");
    (again.qos, again.packet_id) = (QoS::AtLeastOnce, 2);
    for (publish, id) in [(denied, 1), (again, 2)] {
        robot.publish(publish).await;
        let Packet::PubAck(answer) = robot.recv().await else {
            panic!("a puback");
        };
        let expected = (id, ReasonCode::NotAuthorized);
        assert_eq!(
            (answer.packet_id, answer.code),
            expected,
            "judged by its topic"
        );
    }
}

#[tokio::test]
async fn a_repeated_qos_2_publish_is_recognised_by_the_topic_behind_its_alias() {
    let mut server = Server::start().await;
    let mut robot = Client::v5(server.addr, "robot").await;
    server.event().await;
    let mut first = aliased("intake/a", 1, b"x");
    (first.qos, first.packet_id) = (QoS::ExactlyOnce, 1);
    let mut again = aliased("", 1, b"x");
    (again.qos, again.packet_id, again.dup) = (QoS::ExactlyOnce, 1, true);
    robot.publish(first).await;
    server.publish().await;
    robot.publish(again).await;
    robot.publish(aliased("", 1, b"marker")).await;
    assert_eq!(server.publish().await.1, "marker", "nothing in between");
}

#[tokio::test]
async fn the_bytes_behind_a_clients_aliases_are_bounded() {
    let limits = Limits {
        topic_alias_bytes: 100,
        ..Limits::default()
    };
    let server = Server::with(limits, 16).await;
    let long = "x".repeat(50);
    let mut client = Client::v5(server.addr, "a").await;
    for _ in 0..10 {
        client.publish(aliased(&long, 1, b"x")).await;
        client.publish(aliased("short", 1, b"x")).await;
        client.publish(aliased(&long, 2, b"x")).await;
    }
    assert_eq!(client.until_pong().await, [], "what is replaced is free");
    client.publish(aliased(&long, 3, b"x")).await;
    client.ends_with(Some(ReasonCode::QuotaExceeded)).await;
}

#[tokio::test]
async fn v5_3_1_2_26_and_27_a_client_gets_no_more_aliases_than_it_takes() {
    let server = Server::start().await;
    for maximum in [0, 1, 2, 65_535] {
        let mut client = Client::open(server.addr, taking("a", maximum)).await;
        client.subscribe("topic/#", ANY).await;
        let mut most = 0;
        for _ in 0..4 {
            for number in 0..3 {
                let topic = format!("topic/{number}");
                send(&server, &topic, QoS::AtMostOnce);
                let (_, alias) = topic_and_alias(&mut client).await;
                assert_ne!(alias, Some(0));
                most = most.max(alias.unwrap_or(0));
            }
        }
        assert!(most <= maximum, "{most} of {maximum}");
        assert_eq!(most > 0, maximum >= 3, "three topics in turn need three");
    }
    let mut plain = Client::v5(server.addr, "plain").await;
    plain.subscribe("topic/#", ANY).await;
    for _ in 0..5 {
        send(&server, "topic/a", QoS::AtMostOnce);
        let expected = ("topic/a".into(), None);
        assert_eq!(
            topic_and_alias(&mut plain).await,
            expected,
            "it said nothing"
        );
    }
}

#[tokio::test]
async fn a_topic_gets_an_alias_when_it_comes_again_and_only_if_that_saves_bytes() {
    let server = Server::start().await;
    let mut client = Client::open(server.addr, taking("a", 10)).await;
    client.subscribe("#", ANY).await;
    for (topic, name, alias) in [
        ("topic", "topic", None),
        ("abc", "abc", None),
        ("topic", "topic", Some(1)),
        ("abc", "abc", None),
        ("topic", "", Some(1)),
        ("abc", "abc", None),
        ("other", "other", None),
        ("other", "other", Some(2)),
        ("topic", "", Some(1)),
        ("other", "", Some(2)),
    ] {
        send(&server, topic, QoS::AtLeastOnce);
        assert_eq!(topic_and_alias(&mut client).await, (name.into(), alias));
    }
}

#[tokio::test]
async fn a_message_that_is_sent_again_on_another_connection_carries_its_whole_topic() {
    let server = Server::start().await;
    let mut client = Client::open(server.addr, taking("a", 10)).await;
    client.subscribe("topic", ANY).await;
    for _ in 0..3 {
        send(&server, "topic", QoS::AtLeastOnce);
    }
    let sent = client.until_pong().await;
    assert!(
        matches!(&sent[..], [_, _, Packet::Publish(last)] if last.topic.is_empty()),
        "{sent:?}"
    );
    let mut client = Client::open(server.addr, taking("a", 10)).await;
    for _ in 0..3 {
        let again = client.message().await;
        assert!(again.dup);
        assert_eq!((&*again.topic, alias(&again)), ("topic", None));
    }
    send(&server, "topic", QoS::AtLeastOnce);
    let expected = ("topic".into(), None);
    assert_eq!(topic_and_alias(&mut client).await, expected, "counted anew");
}

#[tokio::test]
async fn an_alias_never_makes_a_packet_too_large_for_the_client() {
    let server = Server::start().await;
    let mut small = connect(V5, "small");
    small.properties = Properties::builder()
        .number(PropertyId::TopicAliasMaximum, 10)
        .number(PropertyId::MaximumPacketSize, 60)
        .build()
        .unwrap();
    let mut small = Client::open(server.addr, small).await;
    small.subscribe("topic", ANY).await;
    // Without alias a packet has ten bytes beside its payload.
    for (length, name, alias) in [
        (50, "topic", None),
        (50, "topic", None),
        (45, "topic", None),
        (45, "topic", Some(1)),
        (50, "", Some(1)),
    ] {
        let payload = vec![b'x'; length];
        server
            .handle
            .publish("topic", payload.into(), QoS::AtMostOnce, false)
            .unwrap();
        let expected = (name.into(), alias);
        assert_eq!(topic_and_alias(&mut small).await, expected, "{length}");
    }
}
