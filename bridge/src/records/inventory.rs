//! Robots, cursors, groups and images.

use super::credentials::{self, StoredCredentials};
use super::ledger::{self, StoredOrigin};
use super::{RecordError, digest, number};
use crate::store::RowKey;
use prost::Message;
use rollcall_engine as engine;
use rollcall_engine::{
    Cursor, Ecu, EcuName, Group, GroupKey, GroupName, HardwareId, Hold, Image, ImageKey, Link,
    Membership, Model, Protocol, ReportedImage, Robot, RobotId, RobotKey, Tag, Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

#[derive(Clone, PartialEq, prost::Message)]
struct StoredRobot {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, optional, tag = "3")]
    model: Option<String>,
    #[prost(btree_map = "string, string", tag = "4")]
    labels: BTreeMap<String, String>,
    #[prost(string, repeated, tag = "5")]
    groups: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    ecus: Vec<StoredEcu>,
    #[prost(bytes = "vec", tag = "7")]
    secret: Vec<u8>,
    #[prost(uint64, tag = "8")]
    registered: u64,
    #[prost(uint64, optional, tag = "9")]
    removed: Option<u64>,
    /// 0 unknown, 1 native, 2 Edgehog.
    #[prost(uint32, tag = "10")]
    protocol: u32,
    #[prost(bool, tag = "11")]
    by_part_number: bool,
    #[prost(message, optional, tag = "12")]
    credentials: Option<StoredCredentials>,
    #[prost(string, repeated, tag = "14")]
    tags: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredEcu {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    hardware_id: String,
    #[prost(bool, tag = "3")]
    primary: bool,
    #[prost(message, optional, tag = "4")]
    reported: Option<StoredReported>,
    #[prost(message, optional, tag = "5")]
    hold: Option<StoredHold>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredReported {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
    #[prost(string, tag = "3")]
    build_id: String,
    #[prost(bytes = "vec", optional, tag = "4")]
    digest: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "5")]
    operation: Option<Vec<u8>>,
}

/// Without a hardware id and a part number: the Manifest does not name the ECU.
#[derive(Clone, PartialEq, prost::Message)]
struct StoredHold {
    #[prost(string, optional, tag = "1")]
    hardware_id: Option<String>,
    #[prost(bool, tag = "2")]
    primary: bool,
    #[prost(string, optional, tag = "3")]
    part_number: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredCursor {
    #[prost(uint64, tag = "1")]
    boot: u64,
    #[prost(uint64, tag = "2")]
    counter: u64,
    #[prost(fixed64, tag = "3")]
    window: u64,
    #[prost(uint64, tag = "4")]
    acknowledged: u64,
    #[prost(uint64, tag = "5")]
    last_seen: u64,
    #[prost(uint64, tag = "6")]
    newest: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredGroup {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint64, tag = "2")]
    created: u64,
    /// Absent where the robots are listed, which their own rows say.
    #[prost(string, optional, tag = "3")]
    selector: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredImage {
    #[prost(string, tag = "1")]
    reference: String,
    #[prost(string, repeated, tag = "2")]
    hardware_ids: Vec<String>,
    #[prost(string, optional, tag = "3")]
    model: Option<String>,
    #[prost(string, optional, tag = "4")]
    build_id: Option<String>,
    #[prost(string, tag = "5")]
    url: String,
    #[prost(bool, tag = "6")]
    hosted: bool,
    #[prost(uint64, tag = "7")]
    size: u64,
    #[prost(bytes = "vec", tag = "8")]
    sha256: Vec<u8>,
    #[prost(uint64, tag = "9")]
    created: u64,
    #[prost(uint64, optional, tag = "10")]
    removed: Option<u64>,
    #[prost(string, optional, tag = "12")]
    from_version: Option<String>,
    /// Which version on a ledger it is.
    #[prost(message, optional, tag = "13")]
    ledger: Option<StoredOrigin>,
}

pub(super) fn encode_robot(robot: &Robot) -> Vec<u8> {
    StoredRobot {
        id: robot.id.to_string(),
        name: robot.name.clone(),
        model: robot.model.as_ref().map(Model::to_string),
        labels: robot.labels.clone(),
        groups: robot.groups.iter().map(GroupName::to_string).collect(),
        ecus: robot.ecus.iter().map(encode_ecu).collect(),
        secret: robot.secret.to_vec(),
        credentials: Some(credentials::encode(&robot.credentials)),
        registered: robot.registered.0,
        removed: robot.removed.map(|at| at.0),
        protocol: match robot.protocol {
            None => 0,
            Some(Protocol::Native) => 1,
            Some(Protocol::Edgehog) => 2,
        },
        by_part_number: robot.by_part_number,
        tags: robot.tags.iter().map(Tag::to_string).collect(),
    }
    .encode_to_vec()
}

fn encode_ecu(ecu: &Ecu) -> StoredEcu {
    StoredEcu {
        name: ecu.name.to_string(),
        hardware_id: ecu.hardware_id.to_string(),
        primary: ecu.primary,
        reported: ecu.reported.as_ref().map(|reported| StoredReported {
            name: reported.name.clone(),
            version: reported.version.clone(),
            build_id: reported.build_id.clone(),
            digest: reported.digest.map(Vec::from),
            operation: reported
                .operation
                .map(|operation| operation.into_bytes().to_vec()),
        }),
        hold: ecu.hold.as_ref().map(|hold| match hold {
            Hold::NotDeclared => StoredHold::default(),
            Hold::DeclaredAs {
                hardware_id,
                primary,
            } => StoredHold {
                hardware_id: Some(hardware_id.to_string()),
                primary: *primary,
                part_number: None,
            },
            // These follow from the introspection and are never an ECU's own.
            Hold::OtaDisabled | Hold::InterfaceVersion { .. } => StoredHold::default(),
            Hold::PartNumber { found } => StoredHold {
                part_number: Some(found.clone()),
                ..StoredHold::default()
            },
        }),
    }
}

pub(super) fn decode_robot(key: RowKey, bytes: &[u8]) -> Result<Robot, RecordError> {
    let stored = StoredRobot::decode(bytes)?;
    Ok(Robot {
        key: RobotKey(number(key)?),
        id: name(&stored.id, "robot id", RobotId::new)?,
        name: stored.name,
        model: optional(stored.model.as_deref(), "model", Model::new)?,
        labels: stored.labels,
        groups: all(&stored.groups, "group name", GroupName::new)?,
        ecus: stored
            .ecus
            .into_iter()
            .map(decode_ecu)
            .collect::<Result<_, _>>()?,
        secret: digest(&stored.secret, "secret")?,
        credentials: credentials::decode(stored.credentials, Timestamp(stored.registered))?,
        registered: Timestamp(stored.registered),
        removed: stored.removed.map(Timestamp),
        protocol: match stored.protocol {
            0 => None,
            1 => Some(Protocol::Native),
            2 => Some(Protocol::Edgehog),
            _ => return Err(RecordError::Invalid("protocol")),
        },
        by_part_number: stored.by_part_number,
        device: None,
        owed: BTreeSet::new(),
        tags: all(&stored.tags, "tag", Tag::new)?,
        cursor: Cursor::default(),
        link: Link::default(),
        memberships: Vec::new(),
        open: Vec::new(),
        active: None,
        active_since: Timestamp::default(),
        timer: None,
    })
}

fn decode_ecu(stored: StoredEcu) -> Result<Ecu, RecordError> {
    let hold = stored.hold.map(|hold| {
        Ok::<_, RecordError>(match (hold.hardware_id, hold.part_number) {
            (None, None) => Hold::NotDeclared,
            (None, Some(found)) => Hold::PartNumber { found },
            (Some(id), _) => Hold::DeclaredAs {
                hardware_id: name(&id, "hardware id", HardwareId::new)?,
                primary: hold.primary,
            },
        })
    });
    Ok(Ecu {
        name: name(&stored.name, "ECU name", EcuName::new)?,
        hardware_id: name(&stored.hardware_id, "hardware id", HardwareId::new)?,
        primary: stored.primary,
        reported: stored.reported.map(decode_reported).transpose()?,
        hold: hold.transpose()?,
    })
}

fn decode_reported(stored: StoredReported) -> Result<ReportedImage, RecordError> {
    let operation = stored
        .operation
        .map(|bytes| Uuid::from_slice(&bytes))
        .transpose();
    Ok(ReportedImage {
        name: stored.name,
        version: stored.version,
        build_id: stored.build_id,
        digest: stored
            .digest
            .map(|bytes| digest(&bytes, "digest"))
            .transpose()?,
        operation: operation.map_err(|_| RecordError::Invalid("operation"))?,
    })
}

pub(super) fn encode_cursor(robot: &Robot, newest: u64) -> Vec<u8> {
    let Cursor {
        boot,
        counter,
        window,
        acknowledged,
        last_seen,
    } = robot.cursor;
    StoredCursor {
        boot,
        counter,
        window,
        acknowledged,
        last_seen: last_seen.0,
        newest,
    }
    .encode_to_vec()
}

pub(super) fn decode_cursor(_: RowKey, bytes: &[u8]) -> Result<(Cursor, u64), RecordError> {
    let StoredCursor {
        boot,
        counter,
        window,
        acknowledged,
        last_seen,
        newest,
    } = StoredCursor::decode(bytes)?;
    Ok((
        Cursor {
            boot,
            counter,
            window,
            acknowledged,
            last_seen: Timestamp(last_seen),
        },
        newest,
    ))
}

pub(super) fn encode_group(group: &Group) -> Vec<u8> {
    StoredGroup {
        name: group.name.to_string(),
        created: group.created.0,
        selector: match &group.membership {
            Membership::Listed(_) => None,
            Membership::Selected(selector) => Some(selector.as_str().to_owned()),
        },
    }
    .encode_to_vec()
}

pub(super) fn decode_group(key: RowKey, bytes: &[u8]) -> Result<Group, RecordError> {
    let stored = StoredGroup::decode(bytes)?;
    Ok(Group {
        key: GroupKey(number(key)?),
        name: name(&stored.name, "group name", GroupName::new)?,
        created: Timestamp(stored.created),
        membership: match stored.selector {
            None => Membership::Listed(BTreeSet::new()),
            Some(text) => {
                Membership::Selected(text.parse().map_err(|_| RecordError::Invalid("selector"))?)
            }
        },
    })
}

pub(super) fn encode_image(image: &Image) -> Vec<u8> {
    StoredImage {
        reference: image.reference.to_string(),
        hardware_ids: image
            .hardware_ids
            .iter()
            .map(HardwareId::to_string)
            .collect(),
        model: image.model.as_ref().map(Model::to_string),
        build_id: image.build_id.clone(),
        from_version: image.from_version.as_ref().map(ToString::to_string),
        url: image.url.clone(),
        hosted: image.hosted,
        size: image.size,
        sha256: image.sha256.to_vec(),
        ledger: image.ledger.map(ledger::encode_origin),
        created: image.created.0,
        removed: image.removed.map(|at| at.0),
    }
    .encode_to_vec()
}

pub(super) fn decode_image(key: RowKey, bytes: &[u8]) -> Result<Image, RecordError> {
    let stored = StoredImage::decode(bytes)?;
    Ok(Image {
        key: ImageKey(number(key)?),
        reference: stored
            .reference
            .parse()
            .map_err(|_| RecordError::Invalid("image name"))?,
        hardware_ids: all(&stored.hardware_ids, "hardware id", HardwareId::new)?,
        model: optional(stored.model.as_deref(), "model", Model::new)?,
        build_id: stored.build_id,
        from_version: stored
            .from_version
            .map(|text| text.parse())
            .transpose()
            .map_err(|_| RecordError::Invalid("version requirement"))?,
        url: stored.url,
        hosted: stored.hosted,
        size: stored.size,
        sha256: digest(&stored.sha256, "SHA-256")?,
        ledger: stored.ledger.as_ref().map(ledger::decode_origin),
        created: Timestamp(stored.created),
        removed: stored.removed.map(Timestamp),
    })
}

pub(super) fn name<T>(
    text: &str,
    what: &'static str,
    parse: fn(&str) -> Result<T, engine::NameError>,
) -> Result<T, RecordError> {
    parse(text).map_err(|_| RecordError::Invalid(what))
}

fn optional<T>(
    text: Option<&str>,
    what: &'static str,
    parse: fn(&str) -> Result<T, engine::NameError>,
) -> Result<Option<T>, RecordError> {
    text.map(|text| name(text, what, parse)).transpose()
}

fn all<T: Ord>(
    texts: &[String],
    what: &'static str,
    parse: fn(&str) -> Result<T, engine::NameError>,
) -> Result<BTreeSet<T>, RecordError> {
    texts.iter().map(|text| name(text, what, parse)).collect()
}
