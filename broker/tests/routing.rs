//! Ordinary messages between clients.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::QoS;
use rollcall_broker::codec::Packet;
use support::{ANY, Client, Server, V4, V5, ack, connect, publish};

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
