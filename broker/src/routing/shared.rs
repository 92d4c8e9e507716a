//! Shared subscriptions: each message goes to one member of the group.
//!
//! Shares stand in a tree of their own, so that a publish does nothing for them while there are none, and otherwise
//! descends only as far as somebody shares.
//!
//! Invariant: a share has at least one member, and the tree holds exactly the shares.

#[cfg(test)]
mod tests;

use super::tree::Tree;
use super::{Routed, Router, SessionKey, Wish};
use crate::codec::{QoS, topic};
use crate::message::{Delivery, Message, ShareId, Shared};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Absent members that are asked to keep a message before it is dropped.
const ABSENT_TRIES: usize = 8;

/// All shares.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// The numbers of shares by what they subscribe to.
    tree: Tree<()>,
    shares: HashMap<usize, Share>,
    /// By the whole filter with prefix and group.
    names: HashMap<Box<str>, usize>,
    last: usize,
    members: usize,
}

#[derive(Debug, Default)]
struct Share {
    online: Rota,
    absent: Rota,
}

/// Members who take turns.
#[derive(Debug, Default)]
struct Rota {
    members: Vec<Member>,
    next: usize,
}

/// One session's part in a share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    session: SessionKey,
    wish: Wish,
}

/// What became of a message for one member of a share.
#[derive(Debug)]
pub(crate) enum Handed {
    /// It is for this connected member.
    Online(Routed),
    /// It waits for an absent one.
    Queued,
    /// Nobody can take it.
    ToNobody,
}

impl Rota {
    fn turn(&mut self) -> Option<Member> {
        let member = self.members.get(self.next).or(self.members.first())?;
        self.next = if self.next < self.members.len() {
            self.next + 1
        } else {
            1
        };
        Some(*member)
    }

    fn get_mut(&mut self, session: SessionKey) -> Option<&mut Member> {
        self.members
            .iter_mut()
            .find(|member| member.session == session)
    }

    /// Takes a member out; whose turn it is stays.
    fn take(&mut self, session: SessionKey) -> Option<Member> {
        let position = self
            .members
            .iter()
            .position(|member| member.session == session)?;
        if position < self.next {
            self.next -= 1;
        }
        Some(self.members.remove(position))
    }
}

impl Share {
    fn rota(&mut self, online: bool) -> &mut Rota {
        if online {
            &mut self.online
        } else {
            &mut self.absent
        }
    }

    fn get_mut(&mut self, session: SessionKey) -> Option<&mut Member> {
        self.online
            .get_mut(session)
            .or_else(|| self.absent.get_mut(session))
    }

    fn take(&mut self, session: SessionKey) -> Option<Member> {
        self.online
            .take(session)
            .or_else(|| self.absent.take(session))
    }
}

impl Shares {
    pub(super) fn is_empty(&self) -> bool {
        self.shares.is_empty()
    }

    /// Number of memberships.
    pub(super) fn len(&self) -> usize {
        self.members
    }

    /// Adds or replaces a membership. `name` is the whole filter, `filter` what it shares.
    pub(super) fn insert(
        &mut self,
        name: &str,
        filter: &str,
        session: SessionKey,
        online: bool,
        wish: Wish,
    ) {
        let number = self.names.get(name).copied().unwrap_or_else(|| {
            self.last += 1;
            self.names.insert(name.into(), self.last);
            self.tree.insert(filter, self.last, ());
            self.last
        });
        let share = self.shares.entry(number).or_default();
        if let Some(member) = share.get_mut(session) {
            member.wish = wish;
            return;
        }
        self.members += 1;
        share.rota(online).members.push(Member { session, wish });
    }

    /// Removes a membership; whether it existed.
    pub(super) fn remove(&mut self, name: &str, filter: &str, session: SessionKey) -> bool {
        let Some(&number) = self.names.get(name) else {
            return false;
        };
        let Some(share) = self.shares.get_mut(&number) else {
            return false;
        };
        let existed = share.take(session).is_some();
        self.members -= usize::from(existed);
        if share.online.members.is_empty() && share.absent.members.is_empty() {
            self.shares.remove(&number);
            self.names.remove(name);
            self.tree.remove(filter, number);
        }
        existed
    }

    /// A member has come or gone.
    fn set_online(&mut self, name: &str, session: SessionKey, online: bool) {
        if let Some(number) = self.names.get(name)
            && let Some(share) = self.shares.get_mut(number)
            && let Some(member) = share.take(session)
        {
            share.rota(online).members.push(member);
        }
    }

    fn matching(&self, topic: &str) -> Vec<ShareId> {
        let mut found = Vec::new();
        self.tree
            .matches(topic, &mut |share, ()| found.push(ShareId(share)));
        found
    }

    fn turn(&mut self, share: ShareId, online: bool) -> Option<Member> {
        self.shares.get_mut(&share.0)?.rota(online).turn()
    }
}

impl Member {
    fn delivery(self, message: &Arc<Message>, shared: Shared) -> Delivery {
        Delivery {
            message: Arc::clone(message),
            qos: self.wish.qos.min(shared.qos),
            retain: shared.retain && self.wish.retain_as_published,
            subscription_ids: self.wish.identifier.map(|id| Box::from([id])),
            transient: false,
            share: Some(Box::new(shared)),
            sequence: None,
        }
    }
}

impl Router {
    /// Moves a session's memberships to those who are there, or to those who are not.
    pub(super) fn set_shares_online(&mut self, key: SessionKey, online: bool) {
        for (filter, _) in &self.sessions[key].subscriptions {
            if filter.starts_with(topic::SHARED_PREFIX) {
                self.shares.set_online(filter, key, online);
            }
        }
    }

    /// Gives a published message to one member of every share that wants it; whether any does.
    pub(super) fn publish_to_shares(
        &mut self,
        message: &Arc<Message>,
        qos: QoS,
        retain: bool,
        now: Instant,
        routed: &mut Vec<Routed>,
    ) -> bool {
        if self.shares.is_empty() {
            return false;
        }
        let shares = self.shares.matching(&message.topic);
        for share in &shares {
            let shared = Shared {
                share: *share,
                qos,
                retain,
            };
            if let Handed::Online(given) = self.hand_to_member(message, shared, now) {
                routed.push(given);
            }
        }
        !shares.is_empty()
    }

    /// Gives a message to the member of a share whose turn it is: one who is there, or else the queue of one who is not.
    pub(crate) fn hand_to_member(
        &mut self,
        message: &Arc<Message>,
        shared: Shared,
        now: Instant,
    ) -> Handed {
        if let Some(member) = self.shares.turn(shared.share, true) {
            let mut delivery = member.delivery(message, shared);
            self.note(member.session, &mut delivery);
            return Handed::Online(Routed {
                key: member.session,
                delivery,
            });
        }
        for _ in 0..ABSENT_TRIES {
            let Some(member) = self.shares.turn(shared.share, false) else {
                return Handed::ToNobody;
            };
            let delivery = member.delivery(message, shared);
            if delivery.qos == QoS::AtMostOnce {
                continue;
            }
            if self.has_room(member.session, &delivery, now) {
                self.give(member.session, delivery, now);
                return Handed::Queued;
            }
        }
        self.tally.queue_full += u64::from(shared.qos != QoS::AtMostOnce);
        Handed::ToNobody
    }

    /// A session has ended: what it still had from shares goes to their other members, except what MQTT-4.8.2-5 forbids.
    pub(super) fn pass_on(
        &mut self,
        orphans: Vec<Delivery>,
        now: Instant,
        routed: &mut Vec<Routed>,
    ) {
        for orphan in orphans {
            if let Some(shared) = orphan.share
                && let Handed::Online(given) = self.hand_to_member(&orphan.message, *shared, now)
            {
                routed.push(given);
            }
        }
    }
}
