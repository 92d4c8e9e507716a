//! Phases: the next robots are told when those before them did well.
//!
//! A phase passes when enough of its robots have succeeded; then it soaks, then it may wait for an approval, then the next
//! one opens. Robots that were withdrawn (cancelled, superseded, skipped) are not counted.

use crate::inventory::RobotKey;
use crate::mechanism::{Phase, PhaseSize};
use crate::outcome::{Reply, Row};
use crate::percent::Percent;
use crate::plan::Plan;
use crate::rank::rank;
use crate::refusal::Refusal;
use crate::robot_map::{RobotMap, RobotSet};
use crate::rollout::{Member, PauseReason, Rollout, RolloutId, Run};
use crate::state::{Changes, State};
use crate::time::Timestamp;

/// What the newest open phase waits for before the next one opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhaseGate {
    /// More robots must succeed.
    Success,
    /// It soaks until then.
    Soak(Timestamp),
    /// An approval.
    Approval,
    /// It can never pass: everybody is done.
    Missed,
    /// Nothing.
    Open,
}

impl State {
    /// Opens phases whose time has come, or pauses the rollout if a person has to decide.
    pub(crate) fn turn_phases(&mut self, id: RolloutId, changes: &mut Changes) {
        let now = self.now;
        while let Some(rollout) = self.rollouts.get_mut(&id) {
            if !matches!(rollout.run(), Some(Run::Running)) || rollout.is_last_phase() {
                return;
            }
            if rollout.course.phase_passed.is_none() && rollout.phase_is_passed() {
                rollout.course.phase_passed = Some(now);
                changes.touch(Row::Rollout(id));
            }
            let phase = rollout.course.phase;
            let why = match rollout.gate(now) {
                PhaseGate::Success | PhaseGate::Soak(_) => return,
                PhaseGate::Open => {
                    self.open_next_phase(id, changes);
                    continue;
                }
                PhaseGate::Approval => PauseReason::Approval { phase },
                PhaseGate::Missed => PauseReason::PhaseMissed { phase },
            };
            return self.set_run(id, Run::Paused { since: now, why }, changes);
        }
    }

    /// An operator opens the next phase.
    pub(crate) fn approve_phase(
        &mut self,
        id: RolloutId,
        expected: Option<u16>,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let rollout = self
            .rollouts
            .get(&id)
            .ok_or(Refusal::UnknownRollout { id })?;
        let Some(Run::Paused {
            why: PauseReason::Approval { phase } | PauseReason::PhaseMissed { phase },
            ..
        }) = rollout.run()
        else {
            return Err(Refusal::NothingToApprove {
                id,
                status: rollout.word(),
            });
        };
        if let Some(found) = expected.filter(|expected| *expected != phase) {
            return Err(Refusal::OtherPhase {
                id,
                current: phase + 1,
                found: found.saturating_add(1),
            });
        }
        self.open_next_phase(id, changes);
        self.run_again(id, changes);
        Ok(Reply::Rollout(id))
    }

    fn open_next_phase(&mut self, id: RolloutId, changes: &mut Changes) {
        let now = self.now;
        let Some(rollout) = self.rollouts.get_mut(&id) else {
            return;
        };
        let course = &mut rollout.course;
        course.phase += 1;
        let opened = std::mem::replace(&mut course.phase_opened, now);
        course.former_opened.push(opened);
        rollout.course.phase_passed = None;
        let phase = rollout.course.phase;
        let members = rollout.members.iter();
        let opened = members.filter(|(_, member)| member.phase == phase && member.is_open());
        let opened: Vec<_> = opened.map(|(key, _)| key).collect();
        changes.touch(Row::Rollout(id));
        for key in opened {
            self.refresh_ready(key);
        }
    }

    /// When the newest open phase has soaked.
    pub(crate) fn phase_timer(&self, rollout: &Rollout) -> Option<Timestamp> {
        match rollout.gate(self.now) {
            PhaseGate::Soak(until) if matches!(rollout.run(), Some(Run::Running)) => Some(until),
            _ => None,
        }
    }

    /// Which robots of `plan` are in which phase. Robots are taken by rank, so that who goes first is chance.
    pub(crate) fn phases_of(
        &self,
        id: RolloutId,
        phases: &[Phase],
        plan: &Plan,
    ) -> Result<RobotMap<u16>, Refusal> {
        let salt = id.0.to_be_bytes();
        let mut ranked: Vec<_> = plan
            .affected()
            .filter_map(|planned| self.robots.get(&planned.robot))
            .map(|robot| (rank(&salt, &robot.id), robot.key))
            .collect();
        ranked.sort_unstable();
        let all = u32::try_from(ranked.len()).unwrap_or(u32::MAX);
        let mut left: Vec<_> = ranked.into_iter().map(|(_, key)| key).collect();
        let mut assigned = RobotMap::new();
        let (mut hundredths, mut shared) = (0_u16, 0_u32);
        for (number, phase) in (0_u16..).zip(phases) {
            let mut taken = match &phase.size {
                PhaseSize::Percentage(percent) => {
                    // By the sum so far, so that rounding never adds up.
                    hundredths = hundredths.saturating_add(percent.in_hundredths());
                    let sum = Percent::hundredths(hundredths)
                        .unwrap_or(Percent::ALL)
                        .of(all);
                    let size = sum.saturating_sub(shared);
                    shared = sum;
                    take(&mut left, size)
                }
                PhaseSize::Robots(robots) => take(&mut left, *robots),
                PhaseSize::Group(name) => {
                    let group = self
                        .group(name.as_str())
                        .ok_or_else(|| Refusal::UnknownGroup { name: name.clone() })?;
                    let members: RobotSet =
                        self.members(group, None).map(|robot| robot.key).collect();
                    let (inside, outside) = left.into_iter().partition(|key| members.contains(key));
                    left = outside;
                    inside
                }
                PhaseSize::Rest => std::mem::take(&mut left),
            };
            assigned.extend(taken.drain(..).map(|key| (key, number)));
        }
        Ok(assigned)
    }
}

/// The first of `left`, at most `count`.
fn take(left: &mut Vec<RobotKey>, count: u32) -> Vec<RobotKey> {
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(left.len());
    let rest = left.split_off(count);
    std::mem::replace(left, rest)
}

impl Rollout {
    /// Whether the robot's phase is open, so far as phases go.
    #[must_use]
    pub fn is_open_to(&self, member: &Member) -> bool {
        self.mechanism.phases.is_empty() || member.phase <= self.course.phase
    }

    /// What the newest open phase waits for; `None` when no other comes after it.
    #[must_use]
    pub fn phase_gate(&self, now: Timestamp) -> Option<PhaseGate> {
        (!self.is_last_phase()).then(|| self.gate(now))
    }

    /// Whether `phase` is the next one, and opens without a person.
    pub(crate) fn opens_by_itself(&self, phase: u16) -> bool {
        let open = usize::from(self.course.phase);
        let approval = self
            .mechanism
            .phases
            .get(open)
            .is_some_and(|phase| phase.approval);
        usize::from(phase) == open + 1 && !approval
    }

    fn is_last_phase(&self) -> bool {
        usize::from(self.course.phase) + 1 >= self.mechanism.phases.len()
    }

    fn phase_is_passed(&self) -> bool {
        let number = usize::from(self.course.phase);
        let tally = self.tally.phases.get(number).copied().unwrap_or_default();
        let phase = self.mechanism.phases.get(number);
        phase.is_some_and(|phase| {
            let counted = tally.robots - tally.withdrawn;
            phase
                .success_threshold
                .is_reached_by(tally.succeeded, counted)
        })
    }

    fn gate(&self, now: Timestamp) -> PhaseGate {
        let number = usize::from(self.course.phase);
        let tally = self.tally.phases.get(number).copied().unwrap_or_default();
        let Some(phase) = self
            .mechanism
            .phases
            .get(number)
            .filter(|_| !self.is_last_phase())
        else {
            return PhaseGate::Success;
        };
        let Some(passed) = self.course.phase_passed else {
            return if tally.open == 0 {
                PhaseGate::Missed
            } else {
                PhaseGate::Success
            };
        };
        let soaked = passed.after(phase.soak);
        // Where there is nobody, there is nothing to watch; whether to go on is still for a person to say.
        let nobody = tally.robots == tally.withdrawn;
        if soaked > now && !nobody {
            PhaseGate::Soak(soaked)
        } else if phase.approval {
            PhaseGate::Approval
        } else {
            PhaseGate::Open
        }
    }
}
