//! MQTT 5 section 4.8.2: what becomes of a share's messages when members come and go.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{Ack, Packet, PropertyId};
use rollcall_broker::{Count, Event, ProtocolVersion, QoS, ReasonCode};
use support::conformance::{
    lasting, payloads, send, unacknowledged, until_connections, with_number,
};
use support::{ANY, Client, Server, V4, V5, ack, connect};

async fn member(server: &Server, version: ProtocolVersion, id: &str, filter: &str) -> Client {
    let mut client = Client::open(server.addr, connect(version, id)).await;
    assert!(!client.subscribe(filter, ANY).await.is_error());
    client
}

#[tokio::test]
async fn v5_4_8_2_4_an_unfinished_qos_2_message_is_completed_with_the_same_member() {
    let server = Server::start().await;
    let mut first = Client::open(server.addr, lasting(V5, "first")).await;
    first.subscribe("$share/g/t", ANY).await;
    send(&server, "t", "two", QoS::ExactlyOnce);
    let sent = unacknowledged(&mut first).await;
    let mut second = member(&server, V5, "second", "$share/g/t").await;
    drop(first);
    until_connections(&server, 1).await;
    assert_eq!(second.until_pong().await, [], "the first one may have it");
    let mut first = Client::open(server.addr, lasting(V5, "first")).await;
    let again = unacknowledged(&mut first).await;
    assert_eq!((again.packet_id, again.dup), (sent.packet_id, true));
    first.send(Packet::PubRec(ack(again.packet_id))).await;
    first.expect(Packet::PubRel(ack(again.packet_id))).await;
    first.send(Packet::PubComp(ack(again.packet_id))).await;
    assert_eq!(first.until_pong().await, []);
}

#[tokio::test]
async fn v5_4_8_2_5_what_a_session_leaves_goes_to_others_unless_it_is_qos_2_under_way() {
    let server = Server::start().await;
    let narrow = with_number("first", PropertyId::ReceiveMaximum, 2);
    let mut first = Client::open(server.addr, narrow).await;
    first.subscribe("$share/g/t", ANY).await;
    send(&server, "t", "under way: 2", QoS::ExactlyOnce);
    send(&server, "t", "under way: 1", QoS::AtLeastOnce);
    send(&server, "t", "waiting: 2", QoS::ExactlyOnce);
    send(&server, "t", "waiting: 1", QoS::AtLeastOnce);
    send(&server, "t", "waiting: 0", QoS::AtMostOnce);
    assert_eq!(first.until_pong().await.len(), 2, "its receive maximum");
    let mut second = member(&server, V4, "second", "$share/g/t").await;
    let mut elsewhere = member(&server, V4, "elsewhere", "$share/h/t").await;
    drop(first);
    until_connections(&server, 2).await;
    let passed_on = second.until_pong().await;
    assert_eq!(
        payloads(&passed_on),
        ["under way: 1", "waiting: 2", "waiting: 1"]
    );
    let again = |packet: &Packet| matches!(packet, Packet::Publish(publish) if publish.dup);
    assert!(!passed_on.iter().any(again), "new to this member");
    assert_eq!(elsewhere.until_pong().await, []);
}

#[tokio::test]
async fn what_an_expired_session_leaves_goes_to_others_too() {
    let mut server = Server::start().await;
    let mut robot = Client::open(server.addr, lasting(V4, "robot")).await;
    robot.subscribe("$share/g/t", ANY).await;
    drop(robot);
    while !matches!(server.event().await, Event::Disconnected { .. }) {}
    until_connections(&server, 0).await;
    send(&server, "t", "kept", QoS::AtLeastOnce);
    let mut other = member(&server, V5, "other", "$share/g/t").await;
    assert_eq!(other.until_pong().await, [], "it waits for the absent one");
    // A clean start ends the absent session.
    Client::v4(server.addr, "robot").await;
    assert_eq!(other.message().await.payload, "kept");
}

#[tokio::test]
async fn v5_4_8_2_6_a_message_that_a_member_refuses_is_discarded() {
    let server = Server::start().await;
    let mut first = member(&server, V5, "first", "$share/g/t").await;
    let mut second = member(&server, V5, "second", "$share/g/t").await;
    for (qos, client) in [
        (QoS::AtLeastOnce, &mut first),
        (QoS::ExactlyOnce, &mut second),
    ] {
        send(&server, "t", "x", qos);
        let publish = unacknowledged(client).await;
        let refusal = Ack {
            code: ReasonCode::UnspecifiedError,
            ..ack(publish.packet_id)
        };
        client
            .send(match qos {
                QoS::ExactlyOnce => Packet::PubRec(refusal),
                QoS::AtMostOnce | QoS::AtLeastOnce => Packet::PubAck(refusal),
            })
            .await;
        assert_eq!(client.until_pong().await, []);
    }
    drop(second);
    until_connections(&server, 1).await;
    assert_eq!(first.until_pong().await, []);
}

#[tokio::test]
async fn those_who_are_there_come_first_and_the_absent_take_turns_after_them() {
    let server = Server::start().await;
    for id in ["absent-0", "absent-1"] {
        let mut absent = Client::open(server.addr, lasting(V4, id)).await;
        absent.subscribe("$share/g/t", ANY).await;
    }
    let mut present = member(&server, V5, "present", "$share/g/t").await;
    until_connections(&server, 1).await;
    for job in ["1", "2", "3"] {
        send(&server, "t", job, QoS::AtLeastOnce);
        assert_eq!(present.message().await.payload, job);
    }
    drop(present);
    until_connections(&server, 0).await;
    for job in ["4", "5", "6", "7"] {
        send(&server, "t", job, QoS::AtLeastOnce);
    }
    let mut all = Vec::new();
    for id in ["absent-0", "absent-1"] {
        let mut back = Client::open(server.addr, lasting(V4, id)).await;
        for _ in 0..2 {
            all.push(back.message().await.payload);
        }
        assert_eq!(back.until_pong().await, []);
    }
    all.sort();
    assert_eq!(all, ["4", "5", "6", "7"]);
    assert_eq!(server.handle.metrics().count(Count::MessageDropped), 0);
}
