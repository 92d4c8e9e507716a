//! Who subscribes to what: a tree of topic levels.
//!
//! Most nodes have few children (one device's interfaces), a few have very many (the devices of a realm), so children
//! are a short list until there are too many for one.

use std::collections::HashMap;

/// One subscription at its place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subscriber<T> {
    pub(crate) session: usize,
    pub(crate) options: T,
}

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
    here: Vec<Subscriber<T>>,
    /// Filters that end here with `#`.
    below: Vec<Subscriber<T>>,
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
        let subscribers = self.root.place(filter);
        if let Some(known) = subscribers
            .iter_mut()
            .find(|subscriber| subscriber.session == session)
        {
            return Some(std::mem::replace(&mut known.options, options));
        }
        subscribers.reserve_exact(if subscribers.len() < 4 {
            1
        } else {
            subscribers.len()
        });
        subscribers.push(Subscriber { session, options });
        self.len += 1;
        None
    }

    /// Options of one session's subscription to exactly this filter.
    #[cfg(test)]
    pub(crate) fn get(&self, filter: &str, session: usize) -> Option<T> {
        self.root
            .find(filter)?
            .iter()
            .find(|subscriber| subscriber.session == session)
            .map(|subscriber| subscriber.options)
    }

    /// Removes a subscription; whether it existed.
    pub(crate) fn remove(&mut self, filter: &str, session: usize) -> bool {
        let removed = self.root.remove(filter, session);
        self.len -= usize::from(removed);
        removed
    }

    /// Calls `found` for every subscription that matches a topic name.
    pub(crate) fn matches(&self, topic: &str, found: &mut impl FnMut(&Subscriber<T>)) {
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
            here: Vec::new(),
            below: Vec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.here.is_empty()
            && self.below.is_empty()
            && self.any.is_none()
            && self.children.is_empty()
    }

    /// The list in which subscribers to this filter stand; made if there is none.
    fn place(&mut self, filter: &str) -> &mut Vec<Subscriber<T>> {
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
    fn find(&self, filter: &str) -> Option<&Vec<Subscriber<T>>> {
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
            return take(&mut self.below, session);
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
            None => take(&mut child.here, session),
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
    fn matches(&self, topic: Option<&str>, reserved: bool, found: &mut impl FnMut(&Subscriber<T>)) {
        if !reserved {
            self.below.iter().for_each(&mut *found);
        }
        let Some(topic) = topic else {
            self.here.iter().for_each(found);
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

fn take<T>(subscribers: &mut Vec<Subscriber<T>>, session: usize) -> bool {
    let position = subscribers
        .iter()
        .position(|subscriber| subscriber.session == session);
    if let Some(position) = position {
        subscribers.swap_remove(position);
    }
    position.is_some()
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
