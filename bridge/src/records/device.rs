//! What is known of Edgehog devices: a row each, apart from the robot's own, because it changes at other times.

use super::RecordError;
use crate::content;
use prost::Message;
use rollcall_engine::{Device, InterfaceVersion, Published, Setting, Timestamp};
use rollcall_proto::edgehog::{self, introspection};
use std::sync::Arc;

#[derive(Clone, PartialEq, prost::Message)]
struct StoredDevice {
    /// As a device sends it, sorted.
    #[prost(string, tag = "1")]
    introspection: String,
    #[prost(message, repeated, tag = "2")]
    properties: Vec<StoredValue>,
    #[prost(message, repeated, tag = "3")]
    streams: Vec<StoredValue>,
    #[prost(message, repeated, tag = "4")]
    settings: Vec<StoredSetting>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredValue {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(uint64, tag = "2")]
    since: u64,
    /// As it came, but for the time of a single value.
    #[prost(bytes = "vec", tag = "3")]
    payload: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredSetting {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(uint64, tag = "2")]
    since: u64,
    #[prost(string, tag = "3")]
    value: String,
}

pub(super) fn encode(device: &Device) -> Vec<u8> {
    let version = |version: &InterfaceVersion| edgehog::InterfaceVersion {
        major: version.major,
        minor: version.minor,
    };
    let interfaces = device.interfaces.iter();
    let interfaces = interfaces.map(|(name, found)| (name.to_string(), version(found)));
    let value = |value: &Published| StoredValue {
        path: value.path.to_string(),
        since: value.since.0,
        payload: content::payload(&value.content).into_owned(),
    };
    let setting = |setting: &Setting| StoredSetting {
        path: setting.path.to_string(),
        since: setting.since.0,
        value: setting.value.to_string(),
    };
    StoredDevice {
        introspection: introspection::format(&interfaces.collect()),
        properties: device.properties.iter().map(value).collect(),
        streams: device.streams.iter().map(value).collect(),
        settings: device.settings.iter().map(setting).collect(),
    }
    .encode_to_vec()
}

pub(super) fn decode(bytes: &[u8]) -> Result<Device, RecordError> {
    let stored = StoredDevice::decode(bytes)?;
    let interfaces = introspection::parse(stored.introspection.as_bytes())
        .map_err(|_| RecordError::Invalid("introspection"))?;
    let version = |found: edgehog::InterfaceVersion| InterfaceVersion {
        major: found.major,
        minor: found.minor,
    };
    let interfaces = interfaces.into_iter();
    let interfaces = interfaces.map(|(name, found)| (name.into_boxed_str(), version(found)));
    let value = |value: StoredValue| Published {
        path: value.path.into(),
        since: Timestamp(value.since),
        content: content::read(value.payload),
    };
    let setting = |setting: StoredSetting| Setting {
        path: setting.path.into(),
        since: Timestamp(setting.since),
        value: setting.value.into(),
    };
    Ok(Device {
        interfaces: Arc::new(interfaces.collect()),
        properties: stored.properties.into_iter().map(value).collect(),
        streams: stored.streams.into_iter().map(value).collect(),
        settings: stored.settings.into_iter().map(setting).collect(),
    })
}
