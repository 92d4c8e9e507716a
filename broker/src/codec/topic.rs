//! Topic names and filters: grammar and matching.

/// The prefix of shared subscriptions.
pub const SHARED_PREFIX: &str = "$share/";

/// A topic filter as SUBSCRIBE and UNSUBSCRIBE name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared<'a> {
    /// An ordinary filter.
    No,
    /// `$share/<group>/<filter>`.
    Yes {
        /// The share name.
        group: &'a str,
        /// What the group subscribes to.
        filter: &'a str,
    },
    /// Begins like a shared subscription, but has no group, a wildcard in the group, or no filter.
    Malformed,
}

/// Takes a valid topic filter apart that may name a shared subscription.
#[must_use]
pub fn shared(filter: &str) -> Shared<'_> {
    let Some(rest) = filter.strip_prefix(SHARED_PREFIX) else {
        return Shared::No;
    };
    match rest.split_once('/') {
        Some((group, filter))
            if !group.is_empty() && !group.contains(['+', '#']) && is_filter(filter) =>
        {
            Shared::Yes { group, filter }
        }
        _ => Shared::Malformed,
    }
}

/// What a subscription listens to: the filter itself, or that of its share.
#[must_use]
pub fn unshared(filter: &str) -> &str {
    match shared(filter) {
        Shared::Yes { filter, .. } => filter,
        Shared::No | Shared::Malformed => filter,
    }
}

/// Whether this is a topic name: not empty, at most 65,535 bytes, without wildcards and U+0000.
#[must_use]
pub fn is_name(topic: &str) -> bool {
    !topic.is_empty()
        && topic.len() <= usize::from(u16::MAX)
        && !topic.bytes().any(|byte| matches!(byte, 0 | b'#' | b'+'))
}

/// Whether this is a topic filter: wildcards only as whole levels, `#` only as the last.
#[must_use]
pub fn is_filter(filter: &str) -> bool {
    if filter.is_empty() || filter.len() > usize::from(u16::MAX) || filter.contains('\0') {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let last = levels.peek().is_none();
        match level {
            "+" => {}
            "#" if last => {}
            _ if level.contains(['#', '+']) => return false,
            _ => {}
        }
    }
    true
}

/// Whether the topic is one of the server's own (`$…`), which wildcards at the first level do not match.
#[must_use]
pub fn is_reserved(topic: &str) -> bool {
    topic.starts_with('$')
}

/// Number of levels.
#[must_use]
pub fn levels(topic: &str) -> usize {
    1 + topic.bytes().filter(|byte| *byte == b'/').count()
}

/// Whether a valid filter matches a valid topic name.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    if is_reserved(topic) && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut names = topic.split('/');
    for level in filter.split('/') {
        match (level, names.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (literal, Some(name)) if literal == name => {}
            (_, _) => return false,
        }
    }
    names.next().is_none()
}
