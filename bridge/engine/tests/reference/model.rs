//! What the model knows: robots, rollouts, targets. Everything else is worked out.

use std::collections::BTreeMap;

use rollcall_engine::{
    CancelGoal, Completion, EndReason, FailureKind, FailureReason, Mechanism, PauseReason, Run,
    TargetState,
};

pub(super) const BOARDS: [&str; 2] = ["compute", "motor"];

/// A connection; all of them listen.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// When it came.
    pub(super) came: u64,
    pub(super) subscribed: bool,
    pub(super) introduced: bool,
    /// When it introduced itself.
    pub(super) introduced_at: u64,
    /// Which ECUs have said what they run on this connection.
    pub(super) said: Vec<bool>,
    /// The robot is not judged before.
    pub(super) settles: Option<u64>,
}

#[derive(Debug, Clone)]
pub(super) struct Ecu {
    pub(super) name: &'static str,
    pub(super) board: &'static str,
    /// What it last said to run.
    pub(super) said: Option<u8>,
}

#[derive(Debug, Clone)]
pub(super) struct Robot {
    pub(super) link: Option<Link>,
    /// When it left.
    pub(super) gone: u64,
    pub(super) removed: bool,
    /// It has the tag `beta`.
    pub(super) beta: bool,
    /// It is in the group `canary`.
    pub(super) canary: bool,
    pub(super) boot: u64,
    /// In the order of installation.
    pub(super) ecus: Vec<Ecu>,
}

#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Index into the robot's ECUs.
    pub(super) ecu: usize,
    pub(super) version: u8,
    pub(super) state: TargetState,
    /// Since when it is in that state, whatever its progress.
    pub(super) since: u64,
    /// When its operation began.
    pub(super) begun: u64,
    /// When its newest operation was over.
    pub(super) over: u64,
    pub(super) attempt: u16,
    pub(super) resends: u8,
    pub(super) boot: u64,
    /// What the ECU ran when the operation began.
    pub(super) ran: Option<u8>,
    pub(super) deadline: Option<u64>,
    pub(super) suspect: Option<u64>,
    pub(super) cancelling: Option<CancelGoal>,
    /// The last failure that is tried again, when, and how often its classes were.
    pub(super) retry: Option<(FailureReason, u64, [u8; 5])>,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) robot: usize,
    pub(super) phase: usize,
    pub(super) targets: Vec<Target>,
}

/// Whom a rollout is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Chosen {
    /// Exactly these.
    Listed(Vec<usize>),
    /// This one, and only this ECU of it.
    ByHand(usize, usize),
    /// Who has such a board.
    Board(&'static str),
    /// Who has the tag.
    Beta,
    /// Who is in the group.
    Canary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Prepared,
    Launched(Run),
    Completed(Completion),
}

#[derive(Debug, Clone)]
pub(super) struct Rollout {
    pub(super) mechanism: Mechanism,
    /// Version per board.
    pub(super) wanted: Vec<(&'static str, u8)>,
    pub(super) chosen: Chosen,
    pub(super) status: Status,
    /// Its start came, and it could not launch.
    pub(super) missed: bool,
    pub(super) launched: u64,
    pub(super) deadline: u64,
    /// Since when it runs, if it does.
    pub(super) running_since: u64,
    pub(super) phase: usize,
    /// When each of its phases so far opened.
    pub(super) opened: Vec<u64>,
    pub(super) passed: Option<u64>,
    /// The next first start is not before this, in microseconds.
    pub(super) next_start_us: u64,
    /// The newest first start under a rate.
    pub(super) newest_start: Option<u64>,
    pub(super) excused: u32,
    pub(super) members: Vec<Member>,
}

/// The whole naive state.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) now: u64,
    /// The last instant at which everything that was due was done.
    pub(super) looked: u64,
    /// When the server started.
    pub(super) started: u64,
    /// Who drew which phase: chance, so it is given. By rollout and robot.
    pub(super) drawn: BTreeMap<(usize, usize), usize>,
    /// What chance may not do, and did.
    pub(super) complaint: Option<String>,
    pub(super) robots: Vec<Robot>,
    pub(super) rollouts: Vec<Rollout>,
}

pub(super) fn is_active(state: TargetState) -> bool {
    state != TargetState::Pending && !is_final(state)
}

pub(super) fn is_final(state: TargetState) -> bool {
    matches!(
        state,
        TargetState::Succeeded { .. }
            | TargetState::Failed { .. }
            | TargetState::RolledBack
            | TargetState::Skipped { .. }
            | TargetState::Cancelled { .. }
            | TargetState::Superseded { .. }
            | TargetState::Expired
    )
}

impl Target {
    pub(super) const fn new(ecu: usize, version: u8, now: u64) -> Self {
        Self {
            ecu,
            version,
            state: TargetState::Pending,
            since: now,
            begun: 0,
            over: 0,
            attempt: 0,
            resends: 0,
            boot: 0,
            ran: None,
            deadline: None,
            suspect: None,
            cancelling: None,
            retry: None,
        }
    }

    /// It comes to another state; progress in one is none.
    pub(super) fn turn(&mut self, to: TargetState, now: u64) {
        if std::mem::discriminant(&self.state) != std::mem::discriminant(&to) {
            self.since = now;
        }
        if is_active(self.state) && !is_active(to) {
            self.over = now;
        }
        self.state = to;
    }
}

impl Member {
    pub(super) fn is_open(&self) -> bool {
        self.targets.iter().any(|target| !is_final(target.state))
    }

    /// It has heard of the rollout.
    pub(super) fn is_told(&self) -> bool {
        self.targets.iter().any(|target| target.attempt > 0)
    }

    /// A threshold counts it as failed in these ways; nobody else is failed to a threshold.
    pub(super) fn failures(&self) -> Vec<FailureKind> {
        let kind = |target: &Target| match target.state {
            TargetState::Failed { reason } => Some(reason.kind()),
            TargetState::RolledBack => Some(FailureKind::RolledBack),
            _ => None,
        };
        self.targets.iter().filter_map(kind).collect()
    }

    /// Done, and every ECU that was not skipped runs its image.
    pub(super) fn has_succeeded(&self) -> bool {
        let good = |state| {
            matches!(
                state,
                TargetState::Succeeded { .. } | TargetState::Skipped { .. }
            )
        };
        let any = |target: &Target| matches!(target.state, TargetState::Succeeded { .. });
        self.targets.iter().all(|target| good(target.state)) && self.targets.iter().any(any)
    }

    pub(super) fn has_tried(&self) -> bool {
        self.has_succeeded() || !self.failures().is_empty()
    }

    /// Done without having tried.
    pub(super) fn is_withdrawn(&self) -> bool {
        !self.is_open() && !self.has_tried()
    }
}

impl Rollout {
    pub(super) fn run(&self) -> Option<Run> {
        match self.status {
            Status::Launched(run) => Some(run),
            Status::Prepared | Status::Completed(_) => None,
        }
    }

    pub(super) fn in_progress(&self) -> u32 {
        let active = |member: &&Member| member.targets.iter().any(|target| is_active(target.state));
        count(self.members.iter().filter(active))
    }

    pub(super) fn failed(&self) -> u32 {
        count(self.members.iter().filter(|m| !m.failures().is_empty()))
    }
}

/// How many there are.
pub(super) fn count<T>(of: impl Iterator<Item = T>) -> u32 {
    u32::try_from(of.count()).expect("worlds are small")
}

impl Model {
    /// What is under way on the robot: rollout, member, target.
    pub(super) fn active(&self, robot: usize) -> Option<(usize, usize, usize)> {
        for (r, rollout) in self.rollouts.iter().enumerate() {
            for (m, member) in rollout.members.iter().enumerate() {
                let active = member.targets.iter().position(|t| is_active(t.state));
                if let Some(t) = active.filter(|_| member.robot == robot) {
                    return Some((r, m, t));
                }
            }
        }
        None
    }

    pub(super) fn target(&self, (r, m, t): (usize, usize, usize)) -> &Target {
        &self.rollouts[r].members[m].targets[t]
    }

    pub(super) fn target_mut(&mut self, (r, m, t): (usize, usize, usize)) -> &mut Target {
        &mut self.rollouts[r].members[m].targets[t]
    }

    /// Robots in rollouts.
    pub(super) fn members(&self) -> usize {
        self.rollouts
            .iter()
            .map(|rollout| rollout.members.len())
            .sum()
    }

    /// It can be told something, as far as it depends on its connection.
    pub(super) fn is_ready(&self, robot: usize) -> bool {
        let robot = &self.robots[robot];
        let link = robot.link.as_ref().filter(|_| !robot.removed);
        link.is_some_and(|link| link.subscribed && link.introduced && link.settles.is_none())
    }

    /// Launched and not completed, in the order of their launch.
    pub(super) fn launched(&self) -> Vec<usize> {
        let mut launched: Vec<_> = (0..self.rollouts.len())
            .filter(|r| self.rollouts[*r].run().is_some())
            .collect();
        launched.sort_by_key(|r| (self.rollouts[*r].launched, *r));
        launched
    }

    pub(super) fn set_run(&mut self, r: usize, run: Run) {
        self.rollouts[r].status = Status::Launched(run);
    }

    pub(super) fn pause(&mut self, r: usize, why: PauseReason) {
        let since = rollcall_engine::Timestamp(self.now);
        self.set_run(r, Run::Paused { since, why });
    }

    /// A rollout ends: what was not sent will not be, and who does not write yet is told to give up.
    pub(super) fn end(&mut self, r: usize, why: EndReason) {
        let since = rollcall_engine::Timestamp(self.now);
        self.set_run(r, Run::Ending { since, why });
        let goal = match why {
            EndReason::Operator => CancelGoal::RolloutCancelled,
            _ => CancelGoal::RolloutAborted,
        };
        let now = self.now;
        for m in 0..self.rollouts[r].members.len() {
            for target in &mut self.rollouts[r].members[m].targets {
                if target.state != TargetState::Pending {
                    continue;
                }
                let end = match target.retry {
                    Some((reason, ..)) => TargetState::Failed { reason },
                    None => TargetState::Cancelled {
                        reason: why.cancel_reason(),
                    },
                };
                target.turn(end, now);
            }
        }
        self.call_off(r, goal);
    }

    /// Whoever of the rollout does not write yet is told to give up.
    pub(super) fn call_off(&mut self, r: usize, goal: CancelGoal) {
        for member in &mut self.rollouts[r].members {
            for target in &mut member.targets {
                if !is_active(target.state) {
                    continue;
                }
                match target.cancelling {
                    Some(CancelGoal::Operator) => {}
                    Some(_) => target.cancelling = Some(goal),
                    None if !writes(target.state) => target.cancelling = Some(goal),
                    None => {}
                }
            }
        }
    }
}

/// From here on a robot writes.
pub(super) fn writes(state: TargetState) -> bool {
    matches!(
        state,
        TargetState::Installing { .. } | TargetState::Applied | TargetState::Verifying
    )
}
