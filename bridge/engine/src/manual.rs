//! The escape hatch: one robot, one ECU, one image, at once (E19 to E21).
//!
//! It is a rollout of one robot that passes the model check and every rule for versions (X8). Nothing passes the hardware
//! id: not here, and not at dispatch. A robot with an operation under way is waited for (`busy`), and what other rollouts
//! have not yet sent to the ECU is superseded (X20).

use crate::control::INSTALLING;
use crate::input::{Actor, ManualUpdate};
use crate::inventory::{Hold, Image, Protocol, Robot, RobotKey};
use crate::mechanism::{ForceDowngrade, Mechanism, OfflinePolicy};
use crate::names::{EcuName, Model, RolloutName};
use crate::outcome::{Reply, Row};
use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::robot_map::RobotMap;
use crate::rollout::{RolloutId, RolloutSpec, TargetSelection};
use crate::state::{Changes, State};
use crate::target::{SuccessKind, TargetState};
use crate::time::Millis;

/// X12: somebody waits for a manual update, so a robot that is gone for so long fails it (DEP_E151). In milliseconds.
pub const MANUAL_OFFLINE_GRACE: Millis = 5 * 60_000;

/// Of a robot's newest rollouts, how many are searched for the one that brought what it runs.
const REMEMBERED_ROLLOUTS: usize = 32;

impl State {
    pub(crate) fn manual_update(
        &mut self,
        by: &Actor,
        wish: ManualUpdate,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let id = &wish.robot;
        let unknown = || Refusal::UnknownRobot { id: id.clone() };
        let key = self.robot_key(id.as_str()).ok_or_else(unknown)?;
        let robot = self.robots.get(&key).ok_or_else(unknown)?;
        let index = named_ecu(robot, wish.ecu.as_ref())?;
        let hardware_id = robot.ecus[usize::from(index)].hardware_id.clone();
        let mechanism = Mechanism {
            max_in_progress: 1,
            force_downgrade: ForceDowngrade::All,
            offline: wish.offline.unwrap_or(OfflinePolicy::Fail {
                grace: MANUAL_OFFLINE_GRACE,
            }),
            deadline: wish.deadline.unwrap_or(Mechanism::default().deadline),
            ..Mechanism::default()
        };
        let name = format!("manual update of {id}");
        let spec = RolloutSpec {
            name: RolloutName::new(&name).map_err(|_| Refusal::TooLong {
                what: "the robot's id",
                max: 64,
            })?,
            target: TargetSelection::Robots(vec![id.clone()]),
            images: vec![(hardware_id, wish.image.clone())],
            mechanism,
        };
        let images = self.check_spec(&spec)?;
        // Last, so that only a wish that can be carried out is confirmed.
        if wish.confirm != id.as_str() {
            return Err(Refusal::NotTyped { id: id.clone() });
        }
        let rollout = self.add_rollout(by, spec, images, changes);
        self.launch_by_hand(rollout, key, index, changes);
        Ok(Reply::Rollout(rollout))
    }

    /// Only the ECU that was named, though others may share its hardware id.
    fn launch_by_hand(&mut self, id: RolloutId, key: RobotKey, index: u8, changes: &mut Changes) {
        let Some(rollout) = self.rollouts.get_mut(&id) else {
            return;
        };
        rollout.manual = true;
        let Some(robot) = self.robots.get(&key) else {
            return;
        };
        let Some(rollout) = self.rollouts.get(&id) else {
            return;
        };
        let mut planned = self.plan_robot(robot, rollout.rules());
        planned.ecus.retain(|ecu| ecu.ecu == index);
        let plan = Plan {
            robots: vec![planned],
        };
        self.launch_plan(id, &plan, &RobotMap::new(), changes);
    }

    /// E20: what a manual update installed says which product the robot is now. Of an Edgehog device its own part number
    /// says so.
    pub(crate) fn take_model(
        &mut self,
        id: RolloutId,
        key: RobotKey,
        index: usize,
        changes: &mut Changes,
    ) {
        let Some(rollout) = self.rollouts.get(&id).filter(|rollout| rollout.manual) else {
            return;
        };
        let target = rollout.members.get(&key);
        let target = target.and_then(|member| member.targets.get(index));
        let Some((image, ecu)) = target.and_then(|t| Some((self.images.get(&t.image)?, t.ecu)))
        else {
            return;
        };
        let Some(model) = image.model.clone() else {
            return;
        };
        let Some(robot) = self.robots.get_mut(&key) else {
            return;
        };
        let native = robot.protocol != Some(Protocol::Edgehog);
        let by_part_number = robot.by_part_number;
        let Some(ecu) = robot.ecus.get_mut(usize::from(ecu)) else {
            return;
        };
        let said = matches!(&ecu.hold, Some(Hold::DeclaredAs { hardware_id, .. }) if hardware_id.as_str() == model.as_str());
        if said && !native && !by_part_number {
            // It said so before it was known what brought it there.
            ecu.hold = None;
        } else if !native || !ecu.primary {
            // The product is what its primary ECU makes of it.
            return;
        }
        if robot.model.as_ref() != Some(&model) {
            robot.model = Some(model);
            changes.touch(Row::Robot(key));
        }
    }

    /// Whether the newest image that an operation wrote to the device came by hand and is for `model`: then the device
    /// may call itself that, and nobody is surprised.
    pub(crate) fn made_into(&self, robot: &Robot, model: &Model) -> bool {
        let newest = robot.memberships.iter().rev().take(REMEMBERED_ROLLOUTS);
        let mut written = newest.filter_map(|id| {
            let rollout = self.rollouts.get(id)?;
            let mut targets = rollout.members.get(&robot.key)?.targets.iter();
            let target = targets.find(|target| writes(target.state))?;
            Some((rollout.manual, self.images.get(&target.image)?))
        });
        let for_model = |image: &Image| image.model.as_ref() == Some(model);
        written
            .next()
            .is_some_and(|(manual, image)| manual && for_model(image))
    }
}

const fn writes(state: TargetState) -> bool {
    let installed = matches!(
        state,
        TargetState::Succeeded {
            how: SuccessKind::Installed
        }
    );
    installed || state.is_active() && state.rank() >= INSTALLING
}

/// The ECU that is meant: the one that was named, or the only one.
fn named_ecu(robot: &Robot, name: Option<&EcuName>) -> Result<u8, Refusal> {
    let ecus = || robot.ecus.iter().map(|ecu| ecu.name.clone()).collect();
    let index = match name {
        Some(name) => robot.ecu_index(name.as_str()),
        None if robot.ecus.len() == 1 => Some(0),
        None => None,
    };
    let found = index.and_then(|index| u8::try_from(index).ok());
    found.ok_or_else(|| match name {
        _ if robot.ecus.is_empty() => Refusal::NoEcuYet {
            id: robot.id.clone(),
        },
        Some(name) => Refusal::NoSuchEcu {
            id: robot.id.clone(),
            ecu: name.clone(),
            ecus: ecus(),
        },
        None => Refusal::SeveralEcus {
            id: robot.id.clone(),
            ecus: ecus(),
        },
    })
}
