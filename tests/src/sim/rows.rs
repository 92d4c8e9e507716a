//! The database of a simulated server: one value per row, as far as commits have written them.
//!
//! **Invariant**: only rows that the engine names as touched are ever written, so a row that it forgets to name is
//! missing after the next crash, exactly as in the real store.

use super::Broken;
use rollcall_engine::{
    Counters, Counts, Cursor, Device, Group, GroupKey, Image, ImageKey, Link, Member, Membership,
    Robot, RobotKey, Rollout, RolloutId, Row, State, Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};

/// What would be found on the disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    pub(super) at: Timestamp,
    counters: Counters,
    robots: BTreeMap<RobotKey, Robot>,
    pub(super) cursors: BTreeMap<RobotKey, Cursor>,
    groups: BTreeMap<GroupKey, Group>,
    images: BTreeMap<ImageKey, Image>,
    rollouts: BTreeMap<RolloutId, Rollout>,
    previews: BTreeMap<RolloutId, BTreeMap<RobotKey, u64>>,
    members: BTreeMap<(RolloutId, RobotKey), Member>,
    devices: BTreeMap<RobotKey, Device>,
}

fn put<K: Ord, V>(table: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => table.insert(key, value),
        None => table.remove(&key),
    };
}

/// The stored part of a robot.
fn bare_robot(robot: &Robot) -> Robot {
    Robot {
        cursor: Cursor::default(),
        link: Link::default(),
        memberships: Vec::new(),
        open: Vec::new(),
        active: None,
        timer: None,
        device: None,
        owed: BTreeSet::new(),
        ..robot.clone()
    }
}

/// The stored part of a rollout.
fn bare_rollout(rollout: &Rollout) -> Rollout {
    Rollout {
        preview: BTreeMap::new(),
        members: BTreeMap::new(),
        counts: Counts::default(),
        ready: BTreeSet::new(),
        ..rollout.clone()
    }
}

impl Rows {
    /// Writes the rows as `state` has them.
    pub(super) fn commit(&mut self, state: &State, touched: &BTreeSet<Row>) {
        self.at = state.now();
        self.counters = state.counters();
        for row in touched {
            match *row {
                Row::Counters => {}
                Row::Robot(key) => put(&mut self.robots, key, state.robot(key).map(bare_robot)),
                Row::Cursor(key) => put(
                    &mut self.cursors,
                    key,
                    state.robot(key).map(|robot| robot.cursor),
                ),
                Row::Device(key) => {
                    let device = state.robot(key).and_then(|robot| robot.device.as_deref());
                    put(&mut self.devices, key, device.cloned());
                }
                Row::Group(key) => put(&mut self.groups, key, state.group_by_key(key).cloned()),
                Row::Image(key) => put(&mut self.images, key, state.image(key).cloned()),
                Row::Rollout(id) => {
                    put(&mut self.rollouts, id, state.rollout(id).map(bare_rollout))
                }
                Row::Preview(id) => {
                    let preview = state.rollout(id).map(|rollout| rollout.preview.clone());
                    put(
                        &mut self.previews,
                        id,
                        preview.filter(|preview| !preview.is_empty()),
                    );
                }
                Row::Member(id, key) => {
                    let member = state
                        .rollout(id)
                        .and_then(|rollout| rollout.members.get(&key));
                    put(&mut self.members, (id, key), member.cloned());
                }
                // Nobody pairs in the simulation.
                Row::PairingToken(_) => {}
            }
        }
    }

    /// What a server finds when it starts.
    pub(super) fn recover(&self) -> State {
        let robots = self.robots.values().map(|robot| Robot {
            cursor: self.cursors.get(&robot.key).copied().unwrap_or_default(),
            ..robot.clone()
        });
        let groups = self.groups.values().map(|group| Group {
            membership: match &group.membership {
                Membership::Listed(_) => Membership::Listed(BTreeSet::new()),
                selected @ Membership::Selected(_) => selected.clone(),
            },
            ..group.clone()
        });
        let rollouts = self.rollouts.values().map(|rollout| {
            let members = self
                .members
                .range((rollout.id, RobotKey(0))..=(rollout.id, RobotKey(u32::MAX)));
            Rollout {
                preview: self.previews.get(&rollout.id).cloned().unwrap_or_default(),
                members: members
                    .map(|((_, robot), member)| (*robot, member.clone()))
                    .collect(),
                ..rollout.clone()
            }
        });
        let images = self.images.values().cloned();
        let rollouts: Vec<_> = rollouts.collect();
        let mut state = State::rebuild(self.at, self.counters, robots, groups, images, rollouts);
        for (key, device) in &self.devices {
            state.restore_device(*key, device.clone());
        }
        state
    }

    /// Design 2: recovery gives what was committed, derived parts included.
    ///
    /// Called when nothing has been applied since the last commit.
    pub(super) fn check_recovery(&self, state: &State) -> Result<(), Broken> {
        let recovered = self.recover();
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

/// All of a robot but its connection and its timer, which a start renews.
pub(super) fn durable_robot(robot: &Robot) -> Robot {
    Robot {
        link: Link::default(),
        timer: None,
        ..robot.clone()
    }
}

/// All of a rollout but who is ready, which depends on connections.
pub(super) fn unready(rollout: &Rollout) -> Rollout {
    Rollout {
        ready: BTreeSet::new(),
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
    let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
    if found == expected {
        return Ok(());
    }
    Err(Broken(format!(
        "{what} differs\n   found {found}\nexpected {expected}"
    )))
}
