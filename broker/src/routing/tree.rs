//! Who subscribes to what: a tree of topic levels.
//!
//! Most nodes have few children (one device's interfaces), a few have very many (the devices of a realm), so children
//! are a short list until there are too many for one.

use super::subscribers::Subscribers;
use std::collections::HashMap;

/// Subscriptions by topic filter.
#[derive(Debug)]
pub(crate) struct Tree<T> {
    root: Node<T>,
    len: usize,
}

#[derive(Debug)]
struct Node<T> {
    children: Children<T>,
    /// The `+` child.
    any: Option<Box<Self>>,
    /// Filters that end here.
    here: Subscribers<T>,
    /// Filters that end here with `#`.
    below: Subscribers<T>,
}

#[derive(Debug)]
enum Children<T> {
    Few(Vec<(Box<str>, Node<T>)>),
    Many(HashMap<Box<str>, Node<T>>),
}

/// From this number of children on a map is faster than a list.
const MANY: usize = 16;

impl<T: Copy> Default for Tree<T> {
    fn default() -> Self {
        Self {
            root: Node::new(),
            len: 0,
        }
    }
}

impl<T: Copy> Tree<T> {
    /// Number of subscriptions.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds or replaces a subscription; the options it had.
    pub(crate) fn insert(&mut self, filter: &str, session: usize, options: T) -> Option<T> {
        let known = self.root.place(filter).insert(session, options);
        self.len += usize::from(known.is_none());
        known
    }

    /// Options of one session's subscription to exactly this filter.
    #[cfg(test)]
    pub(crate) fn get(&self, filter: &str, session: usize) -> Option<T> {
        self.root.find(filter)?.get(session)
    }

    /// Removes a subscription; whether it existed.
    pub(crate) fn remove(&mut self, filter: &str, session: usize) -> bool {
        let removed = self.root.remove(filter, session);
        self.len -= usize::from(removed);
        removed
    }

    /// Calls `found` with session and options of every subscription that matches a topic name.
    pub(crate) fn matches(&self, topic: &str, found: &mut impl FnMut(usize, &T)) {
        self.root
            .matches(Some(topic), topic.starts_with('$'), found);
    }
}

fn split(filter: &str) -> (&str, Option<&str>) {
    match filter.split_once('/') {
        Some((level, rest)) => (level, Some(rest)),
        None => (filter, None),
    }
}

impl<T: Copy> Node<T> {
    const fn new() -> Self {
        Self {
            children: Children::Few(Vec::new()),
            any: None,
            here: Subscribers::new(),
            below: Subscribers::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.here.is_empty()
            && self.below.is_empty()
            && self.any.is_none()
            && self.children.is_empty()
    }

    /// The subscribers to this filter; their place is made if there is none.
    fn place(&mut self, filter: &str) -> &mut Subscribers<T> {
        let mut node = self;
        let mut rest = Some(filter);
        while let Some(filter) = rest {
            let (level, after) = split(filter);
            if level == "#" {
                return &mut node.below;
            }
            node = if level == "+" {
                node.any.get_or_insert_with(|| Box::new(Self::new()))
            } else {
                node.children.get_or_insert(level)
            };
            rest = after;
        }
        &mut node.here
    }

    #[cfg(test)]
    fn find(&self, filter: &str) -> Option<&Subscribers<T>> {
        let mut node = self;
        let mut rest = Some(filter);
        while let Some(filter) = rest {
            let (level, after) = split(filter);
            node = match level {
                "#" => return Some(&node.below),
                "+" => node.any.as_deref()?,
                literal => node.children.get(literal)?,
            };
            rest = after;
        }
        Some(&node.here)
    }

    fn remove(&mut self, filter: &str, session: usize) -> bool {
        let (level, rest) = split(filter);
        if level == "#" {
            return self.below.remove(session);
        }
        let child = if level == "+" {
            self.any.as_deref_mut()
        } else {
            self.children.get_mut(level)
        };
        let Some(child) = child else {
            return false;
        };
        let removed = match rest {
            Some(rest) => child.remove(rest, session),
            None => child.here.remove(session),
        };
        if child.is_empty() {
            if level == "+" {
                self.any = None;
            } else {
                self.children.remove(level);
            }
        }
        removed
    }

    /// `topic` is what is left of the name; `reserved` holds at the first level of a `$` topic.
    fn matches(&self, topic: Option<&str>, reserved: bool, found: &mut impl FnMut(usize, &T)) {
        if !reserved {
            self.below.for_each(found);
        }
        let Some(topic) = topic else {
            self.here.for_each(found);
            return;
        };
        let (level, rest) = split(topic);
        if let Some(child) = self.children.get(level) {
            child.matches(rest, false, found);
        }
        if let Some(any) = &self.any
            && !reserved
        {
            any.matches(rest, false, found);
        }
    }
}

impl<T: Copy> Children<T> {
    fn is_empty(&self) -> bool {
        match self {
            Self::Few(list) => list.is_empty(),
            Self::Many(map) => map.is_empty(),
        }
    }

    fn get(&self, level: &str) -> Option<&Node<T>> {
        match self {
            Self::Few(list) => list
                .iter()
                .find(|(name, _)| &**name == level)
                .map(|(_, node)| node),
            Self::Many(map) => map.get(level),
        }
    }

    fn get_mut(&mut self, level: &str) -> Option<&mut Node<T>> {
        match self {
            Self::Few(list) => list
                .iter_mut()
                .find(|(name, _)| &**name == level)
                .map(|(_, node)| node),
            Self::Many(map) => map.get_mut(level),
        }
    }

    fn get_or_insert(&mut self, level: &str) -> &mut Node<T> {
        if let Self::Few(list) = self
            && list.len() >= MANY
            && !list.iter().any(|(name, _)| &**name == level)
        {
            *self = Self::Many(std::mem::take(list).into_iter().collect());
        }
        match self {
            Self::Few(list) => {
                let position = list.iter().position(|(name, _)| &**name == level);
                let position = position.unwrap_or_else(|| {
                    list.reserve_exact(1);
                    list.push((level.into(), Node::new()));
                    list.len() - 1
                });
                &mut list[position].1
            }
            Self::Many(map) => map.entry(level.into()).or_insert_with(Node::new),
        }
    }

    fn remove(&mut self, level: &str) {
        match self {
            Self::Few(list) => list.retain(|(name, _)| &**name != level),
            Self::Many(map) => {
                map.remove(level);
                if map.len() * 4 < map.capacity() {
                    map.shrink_to_fit();
                }
            }
        }
    }
}
