//! A release's robots by how far they are, each counted once, though a resume may have told it again.

use super::{Release, ReleaseId};
use crate::rollout::{Member, RobotProgress, Rollout};
use crate::standstill::Standstill;
use crate::state::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Robots of a release, or of one of its tranches, by how far they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReleaseCounts {
    /// That it goes to.
    pub chosen: u32,
    /// Told of at least one ECU.
    pub told: u32,
    /// Not done.
    pub open: u32,
    /// With an operation under way.
    pub in_progress: u32,
    /// Successful.
    pub succeeded: u32,
    /// Failed.
    pub failed: u32,
}

impl State {
    /// What a stop of the release would find now (X18), its tranches together; `None` if there is no such release. It looks
    /// at every member.
    #[must_use]
    pub fn standstill_of(&self, id: ReleaseId) -> Option<Standstill> {
        let release = self.releases.get(&id)?;
        Some(Standstill::of_all(self.members_of_release(release)))
    }

    /// How far the release's robots are.
    #[must_use]
    pub fn release_counts(&self, release: &Release) -> ReleaseCounts {
        if release.tranches.iter().any(|tranche| tranche.again) {
            return ReleaseCounts::of_members(self.members_of_release(release));
        }
        let rollouts = release.rollouts().filter_map(|id| self.rollouts.get(&id));
        rollouts.map(ReleaseCounts::of).sum()
    }

    /// Each of its robots once, as its newest tranche has it.
    fn members_of_release(&self, release: &Release) -> impl Iterator<Item = &Member> {
        let rollouts: Vec<_> = release.rollouts().collect();
        let newest_first = rollouts.into_iter().rev();
        let mut seen = BTreeSet::new();
        let members = newest_first
            .filter_map(|id| self.rollouts.get(&id))
            .flat_map(|rollout| rollout.members.iter());
        members.filter_map(move |(key, member)| seen.insert(key).then_some(member))
    }
}

impl ReleaseCounts {
    /// Those of one tranche.
    #[must_use]
    pub const fn of(rollout: &Rollout) -> Self {
        Self {
            chosen: rollout.affected(),
            told: rollout.tally.told,
            open: rollout.counts.open_robots,
            in_progress: rollout.counts.in_progress,
            succeeded: rollout.tally.succeeded,
            failed: rollout.tally.failed,
        }
    }

    fn of_members<'m>(members: impl Iterator<Item = &'m Member>) -> Self {
        let mut counts = Self::default();
        for member in members.filter(|member| member.skipped.is_none()) {
            let progress = member.progress();
            counts.chosen += 1;
            counts.told += u32::from(member.is_told());
            counts.open += u32::from(member.is_open());
            counts.in_progress += u32::from(member.active().is_some());
            counts.succeeded += u32::from(progress == RobotProgress::Successful);
            counts.failed += u32::from(progress == RobotProgress::Failed);
        }
        counts
    }
}

impl std::iter::Sum for ReleaseCounts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            chosen: sum.chosen + one.chosen,
            told: sum.told + one.told,
            open: sum.open + one.open,
            in_progress: sum.in_progress + one.in_progress,
            succeeded: sum.succeeded + one.succeeded,
            failed: sum.failed + one.failed,
        })
    }
}
