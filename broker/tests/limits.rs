//! Every bound: crossing it gives a typed, counted refusal, and a slow owner or client holds up nobody else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use rollcall_broker::codec::{Packet, Properties, PropertyId, Subscribe, Subscription};
use rollcall_broker::{Count, Event, Limits, QoS, ReasonCode, SendError, Verdict};
use support::{ANY, Client, Server, V4, V5, ack, connect, publish, soon};

async fn with(change: impl FnOnce(&mut Limits)) -> Server {
    let mut limits = Limits::default();
    change(&mut limits);
    Server::with(limits, 1_024).await
}

#[tokio::test]
async fn a_packet_above_the_maximum_ends_the_connection() {
    let server = with(|limits| limits.max_packet_size = 1_000).await;
    let mut client = Client::v5(server.addr, "a").await;
    let fits = publish("t", &[1; 996], QoS::AtMostOnce, 0);
    client.publish(fits).await;
    assert_eq!(client.until_pong().await, []);
    client
        .publish(publish("t", &[1; 997], QoS::AtMostOnce, 0))
        .await;
    client.ends_with(Some(ReasonCode::PacketTooLarge)).await;
    server.counts(Count::PacketTooLarge, 1).await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let server = with(|limits| limits.max_connections = 1).await;
    let _first = Client::v4(server.addr, "a").await;
    for (version, code) in [
        (V4, ReasonCode::ServerUnavailable),
        (V5, ReasonCode::ServerBusy),
    ] {
        let (_, connack) = Client::try_open(server.addr, connect(version, "b")).await;
        assert_eq!(connack.code, code);
    }
    server.counts(Count::ConnectionLimit, 2).await;
}

#[tokio::test]
async fn one_silent_connection_too_many_is_closed_at_once() {
    let server = with(|limits| limits.max_handshaking = 3).await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(Client::raw(server.addr, V4).await);
    }
    soon("three handshakes", async {
        while server.handle.metrics().handshaking < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    Client::raw(server.addr, V4).await.ends_with(None).await;
    server.counts(Count::HandshakeLimit, 1).await;
    drop(silent);
    server.counts(Count::ConnectAbandoned, 3).await;
    Client::v4(server.addr, "a").await;
}

#[tokio::test]
async fn strangers_at_one_listener_keep_nobody_from_another() {
    let server = with(|limits| limits.max_handshaking = 1).await;
    let other = server.another_listener().await;
    let silent = Client::raw(server.addr, V4).await;
    soon("a handshake", async {
        while server.handle.metrics().handshaking < 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    Client::v4(other, "a").await;
    Client::raw(server.addr, V4).await.ends_with(None).await;
    server.counts(Count::HandshakeLimit, 1).await;
    drop(silent);
}

#[tokio::test]
async fn one_session_too_many_is_told_so() {
    let server = with(|limits| limits.max_sessions = 1).await;
    let _first = Client::v4(server.addr, "a").await;
    let (_, connack) = Client::try_open(server.addr, connect(V5, "b")).await;
    assert_eq!(connack.code, ReasonCode::QuotaExceeded);
    server.counts(Count::SessionLimit, 1).await;
}

#[tokio::test]
async fn a_client_id_too_long_is_told_so() {
    let server = with(|limits| limits.max_client_id = 8).await;
    let (_, connack) = Client::try_open(server.addr, connect(V5, "123456789")).await;
    assert_eq!(connack.code, ReasonCode::ClientIdentifierNotValid);
    server.counts(Count::ClientIdRefused, 1).await;
}

#[tokio::test]
async fn one_subscription_too_many_is_refused_and_the_others_stay() {
    let server = with(|limits| limits.max_subscriptions = 2).await;
    let mut client = Client::v5(server.addr, "a").await;
    client.subscribe("a", ANY).await;
    client.subscribe("b", ANY).await;
    assert_eq!(client.subscribe("c", ANY).await, ReasonCode::QuotaExceeded);
    assert_eq!(client.subscribe("b", ANY).await, ReasonCode::GrantedQoS2);
    server.counts(Count::SubscriptionLimit, 1).await;
    assert_eq!(server.handle.metrics().subscriptions, 2);
}

#[tokio::test]
async fn topics_and_filters_may_have_only_so_many_levels() {
    let server = with(|limits| limits.max_topic_levels = 3).await;
    let mut client = Client::v5(server.addr, "a").await;
    assert_eq!(
        client.subscribe("a/b/c", ANY).await,
        ReasonCode::GrantedQoS2
    );
    assert_eq!(
        client.subscribe("a/b/c/d", ANY).await,
        ReasonCode::TopicFilterInvalid
    );
    client
        .publish(publish("a/b/c/d", b"x", QoS::AtMostOnce, 0))
        .await;
    client.ends_with(Some(ReasonCode::TopicNameInvalid)).await;
}

#[tokio::test]
async fn more_unfinished_publishes_than_announced_end_the_connection() {
    let server = with(|limits| {
        limits.receive_maximum = 2;
        limits.intake_window = 10;
    })
    .await;
    let mut client = Client::v5(server.addr, "a").await;
    for id in [1, 2] {
        client
            .publish(publish("t", b"x", QoS::ExactlyOnce, id))
            .await;
        client.expect(Packet::PubRec(ack(id))).await;
    }
    client.send(Packet::PubRel(ack(1))).await;
    client.expect(Packet::PubComp(ack(1))).await;
    client
        .publish(publish("t", b"x", QoS::ExactlyOnce, 3))
        .await;
    client.expect(Packet::PubRec(ack(3))).await;
    client
        .publish(publish("t", b"x", QoS::AtLeastOnce, 4))
        .await;
    client
        .ends_with(Some(ReasonCode::ReceiveMaximumExceeded))
        .await;
    server.counts(Count::ReceiveMaximumExceeded, 1).await;
}

#[tokio::test]
async fn retained_messages_stay_within_their_limits() {
    let server = with(|limits| limits.max_retained_messages = 2).await;
    for topic in ["a", "b", "c", "a"] {
        server
            .handle
            .publish(topic, Bytes::from_static(b"x"), QoS::AtMostOnce, true)
            .unwrap();
    }
    assert_eq!(server.handle.metrics().retained_messages, 2);
    server.counts(Count::RetainedLimit, 1).await;
}

#[tokio::test]
async fn an_absent_clients_queue_is_bounded() {
    let mut server = with(|limits| limits.queue_messages = 3).await;
    let mut connect = connect(V4, "robot");
    connect.clean_start = false;
    let mut client = Client::open(server.addr, connect.clone()).await;
    client.subscribe("t", ANY).await;
    drop(client);
    while !matches!(server.event().await, Event::Disconnected { .. }) {}
    // The event comes before the session is put away.
    soon("the end of the connection", async {
        while server.handle.metrics().connections > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for payload in ["1", "2", "3", "4", "5"] {
        server
            .handle
            .publish("t", payload.into(), QoS::AtLeastOnce, false)
            .unwrap();
    }
    server.counts(Count::MessageDropped, 2).await;
    let mut client = Client::open(server.addr, connect).await;
    for payload in ["1", "2", "3"] {
        assert_eq!(client.message().await.payload, payload);
    }
}

#[tokio::test]
async fn a_client_gets_no_more_than_its_receive_maximum_and_maximum_packet_size() {
    let server = with(|_| {}).await;
    let mut modest = connect(V5, "modest");
    modest.properties = Properties::builder()
        .number(PropertyId::ReceiveMaximum, 2)
        .number(PropertyId::MaximumPacketSize, 100)
        .build()
        .unwrap();
    let mut modest = Client::open(server.addr, modest).await;
    modest.subscribe("t", ANY).await;
    let send = |payload: &'static [u8]| {
        server
            .handle
            .publish("t", Bytes::from_static(payload), QoS::AtLeastOnce, false)
            .unwrap();
    };
    send(&[0; 200]);
    for payload in [b"1", b"2", b"3"] {
        send(payload);
    }
    let first = modest.until_pong().await;
    assert_eq!(first.len(), 2, "{first:?}");
    let Packet::Publish(publish) = &first[0] else {
        panic!("a publish");
    };
    assert_eq!(publish.payload, "1");
    modest.send(Packet::PubAck(ack(publish.packet_id))).await;
    assert_eq!(modest.message().await.payload, "3");
    server.counts(Count::TooLargeForClient, 1).await;
}

#[tokio::test]
async fn a_full_intake_window_stops_one_robot_and_no_other() {
    let mut server = with(|limits| limits.intake_window = 4).await;
    let mut busy = connect(V4, "robot-busy");
    busy.keep_alive = 1;
    let mut busy = Client::open(server.addr, busy).await;
    server.event().await;
    let mut tickets = Vec::new();
    for id in 1..=10 {
        busy.publish(publish("intake/a", b"x", QoS::AtLeastOnce, id))
            .await;
    }
    for _ in 0..4 {
        tickets.push(server.publish().await.0);
    }
    let mut other = Client::v4(server.addr, "robot-other").await;
    assert!(matches!(server.event().await, Event::Connected { .. }));
    other
        .publish(publish("intake/a", b"other", QoS::AtLeastOnce, 1))
        .await;
    let (ticket, payload) = server.publish().await;
    assert_eq!(
        payload, "other",
        "nothing of the busy robot comes in between"
    );
    server.accept(ticket);
    other.expect(Packet::PubAck(ack(1))).await;
    // Meanwhile the busy robot's keep-alive runs out, but it is the broker that does not read.
    let mut silent = connect(V4, "silent");
    silent.keep_alive = 2;
    let mut silent = Client::open(server.addr, silent).await;
    silent.ends_with(None).await;
    for ticket in tickets {
        server.accept(ticket);
    }
    for id in 1..=10 {
        if id > 4 {
            let (ticket, _) = server.publish().await;
            server.accept(ticket);
        }
        busy.expect(Packet::PubAck(ack(id))).await;
    }
}

#[tokio::test]
async fn a_full_event_channel_stops_reading_but_not_acknowledging_or_routing() {
    let mut server = Server::with(Limits::default(), 2).await;
    let mut robot = Client::v5(server.addr, "robot").await;
    server.event().await;
    robot
        .publish(publish("intake/a", b"1", QoS::AtLeastOnce, 1))
        .await;
    let (first, _) = server.publish().await;
    for id in 2..=6 {
        robot
            .publish(publish("intake/a", b"x", QoS::AtLeastOnce, id))
            .await;
    }
    soon("a full channel", async {
        while server.handle.metrics().count(Count::IntakeHanded) < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.accept(first);
    robot.expect(Packet::PubAck(ack(1))).await;
    let mut plain = Client::v5(server.addr, "plain").await;
    plain.subscribe("t", ANY).await;
    plain.publish(publish("t", b"x", QoS::AtMostOnce, 0)).await;
    assert_eq!(plain.message().await.payload, "x");
    for id in 2..=6 {
        let (ticket, _) = server.publish().await;
        server.accept(ticket);
        robot.expect(Packet::PubAck(ack(id))).await;
    }
}

#[tokio::test]
async fn verdicts_other_than_acceptance_reach_the_client() {
    let mut server = Server::start().await;
    let refused = || Verdict::Refused {
        code: ReasonCode::PayloadFormatInvalid,
        why: "progress is 101".into(),
    };
    let mut new = Client::v5(server.addr, "robot").await;
    for (qos, id) in [(QoS::AtLeastOnce, 1), (QoS::ExactlyOnce, 2)] {
        new.publish(publish("intake/a", b"x", qos, id)).await;
        let (ticket, _) = server.next_publish().await;
        server.handle.settle(ticket, refused());
        let (Packet::PubAck(answer) | Packet::PubRec(answer)) = new.recv().await else {
            panic!("an answer");
        };
        assert_eq!(answer.code, ReasonCode::PayloadFormatInvalid);
        let why = answer.properties.text(PropertyId::ReasonString).unwrap();
        assert_eq!(why, "progress is 101");
    }
    new.publish(publish("intake/a", b"y", QoS::ExactlyOnce, 2))
        .await;
    let (ticket, payload) = server.next_publish().await;
    assert_eq!(payload, "y", "the identifier is free");
    server.accept(ticket);
    new.expect(Packet::PubRec(ack(2))).await;

    for code in [ReasonCode::TopicAliasInvalid, ReasonCode::Success] {
        new.publish(publish("intake/a", b"x", QoS::AtLeastOnce, 3))
            .await;
        let (ticket, _) = server.next_publish().await;
        let why = "no code of a PUBACK".into();
        server.handle.settle(ticket, Verdict::Refused { code, why });
        let Packet::PubAck(answer) = new.recv().await else {
            panic!("a puback");
        };
        assert_eq!(answer.code, ReasonCode::UnspecifiedError);
    }

    let mut old = Client::v4(server.addr, "robot-old").await;
    old.publish(publish("intake/a", b"x", QoS::AtLeastOnce, 1))
        .await;
    let (ticket, _) = server.next_publish().await;
    server.handle.settle(ticket, refused());
    old.expect(Packet::PubAck(ack(1))).await;
    old.publish(publish("intake/a", b"x", QoS::AtLeastOnce, 2))
        .await;
    let (ticket, _) = server.next_publish().await;
    let verdict = Verdict::Disconnect {
        code: ReasonCode::AdministrativeAction,
        why: "enough".into(),
    };
    server.handle.settle(ticket, verdict);
    old.ends_with(None).await;
}

#[tokio::test]
async fn messages_are_sent_to_a_connection_only_as_it_subscribed() {
    let mut server = Server::start().await;
    let mut robot = Client::v5(server.addr, "robot").await;
    let Event::Connected { connection, .. } = server.event().await else {
        panic!("connected");
    };
    let handle = server.handle.clone();
    let send = move |topic: &str, qos| handle.send(connection, topic, "x".into(), qos);
    let before = send("low/a", QoS::ExactlyOnce);
    assert_eq!(before, Err(SendError::NotSubscribed));
    robot.subscribe("low/#", ANY).await;
    assert_eq!(send("low/a", QoS::ExactlyOnce), Ok(()));
    assert_eq!(robot.message().await.qos, QoS::AtMostOnce, "as granted");
    let other = send("high/a", QoS::ExactlyOnce);
    assert_eq!(other, Err(SendError::NotSubscribed));
    robot.subscribe("high/+", ANY).await;
    assert_eq!(send("high/a", QoS::ExactlyOnce), Ok(()));
    assert_eq!(robot.message().await.qos, QoS::ExactlyOnce);
    assert_eq!(
        send("high/#", QoS::AtMostOnce),
        Err(SendError::InvalidTopic)
    );
    server
        .handle
        .disconnect(connection, ReasonCode::AdministrativeAction, "bye");
    robot
        .ends_with(Some(ReasonCode::AdministrativeAction))
        .await;
    while !matches!(server.event().await, Event::Disconnected { .. }) {}
    drop(robot);
    soon("the end of the connection", async {
        while send("high/a", QoS::AtMostOnce) != Err(SendError::Gone) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_sent_to_one_connection_does_not_outlive_it() {
    let mut server = Server::start().await;
    let mut lasting = connect(V4, "robot");
    lasting.clean_start = false;
    let mut robot = Client::open(server.addr, lasting.clone()).await;
    let Event::Connected { connection, .. } = server.event().await else {
        panic!("connected");
    };
    robot.subscribe("down", ANY).await;
    server
        .handle
        .send(connection, "down", "order".into(), QoS::AtLeastOnce)
        .unwrap();
    assert!(matches!(robot.recv().await, Packet::Publish(_)));
    drop(robot);
    let (mut robot, connack) = Client::try_open(server.addr, lasting).await;
    assert!(connack.session_present);
    assert_eq!(robot.until_pong().await, []);
}

#[tokio::test]
async fn many_small_packets_with_large_answers_are_all_answered() {
    let server = with(|limits| limits.send_buffer = 100).await;
    let mut client = Client::v5(server.addr, "a").await;
    let mut bytes = Vec::new();
    for _ in 0..500 {
        support::subscription(1, "deny/a", ANY)
            .encode(V5, &mut bytes)
            .unwrap();
    }
    client.send_bytes(&bytes).await;
    for _ in 0..500 {
        assert!(matches!(client.recv().await, Packet::SubAck(_)));
    }
}

#[tokio::test]
async fn a_connection_that_does_not_keep_up_with_what_is_sent_to_it_is_ended() {
    let mut server = with(|limits| {
        limits.send_window = 1;
        limits.queue_messages = 2;
    })
    .await;
    let mut robot = Client::v5(server.addr, "robot").await;
    let Event::Connected { connection, .. } = server.event().await else {
        panic!("connected");
    };
    robot.subscribe("down", ANY).await;
    let handle = server.handle.clone();
    let send = move || handle.send(connection, "down", "x".into(), QoS::AtLeastOnce);
    send().unwrap();
    assert!(matches!(robot.recv().await, Packet::Publish(_)));
    assert_eq!(
        [send(), send()],
        [Ok(()), Ok(())],
        "one in flight, two wait"
    );
    assert_eq!(send(), Err(SendError::QueueFull));
    robot.ends_with(Some(ReasonCode::QuotaExceeded)).await;
    server.counts(Count::QueueFull, 1).await;
}

#[tokio::test]
async fn one_subscribe_that_asks_for_everything_a_thousand_times_ends_the_connection_before_it_has_gathered()
 {
    let server = with(|limits| limits.max_retained_messages = 50).await;
    let mut publisher = Client::v5(server.addr, "publisher").await;
    for number in 0..20 {
        let mut message = publish(&format!("r/{number}"), b"x", QoS::AtLeastOnce, 1);
        message.retain = true;
        publisher.publish(message).await;
        publisher.expect(Packet::PubAck(ack(1))).await;
    }
    let mut greedy = Client::v5(server.addr, "greedy").await;
    let filter = Subscription {
        filter: "r/#".into(),
        options: ANY,
    };
    greedy
        .send(Packet::Subscribe(Subscribe {
            packet_id: 1,
            properties: Properties::none(),
            subscriptions: vec![filter; 1_000],
        }))
        .await;
    // Without a SUBACK: the third filter was one too many, and the others were not looked at.
    let Packet::Disconnect(disconnect) = greedy.recv().await else {
        panic!("a disconnect");
    };
    assert_eq!(disconnect.code, ReasonCode::QuotaExceeded);
    server.counts(Count::QueueFull, 1).await;
    assert_eq!(server.handle.metrics().count(Count::PublishesOut), 0);
}

#[tokio::test]
async fn retained_messages_that_a_client_left_unread_do_not_overfill_its_absent_session() {
    let server = with(|limits| limits.queue_messages = 10).await;
    for number in 0..50 {
        let topic = format!("r/{number}");
        server
            .handle
            .publish(&topic, Bytes::from_static(b"x"), QoS::AtLeastOnce, true)
            .unwrap();
    }
    let mut lasting = connect(V5, "lasting");
    lasting.clean_start = false;
    lasting.properties = Properties::builder()
        .number(PropertyId::SessionExpiryInterval, 1_000)
        .number(PropertyId::ReceiveMaximum, 1)
        .build()
        .unwrap();
    let mut client = Client::open(server.addr, lasting.clone()).await;
    assert_eq!(client.subscribe("r/#", ANY).await, ReasonCode::GrantedQoS2);
    drop(client);
    server.counts(Count::ConnectionLost, 1).await;
    let mut client = Client::open(server.addr, lasting).await;
    for _ in 0..1 + 10 {
        client.message().await;
    }
    assert_eq!(client.until_pong().await, []);
    server.counts(Count::MessageDropped, 39).await;
}
