//! Clients of the same process, over pipes in place of sockets: the same broker in every respect.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::Packet;
use rollcall_broker::{Count, DisconnectReason, Event, Limits, Pipe, QoS, ReasonCode};
use std::time::Duration;
use support::{ANY, Client, Server, V4, V5, ack, connect, publish, soon, tag_of};
use tokio::io::AsyncReadExt;

async fn piped(server: &Server, name: &str) -> Client<Pipe> {
    let mut client = Client::over(server.handle.pipe(), V5);
    let connack = client.introduce(connect(V5, name)).await;
    assert_eq!(connack.code, ReasonCode::Success);
    client
}

#[tokio::test]
async fn pipes_and_sockets_meet_in_one_broker() {
    let mut server = Server::start().await;
    let mut socket = Client::v4(server.addr, "socket").await;
    let mut pipe = piped(&server, "robot-pipe").await;
    let tag = tag_of("robot-pipe");
    assert!(matches!(server.event().await, Event::Connected { tag: t, .. } if t == tag));
    pipe.subscribe("t", ANY).await;
    assert!(matches!(server.event().await, Event::Subscribed { .. }));
    socket
        .publish(publish("t", b"by socket", QoS::ExactlyOnce, 7))
        .await;
    assert_eq!(pipe.message().await.payload, "by socket");

    pipe.publish(publish("intake/x", b"by pipe", QoS::AtLeastOnce, 3))
        .await;
    let (ticket, payload) = server.publish().await;
    assert_eq!(payload, "by pipe");
    assert_eq!(pipe.until_pong().await, [], "not before the verdict");
    server.accept(ticket);
    pipe.expect(Packet::PubAck(ack(3))).await;

    drop(pipe);
    assert!(matches!(
        server.event().await,
        Event::Disconnected {
            reason: DisconnectReason::ConnectionLost,
            ..
        }
    ));
    assert_eq!(server.handle.metrics().count(Count::SocketsAccepted), 2);
}

#[tokio::test]
async fn limits_hold_for_pipes_too() {
    let limits = Limits {
        max_handshaking: 2,
        connect_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = Server::with(limits, 16).await;
    let mut silent = [server.handle.pipe(), server.handle.pipe()];
    let mut third = server.handle.pipe();
    assert_eq!(third.read(&mut [0; 8]).await.unwrap(), 0, "closed at once");
    assert_eq!(server.handle.metrics().count(Count::HandshakeLimit), 1);
    // Silent pipes keep nobody from a socket.
    Client::v4(server.addr, "socket").await;
    for pipe in &mut silent {
        assert_eq!(soon("the end", pipe.read(&mut [0; 8])).await.unwrap(), 0);
    }
    server.counts(Count::ConnectTimeout, 2).await;
    piped(&server, "later").await;
}

#[tokio::test]
async fn a_pipe_that_is_not_read_holds_back_its_own_messages_only() {
    let server = Server::start().await;
    let mut slow = piped(&server, "slow").await;
    slow.subscribe("t", ANY).await;
    let mut other = piped(&server, "other").await;
    other.subscribe("t", ANY).await;
    let payload = vec![7; 60_000];
    for id in 1..=15 {
        other
            .publish(publish("t", &payload, QoS::AtMostOnce, 0))
            .await;
        assert_eq!(other.message().await.payload.len(), 60_000, "{id}");
    }
    for _ in 1..=15 {
        assert_eq!(slow.message().await.payload.len(), 60_000);
    }
}

#[tokio::test]
async fn shutdown_tells_pipes_and_those_that_come_later() {
    let server = Server::start().await;
    let mut client = piped(&server, "client").await;
    soon("the end", server.handle.shutdown()).await;
    client.ends_with(Some(ReasonCode::ServerShuttingDown)).await;
    let mut late = Client::over(server.handle.pipe(), V4);
    assert!(late.next().await.is_none());
}
