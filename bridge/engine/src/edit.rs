//! Changing a rollout: everything while it is prepared (A17, X1), its pace while it is launched.

use crate::input::RolloutEdit;
use crate::outcome::{Reply, Row};
use crate::refusal::Refusal;
use crate::rollout::{Rollout, RolloutId, RolloutStatus};
use crate::state::{Changes, State};

impl State {
    pub(crate) fn edit_rollout(
        &mut self,
        id: RolloutId,
        edit: RolloutEdit,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let rollout = self
            .rollouts
            .get(&id)
            .ok_or(Refusal::UnknownRollout { id })?;
        if let Some(found) = edit.revision.filter(|found| *found != rollout.revision) {
            return Err(Refusal::OtherRevision {
                id,
                current: rollout.revision,
                found,
            });
        }
        match rollout.status {
            RolloutStatus::Prepared => self.edit_prepared(id, edit, changes),
            RolloutStatus::Launched { launched, .. } => {
                self.edit_launched(id, launched, edit, changes)
            }
            RolloutStatus::Completed { .. } => Err(Refusal::NotPrepared {
                id,
                status: rollout.word(),
                action: "edited",
            }),
        }
    }

    fn edit_prepared(
        &mut self,
        id: RolloutId,
        edit: RolloutEdit,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let rollout = self.prepared(id, "edited")?;
        if rollout.mechanism.immutable_on_create {
            return Err(Refusal::Immutable { id });
        }
        let mut spec =
            rollout.spec(|key| self.images.get(&key).map(|image| image.reference.clone()));
        spec.name = edit.name.unwrap_or(spec.name);
        spec.target = edit.target.unwrap_or(spec.target);
        spec.images = edit.images.unwrap_or(spec.images);
        let mechanism = &mut spec.mechanism;
        *mechanism = edit.mechanism.unwrap_or_else(|| mechanism.clone());
        mechanism.max_in_progress = edit.max_in_progress.unwrap_or(mechanism.max_in_progress);
        mechanism.rate = edit.rate.unwrap_or_else(|| mechanism.rate.clone());
        mechanism.deadline = edit.deadline.unwrap_or(mechanism.deadline);
        mechanism.force_downgrade = edit.force_downgrade.unwrap_or(mechanism.force_downgrade);
        let images = self.check_spec(&spec)?;
        let preview = self.plan_for_somebody(&spec)?.fingerprints();
        if let Some(rollout) = self.rollouts.get_mut(&id) {
            rollout.name = spec.name;
            rollout.target = spec.target;
            rollout.images = images;
            rollout.mechanism = spec.mechanism;
            rollout.revision += 1;
            rollout.preview = preview;
            rollout.missed_start = None;
        }
        changes.touch(Row::Rollout(id));
        changes.touch(Row::Preview(id));
        self.rearm_rollout(id);
        Ok(Reply::Rollout(id))
    }

    /// From the launch on the definition stands; how fast it goes does not.
    fn edit_launched(
        &mut self,
        id: RolloutId,
        launched: crate::Timestamp,
        edit: RolloutEdit,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let fixed = [
            ("target", edit.target.is_some()),
            ("images", edit.images.is_some()),
            ("mechanism", edit.mechanism.is_some()),
            ("force_downgrade", edit.force_downgrade.is_some()),
        ];
        if let Some((what, _)) = fixed.into_iter().find(|(_, given)| *given) {
            return Err(Refusal::FixedAtLaunch { id, what });
        }
        let now = self.now;
        let Some(rollout) = self.rollouts.get_mut(&id) else {
            return Err(Refusal::UnknownRollout { id });
        };
        let mut mechanism = rollout.mechanism.clone();
        mechanism.max_in_progress = edit.max_in_progress.unwrap_or(mechanism.max_in_progress);
        mechanism.rate = edit.rate.clone().unwrap_or(mechanism.rate);
        mechanism.deadline = edit.deadline.unwrap_or(mechanism.deadline);
        mechanism.check()?;
        if edit.deadline.is_some() {
            let end = launched.after(mechanism.deadline);
            let end = mechanism.schedule.end.map_or(end, |at| at.min(end));
            if end <= now {
                return Err(Refusal::DeadlinePassed { id });
            }
            if let RolloutStatus::Launched { deadline, .. } = &mut rollout.status {
                *deadline = end;
            }
        }
        if let Some(rate) = edit.rate {
            rollout.set_rate(rate);
        }
        rollout.mechanism = mechanism;
        rollout.name = edit.name.unwrap_or_else(|| rollout.name.clone());
        rollout.revision += 1;
        changes.touch(Row::Rollout(id));
        self.rearm_rollout(id);
        self.pump(id, changes);
        Ok(Reply::Rollout(id))
    }

    /// Sets the timer anew: what it was set for may have moved away.
    fn rearm_rollout(&mut self, id: RolloutId) {
        let set = self
            .rollouts
            .get_mut(&id)
            .and_then(|rollout: &mut Rollout| rollout.timer.take());
        if let Some(set) = set {
            self.timers.remove(&(set, crate::Timer::Rollout(id)));
        }
        self.arm_rollout(id);
    }
}
