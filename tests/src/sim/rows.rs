//! The database of a simulated server: the stored bytes of every row, as far as commits have written them.
//!
//! **Invariant**: only rows that the engine names as touched are ever written, so a row that it forgets to name is
//! missing after the next crash, exactly as in the real store; and what the codec of a row forgets is missing too.

use super::Broken;
use super::standing::Hashed;
use rollcall::records::{self, LoadError, Stored, Take};
use rollcall::store::{Recovered, RedbStore, RowChange, RowKey, Table};
use rollcall::writer::Chains;
use rollcall_engine::{Link, Robot, RobotSet, Rollout, Row, State, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// What would be found on the disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    pub(super) at: Timestamp,
    pub(super) counters: Vec<u8>,
    tables: BTreeMap<Table, BTreeMap<RowKey, Vec<u8>>>,
}

impl Stored for Rows {
    fn each(&self, table: Table, take: &mut Take<'_>) -> Result<(), LoadError> {
        let rows = self.tables.get(&table).into_iter().flatten();
        rows.into_iter().try_for_each(|(key, row)| take(*key, row))
    }
}

/// Every row that a state should have.
fn all_rows(state: &State) -> Vec<Row> {
    let mut rows = Vec::new();
    for robot in state.robots(None) {
        let key = robot.key;
        rows.extend([Row::Robot(key), Row::Cursor(key), Row::Device(key)]);
    }
    rows.extend(state.groups().map(|group| Row::Group(group.key)));
    rows.extend(state.channels().map(|channel| Row::Channel(channel.key)));
    rows.extend(state.images().map(|image| Row::Image(image.key)));
    for rollout in state.rollouts() {
        rows.extend([Row::Rollout(rollout.id), Row::Preview(rollout.id)]);
        let members = rollout.members.keys();
        rows.extend(members.map(|robot| Row::Member(rollout.id, robot)));
    }
    rows
}

/// The rows as `state` has them, as they are stored.
pub(super) fn changes(state: &State, touched: &BTreeSet<Row>) -> impl Iterator<Item = RowChange> {
    let chains = Chains::default();
    let rows = touched.iter();
    rows.filter_map(move |row| records::change(state, &chains, row))
}

impl Rows {
    /// Everything that a store has.
    pub(super) fn read(store: &RedbStore, recovered: &Recovered) -> Result<Self, Broken> {
        let mut rows = Self {
            at: Timestamp(recovered.at_ms),
            counters: recovered.counters.clone(),
            tables: BTreeMap::new(),
        };
        for table in Table::ALL {
            let found = rows.tables.entry(table).or_default();
            let mut take = |key, row: &[u8]| {
                found.insert(key, row.to_vec());
                Ok(())
            };
            let read = store.each(table, &mut take);
            read.map_err(|error| Broken(format!("{table:?} cannot be read: {error}")))?;
        }
        Ok(rows)
    }

    /// Everything of `state`, as it would be stored.
    pub(super) fn of(state: &State) -> Self {
        let mut rows = Self::default();
        rows.commit(state, &all_rows(state).into_iter().collect());
        rows
    }

    /// Writes the rows as `state` has them.
    pub(super) fn commit(&mut self, state: &State, touched: &BTreeSet<Row>) {
        self.at = state.now();
        self.counters = records::encode_counters(state.counters());
        for change in changes(state, touched) {
            let table = self.tables.entry(change.table).or_default();
            match change.value {
                Some(value) => table.insert(change.key, value),
                None => table.remove(&change.key),
            };
        }
    }

    /// What a server finds when it starts.
    pub(super) fn recover(&self) -> State {
        if self.counters.is_empty() {
            return State::default();
        }
        let recovered = Recovered {
            created: false,
            schema_version: rollcall::store::SCHEMA_VERSION,
            next_history: 1,
            at_ms: self.at.0,
            counters: self.counters.clone(),
            redo_commits: 0,
            redo_rows: 0,
        };
        let (state, _) = records::load(self, &recovered).expect("what was stored can be read");
        state
    }

    /// The rows of a table. A robot of which nothing was ever heard has an empty cursor, or none.
    fn rows(&self, table: Table) -> BTreeMap<RowKey, &[u8]> {
        let rows = self.tables.get(&table).into_iter().flatten();
        let rows = rows.map(|(key, row)| (*key, row.as_slice()));
        rows.filter(|(_, row)| !row.is_empty()).collect()
    }

    /// Byte for byte the same rows.
    pub(super) fn check_same(&self, what: &str, expected: &Self) -> Result<(), Broken> {
        if self.counters != expected.counters {
            return Err(Broken(format!("{what}: other counters")));
        }
        for table in Table::ALL {
            let [found, expected] = [self, expected].map(|rows| rows.rows(table));
            if found == expected {
                continue;
            }
            let (found, expected) = (&found, &expected);
            let mut keys = found.keys().chain(expected.keys());
            let other = keys.find(|key| found.get(key) != expected.get(key));
            let shown = |rows: &BTreeMap<RowKey, &[u8]>| {
                let row = other.and_then(|key| rows.get(key));
                row.map(|row| String::from_utf8_lossy(row).escape_debug().to_string())
            };
            return Err(Broken(format!(
                "{what}: row {other:?} of {table:?} is {:?} instead of {:?}",
                shown(found),
                shown(expected),
            )));
        }
        Ok(())
    }

    /// Design 2: recovery gives what was committed, derived parts included.
    ///
    /// Called when nothing has been applied since the last commit.
    pub(super) fn check_recovery(&self, state: &State) -> Result<(), Broken> {
        let recovered = self.recover();
        Self::of(&recovered).check_same("recovery", &Self::of(state))?;
        same("counters", &recovered.counters(), &state.counters())?;
        let (found, expected) = (recovered.robots(None), state.robots(None));
        for (found, expected) in pairs("robots", found, expected)? {
            same("robot", &durable_robot(found), &durable_robot(expected))?;
        }
        for (found, expected) in pairs("groups", recovered.groups(), state.groups())? {
            same("group", found, expected)?;
        }
        for (found, expected) in pairs("images", recovered.images(), state.images())? {
            same("image", found, expected)?;
        }
        for (found, expected) in pairs("rollouts", recovered.rollouts(), state.rollouts())? {
            same("rollout", &unready(found), &unready(expected))?;
        }
        Ok(())
    }
}

/// All of a robot but its connection, its timer, and since when what is derived is so: a start renews them.
pub(super) fn durable_robot(robot: &Robot) -> Robot {
    Robot {
        link: Link::default(),
        active_since: Timestamp::default(),
        timer: None,
        ..robot.clone()
    }
}

/// All of a rollout but who is ready, which depends on connections, what is known of its windows, and its timer: a start
/// asks and sets them anew.
pub(super) fn unready(rollout: &Rollout) -> Rollout {
    Rollout {
        ready: RobotSet::new(),
        begun: RobotSet::new(),
        zones: Default::default(),
        timer: None,
        ..rollout.clone()
    }
}

/// Two iterators of equal length, side by side.
pub(super) fn pairs<'a, T: 'a>(
    what: &str,
    found: impl Iterator<Item = &'a T>,
    expected: impl Iterator<Item = &'a T>,
) -> Result<Vec<(&'a T, &'a T)>, Broken> {
    let (found, expected): (Vec<_>, Vec<_>) = (found.collect(), expected.collect());
    if found.len() != expected.len() {
        return Err(Broken(format!(
            "{} {what} instead of {}",
            found.len(),
            expected.len()
        )));
    }
    Ok(found.into_iter().zip(expected).collect())
}

/// Equality by the debug form, which names every field.
pub(super) fn same<T: std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), Broken> {
    if Hashed::of(format_args!("{found:?}")) == Hashed::of(format_args!("{expected:?}")) {
        return Ok(());
    }
    Err(Broken(format!(
        "{what} differs\n   found {found:?}\nexpected {expected:?}"
    )))
}
