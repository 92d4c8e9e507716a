//! The load generator, which is the same program for every server: `device-sim bench`.

use super::kind::{Needs, Peer};
use crate::server::PATIENCE;
use anyhow::{Context, Result, bail, ensure};
use device_sim::bench::{FanInReport, FanOutReport, IdleReport};
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// Longest time for one measurement, beside what it is to last.
const TIMEOUT: Duration = PATIENCE;

/// What publishers are told beside the server's address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publishing {
    pub(crate) publishers: usize,
    pub(crate) qos: u8,
    pub(crate) window: u16,
    pub(crate) size: u32,
    /// Nothing: as fast as it goes.
    pub(crate) rate: Option<u64>,
    pub(crate) duration: Duration,
    /// Search for the highest rate that is held for so long.
    pub(crate) hold: Option<Duration>,
    /// Events of one step of an operation, for robots.
    pub(crate) repeat: u32,
}

impl Publishing {
    /// The longest that a search for the peak lasts: six rates that are held, and twelve short tries.
    pub(crate) fn longest_search(&self) -> Duration {
        let held = |hold: Duration| hold * 8 + Duration::from_secs(12);
        self.hold.map_or(Duration::ZERO, held)
    }
}

/// The program, and how many threads it has.
#[derive(Debug, Clone)]
pub(crate) struct Generator {
    program: PathBuf,
    threads: u16,
}

impl Generator {
    /// The one that is named, or `device-sim` beside this program.
    pub(crate) fn find(named: Option<PathBuf>, threads: u16) -> Result<Self> {
        let program = crate::program(named, "device-sim", "--generator")?;
        Ok(Self { program, threads })
    }

    pub(crate) fn fan_in(&self, peer: &Peer, publishing: Publishing) -> Result<FanInReport> {
        let Publishing {
            publishers,
            qos,
            window,
            size,
            rate,
            duration,
            hold,
            repeat,
        } = publishing;
        let mut arguments = peer.arguments();
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        add("--publishers", publishers.to_string());
        add("--qos", qos.to_string());
        add("--window", window.to_string());
        add("--size", size.to_string());
        add("--duration", format!("{}ms", duration.as_millis()));
        let longest = duration + publishing.longest_search();
        if let Some(rate) = rate {
            add("--rate", rate.to_string());
        }
        if let Some(hold) = hold {
            add("--hold", format!("{}ms", hold.as_millis()));
        }
        if matches!(peer, Peer::Rollcall(_)) {
            add("--payload", "ota-events".to_owned());
            add("--repeat", repeat.to_string());
        } else {
            // The least work for the others: their subscriber acknowledges nothing.
            add("--subscriber-qos", "0".to_owned());
        }
        if hold.is_some() {
            arguments.push("--find-peak".to_owned());
        }
        self.run("fan-in", &arguments, longest)
    }

    pub(crate) fn idle(&self, peer: &Peer, clients: usize, rest: Duration) -> Result<IdleReport> {
        let mut arguments = peer.arguments();
        arguments.extend(["--clients".to_owned(), clients.to_string()]);
        arguments.extend(["--rest".to_owned(), format!("{}ms", rest.as_millis())]);
        self.run("idle", &arguments, rest)
    }

    /// Its seconds are those from the first publish, or from the launch of a rollout, to the last delivery.
    pub(crate) fn fan_out(&self, peer: &Peer, needs: Needs<'_>) -> Result<FanOutReport> {
        let mut arguments = peer.arguments();
        arguments.extend(["--clients".to_owned(), needs.robots.to_string()]);
        let Peer::Rollcall(fleet) = peer else {
            return self.run("fan-out", &arguments, Duration::ZERO);
        };
        let rollout = fleet.prepare_rollout(needs)?;
        arguments.push("--by-server".to_owned());
        let mut child = self.start("fan-out", &arguments)?;
        wait_for_ready(&mut child)?;
        fleet.server.settle()?;
        let launched = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        fleet.server.launch(rollout)?;
        let mut report: FanOutReport = finish(child, "fan-out", TIMEOUT)?;
        let last = Duration::from_micros(report.last_delivery_unix_us);
        report.seconds = last.saturating_sub(launched).as_secs_f64();
        Ok(report)
    }

    fn run<T: DeserializeOwned>(
        &self,
        what: &str,
        arguments: &[String],
        longest: Duration,
    ) -> Result<T> {
        finish(self.start(what, arguments)?, what, TIMEOUT + longest)
    }

    fn start(&self, what: &str, arguments: &[String]) -> Result<Child> {
        Command::new(&self.program)
            .args([
                "bench",
                what,
                "--json",
                "--threads",
                &self.threads.to_string(),
            ])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", self.program.display()))
    }
}

/// Waits until the generator's clients are connected.
fn wait_for_ready(child: &mut Child) -> Result<()> {
    let stderr = child.stderr.as_mut().context("no standard error")?;
    let mut said = String::new();
    for line in BufReader::new(stderr).lines() {
        let line = line?;
        if line == "ready" {
            return Ok(());
        }
        said.push_str(&line);
        said.push('\n');
    }
    bail!("the load generator ended before its clients were ready: {said}")
}

/// Waits for the report.
fn finish<T: DeserializeOwned>(mut child: Child, what: &str, patience: Duration) -> Result<T> {
    let deadline = Instant::now() + patience;
    // One line, which fits into the pipe.
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            bail!("{what} took more than {patience:?}");
        }
        std::thread::sleep(LOOK);
    };
    let (mut out, mut said) = (String::new(), String::new());
    child
        .stdout
        .context("no standard output")?
        .read_to_string(&mut out)?;
    child
        .stderr
        .context("no standard error")?
        .read_to_string(&mut said)?;
    ensure!(status.success(), "{what}: {}", said.trim());
    serde_json::from_str(&out).with_context(|| format!("{what} said {out:?}"))
}

const LOOK: Duration = Duration::from_millis(20);
