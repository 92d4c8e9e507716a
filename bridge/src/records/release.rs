//! Releases and their pools. As with rollouts, what people asked for and did is kept as JSON.

use super::inventory::name;
use super::{RecordError, number};
use crate::store::RowKey;
use prost::Message;
use rollcall_engine::{
    Act, ChannelKey, ChannelName, ImageKey, Mechanism, Release, ReleaseId, ReleaseStatus, RobotKey,
    Salt, Sampling, Timestamp, Tranche,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, prost::Message)]
struct StoredRelease {
    #[prost(uint32, tag = "1")]
    channel: u32,
    #[prost(string, tag = "2")]
    channel_name: String,
    #[prost(uint32, tag = "3")]
    image: u32,
    #[prost(bytes = "vec", tag = "4")]
    salt: Vec<u8>,
    #[prost(uint64, tag = "5")]
    published: u64,
    #[prost(uint32, optional, tag = "6")]
    replaced_by: Option<u32>,
    #[prost(uint32, tag = "7")]
    pool_size: u32,
    /// JSON of [`Course`].
    #[prost(string, tag = "8")]
    course: String,
}

/// What JSON holds. New fields get a default, so that old rows stay readable.
#[derive(Serialize, Deserialize)]
struct Course {
    #[serde(default)]
    ledger: Option<u32>,
    sampling: Sampling,
    mechanism: Mechanism,
    status: ReleaseStatus,
    tranches: Vec<Tranche>,
    acts: Vec<Act>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredPool {
    #[prost(uint32, repeated, tag = "1")]
    robots: Vec<u32>,
}

pub(super) fn encode(release: &Release) -> Vec<u8> {
    let course = Course {
        ledger: release.ledger,
        sampling: release.sampling,
        mechanism: release.mechanism.clone(),
        status: release.status,
        tranches: release.tranches.clone(),
        acts: release.acts.clone(),
    };
    StoredRelease {
        channel: release.channel.0,
        channel_name: release.channel_name.to_string(),
        image: release.image.0,
        salt: release.salt.0.to_vec(),
        published: release.published.0,
        replaced_by: release.replaced_by.map(|by| by.0),
        pool_size: release.pool_size,
        // Plain data without maps of non-string keys: it always has a JSON form.
        course: serde_json::to_string(&course).unwrap_or_default(),
    }
    .encode_to_vec()
}

pub(super) fn decode(key: RowKey, bytes: &[u8]) -> Result<Release, RecordError> {
    let stored = StoredRelease::decode(bytes)?;
    let course: Course =
        serde_json::from_str(&stored.course).map_err(|_| RecordError::Invalid("course"))?;
    let salt = stored.salt.as_slice().try_into();
    Ok(Release {
        id: ReleaseId(number(key)?),
        channel: ChannelKey(stored.channel),
        channel_name: name(&stored.channel_name, "channel name", ChannelName::new)?,
        image: ImageKey(stored.image),
        ledger: course.ledger,
        sampling: course.sampling,
        salt: Salt(salt.map_err(|_| RecordError::Invalid("salt"))?),
        mechanism: course.mechanism,
        published: Timestamp(stored.published),
        status: course.status,
        replaced_by: stored.replaced_by.map(ReleaseId),
        tranches: course.tranches,
        acts: course.acts,
        pool_size: stored.pool_size,
        pool: Vec::new(),
    })
}

pub(super) fn encode_pool(release: &Release) -> Vec<u8> {
    StoredPool {
        robots: release.pool.iter().map(|key| key.0).collect(),
    }
    .encode_to_vec()
}

pub(super) fn decode_pool(bytes: &[u8]) -> Result<Vec<RobotKey>, RecordError> {
    let stored = StoredPool::decode(bytes)?;
    Ok(stored.robots.into_iter().map(RobotKey).collect())
}
