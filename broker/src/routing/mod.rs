//! Sessions, subscriptions, retained messages and wills of all clients. Pure: time comes in, deliveries go out.
//!
//! A session is *online* while a connection owns its protocol state, and *absent* while the router keeps it:
//!
//! ```text
//!   open ──► online ──close, keep──► absent ──open──► online
//!              │                        │
//!              └──close, drop──► gone ◄─┴─ expiry, clean start
//! ```
//!
//! Invariant: every subscription in the tree or in a share belongs to a session in `sessions`, and its filter is in
//! that session's list.

mod absent;
mod deadlines;
mod durable;
mod retained;
mod shared;
#[cfg(test)]
mod tests;
mod tree;

use crate::codec::{QoS, ReasonCode, RetainHandling, SubscribeOptions, topic};
use crate::config::Limits;
use crate::connection::Session;
use crate::event::{ConnectionId, Verdict};
use crate::message::{Delivery, Message, Queued};
use crate::storage::{Journal, SessionJournal};
use absent::Absent;
use durable::Durable;
use retained::Retained;
use shared::Shares;
use slab::Slab;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tree::Tree;

/// Where a session stands in the router; valid until it is closed or expires.
pub(crate) type SessionKey = usize;

/// All sessions and what flows between them.
#[derive(Debug)]
pub(crate) struct Router {
    limits: Arc<Limits>,
    names: HashMap<Arc<str>, SessionKey>,
    sessions: Slab<Entry>,
    tree: Tree<Wish>,
    shares: Shares,
    retained: Retained,
    /// Wills and ends of absent sessions, by time.
    deadlines: BTreeSet<(Instant, SessionKey)>,
    last_session: u64,
    /// Where changes of what is stored are noted.
    journal: Option<Arc<Journal>>,
    /// Whether anything was noted since the flag was cleared.
    pub(crate) noted: bool,
    pub(crate) tally: Tally,
}

/// Things to count.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) queue_full: u64,
    pub(crate) retained_limit: u64,
    pub(crate) wills: u64,
    pub(crate) expired_sessions: u64,
    pub(crate) expired_messages: u64,
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    /// Tells a session from an older one of the same client.
    number: u64,
    presence: Presence,
    /// Filters, each with what is asked for.
    subscriptions: Vec<(Box<str>, Wish)>,
    durable: Option<Box<Durable>>,
}

#[derive(Debug)]
enum Presence {
    Online(ConnectionId),
    Absent(Box<Absent>),
}

/// What a subscription asks for, as the tree keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wish {
    qos: QoS,
    no_local: bool,
    retain_as_published: bool,
    identifier: Option<u32>,
}

/// A will with its publishing parameters.
#[derive(Debug, Clone)]
pub(crate) struct Testament {
    pub(crate) message: Arc<Message>,
    /// Counts from the moment at which the will is published.
    pub(crate) expiry: Option<Duration>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) delay: Duration,
}

/// How opening a session went.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A connection owns the session; it has to end first.
    Busy(ConnectionId),
    /// The session is the caller's.
    Ready(Box<Ready>),
}

/// A session in the hands of a new connection.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) key: SessionKey,
    pub(crate) number: u64,
    /// The session's number among those that are stored.
    pub(crate) durable: Option<NonZeroU64>,
    pub(crate) present: bool,
    pub(crate) session: Session,
    /// The will that was to be published if nobody had come, and when.
    pub(crate) will: Option<(Instant, Testament)>,
    /// Filters that a resumed session brings along.
    pub(crate) subscriptions: Vec<(Box<str>, QoS)>,
}

/// Who wants a session, and how.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) name: &'a Arc<str>,
    pub(crate) clean_start: bool,
    /// How long it will outlive the connection.
    pub(crate) keep: Duration,
    pub(crate) will: Option<&'a Testament>,
    pub(crate) connection: ConnectionId,
}

/// No further session fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManySessions;

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

/// A message for a connected client.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) key: SessionKey,
    pub(crate) delivery: Delivery,
}

impl Router {
    /// With a journal, sessions that outlive their connections and retained messages are noted in it.
    pub(crate) fn new(limits: Arc<Limits>, journal: Option<Arc<Journal>>) -> Self {
        Self {
            limits,
            names: HashMap::new(),
            sessions: Slab::new(),
            tree: Tree::default(),
            shares: Shares::default(),
            retained: Retained::default(),
            deadlines: BTreeSet::new(),
            last_session: 0,
            journal,
            noted: false,
            tally: Tally::default(),
        }
    }

    pub(crate) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn subscriptions(&self) -> usize {
        self.tree.len() + self.shares.len()
    }

    pub(crate) fn retained(&self) -> (usize, usize) {
        (self.retained.len(), self.retained.bytes())
    }

    /// Messages that wait for absent clients.
    pub(crate) fn waiting(&self) -> Queued {
        let absent = self.sessions.iter().filter_map(|(_, entry)| {
            let Presence::Absent(absent) = &entry.presence else {
                return None;
            };
            Some(Queued {
                messages: absent.session.queue.len(),
                bytes: absent.queued_bytes,
            })
        });
        absent.fold(Queued::default(), Queued::and)
    }

    pub(crate) fn is_known(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Gives a client its session. A clean start ends the old one first, which may publish its will into `routed`.
    pub(crate) fn open(
        &mut self,
        claim: &Claim<'_>,
        now: Instant,
        routed: &mut Vec<Routed>,
    ) -> Result<Opened, TooManySessions> {
        let name = claim.name;
        if let Some(&key) = self.names.get(name) {
            match &self.sessions[key].presence {
                Presence::Online(owner) => return Ok(Opened::Busy(*owner)),
                Presence::Absent(absent) if claim.clean_start || absent.until <= now => {
                    self.end(key, now, routed);
                }
                Presence::Absent(_) => {
                    if let Some(ready) = self.resume(key, claim) {
                        return Ok(Opened::Ready(Box::new(ready)));
                    }
                }
            }
        }
        if self.sessions.len() >= self.limits.max_sessions {
            return Err(TooManySessions);
        }
        let durable = match &self.journal {
            Some(journal) if !claim.keep.is_zero() => Some(journal.begin_session()),
            _ => None,
        };
        let key = self.insert(
            Arc::clone(name),
            Presence::Online(claim.connection),
            durable.map(|number| Durable::new(number, claim)),
        );
        self.save(key, true);
        Ok(Opened::Ready(Box::new(Ready {
            key,
            number: self.last_session,
            durable,
            present: false,
            session: Session::default(),
            will: None,
            subscriptions: Vec::new(),
        })))
    }

    fn insert(
        &mut self,
        name: Arc<str>,
        presence: Presence,
        durable: Option<Durable>,
    ) -> SessionKey {
        self.last_session += 1;
        let key = self.sessions.insert(Entry {
            name: Arc::clone(&name),
            number: self.last_session,
            presence,
            subscriptions: Vec::new(),
            durable: durable.map(Box::new),
        });
        self.names.insert(name, key);
        key
    }

    fn resume(&mut self, key: SessionKey, claim: &Claim<'_>) -> Option<Ready> {
        let entry = &mut self.sessions[key];
        let online = Presence::Online(claim.connection);
        let presence = std::mem::replace(&mut entry.presence, online);
        let Presence::Absent(absent) = presence else {
            return None;
        };
        self.deadlines.remove(&(absent.until, key));
        if let Some((at, _)) = &absent.will {
            self.deadlines.remove(&(*at, key));
        }
        let number = entry.number;
        let durable = entry.durable.as_mut().map(|durable| {
            durable.keep = claim.keep;
            durable.will = claim.will.cloned();
            durable.number
        });
        self.set_shares_online(key, true);
        self.save(key, false);
        let subscriptions = self.wishes(key);
        Some(Ready {
            key,
            number,
            durable,
            present: true,
            session: absent.session,
            will: absent.will,
            subscriptions: subscriptions
                .map(|(filter, wish)| (filter.into(), wish.qos))
                .collect(),
        })
    }

    /// What a session subscribes to, and how.
    fn wishes(&self, key: SessionKey) -> impl Iterator<Item = (&str, Wish)> {
        let subscriptions = self.sessions[key].subscriptions.iter();
        subscriptions.map(|(filter, wish)| (&**filter, *wish))
    }

    /// Takes a session back when its connection ends. Without `keep` it ends; its will is published now, or after its
    /// delay if the session lives on.
    pub(crate) fn close(
        &mut self,
        key: SessionKey,
        session: Session,
        keep: Duration,
        will: Option<Testament>,
        now: Instant,
        routed: &mut Vec<Routed>,
    ) {
        let Some(until) = now.checked_add(keep).filter(|_| !keep.is_zero()) else {
            self.remove(key, &session);
            self.pass_on(session.orphans(), now, routed);
            if let Some(will) = will {
                self.execute(None, &will, now, routed);
            }
            return;
        };
        let (at_once, delayed) = match will {
            Some(will) if will.delay.is_zero() => (Some(will), None),
            Some(will) => (None, Some((now + will.delay.min(keep), will))),
            None => (None, None),
        };
        if let Some((at, _)) = delayed {
            self.deadlines.insert((at, key));
        }
        self.deadlines.insert((until, key));
        self.sessions[key].presence =
            Presence::Absent(Box::new(Absent::new(session, until, delayed)));
        self.set_shares_online(key, false);
        self.save(key, false);
        // Only now, since the session may subscribe to its own will.
        if let Some(will) = at_once {
            self.execute(Some(key), &will, now, routed);
        }
    }

    /// A verdict that came after its connection had ended. Returns the connection that owns the session now, if any:
    /// the verdict is for it.
    pub(crate) fn settle_late(
        &mut self,
        key: SessionKey,
        number: u64,
        ticket: u64,
        verdict: &Verdict,
    ) -> Option<SessionKey> {
        let entry = self.sessions.get_mut(key)?;
        if entry.number != number {
            return None;
        }
        match &mut entry.presence {
            Presence::Online(_) => Some(key),
            Presence::Absent(absent) => {
                absent.session.inbound.settle_unasked(ticket, verdict);
                None
            }
        }
    }

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
    fn place(&mut self, filter: &str, key: SessionKey, wish: Wish) -> bool {
        let topic::Shared::Yes { filter: inner, .. } = topic::shared(filter) else {
            self.tree.insert(filter, key, wish);
            return false;
        };
        let online = matches!(self.sessions[key].presence, Presence::Online(_));
        self.shares.insert(filter, inner, key, online, wish);
        true
    }

    /// The opposite of `place`; whether there was anything.
    fn displace(&mut self, filter: &str, key: SessionKey) -> bool {
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
        self.tree.matches(&message.topic, &mut |subscriber| {
            let wish = subscriber.options;
            if wish.no_local && publisher == Some(subscriber.session) {
                return;
            }
            let delivery = found.entry(subscriber.session).or_insert_with(|| Delivery {
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
    fn give(&mut self, key: SessionKey, mut delivery: Delivery, now: Instant) -> Option<Routed> {
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
    fn has_room(&mut self, key: SessionKey, delivery: &Delivery, now: Instant) -> bool {
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

    fn remove(&mut self, key: SessionKey, session: &Session) {
        let Some(entry) = self.sessions.try_remove(key) else {
            return;
        };
        if let Some(durable) = &entry.durable {
            self.forget(durable, session);
        }
        self.names.remove(&entry.name);
        for (filter, _) in &entry.subscriptions {
            self.displace(filter, key);
        }
    }
}
