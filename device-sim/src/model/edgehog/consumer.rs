//! The server's properties as the device keeps them, and what the SDK does with messages that no
//! server should send (device-contract 0.7, 0.8, 1.3, 1.4).

use std::collections::BTreeMap;

use rollcall_proto::edgehog::{Property, Value};

use super::super::{Robot, Violation};

/// Most properties of the server that a simulated device keeps.
const KEPT_MAX: usize = 64;

/// Properties that the server has set, by `interface/path`.
pub(super) type ConsumerProperties = BTreeMap<String, Value>;

impl Robot {
    /// The list of the server's properties that exist: the others are gone.
    pub(in super::super) fn consumer_list(&mut self, listed: &[String]) {
        self.edgehog
            .consumer
            .retain(|property, _| listed.contains(property));
    }

    /// A property that the server sets or unsets. One of a wrong type is logged and dropped.
    pub(in super::super) fn consumer_property(
        &mut self,
        interface: &str,
        path: &str,
        property: Property,
    ) {
        let name = format!("{interface}/{path}");
        let value = match property {
            Property::Unset => {
                self.edgehog.consumer.remove(&name);
                return;
            }
            Property::Set(value) => value,
        };
        let fits = match path.rsplit('/').next() {
            Some("enable") => matches!(value, Value::Boolean(_)),
            Some("periodSeconds") => matches!(value, Value::LongInteger(_) | Value::Integer(_)),
            _ => false,
        };
        if !fits {
            let reason = "no mapping of the interface has this path and type".to_owned();
            let topic = name;
            return self.truth.violated(Violation::Malformed { topic, reason });
        }
        if self.edgehog.consumer.len() < KEPT_MAX || self.edgehog.consumer.contains_key(&name) {
            self.edgehog.consumer.insert(name, value);
        }
    }

    /// A list that the SDK cannot read. A wrong length is only logged; anything else ends the process.
    pub(in super::super) fn bad_control(&mut self, reason: String, fatal: bool) {
        self.truth.violated(Violation::MalformedControl { reason });
        if fatal {
            self.process_exits();
        }
    }

    /// A message above the SDK's limit, which is not configurable: it hangs up.
    pub(in super::super) fn too_large(&mut self, topic: String, bytes: usize) {
        self.truth.violated(Violation::TooLarge { topic, bytes });
        self.break_connection();
    }

    /// What the server has set: `interface/path` and the value. Edgehog devices only.
    pub fn consumer_properties(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.edgehog
            .consumer
            .iter()
            .map(|(name, value)| (name.as_str(), value))
    }
}
