//! What of the router survives a restart: noting it as it changes, and taking it over.

use super::{Absent, Claim, Presence, Router, SessionKey, Wish};
use crate::codec::QoS;
use crate::connection::Session;
use crate::message::{Delivery, Message};
use crate::routing::Testament;
use crate::storage::{SessionJournal, SessionState, SubscriptionState, WillState};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a session that is stored has besides.
#[derive(Debug)]
pub(super) struct Durable {
    pub(super) number: NonZeroU64,
    pub(super) last_delivery: u64,
    pub(super) keep: Duration,
    /// The will of the connection that owns the session.
    pub(super) will: Option<Testament>,
}

impl Durable {
    pub(super) fn new(number: NonZeroU64, claim: &Claim<'_>) -> Self {
        Self {
            number,
            last_delivery: 0,
            keep: claim.keep,
            will: claim.will.cloned(),
        }
    }
}

impl Router {
    /// Notes a session as it is now, without its messages and identifiers, if it is one that is stored.
    pub(crate) fn save(&mut self, key: SessionKey, is_new: bool) {
        let entry = &self.sessions[key];
        let (Some(journal), Some(durable)) = (&self.journal, &entry.durable) else {
            return;
        };
        let (until, will) = match &entry.presence {
            Presence::Online(_) => {
                let live = |will: &Testament| WillState {
                    testament: will.clone(),
                    due: None,
                };
                (None, durable.will.as_ref().map(live))
            }
            Presence::Absent(absent) => {
                let delayed = |(due, will): &(Instant, Testament)| WillState {
                    testament: will.clone(),
                    due: Some(*due),
                };
                (Some(absent.until), absent.will.as_ref().map(delayed))
            }
        };
        let state = SessionState {
            name: Arc::clone(&entry.name),
            until,
            keep: durable.keep,
            subscriptions: self.subscriptions_of(key),
            will,
        };
        journal.put_session(durable.number, state, is_new);
        self.noted = true;
    }

    fn subscriptions_of(&self, key: SessionKey) -> Vec<SubscriptionState> {
        let subscriptions = self.wishes(key);
        let state = |(filter, wish): (&str, Wish)| SubscriptionState {
            filter: filter.into(),
            qos: wish.qos,
            no_local: wish.no_local,
            retain_as_published: wish.retain_as_published,
            identifier: wish.identifier,
        };
        subscriptions.map(state).collect()
    }

    /// Takes over a session that was stored. Its row is written anew, since its time runs from now if its connection
    /// ended with the server.
    pub(crate) fn restore_session(
        &mut self,
        number: NonZeroU64,
        state: SessionState,
        session: Session,
        last_delivery: u64,
        now: Instant,
    ) {
        let was_connected = state.until.is_none();
        let until = state.until.or_else(|| now.checked_add(state.keep));
        // A clock that went back must not make sessions eternal.
        let latest = now.checked_add(self.limits.max_session_expiry);
        let until = until.unwrap_or(now).min(latest.unwrap_or(now));
        let will = state.will.map(|will| {
            let latest = now.checked_add(will.testament.delay).unwrap_or(until);
            let due = will.due.unwrap_or(latest).min(latest).min(until);
            (due, will.testament)
        });
        let absent = Absent::new(session, until, will);
        let due = absent.will.as_ref().map(|(due, _)| *due);
        let durable = Durable {
            number,
            last_delivery,
            keep: state.keep,
            will: None,
        };
        let key = self.insert(
            state.name,
            Presence::Absent(Box::new(absent)),
            Some(durable),
        );
        self.deadlines.insert((until, key));
        self.deadlines.extend(due.map(|due| (due, key)));
        for subscription in state.subscriptions {
            let wish = Wish {
                qos: subscription.qos,
                no_local: subscription.no_local,
                retain_as_published: subscription.retain_as_published,
                identifier: subscription.identifier,
            };
            self.place(&subscription.filter, key, wish);
            let subscriptions = &mut self.sessions[key].subscriptions;
            subscriptions.push((subscription.filter, wish));
        }
        if was_connected {
            self.save(key, false);
        }
    }

    /// Takes over a retained message that was stored.
    pub(crate) fn restore_retained(&mut self, message: Arc<Message>, qos: QoS) {
        self.retained.restore(message, qos);
    }

    /// Gives a delivery its number, and notes it, if it is for a session that is stored.
    pub(super) fn note(&mut self, key: SessionKey, delivery: &mut Delivery) {
        let (Some(journal), Some(durable)) = (&self.journal, &mut self.sessions[key].durable)
        else {
            return;
        };
        if delivery.qos == QoS::AtMostOnce {
            return;
        }
        durable.last_delivery += 1;
        delivery.sequence = NonZeroU64::new(durable.last_delivery);
        journal.put_delivery(durable.number, delivery);
        self.noted = true;
    }

    /// A delivery that was noted finds no room after all.
    pub(crate) fn drop_noted(&self, key: SessionKey, delivery: &Delivery) {
        let durable = self.sessions[key].durable.as_ref();
        SessionJournal::new(self.journal.clone(), durable.map(|durable| durable.number))
            .finished(delivery);
    }

    /// A session that is stored has ended, and with it all its rows.
    pub(super) fn forget(&mut self, durable: &Durable, session: &Session) {
        let Some(journal) = &self.journal else {
            return;
        };
        let rows = SessionJournal::new(Some(Arc::clone(journal)), Some(durable.number));
        session.end(&rows);
        journal.delete_session(durable.number);
        self.noted = true;
    }

    /// Notes what is retained for a topic now, and that other messages are not any more.
    pub(super) fn note_retained(
        &mut self,
        new: Option<(&Arc<Message>, QoS)>,
        old: &[Arc<Message>],
    ) {
        let Some(journal) = &self.journal else {
            return;
        };
        for message in old {
            journal.delete_retained(message);
        }
        if let Some((message, qos)) = new {
            journal.put_retained(message, qos);
        }
        self.noted |= new.is_some() || !old.is_empty();
    }
}
