//! An operator takes what a robot declares for its registration.
//!
//! Only hardware ids change, and an Edgehog device's model; of one that was registered with a hardware id the model alone,
//! since its part number says nothing of the board. Targets name ECUs by their place, which stays. What was
//! planned for the former board is not sent to the new one, because dispatch compares hardware ids at that moment (A10).

use crate::inventory::{Ecu, Hold, Protocol};
use crate::names::{HardwareId, Model, RobotId};
use crate::outcome::{Reply, Row};
use crate::refusal::Refusal;
use crate::state::{Changes, State};

impl State {
    pub(crate) fn accept_declared(
        &mut self,
        id: &RobotId,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let key = self
            .robot_key(id.as_str())
            .ok_or_else(|| Refusal::UnknownRobot { id: id.clone() })?;
        let robot = self.robots.get_mut(&key).ok_or(Refusal::RobotGone)?;
        if let Some((rollout, _)) = robot.active {
            return Err(Refusal::OperationUnderWay {
                id: id.clone(),
                rollout,
            });
        }
        let held: Vec<_> = robot.ecus.iter().filter(|ecu| ecu.hold.is_some()).collect();
        if held.is_empty() {
            return Err(Refusal::NothingDeclared { id: id.clone() });
        }
        // All or nothing: a robot that is half what it says would be nobody's intention.
        for ecu in held {
            acceptable(ecu).map_err(|why| Refusal::NotAcceptable {
                id: id.clone(),
                ecu: ecu.name.clone(),
                why,
            })?;
        }
        let edgehog = robot.protocol == Some(Protocol::Edgehog);
        for ecu in &mut robot.ecus {
            if let Some(Hold::DeclaredAs { hardware_id, .. }) = ecu.hold.take() {
                if edgehog {
                    robot.model = Model::new(hardware_id.as_str()).ok();
                }
                // What registration says of the board, a part number does not change.
                if !edgehog || robot.by_part_number {
                    ecu.hardware_id = hardware_id;
                }
            }
        }
        changes.touch(Row::Robot(key));
        self.refresh_ready(key);
        self.offer(key, changes);
        Ok(Reply::Robot(key))
    }
}

/// What the ECU would become; an error says why it cannot.
fn acceptable(ecu: &Ecu) -> Result<Option<&HardwareId>, &'static str> {
    match &ecu.hold {
        None => Ok(None),
        Some(Hold::DeclaredAs {
            hardware_id,
            primary,
        }) if *primary == ecu.primary => Ok(Some(hardware_id)),
        Some(Hold::DeclaredAs { .. }) => Err("the robot gives it another rank"),
        Some(Hold::NotDeclared) => Err("the robot does not declare it"),
        Some(Hold::PartNumber { .. }) => Err("its part number cannot be a hardware id"),
        // These are of the device, not of an ECU.
        Some(Hold::OtaDisabled | Hold::InterfaceVersion { .. }) => {
            Err("the device cannot be updated")
        }
    }
}
