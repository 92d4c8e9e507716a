//! What the database holds against what the robots were told, once the server has ended.

use anyhow::{Context, Result, bail, ensure};
use rollcall::history::{Entry, Record};
use rollcall::records;
use rollcall::store::{DATABASE_FILE, Options, RedbStore};
use rollcall_engine::{RobotKey, RolloutId, State, TargetState, operation_id};
use rollcall_proto::Status;
use rollcall_proto::native::OtaEvent;
use rollcall_proto::topic::Uplink;
use rollcall_tests::lean::Life;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// History records read in one transaction.
const PAGE: usize = 10_000;

/// What was found to be in order.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Rows compared with the last event that was acknowledged.
    pub(crate) rows: usize,
    /// Acknowledged events that were found in the history.
    pub(crate) acknowledged: usize,
    /// OTAEvents in the history.
    pub(crate) recorded: u64,
    /// Robots and members in the database.
    pub(crate) robots_and_members: usize,
    /// Size of the database.
    pub(crate) file_bytes: u64,
}

/// Boot and counter of events, by robot.
type Events = HashMap<RobotKey, HashSet<(u64, u64)>>;

/// Opens the database and checks that every acknowledged event is in its history and has moved its row.
///
/// # Errors
/// Names the first robot whose acknowledged events are not there.
pub(crate) fn verify(data_dir: &Path, lives: &[Life]) -> Result<Checked> {
    let mut checked = Checked {
        file_bytes: std::fs::metadata(data_dir.join(DATABASE_FILE))?.len(),
        ..Checked::default()
    };
    let (store, recovered) = RedbStore::open(data_dir, Options::default())?;
    let (state, _) = records::load(&store, &recovered)?;
    let members: usize = state.rollouts().map(|rollout| rollout.members.len()).sum();
    checked.robots_and_members = state.robots(None).count() + members;
    let events = recorded_events(&store)?;
    checked.recorded = events.values().map(|events| events.len() as u64).sum();
    for life in lives {
        let key = state.robot_key(&life.id).context("a robot is lost")?;
        let recorded = |event| {
            events
                .get(&key)
                .is_some_and(|events| events.contains(event))
        };
        if let Some(lost) = life.acknowledged.iter().find(|event| !recorded(event)) {
            bail!(
                "{}: acknowledged event {lost:?} (boot, counter) is lost",
                life.id
            );
        }
        checked.acknowledged += life.acknowledged.len();
        if let Some(last) = life.last {
            check_row(&state, key, life, last).with_context(|| life.id.clone())?;
            checked.rows += 1;
        }
    }
    Ok(checked)
}

fn recorded_events(store: &RedbStore) -> Result<Events> {
    let history = store.history();
    let mut events = Events::new();
    let mut next = 0;
    loop {
        let page = history.page(next.., PAGE)?;
        let Some(last) = page.last() else {
            return Ok(events);
        };
        next = last.seq + 1;
        for entry in page {
            let record = Record::decode(entry.seq, entry.bytes.into())?;
            let (Entry::Publish { topic, payload }, Some((robot, _))) =
                (record.entry, record.robot)
            else {
                continue;
            };
            if let Ok((_, Uplink::OtaEvent { .. })) = Uplink::parse(&topic) {
                let event = OtaEvent::decode(&payload)?;
                let new = events
                    .entry(robot)
                    .or_default()
                    .insert((event.boot, event.counter));
                ensure!(new, "an event was taken twice: {robot:?} {event:?}");
            }
        }
    }
}

/// The row of the ECU is where the last acknowledged event has moved it, or further.
fn check_row(
    state: &State,
    key: RobotKey,
    life: &Life,
    (operation, status, progress): (uuid::Uuid, Status, u8),
) -> Result<()> {
    let (ecu, _) = life.operations.get(&operation).context("no operation")?;
    let rollout = state.rollout(RolloutId(1)).context("the rollout is lost")?;
    let robot = state.robot(key).context("the robot is lost")?;
    let member = rollout.members.get(&key).context("the member is lost")?;
    let name = |index: u8| robot.ecus.get(usize::from(index)).map(|ecu| &ecu.name);
    let target = member
        .targets
        .iter()
        .find(|target| name(target.ecu).is_some_and(|name| name.as_str() == ecu))
        .context("the target is lost")?;
    let name = name(target.ecu).context("the ECU is lost")?;
    ensure!(
        operation_id(rollout.id, key, name, target.attempt) == operation,
        "the row is about another operation: {target:?}"
    );
    let (least, found) = (said(status, progress), place(&target.state));
    ensure!(
        found.is_some_and(|found| found >= least),
        "{status:?} {progress} was acknowledged, but the row says {:?}",
        target.state
    );
    Ok(())
}

/// How far an event takes its target: state and percent, in the order in which operations pass them.
const fn said(status: Status, progress: u8) -> (u8, u8) {
    match status {
        Status::Acknowledged | Status::Error | Status::Failure => (2, 0),
        Status::Downloading if progress == 100 => (4, 0),
        Status::Downloading => (3, progress),
        Status::Deploying => (5, progress),
        Status::Deployed => (6, 0),
        Status::Rebooting | Status::Success => (7, 0),
    }
}

/// How far a target is; `None` where no operation of these robots, which never fail, should end.
const fn place(state: &TargetState) -> Option<(u8, u8)> {
    Some(match state {
        TargetState::Pending => (0, 0),
        TargetState::Requested => (1, 0),
        TargetState::Acknowledged => (2, 0),
        TargetState::Downloading { progress } => (3, *progress),
        TargetState::Downloaded => (4, 0),
        TargetState::Installing { progress } => (5, *progress),
        TargetState::Applied => (6, 0),
        TargetState::Verifying => (7, 0),
        TargetState::Succeeded { .. } => (8, 0),
        TargetState::Failed { .. }
        | TargetState::RolledBack
        | TargetState::Skipped { .. }
        | TargetState::Cancelled { .. }
        | TargetState::Superseded { .. }
        | TargetState::Expired => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_engine::FailureReason;

    #[test]
    fn a_row_that_is_where_the_event_took_it_is_enough_and_one_step_less_is_not() {
        let steps = [
            ((Status::Acknowledged, 0), TargetState::Acknowledged),
            (
                (Status::Downloading, 0),
                TargetState::Downloading { progress: 0 },
            ),
            (
                (Status::Downloading, 99),
                TargetState::Downloading { progress: 99 },
            ),
            ((Status::Downloading, 100), TargetState::Downloaded),
            (
                (Status::Deploying, 7),
                TargetState::Installing { progress: 7 },
            ),
            ((Status::Deployed, 0), TargetState::Applied),
            ((Status::Rebooting, 0), TargetState::Verifying),
        ];
        let mut before = place(&TargetState::Requested);
        for ((status, progress), state) in steps {
            assert_eq!(place(&state), Some(said(status, progress)));
            assert!(before < place(&state));
            before = place(&state);
        }
    }

    #[test]
    fn a_failed_target_has_no_place_among_robots_that_never_fail() {
        let reason = FailureReason::RequestTimeout;
        assert_eq!(place(&TargetState::Failed { reason }), None);
    }
}
