//! The calls of the server's API that a rollout to all robots needs.

use super::robot::{ECU, HARDWARE, IMAGE, id};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use ureq::Agent;

/// Robots of one registration: as many as the API takes at once.
const REGISTERED_AT_ONCE: usize = 10_000;

/// A registration of 10,000 robots answers with some megabytes.
const MAX_ANSWER: u64 = 64 << 20;

/// Longest wait for anything; reached only when something is broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(900);

/// Between two looks at something that is waited for.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// The API of a server.
#[derive(Debug)]
pub struct Api {
    url: String,
    token: String,
    agent: Agent,
}

impl Api {
    /// At this URL, with the token of an administrator.
    #[must_use]
    pub fn new(url: String, token: &str) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .build()
            .into();
        Self {
            url,
            token: format!("Bearer {}", token.trim()),
            agent,
        }
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let response = request.header("Authorization", &self.token).send_json(body);
        Self::answer(path, response?)
    }

    fn get(&self, path: &str) -> Result<Value> {
        let request = self.agent.get(format!("{}{path}", self.url));
        Self::answer(path, request.header("Authorization", &self.token).call()?)
    }

    fn answer(path: &str, mut response: ureq::http::Response<ureq::Body>) -> Result<Value> {
        let status = response.status();
        let body = response.body_mut().with_config().limit(MAX_ANSWER);
        let value: Value = body
            .read_json()
            .with_context(|| format!("{path}: no answer"))?;
        ensure!(status.is_success(), "{path}: {status}: {value}");
        Ok(value)
    }

    /// Registers so many robots; their secrets, which are all of one length, in one text.
    pub(super) fn register(&self, robots: usize) -> Result<String> {
        let mut secrets = String::new();
        let ecus = json!([{"name": ECU, "hardware_id": HARDWARE, "primary": true}]);
        let numbers: Vec<_> = (0..robots).collect();
        for numbers in numbers.chunks(REGISTERED_AT_ONCE) {
            let robots: Vec<_> = numbers
                .iter()
                .map(|number| json!({"id": id(*number), "ecus": ecus}))
                .collect();
            let answer = self.post("/v1/robots", &json!({"robots": robots}))?;
            for result in answer["results"].as_array().context("no results")? {
                let secret = result["robot"]["credentials_secret"].as_str();
                secrets.push_str(secret.context("a robot without secret")?);
            }
        }
        Ok(secrets)
    }

    /// Makes a rollout of version 2.0.0 for every robot; its number.
    pub(super) fn prepare(&self, robots: usize) -> Result<u64> {
        let image = format!("{IMAGE}@2.0.0");
        let described = json!({
            "image": image, "hardware_ids": [HARDWARE], "url": "http://127.0.0.1:9/none", "size": 1,
            "sha256": "00".repeat(32),
        });
        self.post("/v1/images", &described)?;
        let rollout = json!({
            "name": "growth", "target": {"hardware": HARDWARE},
            "images": [{"hardware_id": HARDWARE, "image": image}],
            "mechanism": {"max_in_progress": robots},
        });
        let made = self.post("/v1/rollouts", &rollout)?;
        made["id"].as_u64().context("the rollout has no number")
    }

    pub(super) fn launch(&self, rollout: u64) -> Result<()> {
        let path = format!("/v1/rollouts/{rollout}/launch");
        self.post(&path, &json!({"accept_drift": true})).map(drop)
    }

    /// How the rollout has ended; `None` while it goes on.
    pub(super) fn outcome(&self, rollout: u64) -> Result<Option<String>> {
        let view = self.get(&format!("/v1/rollouts/{rollout}"))?;
        Ok(view["outcome"].as_str().map(str::to_owned))
    }

    /// Waits until nothing more comes in.
    pub(super) fn settle(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let (mut quiet, mut before) = (0, 0);
        while quiet < 3 {
            ensure!(
                Instant::now() < deadline,
                "the server does not come to rest"
            );
            std::thread::sleep(Duration::from_millis(100));
            let status = self.get("/v1/status")?;
            let inputs = status["writer"]["inputs_committed"]
                .as_u64()
                .context("no counters")?;
            quiet = if inputs == before { quiet + 1 } else { 0 };
            before = inputs;
        }
        Ok(())
    }
}
