//! A rollout's life before and at launch, and its end.

use crate::input::{Actor, Timer};
use crate::inventory::ImageKey;
use crate::names::HardwareId;
use crate::outcome::{Reply, Row};
use crate::plan::{Plan, PlannedRobot};
use crate::refusal::Refusal;
use crate::robot_map::{RobotMap, RobotSet};
use crate::rollout::{
    Completion, Counts, Course, EndReason, Member, RobotProgress, Rollout, RolloutId, RolloutSpec,
    RolloutStatus, Run, TargetSelection,
};
use crate::state::{Changes, State, count};
use crate::tally::Tally;
use crate::target::{Target, TargetState};
use crate::windows::Zones;
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
        let id = self.add_rollout(by, spec.clone(), images, changes);
        if let Some(rollout) = self.rollouts.get_mut(&id) {
            rollout.preview = plan.fingerprints();
        }
        changes.touch(Row::Preview(id));
        Ok(Reply::Rollout(id))
    }

    /// A new rollout, whose spec has been checked.
    pub(crate) fn add_rollout(
        &mut self,
        by: &Actor,
        spec: RolloutSpec,
        images: BTreeMap<HardwareId, ImageKey>,
        changes: &mut Changes,
    ) -> RolloutId {
        self.counters.rollouts += 1;
        let id = RolloutId(self.counters.rollouts);
        let rollout = Rollout {
            id,
            name: spec.name,
            target: spec.target,
            images,
            mechanism: spec.mechanism,
            revision: 1,
            created: self.now,
            created_by: by.0.clone(),
            manual: false,
            missed_start: None,
            status: RolloutStatus::Prepared,
            course: Course::default(),
            preview: RobotMap::new(),
            members: RobotMap::new(),
            counts: Counts::default(),
            tally: Tally::default(),
            ready: RobotSet::new(),
            begun: RobotSet::new(),
            zones: Zones::default(),
            more: false,
            timer: None,
        };
        self.rollouts.insert(id, rollout);
        self.arm_rollout(id);
        changes.touch(Row::Counters);
        changes.touch(Row::Rollout(id));
        id
    }

    pub(crate) fn plan_for_somebody(&self, spec: &RolloutSpec) -> Result<Plan, Refusal> {
        let images = self.check_spec(spec)?;
        let plan = self.plan(&spec.target, spec.rules(&images))?;
        if plan.affected().next().is_none() {
            return Err(Refusal::AffectsNobody {
                skipped: plan.robots.len(),
            });
        }
        self.check_windows(&spec.mechanism, &plan)?;
        Ok(plan)
    }

    pub(crate) fn prepared(
        &self,
        id: RolloutId,
        action: &'static str,
    ) -> Result<&Rollout, Refusal> {
        let rollout = self
            .rollouts
            .get(&id)
            .ok_or(Refusal::UnknownRollout { id })?;
        let status = match rollout.status {
            RolloutStatus::Prepared => return Ok(rollout),
            RolloutStatus::Launched { .. } | RolloutStatus::Completed { .. } => rollout.word(),
        };
        Err(Refusal::NotPrepared { id, status, action })
    }

    pub(crate) fn delete_rollout(
        &mut self,
        id: RolloutId,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        if self.prepared(id, "deleted")?.mechanism.immutable_on_create {
            return Err(Refusal::Immutable { id });
        }
        let rollout = self.rollouts.remove(&id);
        if let Some(set) = rollout.and_then(|rollout| rollout.timer) {
            self.timers.remove(&(set, Timer::Rollout(id)));
        }
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
        let plan = self.plan(&rollout.target, rollout.rules())?;
        if plan.affected().next().is_none() {
            return Err(Refusal::AffectsNobody {
                skipped: plan.robots.len(),
            });
        }
        if rollout.mechanism.ends(self.now) <= self.now {
            return Err(Refusal::InThePast { what: "end" });
        }
        self.check_windows(&rollout.mechanism, &plan)?;
        let drift = rollout.drift(&plan);
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
        let phases = self.phases_of(id, &rollout.mechanism.phases, &plan)?;
        self.launch_plan(id, &plan, &phases, changes);
        Ok(Reply::Rollout(id))
    }

    /// From here on the rollout is launched, on the robots of `plan`.
    pub(crate) fn launch_plan(
        &mut self,
        id: RolloutId,
        plan: &Plan,
        phases: &RobotMap<u16>,
        changes: &mut Changes,
    ) {
        self.take_snapshot(id, plan, phases, changes);
        let mut older = BTreeSet::new();
        for planned in &plan.robots {
            // Whatever is launched is older.
            let open = self.robots.get(&planned.robot).map(|r| r.open.clone());
            older.extend(self.supersede(id, planned, open.unwrap_or_default(), changes));
            if let Some(robot) = self.robots.get_mut(&planned.robot) {
                let rollout = self.rollouts.get_mut(&id);
                if let Some(rollout) = rollout.filter(|_| planned.skipped.is_none()) {
                    rollout.join_zone(robot, self.now);
                }
                robot.memberships.push(id);
                robot.open.push(id);
                robot.sort_rollouts(&self.rollouts);
            }
            self.refresh_ready(planned.robot);
        }
        // Not before everything is taken over: what the older ones lose may open their phases.
        for older in older {
            self.pump(older, changes);
        }
        self.pump(id, changes);
    }

    /// A start time that has come launches as the fleet is then: nobody is there to look at the drift.
    pub(crate) fn scheduled_launch(&mut self, id: RolloutId, changes: &mut Changes) {
        let Err(refusal) = self.launch_rollout(id, true, changes) else {
            return;
        };
        if let Some(rollout) = self.rollouts.get_mut(&id) {
            rollout.mechanism.schedule.start = None;
            rollout.missed_start = Some(refusal.to_string());
            changes.touch(Row::Rollout(id));
        }
    }

    fn take_snapshot(
        &mut self,
        id: RolloutId,
        plan: &Plan,
        phases: &RobotMap<u16>,
        changes: &mut Changes,
    ) {
        let now = self.now;
        let Some(rollout) = self.rollouts.get_mut(&id) else {
            return;
        };
        rollout.status = RolloutStatus::Launched {
            launched: now,
            deadline: rollout.mechanism.ends(now),
            run: Run::Running,
        };
        rollout.course = Course {
            running_since: now,
            phase_opened: now,
            ..Course::default()
        };
        rollout.missed_start = None;
        rollout.preview.clear();
        if rollout.mechanism.dynamic {
            self.dynamic.insert(id);
        }
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
                    phase: phases.get(&planned.robot).copied().unwrap_or(0),
                },
            );
            changes.touch(Row::Member(id, planned.robot));
        }
        rollout.counts = count(&rollout.members);
        rollout.tally = Tally::of(rollout.members.values());
        self.arm_rollout(id);
    }

    /// X20: the newest launch wins for ECUs to which nothing was sent yet. Returns the rollouts that lost some.
    pub(crate) fn supersede(
        &mut self,
        by: RolloutId,
        planned: &PlannedRobot,
        older: Vec<RolloutId>,
        changes: &mut Changes,
    ) -> Vec<RolloutId> {
        let mut losers = Vec::new();
        for older in older {
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
                losers.push(older);
            }
        }
        losers
    }

    /// A24: completed when every target is final; one that robots may join, when it ends besides.
    pub(crate) fn complete_if_done(&mut self, id: RolloutId, changes: &mut Changes) {
        let now = self.now;
        let Some(rollout) = self.rollouts.get_mut(&id) else {
            return;
        };
        let RolloutStatus::Launched { launched, run, .. } = rollout.status else {
            return;
        };
        if rollout.counts.open_robots > 0 || rollout.stays(now) {
            return;
        }
        let why = match run {
            Run::Ending { why, .. } => Some(why),
            Run::Running | Run::Paused { .. } | Run::Stopped { .. } => None,
        };
        let outcome = why.map_or_else(|| judge(&rollout.members), EndReason::outcome);
        rollout.status = RolloutStatus::Completed {
            launched,
            completed: now,
            outcome,
            why,
        };
        rollout.ready.clear();
        rollout.begun.clear();
        rollout.zones = Zones::default();
        self.dynamic.remove(&id);
        for key in rollout.members.keys() {
            if let Some(robot) = self.robots.get_mut(&key) {
                robot.open.retain(|open| *open != id);
            }
        }
        let release = match rollout.target {
            // What a threshold ended has been told when it did.
            TargetSelection::Release(release) if outcome.ends_release() && why.is_none() => {
                Some(release)
            }
            _ => None,
        };
        self.arm_rollout(id);
        changes.touch(Row::Rollout(id));
        if let Some(release) = release {
            self.tranche_ended(release, id, changes);
        }
    }
}

fn judge(members: &RobotMap<Member>) -> Completion {
    let expired = |target: &Target| target.state == TargetState::Expired;
    let never_told = |member: &Member| !member.is_told() && member.targets.iter().any(expired);
    if members.values().any(never_told) {
        return Completion::Expired;
    }
    let any = |progress| members.values().any(|member| member.progress() == progress);
    match (any(RobotProgress::Failed), any(RobotProgress::Successful)) {
        (false, _) => Completion::Success,
        (true, true) => Completion::Partial,
        (true, false) => Completion::Failure,
    }
}
