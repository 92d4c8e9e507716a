//! A rollout's life before and at launch, and its end.

use crate::input::{Actor, RolloutEdit, Timer};
use crate::outcome::{Reply, Row};
use crate::plan::{Plan, PlannedRobot};
use crate::refusal::Refusal;
use crate::rollout::{
    Completion, Counts, Member, RobotProgress, Rollout, RolloutId, RolloutSpec, RolloutStatus,
};
use crate::state::{Changes, State, count};
use crate::target::{Target, TargetState};
use std::collections::{BTreeMap, BTreeSet};

impl State {
    pub(crate) fn create_rollout(
        &mut self,
        by: &Actor,
        spec: &RolloutSpec,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let images = self.check_spec(spec)?;
        let plan = self.plan_for_somebody(spec)?;
        self.counters.rollouts += 1;
        let id = RolloutId(self.counters.rollouts);
        let rollout = Rollout {
            id,
            name: spec.name.clone(),
            target: spec.target.clone(),
            images,
            mechanism: spec.mechanism.clone(),
            revision: 1,
            created: self.now,
            created_by: by.0.clone(),
            status: RolloutStatus::Prepared,
            preview: plan.fingerprints(),
            members: BTreeMap::new(),
            counts: Counts::default(),
            ready: BTreeSet::new(),
        };
        self.rollouts.insert(id, rollout);
        changes.touch(Row::Counters);
        changes.touch(Row::Rollout(id));
        changes.touch(Row::Preview(id));
        Ok(Reply::Rollout(id))
    }

    fn plan_for_somebody(&self, spec: &RolloutSpec) -> Result<Plan, Refusal> {
        let plan = self.plan(&spec.target, &self.check_spec(spec)?, &spec.mechanism)?;
        if plan.affected().next().is_none() {
            return Err(Refusal::AffectsNobody {
                skipped: plan.robots.len(),
            });
        }
        Ok(plan)
    }

    fn prepared(&self, id: RolloutId, action: &'static str) -> Result<&Rollout, Refusal> {
        let rollout = self
            .rollouts
            .get(&id)
            .ok_or(Refusal::UnknownRollout { id })?;
        let status = match rollout.status {
            RolloutStatus::Prepared => return Ok(rollout),
            RolloutStatus::Running { .. } => "launched",
            RolloutStatus::Completed { .. } => "completed",
        };
        Err(Refusal::NotPrepared { id, status, action })
    }

    pub(crate) fn edit_rollout(
        &mut self,
        id: RolloutId,
        edit: RolloutEdit,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let rollout = self.prepared(id, "edited")?;
        if rollout.mechanism.immutable_on_create {
            return Err(Refusal::Immutable { id });
        }
        if let Some(found) = edit.revision.filter(|found| *found != rollout.revision) {
            return Err(Refusal::OtherRevision {
                id,
                current: rollout.revision,
                found,
            });
        }
        let mut spec =
            rollout.spec(|key| self.images.get(&key).map(|image| image.reference.clone()));
        spec.name = edit.name.unwrap_or(spec.name);
        spec.target = edit.target.unwrap_or(spec.target);
        spec.images = edit.images.unwrap_or(spec.images);
        spec.mechanism.max_in_progress = edit
            .max_in_progress
            .unwrap_or(spec.mechanism.max_in_progress);
        spec.mechanism.force_downgrade = edit
            .force_downgrade
            .unwrap_or(spec.mechanism.force_downgrade);
        let images = self.check_spec(&spec)?;
        let preview = self.plan_for_somebody(&spec)?.fingerprints();
        if let Some(rollout) = self.rollouts.get_mut(&id) {
            rollout.name = spec.name;
            rollout.target = spec.target;
            rollout.images = images;
            rollout.mechanism = spec.mechanism;
            rollout.revision += 1;
            rollout.preview = preview;
        }
        changes.touch(Row::Rollout(id));
        changes.touch(Row::Preview(id));
        Ok(Reply::Rollout(id))
    }

    pub(crate) fn delete_rollout(
        &mut self,
        id: RolloutId,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        if self.prepared(id, "deleted")?.mechanism.immutable_on_create {
            return Err(Refusal::Immutable { id });
        }
        self.rollouts.remove(&id);
        changes.touch(Row::Rollout(id));
        changes.touch(Row::Preview(id));
        Ok(Reply::Done)
    }

    pub(crate) fn launch_rollout(
        &mut self,
        id: RolloutId,
        accept_drift: bool,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let rollout = self.prepared(id, "launched")?;
        let plan = self.plan(&rollout.target, &rollout.images, &rollout.mechanism)?;
        if plan.affected().next().is_none() {
            return Err(Refusal::AffectsNobody {
                skipped: plan.robots.len(),
            });
        }
        let drift = self.drift(id)?;
        if !accept_drift && !drift.is_empty() {
            let (joined, left, changed) =
                (drift.joined.len(), drift.left.len(), drift.changed.len());
            return Err(Refusal::Drifted {
                id,
                joined,
                left,
                changed,
            });
        }
        self.take_snapshot(id, &plan, changes);
        for planned in &plan.robots {
            self.supersede_older(id, planned, changes);
            if let Some(robot) = self.robots.get_mut(&planned.robot) {
                robot.memberships.push(id);
                robot.open.push(id);
                robot.sort_rollouts(&self.rollouts);
            }
            self.refresh_ready(planned.robot);
        }
        self.pump(id, changes);
        Ok(Reply::Rollout(id))
    }

    fn take_snapshot(&mut self, id: RolloutId, plan: &Plan, changes: &mut Changes) {
        let now = self.now;
        let Some(rollout) = self.rollouts.get_mut(&id) else {
            return;
        };
        let deadline = now.after(rollout.mechanism.deadline);
        rollout.status = RolloutStatus::Running {
            launched: now,
            deadline,
        };
        rollout.preview.clear();
        changes.touch(Row::Rollout(id));
        changes.touch(Row::Preview(id));
        for planned in &plan.robots {
            let targets = planned
                .ecus
                .iter()
                .map(|ecu| Target::new(ecu.ecu, ecu.image, now))
                .collect();
            rollout.members.insert(
                planned.robot,
                Member {
                    targets,
                    skipped: planned.skipped,
                },
            );
            changes.touch(Row::Member(id, planned.robot));
        }
        rollout.counts = count(&rollout.members);
        self.timers.insert((deadline, Timer::Rollout(id)));
    }

    /// X20: the newest launch wins for ECUs to which nothing was sent yet.
    fn supersede_older(&mut self, by: RolloutId, planned: &PlannedRobot, changes: &mut Changes) {
        let Some(robot) = self.robots.get(&planned.robot) else {
            return;
        };
        for older in robot.open.clone() {
            let Some(member) = self
                .rollouts
                .get(&older)
                .and_then(|r| r.members.get(&planned.robot))
            else {
                continue;
            };
            let taken: Vec<_> = (0..member.targets.len())
                .filter(|index| {
                    let target = &member.targets[*index];
                    target.state == TargetState::Pending
                        && planned.ecus.iter().any(|ecu| ecu.ecu == target.ecu)
                })
                .collect();
            for index in &taken {
                self.set_target(
                    older,
                    planned.robot,
                    *index,
                    TargetState::Superseded { by },
                    changes,
                );
            }
            if !taken.is_empty() {
                self.complete_if_done(older, changes);
            }
        }
    }

    /// A24: completed when every target is final.
    pub(crate) fn complete_if_done(&mut self, id: RolloutId, changes: &mut Changes) {
        let now = self.now;
        let Some(rollout) = self.rollouts.get_mut(&id) else {
            return;
        };
        let RolloutStatus::Running { launched, deadline } = rollout.status else {
            return;
        };
        if rollout.counts.open_robots > 0 {
            return;
        }
        let outcome = judge(&rollout.members);
        rollout.status = RolloutStatus::Completed {
            launched,
            completed: now,
            outcome,
        };
        rollout.ready.clear();
        for key in rollout.members.keys() {
            if let Some(robot) = self.robots.get_mut(key) {
                robot.open.retain(|open| *open != id);
            }
        }
        self.timers.remove(&(deadline, Timer::Rollout(id)));
        changes.touch(Row::Rollout(id));
    }
}

fn judge(members: &BTreeMap<crate::RobotKey, Member>) -> Completion {
    let never_told = |target: &Target| target.state == TargetState::Expired && target.attempt == 0;
    if members
        .values()
        .any(|member| member.targets.iter().any(never_told))
    {
        return Completion::Expired;
    }
    let any = |progress| members.values().any(|member| member.progress() == progress);
    match (any(RobotProgress::Failed), any(RobotProgress::Successful)) {
        (false, _) => Completion::Success,
        (true, true) => Completion::Partial,
        (true, false) => Completion::Failure,
    }
}
