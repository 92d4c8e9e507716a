//! Published messages find their sessions.

use super::{Presence, Router, SessionKey};
use crate::codec::QoS;
use crate::message::{Delivery, Message};
use crate::storage::SessionJournal;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// A message for a connected client.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) key: SessionKey,
    pub(crate) delivery: Delivery,
}

impl Router {
    /// Routes a message: into `routed` for connected clients, into the queues of absent ones. Returns whether anybody
    /// subscribes to it.
    pub(crate) fn publish(
        &mut self,
        publisher: Option<SessionKey>,
        message: &Arc<Message>,
        qos: QoS,
        retain: bool,
        now: Instant,
        routed: &mut Vec<Routed>,
    ) -> bool {
        if retain {
            self.retain(message, qos, now);
        }
        let mut found: BTreeMap<SessionKey, Delivery> = BTreeMap::new();
        self.tree.matches(&message.topic, &mut |session, wish| {
            if wish.no_local && publisher == Some(session) {
                return;
            }
            let delivery = found.entry(session).or_insert_with(|| Delivery {
                message: Arc::clone(message),
                qos: QoS::AtMostOnce,
                retain: false,
                subscription_ids: None,
                transient: false,
                share: None,
                sequence: None,
            });
            delivery.qos = delivery.qos.max(wish.qos.min(qos));
            delivery.retain |= retain && wish.retain_as_published;
            if let Some(id) = wish.identifier {
                let known = delivery.subscription_ids.take().unwrap_or_default();
                let ids = known.iter().copied().chain([id]).collect();
                delivery.subscription_ids = Some(ids);
            }
        });
        let anybody = !found.is_empty() | self.publish_to_shares(message, qos, retain, now, routed);
        for (key, delivery) in found {
            if let Some(given) = self.give(key, delivery, now) {
                routed.push(given);
            }
        }
        anybody
    }

    /// Gives a message to a session: for a connected client it is returned, for an absent one it is queued. What finds no
    /// room is counted.
    pub(super) fn give(
        &mut self,
        key: SessionKey,
        mut delivery: Delivery,
        now: Instant,
    ) -> Option<Routed> {
        if !self.has_room(key, &delivery, now) {
            self.tally.queue_full += u64::from(delivery.qos != QoS::AtMostOnce);
            return None;
        }
        self.note(key, &mut delivery);
        match &mut self.sessions[key].presence {
            Presence::Online(_) => Some(Routed { key, delivery }),
            Presence::Absent(absent) => {
                absent.queue(delivery);
                None
            }
        }
    }

    /// Whether a session can take a message now. An absent one that is full lets go of what has expired meanwhile.
    pub(super) fn has_room(&mut self, key: SessionKey, delivery: &Delivery, now: Instant) -> bool {
        let entry = &mut self.sessions[key];
        let Presence::Absent(absent) = &mut entry.presence else {
            return true;
        };
        if absent.has_room(delivery, &self.limits) {
            return true;
        }
        if absent.next_expiry.is_none_or(|expiry| expiry > now) {
            return false;
        }
        let number = entry.durable.as_ref().map(|durable| durable.number);
        let rows = SessionJournal::new(self.journal.clone(), number);
        self.tally.expired_messages += absent.drop_expired(now, &rows);
        absent.has_room(delivery, &self.limits)
    }

    fn retain(&mut self, message: &Arc<Message>, qos: QoS, now: Instant) {
        let mut removed = Vec::new();
        let stored = self.retained.set(
            message,
            qos,
            now,
            self.limits.max_retained_messages,
            self.limits.max_retained_bytes,
            &mut removed,
        );
        self.tally.retained_limit += u64::from(stored.is_err());
        let is_kept = stored.is_ok() && !message.payload.is_empty();
        self.note_retained(is_kept.then_some((message, qos)), &removed);
    }
}
