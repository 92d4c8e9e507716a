//! From exec to readiness after a SIGKILL in the middle of a rollout, with a large fleet in the store.

use crate::fleet::{self, ECUS, Load};
use crate::report::{Figure, Mark};
use crate::server::{LOOK, PATIENCE, Server};
use crate::{Bench, note, verify};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rollcall_broker::codec::{Connect, Packet, Properties};
use rollcall_broker::{ProtocolVersion, QoS};
use rollcall_tests::lean::{Identity, Script};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

const ROBOTS: usize = 100_000;
const CONNECTED: usize = 2_000;

/// Events per connected robot before the kill: all are in the middle of it, and `redo` is as long as it gets.
const EVENTS_EACH: u64 = 200;

pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let robots = bench.robots.unwrap_or(ROBOTS);
    let connected = CONNECTED.min(robots - 1);
    note(&format!("restart: {robots} robots, {connected} connected"));
    let mut server = Server::start(&bench.server)?;
    let began = Instant::now();
    let mut identities = fleet::register(&server, robots, connected + 1)?;
    let registered = began.elapsed();
    // It connects only to find out when the server lets robots in.
    let probe = identities.pop().context("no robot to probe with")?;
    let rollout = server.prepare_rollout(&fleet::hardware_ids(), connected)?;
    let script = Script {
        qos: QoS::AtLeastOnce,
        keep_log: true,
        ..Script::chatty()
    };
    let load = Load::connect(identities, script, &server)?;
    let began = Instant::now();
    server.launch(rollout)?;
    let launched = began.elapsed();
    fleet::until("the robots to be in the middle of it", || {
        load.fleet.acknowledged.load(SeqCst) >= connected as u64 * EVENTS_EACH
    })?;
    server.kill()?;
    load.wait_for_loss()?;
    let file = std::fs::metadata(server.data_dir().join(rollcall::store::DATABASE_FILE))?.len();

    let started = server.respawn()?;
    let mqtt = server.mqtt;
    let probing = std::thread::spawn(move || first_connack(mqtt, &probe));
    let ready = server.wait_until_ready()? - started;
    let connack = probing
        .join()
        .map_err(|_| anyhow::anyhow!("the probe has panicked"))??
        - started;
    load.wait_for_reconnect()?;
    let reconnected = started.elapsed();
    let status = server.get(&format!("/v1/rollouts/{rollout}"))?["status"].clone();
    ensure!(
        status == "running",
        "the rollout is {status} after the restart"
    );
    let lives = load.stop()?;
    server.settle()?;
    server.terminate()?;
    let checked = verify::verify(server.data_dir(), &lives)?;

    let conditions = format!(
        "{robots} robots x {ECUS} ECUs, {connected} connected and under way, killed with SIGKILL after {} events \
         each",
        EVENTS_EACH
    );
    let seconds = |name: &str, time: Duration| {
        Figure::new(format!("restart.{name}"), time.as_secs_f64(), "s")
    };
    Ok(vec![
        seconds("ready", ready)
            .marked(Mark::AtMost(1.0))
            .under(conditions),
        seconds("first_connack", connack)
            .marked(Mark::AtMost(1.0))
            .under("the first robot is let in"),
        seconds("reconnected", reconnected).under(format!(
            "all {connected} robots are back, each trying every 50 ms"
        )),
        seconds("registration", registered).under("in steps of 10,000, each answered when durable"),
        seconds("launch", launched)
            .under(format!("{} targets, answered when durable", robots * ECUS)),
        rows_and_file(&checked, file),
    ])
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a file of one run is far below 2^52 bytes"
)]
fn rows_and_file(checked: &verify::Checked, file: u64) -> Figure {
    Figure::new("restart.file", file as f64 / 1e6, "MB").under(format!(
        "at the kill; {} rows of robots and members; {} acknowledged events found, {} rows checked",
        checked.robots_and_members, checked.acknowledged, checked.rows
    ))
}

/// Tries to connect until the server says yes, and returns when that was.
fn first_connack(address: SocketAddr, robot: &Identity) -> Result<Instant> {
    let client_id = format!("{}/{}", robot.realm, robot.id);
    let connect = Packet::Connect(Box::new(Connect {
        version: ProtocolVersion::V4,
        clean_start: true,
        keep_alive: 0,
        client_id: client_id.as_str().into(),
        will: None,
        username: Some(client_id.as_str().into()),
        password: Some(Bytes::copy_from_slice(robot.secret.as_bytes())),
        properties: Properties::none(),
    }));
    let mut bytes = Vec::new();
    connect
        .encode(ProtocolVersion::V4, &mut bytes)
        .context("the CONNECT of the probe is not valid")?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(true) = accepted(address, &bytes) {
            return Ok(Instant::now());
        }
        ensure!(Instant::now() < deadline, "no robot is let in");
        std::thread::sleep(LOOK);
    }
}

fn accepted(address: SocketAddr, connect: &[u8]) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(connect)?;
    let mut connack = [0; 4];
    stream.read_exact(&mut connack)?;
    // Type, length, no session present, return code 0.
    Ok(connack == [0x20, 2, 0, 0])
}
