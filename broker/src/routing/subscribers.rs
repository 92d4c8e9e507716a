//! Who subscribes to one filter: mostly one or a few, but of what a whole fleet listens to as many as it has robots.

use std::collections::BTreeMap;

/// Options by session.
#[derive(Debug)]
pub(super) enum Subscribers<T> {
    Few(Vec<(usize, T)>),
    /// Coming and going must not cost more the more there are: they all do at once after a restart. Boxed, since every node
    /// of the tree has two of these.
    #[expect(clippy::box_collection, reason = "see above")]
    Many(Box<BTreeMap<usize, T>>),
}

/// From this number on a map is better than a list.
const MANY: usize = 32;

impl<T: Copy> Subscribers<T> {
    pub(super) const fn new() -> Self {
        Self::Few(Vec::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(list) => list.is_empty(),
            Self::Many(map) => map.is_empty(),
        }
    }

    /// Adds a session or replaces its options; those it had.
    pub(super) fn insert(&mut self, session: usize, options: T) -> Option<T> {
        let list = match self {
            Self::Few(list) => list,
            Self::Many(map) => return map.insert(session, options),
        };
        if let Some((_, known)) = list.iter_mut().find(|(known, _)| *known == session) {
            return Some(std::mem::replace(known, options));
        }
        if list.len() >= MANY {
            let map = list.drain(..).chain([(session, options)]).collect();
            *self = Self::Many(Box::new(map));
            return None;
        }
        list.reserve_exact(list.len().clamp(1, 8));
        list.push((session, options));
        None
    }

    /// Removes a session; whether it was there.
    pub(super) fn remove(&mut self, session: usize) -> bool {
        match self {
            Self::Few(list) => {
                let position = list.iter().position(|(known, _)| *known == session);
                if let Some(position) = position {
                    list.swap_remove(position);
                }
                position.is_some()
            }
            Self::Many(map) => map.remove(&session).is_some(),
        }
    }

    #[cfg(test)]
    pub(super) fn get(&self, session: usize) -> Option<T> {
        let mut found = None;
        self.for_each(&mut |known, options| {
            if known == session {
                found = Some(*options);
            }
        });
        found
    }

    pub(super) fn for_each(&self, found: &mut impl FnMut(usize, &T)) {
        match self {
            Self::Few(list) => list
                .iter()
                .for_each(|(session, options)| found(*session, options)),
            Self::Many(map) => map
                .iter()
                .for_each(|(session, options)| found(*session, options)),
        }
    }
}
