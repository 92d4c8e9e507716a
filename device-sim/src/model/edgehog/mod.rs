//! Edgehog's protocol as a released device runtime speaks it, for a robot with one ECU.
//!
//! What differs from the native protocol: the full handshake at every connection; properties that
//! are sent again after every process start, preceded by an empty list; events that are lost while
//! the link is down; a Cancel that works only in time and only with the same url; an Update of a
//! finished operation that runs again.
//!
//! The comments name the sections of the contract that edgehog-device-runtime 0.13.1 on
//! astarte-device-sdk 0.15.1 was found to keep.

mod backoff;
mod consumer;
mod interfaces;
mod properties;
mod request;

use std::collections::VecDeque;

use rollcall_proto::edgehog::{OtaEvent, SystemStatus};
use rollcall_proto::{Code, Status};
use uuid::Uuid;

use self::interfaces::CONSUMER_PROPERTIES;
use super::{Link, Message, Output, PublishId, Robot};

/// Most events that a device watches for their acknowledgement.
const SENT_MAX: usize = 64;

/// What a device knows. Everything but the machine's start belongs to one process.
#[derive(Debug, Clone, Default)]
pub(super) struct Session {
    /// A process connects with a clean session the first time only.
    pub(super) connected_before: bool,
    /// The process ended on a bad message, and the machine ran on.
    pub(super) exited: bool,
    properties: properties::Properties,
    consumer: consumer::ConsumerProperties,
    requests: request::Requests,
    backoff: backoff::Backoff,
    /// The event of the start-up check, if against the odds it is not lost.
    late: Option<OtaEvent>,
    /// Events that the broker has not acknowledged yet, oldest first.
    sent: VecDeque<(PublishId, Uuid)>,
    boot_id: Uuid,
    /// When the machine started, in the robot's milliseconds.
    booted: u64,
}

impl Session {
    pub(super) fn link_lost(&mut self) {
        self.properties.link_lost();
        self.sent.clear();
    }

    /// Whether the broker has acknowledged everything that the device said.
    pub(super) fn is_settled(&self) -> bool {
        self.sent.is_empty() && self.properties.are_stored()
    }
}

impl Robot {
    /// The runtime starts; with the machine, or alone after it ended.
    pub(super) fn edgehog_starts(&mut self) {
        let former = std::mem::take(&mut self.edgehog);
        if former.exited {
            (self.edgehog.boot_id, self.edgehog.booted) = (former.boot_id, former.booted);
            self.edgehog.exited = true;
        } else {
            let (high, low) = (self.random(), self.random());
            self.edgehog.boot_id = Uuid::from_u64_pair(high, low);
            self.edgehog.booted = self.now;
        }
        // The first attempt is made without waiting, and takes the first of the waits.
        self.edgehog_wait();
    }

    /// How long the SDK waits before it tries to connect.
    pub(super) fn edgehog_wait(&mut self) -> u64 {
        self.edgehog.backoff.next(self.now, &mut self.rng)
    }

    /// The handshake (1.6): everything is sent at once, without waiting for an answer.
    pub(super) fn greet_as_edgehog(&mut self, session_present: bool) {
        let first = !std::mem::replace(&mut self.edgehog.connected_before, true);
        if first {
            self.edgehog.properties = self.properties();
        } else if self.profile.edgehog.adapter_changes.happens(&mut self.rng) {
            self.toggle_wireless();
        }
        let subscribe = |filter| Output::Subscribe(vec![(filter, 2)]);
        self.outputs.push_back(subscribe(CONSUMER_PROPERTIES));
        let filters = self.server_owned();
        self.outputs.extend(filters.map(subscribe));
        let introspection = self.introspection();
        self.publish(Message::Introspection(introspection));
        self.publish(Message::EmptyCache);
        self.publish(Message::ProducerProperties(
            self.edgehog.properties.stored(),
        ));
        if !session_present {
            self.edgehog.properties.forget_session();
        }
        self.publish_changed();
        let early = self.profile.edgehog.status_lost.happens(&mut self.rng);
        if first && !early {
            self.publish_status();
        }
        if let Some(event) = self.edgehog.late.take() {
            self.publish_edgehog_event(event);
        }
    }

    fn publish_status(&mut self) {
        let uptime = self.now.saturating_sub(self.edgehog.booted);
        self.publish(Message::SystemStatus(SystemStatus {
            boot_id: self.edgehog.boot_id.hyphenated().to_string(),
            uptime_ms: i64::try_from(uptime).unwrap_or(i64::MAX),
            available_memory_bytes: 6 << 30,
            tasks: 180,
            timestamp_unix_ms: i64::try_from(self.now).ok(),
        }));
    }

    fn publish_edgehog_event(&mut self, event: OtaEvent) {
        let operation = event.operation;
        let id = self.publish(Message::EdgehogEvent(event));
        if self.edgehog.sent.len() == SENT_MAX {
            self.edgehog.sent.pop_front();
        }
        self.edgehog.sent.push_back((id, operation));
    }

    /// The broker has a message. From its first event on the server must not repeat a request.
    pub(super) fn edgehog_heard(&mut self, id: PublishId) {
        if self.edgehog.properties.acknowledged(id) {
            return;
        }
        let Some(index) = self.edgehog.sent.iter().position(|(sent, _)| *sent == id) else {
            return;
        };
        let Some((_, operation)) = self.edgehog.sent.remove(index) else {
            return;
        };
        if let Some(job) = self.job.as_mut().filter(|job| job.operation == operation) {
            job.heard = true;
        }
        for finished in self
            .finished
            .iter_mut()
            .filter(|f| f.operation == operation)
        {
            finished.acknowledged = true;
        }
    }

    /// An event is sent if the link is up, and lost otherwise (0.1, 0.2). What the start-up check finds is
    /// lost too, unless connecting takes less time than checking.
    pub(super) fn report_as_edgehog(
        &mut self,
        operation: Uuid,
        (status, progress): (Status, u8),
        code: Option<Code>,
        message: &str,
    ) {
        let event = OtaEvent {
            operation,
            status,
            progress,
            code,
            message: message.to_owned(),
            timestamp_unix_ms: i64::try_from(self.now).ok(),
        };
        if self.link == Link::Up {
            self.publish_edgehog_event(event);
        } else if status.is_final()
            && !self.edgehog.connected_before
            && self.profile.edgehog.late_success.happens(&mut self.rng)
        {
            self.edgehog.late = Some(event);
        }
    }
}
