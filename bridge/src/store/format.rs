//! Names, versions and fixed encodings on disk. `docs/database.md` tells the whole story.

use redb::TableDefinition;

use super::table::{COUNTERS_NUMBER, Table};

/// The schema that this build writes.
///
/// It covers the tables, the redo frames and the encodings of rows, history and counters alike:
/// raise it with any change of them, and raise [`MIN_READER_VERSION`] too when an older build
/// would lose something by reading and rewriting the new form.
pub const SCHEMA_VERSION: u64 = 5;

/// The oldest schema whose builds may open what this build writes.
pub const MIN_READER_VERSION: u64 = 5;

/// The database's file name inside the data directory.
pub const DATABASE_FILE: &str = "rollcall.redb";

/// The lock file's name inside the data directory.
pub const LOCK_FILE: &str = "rollcall.lock";

/// Where a database is built before it gets its name, so that a crash during the first start
/// leaves no half of one behind.
pub(super) const NEW_DATABASE_FILE: &str = "rollcall.redb.new";

/// What every redb file begins with.
pub(super) const REDB_MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";

pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(super) const META_SCHEMA: &str = "schema_version";
pub(super) const META_MIN_READER: &str = "min_reader_version";

pub(super) const HISTORY: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("history");

/// (commit, part) to one chunk of that commit's frame.
pub(super) const REDO: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("redo");

/// One value: where the sweep stands.
pub(super) const SWEEP: TableDefinition<'_, (), &[u8]> = TableDefinition::new("sweep");

pub(super) const COUNTERS: RowTable = TableDefinition::new("counters");

/// A table of rows: key bytes to row bytes.
pub(super) type RowTable = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// The redb table that rows with this table number are written to.
pub(super) fn row_table(number: u8) -> Option<RowTable> {
    if number == COUNTERS_NUMBER {
        return Some(COUNTERS);
    }
    Table::from_number(number).map(definition)
}

pub(super) fn definition(table: Table) -> RowTable {
    TableDefinition::new(match table {
        Table::Robots => "robots",
        Table::Cursors => "cursors",
        Table::Members => "members",
        Table::Groups => "groups",
        Table::Images => "images",
        Table::Rollouts => "rollouts",
        Table::Previews => "previews",
        Table::Artifacts => "artifacts",
        Table::PairingTokens => "pairing_tokens",
        Table::Devices => "devices",
        Table::Channels => "channels",
        Table::LedgerVersions => "ledger_versions",
        Table::Releases => "releases",
        Table::Pools => "pools",
        Table::MqttSessions => "mqtt_sessions",
        Table::MqttDeliveries => "mqtt_deliveries",
        Table::MqttReceived => "mqtt_received",
        Table::MqttMessages => "mqtt_messages",
        Table::MqttRetained => "mqtt_retained",
    })
}

/// The store's own counters with the caller's behind them: one row, rewritten by every commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counters {
    /// The last commit; 0 before the first.
    pub(super) commit: u64,
    pub(super) next_history: u64,
    pub(super) at_ms: u64,
    pub(super) callers: Vec<u8>,
}

impl Counters {
    pub(super) fn of_an_empty_database() -> Self {
        Self {
            commit: 0,
            next_history: 1,
            at_ms: 0,
            callers: Vec::new(),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(24 + self.callers.len());
        for number in [self.commit, self.next_history, self.at_ms] {
            row.extend_from_slice(&number.to_be_bytes());
        }
        row.extend_from_slice(&self.callers);
        row
    }

    pub(super) fn decode(row: &[u8]) -> Option<Self> {
        let (commit, row) = row.split_first_chunk()?;
        let (next_history, row) = row.split_first_chunk()?;
        let (at_ms, callers) = row.split_first_chunk()?;
        Some(Self {
            commit: u64::from_be_bytes(*commit),
            next_history: u64::from_be_bytes(*next_history),
            at_ms: u64::from_be_bytes(*at_ms),
            callers: callers.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_the_counters_are_frozen_and_come_back() {
        let counters = Counters {
            commit: 1,
            next_history: 0x0203,
            at_ms: 0x0405,
            callers: vec![9, 8],
        };
        let row = counters.encode();
        let expected: &[&[u8]] = &[
            &[0, 0, 0, 0, 0, 0, 0, 1],
            &[0, 0, 0, 0, 0, 0, 2, 3],
            &[0, 0, 0, 0, 0, 0, 4, 5],
            &[9, 8],
        ];
        assert_eq!(row, expected.concat());
        assert_eq!(Counters::decode(&row), Some(counters));
        assert_eq!(Counters::decode(&row[..23]), None);
    }

    #[test]
    fn every_table_number_has_a_table_of_its_own_name() {
        let names =
            (0..=19).map(|number| redb::TableHandle::name(&row_table(number).unwrap()).to_owned());
        let frozen = [
            "counters",
            "robots",
            "cursors",
            "members",
            "groups",
            "images",
            "rollouts",
            "previews",
            "artifacts",
            "pairing_tokens",
            "devices",
            "channels",
            "ledger_versions",
            "releases",
            "pools",
            "mqtt_sessions",
            "mqtt_deliveries",
            "mqtt_received",
            "mqtt_messages",
            "mqtt_retained",
        ];
        assert_eq!(names.collect::<Vec<_>>(), frozen);
        assert!(row_table(20).is_none());
    }
}
