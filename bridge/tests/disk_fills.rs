//! A real disk that fills up while the server runs: a tmpfs of its own. Skipped where nothing may be mounted.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests fail by panicking, and say so when they are skipped"
)]

mod process;

use bytes::Bytes;
use process::{Line, OPEN, PATIENCE, ServerProcess};
use rollcall_broker::QoS;
use rollcall_broker::codec::{
    Packet, Properties, Publish, Subscribe, SubscribeOptions, Subscription,
};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A file system in memory that ends with the test.
struct Disk {
    directory: tempfile::TempDir,
}

impl Disk {
    fn mount(megabytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "rollcall-test"])
            .arg(directory.path())
            .output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self { directory });
        }
        eprintln!("skipped: a tmpfs cannot be mounted here (needs root)");
        None
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Leaves `megabytes` free.
    fn fill(&self, megabytes: u64) {
        let stat = rustix::fs::statvfs(self.path()).unwrap();
        let free = stat.f_bavail * stat.f_frsize;
        let mut file = File::create(self.ballast()).unwrap();
        let chunk = vec![0; 4_096];
        for _ in 0..(free - (megabytes << 20).min(free)) / 4_096 {
            if file.write_all(&chunk).is_err() {
                return;
            }
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server that a failing test left behind may still have files open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// An absent client for which everything below `open/` is kept.
fn leave_a_subscriber(server: &ServerProcess) {
    let (mut line, _) = Line::connect(server.mqtt, "subscriber", false);
    let subscribe = Packet::Subscribe(Subscribe {
        packet_id: 1,
        properties: Properties::none(),
        subscriptions: vec![Subscription {
            filter: "open/#".into(),
            options: SubscribeOptions::qos(QoS::AtLeastOnce),
        }],
    });
    line.send(&subscribe).unwrap();
    assert!(matches!(line.packet(), Some(Packet::SubAck(_))));
}

fn publish(line: &mut Line, packet_id: u16) {
    let publish = Packet::Publish(Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: "open/news".into(),
        packet_id,
        properties: Properties::none(),
        payload: Bytes::from_static(b"news"),
    });
    line.send(&publish).unwrap();
}

/// Everything that the server says before it answers a ping.
fn until_pong(line: &mut Line) -> Vec<Packet> {
    line.send(&Packet::PingReq).unwrap();
    let mut packets = Vec::new();
    loop {
        match line.packet().unwrap() {
            Packet::PingResp => return packets,
            packet => packets.push(packet),
        }
    }
}

fn wait_for_intake(server: &ServerProcess, stopped: bool) {
    let deadline = Instant::now() + PATIENCE;
    while server.get("/v1/status")["writer"]["intake_stopped"].is_null() == stopped {
        assert!(Instant::now() < deadline, "intake stopped: {stopped}");
        std::thread::yield_now();
    }
}

#[test]
fn intake_stops_while_the_reserve_is_touched_and_nothing_is_acknowledged_meanwhile() {
    let Some(disk) = Disk::mount(96) else { return };
    let settings = format!("[store]\nreserve = \"48 MiB\"\n{OPEN}");
    let mut server = ServerProcess::start(disk.path(), &settings);
    leave_a_subscriber(&server);
    let (mut line, _) = Line::connect(server.mqtt, "publisher", false);
    publish(&mut line, 1);
    assert!(matches!(line.packet(), Some(Packet::PubAck(ack)) if ack.packet_id == 1));

    disk.fill(40);
    wait_for_intake(&server, true);
    let ready = ureq::get(format!("{}/readyz", server.api)).call();
    assert!(
        matches!(ready, Err(ureq::Error::StatusCode(503))),
        "{ready:?}"
    );
    publish(&mut line, 2);
    assert_eq!(
        until_pong(&mut line),
        [],
        "what is not stored is not acknowledged"
    );

    disk.make_room();
    assert!(matches!(line.packet(), Some(Packet::PubAck(ack)) if ack.packet_id == 2));
    wait_for_intake(&server, false);
    server.kill();
    server.restart();
    let (mut subscriber, _) = Line::connect(server.mqtt, "subscriber", false);
    for _ in 0..2 {
        assert!(matches!(subscriber.packet(), Some(Packet::Publish(_))));
    }
}

#[test]
fn a_disk_that_is_really_full_ends_the_server_and_loses_nothing_acknowledged() {
    let Some(disk) = Disk::mount(64) else { return };
    // A reserve that protects nobody: somebody else has filled the disk faster than it could be seen.
    let settings = format!("[store]\nreserve = 0\n{OPEN}");
    let mut server = ServerProcess::start(disk.path(), &settings);
    leave_a_subscriber(&server);
    let (mut line, _) = Line::connect(server.mqtt, "publisher", false);
    disk.fill(0);
    let mut acknowledged = 0;
    for id in 1..=u16::MAX {
        publish(&mut line, id);
        match line.packet() {
            Some(Packet::PubAck(_)) => acknowledged += 1,
            None => break,
            Some(other) => panic!("{other:?}"),
        }
    }
    assert!(
        !server.wait_for_end(),
        "it does not go on as if nothing had happened"
    );
    let log = server.log();
    assert!(log.contains("commit failed"), "{log}");

    disk.make_room();
    server.restart();
    let (mut subscriber, _) = Line::connect(server.mqtt, "subscriber", false);
    // Its queue holds 1,000; the newest are dropped above that, which is the rule.
    for _ in 0..acknowledged.min(1_000) {
        assert!(matches!(subscriber.packet(), Some(Packet::Publish(_))));
    }
}
