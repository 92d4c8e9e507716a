//! What the database holds of the publishers' events, once the server has ended.

use anyhow::{Context, Result, ensure};
use rollcall::history::{Entry, Record};
use rollcall::records;
use rollcall::store::{DATABASE_FILE, Options, RedbStore};
use rollcall_engine::RobotKey;
use rollcall_proto::native::OtaEvent;
use rollcall_proto::topic::Uplink;
use std::collections::HashMap;
use std::path::Path;

/// History records read in one transaction.
const PAGE: usize = 10_000;

/// What was found to be in order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// Events of the publishers.
    pub(super) events: u64,
    /// Size of the database.
    pub(super) file_bytes: u64,
}

/// The last event of each publisher.
#[derive(Debug, Default)]
struct Counts(HashMap<RobotKey, (String, u64)>);

impl Counts {
    /// Publishers count their events from 1 and never connect again, so that each follows the one before it.
    fn add(&mut self, robot: RobotKey, counter: u64) -> Result<()> {
        if let Some((id, last)) = self.0.get_mut(&robot) {
            ensure!(
                counter == *last + 1,
                "{id}: event {counter} follows event {last} in the history"
            );
            *last = counter;
        }
        Ok(())
    }

    fn events(&self) -> u64 {
        self.0.values().map(|(_, last)| last).sum()
    }
}

/// Opens the database and reads the whole history: the events of the robots `ids` must be there, each once and in order.
///
/// # Errors
/// Names the first robot with an event that is lost or doubled.
pub(super) fn check(data_dir: &Path, ids: &[String]) -> Result<Kept> {
    let file_bytes = std::fs::metadata(data_dir.join(DATABASE_FILE))?.len();
    let (store, recovered) = RedbStore::open(data_dir, Options::default())?;
    let (state, _) = records::load(&store, &recovered)?;
    let mut counts = Counts::default();
    for id in ids {
        let key = state.robot_key(id).context("a robot is lost")?;
        counts.0.insert(key, (id.clone(), 0));
    }
    let history = store.history();
    let mut next = 0;
    loop {
        let page = history.page(next.., PAGE)?;
        let Some(last) = page.last() else {
            return Ok(Kept {
                events: counts.events(),
                file_bytes,
            });
        };
        next = last.seq + 1;
        for entry in page {
            let record = Record::decode(entry.seq, entry.bytes.into())?;
            if let (Entry::Publish { topic, payload }, Some((robot, _))) =
                (record.entry, record.robot)
                && matches!(Uplink::parse(&topic), Ok((_, Uplink::OtaEvent { .. })))
            {
                counts.add(robot, OtaEvent::decode(&payload)?.counter)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_is_lost_or_doubled_is_found() {
        let counted = |counters: &[u64]| {
            let (robot, stranger) = (RobotKey(1), RobotKey(2));
            let mut counts = Counts(HashMap::from([(robot, ("robot-1".to_owned(), 0))]));
            counts.add(stranger, 9)?;
            for counter in counters {
                counts.add(robot, *counter)?;
            }
            anyhow::Ok(counts.events())
        };
        assert_eq!(counted(&[1, 2, 3]).unwrap(), 3);
        for wrong in [&[2][..], &[1, 3], &[1, 2, 2], &[2, 1]] {
            let error = counted(wrong).unwrap_err().to_string();
            assert!(error.starts_with("robot-1"), "{error}");
        }
    }
}
