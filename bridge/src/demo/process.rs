//! The fleet's process: this very program with a hidden subcommand, so that the demonstration is one binary.

use super::fleet::Files;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// The robots' time runs so many times faster than ours: half a minute of installing takes half a second.
const TIME_SCALE: &str = "60";

/// A running fleet. It ends when its standard input closes, so it cannot outlive the demonstration.
pub(super) struct Fleet {
    child: Child,
}

/// What the fleet says of itself at its end.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    pub(super) fleet: Vec<RobotReport>,
}

/// What really happened to one robot.
#[derive(Debug, Deserialize)]
pub(super) struct RobotReport {
    pub(super) id: String,
    pub(super) ecus: Vec<EcuReport>,
    pub(super) operations: Vec<OperationReport>,
    pub(super) violations: Vec<serde_json::Value>,
}

/// What one ECU really runs.
#[derive(Debug, Deserialize)]
pub(super) struct EcuReport {
    pub(super) name: String,
    pub(super) image: ImageReport,
}

/// An image on a robot.
#[derive(Debug, Deserialize)]
pub(super) struct ImageReport {
    pub(super) name: String,
    pub(super) version: String,
}

/// How an operation really ended.
#[derive(Debug, Deserialize)]
pub(super) struct OperationReport {
    pub(super) ecu: String,
    pub(super) outcome: Option<serde_json::Value>,
}

impl Fleet {
    pub(super) fn start(files: &Files, mqtt: SocketAddr, realm: &str, seed: u64) -> Result<Self> {
        let program = std::env::current_exe().context("this program does not know where it is")?;
        let child = Command::new(program)
            .args([
                "fleet",
                "--quiet",
                "--json",
                "--until-stdin-closes",
                "--time-scale",
                TIME_SCALE,
            ])
            .args(["--connect-rate", "5000", "--realm", realm])
            .arg("--broker")
            .arg(format!("mqtt://{mqtt}"))
            .arg("--seed")
            .arg(seed.to_string())
            .arg("--credentials")
            .arg(&files.credentials)
            .arg("--profile")
            .arg(&files.profile)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the fleet's process did not start")?;
        Ok(Self { child })
    }

    pub(super) fn check_alive(&mut self) -> Result<()> {
        match self
            .child
            .try_wait()
            .context("the fleet's process cannot be watched")?
        {
            None => Ok(()),
            Some(status) => bail!("the fleet's process has ended early ({status})"),
        }
    }

    /// Ends the fleet and reads its report.
    pub(super) async fn finish(mut self, patience: Duration) -> Result<Report> {
        drop(self.child.stdin.take());
        let mut stdout = self
            .child
            .stdout
            .take()
            .context("the fleet's process has no output")?;
        let mut text = Vec::new();
        let read = tokio::time::timeout(patience, stdout.read_to_end(&mut text)).await;
        read.context("the fleet's process does not end")?
            .context("the fleet's report was not read")?;
        self.child
            .wait()
            .await
            .context("the fleet's process cannot be waited for")?;
        serde_json::from_slice(&text).context("the fleet's report cannot be understood")
    }
}
