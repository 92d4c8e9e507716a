//! Dynamic rollouts: robots that come to belong to the target later join in (X4).
//!
//! After every input the robots that it was about are looked at, and nobody while no dynamic rollout is launched. What a
//! robot reports counts when its reports are complete. A selector that time alone makes true is looked at when anything
//! happens to the robot.
//!
//! Who joins is planned as at a launch, is in the last phase, and counts from then on. Nobody joins twice, and nobody
//! leaves. Such a rollout is not over when its robots are done: it ends with its deadline, or when it is cancelled.

use crate::input::{Command, Input, Timer};
use crate::inventory::{Robot, RobotKey};
use crate::names::RobotId;
use crate::outcome::Row;
use crate::plan::PlannedRobot;
use crate::rollout::{Member, Rollout, RolloutId, RolloutStatus, Run, TargetSelection};
use crate::state::{Changes, State};
use crate::target::{Target, TargetState};
use crate::time::Timestamp;

/// Whom an input may have brought into the target of a dynamic rollout.
#[derive(Debug)]
pub(crate) enum Newcomers {
    Nobody,
    Robot(RobotKey),
    Robots(Vec<RobotId>),
    Everybody,
}

impl State {
    /// Whom `input` may bring in; to be asked before it is applied.
    pub(crate) fn newcomers(&self, input: &Input) -> Newcomers {
        // They may launch what takes joiners.
        let launches = matches!(
            input,
            Input::Command {
                command: Command::ResumeRelease { .. } | Command::RaiseRelease { .. },
                ..
            }
        );
        if self.dynamic.is_empty() && !launches {
            return Newcomers::Nobody;
        }
        match input {
            Input::Link { robot, .. }
            | Input::Report { robot, .. }
            | Input::Due(Timer::Robot(robot)) => Newcomers::Robot(*robot),
            Input::Due(Timer::Rollout(_)) => Newcomers::Nobody,
            // Nobody is online any more.
            Input::Started { .. } => Newcomers::Everybody,
            Input::Command { command, .. } => of_command(command),
        }
    }

    /// Lets those of them join that belong to a dynamic rollout now: whether anybody did.
    pub(crate) fn take_in(&mut self, newcomers: Newcomers, changes: &mut Changes) -> bool {
        let robots: Vec<_> = match newcomers {
            Newcomers::Nobody => return false,
            Newcomers::Robot(key) => vec![key],
            Newcomers::Robots(ids) => {
                let keys = ids.iter().map(|id| self.robot_key(id.as_str()));
                keys.flatten().collect()
            }
            Newcomers::Everybody => self.robots.keys().collect(),
        };
        // The newest launch first: it has the older ones' ECUs (X20).
        let mut rollouts: Vec<_> = self.dynamic.iter().copied().collect();
        rollouts.sort_by_key(|id| std::cmp::Reverse(self.launch_order(*id)));
        let mut joined = false;
        for key in robots {
            for id in &rollouts {
                if let Some(planned) = self.joins(*id, key) {
                    self.join(*id, &planned, changes);
                    joined = true;
                }
            }
        }
        joined
    }

    /// What the rollout does to the robot, if it joins now. One that was skipped at the launch can, when there is
    /// something to do at last.
    fn joins(&self, id: RolloutId, key: RobotKey) -> Option<PlannedRobot> {
        let rollout = self.rollouts.get(&id)?;
        let robot = self.robots.get(&key)?;
        let member = rollout.members.get(&key);
        let is_in = member.is_some_and(|member| member.skipped.is_none());
        let settled = robot.removed.is_none() && robot.link.settled_at.is_none();
        if is_in || !settled || !rollout.takes_joiners(self.now) || !self.names(rollout, robot) {
            return None;
        }
        let planned = self.plan_robot(robot, rollout.rules());
        planned.skipped.is_none().then_some(planned)
    }

    fn names(&self, rollout: &Rollout, robot: &Robot) -> bool {
        match &rollout.target {
            TargetSelection::Group(name) => {
                let group = self.group(name.as_str());
                group.is_some_and(|group| self.has(group, robot))
            }
            TargetSelection::Selector(selector) => selector.matches(robot, self.now),
            TargetSelection::Hardware(id) => robot.ecus.iter().any(|ecu| ecu.hardware_id == *id),
            // A5: exactly those.
            TargetSelection::Robots(_) => false,
            TargetSelection::Release(release) => self
                .releases
                .get(release)
                .is_some_and(|release| self.joins_release(release, rollout.id, robot)),
        }
    }

    fn join(&mut self, id: RolloutId, planned: &PlannedRobot, changes: &mut Changes) {
        let key = planned.robot;
        let newer = self.taken_by_newer(id, planned);
        let order = self.launch_order(id);
        let open = self.robots.get(&key).map_or(&[][..], |robot| &robot.open);
        let older = open.iter().copied();
        let older = older.filter(|other| self.launch_order(*other) < order);
        let older: Vec<_> = older.collect();
        let now = self.now;
        let Some(rollout) = self.rollouts.get_mut(&id) else {
            return;
        };
        let was_in = rollout.admit(planned, now);
        changes.touch(Row::Member(id, key));
        if let Some(robot) = self.robots.get_mut(&key) {
            rollout.join_zone(robot, now);
            if !was_in {
                robot.memberships.push(id);
                robot.open.push(id);
                robot.sort_rollouts(&self.rollouts);
            }
        }
        for (index, by) in newer {
            self.set_target(id, key, index, TargetState::Superseded { by }, changes);
        }
        let losers = self.supersede(id, planned, older, changes);
        self.refresh_ready(key);
        self.arm(key);
        for loser in losers {
            self.pump(loser, changes);
        }
        self.pump(id, changes);
    }

    /// X20: ECUs that a rollout has which was launched later, whatever became of them there.
    fn taken_by_newer(&self, id: RolloutId, planned: &PlannedRobot) -> Vec<(usize, RolloutId)> {
        let order = self.launch_order(id);
        let robot = self.robots.get(&planned.robot);
        let memberships = robot.map_or(&[][..], |robot| &robot.memberships);
        let newer = memberships.iter().rev().copied();
        let newer: Vec<_> = newer
            .take_while(|other| self.launch_order(*other) > order)
            .collect();
        let has = |other: &RolloutId, ecu: u8| {
            let member = self.rollouts.get(other);
            let member = member.and_then(|rollout| rollout.members.get(&planned.robot));
            member.is_some_and(|member| member.targets.iter().any(|target| target.ecu == ecu))
        };
        let ecus = planned.ecus.iter().enumerate();
        ecus.filter_map(|(index, ecu)| {
            let by = newer.iter().find(|other| has(other, ecu.ecu))?;
            Some((index, *by))
        })
        .collect()
    }

    fn launch_order(&self, id: RolloutId) -> (Option<Timestamp>, RolloutId) {
        let rollout = self.rollouts.get(&id);
        rollout.map_or((None, id), Rollout::launch_order)
    }
}

fn of_command(command: &Command) -> Newcomers {
    match command {
        Command::AddRobot(spec) => Newcomers::Robots(vec![spec.id.clone()]),
        Command::PairRobot { robot, .. }
        | Command::EditRobot { robot, .. }
        | Command::AcceptDeclared { robot } => Newcomers::Robots(vec![robot.clone()]),
        Command::AddGroup { robots, .. } => Newcomers::Robots(robots.clone()),
        // A selector may ask who is not in a group.
        Command::AddSelectorGroup { .. }
        | Command::EditGroup { .. }
        | Command::RemoveGroup { .. } => Newcomers::Everybody,
        // While it was stopped nobody joined.
        Command::ResumeRollout { .. } | Command::ResumeRelease { .. } => Newcomers::Everybody,
        // A channel that gets other groups means other robots, and a greater percentage those that came since.
        Command::EditChannel { .. } | Command::RaiseRelease { .. } => Newcomers::Everybody,
        _ => Newcomers::Nobody,
    }
}

impl Rollout {
    /// Whether robots can join it: it is dynamic, runs or is paused, and its deadline has not come.
    #[must_use]
    pub fn takes_joiners(&self, now: Timestamp) -> bool {
        let RolloutStatus::Launched { deadline, run, .. } = self.status else {
            return false;
        };
        let open = matches!(run, Run::Running | Run::Paused { .. });
        self.mechanism.dynamic && open && now < deadline
    }

    /// Whether it stays launched although every robot is done: others may join.
    pub(crate) fn stays(&self, now: Timestamp) -> bool {
        let RolloutStatus::Launched { deadline, run, .. } = self.status else {
            return false;
        };
        let ending = matches!(run, Run::Ending { .. });
        self.mechanism.dynamic && !ending && now < deadline
    }

    /// Puts the robot into the snapshot: whether it was in there, skipped.
    fn admit(&mut self, planned: &PlannedRobot, now: Timestamp) -> bool {
        let last = self.mechanism.phases.len().saturating_sub(1);
        let ecus = planned.ecus.iter();
        let member = Member {
            targets: ecus
                .map(|ecu| Target::new(ecu.ecu, ecu.image, now))
                .collect(),
            skipped: None,
            phase: u16::try_from(last).unwrap_or(u16::MAX),
        };
        self.tally.join(&member);
        let targets = u32::try_from(member.targets.len()).unwrap_or(u32::MAX);
        let was_in = self.members.insert(planned.robot, member).is_some();
        let counts = &mut self.counts;
        counts.robots += u32::from(!was_in);
        counts.skipped_robots -= u32::from(was_in);
        counts.open_robots += 1;
        counts.targets += targets;
        counts.pending += targets;
        was_in
    }
}
