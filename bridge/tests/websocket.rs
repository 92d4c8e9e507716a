//! The listener for MQTT over WebSocket: the same robots with the same rights. What it does with frames is tested in the broker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod api_support;

use api_support::Served;
use rollcall::config::WebSocket;
use rollcall_broker::ProtocolVersion;
use rollcall_broker::codec::{Connect, Packet, Properties};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;

const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

fn served(tls: bool) -> (Served, String) {
    let served = Served::with(|config| {
        config.websocket = WebSocket {
            address: "127.0.0.1:0".parse().ok(),
            tls,
            public_url: None,
        };
    });
    let status = served.get("/v1/status").ok();
    let url = status["urls"]["websocket"].as_str().unwrap().to_owned();
    (served, url)
}

fn connect(url: &str) -> TcpStream {
    let (_, rest) = url.split_once("://").unwrap();
    TcpStream::connect(rest.strip_suffix("/mqtt").unwrap()).unwrap()
}

/// The code of the CONNACK for a robot with this secret.
fn introduce(url: &str, secret: &str) -> u8 {
    let mut stream = connect(url);
    stream.write_all(REQUEST.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    let packet = Packet::Connect(Box::new(Connect {
        version: ProtocolVersion::V4,
        clean_start: true,
        keep_alive: 0,
        client_id: "fleet/r1".into(),
        will: None,
        username: Some("fleet/r1".into()),
        password: Some(secret.to_owned().into_bytes().into()),
        properties: Properties::none(),
    }));
    let mut content = Vec::new();
    packet.encode(ProtocolVersion::V4, &mut content).unwrap();
    // A mask of zeros changes nothing.
    let mut frame = vec![
        0x82,
        0x80 | u8::try_from(content.len()).unwrap(),
        0,
        0,
        0,
        0,
    ];
    frame.extend(content);
    stream.write_all(&frame).unwrap();
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..5], [0x82, 4, 0x20, 2, 0]);
    answer[5]
}

#[test]
fn a_robot_is_let_in_with_its_secret_and_nobody_else() {
    let (served, url) = served(false);
    assert!(url.starts_with("ws://127.0.0.1:"), "{url}");
    let robot: Value = served.robot("r1", "board");
    let secret = robot["credentials_secret"].as_str().unwrap();
    assert_eq!(introduce(&url, secret), 0);
    assert_ne!(introduce(&url, "another"), 0);
    let mut elsewhere = connect(&url);
    elsewhere
        .write_all(REQUEST.replace("/mqtt", "/").as_bytes())
        .unwrap();
    let mut answer = String::new();
    elsewhere.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let metrics = served.get("/metrics").text();
    let counted = "rollcall_mqtt_events_total{kind=\"websocket_not_asked\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn with_tls_nothing_is_said_in_clear() {
    let (_served, url) = served(true);
    assert!(url.starts_with("wss://127.0.0.1:"), "{url}");
    let mut stream = connect(&url);
    stream.write_all(REQUEST.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // The rest of the request may reset the connection.
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer.first(), Some(&0x15), "an alert of TLS");
}
