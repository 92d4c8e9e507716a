//! The end of a world: outcomes against what the robots really did, and the history played once more.

use super::Broken;
use super::robots::Actor;
use super::rows::{Rows, durable_robot, pairs, same, unready};
use super::server::Server;
use super::watch::{Asked, is_given_up};
use super::world::World;
use device_sim::model::{OperationRecord, Protocol, RealOutcome};
use rollcall_engine::{
    CancelReason, Command, Completion, FailureReason, ForceDowngrade, Input, Link,
    OnVersionMismatch, Reply, Robot, Rollout, RolloutId, RolloutStatus, SkipReason, State,
    SuccessKind, Target, TargetState, Timestamp,
};
use rollcall_proto::Code;
use std::collections::{BTreeMap, BTreeSet};

/// Checks everything that can only be checked at the end.
pub(super) fn check(world: &mut World) -> Result<(), Broken> {
    let state = world.state().into_owned();
    world.watch.whole(&state, world.now)?;
    world.server.rows.check_recovery(&state)?;
    let launched = World::launched(&state).count() as u64;
    world.watch.tally.rollouts += launched;
    for actor in &world.actors {
        world.watch.tally.installed += actor.robot.truth().totals().installed;
        only_what_was_asked_for(world, actor)?;
    }
    for actor in &world.actors {
        world.watch.tally.properties += properties_agree(&state, actor)?;
    }
    let actors = world.actors.iter();
    let actors: BTreeMap<_, _> = actors.map(|actor| (actor.robot.id(), actor)).collect();
    for rollout in World::launched(&state) {
        judged_as_a_whole(world, rollout)?;
        for (key, member) in rollout.members.iter() {
            let robot = state
                .robot(key)
                .ok_or_else(|| Broken(format!("member {} is no robot", key.0)))?;
            let actor = actors.get(robot.id.as_str()).copied();
            let actor = actor.ok_or_else(|| Broken(format!("{} is nobody", robot.id)))?;
            for target in &member.targets {
                let verdict = Verdict {
                    world,
                    actor,
                    robot,
                    rollout: rollout.id,
                    force: rollout.mechanism.force_downgrade,
                    skips: rollout.mechanism.on_version_mismatch == OnVersionMismatch::Skip,
                    target,
                };
                verdict.check().map_err(|why| {
                    Broken(format!(
                        "outcome of {} in rollout {}: {why}\n  target {target:?}\n  truth {:?}",
                        robot.id,
                        rollout.id.0,
                        actor.robot.truth().operations()
                    ))
                })?;
            }
        }
    }
    by_hand_is_recorded(&world.server, &state)?;
    replay(&world.server, &state)
}

/// E21: each manual update is a command in the history, with who typed it.
fn by_hand_is_recorded(server: &Server, state: &State) -> Result<(), Broken> {
    let mut recorded = BTreeSet::new();
    for record in &server.history {
        let (
            _,
            Input::Command {
                by,
                command: Command::ManualUpdate(wish),
            },
        ) = record.read()
        else {
            continue;
        };
        let named = by.0 == "sim" && wish.confirm == wish.robot.as_str();
        recorded.extend(match &record.reply {
            Reply::Rollout(id) if named => Some(*id),
            _ => None,
        });
    }
    let made = state.rollouts().filter(|rollout| rollout.manual);
    let made: BTreeSet<_> = made.map(|rollout| rollout.id).collect();
    if made == recorded {
        return Ok(());
    }
    Err(Broken(format!(
        "E21: manual updates {made:?}, recorded {recorded:?}"
    )))
}

/// A9, A16: a robot was asked only for operations that the engine wanted, for this very robot.
fn only_what_was_asked_for(world: &World, actor: &Actor) -> Result<(), Broken> {
    for record in actor.robot.truth().operations() {
        let asked = world.watch.asked.get(&record.operation);
        if asked.is_none_or(|asked| asked.ecu.as_str() != record.ecu) {
            return Err(Broken(format!(
                "{} was asked for {record:?}, which nobody wanted",
                actor.robot.id()
            )));
        }
    }
    Ok(())
}

/// Device-contract 1.7: a device that is connected, and has asked, has the server's properties, and no others. Returns
/// how many.
fn properties_agree(state: &State, actor: &Actor) -> Result<u64, Broken> {
    let robot = state
        .robot_key(actor.robot.id())
        .and_then(|key| state.robot(key))
        .filter(|robot| robot.ready() && actor.robot.is_connected());
    let Some(device) = robot.and_then(|robot| robot.device.as_ref()) else {
        return Ok(0);
    };
    let set: Vec<_> = device.settings.iter().map(|s| s.path.as_ref()).collect();
    let known: Vec<_> = actor
        .robot
        .consumer_properties()
        .map(|(path, _)| path)
        .collect();
    if set == known {
        return Ok(set.len() as u64);
    }
    Err(Broken(format!(
        "1.7: {} has the properties {known:?} instead of {set:?}",
        actor.robot.id()
    )))
}

/// A24 and requirements 6.1: the rollout is completed, and its outcome follows from its robots'.
fn judged_as_a_whole(world: &World, rollout: &Rollout) -> Result<(), Broken> {
    let RolloutStatus::Completed { outcome, .. } = rollout.status else {
        return Err(Broken(format!(
            "A24: rollout {} is {:?} at the end",
            rollout.id.0, rollout.status
        )));
    };
    let (mut failed, mut succeeded, mut never_told) = (false, false, false);
    for member in rollout.members.values() {
        let any = |is: fn(&Target) -> bool| member.targets.iter().any(is);
        let bad = any(|t| {
            matches!(
                t.state,
                TargetState::Failed { .. } | TargetState::RolledBack | TargetState::Expired
            )
        });
        let other = any(|t| {
            matches!(
                t.state,
                TargetState::Cancelled { .. } | TargetState::Superseded { .. }
            )
        });
        failed |= bad;
        succeeded |= !bad && !other && any(|t| matches!(t.state, TargetState::Succeeded { .. }));
        never_told |= any(|t| t.state == TargetState::Expired) && !any(|t| t.attempt > 0);
    }
    let expected = match (never_told, failed, succeeded) {
        (true, ..) => Completion::Expired,
        (false, false, _) => Completion::Success,
        (false, true, true) => Completion::Partial,
        (false, true, false) => Completion::Failure,
    };
    let ended = match outcome {
        Completion::Cancelled => was_cancelled(world, rollout.id),
        Completion::Failure => world.watch.gates.have_aborted(rollout),
        _ => false,
    };
    if outcome == expected || ended {
        return Ok(());
    }
    Err(Broken(format!(
        "6.1: rollout {} ended as {outcome:?} instead of {expected:?}",
        rollout.id.0
    )))
}

/// Whether an operator ended it.
fn was_cancelled(world: &World, id: RolloutId) -> bool {
    let mut records = world.server.history.iter();
    records.any(|record| match record.read().1 {
        Input::Command { command, .. } => command == Command::CancelRollout { rollout: id },
        _ => false,
    })
}

/// One target's outcome, with everything that is needed to judge it.
struct Verdict<'a> {
    world: &'a World,
    actor: &'a Actor,
    robot: &'a Robot,
    rollout: RolloutId,
    force: ForceDowngrade,
    skips: bool,
    target: &'a Target,
}

impl Verdict<'_> {
    /// The outcome follows from what the robot really did.
    ///
    /// Proven outcomes must agree with the truth exactly. Outcomes by the server's own patience (`is_given_up`) say
    /// nothing about the truth: the robot may have done it later, or in silence.
    fn check(&self) -> Result<(), String> {
        let ecu = &self.robot.ecus[usize::from(self.target.ecu)];
        let operation = rollcall_engine::operation_id(
            self.rollout,
            self.robot.key,
            &ecu.name,
            self.target.attempt,
        );
        let asked = self.world.watch.asked.get(&operation);
        let truth: Vec<_> = self
            .actor
            .robot
            .truth()
            .operations()
            .iter()
            .filter(|record| record.operation == operation)
            .collect();
        let installed = truth
            .iter()
            .any(|record| record.outcome == Some(RealOutcome::Installed));
        let state = self.target.state;
        // Its last attempt was over, and it waited for another one.
        let over = asked.is_some_and(|asked| asked.over.is_some());
        let nothing_under_way = over || self.target.attempt == 0 && truth.is_empty();
        if self.target.attempt > 0 && asked.is_none() {
            return Err("it has an attempt that was never asked for".to_owned());
        }
        let given_up = asked.and_then(|asked| asked.over);
        let given_up = given_up.as_ref().is_some_and(is_given_up) || is_given_up(&state);
        let unheard = given_up || self.actor.runs_again(operation);
        if installed && !unheard && !matches!(state, TargetState::Succeeded { .. }) {
            return Err("the ECU runs the image, which is not what the server says".to_owned());
        }
        match state {
            TargetState::Succeeded { how } => self.really_ran(ecu.name.as_str(), asked, how),
            TargetState::Failed { reason } => self.failed(reason, &truth, nothing_under_way),
            TargetState::Cancelled {
                reason: CancelReason::ByRobot,
            } => ensure(
                has(&truth, |outcome| outcome == RealOutcome::Canceled),
                "the robot never cancelled",
            ),
            // By the device's word, or by its silence, which says nothing about the truth; or nothing was ever sent.
            TargetState::Cancelled {
                reason: CancelReason::ByOperator,
            } => ensure(
                self.target.attempt > 0 || truth.is_empty(),
                "it was asked for after all",
            ),
            TargetState::Cancelled {
                reason: CancelReason::RolloutCancelled | CancelReason::RolloutAborted,
            } => Ok(()),
            TargetState::Cancelled {
                reason: CancelReason::RobotRemoved,
            } => ensure(self.robot.removed.is_some(), "the robot was never removed"),
            TargetState::Cancelled {
                reason: CancelReason::EarlierEcuFailed,
            }
            | TargetState::Superseded { .. } => {
                ensure(nothing_under_way, "it was asked for after all")
            }
            TargetState::RolledBack => self.rolled_back(&truth),
            TargetState::Skipped {
                reason: SkipReason::VersionMismatch,
            } => ensure(
                nothing_under_way && self.skips,
                "E17: the rollout says that such ECUs fail",
            ),
            TargetState::Skipped {
                reason: SkipReason::OtherModel,
            } => ensure(
                nothing_under_way && self.was_accepted(),
                "it passed the launch, and nobody has accepted another model",
            ),
            TargetState::Expired => Ok(()),
            other => Err(format!("{other:?} is not final")),
        }
    }

    /// The ECU really ran the image at some moment before the verdict, and after the request if there was one.
    fn really_ran(&self, ecu: &str, asked: Option<&Asked>, how: SuccessKind) -> Result<(), String> {
        let verdict = self.target.since.0;
        let image = self
            .world
            .server
            .state
            .as_ref()
            .and_then(|state| state.image(self.target.image));
        let wanted = image
            .map(|image| image.reference.to_string())
            .unwrap_or_default();
        // Reports travel: what counts is what ran when the report left.
        let travel = 2 * self.world.hazards.latency + 15_000;
        let from = match how {
            SuccessKind::Installed => asked.map_or(0, |asked| asked.first).saturating_sub(travel),
            SuccessKind::AlreadyCurrent => 0,
        };
        let ran = self.images_of(ecu);
        // What an Edgehog device calls its image is its maker's business: only the version counts (design 5.1).
        let edgehog = self.actor.robot.protocol() == Protocol::Edgehog;
        let counts = |image: &str| match image.split_once('@') {
            Some((_, version)) if edgehog => version.to_owned(),
            _ => image.to_owned(),
        };
        let during = ran.iter().enumerate().any(|(index, (since, image))| {
            let until = ran.get(index + 1).map_or(u64::MAX, |(since, _)| *since);
            counts(image) == counts(&wanted) && *since <= verdict && until >= from
        });
        ensure(
            during,
            &format!("{wanted} never ran there in time: {ran:?}"),
        )
    }

    /// What ran on the ECU, and since when.
    fn images_of(&self, ecu: &str) -> Vec<(u64, String)> {
        let hardware = self.actor.hardware(ecu).unwrap_or_default();
        let mut images = vec![(0, format!("{hardware}-os@1.0.0"))];
        for record in self.actor.robot.truth().operations() {
            let (Some(RealOutcome::Installed), Some(at)) = (record.outcome, record.ended_ms) else {
                continue;
            };
            let at = self.world.epoch + at;
            if let Some(asked) = self
                .world
                .watch
                .asked
                .get(&record.operation)
                .filter(|_| record.ecu == ecu)
            {
                images.push((at, asked.image.reference.to_string()));
            }
        }
        images
    }

    fn failed(
        &self,
        reason: FailureReason,
        truth: &[&OperationRecord],
        nothing_under_way: bool,
    ) -> Result<(), String> {
        let said = |code| {
            has(truth, |outcome| {
                outcome == RealOutcome::Failed(code) || outcome == RealOutcome::Rejected(code)
            })
        };
        let code = match reason {
            FailureReason::RequestTimeout
            | FailureReason::InProgressTimeout
            | FailureReason::NotConfirmed
            | FailureReason::Interrupted => return Ok(()),
            FailureReason::Offline => {
                return ensure(nothing_under_way, "X12: it was told, so it was there");
            }
            FailureReason::MissingVersion => {
                return ensure(nothing_under_way, "it was asked for without a version");
            }
            FailureReason::InvalidVersion
            | FailureReason::DowngradeNotAllowed
            | FailureReason::AmbiguousVersionOrder
            | FailureReason::VersionRequirementNotMet => {
                ensure(nothing_under_way, "E15: it was asked for all the same")?;
                return ensure(
                    self.force != ForceDowngrade::All,
                    "X5: the rollout overrides this",
                );
            }
            FailureReason::IncompatibleHardware => {
                return ensure(
                    self.target.attempt == 0 && self.was_accepted(),
                    "it passed the launch, and nobody has accepted another board",
                );
            }
            FailureReason::OtherImageReported => {
                return ensure(
                    has(truth, |outcome| outcome == RealOutcome::Pretended),
                    "nobody lied",
                );
            }
            FailureReason::InvalidRequest => Code::InvalidRequest,
            FailureReason::UpdateAlreadyInProgress => Code::UpdateAlreadyInProgress,
            FailureReason::NetworkError => Code::NetworkError,
            FailureReason::IoError => Code::IoError,
            FailureReason::InternalError => Code::InternalError,
            FailureReason::InvalidBaseImage => Code::InvalidBaseImage,
            FailureReason::RefusedHardware => Code::IncompatibleHardware,
            FailureReason::UnexpectedVersion => Code::UnexpectedVersion,
            FailureReason::DigestMismatch => Code::DigestMismatch,
            FailureReason::Refused => Code::Refused,
            FailureReason::Busy => Code::Busy,
            FailureReason::StorageFull => Code::StorageFull,
            FailureReason::Unspecified => return Err("every failure here has a code".to_owned()),
        };
        ensure(said(code), "the robot never failed so")
    }

    /// Whether an operator has taken what the robot declares for its registration.
    fn was_accepted(&self) -> bool {
        self.world.server.history.iter().any(|record| {
            let (_, Input::Command { command, .. }) = record.read() else {
                return false;
            };
            matches!(command, Command::AcceptDeclared { robot } if robot == self.robot.id)
        })
    }

    /// By the robot's own word, or by evidence of a new process after the request.
    fn rolled_back(&self, truth: &[&OperationRecord]) -> Result<(), String> {
        let word = has(truth, |outcome| outcome == RealOutcome::RolledBack);
        let evidence = self.actor.robot.protocol() == Protocol::Edgehog
            || self.actor.robot.boot() > self.target.boot;
        ensure(word || evidence, "neither the robot nor a restart said so")
    }
}

fn has(truth: &[&OperationRecord], outcome: impl Fn(RealOutcome) -> bool) -> bool {
    truth
        .iter()
        .any(|record| record.outcome.is_some_and(&outcome))
}

fn ensure(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(otherwise.to_owned())
    }
}

/// Design 2: the recorded inputs, read back from their stored bytes, lead to the same answers, to the same rows byte for
/// byte, and to the same derived parts.
fn replay(server: &Server, expected: &State) -> Result<(), Broken> {
    let mut state = State::default();
    let mut checkpoints = server.checkpoints.iter().peekable();
    for (number, record) in server.history.iter().enumerate() {
        if let Some((_, rows)) = checkpoints.next_if(|(at, _)| *at == number) {
            Rows::of(&state).check_same(&format!("replay of {number} records"), rows)?;
        }
        let (at, input) = record.read();
        let outcome = state.apply(at, input.clone());
        if outcome.reply != Ok(record.reply) {
            return Err(Broken(format!(
                "replay: {input:?} was answered {:?}, now {:?}",
                record.reply, outcome.reply
            )));
        }
    }
    Rows::of(&state).check_same("replay", &Rows::of(expected))?;
    for (found, expected) in pairs("robots", state.robots(None), expected.robots(None))? {
        same("replay: robot", &settled(found), &settled(expected))?;
    }
    for (found, expected) in pairs("groups", state.groups(), expected.groups())? {
        same("replay: group", found, expected)?;
    }
    for (found, expected) in pairs("rollouts", state.rollouts(), expected.rollouts())? {
        same("replay: rollout", &unready(found), &unready(expected))?;
    }
    Ok(())
}

/// A robot without what refused and repeated inputs may move, the time of its last timer; and without what a start makes
/// void.
fn settled(robot: &Robot) -> Robot {
    let link = Link {
        since: Timestamp(0),
        ..robot.link.clone()
    };
    Robot {
        link,
        ..durable_robot(robot)
    }
}
