//! The answer to "why is this robot not done?", as a value.

use crate::check::Check;
use crate::inventory::{Robot, RobotKey};
use crate::names::EcuName;
use crate::refusal::Refusal;
use crate::rollout::{Rollout, RolloutId, RolloutStatus};
use crate::state::State;
use crate::target::{Cancelling, SkipReason, Target, TargetState};
use crate::time::Timestamp;
use crate::wait::WaitReason;
use serde::Serialize;

/// Where one ECU of a robot stands in a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    /// Which ECU; `None` when the whole robot is skipped.
    pub ecu: Option<EcuName>,
    /// Its state.
    pub state: TargetState,
    /// What it waits for, when it is pending.
    pub waits_for: Option<WaitReason>,
    /// Since when it is in that state.
    pub since: Timestamp,
    /// Since when it waits for that.
    pub waits_since: Option<Timestamp>,
    /// When the wait ends by itself.
    pub until: Option<Timestamp>,
    /// What happens then, or what the state means.
    pub then: &'static str,
    /// What an operator can do.
    pub remedy: &'static str,
    /// While it is pending: what would happen if it were sent now.
    pub at_dispatch: Option<Check>,
    /// The robot's own words.
    pub detail: Option<String>,
    /// An operator wants it cancelled.
    pub cancelling: Option<Cancelling>,
}

impl State {
    /// Where the robot stands in the rollout, an entry per ECU.
    ///
    /// # Errors
    /// Refuses an unknown rollout, and a robot that is not in it.
    pub fn why(&self, id: RolloutId, key: RobotKey) -> Result<Vec<Why>, Refusal> {
        let rollout = self
            .rollouts
            .get(&id)
            .ok_or(Refusal::UnknownRollout { id })?;
        let robot = self.robots.get(&key).ok_or(Refusal::RobotGone)?;
        let unknown = || Refusal::UnknownRobot {
            id: robot.id.clone(),
        };
        if rollout.status == RolloutStatus::Prepared {
            return self.why_prepared(id, robot).ok_or_else(unknown);
        }
        let member = rollout.members.get(&key).ok_or_else(unknown)?;
        if let Some(reason) = member.skipped {
            return Ok(vec![skipped(reason, rollout.created)]);
        }
        let why = |(index, target)| self.why_target(id, robot, index, target);
        Ok(member.targets.iter().enumerate().map(why).collect())
    }

    fn why_prepared(&self, id: RolloutId, robot: &Robot) -> Option<Vec<Why>> {
        let rollout = self.rollouts.get(&id)?;
        let before = RobotKey(robot.key.0.checked_sub(1)?);
        let plan = self.plan_page(id, Some(before), 1).ok()?;
        let planned = plan
            .robots
            .first()
            .filter(|planned| planned.robot == robot.key)?;
        if let Some(reason) = planned.skipped {
            return Some(vec![skipped(reason, rollout.created)]);
        }
        let start = rollout.mechanism.schedule.start;
        let launch = WaitReason::Launch { start };
        let waiting = |ecu: &crate::PlannedEcu| Why {
            ecu: robot
                .ecus
                .get(usize::from(ecu.ecu))
                .map(|ecu| ecu.name.clone()),
            state: TargetState::Pending,
            since: rollout.created,
            until: launch.until(),
            then: launch.prospects().0,
            remedy: launch.prospects().1,
            waits_for: Some(launch.clone()),
            waits_since: Some(rollout.created),
            at_dispatch: Some(ecu.at_dispatch),
            detail: None,
            cancelling: None,
        };
        Some(planned.ecus.iter().map(waiting).collect())
    }

    fn why_target(&self, id: RolloutId, robot: &Robot, index: usize, target: &Target) -> Why {
        let waits_for = (target.state == TargetState::Pending)
            .then(|| self.wait_reason(id, robot, index))
            .flatten();
        let rollout_deadline = self.rollouts.get(&id).and_then(Rollout::deadline);
        let gate = match &waits_for {
            Some(WaitReason::Introduction) => robot.link.settled_at,
            other => other.as_ref().and_then(WaitReason::until),
        };
        let cancelling = target.cancelling.is_some() && target.state.is_active();
        // What would open after the end of the rollout does not.
        let too_late = gate
            .zip(rollout_deadline)
            .is_some_and(|(gate, end)| gate >= end);
        let gate = gate.filter(|_| !too_late);
        let (then, remedy) = match &waits_for {
            Some(reason) if too_late => (EXPIRES, reason.prospects().1),
            Some(reason) => reason.prospects(),
            None if cancelling => CANCELLING,
            None if is_suspected(target) => SUSPECTED,
            None => prospects(&target.state),
        };
        Why {
            ecu: robot
                .ecus
                .get(usize::from(target.ecu))
                .map(|ecu| ecu.name.clone()),
            state: target.state,
            since: target.since,
            waits_since: waits_for
                .as_ref()
                .and_then(|reason| self.waits_since(id, robot, target, reason)),
            until: target
                .until()
                .or(gate)
                .or(rollout_deadline.filter(|_| waits_for.is_some())),
            waits_for,
            then,
            remedy,
            at_dispatch: self.at_dispatch(id, robot, target),
            detail: target.detail.as_deref().map(str::to_owned),
            cancelling: target.cancelling.as_deref().cloned(),
        }
    }

    /// What would happen if the pending target were sent now.
    fn at_dispatch(&self, id: RolloutId, robot: &Robot, target: &Target) -> Option<Check> {
        let rollout = self.rollouts.get(&id)?;
        let image = self.images.get(&target.image)?;
        let check = || self.check(rollout.rules(), image, robot, target.ecu);
        (target.state == TargetState::Pending).then(check)
    }
}

/// What comes of a wait that is longer than the rollout.
const EXPIRES: &str = "expires with the rollout's deadline, which is earlier than that";

/// What comes next for an operation that is being cancelled.
const CANCELLING: (&str, &str) = (
    "what the robot does decides: it stops, or it is beyond that and goes on; if it says nothing it counts as cancelled, \
     or as failed once it has begun to write",
    "wait; an offline robot is told when it returns",
);

/// What comes of an operation whose robot came back as it was.
const SUSPECTED: (&str, &str) = (
    "it restarted and runs the old image, or a third one: judged by that, unless an event or another report comes first",
    "wait, or look at the robot's log",
);

/// Whether the verdict on a restart comes before the wait for the robot ends.
fn is_suspected(target: &Target) -> bool {
    let waits = target.state.is_active() && target.state != TargetState::Requested;
    waits && target.suspect_until.is_some() && target.suspect_until == target.until()
}

fn skipped(reason: SkipReason, since: Timestamp) -> Why {
    Why {
        ecu: None,
        state: TargetState::Skipped { reason },
        waits_for: None,
        waits_since: None,
        since,
        until: None,
        then: "the robot gets nothing from this rollout",
        remedy: reason.remedy(),
        at_dispatch: None,
        detail: None,
        cancelling: None,
    }
}

/// What comes next in a state that is not a wait, and what an operator can do.
const fn prospects(state: &TargetState) -> (&'static str, &'static str) {
    match state {
        TargetState::Pending => ("is sent when the rollout allows it", "wait"),
        TargetState::Requested => (
            "the request is sent again, and at last fails",
            "look whether the robot works",
        ),
        TargetState::Acknowledged
        | TargetState::Downloading { .. }
        | TargetState::Downloaded
        | TargetState::Installing { .. } => {
            ("fails as too slow", "wait, or look at the robot's log")
        }
        TargetState::Applied | TargetState::Verifying => (
            "fails as not confirmed",
            "wait for the restart, or look at the robot's log",
        ),
        TargetState::Succeeded { .. } => ("done", "nothing to do"),
        TargetState::Failed { reason } => ("final; the ECU keeps what it runs", reason.remedy()),
        TargetState::RolledBack => (
            "final; the ECU keeps what it runs",
            "look at the robot's log why the image did not stay, then include it in another rollout",
        ),
        TargetState::Skipped { reason } => ("final; nothing is sent", reason.remedy()),
        TargetState::Cancelled { .. } | TargetState::Expired => {
            ("final", "include the robot in another rollout")
        }
        TargetState::Superseded { .. } => ("final", "look at the newer rollout"),
    }
}
