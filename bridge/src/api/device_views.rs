//! What is known of an Edgehog device, as the API shows it.

use super::views::rfc3339;
use crate::content;
use crate::writer::View;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollcall_engine::{InterfaceVersion, Published, Robot, Setting, Timestamp};
use rollcall_proto::edgehog::{Data, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an Edgehog device says of itself, and what the server sets on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct DeviceView {
    /// Name and version of each interface in the introspection.
    pub interfaces: BTreeMap<String, String>,
    pub properties: Vec<ValueView>,
    pub datastreams: Vec<ValueView>,
    pub server_properties: Vec<SettingView>,
}

/// One value of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct ValueView {
    pub interface: String,
    pub path: String,
    /// Astarte's name of the type; `object` for several values, `array` for a list.
    #[serde(rename = "type")]
    pub kind: String,
    pub value: serde_json::Value,
    pub since: String,
    pub since_ms: u64,
}

/// A property that the server owns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct SettingView {
    pub interface: String,
    pub path: String,
    pub value: String,
    pub since: String,
    pub since_ms: u64,
}

impl DeviceView {
    pub(super) fn of(view: &View<'_>, robot: &Robot) -> Option<Self> {
        let device = robot.device.as_deref()?;
        let version = |version: &InterfaceVersion| format!("{}.{}", version.major, version.minor);
        let interfaces = device.interfaces.iter();
        let kept = |value: &Published| {
            ValueView::new(&value.path, value.since, &content::payload(&value.content))
        };
        let streams = view.streams.of(robot.key);
        let streams = streams.map(|(path, at, payload)| ValueView::new(path, at, payload));
        let mut datastreams: Vec<_> = device.streams.iter().map(kept).chain(streams).collect();
        datastreams.sort_by(|a, b| (&a.interface, &a.path).cmp(&(&b.interface, &b.path)));
        Some(Self {
            interfaces: interfaces
                .map(|(name, found)| (name.to_string(), version(found)))
                .collect(),
            properties: device.properties.iter().map(kept).collect(),
            datastreams,
            server_properties: SettingView::all(robot),
        })
    }
}

impl ValueView {
    fn new(path: &str, since: Timestamp, payload: &[u8]) -> Self {
        let (interface, path) = split(path);
        let (kind, value) = match Data::decode(payload) {
            Ok((Data::Individual(value), _)) => (word(&value), json(&value)),
            Ok((Data::Object(values), _)) => {
                let values = values.iter().map(|(key, value)| (key.clone(), json(value)));
                ("object", serde_json::Value::Object(values.collect()))
            }
            // It was read before it was kept.
            Err(_) => ("unknown", serde_json::Value::Null),
        };
        Self {
            interface,
            path,
            kind: kind.to_owned(),
            value,
            since: rfc3339(since),
            since_ms: since.0,
        }
    }
}

impl SettingView {
    pub(super) fn all(robot: &Robot) -> Vec<Self> {
        let settings = robot.device.as_deref().map(|device| &device.settings[..]);
        let view = |setting: &Setting| {
            let (interface, path) = split(&setting.path);
            Self {
                interface,
                path,
                value: setting.value.to_string(),
                since: rfc3339(setting.since),
                since_ms: setting.since.0,
            }
        };
        settings.unwrap_or_default().iter().map(view).collect()
    }
}

/// Interface, and path with its leading `/`.
fn split(path: &str) -> (String, String) {
    let at = path.find('/').unwrap_or(path.len());
    (path[..at].to_owned(), path[at..].to_owned())
}

const fn word(value: &Value) -> &'static str {
    match value {
        Value::Double(_) => "double",
        Value::Integer(_) => "integer",
        Value::Boolean(_) => "boolean",
        Value::LongInteger(_) => "longinteger",
        Value::String(_) => "string",
        Value::BinaryBlob(_) => "binaryblob",
        Value::DateTime(_) => "datetime",
        Value::Array(_) => "array",
    }
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Double(number) => (*number).into(),
        Value::Integer(number) => (*number).into(),
        Value::Boolean(flag) => (*flag).into(),
        Value::LongInteger(number) => (*number).into(),
        Value::String(text) => text.as_str().into(),
        Value::BinaryBlob(bytes) => STANDARD.encode(bytes).into(),
        // A device may be wrong by more than a moment can be written.
        Value::DateTime(millis) => u64::try_from(*millis)
            .map_or_else(|_| (*millis).into(), |at| rfc3339(Timestamp(at)).into()),
        Value::Array(values) => values.iter().map(json).collect(),
    }
}
