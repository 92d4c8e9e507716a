//! Take-over, resumption, expiry, wills and keep-alive.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{Connect, Disconnect, Packet, Properties, PropertyId};
use rollcall_broker::{
    Count, DisconnectReason, Event, Limits, ProtocolVersion, QoS, ReasonCode, Verdict,
};
use std::time::Duration;
use support::{ANY, CHANGED, Client, Server, V4, V5, ack, connect, publish, will};

/// A CONNECT that resumes, and keeps the session afterwards.
fn lasting(version: ProtocolVersion, client_id: &str) -> Connect {
    let mut connect = connect(version, client_id);
    connect.clean_start = false;
    if version.is_v5() {
        connect.properties = Properties::builder()
            .number(PropertyId::SessionExpiryInterval, 1_000)
            .build()
            .unwrap();
    }
    connect
}

fn number(properties: &Properties, id: PropertyId) -> Option<u32> {
    properties.number(id)
}

#[tokio::test]
async fn an_accepted_v5_client_hears_what_is_and_is_not_supported() {
    let server = Server::start().await;
    let (_client, connack) = Client::try_open(server.addr, connect(V5, "a")).await;
    let properties = &connack.properties;
    assert_eq!(number(properties, PropertyId::TopicAliasMaximum), Some(16));
    for available in [
        PropertyId::MaximumQoS,
        PropertyId::RetainAvailable,
        PropertyId::WildcardSubscriptionAvailable,
        PropertyId::SubscriptionIdentifierAvailable,
        PropertyId::SharedSubscriptionAvailable,
    ] {
        assert_eq!(number(properties, available), None, "all are available");
    }
    assert_eq!(number(properties, PropertyId::ReceiveMaximum), Some(1_024));
    assert_eq!(
        number(properties, PropertyId::MaximumPacketSize),
        Some(66_565)
    );
}

#[tokio::test]
async fn a_take_over_ends_the_older_connection_before_the_newer_begins() {
    let mut server = Server::start().await;
    let mut older = Client::v5(server.addr, "robot").await;
    let Event::Connected {
        connection: first, ..
    } = server.event().await
    else {
        panic!("connected");
    };
    let _newer = Client::v5(server.addr, "robot").await;
    older.ends_with(Some(ReasonCode::SessionTakenOver)).await;
    let Event::Disconnected {
        connection, reason, ..
    } = server.event().await
    else {
        panic!("the older connection's end comes first");
    };
    assert_eq!((connection, reason), (first, DisconnectReason::TakenOver));
    let Event::Connected {
        connection: second, ..
    } = server.event().await
    else {
        panic!("connected");
    };
    assert!(second > first);
    assert_eq!(server.handle.metrics().connections, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_take_overs_are_reported_one_after_the_other() {
    const TASKS: usize = 8;
    const ROUNDS: usize = 40;
    let mut server = Server::start().await;
    for _ in 0..TASKS {
        let addr = server.addr;
        tokio::spawn(async move {
            for _ in 0..ROUNDS {
                let mut client = Client::raw(addr, V4).await;
                let connect = Packet::Connect(Box::new(connect(V4, "robot")));
                client.send(connect).await;
                client.next().await;
            }
        });
    }
    let mut live = None;
    for _ in 0..2 * TASKS * ROUNDS {
        match server.event().await {
            Event::Connected { connection, .. } => {
                assert_eq!(live.replace(connection), None, "two at a time");
            }
            Event::Disconnected { connection, .. } => {
                assert_eq!(live.take(), Some(connection));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn many_connections_of_one_client_leave_exactly_one() {
    let server = Server::start().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let addr = server.addr;
        tasks.spawn(async move { Client::v4(addr, "crowd").await });
    }
    let mut clients = tasks.join_all().await;
    let mut alive = 0;
    for client in &mut clients {
        let mut out = Vec::new();
        Packet::PingReq.encode(V4, &mut out).unwrap();
        let sent = tokio::io::AsyncWriteExt::write_all(&mut client.stream, &out).await;
        if sent.is_ok() && client.next().await == Some(Packet::PingResp) {
            alive += 1;
        }
    }
    assert_eq!(alive, 1);
}

#[tokio::test]
async fn a_lasting_session_keeps_subscriptions_and_messages_of_its_absence() {
    let server = Server::start().await;
    for version in [V4, V5] {
        let (mut client, connack) =
            Client::try_open(server.addr, lasting(version, &format!("lasting{version}"))).await;
        assert!(!connack.session_present);
        client.subscribe("news", ANY).await;
        drop(client);
        let mut publisher = Client::v4(server.addr, "publisher").await;
        // The drop is noticed at some moment; until then the message is queued as well.
        publisher
            .publish(publish("news", b"zero", QoS::AtMostOnce, 0))
            .await;
        publisher
            .publish(publish("news", b"one", QoS::AtLeastOnce, 1))
            .await;
        publisher.expect(Packet::PubAck(ack(1))).await;
        let (mut client, connack) =
            Client::try_open(server.addr, lasting(version, &format!("lasting{version}"))).await;
        assert!(connack.session_present);
        loop {
            let message = client.message().await;
            if message.payload == "one" {
                break;
            }
        }
        let (mut client, connack) =
            Client::try_open(server.addr, connect(version, &format!("lasting{version}"))).await;
        assert!(!connack.session_present, "clean start");
        publisher
            .publish(publish("news", b"two", QoS::AtMostOnce, 0))
            .await;
        publisher.until_pong().await;
        assert_eq!(client.until_pong().await, []);
    }
}

#[tokio::test]
async fn what_was_in_flight_is_sent_again_as_a_duplicate_and_in_order() {
    let server = Server::start().await;
    let (mut client, _) = Client::try_open(server.addr, lasting(V5, "lasting")).await;
    client.subscribe("news", ANY).await;
    let mut publisher = Client::v4(server.addr, "publisher").await;
    for id in 1..=3 {
        let payload = format!("{id}");
        let qos = if id == 2 {
            QoS::AtLeastOnce
        } else {
            QoS::ExactlyOnce
        };
        publisher
            .publish(publish("news", payload.as_bytes(), qos, id))
            .await;
        publisher.recv().await;
    }
    let mut ids = Vec::new();
    for _ in 0..3 {
        let Packet::Publish(message) = client.recv().await else {
            panic!("a publish");
        };
        assert!(!message.dup);
        ids.push(message.packet_id);
    }
    client.send(Packet::PubRec(ack(ids[0]))).await;
    client.expect(Packet::PubRel(ack(ids[0]))).await;
    drop(client);
    let (mut client, _) = Client::try_open(server.addr, lasting(V5, "lasting")).await;
    client.expect(Packet::PubRel(ack(ids[0]))).await;
    for id in &ids[1..] {
        let Packet::Publish(message) = client.recv().await else {
            panic!("a publish");
        };
        assert!(message.dup);
        assert_eq!(message.packet_id, *id);
    }
    client.send(Packet::PubComp(ack(ids[0]))).await;
    client.send(Packet::PubAck(ack(ids[1]))).await;
    client.send(Packet::PubRec(ack(ids[2]))).await;
    client.expect(Packet::PubRel(ack(ids[2]))).await;
    client.send(Packet::PubComp(ack(ids[2]))).await;
    assert_eq!(client.until_pong().await, []);
}

#[tokio::test]
async fn a_pending_qos_2_publish_of_a_lost_connection_is_not_handed_over_again() {
    let mut server = Server::start().await;
    let (mut robot, _) = Client::try_open(server.addr, lasting(V4, "robot")).await;
    server.event().await;
    let first = publish("intake/a", b"once", QoS::ExactlyOnce, 5);
    let mut again = first.clone();
    again.dup = true;
    robot.publish(first).await;
    let (ticket, _) = server.publish().await;
    drop(robot);
    let (mut robot, connack) = Client::try_open(server.addr, lasting(V4, "robot")).await;
    assert!(connack.session_present);
    robot.publish(again.clone()).await;
    assert_eq!(robot.until_pong().await, [], "still pending");
    server.accept(ticket);
    robot.expect(Packet::PubRec(ack(5))).await;
    drop(robot);
    let (mut robot, _) = Client::try_open(server.addr, lasting(V4, "robot")).await;
    robot.publish(again).await;
    robot.expect(Packet::PubRec(ack(5))).await;
    robot.send(Packet::PubRel(ack(5))).await;
    robot.expect(Packet::PubComp(ack(5))).await;
    robot
        .publish(publish("intake/a", b"marker", QoS::AtLeastOnce, 6))
        .await;
    assert_eq!(
        server.next_publish().await.1,
        "marker",
        "nothing in between"
    );
}

#[tokio::test]
async fn a_verdict_during_the_absence_is_remembered() {
    let mut server = Server::start().await;
    let (mut robot, _) = Client::try_open(server.addr, lasting(V5, "robot")).await;
    server.event().await;
    let mut publishes = Vec::new();
    let mut tickets = Vec::new();
    for (id, payload) in [(1, b"accepted"), (2, b"refused!")] {
        let mut sent = publish("intake/a", payload, QoS::ExactlyOnce, id);
        robot.publish(sent.clone()).await;
        tickets.push(server.publish().await.0);
        sent.dup = true;
        publishes.push(sent);
    }
    drop(robot);
    while !matches!(server.event().await, Event::Disconnected { .. }) {}
    server.handle.settle(tickets[0].clone(), Verdict::Accepted);
    let refused = Verdict::Refused {
        code: ReasonCode::PayloadFormatInvalid,
        why: "no".into(),
    };
    server.handle.settle(tickets[1].clone(), refused);
    let (mut robot, _) = Client::try_open(server.addr, lasting(V5, "robot")).await;
    for sent in publishes {
        robot.publish(sent).await;
    }
    robot.expect(Packet::PubRec(ack(1))).await;
    assert_eq!(
        server.next_publish().await.1,
        "refused!",
        "what was refused is judged anew"
    );
}

#[tokio::test]
async fn a_client_that_lost_its_memory_may_use_an_old_identifier_for_a_new_message() {
    let mut server = Server::start().await;
    let (mut robot, _) = Client::try_open(server.addr, lasting(V4, "robot")).await;
    server.event().await;
    robot
        .publish(publish("intake/a", b"old", QoS::ExactlyOnce, 1))
        .await;
    let (ticket, _) = server.publish().await;
    server.accept(ticket);
    robot.expect(Packet::PubRec(ack(1))).await;
    drop(robot);
    let (mut robot, _) = Client::try_open(server.addr, lasting(V4, "robot")).await;
    robot
        .publish(publish("intake/a", b"new", QoS::ExactlyOnce, 1))
        .await;
    assert_eq!(server.next_publish().await.1, "new");
}

#[tokio::test]
async fn a_client_that_is_always_clean_finds_nothing_again() {
    let mut server = Server::start().await;
    let (mut robot, _) = Client::try_open(server.addr, lasting(V4, "clean")).await;
    robot.subscribe("down/#", ANY).await;
    let sent = publish("intake/a", b"x", QoS::ExactlyOnce, 5);
    robot.publish(sent.clone()).await;
    let (old, _) = server.next_publish().await;
    drop(robot);
    let (mut robot, connack) = Client::try_open(server.addr, lasting(V4, "clean")).await;
    assert!(!connack.session_present);
    robot.publish(sent).await;
    let (ticket, _) = server.next_publish().await;
    server.accept(old);
    assert_eq!(robot.until_pong().await, [], "the old ticket means nothing");
    server.accept(ticket);
    robot.expect(Packet::PubRec(ack(5))).await;
    let sessions = server.handle.metrics().subscriptions;
    assert_eq!(sessions, 0, "subscriptions ended with the session");
}

#[tokio::test]
async fn disconnect_may_change_the_expiry_of_a_session_but_not_begin_one() {
    let mut server = Server::start().await;
    let goodbye = |seconds| {
        Packet::Disconnect(Disconnect {
            code: ReasonCode::Success,
            properties: Properties::builder()
                .number(PropertyId::SessionExpiryInterval, seconds)
                .build()
                .unwrap(),
        })
    };
    let mut ending = Client::open(server.addr, lasting(V5, "ending")).await;
    ending.send(goodbye(0)).await;
    ending.ends_with(None).await;
    let (_, connack) = Client::try_open(server.addr, lasting(V5, "ending")).await;
    assert!(!connack.session_present);

    let mut brief = Client::v5(server.addr, "brief").await;
    brief.send(goodbye(10)).await;
    brief.ends_with(Some(ReasonCode::ProtocolError)).await;

    let mut clean = Client::open(server.addr, lasting(V5, "clean")).await;
    clean.subscribe("t", ANY).await;
    clean.send(goodbye(900)).await;
    clean.ends_with(None).await;
    while !matches!(server.event().await, Event::Disconnected { .. }) {}
    support::soon("the end of the session", async {
        while server.handle.metrics().subscriptions > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_session_ends_when_its_time_is_over() {
    let limits = Limits {
        max_session_expiry: Duration::from_millis(50),
        ..Limits::default()
    };
    let mut server = Server::with(limits, 16).await;
    let (mut robot, connack) = Client::try_open(server.addr, lasting(V5, "robot")).await;
    let given = number(&connack.properties, PropertyId::SessionExpiryInterval);
    assert_eq!(given, Some(0), "less than asked for, and said so");
    robot.subscribe("news", ANY).await;
    robot
        .send(Packet::Disconnect(Disconnect {
            code: ReasonCode::Success,
            properties: Properties::none(),
        }))
        .await;
    while !matches!(server.event().await, Event::Disconnected { .. }) {}
    support::soon("the end of the session", async {
        while server.handle.metrics().count(Count::SessionsExpired) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (_, connack) = Client::try_open(server.addr, lasting(V5, "robot")).await;
    assert!(!connack.session_present);
}

#[tokio::test]
async fn a_will_is_published_unless_the_client_takes_leave() {
    let server = Server::start().await;
    let mut watcher = Client::v5(server.addr, "watcher").await;
    watcher.subscribe("wills", ANY).await;
    for leaves in [true, false] {
        let mut dying = connect(V4, "dying");
        dying.will = Some(will("wills", if leaves { b"kept" } else { b"gone" }));
        let mut dying = Client::open(server.addr, dying).await;
        if leaves {
            let code = ReasonCode::Success;
            let properties = Properties::none();
            dying
                .send(Packet::Disconnect(Disconnect { code, properties }))
                .await;
            dying.ends_with(None).await;
        }
    }
    assert_eq!(watcher.message().await.payload, "gone");
    let mut asking = connect(V5, "asking");
    asking.will = Some(will("wills", b"asked"));
    let mut asking = Client::open(server.addr, asking).await;
    asking
        .send(Packet::Disconnect(Disconnect {
            code: ReasonCode::DisconnectWithWill,
            properties: Properties::none(),
        }))
        .await;
    assert_eq!(watcher.message().await.payload, "asked");
}

#[tokio::test]
async fn a_delayed_will_is_called_off_by_a_return() {
    let server = Server::start().await;
    let mut watcher = Client::v5(server.addr, "watcher").await;
    watcher.subscribe("wills", ANY).await;
    let mut delayed = lasting(V5, "delayed");
    let mut testament = will("wills", b"delayed");
    testament.properties = Properties::builder()
        .number(PropertyId::WillDelayInterval, 900)
        .build()
        .unwrap();
    delayed.will = Some(testament);
    drop(Client::open(server.addr, delayed.clone()).await);
    let (second, connack) = Client::try_open(server.addr, delayed.clone()).await;
    assert!(connack.session_present);
    drop(second);
    assert_eq!(watcher.until_pong().await, []);
    // A clean start ends the session, and with the session the delay.
    delayed.clean_start = true;
    let _third = Client::open(server.addr, delayed).await;
    assert_eq!(watcher.message().await.payload, "delayed");
    assert_eq!(server.handle.metrics().count(Count::WillsPublished), 1);
}

#[tokio::test]
async fn a_will_is_judged_at_connect() {
    let server = Server::start().await;
    for topic in ["intake/a", "deny/a", "$SYS/a"] {
        for version in [V4, V5] {
            let mut connect = connect(version, "robot");
            connect.will = Some(will(topic, b"x"));
            let (mut client, connack) = Client::try_open(server.addr, connect).await;
            assert_eq!(connack.code, ReasonCode::NotAuthorized);
            client.ends_with(None).await;
        }
    }
    assert_eq!(server.handle.metrics().count(Count::WillRefused), 6);
}

#[tokio::test]
async fn silence_longer_than_the_keep_alive_allows_ends_the_connection() {
    let mut server = Server::start().await;
    let mut silent = connect(V5, "robot");
    silent.keep_alive = 1;
    let mut silent = Client::open(server.addr, silent).await;
    silent.ends_with(Some(ReasonCode::KeepAliveTimeout)).await;
    server.event().await;
    let Event::Disconnected { reason, .. } = server.event().await else {
        panic!("disconnected");
    };
    assert_eq!(reason, DisconnectReason::KeepAliveTimeout);
}

#[tokio::test]
async fn a_nameless_client_gets_a_name_or_a_refusal() {
    let server = Server::start().await;
    let (_, connack) = Client::try_open(server.addr, connect(V5, "")).await;
    let assigned = connack
        .properties
        .text(PropertyId::AssignedClientIdentifier)
        .unwrap();
    let (_, connack) = Client::try_open(server.addr, connect(V5, "")).await;
    let other = connack
        .properties
        .text(PropertyId::AssignedClientIdentifier)
        .unwrap();
    assert_ne!(assigned, other);
    let (_, connack) = Client::try_open(server.addr, connect(V4, "")).await;
    assert_eq!(connack.code, ReasonCode::Success);
    let mut unclean = connect(V4, "");
    unclean.clean_start = false;
    let (_, connack) = Client::try_open(server.addr, unclean).await;
    assert_eq!(connack.code, ReasonCode::ClientIdentifierNotValid);
}

#[tokio::test]
async fn a_wrong_password_and_an_unsupported_method_are_refused_by_name() {
    let server = Server::start().await;
    for version in [V4, V5] {
        let mut connect = connect(version, "a");
        connect.username = Some("a".into());
        connect.password = Some("wrong".into());
        let (mut client, connack) = Client::try_open(server.addr, connect).await;
        assert_eq!(connack.code, ReasonCode::BadUserNameOrPassword);
        client.ends_with(None).await;
    }
    let mut enhanced = connect(V5, "a");
    enhanced.properties = Properties::builder()
        .text(PropertyId::AuthenticationMethod, "SCRAM-SHA-1")
        .build()
        .unwrap();
    let (_, connack) = Client::try_open(server.addr, enhanced).await;
    assert_eq!(connack.code, ReasonCode::BadAuthenticationMethod);
    assert_eq!(server.handle.metrics().count(Count::ConnectRefused), 2);
}

#[tokio::test]
async fn a_stopping_broker_says_so_and_waits_for_its_connections() {
    let server = Server::start().await;
    let mut client = Client::v5(server.addr, "a").await;
    let silent = Client::raw(server.addr, V4).await;
    let handle = server.handle.clone();
    let stopping = tokio::spawn(async move { handle.shutdown().await });
    client.ends_with(Some(ReasonCode::ServerShuttingDown)).await;
    drop((client, silent));
    support::soon("the end of the broker", stopping)
        .await
        .unwrap();
    assert_eq!(server.handle.metrics().connections, 0);
}

#[tokio::test]
async fn a_resumed_session_keeps_only_the_subscriptions_that_are_still_allowed() {
    let mut server = Server::start().await;
    let mut robot = Client::open(server.addr, lasting(V4, "robot")).await;
    robot.subscribe("once/a", ANY).await;
    robot.subscribe("always", ANY).await;
    let mut changed = lasting(V4, "robot");
    changed.username = Some("robot".into());
    changed.password = Some(CHANGED.into());
    let (mut robot, connack) = Client::try_open(server.addr, changed).await;
    assert!(connack.session_present);
    for topic in ["once/a", "always"] {
        server
            .handle
            .publish(topic, "x".into(), QoS::AtMostOnce, false)
            .unwrap();
    }
    assert_eq!(robot.message().await.topic, "always");
    assert_eq!(robot.until_pong().await, []);
    while !matches!(server.event().await, Event::Disconnected { .. }) {}
    assert!(matches!(server.event().await, Event::Connected { .. }));
    let Event::Subscribed { filter, .. } = server.event().await else {
        panic!("the subscription that is left is reported again");
    };
    assert_eq!(filter, "always");
}
