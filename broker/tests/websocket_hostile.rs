//! Clients that break the rules of HTTP or WebSocket: each ends alone, answered and counted, and nobody notices.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::Packet;
use rollcall_broker::{Count, Limits, QoS};
use std::net::SocketAddr;
use std::time::Duration;
use support::websocket::{self, REQUEST, Raw, WsClient, frame};
use support::{ANY, Client, Server, V5, ack, connect, publish, soon};
use tokio::io::AsyncWriteExt;

struct Place {
    server: Server,
    addr: SocketAddr,
    /// A client that wants nothing but to be served.
    innocent: WsClient,
}

impl Place {
    async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let server = Server::with(limits, 16).await;
        let addr = server.websocket_listener(None).await;
        let innocent = websocket::open(addr, V5, "innocent").await;
        Self {
            server,
            addr,
            innocent,
        }
    }

    /// A connection that has sent its CONNECT and was accepted.
    async fn connected(&self) -> Raw {
        let mut raw = Raw::granted(self.addr).await;
        let mut bytes = Vec::new();
        let packet = Packet::Connect(Box::new(connect(V5, "hostile")));
        packet.encode(V5, &mut bytes).unwrap();
        raw.send(&frame(0x82, &bytes)).await;
        assert_eq!(raw.frame().await.1[0], 0x20, "connack");
        raw
    }

    async fn nobody_else_noticed(&mut self) {
        self.innocent
            .publish(publish("t", b"x", QoS::AtLeastOnce, 1))
            .await;
        self.innocent.expect(Packet::PubAck(ack(1))).await;
    }
}

/// A data frame's header with a length of eight bytes.
fn long(length: u64) -> Vec<u8> {
    let mut bytes = vec![0x82, 0xff];
    bytes.extend(length.to_be_bytes());
    bytes.extend([1, 2, 3, 4]);
    bytes
}

#[tokio::test]
async fn every_broken_rule_of_frames_ends_the_connection_with_its_code() {
    let mut place = Place::new().await;
    let unfinished = [frame(0x02, b"\xc0"), frame(0x82, b"\0")].concat();
    let unmasked = [0x82, 2, 0xc0, 0];
    let cases: &[(&str, &[u8], Count, u16)] = &[
        ("unmasked", &unmasked, Count::WebSocketUnmasked, 1002),
        // MQTT-6.0.0-1.
        (
            "text",
            &frame(0x81, b"\xc0\0"),
            Count::WebSocketNotBinary,
            1003,
        ),
        (
            "above any packet",
            &long(16 << 20),
            Count::WebSocketFrameTooLarge,
            1009,
        ),
        (
            "2^62 bytes",
            &long(1 << 62),
            Count::WebSocketFrameTooLarge,
            1009,
        ),
        ("2^64 - 1", &long(u64::MAX), Count::WebSocketMalformed, 1002),
        (
            "longer than needed",
            &long(10),
            Count::WebSocketMalformed,
            1002,
        ),
        (
            "compressed",
            &frame(0xc2, b"\xc0\0"),
            Count::WebSocketMalformed,
            1002,
        ),
        (
            "no such opcode",
            &frame(0x83, b"\xc0\0"),
            Count::WebSocketMalformed,
            1002,
        ),
        (
            "continues nothing",
            &frame(0x80, b"\xc0\0"),
            Count::WebSocketMalformed,
            1002,
        ),
        (
            "a message within one",
            &unfinished,
            Count::WebSocketMalformed,
            1002,
        ),
        (
            "a ping in parts",
            &frame(0x09, b"x"),
            Count::WebSocketMalformed,
            1002,
        ),
        (
            "a long ping",
            &frame(0x89, &[7; 126]),
            Count::WebSocketMalformed,
            1002,
        ),
        (
            "half a code",
            &frame(0x88, &[3]),
            Count::WebSocketMalformed,
            1002,
        ),
    ];
    for (what, bytes, count, code) in cases {
        // Right after the request, and after CONNECT.
        for has_connected in [false, true] {
            let before = place.server.handle.metrics().count(*count);
            let lost = place.server.handle.metrics().count(Count::ConnectionLost);
            let mut raw = if has_connected {
                place.connected().await
            } else {
                Raw::granted(place.addr).await
            };
            raw.send(bytes).await;
            let close = (0x88, code.to_be_bytes().to_vec());
            assert_eq!(raw.frame().await, close, "{what}");
            assert_eq!(raw.rest().await, [], "{what}");
            place.server.counts(*count, before + 1).await;
            let lost = lost + u64::from(has_connected);
            place.server.counts(Count::ConnectionLost, lost).await;
            place.nobody_else_noticed().await;
        }
    }
}

#[tokio::test]
async fn requests_for_anything_else_get_an_answer_of_http() {
    let mut place = Place::new().await;
    for (from, to, status, count) in [
        ("/mqtt", "/", "404", Count::WebSocketNotAsked),
        ("GET", "POST", "405", Count::WebSocketNotAsked),
        (
            "Upgrade: websocket\r\n",
            "",
            "426",
            Count::WebSocketNotAsked,
        ),
        (
            "Version: 13",
            "Version: 12",
            "426",
            Count::WebSocketVersionRefused,
        ),
        (
            "HTTP/1.1",
            "HTTP/1.0",
            "505",
            Count::WebSocketRequestMalformed,
        ),
        ("Host:", "Host", "400", Count::WebSocketRequestMalformed),
        (
            "Key: dGhl",
            "Key: ",
            "400",
            Count::WebSocketRequestMalformed,
        ),
        // MQTT-6.0.0-3.
        (
            "Protocol: mqtt",
            "Protocol: amqp",
            "400",
            Count::WebSocketSubprotocolRefused,
        ),
        (
            "Sec-WebSocket-Protocol: mqtt\r\n",
            "",
            "400",
            Count::WebSocketSubprotocolRefused,
        ),
        (
            "GET ",
            "\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01a",
            "400",
            Count::WebSocketRequestMalformed,
        ),
    ] {
        let before = place.server.handle.metrics().count(count);
        let mut raw = Raw::new(place.addr).await;
        raw.send(REQUEST.replace(from, to).as_bytes()).await;
        let answer = String::from_utf8(raw.rest().await).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(answer.contains("Connection: close\r\n"), "{answer}");
        place.server.counts(count, before + 1).await;
    }
    place.nobody_else_noticed().await;
}

#[tokio::test]
async fn a_request_without_end_is_cut_off_at_its_limit() {
    let mut place = Place::new().await;
    let before = place.server.handle.metrics().count(Count::BytesIn);
    let mut raw = Raw::new(place.addr).await;
    raw.send(b"GET /mqtt HTTP/1.1\r\n").await;
    let (mut reading, mut writing) = raw.stream.split();
    let endless = async {
        // The server has had enough before the last byte.
        while writing
            .write_all(b"Cookie: yet another one\r\n")
            .await
            .is_ok()
        {}
    };
    let mut answer = Vec::new();
    let ended = async {
        // The rest of what was sent may reset the connection.
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut answer).await;
    };
    soon("the end", async { tokio::join!(endless, ended) }).await;
    assert!(answer.starts_with(b"HTTP/1.1 431 "));
    place
        .server
        .counts(Count::WebSocketRequestTooLarge, 1)
        .await;
    let read = place.server.handle.metrics().count(Count::BytesIn) - before;
    assert!(read < 64 * 1024, "{read} bytes were read");
    place.nobody_else_noticed().await;
}

#[tokio::test]
async fn requests_and_connects_that_never_end_are_closed_in_time_and_delay_nobody() {
    let limits = Limits {
        connect_timeout: Duration::from_millis(300),
        max_handshaking: 8,
        ..Limits::default()
    };
    let mut place = Place::with(limits).await;
    let mut stuck = Vec::new();
    for beginning in ["", "GET", &REQUEST[..REQUEST.len() - 1]] {
        let mut raw = Raw::new(place.addr).await;
        raw.send(beginning.as_bytes()).await;
        stuck.push(raw);
    }
    for beginning in [&b""[..], &[0x82], &frame(0x02, b"\x10")] {
        let mut raw = Raw::granted(place.addr).await;
        raw.send(beginning).await;
        stuck.push(raw);
    }
    place.nobody_else_noticed().await;
    for raw in &mut stuck {
        raw.rest().await;
    }
    place.server.counts(Count::ConnectTimeout, 6).await;
    soon("their places to be free", async {
        while place.server.handle.metrics().handshaking > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn more_requests_at_once_than_may_be_are_closed() {
    let limits = Limits {
        max_handshaking: 4,
        ..Limits::default()
    };
    let place = Place::with(limits).await;
    let mut stuck = Vec::new();
    for _ in 0..4 {
        stuck.push(Raw::granted(place.addr).await);
    }
    let mut fifth = Raw::new(place.addr).await;
    assert_eq!(fifth.rest().await, []);
    place.server.counts(Count::HandshakeLimit, 1).await;
    // The other listener has its own places.
    Client::v5(place.server.addr, "socket").await;
    drop(stuck);
}

#[tokio::test]
async fn a_violation_does_not_undo_what_was_acknowledged_before() {
    let mut place = Place::new().await;
    place.innocent.subscribe("t", ANY).await;
    let mut raw = place.connected().await;
    let mut bytes = Vec::new();
    Packet::Publish(publish("t", b"kept", QoS::AtLeastOnce, 9))
        .encode(V5, &mut bytes)
        .unwrap();
    raw.send(&frame(0x82, &bytes)).await;
    assert_eq!(raw.frame().await.1[0], 0x40, "puback");
    raw.send(&frame(0x81, b"text")).await;
    assert_eq!(raw.frame().await, (0x88, 1003_u16.to_be_bytes().to_vec()));
    assert_eq!(place.innocent.message().await.payload, "kept");
}
