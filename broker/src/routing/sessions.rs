//! Sessions begin, are resumed, are kept and end.

use super::{Absent, Durable, Entry, Presence, Routed, Router, SessionKey, Testament, Wish};
use crate::codec::QoS;
use crate::connection::Session;
use crate::event::{ConnectionId, Verdict};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

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

impl Router {
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

    pub(super) fn insert(
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
    pub(super) fn wishes(&self, key: SessionKey) -> impl Iterator<Item = (&str, Wish)> {
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

    pub(super) fn remove(&mut self, key: SessionKey, session: &Session) {
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
