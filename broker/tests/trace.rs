//! What the log says of messages to whoever follows one client.
//!
//! The only test of its process: tracing keeps one answer for each place in the code that speaks, whoever listens, and a
//! second thread that asks first would have this one told that nobody wants to hear.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::QoS;
use rollcall_broker::codec::Packet;
use std::io;
use std::sync::{Arc, Mutex};
use support::{ANY, Client, Server, V5, ack, connect, publish};
use tracing_subscriber::EnvFilter;

/// A log that a test can read.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The log of this process.
    fn filtered(filter: &str) -> Self {
        let log = Self::default();
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(filter))
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        log
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A client that proves who it is, and sends itself a message.
async fn talk(server: &Server, id: &str) {
    let mut connect = connect(V5, id);
    connect.username = Some(id.into());
    connect.password = Some("a secret word".into());
    let mut client = Client::open(server.addr, connect).await;
    client.subscribe("news", ANY).await;
    client
        .publish(publish("news", b"a secret payload", QoS::AtLeastOnce, 7))
        .await;
    client.expect(Packet::PubAck(ack(7))).await;
    assert_eq!(client.message().await.payload, "a secret payload");
    client.until_pong().await;
}

#[tokio::test]
async fn one_client_can_be_followed_packet_by_packet_and_no_secret_is_said() {
    let log = Log::filtered("info,[connection{client_id=fleet/r-1}]=trace");
    let server = Server::start().await;
    for id in ["fleet/r-1", "fleet/r-10", "fleet/r-2"] {
        talk(&server, id).await;
    }
    let text = log.text();
    for said in [
        "connection{client_id=\"fleet/r-1\" peer=127.0.0.1:",
        "received kind=Some(Subscribe)",
        "sent kind=Some(SubAck)",
        "received kind=Some(Publish)",
        "publish topic=\"news\" qos=AtLeastOnce retain=false packet_id=7 bytes=16",
        "message topic=\"news\" qos=AtLeastOnce bytes=16",
        "sent kind=Some(PubAck)",
        "received kind=Some(PubAck)",
        "sent kind=Some(Publish)",
        "sent kind=Some(PingResp)",
    ] {
        assert!(text.contains(said), "{said:?} is not in\n{text}");
    }
    assert!(!text.contains("r-10") && !text.contains("r-2"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}
