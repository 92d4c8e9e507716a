//! What Edgehog devices say. They publish property by property, so nothing is judged before a device has been quiet
//! for a while: its property window.

use crate::device::Interfaces;
use crate::input::{BaseImageProperty, DeviceValue, Meaning};
use crate::inventory::{Ecu, Hold, PROPERTY_WINDOW, Protocol, Robot, RobotKey};
use crate::names::{EcuName, HardwareId, Model};
use crate::outcome::{Reply, Row};
use crate::proof::Proof;
use crate::refusal::Refusal;
use crate::state::{Changes, State};
use crate::target::TargetState;
use crate::time::Millis;
use std::collections::BTreeSet;

/// The only ECU of an Edgehog device.
pub const EDGEHOG_ECU: &str = "main";

/// The property without which a device is not known to run anything.
const BASE_IMAGE_VERSION: &str = "io.edgehog.devicemanager.BaseImage/version";

/// How long a device's publishes may keep its property window open, in milliseconds.
pub(crate) const LONGEST_WINDOW: Millis = 60_000;

/// How much of a part number that cannot be one is repeated to people, in characters.
const PART_NUMBER_SHOWN: usize = 80;

impl State {
    pub(crate) fn introspection(
        &mut self,
        key: RobotKey,
        interfaces: Interfaces,
        changes: &mut Changes,
    ) -> Reply {
        self.set_interfaces(key, interfaces, changes);
        if let Some(robot) = self.robots.get_mut(&key) {
            robot.link.introduced = true;
            if robot.protocol.replace(Protocol::Edgehog) != Some(Protocol::Edgehog) {
                changes.touch(Row::Robot(key));
            }
            // Such a device is one ECU. What is registered as something else must not be sent to it.
            let as_registered = robot.ecus.len() == 1 && robot.ecus[0].name.as_str() == EDGEHOG_ECU;
            for ecu in &mut robot.ecus {
                let hold = match &ecu.hold {
                    // Only another part number ends these: an introspection says nothing of the product.
                    Some(Hold::DeclaredAs { .. } | Hold::PartNumber { .. }) if as_registered => {
                        continue;
                    }
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
        let now = self.now;
        if let Some(robot) = self.robots.get_mut(&key) {
            let link = &mut robot.link;
            if link.settled_at.is_none() {
                link.window_since = now;
            }
            let latest = link.window_since.after(LONGEST_WINDOW);
            link.settled_at = Some(now.after(PROPERTY_WINDOW).min(latest));
        }
        self.refresh_ready(key);
        self.arm(key);
        Reply::Done
    }

    /// Any other publish keeps an open window open, for a while: telemetry never ends.
    pub(crate) fn stay_open(&mut self, key: RobotKey) -> Reply {
        let settled_at = self.now.after(PROPERTY_WINDOW);
        if let Some(robot) = self.robots.get_mut(&key)
            && let Some(open) = &mut robot.link.settled_at
        {
            let latest = robot.link.window_since.after(LONGEST_WINDOW);
            let extended = settled_at.min(latest).max(*open);
            if extended != *open {
                *open = extended;
                return Reply::Done;
            }
        }
        Reply::Stale
    }

    /// A value of the device: kept, and looked at if it means something for updates.
    pub(crate) fn device_value(
        &mut self,
        key: RobotKey,
        value: DeviceValue,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let DeviceValue {
            path,
            content,
            property,
            meaning,
        } = value;
        let room = self.check_room(key, &path, content.as_ref());
        let reply = match meaning {
            None => {
                room?;
                return Ok(self.other_value(key, (&path, content), property, changes));
            }
            Some(Meaning::BaseImage(part, text)) => {
                self.base_image_property(key, part, text, changes)
            }
            Some(Meaning::PartNumber(text)) => self.part_number(key, &text, changes)?,
        };
        // What updates depend on counts, even when there is no room to show it.
        let kept = room.is_ok() && self.keep(key, (&path, content), property, changes);
        Ok(if kept { Reply::Done } else { reply })
    }

    pub(crate) fn producer_properties(
        &mut self,
        key: RobotKey,
        listed: &BTreeSet<String>,
        changes: &mut Changes,
    ) -> Reply {
        self.purge(key, listed, changes);
        if let Some(robot) = self.robots.get_mut(&key) {
            if listed.is_empty() {
                // Every process starts with an empty list, so this is a new one.
                robot.cursor.start_boot(robot.cursor.boot.saturating_add(1));
                robot.link.fresh = true;
                changes.touch(Row::Cursor(key));
            }
            let active = robot.active.filter(|_| listed.is_empty());
            if !listed.contains(BASE_IMAGE_VERSION) {
                robot.link.early = None;
                if let Some(ecu) = robot.ecus.first_mut() {
                    ecu.reported = None;
                    changes.touch(Row::Robot(key));
                }
            }
            // What its predecessor ran is no longer the question: this one is judged anew.
            if let Some((id, index)) = active
                && let Some(target) = self.target_mut(id, key, index)
                && target.suspect_until.take().is_some()
            {
                changes.touch(Row::Member(id, key));
            }
        }
        self.open_window(key)
    }

    /// Lets a device say once more what it is, if it came up without saying it, or with another image than the operation
    /// under way shall bring: whether it was disconnected for that.
    ///
    /// On the first connection of its process a device may report nothing, or the image of the process before: Astarte's
    /// SDK sends what it has stored while the new process says what it is, and what is said in that moment waits for the
    /// next connection (device-contract 1.6, seen with runtime 0.13.1). So nobody is condemned by a first connection.
    pub(crate) fn ask_again(&mut self, key: RobotKey, changes: &mut Changes) -> bool {
        let Some(robot) = self.robots.get_mut(&key) else {
            return false;
        };
        // An operation that is under way here began before this connection: none begins within the window.
        if !std::mem::take(&mut robot.link.fresh) {
            return false;
        }
        let Some(robot) = self.robots.get(&key) else {
            return false;
        };
        let differs = self.active_target(robot).is_some_and(|(rollout, target)| {
            let installed = |image| Self::proves(robot, rollout, target, image) == Proof::Installed;
            target.state != TargetState::Requested
                && !self.images.get(&target.image).is_some_and(installed)
        });
        let nameless = robot.ecus.first().is_none_or(|ecu| {
            let version = ecu.reported.as_ref().map(|reported| &reported.version);
            version.is_none_or(String::is_empty)
        });
        // A device without any property would seem new at each return.
        let says_other_things =
            (robot.device.as_ref()).is_some_and(|device| !device.properties.is_empty());
        let says_too_little = nameless && says_other_things;
        if differs || says_too_little {
            self.shut_out(
                key,
                "a process's first report may be old or in part; connect again",
                changes,
            );
        }
        differs || says_too_little
    }

    pub(crate) fn base_image_property(
        &mut self,
        key: RobotKey,
        property: BaseImageProperty,
        value: String,
        changes: &mut Changes,
    ) -> Reply {
        let Some(robot) = self.robots.get_mut(&key) else {
            return Reply::Stale;
        };
        let reported = match robot.ecus.first_mut() {
            Some(ecu) => ecu.reported.get_or_insert_default(),
            // Properties come in any order: the part number may still be on its way.
            None => robot.link.early.get_or_insert_default(),
        };
        let field = match property {
            BaseImageProperty::Name => &mut reported.name,
            BaseImageProperty::Version => &mut reported.version,
            BaseImageProperty::BuildId => &mut reported.build_id,
        };
        if *field != value {
            *field = value;
            changes.touch(Row::Robot(key));
        }
        self.open_window(key)
    }

    /// The part number is the device's model, and its hardware id if it was registered without one. A device that comes
    /// back as another product gets nothing until an operator has looked.
    pub(crate) fn part_number(
        &mut self,
        key: RobotKey,
        text: &str,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let Some(robot) = self.robots.get(&key) else {
            return Ok(Reply::Stale);
        };
        let model = Model::new(text).ok();
        let changes_model = !robot.by_part_number && robot.model != model;
        let by_hand = changes_model && model.is_some_and(|model| self.made_into(robot, &model));
        let Some(robot) = self.robots.get_mut(&key) else {
            return Ok(Reply::Stale);
        };
        let found = || text.chars().take(PART_NUMBER_SHOWN).collect::<String>();
        let parsed = (HardwareId::new(text).ok()).zip(Model::new(text).ok());
        let mut changed = false;
        let hold = match parsed {
            None if robot.ecus.is_empty() => return Err(Refusal::BadPartNumber { found: found() }),
            None => Some(Hold::PartNumber { found: found() }),
            Some((hardware_id, model)) => {
                if robot.by_part_number && robot.ecus.is_empty() {
                    robot.make_ecu(hardware_id.clone());
                    changed = true;
                }
                // E20: a manual update made it another product; its board is what registration says.
                if by_hand {
                    robot.model = Some(model.clone());
                    changed = true;
                }
                let same = robot.model.as_ref().is_none_or(|known| *known == model);
                changed |= robot.model.is_none();
                robot.model.get_or_insert(model);
                (!same).then_some(Hold::DeclaredAs {
                    hardware_id,
                    primary: true,
                })
            }
        };
        if let Some(ecu) = robot.ecus.first_mut()
            && ecu.hold != hold
            && ecu.hold != Some(Hold::NotDeclared)
        {
            ecu.hold = hold;
            changed = true;
        }
        if !changed {
            return Ok(self.stay_open(key));
        }
        changes.touch(Row::Robot(key));
        self.stay_open(key);
        self.became_ready(key, changes);
        Ok(Reply::Done)
    }
}

impl Robot {
    /// The only ECU of a device that was registered without one. It runs what the device has said so far.
    fn make_ecu(&mut self, hardware_id: HardwareId) {
        let Ok(name) = EcuName::new(EDGEHOG_ECU) else {
            return;
        };
        self.ecus.push(Ecu {
            name,
            hardware_id,
            primary: true,
            reported: self.link.early.take().map(|reported| *reported),
            hold: None,
        });
    }
}
