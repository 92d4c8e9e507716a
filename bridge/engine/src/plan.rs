//! Planning: what a rollout would do, as a value. The preview shows the [`Plan`] that a launch carries out, with a
//! [`PlanReport`] of what it would meet, so they cannot disagree. What a plan says of an ECU is the [`Check`] that dispatch and
//! `why` ask again.

use crate::check::{Check, Rules, suits};
use crate::inventory::{ImageKey, ImageRef, Robot, RobotKey};
use crate::mechanism::{Defaults, Mechanism, PhaseSize};
use crate::names::HardwareId;
use crate::refusal::Refusal;
use crate::robot_map::RobotMap;
use crate::rollout::{Rollout, RolloutId, RolloutSpec, TargetSelection};
use crate::state::State;
use crate::target::SkipReason;
use crate::windows::ZoneWindows;
use std::collections::{BTreeMap, BTreeSet};

/// What a rollout would do to each robot that its target names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The robots, in the order of registration.
    pub robots: Vec<PlannedRobot>,
}

/// One robot in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRobot {
    /// Which.
    pub robot: RobotKey,
    /// Its ECUs that get an image, in the order of installation.
    pub ecus: Vec<PlannedEcu>,
    /// Why it gets nothing, if so.
    pub skipped: Option<SkipReason>,
}

/// One ECU in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedEcu {
    /// Index into the robot's ECUs.
    pub ecu: u8,
    /// What it would get.
    pub image: ImageKey,
    /// The version that it reports, if it does.
    pub from: Option<String>,
    /// What would happen if it were sent now.
    pub at_dispatch: Check,
}

/// Another launched rollout that has open targets on the same ECUs (X20).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The older rollout.
    pub rollout: RolloutId,
    /// ECUs that would be superseded: nothing was sent to them yet.
    pub superseded: usize,
    /// ECUs that must finish first.
    pub in_progress: usize,
}

/// What stands beside a plan: whom it would meet, and when.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanReport {
    /// Which rollouts it would meet.
    pub conflicts: Vec<Conflict>,
    /// When its robots may be told, by time zone; empty without windows.
    pub windows: Vec<ZoneWindows>,
    /// Robots of each phase, as if it were created and launched next; empty without phases.
    pub phases: Vec<u32>,
}

/// How a plan differs from an earlier one (X4).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drift {
    /// Robots that are new.
    pub joined: Vec<RobotKey>,
    /// Robots that are gone.
    pub left: Vec<RobotKey>,
    /// Robots for which something else would happen, or from another version.
    pub changed: Vec<RobotKey>,
}

impl Drift {
    /// Whether nothing differs.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.left.is_empty() && self.changed.is_empty()
    }
}

impl Plan {
    /// Robots that get at least one image.
    pub fn affected(&self) -> impl Iterator<Item = &PlannedRobot> {
        self.robots.iter().filter(|robot| robot.skipped.is_none())
    }

    pub(crate) fn fingerprints(&self) -> RobotMap<u64> {
        self.robots
            .iter()
            .map(|robot| (robot.robot, robot.fingerprint()))
            .collect()
    }
}

impl PlannedRobot {
    /// FNV-1a over what would happen to the robot; enough to see that it has changed.
    fn fingerprint(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut eat = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for ecu in &self.ecus {
            eat(&[ecu.ecu]);
            eat(&ecu.image.0.to_be_bytes());
            eat(ecu.from.as_deref().unwrap_or("\0").as_bytes());
            // A build id can change what happens without another version.
            eat(&[u8::from(matches!(ecu.at_dispatch, Check::Fail { .. }))]);
        }
        eat(&[match self.skipped {
            None => 0xff,
            Some(SkipReason::NoCompatibleEcu) => 0xfe,
            Some(SkipReason::OtherModel) => 0xfd,
            Some(SkipReason::NoPartNumber) => 0xfc,
            Some(SkipReason::VersionMismatch) => 0xfb,
            Some(SkipReason::LedgerWithdrawn) => 0xfa,
            Some(SkipReason::LedgerVersionUnknown) => 0xf9,
            Some(SkipReason::LedgerVersionNotApplicable) => 0xf8,
        }]);
        hash
    }
}

impl Rollout {
    /// How `plan`, made now, differs from the one that was shown.
    pub(crate) fn drift(&self, plan: &Plan) -> Drift {
        let (now, then) = (plan.fingerprints(), &self.preview);
        Drift {
            joined: now
                .keys()
                .filter(|robot| !then.contains_key(robot))
                .collect(),
            left: then
                .keys()
                .filter(|robot| !now.contains_key(robot))
                .collect(),
            changed: now
                .iter()
                .filter(|(robot, print)| then.get(robot).is_some_and(|then| then != *print))
                .map(|(robot, _)| robot)
                .collect(),
        }
    }
}

impl RolloutSpec {
    /// What it asks for, with its images looked up.
    pub(crate) const fn rules<'a>(
        &'a self,
        images: &'a BTreeMap<HardwareId, ImageKey>,
    ) -> Rules<'a> {
        Rules {
            images,
            mechanism: &self.mechanism,
            manual: false,
        }
    }
}

impl State {
    /// What the rollout `spec` would do now. Nothing is stored (A12 to A14).
    ///
    /// # Errors
    /// Refuses what creation would refuse, except that it may affect nobody.
    pub fn preview(&self, spec: &RolloutSpec) -> Result<(Plan, PlanReport), Refusal> {
        let images = self.check_spec(spec)?;
        let plan = self.plan(&spec.target, spec.rules(&images))?;
        self.check_windows(&spec.mechanism, &plan)?;
        let report = PlanReport {
            conflicts: self.conflicts(&plan),
            windows: self.windows_of(&spec.mechanism, &plan),
            phases: self.sizes_of_phases(&spec.mechanism, &plan)?,
        };
        Ok((plan, report))
    }

    fn sizes_of_phases(&self, mechanism: &Mechanism, plan: &Plan) -> Result<Vec<u32>, Refusal> {
        let next = RolloutId(self.counters.rollouts.saturating_add(1));
        let assigned = self.phases_of(next, &mechanism.phases, plan)?;
        let mut sizes = vec![0; mechanism.phases.len()];
        for phase in assigned.values() {
            if let Some(size) = sizes.get_mut(usize::from(*phase)) {
                *size += 1;
            }
        }
        Ok(sizes)
    }

    /// What rollout `id` would do now to at most `limit` robots after the robot `after`: a page of its plan.
    ///
    /// # Errors
    /// Refuses an unknown rollout and a target group that is gone.
    pub fn plan_page(
        &self,
        id: RolloutId,
        after: Option<RobotKey>,
        limit: usize,
    ) -> Result<Plan, Refusal> {
        let rollout = self
            .rollouts
            .get(&id)
            .ok_or(Refusal::UnknownRollout { id })?;
        let robots = self.selected(&rollout.target, after)?.take(limit);
        Ok(Plan {
            robots: robots
                .map(|robot| self.plan_robot(robot, rollout.rules()))
                .collect(),
        })
    }

    /// How the fleet has drifted from the plan that was shown when rollout `id` was created or edited.
    ///
    /// # Errors
    /// Refuses an unknown rollout and a target group that is gone.
    pub fn drift(&self, id: RolloutId) -> Result<Drift, Refusal> {
        let rollout = self
            .rollouts
            .get(&id)
            .ok_or(Refusal::UnknownRollout { id })?;
        Ok(rollout.drift(&self.plan(&rollout.target, rollout.rules())?))
    }

    /// Checks everything about `spec` but whom it affects.
    pub(crate) fn check_spec(
        &self,
        spec: &RolloutSpec,
    ) -> Result<BTreeMap<HardwareId, ImageKey>, Refusal> {
        self.check_mechanism(&spec.mechanism)?;
        let images = self.check_images(&spec.images)?;
        // Only whether the target is there; whom it names is for the plan.
        drop(self.selected(&spec.target, None)?);
        Ok(images)
    }

    pub(crate) fn check_mechanism(&self, mechanism: &Mechanism) -> Result<(), Refusal> {
        mechanism.check()?;
        self.check_schedule(mechanism)?;
        self.check_groups_of_phases(mechanism)
    }

    fn check_schedule(&self, mechanism: &Mechanism) -> Result<(), Refusal> {
        let schedule = &mechanism.schedule;
        let start = schedule.start.unwrap_or(self.now);
        let in_the_past = |what| Err(Refusal::InThePast { what });
        if start < self.now {
            return in_the_past("start");
        }
        if schedule.end.is_some_and(|end| end <= start) {
            return in_the_past("end");
        }
        let farthest = self.now.after(Defaults::MAX_SPAN);
        if start > farthest || schedule.end.is_some_and(|end| end > farthest) {
            return Err(Refusal::TooFarAhead);
        }
        Ok(())
    }

    fn check_groups_of_phases(&self, mechanism: &Mechanism) -> Result<(), Refusal> {
        let groups = mechanism
            .phases
            .iter()
            .filter_map(|phase| match &phase.size {
                PhaseSize::Group(name) => Some(name),
                PhaseSize::Percentage(_) | PhaseSize::Robots(_) | PhaseSize::Rest => None,
            });
        for name in groups {
            self.group(name.as_str())
                .ok_or_else(|| Refusal::UnknownGroup { name: name.clone() })?;
        }
        Ok(())
    }

    fn check_images(
        &self,
        map: &[(HardwareId, ImageRef)],
    ) -> Result<BTreeMap<HardwareId, ImageKey>, Refusal> {
        let mut images = BTreeMap::new();
        for (hardware_id, reference) in map {
            let key = self
                .image_key(reference)
                .ok_or_else(|| Refusal::UnknownImage {
                    image: reference.clone(),
                })?;
            let image = self.images.get(&key);
            if image.is_some_and(|image| self.is_withdrawn(image)) {
                return Err(Refusal::ImageWithdrawn {
                    image: reference.clone(),
                });
            }
            let runs_on = image.map(|image| &image.hardware_ids);
            if !runs_on.is_some_and(|ids| ids.contains(hardware_id)) {
                return Err(Refusal::IncompatibleImage {
                    image: reference.clone(),
                    hardware_id: hardware_id.clone(),
                    runs_on: runs_on.into_iter().flatten().cloned().collect(),
                });
            }
            if images.insert(hardware_id.clone(), key).is_some() {
                return Err(Refusal::HardwareMappedTwice {
                    hardware_id: hardware_id.clone(),
                });
            }
        }
        if images.is_empty() {
            Err(Refusal::NoImages)
        } else {
            Ok(images)
        }
    }

    /// The robots that `target` names, after the robot `after`, in the order of registration.
    fn selected<'a>(
        &'a self,
        target: &'a TargetSelection,
        after: Option<RobotKey>,
    ) -> Result<Box<dyn Iterator<Item = &'a Robot> + 'a>, Refusal> {
        match target {
            TargetSelection::Group(name) => {
                let group = self
                    .group(name.as_str())
                    .ok_or_else(|| Refusal::UnknownGroup { name: name.clone() })?;
                Ok(self.members(group, after))
            }
            TargetSelection::Selector(selector) => Ok(Box::new(self.selected_by(selector, after))),
            TargetSelection::Hardware(id) => {
                let has = |robot: &&Robot| robot.ecus.iter().any(|ecu| ecu.hardware_id == *id);
                let robots = self.robots(after);
                Ok(Box::new(
                    robots.filter(|robot| robot.removed.is_none()).filter(has),
                ))
            }
            TargetSelection::Release(_) => Err(Refusal::TargetIsRelease),
            TargetSelection::Robots(ids) if ids.is_empty() => Err(Refusal::NoRobots),
            TargetSelection::Robots(ids) => {
                let keys = ids
                    .iter()
                    .map(|id| {
                        self.robot_key(id.as_str())
                            .ok_or_else(|| Refusal::UnknownRobot { id: id.clone() })
                    })
                    .collect::<Result<BTreeSet<_>, _>>()?;
                let keys = keys.into_iter().filter(move |key| after < Some(*key));
                Ok(Box::new(keys.filter_map(|key| self.robots.get(&key))))
            }
        }
    }

    pub(crate) fn plan(&self, target: &TargetSelection, rules: Rules<'_>) -> Result<Plan, Refusal> {
        let robots = self.selected(target, None)?;
        Ok(Plan {
            robots: robots.map(|robot| self.plan_robot(robot, rules)).collect(),
        })
    }

    pub(crate) fn plan_robot(&self, robot: &Robot, rules: Rules<'_>) -> PlannedRobot {
        let mut ecus = Vec::new();
        let mut skipped = if robot.by_part_number && robot.ecus.is_empty() {
            SkipReason::NoPartNumber
        } else {
            SkipReason::NoCompatibleEcu
        };
        for (index, ecu) in (0_u8..).zip(&robot.ecus) {
            let Some(image) = (rules.images)
                .get(&ecu.hardware_id)
                .and_then(|key| self.images.get(key))
            else {
                continue;
            };
            if !rules.manual && !suits(image, robot) {
                skipped = SkipReason::OtherModel;
                continue;
            }
            let reported = ecu.reported.as_ref();
            ecus.push(PlannedEcu {
                ecu: index,
                image: image.key,
                from: reported.map(|reported| reported.version.clone()),
                at_dispatch: self.check(rules, image, robot, index),
            });
        }
        let skipped = ecus.is_empty().then_some(skipped);
        PlannedRobot {
            robot: robot.key,
            ecus,
            skipped,
        }
    }

    pub(crate) fn conflicts(&self, plan: &Plan) -> Vec<Conflict> {
        let mut conflicts: BTreeMap<RolloutId, Conflict> = BTreeMap::new();
        for planned in &plan.robots {
            let Some(robot) = self.robots.get(&planned.robot) else {
                continue;
            };
            for id in &robot.open {
                let Some(member) = self
                    .rollouts
                    .get(id)
                    .and_then(|r| r.members.get(&robot.key))
                else {
                    continue;
                };
                for target in &member.targets {
                    if target.state.is_final()
                        || !planned.ecus.iter().any(|ecu| ecu.ecu == target.ecu)
                    {
                        continue;
                    }
                    let conflict = conflicts.entry(*id).or_insert(Conflict {
                        rollout: *id,
                        superseded: 0,
                        in_progress: 0,
                    });
                    if target.state.is_active() {
                        conflict.in_progress += 1;
                    } else {
                        conflict.superseded += 1;
                    }
                }
            }
        }
        conflicts.into_values().collect()
    }
}
