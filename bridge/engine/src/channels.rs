//! Channels: what releases are made to. A channel owns target groups, and a group belongs to one channel at most, so that a
//! robot's group says from where it is updated.

use crate::input::Actor;
use crate::inventory::{Group, GroupKey, Membership, Robot, RobotKey};
use crate::ledger::Source;
use crate::names::{ChannelName, GroupName};
use crate::outcome::{Reply, Row};
use crate::refusal::Refusal;
use crate::state::{Changes, State};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The channel that every database has (G1).
const PRODUCTION: &str = "production";
/// Channels; each change of one asks all of them which groups they own.
const MAX_CHANNELS: usize = 1_000;
/// Target groups of a channel; each robot of its list is asked for in all of them.
const MAX_GROUPS: usize = 100;

/// A channel's number in this database, never used twice, from 1 up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelKey(pub u32);

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its number here.
    pub key: ChannelKey,
    /// Its name.
    pub name: ChannelName,
    /// When it was made.
    pub created: Timestamp,
    /// Its target groups; none means every robot.
    pub groups: BTreeSet<GroupKey>,
    /// Where its releases come from.
    pub source: Source,
}

/// What to change at a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelEdit {
    /// Other target groups; none means every robot.
    Set(BTreeSet<GroupName>),
    /// What is taken away goes first. The last group is not taken away like this: that would mean every robot.
    Change {
        /// Groups to add.
        add: BTreeSet<GroupName>,
        /// Groups to take away; one that the channel does not own is no fault.
        remove: BTreeSet<GroupName>,
    },
}

/// The channels with what is found by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Channels {
    by_key: BTreeMap<ChannelKey, Channel>,
    keys: BTreeMap<ChannelName, ChannelKey>,
}

impl Channels {
    pub(crate) fn get_mut(&mut self, key: ChannelKey) -> Option<&mut Channel> {
        self.by_key.get_mut(&key)
    }
}

impl State {
    /// Puts stored channels back; part of rebuilding a state.
    #[must_use]
    pub fn with_channels(mut self, channels: impl IntoIterator<Item = Channel>) -> Self {
        for channel in channels {
            let name = channel.name.clone();
            self.channels.keys.insert(name, channel.key);
            self.channels.by_key.insert(channel.key, channel);
        }
        self
    }

    /// All channels by name.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        let keys = self.channels.keys.values();
        keys.filter_map(|key| self.channels.by_key.get(key))
    }

    /// The channel called `name`.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.by_key.get(self.channels.keys.get(name)?)
    }

    /// The channel with the number `key`.
    #[must_use]
    pub fn channel_by_key(&self, key: ChannelKey) -> Option<&Channel> {
        self.channels.by_key.get(&key)
    }

    /// The channel that owns the group.
    #[must_use]
    pub fn channel_of(&self, group: GroupKey) -> Option<&Channel> {
        let mut channels = self.channels.by_key.values();
        channels.find(|channel| channel.groups.contains(&group))
    }

    /// The channel's target groups, by name.
    #[must_use]
    pub fn groups_of_channel<'a>(&'a self, channel: &Channel) -> Vec<&'a Group> {
        let groups = channel.groups.iter();
        let mut groups: Vec<_> = groups.filter_map(|key| self.groups.get(key)).collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        groups
    }

    /// The channel's robots now, each with those of its groups that it is in, after the robot `after`, in the order of
    /// registration.
    pub fn robots_of_channel<'a>(
        &'a self,
        channel: &Channel,
        after: Option<RobotKey>,
    ) -> impl Iterator<Item = (&'a Robot, Vec<&'a GroupName>)> {
        let groups = self.groups_of_channel(channel);
        let everyone = groups.is_empty();
        let registered = self.robots(after).filter(|robot| robot.removed.is_none());
        registered.filter_map(move |robot| {
            let groups = groups.iter().filter(|group| self.has(group, robot));
            let groups: Vec<_> = groups.map(|group| &group.name).collect();
            (everyone || !groups.is_empty()).then_some((robot, groups))
        })
    }

    /// Whether the robot is the channel's now.
    pub(crate) fn in_channel(&self, channel: ChannelKey, robot: &Robot) -> bool {
        let Some(channel) = self.channels.by_key.get(&channel) else {
            return false;
        };
        let has = |key: &GroupKey| {
            let group = self.groups.get(key);
            group.is_some_and(|group| self.has(group, robot))
        };
        channel.groups.is_empty() || channel.groups.iter().any(has)
    }

    /// Whether the group has the robot now.
    pub(crate) fn has(&self, group: &Group, robot: &Robot) -> bool {
        match &group.membership {
            Membership::Listed(robots) => robots.contains(&robot.key),
            Membership::Selected(selector) => selector.matches(robot, self.now),
        }
    }

    pub(crate) fn add_channel(
        &mut self,
        name: ChannelName,
        groups: &BTreeSet<GroupName>,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        if self.channels.keys.contains_key(&name) {
            return Err(Refusal::ChannelExists { name });
        }
        if self.channels.by_key.len() >= MAX_CHANNELS {
            return Err(Refusal::TooMany {
                what: "channels",
                max: MAX_CHANNELS,
            });
        }
        let groups = self.group_keys_for(None, groups)?;
        check_count(&groups)?;
        self.counters.channels += 1;
        let key = ChannelKey(self.counters.channels);
        let channel = Channel {
            key,
            name: name.clone(),
            created: self.now,
            groups,
            source: Source::default(),
        };
        self.channels.keys.insert(name, key);
        self.channels.by_key.insert(key, channel);
        changes.touch(Row::Counters);
        changes.touch(Row::Channel(key));
        Ok(Reply::Done)
    }

    /// G1: `production` is there from the start.
    pub(crate) fn ensure_production(&mut self, changes: &mut Changes) {
        if self.channel(PRODUCTION).is_some() {
            return;
        }
        if let Ok(name) = ChannelName::new(PRODUCTION) {
            // Only a full house could refuse it, and it is the first to come.
            drop(self.add_channel(name, &BTreeSet::new(), changes));
        }
    }

    pub(crate) fn edit_channel(
        &mut self,
        name: ChannelName,
        edit: &ChannelEdit,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let Some(channel) = self.channel(name.as_str()) else {
            return Err(Refusal::UnknownChannel { name });
        };
        let (key, owned) = (channel.key, &channel.groups);
        let groups = match edit {
            ChannelEdit::Set(groups) => self.group_keys_for(Some(key), groups)?,
            ChannelEdit::Change { add, remove } => {
                let removed = self.known_groups(remove)?;
                let mut groups: BTreeSet<_> = owned.difference(&removed).copied().collect();
                groups.extend(self.group_keys_for(Some(key), add)?);
                if groups.is_empty() && !owned.is_empty() {
                    return Err(Refusal::LastGroup { name });
                }
                groups
            }
        };
        check_count(&groups)?;
        if let Some(channel) = self.channels.by_key.get_mut(&key) {
            channel.groups = groups;
        }
        changes.touch(Row::Channel(key));
        Ok(Reply::Done)
    }

    pub(crate) fn remove_channel(
        &mut self,
        by: &Actor,
        name: ChannelName,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let Some(key) = self.channels.keys.get(&name).copied() else {
            return Err(Refusal::UnknownChannel { name });
        };
        if name.as_str() == PRODUCTION {
            return Err(Refusal::ChannelStays { name });
        }
        if let Some(release) = self.release_of(key).filter(|release| release.is_live()) {
            return Err(Refusal::ChannelIsLive {
                channel: name,
                release: release.id,
            });
        }
        self.end_release_of(by, key, changes);
        self.channels.keys.remove(&name);
        self.channels.by_key.remove(&key);
        changes.touch(Row::Channel(key));
        self.forget_other_products(key, None, changes);
        Ok(Reply::Done)
    }

    fn known_groups(&self, names: &BTreeSet<GroupName>) -> Result<BTreeSet<GroupKey>, Refusal> {
        let key = |name: &GroupName| {
            let unknown = || Refusal::UnknownGroup { name: name.clone() };
            self.group_keys.get(name).copied().ok_or_else(unknown)
        };
        names.iter().map(key).collect()
    }

    /// The groups' numbers, if the channel `key` may own them.
    fn group_keys_for(
        &self,
        key: Option<ChannelKey>,
        names: &BTreeSet<GroupName>,
    ) -> Result<BTreeSet<GroupKey>, Refusal> {
        let groups = self.known_groups(names)?;
        for group in &groups {
            let owner = self.channel_of(*group);
            if let Some(owner) = owner.filter(|owner| Some(owner.key) != key)
                && let Some(group) = self.groups.get(group)
            {
                return Err(Refusal::GroupHasChannel {
                    name: group.name.clone(),
                    channel: owner.name.clone(),
                });
            }
        }
        Ok(groups)
    }
}

fn check_count(groups: &BTreeSet<GroupKey>) -> Result<(), Refusal> {
    if groups.len() > MAX_GROUPS {
        return Err(Refusal::TooMany {
            what: "groups in a channel",
            max: MAX_GROUPS,
        });
    }
    Ok(())
}
