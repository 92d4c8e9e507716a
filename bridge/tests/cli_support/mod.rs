//! The program as a process: one that serves, others that ask it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    reason = "tests fail by panicking, and each uses its own part of this"
)]

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// The program.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    for variable in [
        "ROLLCALL_API",
        "ROLLCALL_TOKEN",
        "ROLLCALL_DATA_DIR",
        "RUST_LOG",
    ] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

/// Any free port.
pub(crate) const ANY: &str = "127.0.0.1:0";

/// The server over `data` with its API at `http`, and ports for robots wherever there are any.
pub(crate) fn serve(http: &str, data: &Path) -> Command {
    let mut command = program();
    command
        .args(["serve", "--mqtt", ANY, "--mqtts", "off"])
        .args(["--http", http, "--device-http", ANY, "--data-dir"])
        .arg(data);
    command
}

/// A server as a process, and the way to ask it.
pub(crate) struct Rollcall {
    server: Child,
    api: String,
    directory: TempDir,
}

impl Rollcall {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut server = serve(ANY, &directory.path().join("data"))
            .args(more)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
        let api = loop {
            let line = lines
                .next()
                .expect("the server ended before it served")
                .unwrap();
            if let Some((_, rest)) = line.split_once("API on ") {
                break rest.split(',').next().unwrap().to_owned();
            }
        };
        // Whatever else it logs must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            server,
            api,
            directory,
        }
    }

    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }

    /// Sends the server SIGHUP.
    pub(crate) fn hang_up(&self) {
        let pid = rustix::process::Pid::from_child(&self.server);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command
            .args(arguments)
            .env("ROLLCALL_API", &self.api)
            .env("ROLLCALL_DATA_DIR", self.data());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command that works prints.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {err}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The one document that a command prints with `--json`.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(&[arguments, &["--json"]].concat());
        assert_eq!(text.lines().count(), 1, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) {
        let token = std::fs::read_to_string(self.data().join("admin.token")).unwrap();
        let bearer = format!("Bearer {}", token.trim());
        ureq::post(format!("{}{path}", self.api))
            .header("authorization", bearer)
            .send_json(body)
            .unwrap();
    }

    /// Rollout 1 on group `g` with robot `r1`, prepared.
    pub(crate) fn with_prepared_rollout(&self) {
        self.ok(&["robot", "add", "r1", "--ecu", "main=hw"]);
        self.ok(&["group", "add", "g", "--robot", "r1"]);
        let file = self.file("fw.bin", b"firmware");
        self.ok(&["image", "add", "fw@1", "--hardware", "hw", "--file", &file]);
        self.ok(&[
            "rollout", "create", "--name", "a", "--target", "group:g", "--image", "hw=fw@1",
        ]);
    }
}

impl Drop for Rollcall {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
