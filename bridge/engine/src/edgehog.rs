//! What Edgehog devices say. They publish property by property, so nothing is judged before a device has been quiet
//! for a while: its property window.

use crate::input::BaseImageProperty;
use crate::inventory::{Hold, PROPERTY_WINDOW, Protocol, RobotKey};
use crate::names::{HardwareId, Model};
use crate::outcome::{Reply, Row};
use crate::state::{Changes, State};
use crate::time::Millis;

/// The only ECU of an Edgehog device.
pub const EDGEHOG_ECU: &str = "main";

/// How long after connecting a device's publishes may keep its property window open, in milliseconds.
const LONGEST_WINDOW: Millis = 60_000;

impl State {
    pub(crate) fn introspection(&mut self, key: RobotKey, changes: &mut Changes) -> Reply {
        if let Some(robot) = self.robots.get_mut(&key) {
            robot.link.introduced = true;
            if robot.protocol.replace(Protocol::Edgehog) != Some(Protocol::Edgehog) {
                changes.touch(Row::Robot(key));
            }
            // Such a device is one ECU. What is registered as something else must not be sent to it.
            let as_registered = robot.ecus.len() == 1 && robot.ecus[0].name.as_str() == EDGEHOG_ECU;
            for ecu in &mut robot.ecus {
                let hold = match &ecu.hold {
                    Some(Hold::DeclaredAs { .. }) if as_registered => continue,
                    _ if as_registered => None,
                    _ => Some(Hold::NotDeclared),
                };
                if ecu.hold != hold {
                    ecu.hold = hold;
                    changes.touch(Row::Robot(key));
                }
            }
        }
        self.open_window(key)
    }

    /// What is judged before a device has said all that it has to say would be judged by half a report.
    fn open_window(&mut self, key: RobotKey) -> Reply {
        let settled_at = self.now.after(PROPERTY_WINDOW);
        if let Some(robot) = self.robots.get_mut(&key) {
            robot.link.settled_at = Some(settled_at);
        }
        self.refresh_ready(key);
        self.arm(key);
        Reply::Done
    }

    /// Any other publish keeps an open window open, for a while: telemetry never ends.
    pub(crate) fn other_property(&mut self, key: RobotKey) -> Reply {
        let settled_at = self.now.after(PROPERTY_WINDOW);
        if let Some(robot) = self.robots.get_mut(&key)
            && let Some(open) = &mut robot.link.settled_at
        {
            let latest = robot.link.since.after(LONGEST_WINDOW);
            let extended = settled_at.min(latest).max(*open);
            if extended != *open {
                *open = extended;
                return Reply::Done;
            }
        }
        Reply::Stale
    }

    pub(crate) fn producer_properties(
        &mut self,
        key: RobotKey,
        has_base_image: bool,
        empty: bool,
        changes: &mut Changes,
    ) -> Reply {
        if let Some(robot) = self.robots.get_mut(&key) {
            if empty {
                // Every process starts with an empty list, so this is a new one.
                robot.cursor.start_boot(robot.cursor.boot.saturating_add(1));
                changes.touch(Row::Cursor(key));
            }
            if !has_base_image && let Some(ecu) = robot.ecus.first_mut() {
                ecu.reported = None;
                changes.touch(Row::Robot(key));
            }
        }
        self.open_window(key)
    }

    pub(crate) fn base_image_property(
        &mut self,
        key: RobotKey,
        property: BaseImageProperty,
        value: String,
        changes: &mut Changes,
    ) -> Reply {
        if let Some(ecu) = self
            .robots
            .get_mut(&key)
            .and_then(|robot| robot.ecus.first_mut())
        {
            let reported = ecu.reported.get_or_insert_default();
            let field = match property {
                BaseImageProperty::Name => &mut reported.name,
                BaseImageProperty::Version => &mut reported.version,
                BaseImageProperty::BuildId => &mut reported.build_id,
            };
            if *field != value {
                *field = value;
                changes.touch(Row::Robot(key));
            }
        }
        self.open_window(key)
    }

    /// The part number is the device's model. A device that comes back as another product gets nothing until an operator
    /// has looked.
    pub(crate) fn part_number(
        &mut self,
        key: RobotKey,
        model: Model,
        changes: &mut Changes,
    ) -> Reply {
        let Some(robot) = self.robots.get_mut(&key) else {
            return Reply::Stale;
        };
        let hold = match &robot.model {
            Some(known) if *known != model => {
                let declared = HardwareId::new(model.as_str()).ok();
                declared.map(|hardware_id| Hold::DeclaredAs {
                    hardware_id,
                    primary: true,
                })
            }
            Some(_) | None => None,
        };
        let mut changed = robot.model.is_none();
        robot.model.get_or_insert(model);
        if let Some(ecu) = robot.ecus.first_mut()
            && ecu.hold != hold
            && ecu.hold != Some(Hold::NotDeclared)
        {
            ecu.hold = hold;
            changed = true;
        }
        if !changed {
            return self.other_property(key);
        }
        changes.touch(Row::Robot(key));
        self.other_property(key);
        self.became_ready(key, changes);
        Reply::Done
    }
}
