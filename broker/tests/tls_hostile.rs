//! Clients that complete the handshake and break the rules of TLS then: each ends alone, counted, and nobody notices.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::Packet;
use rollcall_broker::{Count, QoS};
use rustls::{ContentType, SupportedProtocolVersion};
use std::net::SocketAddr;
use support::forger::Forger;
use support::pki::{self, Ca, TlsClient};
use support::{ANY, Client, Server, V5, ack, publish, soon, subscription};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;
const TLS12: &SupportedProtocolVersion = &rustls::version::TLS12;

const BAD_RECORD_MAC: u8 = 20;
const DECODE_ERROR: u8 = 50;

struct Place {
    server: Server,
    addr: SocketAddr,
    ca: Ca,
    /// A client that wants nothing but to be served.
    innocent: TlsClient,
    violations: u64,
}

impl Place {
    async fn new() -> Self {
        let (server, ca) = (Server::start().await, Ca::new("ca"));
        let addr = server.tls_listener(ca.tls()).await;
        let innocent = pki::open(addr, &ca.client(None), V5, "innocent").await;
        Self {
            server,
            addr,
            ca,
            innocent,
            violations: 0,
        }
    }

    async fn forger(&self, version: &'static SupportedProtocolVersion) -> Forger {
        Forger::open(self.addr, &self.ca, version, "forger").await
    }

    /// Asserts that one more violation is counted and that nobody else noticed.
    async fn counts_one_more(&mut self) {
        self.violations += 1;
        self.server
            .counts(Count::TlsViolation, self.violations)
            .await;
        self.server
            .counts(Count::ConnectionLost, self.violations)
            .await;
        self.innocent
            .publish(publish("t", b"x", QoS::AtLeastOnce, 1))
            .await;
        self.innocent.expect(Packet::PubAck(ack(1))).await;
    }
}

#[tokio::test]
async fn records_that_nobody_could_have_sealed_end_the_connection() {
    let mut place = Place::new().await;
    for version in [TLS12, TLS13] {
        let cases: [(&[u8], u8); 6] = [
            (
                b"\x17\x03\x03\x00\x20garbage garbage garbage garbage.",
                BAD_RECORD_MAC,
            ),
            (b"\x17\x03\x03\x00\x05hello", BAD_RECORD_MAC),
            (b"\x16\x03\x03\x00\x04\x01\x00\x00\x00", BAD_RECORD_MAC),
            (b"\x17\x03\x03\x00\x00", BAD_RECORD_MAC),
            // There is no such type, and no record of that size.
            (b"\x00\x03\x03\x00\x01\x00", DECODE_ERROR),
            (b"\x17\x03\x03\xff\xff", DECODE_ERROR),
        ];
        for (bytes, alert) in cases {
            let mut forger = place.forger(version).await;
            forger.stream.write_all(bytes).await.unwrap();
            forger.ends_with_alert(Some(alert)).await;
            place.counts_one_more().await;
        }
    }
}

#[tokio::test]
async fn a_record_that_is_sealed_twice_ends_the_connection() {
    let mut place = Place::new().await;
    let mut forger = place.forger(TLS13).await;
    let record = forger.record(ContentType::ApplicationData, &[0xc0, 0]);
    forger.stream.write_all(&record).await.unwrap();
    assert_eq!(forger.recv().await.unwrap().1, [0xd0, 0]);
    forger.stream.write_all(&record).await.unwrap();
    forger.ends_with_alert(Some(BAD_RECORD_MAC)).await;
    place.counts_one_more().await;
}

#[tokio::test]
async fn empty_records_without_end_end_the_connection() {
    let mut place = Place::new().await;
    for version in [TLS12, TLS13] {
        let mut forger = place.forger(version).await;
        for _ in 0..5 {
            forger.send(ContentType::ApplicationData, b"").await;
        }
        forger.send(ContentType::ApplicationData, &[0xc0, 0]).await;
        assert_eq!(forger.recv().await.unwrap().1, [0xd0, 0], "a few are legal");
        let mut flood = Vec::new();
        for _ in 0..1_000 {
            flood.extend(forger.record(ContentType::ApplicationData, b""));
        }
        // The server may have had enough before the last byte.
        let _ = forger.stream.write_all(&flood).await;
        while forger.recv().await.is_some() {}
        place.counts_one_more().await;
    }
}

#[tokio::test]
async fn messages_of_the_handshake_after_it_end_the_connection() {
    let mut place = Place::new().await;
    // ClientHello, Finished, Certificate, a ticket, and a type that does not exist.
    for kind in [1, 20, 11, 4, 99] {
        let mut forger = place.forger(TLS13).await;
        forger
            .send(ContentType::Handshake, &[kind, 0, 0, 1, 0])
            .await;
        while forger.recv().await.is_some() {}
        place.counts_one_more().await;
    }
    let mut forger = place.forger(TLS13).await;
    forger.send(ContentType::ChangeCipherSpec, &[1]).await;
    while forger.recv().await.is_some() {}
    place.counts_one_more().await;
}

#[tokio::test]
async fn a_second_renegotiation_ends_the_connection() {
    let mut place = Place::new().await;
    let mut forger = place.forger(TLS12).await;
    let hello = {
        let config = place.ca.client_of(None, &[TLS12]);
        let mut client = rustls::ClientConnection::new(config, pki::localhost()).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes.split_off(5)
    };
    forger.send(ContentType::Handshake, &hello).await;
    let no_renegotiation = (ContentType::Alert, vec![1, 100]);
    assert_eq!(forger.recv().await, Some(no_renegotiation));
    forger.send(ContentType::ApplicationData, &[0xc0, 0]).await;
    assert_eq!(forger.recv().await.unwrap().1, [0xd0, 0]);
    forger.send(ContentType::Handshake, &hello).await;
    while forger.recv().await.is_some() {}
    place.counts_one_more().await;
}

#[tokio::test]
async fn keys_may_change_now_and_then_but_not_without_end() {
    let mut place = Place::new().await;
    let config = place.ca.client(None);
    let mut client = pki::open(place.addr, &config, V5, "changing").await;
    client.subscribe("t", ANY).await;
    for round in 0..100_u8 {
        client.stream.get_mut().1.refresh_traffic_keys().unwrap();
        client
            .publish(publish("t", &[round; 20_000], QoS::AtMostOnce, 0))
            .await;
        assert!(client.message().await.payload == vec![round; 20_000]);
    }
    for _ in 0..1_000 {
        client.stream.get_mut().1.refresh_traffic_keys().unwrap();
    }
    // The server may have had enough before the last byte.
    let _ = client.stream.flush().await;
    while client.next().await.is_some() {}
    place.counts_one_more().await;
}

/// rustls remembers where in the input the first half lies, and would look there again.
#[tokio::test]
async fn half_a_message_of_tls_does_not_disturb_what_is_sent_meanwhile() {
    let mut place = Place::new().await;
    let mut forger = place.forger(TLS13).await;
    let mut subscribe = Vec::new();
    subscription(1, "t", ANY)
        .encode(V5, &mut subscribe)
        .unwrap();
    forger.send(ContentType::ApplicationData, &subscribe).await;
    forger.recv().await.unwrap();
    let key_update = [24, 0, 0, 1, 0];
    for cut in [1, 4] {
        forger
            .send(ContentType::Handshake, &key_update[..cut])
            .await;
        for payload in ["one", "two"] {
            place
                .innocent
                .publish(publish("t", payload.as_bytes(), QoS::AtMostOnce, 0))
                .await;
            let (typ, packet) = forger.recv().await.unwrap();
            assert_eq!(typ, ContentType::ApplicationData);
            assert!(packet.ends_with(payload.as_bytes()));
        }
        if cut == 1 {
            // Anything but the other half is a breach.
            forger.send(ContentType::ApplicationData, &[0xc0, 0]).await;
            while forger.recv().await.is_some() {}
            place.counts_one_more().await;
            forger = place.forger(TLS13).await;
            forger.send(ContentType::ApplicationData, &subscribe).await;
            forger.recv().await.unwrap();
        }
    }
    forger.send(ContentType::Handshake, &key_update[4..]).await;
    place
        .innocent
        .publish(publish("t", b"three", QoS::AtMostOnce, 0))
        .await;
    assert!(forger.recv().await.unwrap().1.ends_with(b"three"));
}

#[tokio::test]
async fn a_message_of_tls_in_crumbs_is_cut_off() {
    let mut place = Place::new().await;
    let mut forger = place.forger(TLS13).await;
    // A message of 60,000 bytes, of which rustls would keep the records until it is whole.
    forger
        .send(ContentType::Handshake, &[24, 0, 0xea, 0x60])
        .await;
    let mut crumbs = Vec::new();
    for _ in 0..60_000 {
        crumbs.extend(forger.record(ContentType::Handshake, &[0]));
    }
    let before = place.server.handle.metrics().count(Count::BytesIn);
    let mut answer = Vec::new();
    soon("the end", async {
        // The server may have had enough before the last byte.
        let _ = forger.stream.write_all(&crumbs).await;
        let _ = forger.stream.read_to_end(&mut answer).await;
    })
    .await;
    let read = place.server.handle.metrics().count(Count::BytesIn) - before;
    assert!(read < 100_000, "{read} bytes were read");
    place.counts_one_more().await;
}

#[tokio::test]
async fn alerts_end_the_connection_and_what_follows_them_is_not_heard() {
    let mut place = Place::new().await;
    let mut watcher = Client::v5(place.server.addr, "watcher").await;
    watcher.subscribe("after", ANY).await;
    let mut packet = Vec::new();
    Packet::Publish(publish("after", b"too late", QoS::AtMostOnce, 0))
        .encode(V5, &mut packet)
        .unwrap();
    // A fatal one, an unknown one, one that is cut short.
    for alert in [&[2, 40][..], &[2, 255], &[2]] {
        let mut forger = place.forger(TLS13).await;
        let mut bytes = forger.record(ContentType::Alert, alert);
        bytes.extend(forger.record(ContentType::ApplicationData, &packet));
        forger.stream.write_all(&bytes).await.unwrap();
        while forger.recv().await.is_some() {}
        place.counts_one_more().await;
    }
    // The client's close_notify is no violation, but nothing comes after it either.
    let mut forger = place.forger(TLS13).await;
    let mut bytes = forger.record(ContentType::Alert, &[1, 0]);
    bytes.extend(forger.record(ContentType::ApplicationData, &packet));
    forger.stream.write_all(&bytes).await.unwrap();
    while forger.recv().await.is_some() {}
    assert_eq!(watcher.until_pong().await, []);
}

#[tokio::test]
async fn a_violation_before_connect_is_counted_as_one() {
    let place = Place::new().await;
    let config = place.ca.client(None);
    let stream = pki::secure(place.addr, &config).await.unwrap();
    place.server.counts(Count::TlsHandshakes, 2).await;
    let mut stream = stream.into_inner().0;
    stream
        .write_all(b"\x17\x03\x03\x00\x20garbage garbage garbage garbage.")
        .await
        .unwrap();
    let mut answer = Vec::new();
    soon("the end", stream.read_to_end(&mut answer))
        .await
        .unwrap();
    assert!(!answer.is_empty(), "an alert");
    place.server.counts(Count::TlsViolation, 1).await;
    place.server.counts(Count::ConnectionLost, 0).await;
}
