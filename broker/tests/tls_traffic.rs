//! MQTT over TLS where it could differ from MQTT over TCP: sizes, backpressure, and how connections end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use rollcall_broker::codec::{Disconnect, Packet, Properties};
use rollcall_broker::{Count, DisconnectReason, Event, Limits, QoS, ReasonCode, Verdict};
use rustls::ClientConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use support::pki::{self, Ca, TlsClient};
use support::{ANY, Client, Server, V4, V5, ack, connect, publish, soon, will};
use tokio::io::AsyncWriteExt;

struct Place {
    server: Server,
    addr: SocketAddr,
    config: Arc<ClientConfig>,
}

impl Place {
    async fn new() -> Self {
        Self::with(|_| {}, 1_024).await
    }

    async fn with(change: impl FnOnce(&mut Limits), events: usize) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let (server, ca) = (Server::with(limits, events).await, Ca::new("ca"));
        let addr = server.tls_listener(ca.tls()).await;
        let config = ca.client(Some(ca.issue("robot")));
        Self {
            server,
            addr,
            config,
        }
    }

    async fn v5(&self, client_id: &str) -> TlsClient {
        pki::open(self.addr, &self.config, V5, client_id).await
    }
}

/// Around everything that has a size: one byte, a record, a read, the largest packet.
const SIZES: [usize; 12] = [
    0, 1, 100, 4_095, 4_097, 16_370, 16_384, 16_385, 16_400, 32_768, 50_000, 65_000,
];

#[tokio::test]
async fn messages_of_every_size_and_quality_pass_in_both_directions() {
    let (server, ca) = (Server::start().await, Ca::new("ca"));
    let addr = server.tls_listener(ca.tls()).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = ca.client_of(None, &[version]);
        let mut publisher = pki::open(addr, &config, V4, "publisher").await;
        let mut subscriber = pki::open(addr, &config, V5, "subscriber").await;
        subscriber.subscribe("t", ANY).await;
        for (round, size) in SIZES.into_iter().enumerate() {
            let payload: Vec<u8> = (0..size)
                .map(|at| (at * 7 + round).to_le_bytes()[0])
                .collect();
            publisher
                .publish(publish("t", &payload, QoS::AtMostOnce, 0))
                .await;
            publisher
                .publish(publish("t", &payload, QoS::AtLeastOnce, 1))
                .await;
            publisher.expect(Packet::PubAck(ack(1))).await;
            publisher
                .publish(publish("t", &payload, QoS::ExactlyOnce, 2))
                .await;
            publisher.expect(Packet::PubRec(ack(2))).await;
            publisher.send(Packet::PubRel(ack(2))).await;
            publisher.expect(Packet::PubComp(ack(2))).await;
            for _ in 0..3 {
                assert!(
                    subscriber.message().await.payload == payload,
                    "{size} bytes"
                );
            }
        }
    }
}

#[tokio::test]
async fn many_packets_in_one_record_and_one_packet_in_many_records_are_the_same() {
    let place = Place::new().await;
    let mut client = place.v5("client").await;
    client.subscribe("t", ANY).await;
    let mut bytes = Vec::new();
    for id in 1..=500 {
        let packet = Packet::Publish(publish("t", &[7; 20], QoS::AtLeastOnce, id));
        packet.encode(V5, &mut bytes).unwrap();
    }
    client.send_bytes(&bytes).await;
    let (mut acknowledged, mut received) = (0, 0);
    while acknowledged < 500 || received < 500 {
        match client.recv().await {
            Packet::PubAck(_) => acknowledged += 1,
            Packet::Publish(publish) => {
                received += 1;
                client.send(Packet::PubAck(ack(publish.packet_id))).await;
            }
            other => panic!("not {other:?}"),
        }
    }
    let mut bytes = Vec::new();
    let packet = Packet::Publish(publish("t", b"in crumbs", QoS::AtMostOnce, 0));
    packet.encode(V5, &mut bytes).unwrap();
    for byte in bytes {
        client.send_bytes(&[byte]).await;
        client.stream.flush().await.unwrap();
    }
    assert_eq!(client.message().await.payload, "in crumbs");
}

#[tokio::test]
async fn what_robots_publish_is_acknowledged_after_it_is_settled() {
    let mut place = Place::new().await;
    let mut robot = place.v5("robot").await;
    place.server.event().await;
    for (id, qos) in [(1, QoS::AtLeastOnce), (2, QoS::ExactlyOnce)] {
        robot
            .publish(publish("intake/a", &[1; 20_000], qos, id))
            .await;
        let (ticket, payload) = place.server.publish().await;
        assert_eq!(payload.len(), 20_000);
        assert_eq!(
            robot.until_pong().await,
            [],
            "nothing is acknowledged before"
        );
        place.server.accept(ticket);
        let answer = robot.recv().await;
        assert!(matches!(answer, Packet::PubAck(_) | Packet::PubRec(_)));
    }
}

#[tokio::test]
async fn a_full_intake_window_stops_reading_the_socket() {
    let mut place = Place::with(|limits| limits.intake_window = 2, 16).await;
    let robot = place.v5("robot").await;
    place.server.event().await;
    let (mut answers, mut requests) = tokio::io::split(robot.stream);
    let total = 40_000_000_u64;
    let sending = tokio::spawn(async move {
        let mut bytes = Vec::new();
        let packet = Packet::Publish(publish("intake/a", &[7; 60_000], QoS::AtLeastOnce, 1));
        packet.encode(V5, &mut bytes).unwrap();
        let mut sent = 0;
        while sent < total {
            requests.write_all(&bytes).await.unwrap();
            sent += bytes.len() as u64;
        }
        requests.flush().await.unwrap();
    });
    let answering =
        tokio::spawn(async move { tokio::io::copy(&mut answers, &mut tokio::io::sink()).await });
    let mut tickets = Vec::new();
    for _ in 0..2 {
        tickets.push(place.server.publish().await.0);
    }
    // Another client's exchanges give a broker that reads on the time to do so.
    let mut other = place.v5("other").await;
    for _ in 0..50 {
        other.until_pong().await;
    }
    let taken = place.server.handle.metrics().count(Count::BytesIn);
    assert!(taken < 400_000, "{taken} bytes were read");
    assert!(!sending.is_finished());
    loop {
        for ticket in tickets.drain(..) {
            place.server.accept(ticket);
        }
        if place.server.handle.metrics().count(Count::IntakeHanded) * 60_000 >= total {
            break;
        }
        tickets.push(place.server.next_publish().await.0);
    }
    soon("the last byte", sending).await.unwrap();
    answering.abort();
}

#[tokio::test]
async fn a_reader_that_lags_is_disconnected_and_delays_nobody() {
    let place = Place::with(
        |limits| {
            limits.queue_messages = 50;
            limits.send_buffer = 16 * 1024;
        },
        16,
    )
    .await;
    let mut lagging = place.v5("lagging").await;
    lagging.subscribe("flood", ANY).await;
    let mut keen = place.v5("keen").await;
    keen.subscribe("flood", ANY).await;
    let mut publisher = Client::v4(place.server.addr, "publisher").await;
    let payload = vec![7; 60_000];
    let mut sent = 0;
    while place.server.handle.metrics().count(Count::QueueFull) == 0 {
        sent += 1;
        publisher
            .publish(publish("flood", &payload, QoS::AtMostOnce, 0))
            .await;
        assert_eq!(keen.message().await.payload.len(), payload.len());
        assert!(sent < 10_000, "the queue is bounded");
    }
    assert!(place.server.handle.metrics().count(Count::MessageDropped) >= 1);
    // What the socket took before is whole and in order, whatever was cut off after it.
    let mut read = 0;
    while let Some(packet) = lagging.next().await {
        if let Packet::Publish(publish) = packet {
            assert!(publish.payload == payload);
            read += 1;
        }
    }
    assert!(read > 0 && read < sent);
}

#[tokio::test]
async fn a_slow_reader_gets_everything_in_order() {
    let place = Place::with(|limits| limits.send_buffer = 1_024, 16).await;
    let mut slow = place.v5("slow").await;
    slow.subscribe("t", ANY).await;
    let mut publisher = place.v5("publisher").await;
    let size = 40_000;
    for round in 0..20_u8 {
        for id in 1..=10 {
            let packet = publish(
                "t",
                &vec![round * 10 + id; size],
                QoS::AtLeastOnce,
                u16::from(id),
            );
            publisher.publish(packet).await;
        }
        for id in 1..=10 {
            publisher.expect(Packet::PubAck(ack(id))).await;
        }
        for id in 1..=10 {
            assert!(slow.message().await.payload == vec![round * 10 + id; size]);
        }
    }
}

/// Asserts that the server says why, and that nothing more comes: an end without close_notify would be an error.
async fn ends_cleanly(client: &mut TlsClient, code: ReasonCode) {
    client.ends_with(Some(code)).await;
    assert_eq!(client.broken, None);
}

#[tokio::test]
async fn whoever_is_disconnected_hears_why_and_that_nothing_more_comes() {
    let mut place = Place::with(|limits| limits.max_packet_size = 40_000, 1_024).await;
    let (server, addr, config) = (&mut place.server, place.addr, &place.config);

    let mut oversized = pki::open(addr, config, V5, "oversized").await;
    oversized
        .publish(publish("t", &[1; 50_000], QoS::AtMostOnce, 0))
        .await;
    ends_cleanly(&mut oversized, ReasonCode::PacketTooLarge).await;

    let mut silent = connect(V5, "silent");
    silent.keep_alive = 1;
    let mut client = pki::raw(addr, config, V5).await;
    client.introduce(silent).await;
    ends_cleanly(&mut client, ReasonCode::KeepAliveTimeout).await;

    let mut older = pki::open(addr, config, V5, "twice").await;
    let mut newer = pki::open(addr, config, V5, "twice").await;
    ends_cleanly(&mut older, ReasonCode::SessionTakenOver).await;
    let _newest = Client::v5(server.addr, "twice").await;
    ends_cleanly(&mut newer, ReasonCode::SessionTakenOver).await;

    let mut robot = pki::open(addr, config, V5, "robot").await;
    let Event::Connected { connection, .. } = server.event().await else {
        panic!("connected");
    };
    server
        .handle
        .disconnect(connection, ReasonCode::AdministrativeAction, "go");
    ends_cleanly(&mut robot, ReasonCode::AdministrativeAction).await;

    let mut refused = pki::raw(addr, config, V5).await;
    let mut wrong = connect(V5, "robot");
    wrong.username = Some("robot".into());
    wrong.password = Some(Bytes::from_static(b"wrong"));
    let connack = refused.introduce(wrong).await;
    assert_eq!(connack.code, ReasonCode::BadUserNameOrPassword);
    refused.ends_with(None).await;
    assert_eq!(refused.broken, None);

    let mut last = pki::open(addr, config, V5, "last").await;
    let mut shaken = pki::raw(addr, config, V5).await;
    server.counts(Count::TlsHandshakes, 8).await;
    let handle = server.handle.clone();
    let stopping = tokio::spawn(async move { handle.shutdown().await });
    ends_cleanly(&mut last, ReasonCode::ServerShuttingDown).await;
    shaken.ends_with(None).await;
    assert_eq!(shaken.broken, None);
    soon("the end of the broker", stopping).await.unwrap();
}

#[tokio::test]
async fn only_a_disconnect_is_a_leave_however_the_stream_ends() {
    let mut place = Place::new().await;
    let mut watcher = Client::v5(place.server.addr, "watcher").await;
    watcher.subscribe("wills", ANY).await;
    for end in ["leave", "close_notify", "cut", "reset"] {
        let mut dying = connect(V5, "robot");
        dying.will = Some(will("wills", b"lost"));
        let mut client = pki::raw(place.addr, &place.config, V5).await;
        client.introduce(dying).await;
        place.server.event().await;
        match end {
            "leave" => {
                let (code, properties) = (ReasonCode::Success, Properties::none());
                client
                    .send(Packet::Disconnect(Disconnect { code, properties }))
                    .await;
                client.ends_with(None).await;
                assert_eq!(client.broken, None, "close_notify answers a leave too");
            }
            "close_notify" => client.stream.shutdown().await.unwrap(),
            "cut" => drop(client.stream.into_inner().0),
            _ => client.stream.into_inner().0.set_zero_linger().unwrap(),
        }
        let Event::Disconnected { reason, .. } = place.server.event().await else {
            panic!("disconnected");
        };
        if end == "leave" {
            assert_eq!(reason, DisconnectReason::ByClient);
        } else {
            assert_eq!(reason, DisconnectReason::ConnectionLost, "{end}");
            assert_eq!(watcher.message().await.payload, "lost", "{end}");
        }
    }
    assert_eq!(
        place.server.handle.metrics().count(Count::TlsViolation),
        0,
        "an end is no violation"
    );
}

#[tokio::test]
async fn bytes_are_counted_as_they_are_on_the_wire() {
    let mut place = Place::new().await;
    let mut robot = place.v5("robot").await;
    place.server.event().await;
    let before = place.server.handle.metrics();
    robot
        .publish(publish("intake/a", &[7; 30_000], QoS::AtLeastOnce, 1))
        .await;
    let (ticket, _) = place.server.publish().await;
    place.server.handle.settle(ticket, Verdict::Accepted);
    robot.expect(Packet::PubAck(ack(1))).await;
    let after = place.server.handle.metrics();
    let grown = |count| after.count(count) - before.count(count);
    // Two records of 22 bytes more than their content in, and one out.
    let packet = 30_000 + 10 + 1 + 3 + 1 + 2;
    assert_eq!(grown(Count::BytesIn), packet + 2 * 22);
    assert_eq!(grown(Count::BytesOut), 4 + 22);
}
