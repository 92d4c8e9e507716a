//! `rollcall serve` as a process that can be killed and started again on the same data and the same ports.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "tests fail by panicking, and no test file uses every helper"
)]

mod client;
mod device;
mod line;

pub use client::Client;
pub use device::{Device, INTROSPECTION};
pub use line::Line;
use rollcall_proto::native::EcuDescription;
use rollcall_tests::lean::Identity;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Longest wait for anything; reached only when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// Configuration that lets anybody publish and subscribe below `open/`.
pub const OPEN: &str =
    "[mqtt.open]\nanonymous = true\npublish = [\"open/#\"]\nsubscribe = [\"open/#\"]\n";

pub struct ServerProcess {
    child: Child,
    config: PathBuf,
    /// Of its log.
    filter: String,
    pub mqtt: SocketAddr,
    mqtts: Option<SocketAddr>,
    /// Base of what devices reach over HTTP.
    pub device_http: String,
    pub api: String,
    data_dir: PathBuf,
}

/// A free port below those that the system gives to outgoing connections, so that none of the robots can take it while
/// the server is down, and another one for each caller.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(101);
    loop {
        let number = start.wrapping_add(NEXT.fetch_add(1, SeqCst));
        let port = u16::try_from(10_000 + number % 20_000).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

impl ServerProcess {
    /// A server on fresh ports with its data in `directory`; `settings` is appended to its configuration.
    pub fn start(directory: &Path, settings: &str) -> Self {
        Self::start_with(directory, settings, "off", false)
    }

    /// The same, which devices reach over TLS too.
    pub fn start_tls(directory: &Path, settings: &str) -> Self {
        Self::start_with(directory, settings, &free_address().to_string(), false)
    }

    /// The same, where devices pair and download over TLS as well.
    pub fn start_https(directory: &Path) -> Self {
        Self::start_with(directory, "", &free_address().to_string(), true)
    }

    /// The same as [`Self::start`], with a log that says what the filter lets through.
    pub fn start_logging(directory: &Path, filter: &str) -> Self {
        Self::start_as(directory, "", "off", false, filter)
    }

    fn start_with(directory: &Path, settings: &str, mqtts: &str, https: bool) -> Self {
        Self::start_as(directory, settings, mqtts, https, "error")
    }

    fn start_as(directory: &Path, settings: &str, mqtts: &str, https: bool, filter: &str) -> Self {
        let (mqtt, http, device_http) = (free_address(), free_address(), free_address());
        let scheme = if https { "https" } else { "http" };
        let device_url = format!("{scheme}://localhost:{}", device_http.port());
        let config = directory.join("rollcall.toml");
        let data_dir = directory.join("data");
        let text = format!(
            "data_dir = {data_dir:?}\n{settings}\n[mqtt]\naddress = \"{mqtt}\"\n\
             [mqtts]\naddress = \"{mqtts}\"\n[http]\naddress = \"{http}\"\n\
             [device_http]\naddress = \"{device_http}\"\ntls = {https}\npublic_url = \"{device_url}\"\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut server = Self {
            child: spawn(&config, filter),
            config,
            filter: filter.to_owned(),
            mqtt,
            mqtts: mqtts.parse().ok(),
            device_http: device_url,
            api: format!("http://{http}"),
            data_dir,
        };
        server.wait_until_ready();
        server
    }

    /// Where MQTT is spoken over TLS, if it is.
    pub fn mqtts(&self) -> Option<SocketAddr> {
        self.mqtts
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Where robots pair.
    pub fn pairing_url(&self) -> String {
        format!("{}/pairing", self.device_http)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: nothing in the process can react.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until the process has ended by itself; whether it said that all was well.
    pub fn wait_for_end(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::yield_now();
        }
    }

    /// What it wrote on its standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.config.with_extension("log")).unwrap()
    }

    pub fn restart(&mut self) {
        self.child = spawn(&self.config, &self.filter);
        self.wait_until_ready();
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while ureq::get(format!("{}/readyz", self.api)).call().is_err() {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the server has ended early: {status}");
            }
            assert!(
                Instant::now() < deadline,
                "the server does not become ready"
            );
            std::thread::yield_now();
        }
    }

    /// What an admin shows.
    pub fn admin_token(&self) -> String {
        let token = std::fs::read_to_string(self.data_dir.join("admin.token")).unwrap();
        token.trim().to_owned()
    }

    fn token(&self) -> String {
        format!("Bearer {}", self.admin_token())
    }

    pub fn get(&self, path: &str) -> Value {
        self.try_get(path).unwrap()
    }

    /// The answer, or why there is none: the robot may not exist yet, or the server is down.
    pub fn try_get(&self, path: &str) -> Result<Value, ureq::Error> {
        let request =
            ureq::get(format!("{}{path}", self.api)).header("Authorization", self.token());
        request.call()?.body_mut().read_json()
    }

    pub fn upload(&self, path: &str, file: &[u8]) {
        let request =
            ureq::post(format!("{}{path}", self.api)).header("Authorization", self.token());
        request.send(file).unwrap();
    }

    pub fn post(&self, path: &str, body: &Value) -> Value {
        let request =
            ureq::post(format!("{}{path}", self.api)).header("Authorization", self.token());
        request
            .send_json(body)
            .unwrap()
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_json()
            .unwrap()
    }

    pub fn put(&self, path: &str, body: &Value) -> Value {
        let request =
            ureq::put(format!("{}{path}", self.api)).header("Authorization", self.token());
        request
            .send_json(body)
            .unwrap()
            .body_mut()
            .read_json()
            .unwrap()
    }

    /// Registers robots `r-0`… with these ECUs (name, hardware id), the first of them primary.
    pub fn register(&self, count: usize, ecus: &[(&str, &str)]) -> Vec<Identity> {
        let ecus: Vec<_> = ecus
            .iter()
            .enumerate()
            .map(|(index, (name, hardware_id))| EcuDescription {
                name: (*name).to_owned(),
                hardware_id: (*hardware_id).to_owned(),
                primary: index == 0,
            })
            .collect();
        let described: Vec<_> = ecus
            .iter()
            .map(|ecu| json!({"name": ecu.name, "hardware_id": ecu.hardware_id, "primary": ecu.primary}))
            .collect();
        let robots: Vec<_> = (0..count)
            .map(|index| json!({"id": format!("r-{index}"), "ecus": described}))
            .collect();
        let answer = self.post("/v1/robots", &json!({"robots": robots}));
        let results = answer["results"].as_array().unwrap();
        results
            .iter()
            .map(|result| &result["robot"])
            .map(|robot| Identity {
                realm: "fleet".to_owned(),
                id: robot["id"].as_str().unwrap().to_owned(),
                secret: robot["credentials_secret"].as_str().unwrap().to_owned(),
                ecus: ecus.clone(),
            })
            .collect()
    }

    /// Adds image `NAME@2.0.0` by URL for a hardware id; nobody fetches it.
    pub fn add_image(&self, name: &str, hardware_id: &str) {
        let image = json!({
            "image": format!("{name}@2.0.0"), "hardware_ids": [hardware_id], "url": "http://127.0.0.1:9/none",
            "size": 1, "sha256": "00".repeat(32),
        });
        self.post("/v1/images", &image);
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(config: &Path, filter: &str) -> Child {
    // Kept beside the configuration, for whoever looks into a failure.
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(config.with_extension("log"))
        .unwrap();
    Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(["serve", "--config"])
        .arg(config)
        .env("RUST_LOG", filter)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}
