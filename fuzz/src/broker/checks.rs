//! What must hold at any time, after time has passed, and at the end.

use super::good::introduction;
use super::life::{Held, Life};
use super::link::Link;
use super::{CLIENTS, SESSION_S, limits};
use rollcall_broker::{Count, QoS, Verdict};
use std::time::Duration;

impl Life {
    pub(super) fn check(&self) {
        for (tag, account) in &self.world.accounts {
            let waits = |held: &&Held| held.tag == *tag && held.qos != QoS::AtMostOnce;
            let waiting = self.tickets.iter().filter(waits).count();
            assert!(
                account.acknowledged + waiting <= account.published,
                "acknowledged without a verdict: {account:?}, {waiting} wait"
            );
        }
        let (metrics, limits) = (self.handle.metrics(), limits());
        // Who waits for an older connection of its client, or for the disk, counts too, also when it has left meanwhile.
        assert!(metrics.connections <= limits.max_connections);
        assert!(metrics.retained_messages <= limits.max_retained_messages);
        assert!(metrics.retained_bytes <= limits.max_retained_bytes);
        assert!(metrics.count(Count::WillsPublished) <= self.world.wills);
        assert!(metrics.subscriptions <= metrics.sessions * limits.max_subscriptions);
    }

    /// Whether everything that anybody has said has reached the server, and nothing waits for the owner or the disk.
    fn is_settled(&self) -> bool {
        let metrics = self.handle.metrics();
        let is_free = |link: &Link| link.reads && link.unsent.is_empty();
        self.tickets.is_empty()
            && (metrics.unstored, metrics.events_waiting) == (0, 0)
            && self.links.iter().flatten().all(is_free)
    }

    /// Lets time pass; then nobody is there who should have gone.
    pub(super) async fn pass(&mut self, seconds: u64) {
        let is_settled = self.is_settled();
        self.world.was_held_up |= !is_settled;
        let connected = self.handle.metrics().connections;
        tokio::time::advance(Duration::from_secs(seconds)).await;
        self.world.now += seconds;
        self.settle_down().await;
        let now = self.world.now;
        for link in self.links.iter_mut().flatten() {
            if !is_settled {
                // Who was not heard, or not looked at, is not to blame.
                link.spoke = now;
            }
            let patience = link.patience().unwrap_or(u64::MAX);
            let silent = now - link.spoke;
            assert!(
                link.ended || silent <= patience,
                "{silent} s of silence, not {patience}"
            );
        }
        if is_settled && seconds > SESSION_S {
            let sessions = self.handle.metrics().sessions;
            assert!(
                sessions <= connected,
                "{sessions} sessions of {connected} clients"
            );
        }
    }

    /// Settles everything; then who was malformed is gone, and who was not is answered.
    pub(super) async fn end(&mut self) {
        for link in self.links.iter_mut().flatten() {
            link.reads = true;
        }
        let mut more = true;
        while more {
            self.settle_down().await;
            more = !self.tickets.is_empty();
            while !self.tickets.is_empty() {
                self.judge(0, Verdict::Accepted);
            }
            more |= self.store();
        }
        for client in 0..CLIENTS {
            let Some(link) = &self.links[client] else {
                continue;
            };
            if link.is_malformed {
                assert!(link.ended, "what is malformed ends the connection");
            }
            if link.ended || !link.accepted || !link.said.is_empty() || !link.unsent.is_empty() {
                continue;
            }
            let pongs = link.pongs;
            self.say(client, &[0xc0, 0]).await;
            let link = self.links[client].as_ref().expect("still there");
            assert!(link.ended || link.pongs > pongs, "a client is not answered");
        }
        self.witness().await;
        let alive = self.links.iter().flatten();
        let alive = alive.filter(|link| link.accepted && !link.ended).count();
        let metrics = self.handle.metrics();
        let counts: Vec<_> = metrics.counts().filter(|(_, count)| *count > 0).collect();
        assert_eq!(metrics.connections, alive, "{metrics:?} {counts:?}");
    }

    /// A client that does nothing wrong is served.
    async fn witness(&mut self) {
        self.links[0] = None;
        self.settle_down().await;
        self.links[0] = Some(Link::open(&self.handle, self.world.now));
        self.say(0, &introduction(0xff)).await;
        while self.store() {
            self.settle_down().await;
        }
        let link = self.links[0].as_ref().expect("just opened");
        assert!(link.accepted && !link.ended, "the witness is let in");
        // A subscription of QoS 0 to `w`, a publish of QoS 1 to it.
        self.say(0, b"\x82\x07\0\x01\0\0\x01w\0\x32\x07\0\x01w\0\x07\0w")
            .await;
        while self.store() {
            self.settle_down().await;
        }
        let link = self.links[0].as_ref().expect("just opened");
        assert!(link.witnessed > 0, "the witness gets its message");
        assert_eq!(link.acknowledged, 1, "and its acknowledgement");
    }
}
