//! The writer: one thread owns the state, makes every input durable in batches, and only then lets the world know.

mod batch;
mod clock;
mod dev;
mod handle;
mod histogram;
mod outbox;
mod run;
mod sessions;
mod spawn;
mod status;
mod streams;
mod trail;

pub(crate) use clock::wall_clock;
pub(crate) use handle::Control;
pub use handle::{Bridge, CommandError};
pub(crate) use histogram::Distribution;
pub use run::WriterError;
pub(crate) use sessions::SessionStorage;
pub use spawn::{Running, Setup, SpawnError, spawn};
pub use status::{Status, StatusSnapshot};
pub use streams::Streams;

use rollcall_engine::{RobotKey, RolloutId, State, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

/// The writer's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Intake stops while the disk has fewer bytes than this left.
    pub disk_reserve_bytes: u64,
    /// Between two looks at the disk, at retention and at the engine's time.
    pub housekeeping: Duration,
    /// History older than this is removed in small steps, milliseconds.
    pub retention_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            housekeeping: Duration::from_secs(5),
            disk_reserve_bytes: 256 << 20,
            retention_ms: 90 * 24 * 3_600 * 1_000,
        }
    }
}

/// The last thing that a robot said in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRefusal {
    /// When.
    pub at: Timestamp,
    /// A stable word for programs.
    pub code: &'static str,
    /// Why, for people.
    pub why: String,
}

/// The ends of the history chains: the newest record of each robot and each rollout.
#[derive(Debug, Default)]
pub struct Chains {
    pub(crate) robots: Vec<u64>,
    pub(crate) rollouts: BTreeMap<RolloutId, u64>,
}

impl Chains {
    pub(crate) fn set_robot(&mut self, robot: RobotKey, newest: u64) -> u64 {
        let index = robot.0 as usize;
        if self.robots.len() <= index {
            self.robots.resize(index + 1, 0);
        }
        std::mem::replace(&mut self.robots[index], newest)
    }

    /// The robot's newest record; 0 if it has none.
    #[must_use]
    pub fn robot(&self, robot: RobotKey) -> u64 {
        self.robots.get(robot.0 as usize).copied().unwrap_or(0)
    }

    pub(crate) fn set_rollout(&mut self, rollout: RolloutId, newest: u64) -> u64 {
        self.rollouts.insert(rollout, newest).unwrap_or(0)
    }

    /// The rollout's newest record; 0 if it has none.
    #[must_use]
    pub fn rollout(&self, rollout: RolloutId) -> u64 {
        self.rollouts.get(&rollout).copied().unwrap_or(0)
    }
}

/// What a question may look at: everything that is on disk, and what robots last said of themselves.
#[derive(Debug)]
pub struct View<'a> {
    /// The engine's state.
    pub state: &'a State,
    /// The ends of the history chains.
    pub chains: &'a Chains,
    /// The newest `rollcall.v1.State` of each robot that is connected.
    pub telemetry: &'a BTreeMap<RobotKey, rollcall_proto::native::State>,
    /// The newest value of each datastream that Edgehog devices sent with QoS 0 since the server's start.
    pub streams: &'a Streams,
    /// The last refused publish of each robot since the server's start.
    pub refusals: &'a BTreeMap<RobotKey, LastRefusal>,
}
