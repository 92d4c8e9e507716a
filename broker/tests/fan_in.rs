//! Figures, not pass or fail: `cargo test --release -p rollcall-broker --test fan_in -- --ignored --nocapture`.
//!
//! Clients and server share the process and its cores. `ROBOTS` (default 5,000) needs two open files each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{Packet, header};
use rollcall_broker::{BrokerHandle, Count, Event, Limits, QoS, Verdict};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use support::{Server, V4, connect, publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Threads that open connections.
const CONNECTING: usize = 8;

fn robots() -> usize {
    std::env::var("ROBOTS").map_or(5_000, |value| value.parse().unwrap())
}

fn say(line: &str) {
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(line.as_bytes()).unwrap();
    stderr.write_all(b"\n").unwrap();
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn encoded(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(V4, &mut out).unwrap();
    out
}

fn open(addr: SocketAddr, index: usize) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    let connect = connect(V4, &format!("robot/{index}"));
    stream
        .write_all(&encoded(&Packet::Connect(Box::new(connect))))
        .unwrap();
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);
    stream
}

/// Settles everything at once, in batches, as the writer thread does after a commit.
fn owner(mut events: tokio::sync::mpsc::Receiver<Event>, handle: BrokerHandle) {
    let mut batch = Vec::new();
    while events.blocking_recv_many(&mut batch, 10_000) > 0 {
        for event in batch.drain(..) {
            if let Event::Publish { ticket, .. } = event {
                handle.settle(ticket, Verdict::Accepted);
            }
        }
    }
}

async fn robot(
    stream: TcpStream,
    qos: QoS,
    window: u16,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
) {
    stream.set_nonblocking(true).unwrap();
    let mut stream = tokio::net::TcpStream::from_std(stream).unwrap();
    let packet = |id| {
        encoded(&Packet::Publish(publish(
            "intake/event",
            &[7; 200],
            qos,
            id,
        )))
    };
    let mut out = Vec::new();
    for id in 1..=window {
        out.extend(packet(id));
    }
    let mut buffer = Vec::new();
    while !stop.load(Relaxed) {
        stream.write_all(&out).await.unwrap();
        out.clear();
        if stream.read_buf(&mut buffer).await.unwrap() == 0 {
            return;
        }
        let mut at = 0;
        while let Some(found) = header(&buffer[at..], 64).unwrap() {
            let id = [buffer[at + 2], buffer[at + 3]];
            at += found.total();
            if found.first == 0x50 {
                out.extend([0x62, 2, id[0], id[1]]);
            } else {
                done.fetch_add(1, Relaxed);
                out.extend(packet(u16::from_be_bytes(id)));
            }
        }
        buffer.drain(..at);
    }
}

async fn measured(
    handle: &BrokerHandle,
    streams: Vec<TcpStream>,
    qos: QoS,
    window: u16,
) -> (String, Vec<TcpStream>) {
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let copies = streams.iter().map(|s| s.try_clone().unwrap()).collect();
    let load = {
        let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let mut tasks = tokio::task::JoinSet::new();
                for stream in streams {
                    let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
                    tasks.spawn(robot(stream, qos, window, stop, done));
                }
                tasks.join_all().await;
            });
        })
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    let accepted = || handle.metrics().count(Count::IntakeAccepted);
    let (start, seen, settled) = (Instant::now(), done.load(Relaxed), accepted());
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (seen, settled) = (done.load(Relaxed) - seen, accepted() - settled);
    let seconds = start.elapsed().as_secs_f64();
    stop.store(true, Relaxed);
    tokio::task::spawn_blocking(move || load.join().unwrap())
        .await
        .unwrap();
    let rate = format!(
        "{:.0}/s finished at the client, {:.0}/s settled; {:.1} MiB resident",
        seen as f64 / seconds,
        settled as f64 / seconds,
        resident_kib() as f64 / 1024.0,
    );
    (rate, copies)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes seconds and says figures"]
async fn fan_in() {
    let limits = Limits {
        receive_maximum: 4_096,
        ..Limits::default()
    };
    let server = Server::with(limits, 16_384).await;
    let (events, handle, addr) = (server.events, server.handle, server.addr);
    let settling = handle.clone();
    std::thread::spawn(move || owner(events, settling));
    let count = robots();
    let before = resident_kib();
    let start = Instant::now();
    let streams: Vec<_> =
        tokio::task::spawn_blocking(move || (0..count).map(|index| open(addr, index)).collect())
            .await
            .unwrap();
    let took = start.elapsed();
    let kib = resident_kib() - before;
    say(&format!(
        "{count} connects, {CONNECTING} at a time: {:.0}/s; {:.2} KiB per idle connection",
        count as f64 / took.as_secs_f64(),
        kib as f64 / count as f64,
    ));
    let (rate, _kept) = measured(&handle, streams, QoS::AtLeastOnce, 4).await;
    say(&format!("all, qos 1: {rate}"));
    for (qos, first) in [(QoS::AtLeastOnce, 1_000_000), (QoS::ExactlyOnce, 2_000_000)] {
        let streams = tokio::task::spawn_blocking(move || {
            (0..100).map(|index| open(addr, first + index)).collect()
        })
        .await
        .unwrap();
        let (rate, _kept) = measured(&handle, streams, qos, 50).await;
        say(&format!("100, {qos:?}: {rate}"));
    }
}
