//! The released `edgehog-device-runtime`, unmodified, against the server, all of it over TLS: pairing, report, an update through (a stand-in
//! for) RAUC, one that falls back.
//!
//! Runs when `EDGEHOG_RUNTIME` names the program (`cargo install edgehog-device-runtime`, which needs libudev-dev); it
//! also needs dbus-daemon and python3 with dbus-fast. Otherwise it says that it is skipped.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests fail by panicking, and say when they are skipped"
)]

mod edgehog_site;
mod process;

use edgehog_site::Site;
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const ID: &str = "2TBn-jNESuuHamE2Zo1anA";

/// A child process that does not outlive the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program and waits for its first line.
fn speaking(command: &mut Command) -> (Process, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let output = child.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    (Process(child), line.trim().to_owned())
}

/// A board: a bus of its own, RAUC on it, two slots.
struct Board {
    site: Site,
    runtime: PathBuf,
    bus: String,
    _processes: [Process; 2],
}

impl Board {
    fn new() -> Option<Self> {
        let Some(runtime) = std::env::var_os("EDGEHOG_RUNTIME") else {
            eprintln!("SKIPPED: EDGEHOG_RUNTIME does not name the program edgehog-device-runtime");
            return None;
        };
        let site = Site::sealed();
        let (daemon, bus) = speaking(Command::new("dbus-daemon").args([
            "--session",
            "--nofork",
            "--print-address",
        ]));
        let rauc =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/edgehog-runtime/fake_rauc.py");
        let slot = site.folder("slot");
        std::fs::write(&slot, "A").unwrap();
        let (installer, _) = speaking(
            Command::new("python3")
                .arg(rauc)
                .arg(&slot)
                .env("DBUS_SESSION_BUS_ADDRESS", &bus),
        );
        Some(Self {
            site,
            runtime: runtime.into(),
            bus,
            _processes: [installer, daemon],
        })
    }

    /// What the boot loader does.
    fn switch_slot(&self) {
        std::fs::write(self.site.folder("slot"), "B").unwrap();
    }

    fn boot(&self, version: &str, token: &str) -> Process {
        let (store, config) = (self.site.folder("store"), self.site.folder("config.toml"));
        std::fs::create_dir_all(&store).unwrap();
        let text = format!(
            "astarte_library = \"astarte-device-sdk\"\nstore_directory = {store:?}\n\
             download_directory = {store:?}\n\
             [astarte_device_sdk]\nrealm = \"fleet\"\ndevice_id = \"{ID}\"\npairing_url = \"{}\"\n\
             pairing_token = \"{token}\"\n[ota.rauc]\ndbus_socket = \"session\"\n",
            self.site.server.pairing_url()
        );
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.site.folder("runtime.log"))
            .unwrap();
        let child = Command::new(&self.runtime)
            .arg("--config")
            .arg(config)
            .env("SSL_CERT_FILE", self.site.authority())
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus)
            // The process ends where it would restart the machine.
            .env("DM_NO_REBOOT", "1")
            .env("EDGEHOG_IMAGE_ID", "os")
            .env("EDGEHOG_IMAGE_VERSION", version)
            .env("EDGEHOG_SYSTEM_PART_NUMBER", "board-a")
            .env("EDGEHOG_SYSTEM_SERIAL_NUMBER", "0001")
            .env("RUST_LOG", "info")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Process(child)
    }

    fn paired(&self) -> Process {
        let runtime = self.boot("1.0.0+b1", &self.site.pairing_token());
        self.site.until_ready(ID);
        runtime
    }
}

#[test]
fn the_runtime_pairs_reports_itself_and_is_updated() {
    let Some(board) = Board::new() else { return };
    let mut runtime = board.paired();
    let robot = board.site.until_ready(ID);
    assert_eq!(robot["model"], "board-a");
    assert_eq!(robot["ecus"][0]["hardware_id"], "board-a");
    // The SDK may keep the build id back until the next connection (docs/device-protocol.md, Outcomes).
    assert_eq!(robot["ecus"][0]["reported"]["version"], "1.0.0");
    board.site.upload();
    let rollout = board.site.launch(ID, &json!({}));
    let status = runtime.0.wait().unwrap();
    assert!(status.success(), "{status}");
    board.switch_slot();
    let _runtime = board.boot("2.0.0+b7", "used");
    board.site.reaches(rollout, "succeeded");
    let path = format!("/v1/robots/{ID}");
    board.site.until(&path, "reports its system", |robot| {
        robot.to_string().contains("edgehog-device-runtime")
    });
}

#[test]
fn the_runtime_falls_back() {
    let Some(board) = Board::new() else { return };
    let mut runtime = board.paired();
    board.site.upload();
    let rollout = board.site.launch(ID, &json!({"rollback_grace": 1_000}));
    let status = runtime.0.wait().unwrap();
    assert!(status.success(), "{status}");
    let _runtime = board.boot("1.0.0+b1", "used");
    board.site.reaches(rollout, "rolled_back");
}
