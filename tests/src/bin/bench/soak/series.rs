//! Rollouts to one fleet, one version after the other.

use crate::server::Server;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::VecDeque;

/// Bytes of an image's file, where there is one.
const FILE_BYTES: usize = 64 * 1024;

/// What rollouts to a fleet have come to.
#[derive(Debug)]
pub(super) struct Series {
    hardware_id: &'static str,
    robots: u32,
    /// Images have files that robots fetch.
    has_files: bool,
    version: u32,
    /// Launched and not completed, oldest first.
    open: VecDeque<u64>,
    pub(super) launched: u64,
    pub(super) completed: u64,
    pub(super) failures: Vec<String>,
}

impl Series {
    pub(super) fn new(hardware_id: &'static str, robots: u32, has_files: bool) -> Self {
        Self {
            hardware_id,
            robots,
            has_files,
            version: 1,
            open: VecDeque::new(),
            launched: 0,
            completed: 0,
            failures: Vec::new(),
        }
    }

    /// The version that the newest rollout brings.
    pub(super) fn version(&self) -> String {
        format!("{}.0.0", self.version)
    }

    /// Targets of its rollouts that have completed: a robot has one ECU.
    pub(super) fn targets(&self) -> u64 {
        self.completed * u64::from(self.robots)
    }

    /// Rollouts under way.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Makes the next rollout and launches it.
    pub(super) fn launch_next(&mut self, server: &Server) -> Result<()> {
        self.version += 1;
        let hardware_id = self.hardware_id;
        let image = format!("{hardware_id}-os@{}", self.version());
        if self.has_files {
            let mut file = vec![0; FILE_BYTES];
            rand::fill(&mut file[..]);
            server.upload(&image, hardware_id, &file)?;
        } else {
            server.add_image(&image, hardware_id)?;
        }
        let cap = usize::try_from(self.robots)?;
        let rollout = server.create_rollout(&[(hardware_id, image)], cap)?;
        server.launch(rollout)?;
        self.open.push_back(rollout);
        self.launched += 1;
        Ok(())
    }

    /// Judges the rollouts that have completed.
    pub(super) fn settle(&mut self, server: &Server) -> Result<()> {
        while let Some(oldest) = self.open.front() {
            let rollout = server.get(&format!("/v1/rollouts/{oldest}"))?;
            if rollout["status"] != "completed" {
                break;
            }
            self.open.pop_front();
            self.completed += 1;
            if let Err(error) = self.judge(&rollout) {
                self.failures.push(format!("{error:#}"));
            }
        }
        Ok(())
    }

    fn judge(&self, rollout: &Value) -> Result<()> {
        let (outcome, counts) = (&rollout["outcome"], &rollout["counts"]);
        ensure!(
            outcome == "success" && counts["installed"] == self.robots,
            "rollout {} of {} has the outcome {outcome}: {counts}",
            rollout["id"],
            self.hardware_id
        );
        Ok(())
    }

    /// Whether every robot has been told of the newest rollout, so that the next one can wait for its turn.
    pub(super) fn is_told(&self, server: &Server) -> Result<bool> {
        let Some(newest) = self.open.back() else {
            return Ok(true);
        };
        let rollout = server.get(&format!("/v1/rollouts/{newest}"))?;
        let pending = rollout["counts"]["pending"].as_u64();
        Ok(pending.context("a rollout without counts")? == 0)
    }
}
