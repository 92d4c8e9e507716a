//! Which robot's own timer comes due next, so that a large fleet is not searched for it at every step.

use std::collections::BTreeSet;

/// The robots' timers, by time and then by robot.
#[derive(Debug)]
pub(super) struct Timers {
    due: BTreeSet<(u64, usize)>,
    set: Vec<Option<u64>>,
}

impl Timers {
    pub(super) fn new(robots: usize) -> Self {
        Self {
            due: BTreeSet::new(),
            set: vec![None; robots],
        }
    }

    /// The robot's timer is `at` from now on.
    pub(super) fn set(&mut self, robot: usize, at: Option<u64>) {
        let before = std::mem::replace(&mut self.set[robot], at);
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.due.remove(&(before, robot));
        }
        self.due.extend(at.map(|at| (at, robot)));
    }

    /// The next one: when, and whose.
    pub(super) fn first(&self) -> Option<(u64, usize)> {
        self.due.first().copied()
    }
}
