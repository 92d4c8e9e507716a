//! Who comes into a dynamic rollout later, and what is planned by the clock and by group: the naive opinion.

use super::Broken;
use super::hours::Hours;
use super::naive::{Naive, share_of};
use rollcall_engine::{
    Command, Input, ManualUpdate, PhaseSize, Refusal, Reply, RobotId, RobotKey, Rollout, RolloutId,
    RolloutSpec, RolloutStatus, Run, State, TargetSelection, TargetState,
};
use std::collections::BTreeSet;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(what())) }
}

fn launched_at(rollout: &Rollout) -> Option<(u64, RolloutId)> {
    match rollout.status {
        RolloutStatus::Launched { launched, .. } | RolloutStatus::Completed { launched, .. } => {
            Some((launched.0, rollout.id))
        }
        RolloutStatus::Prepared => None,
    }
}

impl Naive {
    /// Whether a rollout with this spec can come to anything in time: its start is ahead, its end after that, its phases'
    /// groups are there, and a window of somebody opens before it ends.
    pub(super) fn times_fit(
        &self,
        state: &State,
        spec: &RolloutSpec,
        ids: &BTreeSet<RobotId>,
    ) -> bool {
        let now = state.now().0;
        let mechanism = &spec.mechanism;
        let start = mechanism.schedule.start.map_or(now, |start| start.0);
        let end = mechanism.schedule.end.map_or(u64::MAX, |end| end.0);
        let groups = mechanism.phases.iter().all(|phase| match &phase.size {
            PhaseSize::Group(name) => self.has_group(name.as_str()),
            _ => true,
        });
        let end = end.min(start + mechanism.deadline);
        let opens = mechanism.windows.as_ref().is_none_or(|windows| {
            let affected = ids.iter().filter(|id| self.share(state, spec, id).is_ok());
            let mut affected = affected.map(|id| Hours::new(windows, self.labels(id)));
            affected.any(|hours| hours.next_opening(start, end).is_some())
        });
        start >= now && start < end && groups && opens
    }

    /// The robots of a phase that is a group are those of the group, without those of a phase before.
    pub(super) fn groups_are_phases(&self, state: &State, rollout: &Rollout) -> Result<(), Broken> {
        let mut before = BTreeSet::new();
        for (number, phase) in (0_u16..).zip(&rollout.mechanism.phases) {
            let affected = rollout.members.iter().filter(|(_, m)| m.skipped.is_none());
            let found = affected.clone().filter(|(_, m)| m.phase == number);
            let found: BTreeSet<_> = found.map(|(key, _)| key).collect();
            if let PhaseSize::Group(name) = &phase.size {
                let group = self.selected(state, &TargetSelection::Group(name.clone()));
                let group = group.unwrap_or_default();
                let named = group.iter().map(|id| self.key(id));
                let named: BTreeSet<_> = named.collect();
                let affected: BTreeSet<_> = affected.map(|(key, _)| key).collect();
                let meant: BTreeSet<_> = &(&named & &affected) - &before;
                ensure(found == meant, || {
                    let id = rollout.id.0;
                    format!(
                        "phases: {number} of rollout {id} has {found:?}, group {name} {meant:?}"
                    )
                })?;
            }
            before.extend(found);
        }
        Ok(())
    }

    /// X4: a robot has come into a rollout that was launched before, and ran so. It may, and gets what it should.
    pub(super) fn joined(
        &self,
        state: &State,
        input: &Input,
        before: Run,
        (id, key): (RolloutId, RobotKey),
    ) -> Result<(), Broken> {
        let broken = |what: &str| {
            Err(Broken(format!(
                "X4: {} joins rollout {}: {what}",
                key.0, id.0
            )))
        };
        let (Some(rollout), Some(robot)) = (state.rollout(id), state.robot(key)) else {
            return broken("it is nowhere");
        };
        let spec = self.spec(id);
        let resumed = matches!(input, Input::Command { command: Command::ResumeRollout { rollout }, .. } if *rollout == id);
        let takes = match before {
            Run::Running | Run::Paused { .. } => true,
            Run::Stopped { .. } => resumed,
            Run::Ending { .. } => false,
        };
        if !rollout.mechanism.dynamic || !takes {
            return broken("nobody may join");
        }
        if robot.removed.is_some() || robot.link.settled_at.is_some() {
            return broken("it is gone, or still says what it is");
        }
        let named = !matches!(spec.target, TargetSelection::Robots(_));
        let selected = self.selected(state, &spec.target).filter(|_| named);
        if !selected.is_some_and(|selected| selected.contains(&robot.id)) {
            return broken("it does not belong to the target");
        }
        let (expected, found) = (self.share(state, spec, &robot.id), share_of(state, id, key));
        if expected != found {
            return broken(&format!("it gets {found:?} instead of {expected:?}"));
        }
        let member = &rollout.members[&key];
        let last = rollout.mechanism.phases.len().saturating_sub(1);
        if usize::from(member.phase) != last {
            return broken("it is not in the last phase");
        }
        for target in &member.targets {
            let others = state.rollouts().filter(|other| other.id != id);
            let has = |other: &&Rollout| {
                let member = other.members.get(&key);
                let mut targets = member.into_iter().flat_map(|member| &member.targets);
                launched_at(other) > launched_at(rollout) && targets.any(|t| t.ecu == target.ecu)
            };
            let newer = others.filter(has).count() > 0;
            let taken = matches!(target.state, TargetState::Superseded { .. });
            if newer != taken {
                return broken("X20: the newest launch has an ECU, and no other");
            }
        }
        Ok(())
    }

    /// X4: everybody who belongs to a dynamic rollout that takes robots is in it.
    pub(super) fn nobody_is_left_out(&self, state: &State, now: u64) -> Result<(), Broken> {
        for rollout in state.rollouts().filter(|rollout| rollout.mechanism.dynamic) {
            let RolloutStatus::Launched { deadline, run, .. } = rollout.status else {
                continue;
            };
            let takes = matches!(run, Run::Running | Run::Paused { .. }) && now < deadline.0;
            let spec = self.spec(rollout.id);
            if !takes || matches!(spec.target, TargetSelection::Robots(_)) {
                continue;
            }
            for id in self.selected(state, &spec.target).unwrap_or_default() {
                let key = self.key(&id);
                let settled = state
                    .robot(key)
                    .is_some_and(|r| r.link.settled_at.is_none());
                let member = rollout.members.get(&key);
                let is_in = member.is_some_and(|member| member.skipped.is_none());
                let waits = settled && !is_in && self.share(state, spec, &id).is_ok();
                ensure(!waits, || {
                    format!(
                        "X4: {id} belongs to rollout {} and does not join",
                        rollout.id.0
                    )
                })?;
            }
        }
        Ok(())
    }

    /// E19 to E21, X8: a manual update is made for one ECU of one robot, if the board is right and the wish confirmed.
    pub(super) fn by_hand(
        &mut self,
        state: &State,
        wish: &ManualUpdate,
        reply: &Result<Reply, Refusal>,
    ) -> Result<(), Broken> {
        let boards = self.boards_by_name(state, &wish.robot);
        let board = match &wish.ecu {
            Some(ecu) => boards.iter().find(|(name, _)| name == ecu),
            None if boards.len() == 1 => boards.first(),
            None => None,
        };
        let fits = board.is_some_and(|(_, board)| self.runs_on(&wish.image, board));
        let expected = fits && wish.confirm == wish.robot.as_str();
        ensure(expected == reply.is_ok(), || {
            format!("E19 X8: {wish:?} of {boards:?} was answered with {reply:?}")
        })?;
        let (Ok(Reply::Rollout(id)), Some((ecu, _))) = (reply, board) else {
            return Ok(());
        };
        let key = self.key(&wish.robot);
        let rollout = state.rollout(*id);
        let members = rollout.map(|r| r.members.keys().collect::<Vec<_>>());
        let share = Ok(vec![(ecu.clone(), wish.image.clone())]);
        let holds = members == Some(vec![key])
            && rollout.is_some_and(|r| r.manual && r.created_by == "sim")
            && share_of(state, *id, key) == share;
        ensure(holds, || format!("E19: {wish:?} became {rollout:?}"))?;
        self.takes_over(state, *id, [(key, vec![ecu.clone()])])
    }
}
