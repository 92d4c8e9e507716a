//! MQTT 5 section 4.8.2: shared subscriptions. MQTT 3.1.1 clients may use them too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{
    Packet, Properties, PropertyId, SubscribeOptions, Unsubscribe, Value,
};
use rollcall_broker::{Count, Event, Limits, ProtocolVersion, QoS, ReasonCode, SendError};
use support::conformance::{lasting, number, payloads, send, subscribe_to, until_connections};
use support::{ANY, CHANGED, Client, Server, V4, V5, ack, connect};

async fn member(server: &Server, version: ProtocolVersion, id: &str, filter: &str) -> Client {
    let mut client = Client::open(server.addr, connect(version, id)).await;
    assert!(!client.subscribe(filter, ANY).await.is_error());
    client
}

#[tokio::test]
async fn v5_4_8_2_1_and_2_a_share_needs_a_group_without_wildcards_and_a_filter() {
    let server = Server::start().await;
    let mut new = Client::v5(server.addr, "new").await;
    let mut old = Client::v4(server.addr, "old").await;
    for filter in [
        "$share/g",
        "$share/g/",
        "$share//t",
        "$share//",
        "$share/+/t",
        "$share/#",
        "$share/",
    ] {
        let code = new.subscribe(filter, ANY).await;
        assert_eq!(code, ReasonCode::TopicFilterInvalid, "{filter}");
        let code = old.subscribe(filter, ANY).await;
        assert_eq!(code, ReasonCode::UnspecifiedError, "{filter}");
    }
    for filter in [
        "$share/g/t",
        "$share/g//",
        "$share/g/+/#",
        "$share/é $/t",
        "$share",
    ] {
        assert_eq!(new.subscribe(filter, ANY).await, ReasonCode::GrantedQoS2);
        assert_eq!(old.subscribe(filter, ANY).await, ReasonCode::GrantedQoS2);
    }
    server.counts(Count::SharedSubscriptionMalformed, 14).await;
    assert_eq!(server.handle.metrics().subscriptions, 10);
    // Not a filter at all, which ends a connection.
    new.send(support::subscription(1, "$share/g+/t", ANY)).await;
    new.ends_with(Some(ReasonCode::TopicFilterInvalid)).await;
}

#[tokio::test]
async fn each_message_goes_to_one_member_and_all_get_the_same_number() {
    let server = Server::start().await;
    let mut members = Vec::new();
    for (number, version) in [V4, V5, V5].into_iter().enumerate() {
        let id = format!("member-{number}");
        members.push(member(&server, version, &id, "$share/g/work/+").await);
    }
    let mut other_group = member(&server, V5, "other", "$share/h/work/a").await;
    let mut plain = member(&server, V4, "plain", "work/#").await;
    let jobs = ["0", "1", "2", "3", "4", "5", "6", "7", "8"];
    for job in jobs {
        send(&server, "work/a", job, QoS::AtMostOnce);
    }
    let mut all = Vec::new();
    for client in &mut members {
        let got = payloads(&client.until_pong().await);
        assert_eq!(got.len(), 3, "{got:?}");
        all.extend(got);
    }
    all.sort();
    assert_eq!(all, jobs);
    assert_eq!(payloads(&other_group.until_pong().await), jobs);
    assert_eq!(payloads(&plain.until_pong().await), jobs);
    // Turns go on among those who are left.
    drop(members.remove(0));
    until_connections(&server, 4).await;
    for job in ["a", "b", "c", "d"] {
        send(&server, "work/b", job, QoS::AtMostOnce);
    }
    for client in &mut members {
        assert_eq!(client.until_pong().await.len(), 2);
    }
}

#[tokio::test]
async fn v5_4_8_2_3_each_member_gets_messages_at_its_own_quality_of_service() {
    let server = Server::start().await;
    let mut members = Vec::new();
    for (number, qos) in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]
        .into_iter()
        .enumerate()
    {
        let mut client = Client::v5(server.addr, &format!("member-{number}")).await;
        let options = SubscribeOptions { qos, ..ANY };
        client.subscribe("$share/g/t", options).await;
        members.push((client, qos));
    }
    for _ in 0..2 {
        for _ in &members {
            send(&server, "t", "x", QoS::ExactlyOnce);
        }
        for (client, qos) in &mut members {
            assert_eq!(client.message().await.qos, *qos);
        }
    }
    send(&server, "t", "x", QoS::AtMostOnce);
    assert_eq!(members[0].0.message().await.qos, QoS::AtMostOnce);
    send(&server, "t", "x", QoS::AtLeastOnce);
    send(&server, "t", "x", QoS::AtLeastOnce);
    assert_eq!(members[2].0.message().await.qos, QoS::AtLeastOnce);
}

#[tokio::test]
async fn v5_3_8_3_4_no_local_on_a_share_is_a_protocol_error() {
    let server = Server::start().await;
    let mut client = Client::v5(server.addr, "a").await;
    let no_local = SubscribeOptions {
        no_local: true,
        ..ANY
    };
    client
        .send(support::subscription(1, "$share/g/t", no_local))
        .await;
    client.ends_with(Some(ReasonCode::ProtocolError)).await;
}

#[tokio::test]
async fn a_share_gets_no_retained_messages_and_keeps_the_flag_only_if_asked() {
    let server = Server::start().await;
    let retained = |payload: &'static str| {
        server
            .handle
            .publish("t", payload.into(), QoS::AtMostOnce, true)
            .unwrap();
    };
    retained("old");
    let mut client = Client::v5(server.addr, "a").await;
    client.subscribe("$share/g/t", ANY).await;
    client.subscribe("$share/g/t", ANY).await;
    assert_eq!(client.until_pong().await, []);
    retained("new");
    assert!(!client.message().await.retain);
    let as_published = SubscribeOptions {
        retain_as_published: true,
        ..ANY
    };
    client.subscribe("$share/g/t", as_published).await;
    retained("newer");
    assert!(client.message().await.retain);
}

#[tokio::test]
async fn access_is_asked_about_what_is_shared() {
    let server = Server::start().await;
    let mut client = Client::v5(server.addr, "a").await;
    for (filter, code) in [
        ("$share/g/deny/a", ReasonCode::NotAuthorized),
        ("$share/deny/fine", ReasonCode::GrantedQoS2),
        ("$share/g/low/a", ReasonCode::Success),
    ] {
        assert_eq!(client.subscribe(filter, ANY).await, code, "{filter}");
    }
    send(&server, "low/a", "x", QoS::ExactlyOnce);
    assert_eq!(client.message().await.qos, QoS::AtMostOnce);
    // And again when a session comes back.
    let mut robot = Client::open(server.addr, lasting(V4, "robot")).await;
    robot.subscribe("$share/g/once/a", ANY).await;
    let mut changed = lasting(V4, "robot");
    changed.username = Some("robot".into());
    changed.password = Some(CHANGED.into());
    let mut robot = Client::open(server.addr, changed).await;
    send(&server, "once/a", "x", QoS::AtMostOnce);
    assert_eq!(robot.until_pong().await, []);
    assert_eq!(server.handle.metrics().subscriptions, 2);
}

#[tokio::test]
async fn a_member_whose_queue_is_full_is_passed_over_and_stays() {
    let limits = Limits {
        queue_messages: 2,
        send_window: 1,
        ..Limits::default()
    };
    let server = Server::with(limits, 16).await;
    let mut slow = member(&server, V5, "slow", "$share/g/t").await;
    let mut quick = member(&server, V5, "quick", "$share/g/t").await;
    let mut done = Vec::new();
    for job in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"] {
        send(&server, "t", job, QoS::AtLeastOnce);
        slow.until_pong().await;
        let got = quick.until_pong().await;
        for packet in &got {
            let Packet::Publish(publish) = packet else {
                panic!("a publish was expected, not {packet:?}");
            };
            quick.send(Packet::PubAck(ack(publish.packet_id))).await;
        }
        done.extend(payloads(&got));
    }
    assert_eq!(done.len(), 7, "the slow one has one in flight and two wait");
    assert_eq!(slow.until_pong().await, [], "and is still there");
    let metrics = server.handle.metrics();
    assert_eq!(metrics.count(Count::MessageDropped), 0);
    assert_eq!(metrics.count(Count::QueueFull), 0);
    drop(quick);
    until_connections(&server, 1).await;
    send(&server, "t", "too much", QoS::AtLeastOnce);
    server.counts(Count::MessageDropped, 1).await;
    assert_eq!(slow.until_pong().await, []);
}

#[tokio::test]
async fn a_share_and_a_plain_subscription_bring_a_copy_each_with_its_identifier() {
    let server = Server::start().await;
    let mut client = Client::v5(server.addr, "a").await;
    for (id, filter) in [(1, "t"), (2, "$share/g/t"), (3, "$share/h/#")] {
        let identifier = number(PropertyId::SubscriptionIdentifier, id);
        subscribe_to(&mut client, 1, identifier, &[(filter, ANY)]).await;
    }
    send(&server, "t", "x", QoS::AtMostOnce);
    let mut ids = Vec::new();
    for packet in client.until_pong().await {
        let Packet::Publish(publish) = packet else {
            panic!("a publish was expected, not {packet:?}");
        };
        let found: Vec<_> = publish.properties.iter().collect();
        let [(PropertyId::SubscriptionIdentifier, Value::Number(id))] = found[..] else {
            panic!("one identifier was expected, not {found:?}");
        };
        ids.push(id);
    }
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3]);
}

#[tokio::test]
async fn leaving_a_share_ends_it_for_that_member_only() {
    let server = Server::start().await;
    let mut first = member(&server, V5, "first", "$share/g/t").await;
    let mut second = member(&server, V5, "second", "$share/g/t").await;
    for code in [ReasonCode::Success, ReasonCode::NoSubscriptionExisted] {
        first
            .send(Packet::Unsubscribe(Unsubscribe {
                packet_id: 7,
                properties: Properties::none(),
                filters: vec!["$share/g/t".into(), "t".into()],
            }))
            .await;
        let Packet::UnsubAck(answer) = first.recv().await else {
            panic!("unsuback was expected");
        };
        assert_eq!(answer.codes, [code, ReasonCode::NoSubscriptionExisted]);
    }
    for _ in 0..2 {
        send(&server, "t", "x", QoS::AtMostOnce);
        assert_eq!(second.message().await.payload, "x");
    }
    assert_eq!(first.until_pong().await, []);
    assert_eq!(server.handle.metrics().subscriptions, 1);
    drop(second);
    until_connections(&server, 1).await;
    assert_eq!(server.handle.metrics().subscriptions, 0);
}

#[tokio::test]
async fn what_is_sent_to_a_connection_reaches_it_through_a_share_as_well() {
    let mut server = Server::start().await;
    let mut robot = member(&server, V4, "robot", "$share/g/down/+").await;
    let Event::Connected { connection, .. } = server.event().await else {
        panic!("connected");
    };
    let Event::Subscribed { filter, .. } = server.event().await else {
        panic!("subscribed");
    };
    assert_eq!(filter, "$share/g/down/+");
    let send = |topic| {
        server
            .handle
            .send(connection, topic, "x".into(), QoS::AtLeastOnce)
    };
    assert_eq!(send("down/a"), Ok(()));
    assert_eq!(send("up/a"), Err(SendError::NotSubscribed));
    assert_eq!(robot.message().await.topic, "down/a");
}
