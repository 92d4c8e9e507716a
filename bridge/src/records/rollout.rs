//! Rollouts and previews. What an operator asked for is kept as JSON: it is read rarely and grows with the product.

use super::RecordError;
use super::inventory::name;
use crate::store::RowKey;
use prost::Message;
use rollcall_engine::{
    Counts, Course, HardwareId, ImageKey, Mechanism, RobotKey, RobotMap, RobotSet, Rollout,
    RolloutId, RolloutName, RolloutStatus, Tally, TargetSelection, Zones,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, prost::Message)]
struct StoredRollout {
    #[prost(string, tag = "1")]
    name: String,
    /// JSON of [`Definition`].
    #[prost(string, tag = "2")]
    definition: String,
    #[prost(uint32, tag = "3")]
    revision: u32,
    #[prost(uint64, tag = "4")]
    created: u64,
    #[prost(string, tag = "5")]
    created_by: String,
    #[prost(uint64, tag = "6")]
    newest: u64,
}

/// What JSON holds. New fields get a default, so that old rows stay readable.
#[derive(Serialize, Deserialize)]
struct Definition {
    target: TargetSelection,
    images: BTreeMap<HardwareId, ImageKey>,
    mechanism: Mechanism,
    status: RolloutStatus,
    #[serde(default)]
    course: Course,
    #[serde(default)]
    manual: bool,
    #[serde(default)]
    missed_start: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredPreview {
    #[prost(uint32, repeated, tag = "1")]
    robots: Vec<u32>,
    #[prost(fixed64, repeated, tag = "2")]
    fingerprints: Vec<u64>,
}

pub(super) fn encode_rollout(rollout: &Rollout, newest: u64) -> Vec<u8> {
    let definition = Definition {
        target: rollout.target.clone(),
        images: rollout.images.clone(),
        mechanism: rollout.mechanism.clone(),
        status: rollout.status,
        course: rollout.course.clone(),
        manual: rollout.manual,
        missed_start: rollout.missed_start.clone(),
    };
    StoredRollout {
        name: rollout.name.to_string(),
        // Plain data without maps of non-string keys: it always has a JSON form.
        definition: serde_json::to_string(&definition).unwrap_or_default(),
        revision: rollout.revision,
        created: rollout.created.0,
        created_by: rollout.created_by.clone(),
        newest,
    }
    .encode_to_vec()
}

pub(super) fn decode_rollout(key: RowKey, bytes: &[u8]) -> Result<(Rollout, u64), RecordError> {
    let stored = StoredRollout::decode(bytes)?;
    let definition: Definition =
        serde_json::from_str(&stored.definition).map_err(|_| RecordError::Invalid("definition"))?;
    let rollout = Rollout {
        id: RolloutId(super::number(key)?),
        name: name(&stored.name, "rollout name", RolloutName::new)?,
        target: definition.target,
        images: definition.images,
        mechanism: definition.mechanism,
        revision: stored.revision,
        created: rollcall_engine::Timestamp(stored.created),
        created_by: stored.created_by,
        status: definition.status,
        course: definition.course,
        manual: definition.manual,
        missed_start: definition.missed_start,
        preview: RobotMap::new(),
        members: RobotMap::new(),
        counts: Counts::default(),
        tally: Tally::default(),
        ready: RobotSet::new(),
        begun: RobotSet::new(),
        zones: Zones::default(),
        more: false,
        timer: None,
    };
    Ok((rollout, stored.newest))
}

pub(super) fn encode_preview(rollout: &Rollout) -> Vec<u8> {
    StoredPreview {
        robots: rollout.preview.keys().map(|robot| robot.0).collect(),
        fingerprints: rollout.preview.values().copied().collect(),
    }
    .encode_to_vec()
}

pub(super) fn decode_preview(bytes: &[u8]) -> Result<RobotMap<u64>, RecordError> {
    let stored = StoredPreview::decode(bytes)?;
    if stored.robots.len() != stored.fingerprints.len() {
        return Err(RecordError::Invalid("preview"));
    }
    Ok(stored
        .robots
        .into_iter()
        .map(RobotKey)
        .zip(stored.fingerprints)
        .collect())
}
