//! Gates: what a pending target waits for. Dispatch asks the same question before it sends, so that it and `why` cannot
//! disagree.

use crate::calendar::{BadZone, Opening, TimeZone};
use crate::device::InterfaceVersion;
use crate::inventory::{Hold, Robot};
use crate::names::EcuName;
use crate::rollout::{Member, PauseReason, Rollout, RolloutId, Run};
use crate::state::State;
use crate::target::{FailureReason, Target};
use crate::time::Timestamp;
use serde::Serialize;
use std::fmt;

/// What a pending ECU waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "wait", rename_all = "snake_case")]
pub enum WaitReason {
    /// The rollout is not launched.
    Launch {
        /// When it will be, by itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        start: Option<Timestamp>,
    },
    /// The rollout is paused, and the robot has not been told yet.
    Paused(PauseReason),
    /// The rollout is stopped.
    Stopped,
    /// The rollout's deadline has come.
    Deadline,
    /// The robot's phase is not open.
    Phase {
        /// Its phase, from 0.
        phase: u16,
        /// The newest that is open.
        open: u16,
        /// When that has soaked, if it has passed its threshold.
        #[serde(skip_serializing_if = "Option::is_none")]
        soaks_until: Option<Timestamp>,
    },
    /// It failed, and is tried again later.
    Retry {
        /// What went wrong.
        failure: FailureReason,
        /// When it is tried again.
        at: Timestamp,
    },
    /// Its maintenance window is closed.
    Window {
        /// When it opens.
        #[serde(skip_serializing_if = "Option::is_none")]
        opens: Option<Timestamp>,
        /// The time zone that it goes by.
        zone: TimeZone,
        /// The robot's label, if it names no time zone; the rollout's zone holds then.
        #[serde(skip_serializing_if = "Option::is_none")]
        bad_zone: Option<BadZone>,
    },
    /// The rate of new starts.
    Rate {
        /// Robots per minute at present.
        per_minute: u32,
        /// When the next robot is told.
        next: Timestamp,
    },
    /// The robot is not connected.
    Offline {
        /// When it fails for that, if the rollout does not wait (X12).
        #[serde(skip_serializing_if = "Option::is_none")]
        fails: Option<Timestamp>,
    },
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
    /// Nothing but the [burst](crate::BURST) before it.
    Turn,
}

impl State {
    /// What the pending target waits for.
    #[must_use]
    pub fn wait_reason(&self, id: RolloutId, robot: &Robot, index: usize) -> Option<WaitReason> {
        let turn = || self.rollouts.get(&id)?.more.then_some(WaitReason::Turn);
        self.gate_before(id, robot, index).or_else(turn)
    }

    /// What holds the pending target back; `None` when it may be sent.
    pub(crate) fn gate_before(
        &self,
        id: RolloutId,
        robot: &Robot,
        index: usize,
    ) -> Option<WaitReason> {
        let rollout = self.rollouts.get(&id)?;
        let member = rollout.members.get(&robot.key)?;
        let target = member.targets.get(index)?;
        let fails = || self.patience(rollout, robot);
        self.closed_to(rollout, member)
            .or_else(|| rollout.is_overdue(self.now).then_some(WaitReason::Deadline))
            .or_else(|| fails().map(|at| WaitReason::Offline { fails: Some(at) }))
            .or_else(|| Self::not_ready(robot, target, id))
            .or_else(|| Self::not_its_turn(robot, member, index))
            .or_else(|| self.not_now(rollout, robot, target))
            .or_else(|| self.no_room(rollout, member))
    }

    /// Whether the rollout tells the robot anything at present.
    pub(crate) fn closed_to(&self, rollout: &Rollout, member: &Member) -> Option<WaitReason> {
        let told = member.is_told();
        match rollout.run() {
            None => {
                let start = rollout.mechanism.schedule.start;
                return Some(WaitReason::Launch { start });
            }
            Some(Run::Paused { why, .. }) if !told => return Some(WaitReason::Paused(why)),
            Some(Run::Stopped { .. } | Run::Ending { .. }) => return Some(WaitReason::Stopped),
            Some(Run::Running | Run::Paused { .. }) => {}
        }
        (!told && !rollout.is_open_to(member)).then(|| WaitReason::Phase {
            phase: member.phase,
            open: rollout.course.phase,
            // Of a phase further on, or one that an operator must open, that is not the end of the wait.
            soaks_until: self
                .phase_timer(rollout)
                .filter(|_| rollout.opens_by_itself(member.phase)),
        })
    }

    fn not_ready(robot: &Robot, target: &Target, id: RolloutId) -> Option<WaitReason> {
        if let Some(hold) = robot.hold(target.ecu.into()) {
            return Some(WaitReason::Hold(hold));
        }
        if !robot.online() {
            return Some(WaitReason::Offline { fails: None });
        }
        if !robot.link.subscribed {
            return Some(WaitReason::NotSubscribed);
        }
        if !robot.ready() {
            return Some(WaitReason::Introduction);
        }
        let (other, _) = robot.active.filter(|(other, _)| *other != id)?;
        Some(WaitReason::Busy { rollout: other })
    }

    fn not_its_turn(robot: &Robot, member: &Member, index: usize) -> Option<WaitReason> {
        let before = member.targets.iter().take(index);
        let mut before = before
            .filter(|target| !target.state.is_final() && robot.hold(target.ecu.into()).is_none());
        let active = || member.targets.iter().find(|t| t.state.is_active());
        let ecu = before.next().or_else(active)?.ecu;
        let ecu = robot.ecus.get(usize::from(ecu))?.name.clone();
        Some(WaitReason::Order { ecu })
    }

    fn not_now(&self, rollout: &Rollout, robot: &Robot, target: &Target) -> Option<WaitReason> {
        let retry = target.retry.as_ref().filter(|retry| retry.at > self.now);
        if let Some(retry) = retry {
            return Some(WaitReason::Retry {
                failure: retry.failure,
                at: retry.at,
            });
        }
        let (opening, zone, bad_zone) = rollout.opening(robot, self.now)?;
        let opens = match opening {
            Opening::Open { .. } => return None,
            Opening::Closed { opens_at } => Some(opens_at),
            Opening::Never => None,
        };
        Some(WaitReason::Window {
            opens,
            zone,
            bad_zone,
        })
    }

    fn no_room(&self, rollout: &Rollout, member: &Member) -> Option<WaitReason> {
        if let Some(next) = rollout.next_start(self.now).filter(|_| !member.is_told()) {
            let per_minute = rollout.per_minute().unwrap_or(0);
            return Some(WaitReason::Rate { per_minute, next });
        }
        (!rollout.has_slot()).then_some(WaitReason::Slot {
            in_progress: rollout.counts.in_progress,
            max_in_progress: rollout.mechanism.max_in_progress,
        })
    }
}

impl Rollout {
    /// Whether robots that have begun are told of more, as far as it does not depend on them.
    pub(crate) fn goes_on(&self, now: Timestamp) -> bool {
        matches!(self.run(), Some(Run::Running | Run::Paused { .. }))
            && !self.is_overdue(now)
            && self.has_slot()
    }

    /// Whether its deadline has come. The timer that ends it may be late.
    fn is_overdue(&self, now: Timestamp) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }

    const fn has_slot(&self) -> bool {
        self.counts.in_progress < self.mechanism.max_in_progress
    }
}

impl WaitReason {
    /// When the wait ends by itself, if the wait itself knows; else the rollout's deadline ends it.
    pub(crate) const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Launch { start } => *start,
            Self::Phase { soaks_until, .. } => *soaks_until,
            Self::Retry { at, .. } => Some(*at),
            Self::Window { opens, .. } => *opens,
            Self::Rate { next, .. } => Some(*next),
            Self::Offline { fails } => *fails,
            _ => None,
        }
    }

    /// What happens when the wait ends by itself, and what an operator can do.
    pub(crate) const fn prospects(&self) -> (&'static str, &'static str) {
        match self {
            Self::Launch { start: None } => {
                ("nothing is sent before the launch", "launch the rollout")
            }
            Self::Launch { start: Some(_) } => (
                "the rollout launches, as the fleet is then",
                "wait, launch it now, or change its start",
            ),
            Self::Paused(PauseReason::Operator) => {
                ("expires with the rollout's deadline", "resume the rollout")
            }
            Self::Paused(PauseReason::Approval { .. }) => (
                "expires with the rollout's deadline",
                "look at the robots of the phase that is done, then approve it, or cancel the rollout",
            ),
            Self::Paused(PauseReason::PhaseMissed { .. }) => (
                "expires with the rollout's deadline",
                "look why robots of the phase failed; then approve it all the same, or cancel the rollout",
            ),
            Self::Paused(PauseReason::PhaseErrors { .. } | PauseReason::Failures { .. }) => (
                "expires with the rollout's deadline",
                "look why robots failed; then resume the rollout, or cancel it",
            ),
            Self::Stopped => (
                "expires with the rollout's deadline",
                "resume the rollout, or cancel it",
            ),
            Self::Deadline => ("expires at once", "include the robot in another rollout"),
            Self::Phase {
                soaks_until: Some(_),
                ..
            } => ("the phase before it has soaked", "wait"),
            Self::Phase { .. } => (
                "starts when enough robots of the phases before it have succeeded; else expires with the rollout's deadline",
                "wait, or look at the robots of the open phase",
            ),
            Self::Retry { .. } => (
                "is tried again with a new operation",
                "wait, or look why it failed",
            ),
            Self::Window {
                bad_zone: Some(_), ..
            } => (
                "its window opens, by the rollout's time zone",
                "correct the robot's time zone (`rollcall robot label set`), or wait",
            ),
            Self::Window { .. } => ("its window opens", "wait"),
            Self::Rate { .. } => (
                "the next robot in line is told",
                "wait, or use a greater rate (`rollcall rollout edit --rate`)",
            ),
            Self::Offline { fails: Some(_) } => {
                ("fails as offline (DEP_E151)", "bring the robot online")
            }
            Self::Offline { fails: None } => (
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
            Self::Turn => ("is told within moments, after those before it", "wait"),
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

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Launch { .. } => f.write_str("launch"),
            Self::Paused(PauseReason::Operator) => f.write_str("paused"),
            Self::Paused(PauseReason::Approval { phase }) => {
                write!(f, "paused, phase {} waits for an approval", phase + 1)
            }
            Self::Paused(PauseReason::PhaseMissed { phase }) => {
                write!(f, "paused, too few robots of phase {} succeeded", phase + 1)
            }
            Self::Paused(PauseReason::PhaseErrors { phase }) => {
                write!(f, "paused, too many robots of phase {} failed", phase + 1)
            }
            Self::Paused(PauseReason::Failures { .. }) => {
                f.write_str("paused, too many robots failed")
            }
            Self::Stopped => f.write_str("stopped"),
            Self::Deadline => f.write_str("the rollout's end, which has come"),
            Self::Phase { phase, open, .. } => {
                write!(f, "phase {}, {} is open", phase + 1, open + 1)
            }
            Self::Retry { .. } => f.write_str("retry"),
            Self::Window {
                opens,
                zone,
                bad_zone,
            } => {
                match opens {
                    Some(at) => write!(f, "window, opens at {} ({zone})", zone.local_time(*at))?,
                    None => f.write_str("window, never opens again")?,
                }
                bad_zone.as_ref().map_or(Ok(()), |bad| write!(f, "; {bad}"))
            }
            Self::Rate { per_minute, .. } => write!(f, "rate, {per_minute} robots a minute"),
            Self::Offline { .. } => f.write_str("offline"),
            Self::NotSubscribed => f.write_str("not subscribed"),
            Self::Introduction => f.write_str("introduction"),
            Self::Turn => f.write_str("turn"),
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
