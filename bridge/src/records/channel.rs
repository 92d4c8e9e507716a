//! Channels.

use super::ledger::{self, StoredSource};
use super::{RecordError, number};
use crate::store::RowKey;
use prost::Message;
use rollcall_engine::{Channel, ChannelKey, ChannelName, GroupKey, Timestamp};

#[derive(Clone, PartialEq, prost::Message)]
struct StoredChannel {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint64, tag = "2")]
    created: u64,
    #[prost(uint32, repeated, tag = "3")]
    groups: Vec<u32>,
    /// Absent where images of ours are released.
    #[prost(message, optional, tag = "4")]
    source: Option<StoredSource>,
}

pub(super) fn encode(channel: &Channel) -> Vec<u8> {
    StoredChannel {
        name: channel.name.to_string(),
        created: channel.created.0,
        groups: channel.groups.iter().map(|key| key.0).collect(),
        source: ledger::encode_source(&channel.source),
    }
    .encode_to_vec()
}

pub(super) fn decode(key: RowKey, bytes: &[u8]) -> Result<Channel, RecordError> {
    let stored = StoredChannel::decode(bytes)?;
    Ok(Channel {
        key: ChannelKey(number(key)?),
        name: ChannelName::new(&stored.name).map_err(|_| RecordError::Invalid("channel name"))?,
        created: Timestamp(stored.created),
        groups: stored.groups.into_iter().map(GroupKey).collect(),
        source: ledger::decode_source(stored.source)?,
    })
}
