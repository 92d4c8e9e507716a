//! What an Edgehog device says of itself through its interfaces, and the properties that the server sets on it.
//!
//! Values come typed and are kept so; no wire format is known here. Texts that many robots have in common (paths, lists
//! of interfaces) are kept once.

use crate::inventory::{Hold, Protocol, Robot, RobotKey};
use crate::outcome::{Reply, Row};
use crate::refusal::Refusal;
use crate::state::{Changes, State};
use crate::time::Timestamp;
use crate::value::{Content, Value};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// Paths on which a device may have a value; Edgehog's runtime has about 40.
pub const MAX_DEVICE_PATHS: usize = 512;
/// Bytes of all paths and values of a device.
pub const MAX_DEVICE_BYTES: usize = 65_536;

/// The interfaces of an update, with the major versions whose messages are understood.
const OTA_INTERFACES: [(&str, u32); 3] = [
    ("io.edgehog.devicemanager.OTARequest", 1),
    ("io.edgehog.devicemanager.OTAEvent", 0),
    ("io.edgehog.devicemanager.BaseImage", 0),
];

/// The version of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InterfaceVersion {
    /// Changes that break.
    pub major: u32,
    /// Changes that do not.
    pub minor: u32,
}

/// The interfaces of a device, by name.
pub type Interfaces = BTreeMap<Box<str>, InterfaceVersion>;

/// What is known of an Edgehog device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// Its introspection.
    pub interfaces: Arc<Interfaces>,
    /// Its properties, by path.
    pub properties: Vec<Published>,
    /// The newest value of each of its datastreams that came with QoS 1 or 2, by path.
    pub streams: Vec<Published>,
    /// The properties that the server sets on it, by path.
    pub settings: Vec<Setting>,
}

/// A value that a device has published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Interface and path, joined by `/`.
    pub path: Arc<str>,
    /// Since when it has this value.
    pub since: Timestamp,
    /// What it says.
    pub content: Content,
}

/// A property that the server owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Interface and path, joined by `/`.
    pub path: Arc<str>,
    /// Since when it has this value.
    pub since: Timestamp,
    /// The value as the operator wrote it.
    pub value: Box<str>,
}

/// Texts that robots have in common.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared {
    texts: HashSet<Arc<str>>,
    interfaces: HashSet<Arc<Interfaces>>,
}

impl Shared {
    pub(crate) fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&new));
        new
    }

    fn interfaces(&mut self, interfaces: Interfaces) -> Arc<Interfaces> {
        if let Some(known) = self.interfaces.get(&interfaces) {
            return Arc::clone(known);
        }
        let new = Arc::new(interfaces);
        self.interfaces.insert(Arc::clone(&new));
        new
    }

    /// Forgets a text of which a robot has let go, if no other has it.
    fn release(&mut self, text: Arc<str>) {
        // The caller's and the set's own.
        if Arc::strong_count(&text) <= 2 {
            self.texts.remove(&text);
        }
    }

    fn release_interfaces(&mut self, interfaces: Arc<Interfaces>) {
        if Arc::strong_count(&interfaces) <= 2 {
            self.interfaces.remove(&interfaces);
        }
    }
}

impl Device {
    fn find(values: &[Published], path: &str) -> Result<usize, usize> {
        values.binary_search_by(|value| value.path.as_ref().cmp(path))
    }

    /// The value of the property at `path` (interface and path, joined by `/`).
    #[must_use]
    pub fn property(&self, path: &str) -> Option<&Published> {
        let index = Self::find(&self.properties, path).ok()?;
        self.properties.get(index)
    }

    /// The values that the device reported at `path` (interface and path, joined by `/`), be it a property, a
    /// datastream, or a key of an object that came on either; a list has several.
    pub fn reported<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Value> {
        let at = |path: &'a str, key: Option<&'a str>| {
            let kept = [&self.properties, &self.streams].into_iter();
            let kept = kept.filter_map(move |values| values.get(Self::find(values, path).ok()?));
            kept.flat_map(move |value| value.content.at(key))
        };
        let object = path.rsplit_once('/').into_iter();
        let in_object = object.flat_map(move |(object, key)| at(object, Some(key)));
        at(path, None).chain(in_object)
    }

    /// Whether a value at `path` fits beside what is kept of a device. Streams make room, properties do not.
    fn has_room_for(&self, path: &str, content: &Content) -> bool {
        Self::fits(self.properties.iter(), path, content)
    }

    fn fits<'a>(
        beside: impl Iterator<Item = &'a Published>,
        path: &str,
        content: &Content,
    ) -> bool {
        let others = beside.filter(|value| value.path.as_ref() != path);
        let (bytes, paths) = others.fold((0, 0), |(bytes, paths), value| {
            (bytes + value.path.len() + value.content.bytes(), paths + 1)
        });
        bytes + path.len() + content.bytes() <= MAX_DEVICE_BYTES && paths < MAX_DEVICE_PATHS
    }

    /// The stream value to give up first for a value at `path` that has no room: the oldest.
    fn crowded_out(&self, path: &str, content: &Content) -> Option<usize> {
        let all = self.properties.iter().chain(&self.streams);
        if Self::fits(all, path, content) {
            return None;
        }
        let streams = self.streams.iter().enumerate();
        let others = streams.filter(|(_, value)| value.path.as_ref() != path);
        Some(others.min_by_key(|(_, value)| value.since)?.0)
    }
}

impl Robot {
    /// Why nothing is sent to one of its ECUs, if so.
    #[must_use]
    pub fn hold(&self, ecu: usize) -> Option<Hold> {
        let hold = self.ecus.get(ecu)?.hold.clone();
        // What it was once, in the other protocol, is no obstacle now.
        let edgehog = self.protocol == Some(Protocol::Edgehog);
        hold.or_else(|| self.device.as_deref().filter(|_| edgehog)?.obstacle())
    }
}

impl Device {
    /// Why a device with this introspection cannot be updated.
    fn obstacle(&self) -> Option<Hold> {
        for (name, known) in OTA_INTERFACES {
            match self.interfaces.get(name) {
                Some(version) if version.major != known => {
                    return Some(Hold::InterfaceVersion {
                        interface: name.to_owned(),
                        found: *version,
                    });
                }
                Some(_) => {}
                None if name == OTA_INTERFACES[0].0 => return Some(Hold::OtaDisabled),
                // It is judged by its version, which it may yet say, or by nothing.
                None => {}
            }
        }
        None
    }
}

impl State {
    /// Takes over what the database holds of a device.
    pub fn restore_device(&mut self, key: RobotKey, device: Device) {
        let shared = &mut self.shared;
        let mut keep = |values: Vec<Published>| -> Vec<Published> {
            let keep = |value: Published| Published {
                path: shared.text(&value.path),
                ..value
            };
            values.into_iter().map(keep).collect()
        };
        let device = Device {
            properties: keep(device.properties),
            streams: keep(device.streams),
            settings: device.settings,
            interfaces: shared.interfaces(Arc::unwrap_or_clone(device.interfaces)),
        };
        if let Some(robot) = self.robots.get_mut(&key) {
            robot.device = Some(Box::new(device));
        }
    }

    /// A new introspection replaces the old one. What the device said through interfaces that it no longer has, or has
    /// in another major version, is gone with them.
    pub(crate) fn set_interfaces(
        &mut self,
        key: RobotKey,
        interfaces: Interfaces,
        changes: &mut Changes,
    ) {
        let shared = &mut self.shared;
        let Some(robot) = self.robots.get_mut(&key) else {
            return;
        };
        let device = robot.device.get_or_insert_default();
        if *device.interfaces == interfaces && !interfaces.is_empty() {
            return;
        }
        let new = shared.interfaces(interfaces);
        let old = std::mem::replace(&mut device.interfaces, Arc::clone(&new));
        let kept = |path: &str| {
            let name = path.split('/').next().unwrap_or_default();
            let major = |list: &Interfaces| list.get(name).map(|version| version.major);
            major(&new).is_some() && major(&new) == major(&old)
        };
        // What holds a text keeps it from being released.
        robot.link.purge.retain(|path| kept(path));
        for values in [&mut device.properties, &mut device.streams] {
            for gone in values.extract_if(.., |value| !kept(&value.path)) {
                shared.release(gone.path);
            }
        }
        shared.release_interfaces(old);
        changes.touch(Row::Device(key));
    }

    /// Whether the value may be kept.
    pub(crate) fn check_room(
        &self,
        key: RobotKey,
        path: &str,
        content: Option<&Content>,
    ) -> Result<(), Refusal> {
        let device = self
            .robots
            .get(&key)
            .and_then(|robot| robot.device.as_ref());
        let fits = match (device, content) {
            (Some(device), Some(content)) => device.has_room_for(path, content),
            (None, Some(content)) => path.len() + content.bytes() <= MAX_DEVICE_BYTES,
            (_, None) => true,
        };
        if fits {
            Ok(())
        } else {
            Err(Refusal::DeviceFull)
        }
    }

    /// Keeps what a device has published, and says whether that was news. The caller has asked [`State::check_room`].
    pub(crate) fn keep(
        &mut self,
        key: RobotKey,
        (path, content): (&str, Option<Content>),
        property: bool,
        changes: &mut Changes,
    ) -> bool {
        let (now, shared) = (self.now, &mut self.shared);
        let Some(robot) = self.robots.get_mut(&key) else {
            return false;
        };
        // It is said again, so the purge of this window does not mean it.
        let purged = robot.link.purge.len();
        robot.link.purge.retain(|purged| purged.as_ref() != path);
        let said_again = robot.link.purge.len() != purged;
        let device = robot.device.get_or_insert_default();
        while let Some(oldest) = content
            .as_ref()
            .and_then(|content| device.crowded_out(path, content))
        {
            shared.release(device.streams.remove(oldest).path);
        }
        // Without its definition an interface may seem to change its kind; a path has one value all the same.
        let (values, others) = if property {
            (&mut device.properties, &mut device.streams)
        } else {
            (&mut device.streams, &mut device.properties)
        };
        let other = Device::find(others, path).ok().map(|at| others.remove(at));
        let mut changed = other.is_some();
        match (Device::find(values, path), content) {
            (Ok(at), Some(content)) => {
                let value = &mut values[at];
                if !property || value.content != content {
                    value.content = content;
                    value.since = now;
                    changed = true;
                }
            }
            (Err(at), Some(content)) => {
                let path = shared.text(path);
                values.insert(
                    at,
                    Published {
                        path,
                        since: now,
                        content,
                    },
                );
                changed = true;
            }
            (Ok(at), None) => {
                shared.release(values.remove(at).path);
                changed = true;
            }
            (Err(_), None) => {}
        }
        if let Some(other) = other {
            shared.release(other.path);
        }
        if changed {
            changes.touch(Row::Device(key));
        }
        changed || said_again
    }

    /// The device has only the listed properties. An empty list is that of a new process, which says all of them again
    /// at once; what it has not said when its property window ends is gone.
    pub(crate) fn purge(
        &mut self,
        key: RobotKey,
        listed: &BTreeSet<String>,
        changes: &mut Changes,
    ) {
        let Some(robot) = self.robots.get_mut(&key) else {
            return;
        };
        let Some(device) = &robot.device else {
            return;
        };
        let unlisted = device.properties.iter().map(|value| &value.path);
        robot.link.purge = unlisted
            .filter(|path| !listed.contains(path.as_ref()))
            .cloned()
            .collect();
        if !listed.is_empty() {
            self.finish_purge(key, changes);
        }
    }

    pub(crate) fn finish_purge(&mut self, key: RobotKey, changes: &mut Changes) {
        let shared = &mut self.shared;
        let Some(robot) = self.robots.get_mut(&key) else {
            return;
        };
        let purged = std::mem::take(&mut robot.link.purge);
        let Some(device) = robot.device.as_mut().filter(|_| !purged.is_empty()) else {
            return;
        };
        let gone: BTreeSet<&str> = purged.iter().map(AsRef::as_ref).collect();
        let before = device.properties.len();
        device
            .properties
            .retain(|value| !gone.contains(value.path.as_ref()));
        if device.properties.len() != before {
            changes.touch(Row::Device(key));
        }
        for path in purged {
            shared.release(path);
        }
    }

    /// Forgets what a removed robot said.
    pub(crate) fn drop_device(&mut self, key: RobotKey, changes: &mut Changes) {
        let shared = &mut self.shared;
        let device = self.robots.get_mut(&key).and_then(|robot| {
            robot.link.purge.clear();
            robot.device.take()
        });
        let Some(device) = device else {
            return;
        };
        for value in device.properties.into_iter().chain(device.streams) {
            shared.release(value.path);
        }
        shared.release_interfaces(device.interfaces);
        changes.touch(Row::Device(key));
    }

    /// What a device has published that means nothing more than itself.
    pub(crate) fn other_value(
        &mut self,
        key: RobotKey,
        (path, content): (&str, Option<Content>),
        property: bool,
        changes: &mut Changes,
    ) -> Reply {
        let kept = self.keep(key, (path, content), property, changes);
        match self.stay_open(key) {
            _ if kept => Reply::Done,
            reply => reply,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Actor, Input};
    use crate::inventory::Link;

    #[test]
    fn a_text_that_a_purge_names_is_released_with_its_interface() {
        let mut state = State::default();
        let spec = serde_json::json!({"command": "add_robot", "id": "r", "secret": vec![0; 32]});
        let command = serde_json::from_value(spec)
            .ok()
            .map(|command| Input::Command {
                by: Actor(String::new()),
                command,
            });
        let added = command.map(|input| state.apply(state.now(), input).reply);
        let Some(Ok(Reply::Robot(key))) = added else {
            panic!("{added:?}");
        };
        let mut changes = Changes::default();
        let interface = || {
            let version = InterfaceVersion { major: 1, minor: 0 };
            Interfaces::from([("own.Interface".into(), version)])
        };
        for removed in [true, false] {
            state.set_interfaces(key, interface(), &mut changes);
            let value = ("own.Interface/a", Some(Value::Integer(1).into()));
            state.keep(key, value, true, &mut changes);
            state.purge(key, &BTreeSet::new(), &mut changes);
            if removed {
                state.drop_device(key, &mut changes);
            } else {
                state.set_interfaces(key, Interfaces::default(), &mut changes);
            }
            if let Some(robot) = state.robots.get_mut(&key) {
                robot.link = Link::default();
            }
            assert!(state.shared.texts.is_empty());
        }
    }
}
