//! What a device reports of itself, and which of it the server has (device-contract 1.4, 1.6, 6).
//!
//! ```text
//! Changed -- published --> Sent -- acknowledged --> Stored
//!    ^                       |                         |
//!    +---- session lost -----+------ session lost -----+
//! ```
//!
//! An unset property stays until the server has acknowledged its removal.

use rollcall_proto::edgehog::{Property, Value};

use super::super::{Message, PublishId, Robot};
use super::interfaces::{
    BASE_IMAGE, CAPABILITIES, HARDWARE_INFO, NETWORK, OS_INFO, RUNTIME_INFO, SYSTEM_INFO,
};

/// One property of the device.
#[derive(Debug, Clone)]
struct Own {
    interface: &'static str,
    path: &'static str,
    value: Property,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Changed,
    Sent(PublishId),
    Stored,
}

/// Every property of the device, in the order in which the runtime reports them.
#[derive(Debug, Clone, Default)]
pub(super) struct Properties(Vec<Own>);

impl Properties {
    fn set(&mut self, interface: &'static str, path: &'static str, value: Value) {
        self.0.push(Own {
            interface,
            path,
            value: Property::Set(value),
            standing: Standing::Changed,
        });
    }

    fn text(&mut self, interface: &'static str, path: &'static str, text: impl Into<String>) {
        self.set(interface, path, Value::String(text.into()));
    }

    fn words(&mut self, path: &'static str, words: &[&str]) {
        let words = words.iter().map(|word| Value::String((*word).to_owned()));
        self.set(CAPABILITIES, path, Value::Array(words.collect()));
    }

    /// What the server has acknowledged, as `interface/path`.
    pub(super) fn stored(&self) -> Vec<String> {
        let stored = self
            .0
            .iter()
            .filter(|own| own.standing == Standing::Stored && own.value != Property::Unset);
        stored
            .map(|own| format!("{}/{}", own.interface, own.path))
            .collect()
    }

    /// The session is gone, and with it what the server may know.
    pub(super) fn forget_session(&mut self) {
        for own in &mut self.0 {
            own.standing = Standing::Changed;
        }
    }

    /// The link is gone: what was not acknowledged is sent again.
    pub(super) fn link_lost(&mut self) {
        for own in &mut self.0 {
            if matches!(own.standing, Standing::Sent(_)) {
                own.standing = Standing::Changed;
            }
        }
    }

    /// Whether this was the acknowledgement of a property.
    pub(super) fn acknowledged(&mut self, id: PublishId) -> bool {
        let sent = |own: &Own| own.standing == Standing::Sent(id);
        let Some(index) = self.0.iter().position(sent) else {
            return false;
        };
        if self.0[index].value == Property::Unset {
            self.0.remove(index);
        } else {
            self.0[index].standing = Standing::Stored;
        }
        true
    }

    /// Whether the server has everything.
    pub(super) fn are_stored(&self) -> bool {
        self.0.iter().all(|own| own.standing == Standing::Stored)
    }

    /// The Wi-Fi adaptor is taken out, or put in again.
    fn toggle_wireless(&mut self, hardware_address: &str) {
        let is_wireless = |own: &Own| own.interface == NETWORK && own.path.starts_with("wlan0/");
        let present = |own: &&Own| is_wireless(own) && own.value != Property::Unset;
        if self.0.iter().find(present).is_some() {
            for own in self.0.iter_mut().filter(|own| is_wireless(own)) {
                (own.value, own.standing) = (Property::Unset, Standing::Changed);
            }
        } else {
            self.0.retain(|own| !is_wireless(own));
            self.wireless(hardware_address);
        }
    }

    fn wireless(&mut self, hardware_address: &str) {
        self.text(NETWORK, "wlan0/macAddress", hardware_address);
        self.text(NETWORK, "wlan0/technologyType", "WiFi");
    }
}

impl Robot {
    /// What the runtime finds out about its machine when it starts. All of it counts as changed.
    pub(super) fn properties(&self) -> Properties {
        let mut all = Properties::default();
        let Some(ecu) = self.ecus.first() else {
            return all;
        };
        let image = &ecu.installed;
        all.text(OS_INFO, "osName", "Rollcall Linux");
        all.text(OS_INFO, "osVersion", "12");
        all.text(BASE_IMAGE, "name", image.name.as_str());
        all.text(BASE_IMAGE, "version", image.version.as_str());
        if let Some(build_id) = &image.build_id {
            all.text(BASE_IMAGE, "buildId", build_id.as_str());
        }
        all.text(HARDWARE_INFO, "cpu/architecture", "aarch64");
        all.text(HARDWARE_INFO, "cpu/model", "0xd0b");
        all.text(HARDWARE_INFO, "cpu/modelName", "Cortex-A76");
        all.text(HARDWARE_INFO, "cpu/vendor", "ARM");
        let memory = Value::LongInteger(8 << 30);
        all.set(HARDWARE_INFO, "mem/totalBytes", memory);
        all.text(RUNTIME_INFO, "name", "edgehog-device-runtime");
        let url = "https://github.com/edgehog-device-manager/edgehog-device-runtime";
        all.text(RUNTIME_INFO, "url", url);
        all.text(RUNTIME_INFO, "version", "0.13.1");
        all.text(RUNTIME_INFO, "environment", "rustc 1.90.0");
        let part_number = self.profile.edgehog.part_number.as_ref();
        all.text(
            SYSTEM_INFO,
            "partNumber",
            part_number.unwrap_or(&ecu.hardware_id).as_str(),
        );
        all.text(SYSTEM_INFO, "serialNumber", self.id.as_str());
        all.text(NETWORK, "eth0/macAddress", hardware_address(&self.id, 0));
        all.text(NETWORK, "eth0/technologyType", "Ethernet");
        all.wireless(&hardware_address(&self.id, 1));
        transfer_capabilities(&mut all);
        all
    }

    pub(super) fn toggle_wireless(&mut self) {
        let address = hardware_address(&self.id, 1);
        self.edgehog.properties.toggle_wireless(&address);
    }

    /// Sends what the server does not have.
    pub(super) fn publish_changed(&mut self) {
        for index in 0..self.edgehog.properties.0.len() {
            let own = &self.edgehog.properties.0[index];
            if own.standing != Standing::Changed {
                continue;
            }
            let message = Message::Property {
                interface: own.interface,
                path: own.path,
                value: own.value.clone(),
            };
            let id = self.publish(message);
            self.edgehog.properties.0[index].standing = Standing::Sent(id);
        }
    }
}

fn transfer_capabilities(all: &mut Properties) {
    const TARGETS: [&str; 3] = ["storage", "streaming", "filesystem"];
    const PACKED: [&str; 3] = ["tar.gz", "tar", "gz"];
    let permissions = Value::Boolean(true);
    all.set(CAPABILITIES, "transfer/unixPermissions", permissions);
    all.words("transfer/deviceToServer/targets", &TARGETS);
    all.words("deviceToServer/storage/encodings", &PACKED);
    all.words("deviceToServer/streaming/encodings", &[]);
    all.words("deviceToServer/filesystem/encodings", &PACKED);
    all.words("transfer/serverToDevice/targets", &TARGETS);
    all.words("serverToDevice/storage/encodings", &PACKED);
    all.words("serverToDevice/streaming/encodings", &["gz"]);
    all.words("serverToDevice/filesystem/encodings", &PACKED);
}

/// A locally administered address that differs from robot to robot.
fn hardware_address(robot: &str, interface: u8) -> String {
    let mixed = robot.bytes().fold(u64::from(interface), |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let [.., a, b, c, d, e] = mixed.to_be_bytes();
    format!("02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}")
}
