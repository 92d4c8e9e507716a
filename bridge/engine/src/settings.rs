//! Properties that the server owns and a device obeys, such as how often it sends its telemetry.
//!
//! What a value may be is checked before the command is made, by those who know the interfaces; here it is kept, and told
//! to the device now and whenever it asks.

use crate::device::Setting;
use crate::input::PropertyChange;
use crate::inventory::RobotKey;
use crate::names::RobotId;
use crate::outcome::{Effect, Reply, Row};
use crate::refusal::Refusal;
use crate::state::{Changes, State};

/// Properties that the server may set on one device.
pub const MAX_SETTINGS: usize = 64;
/// Bytes of all their paths. The device gets them in one list, and disconnects on messages above 10,240 bytes.
pub const MAX_SETTING_PATHS: usize = 8_192;
/// Bytes of one value.
const MAX_SETTING: usize = 1_024;

impl State {
    pub(crate) fn set_property(
        &mut self,
        id: &RobotId,
        change: &PropertyChange,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let key = self
            .robot_key(id.as_str())
            .ok_or_else(|| Refusal::UnknownRobot { id: id.clone() })?;
        let path = format!("{}/{}", change.interface, change.path);
        self.check_setting(key, id, change, &path)?;
        let now = self.now;
        let Some(robot) = self.robots.get_mut(&key) else {
            return Err(Refusal::RobotGone);
        };
        let not_set = || Refusal::PropertyNotSet {
            id: id.clone(),
            path: path.clone(),
        };
        let device = robot.device.as_mut().ok_or_else(not_set)?;
        let place = device
            .settings
            .binary_search_by(|setting| setting.path.as_ref().cmp(&path));
        match (place, &change.value) {
            (Ok(at), Some(value)) => {
                let setting = &mut device.settings[at];
                if *setting.value != **value {
                    setting.since = now;
                }
                setting.value = value.as_str().into();
            }
            (Err(at), Some(value)) => device.settings.insert(
                at,
                Setting {
                    path: path.as_str().into(),
                    since: now,
                    value: value.as_str().into(),
                },
            ),
            (Ok(at), None) => drop(device.settings.remove(at)),
            (Err(_), None) => return Err(not_set()),
        }
        if let Some(connection) = robot.link.connection.filter(|_| robot.link.introduced) {
            changes.effects.push(Effect::Property {
                robot: key,
                connection,
                path,
            });
        }
        changes.touch(Row::Device(key));
        Ok(Reply::Robot(key))
    }

    fn check_setting(
        &self,
        key: RobotKey,
        id: &RobotId,
        change: &PropertyChange,
        path: &str,
    ) -> Result<(), Refusal> {
        let Some(value) = &change.value else {
            return Ok(());
        };
        let device = self
            .robots
            .get(&key)
            .and_then(|robot| robot.device.as_ref());
        let device = device
            .filter(|device| device.interfaces.contains_key(change.interface.as_str()))
            .ok_or_else(|| Refusal::InterfaceNotInstalled {
                id: id.clone(),
                interface: change.interface.clone(),
            })?;
        if value.len() > MAX_SETTING {
            return Err(Refusal::TooLong {
                what: "the property's value",
                max: MAX_SETTING,
            });
        }
        let others = || device.settings.iter().filter(|s| s.path.as_ref() != path);
        if others().count() >= MAX_SETTINGS {
            return Err(Refusal::TooMany {
                what: "properties set on the robot",
                max: MAX_SETTINGS,
            });
        }
        let bytes: usize = others().map(|setting| setting.path.len() + 1).sum();
        if bytes + path.len() > MAX_SETTING_PATHS {
            return Err(Refusal::TooLong {
                what: "the list of the robot's set properties",
                max: MAX_SETTING_PATHS,
            });
        }
        Ok(())
    }
}
