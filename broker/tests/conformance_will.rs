//! The will: sections 3.1.2.5 to 3.1.2.7 and 3.1.3 of both standards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{Connect, Packet, Properties, PropertyId as Id, SubscribeOptions};
use rollcall_broker::{Count, Event, ProtocolVersion, QoS, ReasonCode};
use support::conformance::{BOTH, EVERY_QOS, lasting, leave, number, until_connections};
use support::{ANY, Client, Server, V5, ack, connect, publish, will};

fn dying(version: ProtocolVersion, id: &str, payload: &'static [u8]) -> Connect {
    let mut connect = connect(version, id);
    connect.will = Some(will("wills", payload));
    connect
}

async fn watcher(server: &Server) -> Client {
    let mut watcher = Client::v5(server.addr, "watcher").await;
    let as_published = SubscribeOptions {
        retain_as_published: true,
        ..ANY
    };
    watcher.subscribe("wills/#", as_published).await;
    watcher
}

#[tokio::test]
async fn a_will_has_the_quality_of_service_and_retain_flag_of_its_connect() {
    let server = Server::start().await;
    let mut watcher = watcher(&server).await;
    for version in BOTH {
        for qos in EVERY_QOS {
            for retain in [false, true] {
                let mut connect = dying(version, "dying", b"gone");
                let will = connect.will.as_mut().unwrap();
                (will.qos, will.retain) = (qos, retain);
                drop(Client::open(server.addr, connect).await);
                let message = watcher.message().await;
                assert_eq!((message.qos, message.retain), (qos, retain));
                let retained = server.handle.metrics().retained_messages;
                assert_eq!(retained, usize::from(retain));
                server
                    .handle
                    .publish("wills", "".into(), QoS::AtMostOnce, true)
                    .unwrap();
                assert_eq!(watcher.message().await.payload, "");
            }
        }
    }
}

#[tokio::test]
async fn every_end_but_a_plain_disconnect_publishes_the_will_once() {
    let mut server = Server::start().await;
    let mut watcher = watcher(&server).await;
    for version in BOTH {
        let mut silent = dying(version, "silent", b"silence");
        silent.keep_alive = 1;
        let _silent = Client::open(server.addr, silent).await;
        assert_eq!(watcher.message().await.payload, "silence");

        let mut wrong = Client::open(server.addr, dying(version, "wrong", b"violation")).await;
        wrong.send(Packet::PingResp).await;
        assert_eq!(watcher.message().await.payload, "violation");

        let _old = Client::open(server.addr, dying(version, "twice", b"taken over")).await;
        let mut new = Client::open(server.addr, connect(version, "twice")).await;
        assert_eq!(watcher.message().await.payload, "taken over");
        new.until_pong().await;

        let _robot = Client::open(server.addr, dying(version, "robot", b"by the server")).await;
        let Event::Connected { connection, .. } = server.event().await else {
            panic!("connected");
        };
        server
            .handle
            .disconnect(connection, ReasonCode::AdministrativeAction, "enough");
        assert_eq!(watcher.message().await.payload, "by the server");
        assert!(matches!(server.event().await, Event::Disconnected { .. }));

        let mut leaving = Client::open(server.addr, dying(version, "leaving", b"kept")).await;
        leaving.send(leave(ReasonCode::Success)).await;
        leaving.ends_with(None).await;
    }
    for code in [ReasonCode::DisconnectWithWill, ReasonCode::UnspecifiedError] {
        let mut leaving = Client::open(server.addr, dying(V5, "leaving", b"wanted")).await;
        leaving.send(leave(code)).await;
        assert_eq!(watcher.message().await.payload, "wanted");
    }
    assert_eq!(watcher.until_pong().await, []);
    assert_eq!(server.handle.metrics().count(Count::WillsPublished), 10);
}

#[tokio::test]
async fn a_will_is_gone_once_it_was_published_or_discarded() {
    let server = Server::start().await;
    let mut watcher = watcher(&server).await;
    for version in BOTH {
        for published in [false, true] {
            let mut connect = lasting(version, "lasting");
            connect.will = Some(will("wills", b"gone"));
            let mut client = Client::open(server.addr, connect).await;
            if !published {
                client.send(leave(ReasonCode::Success)).await;
                client.ends_with(None).await;
            }
            drop(client);
            until_connections(&server, 1).await;
            // The session goes on without a will.
            let (client, answer) = Client::try_open(server.addr, lasting(version, "lasting")).await;
            assert!(answer.session_present);
            drop(client);
            until_connections(&server, 1).await;
            assert_eq!(watcher.until_pong().await.len(), usize::from(published));
            if published {
                watcher.send(Packet::PubAck(ack(1))).await;
            }
        }
        Client::open(server.addr, connect(version, "lasting")).await;
    }
}

#[tokio::test]
async fn v5_3_1_3_10_a_wills_properties_reach_subscribers_in_their_order() {
    let server = Server::start().await;
    let mut watcher = watcher(&server).await;
    let forwarded = Properties::builder()
        .user("b", "1")
        .number(Id::PayloadFormatIndicator, 1)
        .text(Id::ContentType, "text/plain")
        .user("a", "2")
        .text(Id::ResponseTopic, "answers")
        .binary(Id::CorrelationData, &[0, 1])
        .user("b", "1")
        .build()
        .unwrap();
    let mut connect = dying(V5, "dying", b"gone");
    connect.will.as_mut().unwrap().properties = Properties::builder()
        .number(Id::WillDelayInterval, 0)
        .number(Id::MessageExpiryInterval, 900)
        .append(&forwarded)
        .build()
        .unwrap();
    drop(Client::open(server.addr, connect).await);
    let message = watcher.message().await;
    let left = message.properties.number(Id::MessageExpiryInterval);
    assert_eq!(left, Some(900), "counted from its publication");
    let rest = message.properties.without(&[Id::MessageExpiryInterval]);
    assert_eq!(rest, forwarded);
}

#[tokio::test]
async fn a_session_that_lasts_gets_its_own_will_unless_it_wants_nothing_of_its_own() {
    let server = Server::start().await;
    for no_local in [false, true] {
        let mut connect = lasting(V5, "lasting");
        connect.will = Some(will("wills", b"gone"));
        let mut client = Client::open(server.addr, connect).await;
        let options = SubscribeOptions { no_local, ..ANY };
        client.subscribe("wills", options).await;
        drop(client);
        until_connections(&server, 0).await;
        let mut client = Client::open(server.addr, lasting(V5, "lasting")).await;
        let found = client.until_pong().await;
        assert_eq!(found.len(), usize::from(!no_local), "{found:?}");
        Client::v5(server.addr, "lasting").await;
    }
}

#[tokio::test]
async fn v5_3_1_3_9_a_delayed_will_of_a_session_without_expiry_is_not_delayed() {
    let server = Server::start().await;
    let mut watcher = watcher(&server).await;
    let mut connect = dying(V5, "dying", b"gone");
    connect.will.as_mut().unwrap().properties = number(Id::WillDelayInterval, 900);
    drop(Client::open(server.addr, connect).await);
    assert_eq!(watcher.message().await.payload, "gone");
}

#[tokio::test]
async fn without_a_will_the_end_is_silent() {
    let server = Server::start().await;
    let mut watcher = Client::v5(server.addr, "watcher").await;
    watcher.subscribe("#", ANY).await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "plain")).await;
        client
            .publish(publish("t", b"alive", QoS::AtMostOnce, 0))
            .await;
        client.until_pong().await;
        drop(client);
        until_connections(&server, 1).await;
        assert_eq!(watcher.message().await.payload, "alive");
        assert_eq!(watcher.until_pong().await, []);
    }
}
