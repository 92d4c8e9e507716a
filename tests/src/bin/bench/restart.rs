//! From exec to readiness after a SIGKILL in the middle of a rollout, with a large fleet in the store.

use crate::fleet::{self, ECUS, Load};
use crate::report::{Figure, Mark};
use crate::server::{LOOK, PATIENCE, Server};
use crate::{Bench, note, verify};
use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use rollcall::store::DATABASE_FILE;
use rollcall_broker::ProtocolVersion;
use rollcall_broker::codec::{Connect, Packet, Properties};
use rollcall_tests::lean::{Identity, Script};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

const ROBOTS: usize = 100_000;
const CONNECTED: usize = 2_000;

/// Events per connected robot before the kill: all are in the middle of it, and `redo` is as long as it gets.
const EVENTS_EACH: u64 = 200;

/// A server and its robots in the middle of a rollout.
struct Midway {
    server: Server,
    load: Load,
    rollout: u64,
    /// It connects only to find out when the server lets robots in.
    probe: Identity,
    /// How long the preparations took: registration, and of it the server's CPU; the launch.
    registration: (Duration, Duration),
    launch: Duration,
}

impl Midway {
    fn reach(bench: &Bench, robots: usize, connected: usize) -> Result<Self> {
        let server = Server::start(&bench.server)?;
        let began = Instant::now();
        let mut identities = fleet::register(&server, robots, connected + 1)?;
        let registration = (began.elapsed(), server.cpu()?.total);
        let probe = identities.pop().context("no robot to probe with")?;
        let rollout = server.prepare_rollout(&fleet::hardware_ids(), connected)?;
        let script = Script {
            keep_log: true,
            ..Script::chatty()
        };
        let load = Load::connect(identities, script, &server)?;
        let began = Instant::now();
        server.launch(rollout)?;
        let launch = began.elapsed();
        fleet::until("the robots to be in the middle of it", || {
            load.fleet.acknowledged.load(SeqCst) >= connected as u64 * EVENTS_EACH
        })?;
        Ok(Self {
            server,
            load,
            rollout,
            probe,
            registration,
            launch,
        })
    }
}

/// What the start after the kill took.
struct Start {
    ready: Duration,
    cpu: Duration,
    connack: Duration,
    reconnected: Duration,
}

pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let robots = bench.robots.unwrap_or(ROBOTS);
    let connected = CONNECTED.min(robots - 1);
    note(&format!("restart: {robots} robots, {connected} connected"));
    let Midway {
        mut server,
        load,
        rollout,
        probe,
        registration,
        launch,
    } = Midway::reach(bench, robots, connected)?;
    server.kill()?;
    load.wait_for_loss()?;
    let file = std::fs::metadata(server.data_dir().join(DATABASE_FILE))?.len();

    let start = start_again(&mut server, &load, probe)?;
    let status = server.get(&format!("/v1/rollouts/{rollout}"))?["status"].clone();
    ensure!(
        status == "running",
        "the rollout is {status} after the restart"
    );
    let lives = load.stop()?;
    server.settle()?;
    server.terminate()?;
    let checked = verify::verify(server.data_dir(), &lives)?;

    let seconds = |name: &str, time: Duration| {
        Figure::new(format!("restart.{name}"), time.as_secs_f64(), "s")
    };
    let first = Mark::AtMost(1.0);
    Ok(vec![
        seconds("ready", start.ready).marked(first).under(format!(
            "{robots} robots x {ECUS} ECUs, {connected} connected and under way, killed with SIGKILL after \
             {EVENTS_EACH} events each"
        )),
        seconds("cpu", start.cpu).under("the server's CPU time until then"),
        seconds("first_connack", start.connack)
            .marked(first)
            .under("the first robot is let in"),
        seconds("reconnected", start.reconnected).under(format!(
            "all {connected} robots are back, each trying every 50 ms"
        )),
        seconds("registration", registration.0).under(format!(
            "in steps of 10,000, each answered when durable; server CPU {:.2} s",
            registration.1.as_secs_f64()
        )),
        seconds("launch", launch)
            .under(format!("{} targets, answered when durable", robots * ECUS)),
        rows_and_file(&checked, file),
    ])
}

fn start_again(server: &mut Server, load: &Load, probe: Identity) -> Result<Start> {
    let started = server.respawn()?;
    let mqtt = server.mqtt;
    let probing = std::thread::spawn(move || first_connack(mqtt, &probe));
    let ready = server.wait_until_ready()? - started;
    let cpu = server.cpu()?.total;
    let connack = probing
        .join()
        .map_err(|_| anyhow!("the probe has panicked"))??
        - started;
    load.wait_for_reconnect()?;
    Ok(Start {
        ready,
        cpu,
        connack,
        reconnected: started.elapsed(),
    })
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
