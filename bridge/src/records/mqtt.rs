//! The broker's rows: sessions and retained messages. Their bytes are the broker's own business.

use super::{LoadError, Stored};
use crate::store::{RowChange, RowKey, Table};
use rollcall_broker::{KEY_LEN, StoredChange, StoredKey, StoredRow, StoredTable};

const fn table(table: StoredTable) -> Table {
    match table {
        StoredTable::Sessions => Table::MqttSessions,
        StoredTable::Deliveries => Table::MqttDeliveries,
        StoredTable::Received => Table::MqttReceived,
        StoredTable::Messages => Table::MqttMessages,
        StoredTable::Retained => Table::MqttRetained,
    }
}

// The broker's keys are as long as keys may be.
const _: () = assert!(KEY_LEN == RowKey::MAX_LEN);

/// A change of the broker's, as a commit takes it.
pub(crate) fn change(change: StoredChange) -> RowChange {
    RowChange {
        table: table(change.table),
        key: RowKey::from(change.key.0),
        value: change.value,
    }
}

/// Every row of the broker's.
///
/// # Errors
/// When the database cannot be read, or has a key that is not the broker's.
pub(crate) fn load(stored: &impl Stored) -> Result<Vec<StoredRow>, LoadError> {
    let mut rows = Vec::new();
    for kind in StoredTable::ALL {
        stored.each(table(kind), &mut |key, value| {
            let damaged = |_| LoadError::Damaged {
                table: table(kind),
                key,
                why: "its key is too short".to_owned(),
            };
            rows.push(StoredRow {
                table: kind,
                key: StoredKey(key.to_bytes().as_ref().try_into().map_err(damaged)?),
                value: value.to_vec(),
            });
            Ok(())
        })?;
    }
    Ok(rows)
}
