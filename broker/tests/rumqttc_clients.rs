//! A client library that others wrote, in both versions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::{Tls, Verdict};
use rumqttc::{MqttOptions, TlsConfiguration, Transport};
use std::time::Duration;
use support::pki::Ca;
use support::{Server, soon};

const COUNT: usize = 200;

/// Accepts what robots publish until so many have come.
fn accept(mut server: Server, expected: usize) -> tokio::task::JoinHandle<Server> {
    tokio::spawn(async move {
        for _ in 0..expected {
            let (ticket, _) = server.next_publish().await;
            server.handle.settle(ticket, Verdict::Accepted);
        }
        server
    })
}

#[tokio::test]
async fn rumqttc_3_1_1_publishes_and_receives_at_every_quality_of_service() {
    let server = Server::start().await;
    let options = MqttOptions::new("robot/v4", "127.0.0.1", server.addr.port());
    exchange(server, options).await;
}

/// The client library of the Astarte SDK, in the way in which that connects (device-contract 1.1).
#[tokio::test]
async fn rumqttc_does_the_same_over_mutual_tls() {
    let (server, ca) = (Server::start().await, Ca::new("ca"));
    let addr = server.tls_listener(Tls::new(ca.strict_server())).await;
    let mut options = MqttOptions::new("robot/v4", "127.0.0.1", addr.port());
    let config = ca.client(Some(ca.issue("fleet/robot")));
    let config = TlsConfiguration::Rustls(config);
    options.set_transport(Transport::tls_with_config(config));
    exchange(server, options).await;
}

async fn exchange(server: Server, mut options: MqttOptions) {
    use rumqttc::{AsyncClient, Event, Packet, QoS};
    options.set_keep_alive(Duration::from_secs(5));
    let owner = accept(server, 2 * COUNT);
    let (client, mut events) = AsyncClient::new(options, 10);
    let sending = client.clone();
    tokio::spawn(async move {
        sending
            .subscribe("plain/#", QoS::ExactlyOnce)
            .await
            .unwrap();
        for index in 0..COUNT {
            for (topic, qos) in [
                ("plain/0", QoS::AtMostOnce),
                ("plain/1", QoS::AtLeastOnce),
                ("plain/2", QoS::ExactlyOnce),
                ("intake/1", QoS::AtLeastOnce),
                ("intake/2", QoS::ExactlyOnce),
            ] {
                let payload = index.to_string();
                sending.publish(topic, qos, false, payload).await.unwrap();
            }
        }
    });
    let (mut received, mut acked, mut completed) = (0, 0, 0);
    soon("all messages", async {
        while received < 3 * COUNT || acked < 2 * COUNT || completed < 2 * COUNT {
            match events.poll().await.unwrap() {
                Event::Incoming(Packet::Publish(publish)) => {
                    assert_eq!(publish.payload, (received / 3).to_string());
                    received += 1;
                }
                Event::Incoming(Packet::PubAck(_)) => acked += 1,
                Event::Incoming(Packet::PubComp(_)) => completed += 1,
                _ => {}
            }
        }
    })
    .await;
    owner.await.unwrap();
}

#[tokio::test]
async fn rumqttc_5_publishes_and_receives_at_every_quality_of_service() {
    use rumqttc::v5::mqttbytes::{QoS, v5::Packet};
    use rumqttc::v5::{AsyncClient, Event, MqttOptions};
    let server = Server::start().await;
    let mut options = MqttOptions::new("robot/v5", "127.0.0.1", server.addr.port());
    options.set_keep_alive(Duration::from_secs(5));
    let owner = accept(server, 2 * COUNT);
    let (client, mut events) = AsyncClient::new(options, 10);
    let sending = client.clone();
    tokio::spawn(async move {
        sending
            .subscribe("plain/#", QoS::ExactlyOnce)
            .await
            .unwrap();
        for index in 0..COUNT {
            for (topic, qos) in [
                ("plain/0", QoS::AtMostOnce),
                ("plain/1", QoS::AtLeastOnce),
                ("plain/2", QoS::ExactlyOnce),
                ("intake/1", QoS::AtLeastOnce),
                ("intake/2", QoS::ExactlyOnce),
            ] {
                let payload = index.to_string();
                sending.publish(topic, qos, false, payload).await.unwrap();
            }
        }
    });
    let (mut received, mut acked, mut completed) = (0, 0, 0);
    soon("all messages", async {
        while received < 3 * COUNT || acked < 2 * COUNT || completed < 2 * COUNT {
            match events.poll().await.unwrap() {
                Event::Incoming(Packet::Publish(publish)) => {
                    assert_eq!(publish.payload, (received / 3).to_string());
                    received += 1;
                }
                Event::Incoming(Packet::PubAck(_)) => acked += 1,
                Event::Incoming(Packet::PubComp(_)) => completed += 1,
                _ => {}
            }
        }
    })
    .await;
    owner.await.unwrap();
}
