//! What operators do. Each answers whether it is taken.

use super::model::{Chosen, Member, Model, Rollout, Status, Target, count, is_active};
use rollcall_engine::{
    CancelGoal, CancelReason, Mechanism, PauseReason, PhaseSize, Rate, Run, TargetState, Timestamp,
};

impl Model {
    pub(super) fn create(
        &mut self,
        mechanism: Mechanism,
        wanted: Vec<(&'static str, u8)>,
        chosen: Chosen,
    ) -> bool {
        if !self.makes_sense(&mechanism, &wanted, &chosen) {
            return false;
        }
        self.rollouts.push(Rollout {
            mechanism,
            wanted,
            chosen,
            status: Status::Prepared,
            missed: false,
            launched: 0,
            deadline: 0,
            running_since: 0,
            phase: 0,
            opened: Vec::new(),
            passed: None,
            next_start_us: 0,
            newest_start: None,
            excused: 0,
            members: Vec::new(),
        });
        true
    }

    /// What can be created, or edited to be so: it begins and ends in the future, it is for somebody, and a window opens.
    fn makes_sense(
        &self,
        mechanism: &Mechanism,
        wanted: &[(&'static str, u8)],
        chosen: &Chosen,
    ) -> bool {
        let start = mechanism.schedule.start.map_or(self.now, |at| at.0);
        let ends = mechanism.schedule.end.map_or(u64::MAX, |at| at.0);
        start >= self.now && ends > start && self.can_launch(start, mechanism, wanted, chosen)
    }

    /// Whether it could launch at `start`, as the fleet is now.
    fn can_launch(
        &self,
        start: u64,
        mechanism: &Mechanism,
        wanted: &[(&'static str, u8)],
        chosen: &Chosen,
    ) -> bool {
        let known = match chosen {
            Chosen::Listed(robots) => {
                !robots.is_empty() && robots.iter().all(|robot| !self.robots[*robot].removed)
            }
            Chosen::ByHand(robot, _) => !self.robots[*robot].removed,
            Chosen::Board(_) | Chosen::Beta | Chosen::Canary => true,
        };
        let ends = ends(mechanism, start);
        let mut affected = (0..self.robots.len())
            .filter(|robot| self.is_meant(chosen, *robot))
            .filter(|robot| !self.share(*robot, wanted, chosen).is_empty());
        // A window of one of the robots opens before the end.
        let in_time = |robot| {
            let opens = self.opens_after(start, mechanism, robot);
            opens.is_none_or(|at| at < ends)
        };
        known && ends > start && affected.any(in_time)
    }

    pub(super) fn launch(&mut self, r: usize) -> bool {
        let now = self.now;
        let Some(rollout) = self.rollouts.get(r) else {
            return false;
        };
        let (chosen, wanted) = (rollout.chosen.clone(), rollout.wanted.clone());
        if rollout.status != Status::Prepared
            || !self.can_launch(now, &rollout.mechanism, &wanted, &chosen)
        {
            return false;
        }
        let mut members = Vec::new();
        for robot in 0..self.robots.len() {
            let share = self.share(robot, &wanted, &chosen);
            if share.is_empty() || !self.is_meant(&chosen, robot) {
                continue;
            }
            let targets = share.into_iter();
            let targets = targets.map(|(ecu, version)| Target::new(ecu, version, now));
            members.push(Member {
                robot,
                phase: self.drawn.get(&(r, robot)).copied().unwrap_or(0),
                targets: targets.collect(),
            });
        }
        self.supersede(r, &members);
        let rollout = &mut self.rollouts[r];
        rollout.deadline = ends(&rollout.mechanism, now);
        rollout.launched = now;
        rollout.running_since = now;
        rollout.opened = vec![now];
        rollout.missed = false;
        rollout.status = Status::Launched(Run::Running);
        rollout.members = members;
        self.check_phases(r);
        self.settle(None);
        true
    }

    /// Who goes first is chance; how many do, and who is in the group, is not.
    fn check_phases(&mut self, r: usize) {
        let rollout = &self.rollouts[r];
        let phases = &rollout.mechanism.phases;
        if phases.is_empty() {
            return;
        }
        let canary = |member: &&Member| self.robots[member.robot].canary;
        let sizes = rollout.phase_sizes(canary);
        let of = |phase| rollout.members.iter().filter(move |m| m.phase == phase);
        let found: Vec<_> = (0..phases.len()).map(|p| count(of(p))).collect();
        // Behind the group's phase nobody of the group is left, and nobody else is in it.
        let group = phases
            .iter()
            .position(|phase| matches!(phase.size, PhaseSize::Group(_)));
        let wrong = |member: &&Member| match group {
            Some(phase) if member.phase == phase => !canary(member),
            Some(phase) => member.phase > phase && canary(member),
            None => false,
        };
        if found != sizes || rollout.members.iter().any(|member| wrong(&member)) {
            let text = format!("phases of {found:?} robots instead of {sizes:?}: {rollout:?}");
            self.complaint = Some(text);
        }
    }

    /// One ECU of one robot, past nothing that the model knows but the board.
    pub(super) fn manual(
        &mut self,
        (robot, ecu): (usize, usize),
        (board, version): (&'static str, u8),
        typed: bool,
        mechanism: Mechanism,
    ) -> bool {
        let fits = self.robots[robot].ecus[ecu].board == board;
        let chosen = Chosen::ByHand(robot, ecu);
        let r = self.rollouts.len();
        fits && typed && self.create(mechanism, vec![(board, version)], chosen) && self.launch(r)
    }

    /// X20: the newest launch takes over what nobody was told yet.
    pub(super) fn supersede(&mut self, by: usize, members: &[Member]) {
        let now = self.now;
        // Whatever is launched is older than a launch.
        let order = match self.rollouts[by].run() {
            Some(_) => (self.rollouts[by].launched, by),
            None => (u64::MAX, by),
        };
        let by = rollcall_engine::RolloutId(u32::try_from(by + 1).expect("worlds are small"));
        let rollouts = self.rollouts.iter_mut().enumerate();
        let launched = rollouts.filter(|(_, rollout)| rollout.run().is_some());
        let older = launched.filter(|(r, rollout)| (rollout.launched, *r) < order);
        for older in older.flat_map(|(_, rollout)| &mut rollout.members) {
            let Some(newer) = members.iter().find(|member| member.robot == older.robot) else {
                continue;
            };
            for target in &mut older.targets {
                let taken = newer.targets.iter().any(|other| other.ecu == target.ecu);
                if taken && target.state == TargetState::Pending {
                    target.turn(TargetState::Superseded { by }, now);
                }
            }
        }
    }

    fn run(&self, r: usize) -> Option<Run> {
        self.rollouts.get(r)?.run()
    }

    pub(super) fn pause_by_operator(&mut self, r: usize) -> bool {
        if self.run(r) != Some(Run::Running) {
            return false;
        }
        self.pause(r, PauseReason::Operator);
        self.settle(None);
        true
    }

    pub(super) fn resume(&mut self, r: usize) -> bool {
        match self.run(r) {
            Some(Run::Paused {
                why: PauseReason::Approval { .. } | PauseReason::PhaseMissed { .. },
                ..
            }) => false,
            Some(Run::Paused { .. } | Run::Stopped { .. }) => {
                self.run_again(r);
                true
            }
            _ => false,
        }
    }

    fn run_again(&mut self, r: usize) {
        let excused = self.rollouts[r].excused;
        self.rollouts[r].running_since = self.now;
        self.rollouts[r].excused = 0;
        self.set_run(r, Run::Running);
        // What would pause it at once is excused.
        let mut trial = self.clone();
        trial.threshold(r);
        let pauses = matches!(trial.rollouts[r].run(), Some(Run::Paused { .. }));
        self.rollouts[r].excused = if pauses {
            self.rollouts[r].failed()
        } else {
            excused
        };
        self.settle(None);
    }

    pub(super) fn approve(&mut self, r: usize) -> bool {
        let Some(Run::Paused {
            why: PauseReason::Approval { .. } | PauseReason::PhaseMissed { .. },
            ..
        }) = self.run(r)
        else {
            return false;
        };
        self.open_next_phase(r);
        self.run_again(r);
        true
    }

    pub(super) fn stop(&mut self, r: usize) -> bool {
        let Some(Run::Running | Run::Paused { .. }) = self.run(r) else {
            return false;
        };
        let since = Timestamp(self.now);
        self.set_run(r, Run::Stopped { since });
        self.call_off(r, CancelGoal::Recall);
        self.settle(None);
        true
    }

    pub(super) fn cancel(&mut self, r: usize) -> bool {
        let Some(Run::Running | Run::Paused { .. } | Run::Stopped { .. }) = self.run(r) else {
            return false;
        };
        self.end(r, rollcall_engine::EndReason::Operator);
        self.settle(None);
        true
    }

    pub(super) fn edit(
        &mut self,
        r: usize,
        cap: Option<u32>,
        rate: Option<Option<Rate>>,
        deadline: Option<u64>,
    ) -> bool {
        let now = self.now;
        let Some(rollout) = self.rollouts.get(r) else {
            return false;
        };
        let launched = match rollout.status {
            Status::Prepared => None,
            Status::Launched(_) => Some(rollout.launched),
            Status::Completed(_) => return false,
        };
        let mut edited = rollout.mechanism.clone();
        edited.deadline = deadline.unwrap_or(edited.deadline);
        match launched {
            Some(launched) if deadline.is_some() && ends(&edited, launched) <= now => {
                return false;
            }
            None if !self.makes_sense(&edited, &rollout.wanted, &rollout.chosen) => return false,
            Some(_) | None => {}
        }
        let before = self.per_minute(r).filter(|_| rate.is_some());
        let rollout = &mut self.rollouts[r];
        let mechanism = &mut rollout.mechanism;
        mechanism.max_in_progress = cap.unwrap_or(mechanism.max_in_progress);
        mechanism.rate = rate.unwrap_or_else(|| mechanism.rate.clone());
        mechanism.deadline = deadline.unwrap_or(mechanism.deadline);
        match launched {
            Some(launched) if deadline.is_some() => {
                rollout.deadline = ends(&rollout.mechanism, launched);
            }
            Some(_) => {}
            None => rollout.missed = false,
        }
        // The newest start stands; the next one is as far from it as the new rate says.
        let after = self.per_minute(r);
        if let (Some(before), Some(after), Some(_)) = (before, after, launched) {
            let gap = |per_minute: u32| 60_000_000_u64.div_ceil(per_minute.into());
            let rollout = &mut self.rollouts[r];
            let newest = rollout.next_start_us.saturating_sub(gap(before));
            rollout.next_start_us = newest + gap(after);
        }
        self.settle(None);
        true
    }

    pub(super) fn cancel_operation(&mut self, robot: usize, all: bool) -> bool {
        if self.robots[robot].removed {
            return false;
        }
        let active = self.active(robot);
        let already = active.is_some_and(|place| {
            // That the rollout was stopped is no word about this robot.
            let goal = self.target(place).cancelling;
            goal.is_some_and(|goal| goal != CancelGoal::Recall)
        });
        let now = self.now;
        let waiting = |target: &&mut Target| target.state == TargetState::Pending;
        let mut ended = false;
        let launched = self.rollouts.iter_mut().filter(|r| r.run().is_some());
        let members = launched.flat_map(|rollout| &mut rollout.members);
        let members = members.filter(|member| member.robot == robot && all);
        for target in members
            .flat_map(|member| &mut member.targets)
            .filter(waiting)
        {
            let reason = CancelReason::ByOperator;
            target.turn(TargetState::Cancelled { reason }, now);
            ended = true;
        }
        let called_off = active.filter(|_| !already);
        if let Some(place) = called_off {
            self.target_mut(place).cancelling = Some(CancelGoal::Operator);
        }
        self.settle(None);
        ended || called_off.is_some()
    }

    pub(super) fn remove(&mut self, robot: usize) -> bool {
        if self.robots[robot].removed {
            return false;
        }
        let now = self.now;
        self.robots[robot].removed = true;
        self.robots[robot].link = None;
        let launched = self.rollouts.iter_mut().filter(|r| r.run().is_some());
        let members = launched.flat_map(|rollout| &mut rollout.members);
        for member in members.filter(|member| member.robot == robot) {
            for target in &mut member.targets {
                if target.state == TargetState::Pending || is_active(target.state) {
                    let reason = CancelReason::RobotRemoved;
                    target.turn(TargetState::Cancelled { reason }, now);
                }
            }
        }
        self.settle(None);
        true
    }
}

/// When a rollout that launches then ends at the latest.
pub(super) fn ends(mechanism: &Mechanism, launched: u64) -> u64 {
    let end = mechanism.schedule.end.map_or(u64::MAX, |at| at.0);
    end.min(launched + mechanism.deadline)
}
