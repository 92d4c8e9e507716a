//! What operators do to a release: stop, resume, raise (G12 to G26, X10, X11, X18).

use super::publish::MAX_TRANCHES;
use super::{Deed, InactiveReason, Release, ReleaseId, ReleaseStatus, Share, Tranche};
use crate::input::Actor;
use crate::inventory::RobotKey;
use crate::outcome::Reply;
use crate::refusal::Refusal;
use crate::rollout::{
    Completion, RobotProgress, Rollout, RolloutId, RolloutStatus, Run, TargetSelection,
};
use crate::state::{Changes, State};
use crate::target::{Target, TargetState};
use std::collections::BTreeSet;

impl State {
    pub(crate) fn stop_release(
        &mut self,
        by: &Actor,
        id: ReleaseId,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        if !self.current_release(id, "stopped")?.is_live() {
            return Err(Refusal::ReleaseIsInactive {
                id,
                action: "stopped",
                remedy: "resume it, or publish another image on its channel",
            });
        }
        self.halt(by, id, InactiveReason::Stopped, changes);
        Ok(Reply::Release(id))
    }

    /// From here on nobody more gets it; robots that were told and have not begun to write are told to give up.
    pub(super) fn halt(
        &mut self,
        by: &Actor,
        id: ReleaseId,
        why: InactiveReason,
        changes: &mut Changes,
    ) {
        let since = self.now;
        let Some(release) = self.releases.get_mut(&id) else {
            return;
        };
        release.status = ReleaseStatus::Inactive { since, why };
        self.note_act(id, by, Deed::Stopped { why }, changes);
        for rollout in
            self.rollouts_that(id, |run| matches!(run, Run::Running | Run::Paused { .. }))
        {
            self.halt_rollout(by, rollout, changes);
        }
    }

    pub(crate) fn resume_release(
        &mut self,
        by: &Actor,
        id: ReleaseId,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let release = self.current_release(id, "resumed")?;
        if release.is_live() {
            return Err(Refusal::ReleaseIsLive {
                id,
                action: "resumed",
            });
        }
        self.check_offered(release.image)?;
        let (image, mechanism) = (release.image, release.mechanism.clone());
        let (percentage, reach) = (release.percentage(), release.reach());
        let again = self.left_behind(release);
        let tranche = if again.is_empty() && !self.lacks_joiners(release) {
            None
        } else {
            self.room_for_tranche(release)?;
            Some(self.plan_tranche(image, &mechanism, &again)?)
        };
        if let Some(release) = self.releases.get_mut(&id) {
            release.status = ReleaseStatus::Live;
        }
        self.note_act(id, by, Deed::Resumed, changes);
        for rollout in self.rollouts_that(id, |run| matches!(run, Run::Stopped { .. })) {
            // One that ends badly at once ends the release, and the others stay stopped.
            if self.is_live(id) {
                self.run_again(rollout, changes);
            }
        }
        if let Some(tranche) = tranche.filter(|_| self.is_live(id)) {
            let again = Tranche {
                percentage,
                reach,
                rollout: None,
                again: true,
            };
            self.launch_tranche(by, id, again, tranche, changes);
        }
        Ok(Reply::Release(id))
    }

    pub(crate) fn raise_release(
        &mut self,
        by: &Actor,
        id: ReleaseId,
        percentage: Share,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let release = self.current_release(id, "raised")?;
        let current = release.percentage();
        if percentage < current {
            return Err(Refusal::LowerPercentage {
                id,
                current,
                found: percentage,
            });
        }
        if !release.is_live() {
            return Err(Refusal::ReleaseIsInactive {
                id,
                action: "raised",
                remedy: "resume it first",
            });
        }
        if percentage == current {
            return Ok(Reply::Release(id));
        }
        self.check_offered(release.image)?;
        self.room_for_tranche(release)?;
        let (salt, sampling) = (release.salt, release.sampling);
        let before = release.front().len();
        // An exact share of a pool never shrinks; neither does what it was published with.
        let reach = self
            .reach(&release.pool, percentage, salt, sampling)
            .max(before);
        let new = &release.pool[before..reach];
        let tranche = self.plan_tranche(release.image, &release.mechanism, new)?;
        self.note_act(id, by, Deed::Raised { percentage }, changes);
        let more = Tranche::to(percentage, reach);
        self.launch_tranche(by, id, more, tranche, changes);
        Ok(Reply::Release(id))
    }

    fn room_for_tranche(&self, release: &Release) -> Result<(), Refusal> {
        if release.tranches.len() >= MAX_TRANCHES {
            return Err(Refusal::TooMany {
                what: "tranches of a release",
                max: MAX_TRANCHES,
            });
        }
        Ok(())
    }

    /// Robots of the set whose rollout ended before they had it: they are told anew after a resume (G19), unless a newer
    /// rollout has taken them.
    fn left_behind(&self, release: &Release) -> Vec<RobotKey> {
        let mut left = BTreeSet::new();
        for rollout in release.rollouts().filter_map(|id| self.rollouts.get(&id)) {
            let outcome = rollout.foreseen();
            for (key, member) in rollout.members.iter() {
                let expired = |target: &Target| target.state == TargetState::Expired;
                let cut_off = outcome.is_some_and(|outcome| {
                    outcome.ends_release() || member.targets.iter().any(expired)
                });
                let done = matches!(
                    member.progress(),
                    RobotProgress::Successful | RobotProgress::Skipped | RobotProgress::Superseded
                );
                // What a later tranche did, or is about to do, counts.
                if cut_off && !done {
                    left.insert(key);
                } else {
                    left.remove(&key);
                }
            }
        }
        left.into_iter().collect()
    }

    /// Robots that come later could be in it, and no rollout takes them any more.
    fn lacks_joiners(&self, release: &Release) -> bool {
        let mut rollouts = release.rollouts().filter_map(|id| self.rollouts.get(&id));
        release.mechanism.dynamic && !rollouts.any(|rollout| rollout.foreseen().is_none())
    }

    fn is_live(&self, id: ReleaseId) -> bool {
        self.releases.get(&id).is_some_and(Release::is_live)
    }

    /// The release, if it is its channel's newest and not the ledger's (G11).
    fn current_release(&self, id: ReleaseId, action: &'static str) -> Result<&Release, Refusal> {
        let release = self
            .releases
            .get(&id)
            .ok_or(Refusal::UnknownRelease { id })?;
        match release.replaced_by {
            Some(by) => Err(Refusal::ReleaseIsReplaced { id, by, action }),
            None if release.ledger.is_some() => Err(Refusal::ReleaseIsReadOnly {
                id,
                action,
                channel: release.channel_name.clone(),
            }),
            None if self.channel_by_key(release.channel).is_none() => Err(Refusal::ReleaseIsOver {
                id,
                action,
                channel: release.channel_name.clone(),
            }),
            None => Ok(release),
        }
    }

    /// The release's launched rollouts that run like this.
    pub(super) fn rollouts_that(&self, id: ReleaseId, like: fn(Run) -> bool) -> Vec<RolloutId> {
        let release = self.releases.get(&id);
        let rollouts = release.into_iter().flat_map(Release::rollouts);
        let runs = |id: &RolloutId| self.rollouts.get(id).and_then(|rollout| rollout.run());
        rollouts.filter(|id| runs(id).is_some_and(like)).collect()
    }

    /// What a release does to its rollouts is done to the release: a stop of one tranche would leave it live.
    pub(crate) fn not_of_a_release(
        &self,
        id: RolloutId,
        action: &'static str,
    ) -> Result<(), Refusal> {
        match self.release_behind(id) {
            Some(release) => Err(Refusal::RolloutOfRelease {
                id,
                release: release.id,
                action,
            }),
            None => Ok(()),
        }
    }

    /// G11: what comes from the ledger is edited by nobody, in no part.
    pub(crate) fn not_of_the_ledger(
        &self,
        id: RolloutId,
        action: &'static str,
    ) -> Result<(), Refusal> {
        match self
            .release_behind(id)
            .filter(|release| release.ledger.is_some())
        {
            Some(release) => Err(Refusal::ReleaseIsReadOnly {
                id: release.id,
                action,
                channel: release.channel_name.clone(),
            }),
            None => Ok(()),
        }
    }

    fn release_behind(&self, id: RolloutId) -> Option<&Release> {
        match self.rollouts.get(&id)?.target {
            TargetSelection::Release(release) => self.releases.get(&release),
            _ => None,
        }
    }

    /// A rollout that stopped with its release goes on with it.
    pub(crate) fn resumed_alone(&self, id: RolloutId) -> Result<(), Refusal> {
        let run = self.rollouts.get(&id).and_then(|rollout| rollout.run());
        if matches!(run, Some(Run::Stopped { .. })) {
            self.not_of_a_release(id, "resumed")?;
        }
        Ok(())
    }
}

impl Rollout {
    /// How it ended, or will end when those that install are done.
    const fn foreseen(&self) -> Option<Completion> {
        match self.status {
            RolloutStatus::Completed { outcome, .. } => Some(outcome),
            RolloutStatus::Launched {
                run: Run::Ending { why, .. },
                ..
            } => Some(why.outcome()),
            RolloutStatus::Launched { .. } | RolloutStatus::Prepared => None,
        }
    }
}

impl Completion {
    /// Whether a release of which a rollout ends like this is no longer live (requirements 6.3).
    pub(crate) const fn ends_release(self) -> bool {
        match self {
            Self::Success | Self::Partial => false,
            Self::Failure | Self::Cancelled | Self::Expired => true,
        }
    }
}
