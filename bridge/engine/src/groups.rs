//! Groups: listed robots, or those that a selector means at the moment of asking.
//!
//! A selector's membership is worked out when it is asked for and never kept: what it looks at changes with every report.
//! A rollout keeps the robots that it found at its launch (X4).

use crate::inventory::{Group, GroupKey, Membership, Robot, RobotKey};
use crate::names::{GroupName, RobotId};
use crate::outcome::{Reply, Row};
use crate::refusal::Refusal;
use crate::selector::Selector;
use crate::state::{Changes, State};
use std::collections::BTreeSet;
use std::ops::Bound;

/// Groups with a selector. Showing a robot asks each of them.
const MAX_SELECTOR_GROUPS: usize = 1_000;

impl State {
    pub(crate) fn add_group(
        &mut self,
        name: GroupName,
        robots: &[RobotId],
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let keys = robots
            .iter()
            .map(|id| {
                self.robot_key(id.as_str())
                    .ok_or_else(|| Refusal::UnknownRobot { id: id.clone() })
            })
            .collect::<Result<BTreeSet<_>, _>>()?;
        let listed = Membership::Listed(BTreeSet::new());
        let group = match self.group_keys.get(&name) {
            Some(key) => *key,
            None => self.new_group(&name, listed, changes),
        };
        let membership = self
            .groups
            .get_mut(&group)
            .map(|group| &mut group.membership);
        let Some(Membership::Listed(robots)) = membership else {
            return Err(Refusal::GroupHasSelector { name });
        };
        changes.touch(Row::Group(group));
        for key in keys {
            if robots.insert(key)
                && let Some(robot) = self.robots.get_mut(&key)
            {
                robot.groups.insert(name.clone());
                changes.touch(Row::Robot(key));
            }
        }
        Ok(Reply::Done)
    }

    pub(crate) fn add_selector_group(
        &mut self,
        name: GroupName,
        selector: Selector,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        if self.group_keys.contains_key(&name) {
            return Err(Refusal::GroupExists { name });
        }
        if self.selector_groups().count() >= MAX_SELECTOR_GROUPS {
            return Err(Refusal::TooMany {
                what: "groups with a selector",
                max: MAX_SELECTOR_GROUPS,
            });
        }
        let key = self.new_group(&name, Membership::Selected(selector), changes);
        changes.touch(Row::Group(key));
        Ok(Reply::Done)
    }

    pub(crate) fn edit_group(
        &mut self,
        name: GroupName,
        selector: Selector,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let key = self.group_keys.get(&name);
        let Some(group) = key.and_then(|key| self.groups.get_mut(key)) else {
            return Err(Refusal::UnknownGroup { name });
        };
        if let Membership::Listed(_) = group.membership {
            return Err(Refusal::GroupListsRobots { name });
        }
        group.membership = Membership::Selected(selector);
        changes.touch(Row::Group(group.key));
        Ok(Reply::Done)
    }

    fn new_group(
        &mut self,
        name: &GroupName,
        membership: Membership,
        changes: &mut Changes,
    ) -> GroupKey {
        self.counters.groups += 1;
        let key = GroupKey(self.counters.groups);
        self.group_keys.insert(name.clone(), key);
        let group = Group {
            key,
            name: name.clone(),
            created: self.now,
            membership,
        };
        self.groups.insert(key, group);
        changes.touch(Row::Counters);
        key
    }

    pub(crate) fn remove_group(
        &mut self,
        name: &GroupName,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let owned = self.group_keys.get(name).copied();
        if let Some(channel) = owned.and_then(|key| self.channel_of(key)) {
            return Err(Refusal::GroupInUse {
                name: name.clone(),
                channel: channel.name.clone(),
            });
        }
        let removed = self
            .group_keys
            .remove(name)
            .and_then(|key| self.groups.remove(&key));
        let group = removed.ok_or_else(|| Refusal::UnknownGroup { name: name.clone() })?;
        changes.touch(Row::Group(group.key));
        let Membership::Listed(robots) = group.membership else {
            return Ok(Reply::Done);
        };
        for key in robots {
            if let Some(robot) = self.robots.get_mut(&key) {
                robot.groups.remove(name);
                changes.touch(Row::Robot(key));
            }
        }
        Ok(Reply::Done)
    }

    /// Takes a robot out of a group that lists it.
    pub(crate) fn unlist(&mut self, name: &GroupName, robot: RobotKey) {
        let group = self.group_keys.get(name);
        let group = group.and_then(|key| self.groups.get_mut(key));
        if let Some(Membership::Listed(robots)) = group.map(|group| &mut group.membership) {
            robots.remove(&robot);
        }
    }

    fn selector_groups(&self) -> impl Iterator<Item = (&GroupName, &Selector)> {
        self.groups().filter_map(|group| match &group.membership {
            Membership::Listed(_) => None,
            Membership::Selected(selector) => Some((&group.name, selector)),
        })
    }

    /// The group's robots after the robot `after`, in the order of registration.
    #[must_use]
    pub fn members<'a>(
        &'a self,
        group: &'a Group,
        after: Option<RobotKey>,
    ) -> Box<dyn Iterator<Item = &'a Robot> + 'a> {
        match &group.membership {
            Membership::Listed(robots) => Box::new(self.listed(robots, after)),
            Membership::Selected(selector) => Box::new(self.selected_by(selector, after)),
        }
    }

    pub(crate) fn listed<'a>(
        &'a self,
        robots: &'a BTreeSet<RobotKey>,
        after: Option<RobotKey>,
    ) -> impl Iterator<Item = &'a Robot> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let keys = robots.range((from, Bound::Unbounded));
        keys.filter_map(|key| self.robots.get(key))
    }

    /// The registered robots that `selector` means now, after the robot `after`, in the order of registration.
    pub fn selected_by<'a>(
        &'a self,
        selector: &'a Selector,
        after: Option<RobotKey>,
    ) -> impl Iterator<Item = &'a Robot> {
        self.robots(after)
            .filter(|robot| robot.removed.is_none() && selector.matches(robot, self.now))
    }

    /// Every group that the robot belongs to now.
    #[must_use]
    pub fn groups_of(&self, robot: &Robot) -> BTreeSet<GroupName> {
        let mut groups = robot.groups.clone();
        if robot.removed.is_none() {
            let means = |(_, selector): &(_, &Selector)| selector.matches(robot, self.now);
            let selected = self.selector_groups().filter(means);
            groups.extend(selected.map(|(name, _)| name.clone()));
        }
        groups
    }
}
