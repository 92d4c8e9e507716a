//! The answer to "why is this robot not done?", as a value.

use crate::check::{Check, check};
use crate::device::InterfaceVersion;
use crate::inventory::{Hold, Robot, RobotKey};
use crate::names::EcuName;
use crate::refusal::Refusal;
use crate::rollout::{RolloutId, RolloutStatus};
use crate::state::State;
use crate::target::{Cancelling, SkipReason, Target, TargetState};
use crate::time::Timestamp;
use serde::Serialize;
use std::fmt;

/// What a pending ECU waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "wait", rename_all = "snake_case")]
pub enum WaitReason {
    /// The rollout is not launched.
    Launch,
    /// The robot is not connected.
    Offline,
    /// It is connected but does not listen for OTARequests.
    NotSubscribed,
    /// It has not yet said what it runs.
    Introduction,
    /// An operation of another rollout is under way on it.
    Busy {
        /// Which rollout.
        rollout: RolloutId,
    },
    /// Another of its ECUs comes first.
    Order {
        /// Which ECU.
        ecu: EcuName,
    },
    /// All slots are taken.
    Slot {
        /// Robots under way.
        in_progress: u32,
        /// The cap.
        max_in_progress: u32,
    },
    /// The robot declares another ECU than is registered.
    Hold(Hold),
}

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
        let waiting = |ecu: &crate::PlannedEcu| Why {
            ecu: robot
                .ecus
                .get(usize::from(ecu.ecu))
                .map(|ecu| ecu.name.clone()),
            state: TargetState::Pending,
            waits_for: Some(WaitReason::Launch),
            since: rollout.created,
            until: None,
            then: "nothing is sent before the launch",
            remedy: "launch the rollout",
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
        let rollout_deadline = self
            .rollouts
            .get(&id)
            .and_then(|rollout| match rollout.status {
                RolloutStatus::Running { deadline, .. } => Some(deadline),
                RolloutStatus::Prepared | RolloutStatus::Completed { .. } => None,
            });
        let cancelling = target.cancelling.is_some() && target.state.is_active();
        let (then, remedy) = match &waits_for {
            Some(reason) => reason.prospects(),
            None if cancelling => CANCELLING,
            None => prospects(&target.state),
        };
        Why {
            ecu: robot
                .ecus
                .get(usize::from(target.ecu))
                .map(|ecu| ecu.name.clone()),
            state: target.state,
            since: target.since,
            until: target
                .until()
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
        let check = || {
            check(
                &rollout.images,
                &rollout.mechanism,
                image,
                robot,
                target.ecu,
            )
        };
        (target.state == TargetState::Pending).then(check)
    }

    /// What the pending target waits for.
    #[must_use]
    pub fn wait_reason(&self, id: RolloutId, robot: &Robot, index: usize) -> Option<WaitReason> {
        let rollout = self.rollouts.get(&id)?;
        let targets = &rollout.members.get(&robot.key)?.targets;
        let ecu_of = |target: &Target| robot.ecus.get(usize::from(target.ecu));
        if let Some(hold) = robot.hold(targets.get(index)?.ecu.into()) {
            return Some(WaitReason::Hold(hold));
        }
        if !robot.online() {
            return Some(WaitReason::Offline);
        }
        if !robot.link.subscribed {
            return Some(WaitReason::NotSubscribed);
        }
        if !robot.ready() {
            return Some(WaitReason::Introduction);
        }
        if let Some((other, _)) = robot.active.filter(|(other, _)| *other != id) {
            return Some(WaitReason::Busy { rollout: other });
        }
        let first = targets
            .iter()
            .take(index)
            .find(|target| !target.state.is_final() && robot.hold(target.ecu.into()).is_none());
        if let Some(ecu) = first
            .or_else(|| targets.iter().find(|t| t.state.is_active()))
            .and_then(ecu_of)
        {
            return Some(WaitReason::Order {
                ecu: ecu.name.clone(),
            });
        }
        let (in_progress, max_in_progress) = (
            rollout.counts.in_progress,
            rollout.mechanism.max_in_progress,
        );
        Some(WaitReason::Slot {
            in_progress,
            max_in_progress,
        })
    }
}

/// What comes next for an operation that is being cancelled.
const CANCELLING: (&str, &str) = (
    "what the robot does decides: it stops, or it is beyond that and goes on; if it says nothing it counts as cancelled, \
     or as failed once it has begun to write",
    "wait; an offline robot is told when it returns",
);

fn skipped(reason: SkipReason, since: Timestamp) -> Why {
    let remedy = match reason {
        SkipReason::NoCompatibleEcu => {
            "nothing to do; map one of the robot's hardware ids to update it"
        }
        SkipReason::OtherModel => "nothing to do; add an image for the robot's model to update it",
        SkipReason::NoPartNumber => {
            "let the device connect and report SystemInfo's part number, then launch another rollout; if it has none, \
             set EDGEHOG_SYSTEM_PART_NUMBER there, or remove the robot and add it with --ecu main=HARDWARE_ID"
        }
    };
    Why {
        ecu: None,
        state: TargetState::Skipped { reason },
        waits_for: None,
        since,
        until: None,
        then: "the robot gets nothing from this rollout",
        remedy,
        at_dispatch: None,
        detail: None,
        cancelling: None,
    }
}

impl WaitReason {
    /// What happens when the wait ends by itself, and what an operator can do.
    const fn prospects(&self) -> (&'static str, &'static str) {
        match self {
            Self::Launch => ("nothing is sent before the launch", "launch the rollout"),
            Self::Offline => (
                "expires with the rollout's deadline",
                "bring the robot online",
            ),
            Self::NotSubscribed => (
                "expires with the rollout's deadline",
                "look why the robot does not subscribe to its OTARequests",
            ),
            Self::Introduction => (
                "is judged by what it has said when the property window ends",
                "wait a few seconds",
            ),
            Self::Busy { .. } => (
                "starts when the other operation ends",
                "wait, or look at the other rollout",
            ),
            Self::Order { .. } => ("starts when the ECU before it is done", "wait"),
            Self::Slot { .. } => (
                "starts when a robot that is under way is done",
                "wait, or use a greater cap",
            ),
            Self::Hold(Hold::OtaDisabled) => (
                "expires with the rollout's deadline",
                "enable OTA in the configuration of the device's runtime ([ota] enabled = true)",
            ),
            Self::Hold(Hold::InterfaceVersion { .. }) => (
                "expires with the rollout's deadline",
                "update the server to a release that knows the interface, or the device by other means",
            ),
            Self::Hold(_) => (
                "expires with the rollout's deadline",
                "compare the robot's ECUs with its registration: repair the robot, or take what it declares with `rollcall robot accept`",
            ),
        }
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
        TargetState::Failed { .. } | TargetState::RolledBack => (
            "final; the ECU keeps what it runs",
            "look at the reason, then include the robot in another rollout",
        ),
        TargetState::Skipped { .. } => ("final; nothing is sent", "nothing to do"),
        TargetState::Cancelled { .. } | TargetState::Expired => {
            ("final", "include the robot in another rollout")
        }
        TargetState::Superseded { .. } => ("final", "look at the newer rollout"),
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Launch => f.write_str("launch"),
            Self::Offline => f.write_str("offline"),
            Self::NotSubscribed => f.write_str("not subscribed"),
            Self::Introduction => f.write_str("introduction"),
            Self::Busy { rollout } => write!(f, "busy with rollout {}", rollout.0),
            Self::Order { ecu } => write!(f, "order, after {ecu}"),
            Self::Slot {
                in_progress,
                max_in_progress,
            } => write!(f, "slot, {in_progress} of {max_in_progress} taken"),
            Self::Hold(Hold::NotDeclared) => {
                f.write_str("hold, the robot does not declare the ECU")
            }
            Self::Hold(Hold::DeclaredAs {
                hardware_id,
                primary,
            }) => {
                let rank = if *primary { "primary" } else { "secondary" };
                write!(f, "hold, the robot declares {hardware_id}, {rank}")
            }
            Self::Hold(Hold::OtaDisabled) => {
                f.write_str("hold, the device's runtime has OTA disabled")
            }
            Self::Hold(Hold::InterfaceVersion { interface, found }) => {
                let InterfaceVersion { major, minor } = found;
                write!(
                    f,
                    "hold, the device has {interface} {major}.{minor}, which is not known here"
                )
            }
            Self::Hold(Hold::PartNumber { found }) => {
                write!(
                    f,
                    "hold, the robot's part number {found:?} is no hardware id"
                )
            }
        }
    }
}
