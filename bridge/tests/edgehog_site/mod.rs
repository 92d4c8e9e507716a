//! What tests with real Edgehog devices share: a server, a way to register, an update to send, and patience.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    dead_code,
    reason = "tests fail by panicking, and each uses its own part of this"
)]

use crate::process::{PATIENCE, ServerProcess};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between two looks at the server.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) struct Site {
    pub(crate) server: ServerProcess,
    pub(crate) directory: tempfile::TempDir,
}

impl Site {
    /// Devices pair and download over plain HTTP, as on one machine.
    pub(crate) fn new() -> Self {
        Self::with(|directory| ServerProcess::start_tls(directory, ""))
    }

    /// Everything that devices reach speaks TLS.
    pub(crate) fn sealed() -> Self {
        Self::with(ServerProcess::start_https)
    }

    fn with(start: impl FnOnce(&Path) -> ServerProcess) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            server: start(directory.path()),
            directory,
        }
    }

    /// The folder of one device.
    pub(crate) fn folder(&self, id: &str) -> PathBuf {
        self.directory.path().join(id)
    }

    /// What devices must trust.
    pub(crate) fn authority(&self) -> PathBuf {
        self.server.data_dir().join("tls").join("ca.pem")
    }

    pub(crate) fn pairing_token(&self) -> String {
        let made = self.server.post("/v1/pairing/tokens", &json!({}));
        made["token"].as_str().unwrap().to_owned()
    }

    /// Asks again and again until the answer is as it should be.
    pub(crate) fn until(&self, path: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.server.try_get(path).unwrap_or(Value::Null);
            if is_so(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} never {what}: {answer:#}");
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until the robot may be sent a request.
    pub(crate) fn until_ready(&self, id: &str) -> Value {
        let path = format!("/v1/robots/{id}");
        self.until(&path, "is ready", |robot| robot["ready"] == true)
    }

    /// Uploads `os@2.0.0`, build `b7`, for `board-a`.
    pub(crate) fn upload(&self) {
        // The test's own device reads from its bundle what the slot will say of itself.
        let bundle = json!({"version": "2.0.0", "build_id": "b7"}).to_string();
        let path = "/v1/images/os@2.0.0/file?hardware=board-a&build_id=b7";
        self.server.upload(path, bundle.as_bytes());
    }

    /// Launches a rollout of it to one device; the rollout's number.
    pub(crate) fn launch(&self, id: &str, mechanism: &Value) -> u64 {
        let rollout = json!({
            "name": format!("to-{}", id.to_lowercase()),
            "target": {"robots": [id]},
            "images": [{"hardware_id": "board-a", "image": "os@2.0.0"}],
            "mechanism": mechanism,
        });
        let created = self.server.post("/v1/rollouts", &rollout);
        let rollout = created["id"].as_u64().unwrap();
        self.server
            .post(&format!("/v1/rollouts/{rollout}/launch"), &json!({}));
        rollout
    }

    /// Waits until the rollout's only target is in this state.
    pub(crate) fn reaches(&self, rollout: u64, state: &str) -> Value {
        let target = |answer: &Value| answer["items"][0]["ecus"][0].clone();
        let path = format!("/v1/rollouts/{rollout}/robots");
        let is_so = |answer: &Value| target(answer)["state"] == state;
        target(&self.until(&path, state, is_so))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Logs and stores, for whoever looks into the failure.
            self.directory.disable_cleanup(true);
            eprintln!("kept {}", self.directory.path().display());
        }
    }
}
