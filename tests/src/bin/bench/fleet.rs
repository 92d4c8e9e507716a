//! Robots: registered by the API, connected as lean robots in this process.

use crate::server::{LOOK, PATIENCE, Server};
use anyhow::{Context, Result, ensure};
use rollcall_proto::native::EcuDescription;
use rollcall_tests::lean::{Fleet, Identity, Life, Script, live};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// ECUs of each robot, each of another hardware id.
pub(crate) const ECUS: usize = 4;

/// Robots of one registration: as many as the API takes at once.
const REGISTERED_AT_ONCE: usize = 10_000;

/// Robots that begin to connect at once: fewer than the server allows in handshake.
const CONNECTED_AT_ONCE: usize = 500;

/// The hardware id of every ECU of a robot.
pub(crate) fn hardware_ids() -> Vec<String> {
    hardware_ids_of(ECUS)
}

/// The same of a robot with so many ECUs.
pub(crate) fn hardware_ids_of(ecus: usize) -> Vec<String> {
    (0..ecus).map(|index| format!("board-{index}")).collect()
}

/// Registers `count` robots and returns the first `keep` of them with their secrets.
pub(crate) fn register(server: &Server, count: usize, keep: usize) -> Result<Vec<Identity>> {
    register_with(server, ECUS, count, keep)
}

/// The same for robots with so many ECUs.
pub(crate) fn register_with(
    server: &Server,
    ecus: usize,
    count: usize,
    keep: usize,
) -> Result<Vec<Identity>> {
    register_named(server, "robot", &hardware_ids_of(ecus), count, keep)
}

/// The same for robots whose ids begin with `name` and whose ECUs have these hardware ids.
pub(crate) fn register_named(
    server: &Server,
    name: &str,
    hardware_ids: &[String],
    count: usize,
    keep: usize,
) -> Result<Vec<Identity>> {
    let ecus: Vec<_> = hardware_ids
        .iter()
        .enumerate()
        .map(|(index, hardware_id)| EcuDescription {
            name: format!("ecu-{index}"),
            hardware_id: hardware_id.clone(),
            primary: index == 0,
        })
        .collect();
    let described = described(&ecus);
    let mut identities = Vec::new();
    let numbers: Vec<_> = (0..count).collect();
    for numbers in numbers.chunks(REGISTERED_AT_ONCE) {
        let robots: Vec<_> = numbers
            .iter()
            .map(|number| json!({"id": format!("{name}-{number}"), "ecus": described}))
            .collect();
        let answer = server.post("/v1/robots", &json!({"robots": robots}))?;
        let registered = answer["registered"].as_u64();
        ensure!(
            registered == Some(numbers.len() as u64),
            "only {registered:?} of {} robots were registered",
            numbers.len()
        );
        let results = answer["results"].as_array().context("no results")?;
        for result in results.iter().take(keep.saturating_sub(identities.len())) {
            identities.push(identity(&result["robot"], &ecus)?);
        }
    }
    Ok(identities)
}

fn described(ecus: &[EcuDescription]) -> Value {
    let ecus = ecus.iter().map(
        |ecu| json!({"name": ecu.name, "hardware_id": ecu.hardware_id, "primary": ecu.primary}),
    );
    ecus.collect()
}

/// Writes one line per robot, as `rollcall robot add --json` prints it.
pub(crate) fn write_credentials(path: &Path, identities: &[Identity]) -> Result<()> {
    let mut text = String::new();
    for robot in identities {
        let ecus = described(&robot.ecus);
        let line = json!({"id": robot.id, "credentials_secret": robot.secret, "ecus": ecus});
        writeln!(text, "{line}")?;
    }
    std::fs::write(path, text).context("the credentials of the robots cannot be written")
}

fn identity(robot: &Value, ecus: &[EcuDescription]) -> Result<Identity> {
    let text = |key: &str| robot[key].as_str().map(str::to_owned);
    Ok(Identity {
        realm: "fleet".to_owned(),
        id: text("id").context("a robot without id")?,
        secret: text("credentials_secret").context("a robot without secret")?,
        ecus: ecus.to_vec(),
    })
}

/// Robots at work.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) fleet: Arc<Fleet>,
    robots: JoinSet<Life>,
    size: usize,
    stop: CancellationToken,
    runtime: Runtime,
}

impl Load {
    /// Connects the robots and waits until each has introduced itself.
    pub(crate) fn connect(
        identities: Vec<Identity>,
        script: Script,
        server: &Server,
    ) -> Result<Self> {
        let mut load = Self {
            fleet: Arc::default(),
            robots: JoinSet::new(),
            size: identities.len(),
            stop: CancellationToken::new(),
            runtime: Runtime::new().context("no runtime for the robots")?,
        };
        let script = Arc::new(script);
        for (index, identity) in identities.into_iter().enumerate() {
            if index % CONNECTED_AT_ONCE == 0 {
                load.wait_for_online(index)?;
            }
            let life = live(
                identity,
                Arc::clone(&script),
                server.mqtt,
                Arc::clone(&load.fleet),
                load.stop.clone(),
            );
            load.robots.spawn_on(life, load.runtime.handle());
        }
        load.wait_for_online(load.size)?;
        server.settle()?;
        Ok(load)
    }

    /// Waits until all robots that were once connected are so again.
    pub(crate) fn wait_for_reconnect(&self) -> Result<()> {
        self.wait_for_online(self.size)
    }

    /// Waits until every robot has seen its connection end.
    pub(crate) fn wait_for_loss(&self) -> Result<()> {
        until("every robot to notice the end", || {
            self.fleet.online.load(SeqCst) == 0
        })
    }

    fn wait_for_online(&self, count: usize) -> Result<()> {
        until(&format!("{count} robots to be connected"), || {
            self.fleet.online.load(SeqCst) >= count as u64
        })
    }

    /// Ends all robots and returns what each has seen.
    ///
    /// # Errors
    /// When the server has done to a robot what it must never do.
    pub(crate) fn stop(mut self) -> Result<Vec<Life>> {
        self.stop.cancel();
        let lives = self
            .runtime
            .block_on(std::mem::take(&mut self.robots).join_all());
        let violations = self.fleet.violations.lock();
        ensure!(
            violations.is_empty(),
            "the server broke its word {} times, first: {}",
            violations.len(),
            violations[0]
        );
        Ok(lives)
    }
}

/// Waits for `condition`, but not forever.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        ensure!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(LOOK);
    }
    Ok(())
}
