//! Hostile clients, again and again: `device-sim abuse --short`.

use super::crowd::Crowd;
use crate::note;
use anyhow::Result;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// What the hostile clients need to know.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) program: PathBuf,
    pub(super) directory: PathBuf,
    /// Of every run.
    pub(super) arguments: Vec<String>,
    /// Of runs against the listener without TLS, and of those with it, in turn.
    pub(super) plain: Vec<String>,
    pub(super) tls: Vec<String>,
    pub(super) token: String,
}

/// What is different over TLS.
pub(super) const OVER_TLS: &str = "silent-connections,resets,tls-garbage,connect-flood,other-protocols,malformed-connect,oversized";

/// Longest time of a run beside the usual.
const PATIENCE: Duration = Duration::from_secs(600);

/// All runs.
#[derive(Debug)]
pub(super) struct Hostile {
    scene: Scene,
    running: Option<Crowd>,
    pub(super) runs: u64,
    pub(super) attacks: u64,
    /// What was not survived.
    pub(super) failures: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Report {
    attacks: Vec<Attack>,
}

#[derive(Debug, Deserialize)]
struct Attack {
    attack: String,
    verdict: String,
    faults: Vec<String>,
}

impl Hostile {
    pub(super) fn new(scene: Scene) -> Self {
        Self {
            scene,
            running: None,
            runs: 0,
            attacks: 0,
            failures: Vec::new(),
        }
    }

    /// Judges the run that has ended, and starts the next one.
    pub(super) fn go_on(&mut self) -> Result<()> {
        if let Some(mut running) = self.running.take() {
            if running.ended()?.is_none() {
                self.running = Some(running);
                return Ok(());
            }
            self.judge(&mut running)?;
        }
        let Scene {
            program,
            directory,
            arguments,
            plain,
            tls,
            token,
        } = &self.scene;
        let over = if self.runs.is_multiple_of(2) {
            plain
        } else {
            tls
        };
        let seed = ["--seed".to_owned(), (self.runs + 1).to_string()];
        let words = [&arguments[..], &over[..], &seed[..]].concat();
        let running = Crowd::start("hostile", program, directory, &words, Some(token))?;
        self.running = Some(running);
        Ok(())
    }

    /// Waits for the run under way.
    pub(super) fn finish(&mut self) -> Result<()> {
        match self.running.take() {
            Some(mut running) => self.judge(&mut running),
            None => Ok(()),
        }
    }

    fn judge(&mut self, run: &mut Crowd) -> Result<()> {
        let status = run.wait(PATIENCE)?;
        let said = run.lines()?.pop().unwrap_or_default();
        self.runs += 1;
        match serde_json::from_str(&said) {
            Ok(report) => self.count(report),
            Err(_) => self.fail(format!("run {} ({status}): {}", self.runs, run.said())),
        }
        Ok(())
    }

    /// Said at once as well: whoever watches need not wait for the end.
    fn fail(&mut self, what: String) {
        note(&format!("soak: {what}"));
        self.failures.push(what);
    }

    fn count(&mut self, report: Report) {
        for attack in report.attacks {
            match attack.verdict.as_str() {
                "skipped" => {}
                "survived" => self.attacks += 1,
                verdict => {
                    self.attacks += 1;
                    self.fail(format!(
                        "run {}, {}: {verdict}: {}",
                        self.runs,
                        attack.attack,
                        attack.faults.join("; ")
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_but_two_is_a_failure_that_names_run_attack_and_faults() {
        let mut hostile = Hostile::new(Scene {
            program: PathBuf::new(),
            directory: PathBuf::new(),
            arguments: Vec::new(),
            plain: Vec::new(),
            tls: Vec::new(),
            token: String::new(),
        });
        hostile.runs = 3;
        let report = r#"{"seed":1,"attacks":[
            {"attack":"resets","verdict":"survived","faults":[]},
            {"attack":"tls-garbage","verdict":"skipped","faults":[]},
            {"attack":"topic-flood","verdict":"memory_grew","faults":["by 300 MB"]}]}"#;
        hostile.count(serde_json::from_str(report).unwrap());
        assert_eq!(hostile.attacks, 2);
        assert_eq!(
            hostile.failures,
            ["run 3, topic-flood: memory_grew: by 300 MB"]
        );
    }
}
