//! Subscriptions of sessions, and the retained messages that they ask for.

use super::{Presence, Router, SessionKey, Wish};
use crate::codec::{ReasonCode, RetainHandling, SubscribeOptions, topic};
use crate::message::Delivery;
use std::time::Instant;

impl Router {
    /// Adds a subscription. The retained messages that it gets now are returned.
    pub(crate) fn subscribe(
        &mut self,
        key: SessionKey,
        filter: &str,
        options: SubscribeOptions,
        identifier: Option<u32>,
        now: Instant,
    ) -> Result<Vec<Delivery>, ReasonCode> {
        let entry = &mut self.sessions[key];
        let wish = Wish {
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            identifier,
        };
        let has_room = entry.subscriptions.len() < self.limits.max_subscriptions;
        let mut known = entry.subscriptions.iter_mut();
        let known = known.find(|(known, _)| **known == *filter);
        let is_new = known.is_none();
        if let Some((_, known)) = known {
            *known = wish;
        } else if has_room {
            entry.subscriptions.reserve_exact(1);
            entry.subscriptions.push((filter.into(), wish));
        } else {
            return Err(ReasonCode::QuotaExceeded);
        }
        let is_shared = self.place(filter, key, wish);
        if is_shared {
            return Ok(Vec::new());
        }
        let wants_retained = match options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        if !wants_retained {
            return Ok(Vec::new());
        }
        let deliveries = self.retained.matching(filter, now).into_iter();
        let kept = self.limits.queue_messages;
        Ok(deliveries
            .enumerate()
            .map(|(index, (message, qos))| {
                let mut delivery = Delivery {
                    message,
                    qos: qos.min(options.qos),
                    retain: true,
                    subscription_ids: identifier.map(|id| Box::from([id])),
                    transient: false,
                    share: None,
                    sequence: None,
                };
                // More would not be kept for a client that leaves.
                if index < kept {
                    self.note(key, &mut delivery);
                }
                delivery
            })
            .collect())
    }

    /// Puts a subscription into force; whether it is a shared one.
    pub(super) fn place(&mut self, filter: &str, key: SessionKey, wish: Wish) -> bool {
        let topic::Shared::Yes { filter: inner, .. } = topic::shared(filter) else {
            self.tree.insert(filter, key, wish);
            return false;
        };
        let online = matches!(self.sessions[key].presence, Presence::Online(_));
        self.shares.insert(filter, inner, key, online, wish);
        true
    }

    /// The opposite of `place`; whether there was anything.
    pub(super) fn displace(&mut self, filter: &str, key: SessionKey) -> bool {
        match topic::shared(filter) {
            topic::Shared::Yes { filter: inner, .. } => self.shares.remove(filter, inner, key),
            topic::Shared::No | topic::Shared::Malformed => self.tree.remove(filter, key),
        }
    }

    /// Removes a subscription; whether it existed.
    pub(crate) fn unsubscribe(&mut self, key: SessionKey, filter: &str) -> bool {
        self.sessions[key]
            .subscriptions
            .retain(|(known, _)| **known != *filter);
        self.displace(filter, key)
    }
}
