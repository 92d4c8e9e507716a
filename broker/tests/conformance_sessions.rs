//! Section 4.1 of both standards: what belongs to a session, as long as it lasts and no longer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{Ack, Connect, Packet, PropertyId as Id};
use rollcall_broker::{Count, ProtocolVersion, QoS, ReasonCode};
use support::conformance::{
    BOTH, lasting, payloads, send, unacknowledged, until_connections, with_number,
};
use support::{ANY, Client, Server, V4, V5, ack, connect, publish};

/// A CONNECT of a session that lasts this many seconds longer than its connection.
fn expiring(id: &str, seconds: u32) -> Connect {
    with_number(id, Id::SessionExpiryInterval, seconds)
}

#[tokio::test]
async fn nothing_of_a_session_is_lost_while_its_connection_is_open() {
    let server = Server::start().await;
    let mut watcher = Client::v5(server.addr, "watcher").await;
    watcher.subscribe("elsewhere", ANY).await;
    let mut clients = Vec::new();
    for connect in [
        connect(V4, "3.1.1"),
        connect(V5, "without expiry"),
        expiring("expires at once", 0),
        expiring("expires after a second", 1),
    ] {
        let mut client = Client::open(server.addr, connect).await;
        client.subscribe("t", ANY).await;
        send(&server, "t", "under way", QoS::ExactlyOnce);
        let under_way = unacknowledged(&mut client).await.packet_id;
        let message = publish("elsewhere", b"once", QoS::ExactlyOnce, 5);
        client.publish(message).await;
        client.expect(Packet::PubRec(ack(5))).await;
        assert_eq!(watcher.message().await.payload, "once");
        clients.push((client, under_way));
        // Only the newest is meant.
        for (older, _) in clients.iter_mut().rev().skip(1) {
            assert_eq!(payloads(&older.until_pong().await), ["under way"]);
        }
    }
    // Their second is over when that of a session whose connection ended is.
    drop(Client::open(server.addr, expiring("gone", 1)).await);
    server.counts(Count::SessionsExpired, 1).await;
    for (client, under_way) in &mut clients {
        let mut again = publish("elsewhere", b"once", QoS::ExactlyOnce, 5);
        again.dup = true;
        client.publish(again).await;
        client.expect(Packet::PubRec(ack(5))).await;
        client.send(Packet::PubRel(ack(5))).await;
        client.expect(Packet::PubComp(ack(5))).await;
        client.send(Packet::PubRec(ack(*under_way))).await;
        client.expect(Packet::PubRel(ack(*under_way))).await;
        client.send(Packet::PubComp(ack(*under_way))).await;
    }
    assert_eq!(watcher.until_pong().await, [], "a repetition is known");
    send(&server, "t", "live", QoS::AtMostOnce);
    for (client, _) in &mut clients {
        assert_eq!(payloads(&client.until_pong().await), ["live"]);
    }
}

/// Opens a session and leaves something of every kind in it: a subscription, a message under way to the client and one
/// from it, and one that waits.
async fn leave_all_behind(server: &Server, version: ProtocolVersion) {
    let mut client = Client::open(server.addr, lasting(version, "a")).await;
    client.subscribe("t", ANY).await;
    send(server, "t", "under way", QoS::ExactlyOnce);
    unacknowledged(&mut client).await;
    let message = publish("elsewhere", b"mine", QoS::ExactlyOnce, 5);
    client.publish(message).await;
    client.expect(Packet::PubRec(ack(5))).await;
    drop(client);
    until_connections(server, 1).await;
    send(server, "t", "waits", QoS::AtLeastOnce);
}

#[tokio::test]
async fn a_clean_start_finds_nothing_of_the_old_session() {
    let server = Server::start().await;
    let mut watcher = Client::v5(server.addr, "watcher").await;
    watcher.subscribe("elsewhere", ANY).await;
    for version in BOTH {
        leave_all_behind(&server, version).await;
        assert_eq!(watcher.message().await.payload, "mine");
        let (mut client, answer) = Client::try_open(server.addr, connect(version, "a")).await;
        assert!(!answer.session_present);
        send(&server, "t", "live", QoS::AtMostOnce);
        assert_eq!(client.until_pong().await, []);
        // The identifier is unknown, and so the same message is a new one.
        client.send(Packet::PubRel(ack(5))).await;
        let mut complete = Ack::success(5);
        if version.is_v5() {
            complete.code = ReasonCode::PacketIdentifierNotFound;
        }
        client.expect(Packet::PubComp(complete)).await;
        client
            .publish(publish("elsewhere", b"mine", QoS::ExactlyOnce, 5))
            .await;
        client.expect(Packet::PubRec(ack(5))).await;
        assert_eq!(watcher.message().await.payload, "mine");
        // And it ends with its connection, as it was asked to.
        client.subscribe("t", ANY).await;
        drop(client);
        until_connections(&server, 1).await;
        let metrics = server.handle.metrics();
        assert_eq!((metrics.sessions, metrics.subscriptions), (1, 1));
        let (_, answer) = Client::try_open(server.addr, lasting(version, "a")).await;
        assert!(!answer.session_present);
        Client::open(server.addr, connect(version, "a")).await;
        until_connections(&server, 1).await;
    }
}
