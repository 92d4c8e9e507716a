//! The released Astarte SDK against the server, over pairing, mutual TLS and real sockets (issue: real Edgehog devices).
//!
//! The device is a program of its own, `sdk-device`, so that the SDK is not part of the plain build:
//! `cargo build -p rollcall-sdk-device --features sdk` makes it, and `.ci/run` does so. Without it these tests say that
//! they are skipped.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests fail by panicking, and say when they are skipped"
)]

mod edgehog_site;
mod process;

use edgehog_site::Site;
use process::PATIENCE;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

/// Where cargo puts the device: beside the folder of the tests.
fn device_program() -> Option<PathBuf> {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("sdk-device");
    if program.exists() {
        return Some(program);
    }
    eprintln!(
        "SKIPPED: {} is not built; run `cargo build -p rollcall-sdk-device --features sdk` first",
        program.display()
    );
    None
}

/// A site, if there is a device for it.
struct Bench {
    site: Site,
    program: PathBuf,
}

impl Bench {
    fn new() -> Option<Self> {
        let program = device_program()?;
        Some(Self {
            site: Site::new(),
            program,
        })
    }

    fn device(&self, id: &str, token: &str, flags: &[&str]) -> Device {
        let mut child = Command::new(&self.program)
            .args(["--device-id", id, "--pairing-token", token])
            .args(["--pairing-url", &self.site.server.pairing_url()])
            .arg("--directory")
            .arg(self.site.folder(id))
            .args(flags)
            .env("SSL_CERT_FILE", self.site.authority())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        Device {
            orders: child.stdin.take().unwrap(),
            child,
            lines,
        }
    }

    /// Registers by a pairing token, and waits until the server knows what the device is.
    fn paired(&self, id: &str, flags: &[&str]) -> Device {
        let device = self.device(id, &self.site.pairing_token(), flags);
        self.site.until_ready(id);
        device
    }

    /// Starts the device again, as after a reboot: its folder knows its secret and its certificate.
    fn again(&self, id: &str, flags: &[&str]) -> Device {
        self.device(id, "used", flags)
    }
}

struct Device {
    child: Child,
    orders: ChildStdin,
    lines: Receiver<Value>,
}

impl Device {
    /// What the device says next of this kind; the rest is passed over.
    fn next(&self, event: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap();
            if line["event"] == event && is_it(&line) {
                return line;
            }
        }
    }

    fn said(&self, status: &str) -> Value {
        self.next("said", |line| line["status"] == status)
    }

    fn go_on(&mut self) {
        writeln!(self.orders).unwrap();
    }

    /// Lets the device reboot once the server knows that it is about to, and waits for the end of its process.
    fn reboot(mut self, site: &Site, rollout: u64) {
        site.reaches(rollout, "verifying");
        self.go_on();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// device-contract 1.6, 2, 6: registered by a pairing token, the device gets its certificate, connects, and says what it
/// is; its part number is its hardware id.
#[test]
fn a_device_pairs_and_reports_itself() {
    let Some(bench) = Bench::new() else { return };
    let id = "2TBn-jNESuuHamE2Zo1anA";
    let device = bench.paired(id, &[]);
    let robot = bench.site.until_ready(id);
    assert_eq!(robot["protocol"], "edgehog");
    assert_eq!(robot["model"], "board-a");
    assert_eq!(robot["ecus"][0]["hardware_id"], "board-a");
    assert_eq!(robot["ecus"][0]["reported"]["build_id"], "b1");
    let certificate = std::fs::read_to_string(bench.site.folder(id).join("certificate.pem"));
    assert_eq!(
        certificate.unwrap().matches("BEGIN CERTIFICATE").count(),
        1,
        "device-contract 2: exactly one"
    );
    drop(device);
}

/// device-contract 1.7: a property of the server reaches the device at once, again when it comes back, and goes when it
/// is unset.
#[test]
fn properties_of_the_server_reach_the_device() {
    let Some(bench) = Bench::new() else { return };
    let id = "3hOvM2Z1SjCwqk0zv4Yb0Q";
    let device = bench.paired(id, &[]);
    let set = |value: Value| {
        let property = json!({
            "interface": "io.edgehog.devicemanager.config.Telemetry",
            "path": "/request/io.edgehog.devicemanager.SystemStatus/periodSeconds",
            "value": value,
        });
        let path = format!("/v1/robots/{id}/properties");
        bench.site.server.put(&path, &property);
    };
    set(json!(60));
    let told = |device: &Device, value: &str| {
        device.next("property", |line| line["value"] == value);
    };
    told(&device, "LongInteger(60)");
    drop(device);
    let device = bench.again(id, &[]);
    told(&device, "LongInteger(60)");
    set(Value::Null);
    told(&device, "");
}

/// device-contract 0.1: the process that knows the outcome says it before it is connected, so it never arrives, and
/// success is concluded from what the device reports.
#[test]
fn an_update_succeeds_although_its_success_event_is_lost() {
    let Some(bench) = Bench::new() else { return };
    let id = "update-succeeds";
    let device = bench.paired(id, &[]);
    bench.site.upload();
    let rollout = bench.site.launch(id, &json!({}));
    let request = device.next("request", |line| line["operation"] == "Update");
    device.reboot(&bench.site, rollout);
    let device = bench.again(id, &[]);
    assert_eq!(device.said("Success")["event"], "said", "into the void");
    let target = bench.site.reaches(rollout, "succeeded");
    assert_eq!(target["operation"], request["uuid"]);
    assert_eq!(target["attempt"], 1);
}

/// device-contract 0.3 and 3.2: a Cancel that names the running request stops its download.
#[test]
fn an_update_is_cancelled_while_it_downloads() {
    let Some(bench) = Bench::new() else { return };
    let id = "update-cancelled";
    let device = bench.paired(id, &["--pause-download"]);
    bench.site.upload();
    let rollout = bench.site.launch(id, &json!({}));
    let update = device.next("request", |line| line["operation"] == "Update");
    bench.site.reaches(rollout, "downloading");
    bench
        .site
        .server
        .post(&format!("/v1/robots/{id}/cancel"), &json!({}));
    let cancel = device.next("request", |line| line["operation"] == "Cancel");
    assert_eq!(cancel["uuid"], update["uuid"]);
    assert_eq!(cancel["url"], update["url"]);
    bench.site.reaches(rollout, "cancelled");
}

/// device-contract 0.1, 1.6: only a new process that reports the old image, and goes on reporting it, has rolled back.
#[test]
fn an_update_is_rolled_back() {
    let Some(bench) = Bench::new() else { return };
    let id = "update-rolls-back";
    let device = bench.paired(id, &[]);
    bench.site.upload();
    let rollout = bench.site.launch(id, &json!({"rollback_grace": 1_000}));
    device.reboot(&bench.site, rollout);
    let device = bench.again(id, &["--roll-back"]);
    bench.site.reaches(rollout, "rolled_back");
    drop(device);
}

/// A server that is killed while a device downloads goes on where it was: the same request is not sent twice, and the
/// update succeeds.
#[test]
fn the_server_is_killed_in_the_middle_of_an_update() {
    let Some(mut bench) = Bench::new() else {
        return;
    };
    let id = "server-killed";
    let mut device = bench.paired(id, &["--pause-download"]);
    bench.site.upload();
    let rollout = bench.site.launch(id, &json!({}));
    let update = device.next("request", |line| line["operation"] == "Update");
    bench.site.reaches(rollout, "downloading");
    bench.site.server.kill();
    bench.site.server.restart();
    bench.site.until_ready(id);
    device.go_on();
    device.reboot(&bench.site, rollout);
    let device = bench.again(id, &[]);
    let target = bench.site.reaches(rollout, "succeeded");
    assert_eq!(target["operation"], update["uuid"]);
    drop(device);
}
