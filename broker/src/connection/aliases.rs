//! Topic aliases (MQTT 5): numbers that stand for topic names, for one connection and one direction.
//!
//! A connection without aliases owns nothing of this. Otherwise each direction has at most its maximum of topics, which
//! together have at most `Limits::topic_alias_bytes`.

#[cfg(test)]
mod tests;

use super::close::Close;
use crate::codec::{PropertyId, Publish, ReasonCode};
use bytes::Bytes;
use bytestring::ByteString;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};

/// Topics that a client is given aliases for, whatever it would take: more gains little, and each is looked through for
/// every message.
pub(super) const ASSIGNED_MAX: u16 = 16;

/// Bytes of a Topic Alias property. A topic that is no longer is sent as it is.
const PROPERTY_LEN: usize = 3;

/// Aliases that the client has set.
#[derive(Debug, Default)]
pub(super) struct Known {
    topics: BTreeMap<u16, ByteString>,
    bytes: usize,
}

/// Puts the topic into a PUBLISH that came with an alias, or learns the alias.
pub(super) fn resolve(
    known: &mut Option<Box<Known>>,
    publish: &mut Publish,
    maximum: u16,
    max_bytes: usize,
) -> Result<(), Close> {
    let Some(alias) = publish.properties.number(PropertyId::TopicAlias) else {
        return Ok(());
    };
    let alias = u16::try_from(alias).unwrap_or(u16::MAX);
    if alias == 0 || alias > maximum {
        return Err(Close::violation(
            ReasonCode::TopicAliasInvalid,
            format!("topic alias {alias} is not from 1 to {maximum}"),
        ));
    }
    if publish.topic.is_empty() {
        let topic = known
            .as_ref()
            .and_then(|known| known.topics.get(&alias))
            .ok_or_else(|| {
                Close::violation(
                    ReasonCode::ProtocolError,
                    format!("topic alias {alias} is not set on this connection"),
                )
            })?;
        publish.topic = topic.clone();
        return Ok(());
    }
    let known = known.get_or_insert_default();
    if known
        .topics
        .get(&alias)
        .is_some_and(|old| *old == publish.topic)
    {
        return Ok(());
    }
    if let Some(old) = known.topics.remove(&alias) {
        known.bytes -= old.len();
    }
    known.bytes += publish.topic.len();
    if known.bytes > max_bytes {
        return Err(Close::violation(
            ReasonCode::QuotaExceeded,
            format!("the topics of all aliases may have {max_bytes} bytes together"),
        ));
    }
    // A copy: the topic lies in a receive buffer, which holds much else.
    let topic = Bytes::copy_from_slice(publish.topic.as_bytes());
    let topic = ByteString::try_from(topic).unwrap_or_default();
    known.topics.insert(alias, topic);
    Ok(())
}

/// Aliases that the client was given. A topic gets one when it comes for the second time, in place of the one that was
/// not used for longest, so that topics which come once cost nothing.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    /// Alias 1 comes first.
    topics: Vec<Topic>,
    bytes: usize,
    uses: u64,
    /// Hashes of the topics that were sent without alias last. A collision gives an alias early, nothing worse.
    seen: VecDeque<u64>,
}

#[derive(Debug)]
struct Topic {
    name: Box<str>,
    last_use: u64,
}

/// How a topic is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// By its name alone.
    Name,
    /// By its name, which the alias stands for from now on.
    NameAndAlias(u16),
    /// By its alias alone.
    Alias(u16),
}

impl Naming {
    pub(super) const fn alias(self) -> Option<u16> {
        match self {
            Self::Name => None,
            Self::NameAndAlias(alias) | Self::Alias(alias) => Some(alias),
        }
    }
}

impl Assigned {
    /// The alias that the client knows for a topic.
    pub(super) fn known(&mut self, topic: &str) -> Option<u16> {
        let position = self.topics.iter().position(|known| *known.name == *topic)?;
        self.uses += 1;
        self.topics[position].last_use = self.uses;
        u16::try_from(position + 1).ok()
    }

    /// Decides about a topic without an alias, which the client is about to get.
    pub(super) fn consider(&mut self, topic: &str, maximum: u16, max_bytes: usize) -> Naming {
        if topic.len() <= PROPERTY_LEN || topic.len() > max_bytes || maximum == 0 {
            return Naming::Name;
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(topic.as_bytes());
        let hash = hasher.finish();
        let Some(position) = self.seen.iter().position(|seen| *seen == hash) else {
            if self.seen.len() >= usize::from(maximum) {
                self.seen.pop_front();
            }
            self.seen.push_back(hash);
            return Naming::Name;
        };
        let Some(place) = self.place(topic.len(), maximum, max_bytes) else {
            return Naming::Name;
        };
        self.seen.remove(position);
        self.uses += 1;
        let new = Topic {
            name: topic.into(),
            last_use: self.uses,
        };
        self.bytes += topic.len();
        match self.topics.get_mut(place) {
            Some(old) => {
                self.bytes -= old.name.len();
                *old = new;
            }
            None => self.topics.push(new),
        }
        u16::try_from(place + 1).map_or(Naming::Name, Naming::NameAndAlias)
    }

    /// A free place, or that of the topic which was not used for longest, if the bytes suffice.
    fn place(&self, length: usize, maximum: u16, max_bytes: usize) -> Option<usize> {
        if self.topics.len() < usize::from(maximum) && self.bytes + length <= max_bytes {
            return Some(self.topics.len());
        }
        let oldest = self.topics.iter().enumerate();
        let (place, old) = oldest.min_by_key(|(_, topic)| topic.last_use)?;
        (self.bytes - old.name.len() + length <= max_bytes).then_some(place)
    }
}
