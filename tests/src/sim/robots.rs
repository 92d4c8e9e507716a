//! The robots of a world, and what they must never see.

use super::Broken;
use super::network::LinkId;
use super::scenario::RobotPlan;
use super::server::{Publish, Server};
use super::watch::{Asked, is_given_up};
use device_sim::model::{Protocol, Robot, Violation};
use rollcall_engine::{State, TargetState};
use rollcall_proto::native::Ack;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A robot with what the simulation knows of it.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) robot: Robot,
    pub(super) link: Option<LinkId>,
    /// The connection that the broker accepted last.
    pub(super) accepted: Option<LinkId>,
    /// OTAEvents by ticket, for the check that acknowledged means durable.
    pub(super) told: BTreeMap<u64, (Uuid, Publish)>,
    /// Operations of which an event was acknowledged.
    heard: BTreeSet<Uuid>,
    /// OTAEvents by boot and counter, for the same check.
    pub(super) numbered: BTreeMap<(u64, u64), Publish>,
    /// What the ECUs really are.
    boards: BTreeMap<String, String>,
    /// Violations that were looked at.
    seen: usize,
}

impl Actor {
    pub(super) fn new(plan: &RobotPlan) -> Self {
        let robot = Robot::new(plan.config.clone(), plan.profile.clone());
        let boards = plan
            .config
            .ecus
            .iter()
            .map(|ecu| (ecu.name.clone(), ecu.hardware_id.clone()));
        let boards = boards.collect();
        Self {
            robot,
            link: None,
            accepted: None,
            told: BTreeMap::new(),
            heard: BTreeSet::new(),
            numbered: BTreeMap::new(),
            boards,
            seen: 0,
        }
    }

    /// When the robot, whose time began at `epoch`, wants to be told what time it is.
    pub(super) fn timeout(&self, epoch: u64) -> Option<u64> {
        self.robot.poll_timeout().map(|at| epoch + at)
    }

    pub(super) fn hardware(&self, ecu: &str) -> Option<&str> {
        self.boards.get(ecu).map(String::as_str)
    }

    /// Design 2: what was acknowledged to the robot is in the durable history, or was refused.
    pub(super) fn check_settled(&mut self, ticket: u64, server: &mut Server) -> Result<(), Broken> {
        let Some((operation, event)) = self.told.remove(&ticket) else {
            return Ok(());
        };
        self.heard.insert(operation);
        if server.answers_for(&event) {
            return Ok(());
        }
        Err(Broken(format!(
            "design 2: {} was acknowledged and is not durable",
            event.0
        )))
    }

    /// The same for the application's acknowledgement, which covers everything up to a number.
    pub(super) fn check_ack(&mut self, ack: Ack, server: &mut Server) -> Result<(), Broken> {
        let later = self.numbered.split_off(&(ack.boot, ack.counter + 1));
        let covered = std::mem::replace(&mut self.numbered, later);
        for (number, event) in covered {
            if number.0 == ack.boot && !server.answers_for(&event) {
                return Err(Broken(format!(
                    "design 2: Ack {ack:?} covers {number:?}, which is not durable"
                )));
            }
        }
        Ok(())
    }

    /// Whether an Edgehog device was sent a repetition that crossed its final event on the way, and so runs a finished
    /// operation again. The server cannot prevent it and gives it no other chance: it repeats before the first event only.
    pub(super) fn runs_again(&self, operation: Uuid) -> bool {
        let runs = self.robot.truth().operations().iter();
        let runs = runs.filter(|record| record.operation == operation);
        self.robot.protocol() == Protocol::Edgehog && runs.count() > 1
    }

    pub(super) fn has_new_violations(&self) -> bool {
        self.robot.truth().violations().len() > self.seen
    }

    /// Judges what the robot noticed since the last look. Returns how many excusable encounters there were.
    pub(super) fn check_violations(
        &mut self,
        state: &State,
        asked: &BTreeMap<Uuid, Asked>,
    ) -> Result<u64, Broken> {
        let mut excused = 0;
        for violation in &self.robot.truth().violations()[self.seen..] {
            let excusable = match violation {
                Violation::TwoOperationsAtOnce { running, .. } => {
                    let found = asked
                        .get(running)
                        .and_then(|asked| target_state(state, asked));
                    self.runs_again(*running) || found.is_some_and(|found| is_given_up(&found))
                }
                // A device whose every event was lost is asked again, and cannot know that this is right.
                Violation::RequestAfterCompletion { operation } => {
                    self.robot.protocol() == Protocol::Edgehog && !self.heard.contains(operation)
                }
                Violation::IncompatibleHardware { .. }
                | Violation::ChangedRequest { .. }
                | Violation::UnknownEcu { .. }
                | Violation::MalformedControl { .. }
                | Violation::TooLarge { .. }
                | Violation::Malformed { .. } => false,
            };
            if !excusable {
                return Err(Broken(format!("{} saw {violation:?}", self.robot.id())));
            }
            excused += 1;
        }
        self.seen = self.robot.truth().violations().len();
        Ok(excused)
    }
}

/// The state of the target that an operation is or was an attempt on; final if a later attempt is under way.
pub(super) fn target_state(state: &State, asked: &Asked) -> Option<TargetState> {
    if asked.over.is_some() {
        return asked.over;
    }
    let member = state.rollout(asked.rollout)?.members.get(&asked.robot)?;
    let ecus = &state.robot(asked.robot)?.ecus;
    let target = member
        .targets
        .iter()
        .find(|target| ecus[usize::from(target.ecu)].name == asked.ecu)?;
    (target.attempt >= asked.attempt).then_some(target.state)
}

/// Design 5.1: the cap as the robots see it, and one operation at a time, with what was given up as the only excess.
///
/// Returns the number of robots that still work on something that the server has given up.
pub(super) fn check_caps(
    actors: &[Actor],
    state: &State,
    asked: &BTreeMap<Uuid, Asked>,
) -> Result<u64, Broken> {
    let mut at_work: BTreeMap<_, u32> = BTreeMap::new();
    let mut excess = 0;
    for actor in actors {
        let Some(operation) = actor.robot.running() else {
            continue;
        };
        let known = asked
            .get(&operation)
            .and_then(|asked| Some((asked.rollout, target_state(state, asked)?)));
        match known {
            Some((_, found)) if is_given_up(&found) || actor.runs_again(operation) => excess += 1,
            Some((rollout, found)) if found != TargetState::Pending && !found.is_final() => {
                *at_work.entry(rollout).or_default() += 1;
            }
            other => {
                let id = actor.robot.id();
                return Err(Broken(format!(
                    "{id} works on {operation}, of which the server thinks {other:?}"
                )));
            }
        }
    }
    for (id, count) in at_work {
        // Where the cap was lowered, those that had begun go on.
        let cap = state.rollout(id).map_or(0, |rollout| {
            let begun = rollout.counts.in_progress;
            rollout.mechanism.max_in_progress.max(begun)
        });
        if count > cap {
            return Err(Broken(format!(
                "cap: {count} robots work on rollout {}, {cap} allowed",
                id.0
            )));
        }
    }
    Ok(excess)
}
