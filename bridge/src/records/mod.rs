//! The stored form of the engine's rows: protobuf records, a table each (`docs/database.md`).
//!
//! **Invariant**: decoding what was encoded gives the same value, and no field or number is ever used for something
//! else. Derived parts of the state are not stored.

mod channel;
mod credentials;
mod device;
mod inventory;
mod ledger;
pub(crate) mod mqtt;
mod release;
mod rollout;
mod target;

use crate::store::{ReadError, Recovered, RedbStore, RowChange, RowKey, Table};
use crate::writer::Chains;
use prost::Message;
use rollcall_engine::{Counters, ReleaseId, RobotKey, RolloutId, Row, State, Timestamp};
use std::collections::BTreeMap;

/// Why stored rows cannot be put together again.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The database said no.
    #[error("rows cannot be read")]
    Store(#[from] ReadError),
    /// A row is not what this version writes.
    #[error(
        "row {key:?} of table {table:?} cannot be understood: {why}; start the version that wrote it, or restore a backup of \
         the database"
    )]
    Damaged {
        /// In which table.
        table: Table,
        /// Which row.
        key: RowKey,
        /// Why.
        why: String,
    },
    /// The counters are not what this version writes.
    #[error(
        "counters cannot be understood: {0}; start the version that wrote them, or restore a backup of the database"
    )]
    Counters(prost::DecodeError),
}

/// Why one record cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error(transparent)]
    Protobuf(#[from] prost::DecodeError),
    #[error("it has no valid {0}")]
    Invalid(&'static str),
}

/// Takes one row after the other.
pub type Take<'t> = dyn FnMut(RowKey, &[u8]) -> Result<(), LoadError> + 't;

/// Where stored rows are.
pub trait Stored {
    /// Hands out the rows of a table in the order of their keys, until `take` refuses one.
    ///
    /// # Errors
    /// When a row cannot be read, or is refused.
    fn each(&self, table: Table, take: &mut Take<'_>) -> Result<(), LoadError>;
}

impl Stored for RedbStore {
    fn each(&self, table: Table, take: &mut Take<'_>) -> Result<(), LoadError> {
        for row in self.rows(table)? {
            let row = row?;
            take(row.key, row.value())?;
        }
        Ok(())
    }
}

/// The key of a row, and its value as the state has it now (`None`: the row is gone). Nothing for the counters.
#[must_use]
pub fn change(state: &State, chains: &Chains, row: &Row) -> Option<RowChange> {
    let (table, key, value) = match row {
        Row::Counters => return None,
        Row::Robot(key) => (
            Table::Robots,
            RowKey::from(key.0),
            state.robot(*key).map(inventory::encode_robot),
        ),
        Row::Cursor(key) => {
            let encode = |robot| inventory::encode_cursor(robot, chains.robot(*key));
            (
                Table::Cursors,
                RowKey::from(key.0),
                state.robot(*key).map(encode),
            )
        }
        Row::Device(key) => {
            let device = state.robot(*key).and_then(|robot| robot.device.as_deref());
            (
                Table::Devices,
                RowKey::from(key.0),
                device.map(device::encode),
            )
        }
        Row::Group(key) => (
            Table::Groups,
            RowKey::from(key.0),
            state.group_by_key(*key).map(inventory::encode_group),
        ),
        Row::Channel(key) => (
            Table::Channels,
            RowKey::from(key.0),
            state.channel_by_key(*key).map(channel::encode),
        ),
        Row::LedgerVersion(channel, number) => (
            Table::LedgerVersions,
            RowKey::from((channel.0, *number)),
            state
                .ledger_version(*channel, *number)
                .map(ledger::encode_version),
        ),
        Row::Image(key) => (
            Table::Images,
            RowKey::from(key.0),
            state.image(*key).map(inventory::encode_image),
        ),
        Row::Rollout(id) => {
            let encode = |rollout| rollout::encode_rollout(rollout, chains.rollout(*id));
            (
                Table::Rollouts,
                RowKey::from(id.0),
                state.rollout(*id).map(encode),
            )
        }
        Row::Preview(id) => {
            let preview = state
                .rollout(*id)
                .filter(|rollout| !rollout.preview.is_empty());
            (
                Table::Previews,
                RowKey::from(id.0),
                preview.map(rollout::encode_preview),
            )
        }
        Row::Member(id, key) => {
            let member = state
                .rollout(*id)
                .and_then(|rollout| rollout.members.get(key));
            (
                Table::Members,
                RowKey::from((id.0, key.0)),
                member.map(target::encode_member),
            )
        }
        Row::Release(id) => (
            Table::Releases,
            RowKey::from(id.0),
            state.release(*id).map(release::encode),
        ),
        Row::Pool(id) => {
            let pooled = state.release(*id).filter(|found| !found.pool.is_empty());
            (
                Table::Pools,
                RowKey::from(id.0),
                pooled.map(release::encode_pool),
            )
        }
        Row::PairingToken(key) => (
            Table::PairingTokens,
            RowKey::from(key.0),
            state.pairing_token(*key).map(credentials::encode_token),
        ),
    };
    Some(RowChange { table, key, value })
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredCounters {
    #[prost(uint32, tag = "1")]
    robots: u32,
    #[prost(uint32, tag = "2")]
    images: u32,
    #[prost(uint32, tag = "3")]
    rollouts: u32,
    #[prost(uint32, tag = "4")]
    groups: u32,
    #[prost(uint32, tag = "5")]
    tokens: u32,
    #[prost(uint32, tag = "6")]
    channels: u32,
    #[prost(uint32, tag = "7")]
    releases: u32,
}

/// The counters as they are stored.
#[must_use]
pub fn encode_counters(counters: Counters) -> Vec<u8> {
    let Counters {
        robots,
        groups,
        images,
        rollouts,
        tokens,
        channels,
        releases,
    } = counters;
    StoredCounters {
        robots,
        images,
        rollouts,
        groups,
        tokens,
        channels,
        releases,
    }
    .encode_to_vec()
}

/// Puts the state together again from what the database holds.
///
/// # Errors
/// When a row cannot be read or understood; nothing is skipped.
pub fn load(store: &impl Stored, recovered: &Recovered) -> Result<(State, Chains), LoadError> {
    let counters =
        StoredCounters::decode(recovered.counters.as_slice()).map_err(LoadError::Counters)?;
    let counters = Counters {
        robots: counters.robots,
        groups: counters.groups,
        images: counters.images,
        rollouts: counters.rollouts,
        tokens: counters.tokens,
        channels: counters.channels,
        releases: counters.releases,
    };
    let mut chains = Chains::default();
    let mut robots = read(store, Table::Robots, inventory::decode_robot)?;
    for (key, (cursor, newest)) in read(store, Table::Cursors, inventory::decode_cursor)? {
        let key = RobotKey(key.as_u32().unwrap_or(0));
        chains.set_robot(key, newest);
        if let Ok(index) = robots.binary_search_by_key(&key, |(_, robot)| robot.key) {
            robots[index].1.cursor = cursor;
        }
    }
    let mut rollouts = BTreeMap::new();
    for (_, (rollout, newest)) in read(store, Table::Rollouts, rollout::decode_rollout)? {
        chains.rollouts.insert(rollout.id, newest);
        rollouts.insert(rollout.id, rollout);
    }
    for (key, preview) in read(store, Table::Previews, |_, bytes| {
        rollout::decode_preview(bytes)
    })? {
        if let Some(rollout) = key.as_u32().and_then(|id| rollouts.get_mut(&RolloutId(id))) {
            rollout.preview = preview;
        }
    }
    for (key, member) in read(store, Table::Members, |_, bytes| {
        target::decode_member(bytes)
    })? {
        let Some((id, robot)) = key.as_u32_pair() else {
            continue;
        };
        if let Some(rollout) = rollouts.get_mut(&RolloutId(id)) {
            rollout.members.insert(RobotKey(robot), member);
        }
    }
    let groups = read(store, Table::Groups, inventory::decode_group)?;
    let images = read(store, Table::Images, inventory::decode_image)?;
    let tokens = read(store, Table::PairingTokens, credentials::decode_token)?;
    let channels = read(store, Table::Channels, channel::decode)?;
    let versions = read(store, Table::LedgerVersions, ledger::decode_version)?;
    let mut releases: BTreeMap<_, _> = read(store, Table::Releases, release::decode)?
        .into_iter()
        .map(|(_, release)| (release.id, release))
        .collect();
    for (key, pool) in read(store, Table::Pools, |_, bytes| release::decode_pool(bytes))? {
        if let Some(release) = key.as_u32().and_then(|id| releases.get_mut(&ReleaseId(id))) {
            release.pool = pool;
        }
    }
    let values = |(_, value)| value;
    let mut state = State::rebuild(
        Timestamp(recovered.at_ms),
        counters,
        robots.into_iter().map(|(_, robot)| robot),
        groups.into_iter().map(|(_, group)| group),
        images.into_iter().map(values),
        rollouts.into_values(),
    )
    .with_pairing_tokens(tokens.into_iter().map(|(_, token)| token))
    .with_channels(channels.into_iter().map(|(_, channel)| channel))
    .with_ledger_versions(versions.into_iter().map(|(_, version)| version))
    .with_releases(releases.into_values());
    // One by one, so that what devices have in common is there once at any time.
    store.each(Table::Devices, &mut |key, bytes| {
        let damaged = |error| damaged(Table::Devices, key, &error);
        let robot = number(key).map_err(damaged)?;
        let device = device::decode(bytes).map_err(damaged)?;
        state.restore_device(RobotKey(robot), device);
        Ok(())
    })?;
    Ok((state, chains))
}

fn damaged(table: Table, key: RowKey, error: &RecordError) -> LoadError {
    LoadError::Damaged {
        table,
        key,
        why: error.to_string(),
    }
}

/// All rows of a table, in the order of their keys.
fn read<T>(
    store: &impl Stored,
    table: Table,
    decode: impl Fn(RowKey, &[u8]) -> Result<T, RecordError>,
) -> Result<Vec<(RowKey, T)>, LoadError> {
    let mut rows = Vec::new();
    store.each(table, &mut |key, bytes| {
        let value = decode(key, bytes).map_err(|error| damaged(table, key, &error))?;
        rows.push((key, value));
        Ok(())
    })?;
    Ok(rows)
}

/// The number that a key holds.
fn number(key: RowKey) -> Result<u32, RecordError> {
    key.as_u32().ok_or(RecordError::Invalid("key"))
}

/// 32 bytes out of a record.
fn digest(bytes: &[u8], what: &'static str) -> Result<[u8; 32], RecordError> {
    bytes.try_into().map_err(|_| RecordError::Invalid(what))
}

#[cfg(test)]
mod tests;
