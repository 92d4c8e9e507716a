//! Figures, not pass or fail: `cargo test --release -p rollcall-broker --test tls_storm -- --ignored --nocapture`.
//!
//! What a client that is connected notices of 2,000 others that all send their ClientHello at one moment. They are
//! prepared before and never answer, so nearly all the work is the server's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::Packet;
use rollcall_broker::{Limits, QoS};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use support::pki::{self, Ca};
use support::{Server, V4, connect, publish};

const CLIENTS: usize = 2_000;

fn encoded(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(V4, &mut out).unwrap();
    out
}

fn exchange(stream: &mut TcpStream, packet: &[u8]) -> Duration {
    let start = Instant::now();
    stream.write_all(packet).unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    start.elapsed()
}

/// Publishes with QoS 1, one after the other, until told to stop; how long each took.
fn work(addr: SocketAddr, stop: &AtomicBool) -> Vec<Duration> {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    let hello = encoded(&Packet::Connect(Box::new(connect(V4, "working"))));
    exchange(&mut stream, &hello);
    let packet = encoded(&Packet::Publish(publish(
        "t",
        &[7; 100],
        QoS::AtLeastOnce,
        1,
    )));
    let mut took = Vec::new();
    while !stop.load(Relaxed) {
        took.push(exchange(&mut stream, &packet));
    }
    took
}

fn client_hello(ca: &Ca) -> Vec<u8> {
    let mut client = rustls::ClientConnection::new(ca.client(None), pki::localhost()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// Lets all speak at once, and waits for every answer; how long that took.
fn storm(mut streams: Vec<TcpStream>, hello: &[u8]) -> Duration {
    let start = Instant::now();
    for stream in &mut streams {
        stream.write_all(hello).unwrap();
    }
    for stream in &mut streams {
        stream.read_exact(&mut [0; 100]).unwrap();
    }
    start.elapsed()
}

fn say(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let at = |percent: usize| took[took.len() * percent / 100];
    let line = format!(
        "{what}: {} round trips, median {:?}, p99 {:?}, longest {:?}\n",
        took.len(),
        at(50),
        at(99),
        took[took.len() - 1]
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "says figures"]
async fn what_others_notice_of_a_storm_of_handshakes() {
    let limits = Limits {
        max_handshaking: 2 * CLIENTS,
        connect_timeout: Duration::from_secs(60),
        ..Limits::default()
    };
    let (server, ca) = (Server::with(limits, 16).await, Ca::new("ca"));
    let (plain, addr) = (server.addr, server.tls_listener(ca.tls()).await);
    let measured = tokio::task::spawn_blocking(move || {
        let hello = client_hello(&ca);
        for round in 1..=5 {
            let connect = |_| TcpStream::connect(addr).unwrap();
            let streams = (0..CLIENTS).map(connect).collect();
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let working = scope.spawn(|| work(plain, &stop));
                let took = storm(streams, &hello);
                stop.store(true, Relaxed);
                say(
                    &format!("round {round}, storm of {took:?}"),
                    working.join().unwrap(),
                );
            });
        }
    });
    measured.await.unwrap();
}
