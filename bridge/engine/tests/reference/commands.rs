//! What operators do. Each answers whether it is taken.

use super::model::{Member, Model, Rollout, Status, Target, is_active};
use rollcall_engine::{
    CancelGoal, CancelReason, Mechanism, PauseReason, Rate, Run, TargetState, Timestamp,
};

impl Model {
    pub(super) fn create(
        &mut self,
        mechanism: Mechanism,
        wanted: Vec<(&'static str, u8)>,
        chosen: Vec<usize>,
    ) -> bool {
        let known = !chosen.is_empty() && chosen.iter().all(|robot| !self.robots[*robot].removed);
        let affects = chosen
            .iter()
            .any(|robot| !self.share(*robot, &wanted).is_empty());
        if !known || !affects || !self.opens_in_time(&mechanism, &wanted, &chosen) {
            return false;
        }
        self.rollouts.push(Rollout {
            mechanism,
            wanted,
            chosen,
            status: Status::Prepared,
            launched: 0,
            deadline: 0,
            phase: 0,
            passed: None,
            next_start_us: 0,
            excused: 0,
            members: Vec::new(),
        });
        true
    }

    /// A window of one of the robots opens before the deadline.
    fn opens_in_time(
        &self,
        mechanism: &Mechanism,
        wanted: &[(&'static str, u8)],
        chosen: &[usize],
    ) -> bool {
        let ends = self.now + mechanism.deadline;
        let mut affected = chosen
            .iter()
            .filter(|robot| !self.share(**robot, wanted).is_empty());
        affected.any(|robot| self.opens(mechanism, *robot).is_none_or(|at| at < ends))
    }

    /// Which of the robot's ECUs get what.
    fn share(&self, robot: usize, wanted: &[(&'static str, u8)]) -> Vec<(usize, u8)> {
        let ecus = self.robots[robot].ecus.iter().enumerate();
        let image = |board| wanted.iter().find(|(of, _)| *of == board);
        ecus.filter_map(|(ecu, one)| Some((ecu, image(one.board)?.1)))
            .collect()
    }

    /// The phases are chance, so they are given; their sizes are checked by the caller.
    pub(super) fn launch(&mut self, r: usize, phase_of: impl Fn(usize) -> usize) -> bool {
        let Some(rollout) = self.rollouts.get(r) else {
            return false;
        };
        let chosen = rollout.chosen.clone();
        let wanted = rollout.wanted.clone();
        if rollout.status != Status::Prepared || chosen.iter().any(|r| self.robots[*r].removed) {
            return false;
        }
        if !self.opens_in_time(&rollout.mechanism, &wanted, &chosen) {
            return false;
        }
        let mut members = Vec::new();
        for robot in chosen {
            let share = self.share(robot, &wanted);
            if share.is_empty() {
                continue;
            }
            let targets = share.into_iter().map(|(ecu, version)| Target {
                ecu,
                version,
                state: TargetState::Pending,
                attempt: 0,
                resends: 0,
                boot: 0,
                ran: None,
                deadline: None,
                suspect: None,
                cancelling: None,
                retry: None,
            });
            members.push(Member {
                robot,
                phase: phase_of(robot),
                targets: targets.collect(),
            });
        }
        members.sort_by_key(|member| member.robot);
        self.supersede(r, &members);
        let now = self.now;
        let rollout = &mut self.rollouts[r];
        rollout.deadline = now + rollout.mechanism.deadline;
        rollout.launched = now;
        rollout.status = Status::Launched(Run::Running);
        rollout.members = members;
        self.settle(None);
        true
    }

    /// X20: the newest launch takes over what nobody was told yet.
    fn supersede(&mut self, by: usize, members: &[Member]) {
        let by = rollcall_engine::RolloutId(u32::try_from(by + 1).expect("worlds are small"));
        let launched = self.rollouts.iter_mut().filter(|r| r.run().is_some());
        for older in launched.flat_map(|rollout| &mut rollout.members) {
            let Some(newer) = members.iter().find(|member| member.robot == older.robot) else {
                continue;
            };
            for target in &mut older.targets {
                let taken = newer.targets.iter().any(|other| other.ecu == target.ecu);
                if taken && target.state == TargetState::Pending {
                    target.state = TargetState::Superseded { by };
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
        if let (Some(launched), Some(deadline)) = (launched, deadline)
            && launched + deadline <= now
        {
            return false;
        }
        if launched.is_none() && rollout.chosen.iter().any(|r| self.robots[*r].removed) {
            return false;
        }
        let mut edited = rollout.mechanism.clone();
        edited.deadline = deadline.unwrap_or(edited.deadline);
        if launched.is_none() && !self.opens_in_time(&edited, &rollout.wanted, &rollout.chosen) {
            return false;
        }
        let before = self.per_minute(r).filter(|_| rate.is_some());
        let rollout = &mut self.rollouts[r];
        let mechanism = &mut rollout.mechanism;
        mechanism.max_in_progress = cap.unwrap_or(mechanism.max_in_progress);
        mechanism.rate = rate.unwrap_or_else(|| mechanism.rate.clone());
        mechanism.deadline = deadline.unwrap_or(mechanism.deadline);
        if let (Some(launched), Some(deadline)) = (launched, deadline) {
            rollout.deadline = launched + deadline;
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
        let waiting = |target: &&mut Target| target.state == TargetState::Pending;
        let mut ended = false;
        let launched = self.rollouts.iter_mut().filter(|r| r.run().is_some());
        let members = launched.flat_map(|rollout| &mut rollout.members);
        let members = members.filter(|member| member.robot == robot && all);
        for target in members
            .flat_map(|member| &mut member.targets)
            .filter(waiting)
        {
            target.state = TargetState::Cancelled {
                reason: CancelReason::ByOperator,
            };
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
        self.robots[robot].removed = true;
        self.robots[robot].link = None;
        let launched = self.rollouts.iter_mut().filter(|r| r.run().is_some());
        let members = launched.flat_map(|rollout| &mut rollout.members);
        for member in members.filter(|member| member.robot == robot) {
            for target in &mut member.targets {
                if target.state == TargetState::Pending || is_active(target.state) {
                    target.state = TargetState::Cancelled {
                        reason: CancelReason::RobotRemoved,
                    };
                }
            }
        }
        self.settle(None);
        true
    }
}
