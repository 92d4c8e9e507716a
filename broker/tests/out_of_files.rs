//! Alone in its process, because it takes all files away.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::Count;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use support::{Client, Server, soon};

#[tokio::test]
async fn running_out_of_files_neither_ends_nor_spins_the_listener() {
    let server = Server::start().await;
    let mut early = Client::v4(server.addr, "early").await;
    let mut limit = getrlimit(Resource::Nofile);
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
    limit.current = Some(u64::try_from(open + 20).unwrap());
    setrlimit(Resource::Nofile, limit).unwrap();
    // Each connection takes a file here and one in the listener, until the listener has none.
    let mut taken = Vec::new();
    while let Ok(stream) = TcpStream::connect(server.addr) {
        taken.push(stream);
        tokio::task::yield_now().await;
    }
    soon("a failed accept", async {
        while server.handle.metrics().count(Count::AcceptErrors) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(early.until_pong().await, [], "who is in is served");
    let failures = || u128::from(server.handle.metrics().count(Count::AcceptErrors));
    let (start, before) = (Instant::now(), failures());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let failed = failures() - before;
    let allowed = 2 + start.elapsed().as_millis() / 50;
    assert!(failed <= allowed, "{failed} failures are a spin");
    drop(taken);
    Client::v4(server.addr, "late").await;
}
