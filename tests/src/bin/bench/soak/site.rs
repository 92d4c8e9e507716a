//! The server of a soak, who is registered there, and how each crowd comes in.

use super::Programs;
use super::args::Settings;
use super::crowd::Crowd;
use super::hostile::{OVER_TLS, Scene};
use crate::fleet::{self, until};
use crate::server::{Server, free_address};
use anyhow::{Context, Result};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use tempfile::TempDir;

/// Hardware of the robots that publish, and of those that really update: rollouts find them by it.
pub(super) const PUBLISHING: &str = "soak-board";
pub(super) const WORKING: &str = "work-board";

/// Robots that really update.
pub(super) const WORKERS: u32 = 20;

/// Robots of the hostile clients; the first of them is innocent.
const HOSTILE: usize = 4;

/// How long a publisher is busy with an operation, seconds: each has so many repetitions of its steps.
const OPERATION_SECONDS: u64 = 60;

/// Steps of an operation that publishers say.
const STEPS: u64 = 200;

/// Bytes of an event's payload.
const EVENT_BYTES: u32 = 64;

/// How many times faster than the clock workers live: an update takes some seconds.
const TIME_SCALE: &str = "10";

/// Workers lose their connections now and then, and half of them keep events until they are acknowledged by the
/// application too. They never fail.
const PROFILE: &str = "[link]\noffline_every = [\"2m\", \"5m\"]\noffline_for = [\"10s\", \"60s\"]\n[messages]\nwants_ack = 50\n";

/// A server with everybody registered.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) server: Server,
    /// Ids of the robots that publish.
    pub(super) publishers: Vec<String>,
    generator: PathBuf,
    mqtts: SocketAddr,
    websocket: SocketAddr,
    directory: TempDir,
}

impl Site {
    pub(super) fn start(settings: &Settings, programs: &Programs) -> Result<Self> {
        let (device_http, mqtts, websocket) = (free_address()?, free_address()?, free_address()?);
        let config = format!(
            "[mqtts]\naddress = \"{mqtts}\"\n[websocket]\naddress = \"{websocket}\"\n[device_http]\naddress = \
             \"{device_http}\"\n[mqtt.open]\nanonymous = true\npublish = [\"#\"]\nsubscribe = [\"#\"]\n"
        );
        let server = Server::start_logging(&programs.server, &config, "warn")?;
        let mut site = Self {
            server,
            publishers: Vec::new(),
            generator: programs.generator.clone(),
            mqtts,
            websocket,
            directory: tempfile::tempdir().context("no directory for credentials")?,
        };
        let robots = usize::try_from(settings.robots)?;
        site.publishers = site.register("publisher", PUBLISHING, robots)?;
        site.register("worker", WORKING, usize::try_from(WORKERS)?)?;
        site.register("visitor", "visit-board", visitors(settings))?;
        site.register("hostile", "hostile-board", HOSTILE)?;
        std::fs::write(site.path("profile"), PROFILE)?;
        Ok(site)
    }

    /// Registers robots and writes their credentials to a file of this name. Returns their ids.
    fn register(&self, name: &str, hardware_id: &str, count: usize) -> Result<Vec<String>> {
        let hardware_ids = [hardware_id.to_owned()];
        let robots = fleet::register_named(&self.server, name, &hardware_ids, count, count)?;
        fleet::write_credentials(&self.directory.path().join(name), &robots)?;
        Ok(robots.into_iter().map(|robot| robot.id).collect())
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn crowd(&self, name: &str, words: &[&str]) -> Result<Crowd> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        Crowd::start(name, &self.generator, self.directory.path(), &words, None)
    }

    fn url(&self) -> String {
        format!("mqtt://{}", self.server.mqtt)
    }

    /// Over MQTT 5, which has a word for a refusal.
    pub(super) fn publishers(&self, settings: &Settings) -> Result<Crowd> {
        let events = u64::from(settings.rate) * OPERATION_SECONDS;
        let repeat = events.div_ceil(STEPS * u64::from(settings.robots)).max(1);
        let millis = |time: std::time::Duration| format!("{}ms", time.as_millis());
        self.crowd(
            "publishers",
            &[
                "bench",
                "fan-in",
                "--json",
                "--mqtt",
                "5",
                "--payload",
                "ota-events",
                "--broker",
                &self.url(),
                "--credentials",
                &self.path("publisher"),
                "--publishers",
                &settings.robots.to_string(),
                "--rate",
                &settings.rate.to_string(),
                "--every",
                &millis(settings.every),
                "--duration",
                &millis(settings.duration),
                "--size",
                &EVENT_BYTES.to_string(),
                "--repeat",
                &repeat.to_string(),
            ],
        )
    }

    pub(super) fn visitors(&self, settings: &Settings) -> Result<Option<Crowd>> {
        if settings.churn == 0 {
            return Ok(None);
        }
        let crowd = self.crowd(
            "visitors",
            &[
                "bench",
                "churn",
                "--json",
                "--broker",
                &self.url(),
                "--credentials",
                &self.path("visitor"),
                "--clients",
                &visitors(settings).to_string(),
                "--rate",
                &settings.churn.to_string(),
                "--duration",
                &format!("{}ms", settings.duration.as_millis()),
            ],
        );
        crowd.map(Some)
    }

    pub(super) fn workers(&self) -> Result<Crowd> {
        self.crowd(
            "workers",
            &[
                "run",
                "--json",
                "--quiet",
                "--until-stdin-closes",
                "--broker",
                &self.url(),
                "--credentials",
                &self.path("worker"),
                "--profile",
                &self.path("profile"),
                "--time-scale",
                TIME_SCALE,
            ],
        )
    }

    pub(super) fn hostile(&self) -> Result<Scene> {
        let (pid, metrics) = (
            self.server.pid().to_string(),
            format!("{}/metrics", self.server.api()),
        );
        let credentials = self.path("hostile");
        let arguments = [
            "abuse",
            "--short",
            "--json",
            "--quiet",
            "--server-pid",
            &pid,
            "--metrics",
            &metrics,
            "--credentials",
            &credentials,
        ];
        let plain = [
            "--broker",
            &self.url(),
            "--websocket",
            &format!("ws://{}/mqtt", self.websocket),
        ]
        .map(str::to_owned);
        let ca = self.server.data_dir().join("tls").join("ca.pem");
        let tls = [
            "--broker",
            &format!("mqtts://localhost:{}", self.mqtts.port()),
            "--ca",
            &ca.display().to_string(),
            "--only",
            OVER_TLS,
        ]
        .map(str::to_owned);
        Ok(Scene {
            program: self.generator.clone(),
            directory: self.directory.path().to_owned(),
            arguments: arguments.map(str::to_owned).to_vec(),
            plain: plain.to_vec(),
            tls: tls.to_vec(),
            token: self.server.admin_token()?,
        })
    }

    /// Robots that are not the hostile clients' and to which the engine has refused something, and what it refused last.
    pub(super) fn refused_innocents(&self) -> Result<Vec<String>> {
        let robots = self.server.robots()?;
        let refused = robots.iter().filter_map(|robot| {
            let (id, refusal) = (robot["id"].as_str()?, robot["last_refusal"].as_object()?);
            let code = refusal
                .get("code")
                .and_then(Value::as_str)
                .unwrap_or_default();
            (!id.starts_with("hostile-")).then(|| format!("{id}: {code}"))
        });
        Ok(refused.collect())
    }

    pub(super) fn wait_for_robots(&self, count: u32) -> Result<()> {
        let what = format!("{count} robots to be connected");
        self.wait_for(&what, "robots_online", |online| online >= f64::from(count))
    }

    pub(super) fn wait_for_nobody(&self) -> Result<()> {
        self.wait_for("everybody to be gone", "mqtt_connections", |left| {
            left <= 0.0
        })
    }

    fn wait_for(&self, what: &str, metric: &str, done: impl Fn(f64) -> bool) -> Result<()> {
        until(what, || {
            let metrics = self.server.metrics();
            metrics.is_ok_and(|metrics| metrics.get(metric).copied().is_some_and(&done))
        })
    }
}

/// Robots that come and go: each about every ten seconds.
fn visitors(settings: &Settings) -> usize {
    settings.churn.max(1) as usize * 10
}
