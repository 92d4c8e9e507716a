//! The whole state, and the few places that keep its derived parts true.
//!
//! Stored: robots, groups, images, rollouts with their members, channels, releases, pairing tokens, counters, the engine's time. Derived and rebuilt at
//! start: look-up tables, counts, slots, ready sets, timers. Never stored: connections.

use crate::channels::{ChannelKey, Channels};
use crate::credentials::{PairingToken, TokenKey};
use crate::device::Shared;
use crate::edgehog::LONGEST_WINDOW;
use crate::input::Timer;
use crate::inventory::{
    Counters, Group, GroupKey, Image, ImageKey, ImageRef, Link, Membership, Robot, RobotKey,
    RobotStatus,
};
use crate::ledger::Catalogue;
use crate::names::{GroupName, RobotId};
use crate::outcome::{Effect, Row};
use crate::release::{Release, ReleaseId};
use crate::robot_map::RobotMap;
use crate::rollout::{Counts, Member, Rollout, RolloutId};
use crate::tally::Tally;
use crate::target::{Target, TargetState};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Everything that Rollcall knows about a fleet.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub(crate) now: Timestamp,
    pub(crate) counters: Counters,
    pub(crate) robots: RobotMap<Robot>,
    pub(crate) robot_keys: HashMap<RobotId, RobotKey>,
    pub(crate) groups: BTreeMap<GroupKey, Group>,
    pub(crate) group_keys: BTreeMap<GroupName, GroupKey>,
    pub(crate) channels: Channels,
    pub(crate) ledger: BTreeMap<ChannelKey, Catalogue>,
    pub(crate) images: BTreeMap<ImageKey, Image>,
    pub(crate) image_keys: BTreeMap<ImageRef, ImageKey>,
    pub(crate) rollouts: BTreeMap<RolloutId, Rollout>,
    pub(crate) releases: BTreeMap<ReleaseId, Release>,
    /// Launched rollouts that robots may join (derived).
    pub(crate) dynamic: BTreeSet<RolloutId>,
    pub(crate) tokens: BTreeMap<TokenKey, PairingToken>,
    pub(crate) timers: BTreeSet<(Timestamp, Timer)>,
    /// Texts that are kept once (derived).
    pub(crate) shared: Shared,
    /// Where hosted files are fetched from, as the shell said at its start.
    pub(crate) base: Option<Arc<str>>,
    /// When the server started: before, nobody could be heard. Not stored: the first input after a start says it.
    pub(crate) started: Timestamp,
}

/// The rows and effects that the current input has led to so far.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) touched: Vec<Row>,
    pub(crate) effects: Vec<Effect>,
}

impl Changes {
    pub(crate) const fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.effects.is_empty()
    }

    pub(crate) fn touch(&mut self, row: Row) {
        if self.touched.last() != Some(&row) {
            self.touched.push(row);
        }
    }
}

impl State {
    /// Puts stored rows together again. Members must be in their rollouts already.
    #[must_use]
    pub fn rebuild(
        now: Timestamp,
        counters: Counters,
        robots: impl IntoIterator<Item = Robot>,
        groups: impl IntoIterator<Item = Group>,
        images: impl IntoIterator<Item = Image>,
        rollouts: impl IntoIterator<Item = Rollout>,
    ) -> Self {
        let mut state = Self {
            now,
            started: now,
            counters,
            groups: groups.into_iter().map(|group| (group.key, group)).collect(),
            robots: robots.into_iter().map(|robot| (robot.key, robot)).collect(),
            images: images.into_iter().map(|image| (image.key, image)).collect(),
            rollouts: rollouts
                .into_iter()
                .map(|rollout| (rollout.id, rollout))
                .collect(),
            ..Self::default()
        };
        state.image_keys = state
            .images
            .values()
            .filter(|image| image.removed.is_none())
            .map(|image| (image.reference.clone(), image.key))
            .collect();
        state.group_keys = state
            .groups
            .values()
            .map(|group| (group.name.clone(), group.key))
            .collect();
        for robot in state.robots.values_mut() {
            robot.link = Link::offline(
                robot
                    .removed
                    .unwrap_or(robot.cursor.last_seen.max(robot.registered)),
            );
            if robot.removed.is_some() {
                continue;
            }
            state.robot_keys.insert(robot.id.clone(), robot.key);
            for group in &robot.groups {
                let group = state.group_keys.get(group);
                let group = group.and_then(|key| state.groups.get_mut(key));
                if let Some(Membership::Listed(robots)) = group.map(|group| &mut group.membership) {
                    robots.insert(robot.key);
                }
            }
        }
        for rollout in state.rollouts.values_mut() {
            rollout.counts = count(&rollout.members);
            rollout.tally = Tally::of(rollout.members.values());
            let launched = rollout.is_launched();
            let windows = rollout.mechanism.windows.as_ref();
            if launched && rollout.mechanism.dynamic {
                state.dynamic.insert(rollout.id);
            }
            for (key, member) in rollout.members.iter_mut() {
                for base in member.targets.iter_mut().filter_map(|t| t.base.as_mut()) {
                    *base = state.shared.text(base);
                }
                let Some(robot) = state.robots.get_mut(&key) else {
                    continue;
                };
                robot.memberships.push(rollout.id);
                if launched {
                    robot.open.push(rollout.id);
                    if let Some(windows) = windows.filter(|_| member.skipped.is_none()) {
                        rollout.zones.join(windows, robot, now);
                    }
                }
                if let Some(index) = member.active() {
                    robot.active = Some((rollout.id, index));
                    robot.active_since = member.targets[index].since;
                }
                if robot.removed.is_none() {
                    let owed = member.targets.iter().enumerate();
                    let owed = owed.filter(|(_, target)| target.owes_cancel);
                    robot
                        .owed
                        .extend(owed.map(|(index, _)| (rollout.id, index)));
                }
            }
        }
        let rollouts: Vec<_> = state.rollouts.keys().copied().collect();
        for id in rollouts {
            state.arm_rollout(id);
        }
        for robot in state.robots.values_mut() {
            robot.sort_rollouts(&state.rollouts);
        }
        let waiting: Vec<_> = state
            .robots
            .values()
            .filter(|r| !r.open.is_empty())
            .map(|r| r.key)
            .collect();
        for robot in waiting {
            state.arm(robot);
        }
        state
    }

    /// The engine's time: the latest time of any input.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Lets time pass without anything happening. It never goes back.
    pub fn advance_clock(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
    }

    /// The last numbers given out.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// When the next timer comes due, and which: apply [`crate::Input::Due`] then.
    #[must_use]
    pub fn next_timer(&self) -> Option<(Timestamp, Timer)> {
        self.timers.first().copied()
    }

    /// The robot with the number `key`, removed ones included.
    #[must_use]
    pub fn robot(&self, key: RobotKey) -> Option<&Robot> {
        self.robots.get(&key)
    }

    /// The number of the registered robot `id`.
    #[must_use]
    pub fn robot_key(&self, id: &str) -> Option<RobotKey> {
        self.robot_keys.get(id).copied()
    }

    /// All robots in the order of registration, from `after` on, removed ones included.
    pub fn robots(&self, after: Option<RobotKey>) -> impl Iterator<Item = &Robot> {
        self.robots.iter_after(after).map(|(_, robot)| robot)
    }

    /// The group called `name`.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(self.group_keys.get(name)?)
    }

    /// The group with the number `key`.
    #[must_use]
    pub fn group_by_key(&self, key: GroupKey) -> Option<&Group> {
        self.groups.get(&key)
    }

    /// All groups by name.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.group_keys
            .values()
            .filter_map(|key| self.groups.get(key))
    }

    /// The image with the number `key`.
    #[must_use]
    pub fn image(&self, key: ImageKey) -> Option<&Image> {
        self.images.get(&key)
    }

    /// The number of the image `reference`.
    #[must_use]
    pub fn image_key(&self, reference: &ImageRef) -> Option<ImageKey> {
        self.image_keys.get(reference).copied()
    }

    /// All images in the order in which they were added, removed ones too.
    pub fn images(&self) -> impl Iterator<Item = &Image> {
        self.images.values()
    }

    /// The rollout with the number `id`.
    #[must_use]
    pub fn rollout(&self, id: RolloutId) -> Option<&Rollout> {
        self.rollouts.get(&id)
    }

    /// All rollouts, oldest first.
    pub fn rollouts(&self) -> impl Iterator<Item = &Rollout> {
        self.rollouts.values()
    }

    /// The target under way on `robot`.
    #[must_use]
    pub fn active_target(&self, robot: &Robot) -> Option<(&Rollout, &Target)> {
        let (id, index) = robot.active?;
        let rollout = self.rollouts.get(&id)?;
        Some((
            rollout,
            rollout.members.get(&robot.key)?.targets.get(index)?,
        ))
    }

    /// A28: the robot as a whole, from the newest outcome of each of its ECUs.
    #[must_use]
    pub fn robot_status(&self, robot: &Robot) -> RobotStatus {
        let mut newest: BTreeMap<u8, TargetState> = BTreeMap::new();
        for id in &robot.memberships {
            let Some(member) = self
                .rollouts
                .get(id)
                .and_then(|rollout| rollout.members.get(&robot.key))
            else {
                continue;
            };
            for target in &member.targets {
                newest.insert(target.ecu, target.state);
            }
        }
        if newest.values().any(|state| !state.is_final()) {
            RobotStatus::Updating
        } else if newest.values().any(TargetState::is_failure) {
            RobotStatus::Failed
        } else {
            RobotStatus::Updated
        }
    }

    /// The one place that changes a target's state, so that counts, slots and rows can never disagree.
    pub(crate) fn set_target(
        &mut self,
        id: RolloutId,
        key: RobotKey,
        index: usize,
        state: TargetState,
        changes: &mut Changes,
    ) {
        let Some(rollout) = self.rollouts.get_mut(&id) else {
            return;
        };
        let Some(member) = rollout.members.get_mut(&key) else {
            return;
        };
        let Some(target) = member.targets.get(index) else {
            return;
        };
        // Most events only move an operation on, which changes nothing that robots are counted by.
        let moves_on = target.state.is_active() && state.is_active();
        let before = (!moves_on).then(|| member.standing());
        let Some(target) = member.targets.get_mut(index) else {
            return;
        };
        let old = std::mem::replace(&mut target.state, state);
        if std::mem::discriminant(&old) != std::mem::discriminant(&state) {
            target.since = self.now;
        }
        if !state.is_active() {
            target.deadline = None;
            target.suspect_until = None;
            target.ran = None;
        }
        let counts = &mut rollout.counts;
        *counts.slot(&old) -= 1;
        *counts.slot(&state) += 1;
        if let Some(before) = before {
            let after = member.standing();
            counts.open_robots -= u32::from(before.open && !after.open);
            rollout.tally.shift(member.phase, before, after);
        }
        match (old.is_active(), state.is_active()) {
            (false, true) => {
                counts.in_progress += 1;
                self.set_active(key, Some((id, index)));
            }
            (true, false) => {
                counts.in_progress -= 1;
                self.set_active(key, None);
            }
            (true, true) | (false, false) => {}
        }
        changes.touch(Row::Member(id, key));
    }

    fn set_active(&mut self, key: RobotKey, active: Option<(RolloutId, usize)>) {
        let now = self.now;
        if let Some(robot) = self.robots.get_mut(&key) {
            robot.active = active;
            robot.active_since = now;
        }
    }

    pub(crate) fn target(&self, id: RolloutId, key: RobotKey, index: usize) -> Option<&Target> {
        self.rollouts
            .get(&id)?
            .members
            .get(&key)?
            .targets
            .get(index)
    }

    pub(crate) fn target_mut(
        &mut self,
        id: RolloutId,
        key: RobotKey,
        index: usize,
    ) -> Option<&mut Target> {
        self.rollouts
            .get_mut(&id)?
            .members
            .get_mut(&key)?
            .targets
            .get_mut(index)
    }

    /// Sets the robot's timer for the earliest thing that it waits for. An earlier timer is left to fire for nothing:
    /// cheaper than moving it at every event.
    pub(crate) fn arm(&mut self, key: RobotKey) {
        let Some(robot) = self.robots.get(&key) else {
            return;
        };
        let deadline = self
            .active_target(robot)
            .and_then(|(_, target)| target.until())
            // What is overdue waits for the report that is under way.
            .map(|until| match robot.link.settled_at {
                Some(settled) if until <= self.now => settled.min(until.after(LONGEST_WINDOW)),
                _ => until,
            });
        let waits = [
            deadline,
            robot.link.settled_at,
            self.next_retry(key),
            self.next_patience(key),
        ];
        let Some(needed) = waits.into_iter().flatten().min() else {
            return;
        };
        if robot.timer.is_some_and(|set| set <= needed) {
            return;
        }
        let set = robot.timer;
        if let Some(robot) = self.robots.get_mut(&key) {
            robot.timer = Some(needed);
        }
        if let Some(set) = set {
            self.timers.remove(&(set, Timer::Robot(key)));
        }
        self.timers.insert((needed, Timer::Robot(key)));
    }
}

/// What the members of a rollout add up to.
pub(crate) fn count(members: &RobotMap<Member>) -> Counts {
    let mut counts = Counts::default();
    for member in members.values() {
        counts.robots += 1;
        counts.skipped_robots += u32::from(member.skipped.is_some());
        counts.open_robots += u32::from(member.is_open());
        counts.in_progress += u32::from(member.active().is_some());
        for target in &member.targets {
            counts.targets += 1;
            *counts.slot(&target.state) += 1;
        }
    }
    counts
}
