//! X18: what a stop or a cancel finds, before anybody asks for it.

use crate::control::INSTALLING;
use crate::rollout::{Member, RobotProgress, Rollout};
use serde::{Deserialize, Serialize};

/// A rollout's robots by what a stop or a cancel would mean for them; those that were skipped are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standstill {
    /// They run what they shall.
    pub updated: u32,
    /// They write an image, or have written it: they finish, and are counted.
    pub installing: u32,
    /// They were told and have not begun to write: they get a Cancel.
    pub told: u32,
    /// Nothing is under way on them: they get nothing.
    pub waiting: u32,
    /// They are done and do not run what they shall: failed, cancelled, expired, superseded.
    pub not_updated: u32,
}

impl Rollout {
    /// What a stop or a cancel would find now. It looks at every member.
    #[must_use]
    pub fn standstill(&self) -> Standstill {
        Standstill::of_all(self.members.values())
    }
}

impl Standstill {
    pub(crate) fn of_all<'m>(members: impl Iterator<Item = &'m Member>) -> Self {
        let mut found = Self::default();
        for member in members {
            if let Some(count) = found.of(member) {
                *count += 1;
            }
        }
        found
    }

    fn of(&mut self, member: &Member) -> Option<&mut u32> {
        if member.skipped.is_some() {
            return None;
        }
        let active = member.active().and_then(|index| member.targets.get(index));
        Some(match (active, member.progress()) {
            (Some(target), _) if target.state.rank() >= INSTALLING => &mut self.installing,
            (Some(_), _) => &mut self.told,
            (None, RobotProgress::Waiting | RobotProgress::Updating) => &mut self.waiting,
            (None, RobotProgress::Successful) => &mut self.updated,
            (None, RobotProgress::Skipped) => return None,
            (None, _) => &mut self.not_updated,
        })
    }
}
