//! `rollcall serve` as a process on fresh ports and fresh data, and the calls of its API that the benchmark needs.

use crate::procfs::{self, Cpu, Memory};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use ureq::{Agent, Body, http::Response};

/// Longest wait for anything; reached only when something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at something that is waited for: short beside what is measured, long beside the look.
pub(crate) const LOOK: Duration = Duration::from_millis(1);

/// A registration of 10,000 robots answers with about 6 MB.
const MAX_ANSWER: u64 = 64 << 20;

/// A server process. Its data goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    program: PathBuf,
    /// Of the log.
    level: &'static str,
    config: PathBuf,
    data_dir: PathBuf,
    api: String,
    agent: Agent,
    pub(crate) mqtt: SocketAddr,
    _directory: TempDir,
}

/// The writer's counters since the server's start.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Counters {
    pub(crate) commits: u64,
    pub(crate) inputs_committed: u64,
    pub(crate) events_committed: u64,
    pub(crate) largest_batch: u64,
    pub(crate) commit_micros: u64,
    pub(crate) refusals: BTreeMap<String, u64>,
}

impl Server {
    /// Starts one and waits until it is ready.
    pub(crate) fn start(program: &Path) -> Result<Self> {
        let device_http = free_address()?;
        Self::start_with(
            program,
            &format!("[mqtts]\naddress = \"off\"\n[device_http]\naddress = \"{device_http}\"\n"),
        )
    }

    /// The same for so many connections.
    pub(crate) fn start_for(program: &Path, connections: usize) -> Result<Self> {
        let device_http = free_address()?;
        Self::start_with(
            program,
            &format!(
                "[mqtts]\naddress = \"off\"\n[device_http]\naddress = \"{device_http}\"\n[mqtt.limits]\n\
                 max_connections = {connections}\n"
            ),
        )
    }

    /// The same with these listeners for devices.
    pub(crate) fn start_with(program: &Path, devices: &str) -> Result<Self> {
        Self::start_logging(program, devices, "error")
    }

    /// The same, whose log has everything from this level on.
    pub(crate) fn start_logging(
        program: &Path,
        devices: &str,
        level: &'static str,
    ) -> Result<Self> {
        let directory = tempfile::tempdir().context("no directory for the server's data")?;
        let data_dir = directory.path().join("data");
        let config = directory.path().join("rollcall.toml");
        let (mqtt, http) = (free_address()?, free_address()?);
        let text = format!(
            "data_dir = {data_dir:?}\n[mqtt]\naddress = \"{mqtt}\"\n[http]\naddress = \"{http}\"\n\
             {devices}"
        );
        std::fs::write(&config, text).context("the server's configuration cannot be written")?;
        let agent = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .build()
            .into();
        let mut server = Self {
            child: spawn(program, &config, level)?,
            program: program.to_owned(),
            level,
            config,
            data_dir,
            api: format!("http://{http}"),
            agent,
            mqtt,
            _directory: directory,
        };
        server.wait_until_ready()?;
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn api(&self) -> &str {
        &self.api
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// SIGKILL: nothing in the process can react.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().context("the server was not killed")?;
        self.child
            .wait()
            .context("the server cannot be waited for")?;
        Ok(())
    }

    /// SIGTERM, then waits for its end.
    pub(crate) fn terminate(&mut self) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).context("the server was not told to stop")?;
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.ended()? {
                break status;
            }
            ensure!(Instant::now() < deadline, "the server does not stop");
            std::thread::sleep(LOOK);
        };
        ensure!(
            status.success(),
            "the server has failed ({status}): {}",
            self.said()
        );
        Ok(())
    }

    /// Starts it again on the same data and ports, and does not wait. Returns when it was started.
    pub(crate) fn respawn(&mut self) -> Result<Instant> {
        let at = Instant::now();
        self.child = spawn(&self.program, &self.config, self.level)?;
        Ok(at)
    }

    /// Waits until it says that it is ready. Returns when it said so.
    pub(crate) fn wait_until_ready(&mut self) -> Result<Instant> {
        let deadline = Instant::now() + PATIENCE;
        let url = format!("{}/readyz", self.api);
        while !self
            .agent
            .get(&url)
            .call()
            .is_ok_and(|answer| answer.status().is_success())
        {
            if let Some(status) = self.ended()? {
                bail!("the server has ended early ({status}): {}", self.said());
            }
            ensure!(
                Instant::now() < deadline,
                "the server does not become ready"
            );
            std::thread::sleep(LOOK);
        }
        Ok(Instant::now())
    }

    /// What the server wrote to its standard error.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(log_of(&self.config)).unwrap_or_default()
    }

    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .context("the server cannot be watched")
    }

    /// What an admin shows.
    pub(crate) fn admin_token(&self) -> Result<String> {
        let path = self.data_dir.join("admin.token");
        let token = std::fs::read_to_string(path).context("the admin token cannot be read")?;
        Ok(token.trim().to_owned())
    }

    fn token(&self) -> Result<String> {
        Ok(format!("Bearer {}", self.admin_token()?))
    }

    /// What `/metrics` says: each value by its name with its labels, without `rollcall_`.
    pub(crate) fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        let request = self.agent.get(format!("{}/metrics", self.api));
        let mut response = request.header("Authorization", self.token()?).call()?;
        ensure!(
            response.status().is_success(),
            "/metrics: {}",
            response.status()
        );
        let text = response.body_mut().read_to_string()?;
        let values = text.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix("rollcall_")?.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(values.collect())
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let request = self.agent.get(format!("{}{path}", self.api));
        let response = request.header("Authorization", self.token()?).call()?;
        answer(path, response)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.agent.post(format!("{}{path}", self.api));
        let response = request
            .header("Authorization", self.token()?)
            .send_json(body)?;
        answer(path, response)
    }

    /// Adds an image whose file is nowhere: nobody fetches it.
    pub(crate) fn add_image(&self, image: &str, hardware_id: &str) -> Result<()> {
        let described = json!({
            "image": image, "hardware_ids": [hardware_id], "url": "http://127.0.0.1:9/none", "size": 1,
            "sha256": "00".repeat(32),
        });
        self.post("/v1/images", &described).map(drop)
    }

    /// Adds an image whose file the server keeps.
    pub(crate) fn upload(&self, image: &str, hardware_id: &str, file: &[u8]) -> Result<()> {
        let path = format!("/v1/images/{image}/file?hardware={hardware_id}");
        let request = self.agent.post(format!("{}{path}", self.api));
        let response = request.header("Authorization", self.token()?).send(file)?;
        answer(&path, response).map(drop)
    }

    pub(crate) fn counters(&self) -> Result<Counters> {
        let mut status = self.get("/v1/status")?;
        serde_json::from_value(status["writer"].take()).context("the writer's counters are missing")
    }

    /// Waits until nothing more comes in, so that what is measured next is measured alone.
    pub(crate) fn settle(&self) -> Result<Counters> {
        let deadline = Instant::now() + PATIENCE;
        let mut quiet = 0;
        let mut counters = self.counters()?;
        while quiet < 3 {
            ensure!(
                Instant::now() < deadline,
                "the server does not come to rest"
            );
            std::thread::sleep(Duration::from_millis(200));
            let now = self.counters()?;
            let same = now.inputs_committed == counters.inputs_committed;
            quiet = if same { quiet + 1 } else { 0 };
            counters = now;
        }
        Ok(counters)
    }

    pub(crate) fn cpu(&self) -> Result<Cpu> {
        Cpu::of(&self.child.id().to_string())
    }

    /// The most memory that was resident since the process started, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        procfs::peak(self.child.id())
    }

    /// How many robots may be sent requests now.
    pub(crate) fn ready_robots(&self) -> Result<usize> {
        let robots = self.robots()?;
        Ok(robots
            .iter()
            .filter(|robot| robot["ready"] == json!(true))
            .count())
    }

    /// Every robot, as the API shows it.
    pub(crate) fn robots(&self) -> Result<Vec<Value>> {
        let (mut robots, mut after) = (Vec::new(), String::new());
        loop {
            let mut page = self.get(&format!("/v1/robots?limit=1000{after}"))?;
            let items = page["items"].as_array_mut().context("no robots")?;
            robots.append(items);
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return Ok(robots),
            }
        }
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        Memory::of(self.child.id())
    }

    /// Makes a rollout of version 2.0.0 for every robot; `hardware_ids` are those of its ECUs. Returns its number.
    pub(crate) fn prepare_rollout(&self, hardware_ids: &[String], cap: usize) -> Result<u64> {
        let mut images = Vec::new();
        for hardware_id in hardware_ids {
            let image = format!("{hardware_id}-os@2.0.0");
            self.add_image(&image, hardware_id)?;
            images.push((hardware_id.as_str(), image));
        }
        self.create_rollout(&images, cap)
    }

    /// Makes a rollout of these images, each for a hardware id, to every robot that has the first one. Returns its number.
    pub(crate) fn create_rollout(&self, images: &[(&str, String)], cap: usize) -> Result<u64> {
        let (target, _) = images.first().context("a rollout without images")?;
        let images: Vec<_> = images
            .iter()
            .map(|(hardware_id, image)| json!({"hardware_id": hardware_id, "image": image}))
            .collect();
        let rollout = json!({
            "name": "benchmark", "target": {"hardware": target}, "images": images,
            "mechanism": {"max_in_progress": cap},
        });
        let made = self.post("/v1/rollouts", &rollout)?;
        made["id"].as_u64().context("the rollout has no number")
    }

    pub(crate) fn launch(&self, rollout: u64) -> Result<()> {
        let path = format!("/v1/rollouts/{rollout}/launch");
        self.post(&path, &json!({"accept_drift": true})).map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of loopback that nobody uses now, below those of outgoing connections: while the server is down, none of
/// thousands of robots can take it.
pub(crate) fn free_address() -> Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..PORTS {
        let number = std::process::id().wrapping_mul(101) % u32::from(PORTS);
        let number = u16::try_from(number)?.wrapping_add(NEXT.fetch_add(1, Relaxed)) % PORTS;
        let address = SocketAddr::from(([127, 0, 0, 1], 10_000 + number));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no free port")
}

/// How many ports are tried, from 10,000 on.
const PORTS: u16 = 20_000;

fn log_of(config: &Path) -> PathBuf {
    config.with_file_name("server.log")
}

fn spawn(program: &Path, config: &Path, level: &str) -> Result<Child> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log_of(config))
        .context("the server's log cannot be written")?;
    Command::new(program)
        .args(["serve", "--config"])
        .arg(config)
        .env("RUST_LOG", level)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .with_context(|| format!("{} does not start", program.display()))
}

fn answer(path: &str, mut response: Response<Body>) -> Result<Value> {
    let status = response.status();
    let body = response.body_mut().with_config().limit(MAX_ANSWER);
    let value: Value = body
        .read_json()
        .with_context(|| format!("{path}: no answer"))?;
    ensure!(status.is_success(), "{path}: {status}: {value}");
    Ok(value)
}
