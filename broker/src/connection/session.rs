//! What of a client may outlive its connection.

use super::inbound::Inbound;
use super::outbound::Outbound;
use crate::codec::QoS;
use crate::message::Delivery;
use crate::storage::SessionJournal;
use std::collections::VecDeque;

/// Protocol state of one session. A connection owns it while it lives; the router keeps it in between.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    /// Waits for the client's return; empty while it is connected.
    pub(crate) queue: VecDeque<Delivery>,
}

impl Session {
    /// What shared subscriptions brought and nobody has, now that the session has ended. A QoS 2 message that was sent is
    /// not among it: its client may have it (MQTT-4.8.2-5).
    pub(crate) fn orphans(self) -> Vec<Delivery> {
        let unsent = self.queue.into_iter();
        let unsent = unsent.filter(|delivery| delivery.qos != QoS::AtMostOnce);
        let unfinished = self.outbound.unacknowledged().chain(unsent);
        unfinished
            .filter(|delivery| delivery.share.is_some())
            .collect()
    }

    /// The session ends, and with it every row that stands for a part of it.
    pub(crate) fn end(&self, journal: &SessionJournal) {
        self.inbound.end(journal);
        self.outbound.end(journal);
        for delivery in &self.queue {
            journal.finished(delivery);
        }
    }
}
