//! Rows of the engine as a broken disk may give them back: they are refused by name, or make a state that goes on. Nothing
//! panics, and a few bytes ask for no more memory than a few bytes can mean.

use std::collections::BTreeMap;

use peak_alloc::PeakAlloc;
use rollcall::records::{self, LoadError, Stored, Take};
use rollcall::store::{Recovered, RowKey, Table};
use rollcall_engine::{Input, Timestamp};

/// What a database holds.
#[derive(Default)]
struct Rows(BTreeMap<(Table, RowKey), Vec<u8>>);

impl Stored for Rows {
    fn each(&self, table: Table, take: &mut Take<'_>) -> Result<(), LoadError> {
        for ((of, key), value) in &self.0 {
            if *of == table {
                take(*key, value)?;
            }
        }
        Ok(())
    }
}

/// Takes the rows and no more memory than they may: whatever a row says of lengths and numbers, it holds no more than it has
/// bytes. `allocator` is the program's, and nobody else may use it meanwhile.
pub fn bounded(allocator: &PeakAlloc, data: &[u8]) {
    allocator.reset_peak_usage();
    let before = allocator.current_usage();
    rows(data);
    let taken = allocator.peak_usage().saturating_sub(before);
    let most = (1 << 20) + 1_000 * data.len();
    assert!(taken <= most, "{taken} bytes of memory");
}

/// The counters with their length before them; then rows: table, length of the key, key, length of the value in two bytes,
/// value.
fn rows(data: &[u8]) {
    let mut rest = data;
    let Some(counters) = part(&mut rest, 1) else {
        return;
    };
    let mut rows = Rows::default();
    while let Some((table, after)) = rest.split_first() {
        rest = after;
        let table = Table::ALL[usize::from(*table) % Table::ALL.len()];
        let (Some(key), Some(value)) = (part(&mut rest, 1), part(&mut rest, 2)) else {
            break;
        };
        if let Ok(key) = RowKey::from_bytes(key) {
            rows.0.insert((table, key), value.to_vec());
        }
    }
    let recovered = Recovered {
        created: false,
        schema_version: 1,
        next_history: 1,
        at_ms: 1_000,
        counters: counters.to_vec(),
        redo_commits: 0,
        redo_rows: 0,
    };
    match records::load(&rows, &recovered) {
        Ok((mut state, _)) => {
            let started = Input::Started {
                down_since: state.now(),
                base: None,
            };
            let at = Timestamp(state.now().0.saturating_add(1_000));
            let _ = state.apply(at, started);
        }
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains("cannot be understood"), "{error}");
        }
    }
}

/// The bytes behind their length, which has so many bytes itself.
fn part<'a>(rest: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let (length, after) = rest.split_at_checked(width)?;
    let length = length
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte));
    let (part, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(part)
}
