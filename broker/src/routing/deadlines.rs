//! What time does: delayed wills are published, absent sessions end.

use super::{Entry, Presence, Routed, Router, SessionKey, Testament};
use std::sync::Arc;
use std::time::Instant;

impl Router {
    /// The next moment at which `tick` has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Publishes delayed wills and ends sessions whose time has come.
    pub(crate) fn tick(&mut self, now: Instant, routed: &mut Vec<Routed>) {
        while let Some(&(at, key)) = self.deadlines.first() {
            if at > now {
                return;
            }
            self.deadlines.remove(&(at, key));
            let Some(Entry {
                presence: Presence::Absent(absent),
                ..
            }) = self.sessions.get_mut(key)
            else {
                continue;
            };
            let will = absent.will.take_if(|(due, _)| *due <= now);
            let ended = absent.until <= now;
            if let Some((_, will)) = will {
                self.execute(Some(key), &will, now, routed);
                // Else it would be published again after a restart.
                self.save(key, false);
            }
            if ended {
                self.tally.expired_sessions += 1;
                self.end(key, now, routed);
            }
        }
    }

    /// Ends an absent session.
    pub(super) fn end(&mut self, key: SessionKey, now: Instant, routed: &mut Vec<Routed>) {
        let Presence::Absent(absent) = &mut self.sessions[key].presence else {
            return;
        };
        let (session, until) = (std::mem::take(&mut absent.session), absent.until);
        let will = absent.will.take();
        self.deadlines.remove(&(until, key));
        self.remove(key, &session);
        self.pass_on(session.orphans(), now, routed);
        if let Some((at, will)) = will {
            self.deadlines.remove(&(at, key));
            self.execute(None, &will, now, routed);
        }
    }

    /// Publishes a will. `publisher` is the session that left it, if it still has subscriptions.
    pub(super) fn execute(
        &mut self,
        publisher: Option<SessionKey>,
        will: &Testament,
        now: Instant,
        routed: &mut Vec<Routed>,
    ) {
        self.tally.wills += 1;
        let message = match will.expiry {
            Some(expiry) => will.message.expiring(now.checked_add(expiry)),
            None => Arc::clone(&will.message),
        };
        self.publish(publisher, &message, will.qos, will.retain, now, routed);
    }
}
