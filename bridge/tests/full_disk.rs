//! A disk that fills up: intake stops in a visible state before anything breaks, nothing is acknowledged meanwhile, and
//! it goes on by itself when there is room again.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use rollcall::artifacts::{self, Artifacts};
use rollcall::store::space::Space;
use rollcall::store::{Options, RedbStore};
use rollcall::writer::{self, Bridge, CommandError, Running, Settings, Setup};
use rollcall_engine::{Actor, Command, GroupName};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const RESERVE: u64 = 1_000;

/// A disk whose room the test decides.
#[derive(Debug, Clone)]
struct FakeSpace(Arc<AtomicU64>);

impl Space for FakeSpace {
    fn available(&self) -> io::Result<u64> {
        Ok(self.0.load(SeqCst))
    }
}

fn start(
    directory: &std::path::Path,
    space: FakeSpace,
) -> (Running, mpsc::Sender<rollcall_broker::Event>) {
    let (store, recovered) = RedbStore::open(directory, Options::default()).unwrap();
    let (sender, events) = mpsc::channel(1);
    let artifacts = Arc::new(
        Artifacts::open(
            directory,
            "http://127.0.0.1:1",
            artifacts::Settings::default(),
        )
        .unwrap(),
    );
    let settings = Settings {
        disk_reserve_bytes: RESERVE,
        housekeeping: Duration::from_millis(1),
        ..Settings::default()
    };
    let setup = Setup {
        store,
        recovered,
        realm: "fleet".to_owned(),
        artifacts,
        space: Box::new(space),
        settings,
        events,
        broker: Arc::default(),
    };
    (writer::spawn(setup).unwrap(), sender)
}

fn add_group(name: &str) -> Command {
    Command::AddGroup {
        name: GroupName::new(name).unwrap(),
        robots: Vec::new(),
    }
}

async fn groups(bridge: &Bridge) -> usize {
    bridge
        .query(|view| view.state.groups().count())
        .await
        .unwrap()
}

async fn until(done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "it did not happen");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn intake_stops_before_the_disk_is_full_and_starts_again_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let room = Arc::new(AtomicU64::new(10 * RESERVE));
    let (running, events) = start(directory.path(), FakeSpace(Arc::clone(&room)));
    let bridge = running.bridge;
    let by = || Actor("op".to_owned());
    bridge.command(by(), add_group("before")).await.unwrap();

    room.store(RESERVE - 1, SeqCst);
    until(|| bridge.status().intake_stopped().is_some()).await;
    let refused = bridge
        .command(by(), add_group("meanwhile"))
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, CommandError::IntakeStopped { why } if why.contains("free some space")),
        "{refused}"
    );
    assert_eq!(
        groups(&bridge).await,
        1,
        "questions are answered all the same"
    );

    // Robots' doings wait unacknowledged: the writer takes nothing from its channel.
    let event = || rollcall_broker::Event::Disconnected {
        connection: rollcall_broker::ConnectionId(1),
        tag: 1,
        reason: rollcall_broker::DisconnectReason::ByClient,
    };
    events.send(event()).await.unwrap();
    assert!(
        events.try_send(event()).is_err(),
        "the channel stays full, so sockets are not read"
    );

    room.store(10 * RESERVE, SeqCst);
    until(|| bridge.status().intake_stopped().is_none()).await;
    events.send(event()).await.unwrap();
    bridge.command(by(), add_group("after")).await.unwrap();
    assert_eq!(groups(&bridge).await, 2);
    bridge.shutdown().await;
    running.stopped.await.unwrap().unwrap();
}
