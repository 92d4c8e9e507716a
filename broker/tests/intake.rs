//! Publishes that are handed over: acknowledged when settled, in MQTT's order, once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::Packet;
use rollcall_broker::{Event, QoS};
use support::{Client, Server, ack, publish};

#[tokio::test]
async fn qos_1_is_acknowledged_only_after_it_is_settled() {
    let mut server = Server::start().await;
    let mut robot = Client::v4(server.addr, "robot").await;
    assert!(matches!(server.event().await, Event::Connected { .. }));
    robot
        .publish(publish("intake/a", b"one", QoS::AtLeastOnce, 7))
        .await;
    let (ticket, payload) = server.publish().await;
    assert_eq!(payload, "one");
    assert_eq!(robot.until_pong().await, [], "nothing before the verdict");
    server.accept(ticket);
    robot.expect(Packet::PubAck(ack(7))).await;
}

#[tokio::test]
async fn acknowledgements_leave_in_the_order_of_the_publishes() {
    let mut server = Server::start().await;
    let mut robot = Client::v5(server.addr, "robot").await;
    server.event().await;
    let mut tickets = Vec::new();
    for (id, qos) in [
        (1, QoS::AtLeastOnce),
        (2, QoS::ExactlyOnce),
        (3, QoS::AtLeastOnce),
    ] {
        robot.publish(publish("intake/a", b"x", qos, id)).await;
        tickets.push(server.publish().await.0);
    }
    server.accept(tickets[2].clone());
    server.accept(tickets[1].clone());
    assert_eq!(robot.until_pong().await, [], "the first is still pending");
    server.accept(tickets[0].clone());
    robot.expect(Packet::PubAck(ack(1))).await;
    robot.expect(Packet::PubRec(ack(2))).await;
    robot.expect(Packet::PubAck(ack(3))).await;
}

#[tokio::test]
async fn a_qos_2_publish_is_handed_over_once_in_every_stage() {
    let mut server = Server::start().await;
    let mut robot = Client::v4(server.addr, "robot").await;
    server.event().await;
    let first = publish("intake/a", b"once", QoS::ExactlyOnce, 5);
    let mut again = first.clone();
    again.dup = true;
    robot.publish(first).await;
    let (ticket, _) = server.publish().await;
    robot.publish(again.clone()).await;
    assert_eq!(robot.until_pong().await, [], "pending: silence");
    server.accept(ticket);
    robot.expect(Packet::PubRec(ack(5))).await;
    robot.publish(again).await;
    robot.expect(Packet::PubRec(ack(5))).await;
    robot.send(Packet::PubRel(ack(5))).await;
    robot.expect(Packet::PubComp(ack(5))).await;
    robot.send(Packet::PubRel(ack(5))).await;
    robot.expect(Packet::PubComp(ack(5))).await;
    robot
        .publish(publish("intake/a", b"next", QoS::ExactlyOnce, 5))
        .await;
    assert_eq!(server.publish().await.1, "next");
}
