//! The writer: one thread owns the state, makes every input durable in batches, and only then lets the world know.

mod handle;
mod status;

pub use handle::{Bridge, CommandError};
pub(crate) use handle::{CONTROL_QUEUE, Control};
pub use status::{Status, StatusSnapshot};

use rollcall_engine::{RobotKey, RolloutId, State};
use std::collections::BTreeMap;

/// The ends of the history chains: the newest record of each robot and each rollout.
#[derive(Debug, Default)]
pub struct Chains {
    pub(crate) robots: Vec<u64>,
    pub(crate) rollouts: BTreeMap<RolloutId, u64>,
}

impl Chains {
    /// The robot's newest record; 0 if it has none.
    #[must_use]
    pub fn robot(&self, robot: RobotKey) -> u64 {
        self.robots.get(robot.0 as usize).copied().unwrap_or(0)
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
}
