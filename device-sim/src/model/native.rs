//! The native protocol's session: greeting, event numbers, and events that wait for their
//! acknowledgement.
//!
//! Invariant: an event stays in the outbox until the server has it: until its PUBACK, or, for a
//! robot that asked for it, until an Ack covers it. A restart gives what is left new numbers.

use std::collections::VecDeque;

use rand::RngExt;
use rollcall_proto::native::{
    Ack, BaseImage, EcuDescription, Manifest, OperationalState, OtaEvent, PROTOCOL_VERSION, State,
};
use rollcall_proto::{Code, Status};
use uuid::Uuid;

use super::timer::Timer;
use super::{Ecu, Link, Message, Output, Protocol, PublishId, Robot};

/// Most events that wait; a robot that is never acknowledged gives up the oldest progress first.
const OUTBOX_MAX: usize = 256;
/// Most finished operations that a robot remembers, to answer a repeated request without a new run.
const FINISHED_MAX: usize = 16;
/// How long a reordered event waits for its successor, in milliseconds.
const HELD_MAX: u64 = 1_000;

#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) boot: u64,
    wants_ack: bool,
    counter: u64,
    outbox: VecDeque<Pending>,
    /// The event that will be sent after its successor.
    held: Option<u64>,
}

#[derive(Debug, Clone)]
struct Pending {
    ecu: String,
    event: OtaEvent,
    sent_as: Option<PublishId>,
}

/// How an operation ended, and whether the server has acknowledged to know it.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    pub(super) operation: Uuid,
    pub(super) ecu: String,
    pub(super) status: Status,
    pub(super) code: Option<Code>,
    pub(super) acknowledged: bool,
}

impl Session {
    pub(super) fn new(first_boot: u64, wants_ack: bool) -> Self {
        let boot = first_boot.max(1);
        Self {
            boot,
            wants_ack,
            counter: 0,
            outbox: VecDeque::new(),
            held: None,
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.outbox.is_empty()
    }

    pub(super) fn link_lost(&mut self) {
        self.held = None;
        for pending in &mut self.outbox {
            pending.sent_as = None;
        }
    }

    pub(super) fn restarted(&mut self) {
        self.boot += 1;
        self.counter = 0;
        for pending in &mut self.outbox {
            self.counter += 1;
            (pending.event.boot, pending.event.counter) = (self.boot, self.counter);
        }
    }

    fn next_counter(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn keep(&mut self, ecu: &str, event: OtaEvent) {
        if self.outbox.len() == OUTBOX_MAX {
            let oldest = self
                .outbox
                .iter()
                .position(|p| !p.event.status.is_final())
                .unwrap_or(0);
            self.outbox.remove(oldest);
        }
        self.outbox.push_back(Pending {
            ecu: ecu.to_owned(),
            event,
            sent_as: None,
        });
    }
}

impl Ecu {
    /// What the ECU reports, which is what it runs unless the robot lies.
    pub(super) fn reported(&self) -> BaseImage {
        self.claim.clone().unwrap_or_else(|| BaseImage {
            name: self.installed.name.clone(),
            version: self.installed.version.clone(),
            build_id: self.installed.build_id.clone(),
            digest: self.installed.digest,
            operation: self.operation,
        })
    }
}

impl Robot {
    pub(super) fn greet_natively(&mut self) {
        self.outputs.push_back(Output::Subscribe(vec![
            ("rollcall.v1.OTARequest/#", 1),
            ("rollcall.v1.Ack", 1),
        ]));
        let ecus = self.ecus.iter().map(|ecu| EcuDescription {
            name: ecu.name.clone(),
            hardware_id: ecu.hardware_id.clone(),
            primary: ecu.primary,
        });
        let manifest = Manifest {
            protocol: PROTOCOL_VERSION,
            boot: self.native.boot,
            wants_ack: self.native.wants_ack,
            ecus: ecus.collect(),
        };
        self.publish(Message::Manifest(manifest));
        for index in 0..self.ecus.len() {
            self.publish_image(index);
        }
        for index in 0..self.native.outbox.len() {
            self.send(index);
        }
        let battery_percent = Some(self.rng.random_range(20..=100));
        let free_storage_bytes = Some(self.rng.random_range(1_u64 << 30..1 << 36));
        let operational = OperationalState::Idle;
        self.publish(Message::State(State {
            operational,
            battery_percent,
            free_storage_bytes,
        }));
    }

    pub(super) fn publish_image(&mut self, index: usize) {
        let ecu = &self.ecus[index];
        let message = Message::BaseImage {
            ecu: ecu.name.clone(),
            image: ecu.reported(),
        };
        self.publish(message);
    }

    /// Numbers an event, keeps it and sends it if the link is up.
    pub(super) fn report_natively(
        &mut self,
        ecu: &str,
        operation: Uuid,
        (status, progress): (Status, u8),
        code: Option<Code>,
        message: &str,
    ) {
        let counter = self.native.next_counter();
        let event = OtaEvent {
            boot: self.native.boot,
            counter,
            operation,
            status,
            progress,
            code,
            message: message.to_owned(),
        };
        let lost = self.profile.messages.lose_final.happens(&mut self.rng);
        if lost && status.is_final() {
            return;
        }
        self.native.keep(ecu, event);
        if self.link != Link::Up {
            return;
        }
        let reordered = self.profile.messages.reorder.happens(&mut self.rng);
        if reordered && self.native.held.is_none() {
            self.native.held = Some(counter);
            self.after(Timer::Release, HELD_MAX);
        } else {
            self.send(self.native.outbox.len() - 1);
            self.release_held();
        }
    }

    /// Sends the event that was held back, if it is still wanted.
    pub(super) fn release_held(&mut self) {
        self.timers.stop(Timer::Release);
        let Some(counter) = self.native.held.take() else {
            return;
        };
        let held = self
            .native
            .outbox
            .iter()
            .position(|p| p.event.counter == counter);
        if let Some(index) = held {
            self.send(index);
        }
    }

    fn send(&mut self, index: usize) {
        let Some(pending) = self.native.outbox.get(index) else {
            return;
        };
        let message = Message::Event {
            ecu: pending.ecu.clone(),
            event: pending.event.clone(),
        };
        let twice = self.profile.messages.duplicate.happens(&mut self.rng);
        let id = self.publish(message.clone());
        self.native.outbox[index].sent_as = Some(id);
        if twice {
            self.publish(message);
        }
    }

    /// [`super::Input::Acknowledged`].
    pub(super) fn acknowledged(&mut self, id: PublishId) {
        if self.protocol == Protocol::Edgehog {
            return self.edgehog_heard(id);
        }
        if self.native.wants_ack {
            return;
        }
        let sent = self
            .native
            .outbox
            .iter()
            .position(|p| p.sent_as == Some(id));
        if let Some(pending) = sent.and_then(|index| self.native.outbox.remove(index)) {
            self.heard(&pending.event);
        }
    }

    /// An Ack of the server: everything up to it is durable.
    pub(super) fn durable(&mut self, ack: Ack) {
        let covered = |p: &Pending| (p.event.boot, p.event.counter) <= (ack.boot, ack.counter);
        while let Some(index) = self.native.outbox.iter().position(covered) {
            if let Some(pending) = self.native.outbox.remove(index) {
                self.heard(&pending.event);
            }
        }
    }

    fn heard(&mut self, event: &OtaEvent) {
        if event.status.is_final() {
            let finished = self
                .finished
                .iter_mut()
                .find(|f| f.operation == event.operation);
            if let Some(finished) = finished {
                finished.acknowledged = true;
            }
        }
    }

    pub(super) fn remember(&mut self, finished: Finished) {
        if self.finished.len() == FINISHED_MAX {
            self.finished.pop_front();
        }
        self.finished.push_back(finished);
    }
}
