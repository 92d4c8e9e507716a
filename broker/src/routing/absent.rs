//! A session whose client is away: what waits for it, and until when.

use super::Testament;
use crate::codec::QoS;
use crate::config::Limits;
use crate::connection::Session;
use crate::message::Delivery;
use crate::storage::SessionJournal;
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Absent {
    pub(super) session: Session,
    pub(super) queued_bytes: usize,
    /// Before this nothing that waits expires.
    pub(super) next_expiry: Option<Instant>,
    pub(super) until: Instant,
    pub(super) will: Option<(Instant, Testament)>,
}

impl Absent {
    pub(super) fn new(
        session: Session,
        until: Instant,
        will: Option<(Instant, Testament)>,
    ) -> Self {
        let mut absent = Self {
            session,
            queued_bytes: 0,
            next_expiry: None,
            until,
            will,
        };
        absent.measure();
        absent
    }

    pub(super) fn measure(&mut self) {
        let messages = || self.session.queue.iter().map(|delivery| &delivery.message);
        self.queued_bytes = messages().map(|message| message.size()).sum();
        self.next_expiry = messages().filter_map(|message| message.expires).min();
    }

    /// Drops what has expired while it waited (MQTT-3.3.2-5); how much.
    pub(super) fn drop_expired(&mut self, now: Instant, rows: &SessionJournal) -> u64 {
        let mut dropped = 0;
        self.session.queue.retain(|delivery| {
            let expired = delivery.message.is_expired(now);
            if expired {
                rows.finished(delivery);
                dropped += 1;
            }
            !expired
        });
        self.measure();
        dropped
    }

    /// QoS 0 is not kept; neither is what exceeds the limits, which the caller counts.
    pub(super) fn has_room(&self, delivery: &Delivery, limits: &Limits) -> bool {
        delivery.qos != QoS::AtMostOnce
            && self.session.queue.len() < limits.queue_messages
            && self.queued_bytes + delivery.message.size() <= limits.queue_bytes
    }

    pub(super) fn queue(&mut self, delivery: Delivery) {
        self.queued_bytes += delivery.message.size();
        let expiries = self.next_expiry.into_iter().chain(delivery.message.expires);
        self.next_expiry = expiries.min();
        self.session.queue.push_back(delivery);
    }
}
