//! Edgehog's protocol as a released device runtime speaks it, for a robot with one ECU.
//!
//! What differs from the native protocol: the full handshake at every connection; properties that
//! are sent again after every process start, preceded by an empty list; events that are lost while
//! the link is down; a Cancel that works only in time and only with the same url; an Update of a
//! finished operation that runs again.

use std::collections::VecDeque;

use rollcall_proto::edgehog::{OtaEvent, OtaRequest};
use rollcall_proto::native::RequestKind;
use rollcall_proto::{Code, Status};
use uuid::Uuid;

use super::fate::Fate;
use super::update::{Job, Order};
use super::{Link, Message, Output, PublishId, RealOutcome, Robot, Violation};

const BASE_IMAGE: &str = "io.edgehog.devicemanager.BaseImage";
const SYSTEM_INFO: &str = "io.edgehog.devicemanager.SystemInfo";
const INTROSPECTION: &str = "io.edgehog.devicemanager.BaseImage:0:1;\
    io.edgehog.devicemanager.OTAEvent:0:1;\
    io.edgehog.devicemanager.OTARequest:1:0;\
    io.edgehog.devicemanager.SystemInfo:0:1";

/// What a device knows within one process.
#[derive(Debug, Clone, Default)]
pub(super) struct Session {
    /// A process connects with a clean session the first time only.
    pub(super) connected_before: bool,
    /// The event that, against the odds, survives the reboot.
    late: Option<OtaEvent>,
    /// Events that the broker has not acknowledged yet, oldest first.
    sent: VecDeque<(PublishId, Uuid)>,
}

/// Most events that a device watches for their acknowledgement.
const SENT_MAX: usize = 64;

impl Session {
    pub(super) fn restarted(&mut self) {
        self.connected_before = false;
        self.sent.clear();
    }
}

impl Robot {
    /// The handshake: everything is sent at once, without waiting for an answer.
    pub(super) fn greet_as_edgehog(&mut self, session_present: bool) {
        let filters = [
            "control/consumer/properties",
            "io.edgehog.devicemanager.OTARequest/#",
        ];
        for filter in filters {
            self.outputs.push_back(Output::Subscribe(vec![(filter, 2)]));
        }
        let properties = self.properties();
        let known = if self.edgehog.connected_before {
            properties
                .iter()
                .map(|(interface, path, _)| format!("{interface}/{path}"))
                .collect()
        } else {
            Vec::new()
        };
        let first = !std::mem::replace(&mut self.edgehog.connected_before, true);
        self.publish(Message::Introspection(INTROSPECTION));
        self.publish(Message::EmptyCache);
        self.publish(Message::ProducerProperties(known));
        if first || !session_present {
            for (interface, path, value) in properties {
                self.publish(Message::Property {
                    interface,
                    path,
                    value,
                });
            }
        }
        if let Some(event) = self.edgehog.late.take() {
            self.publish_edgehog_event(event);
        }
    }

    fn publish_edgehog_event(&mut self, event: OtaEvent) {
        let operation = event.operation;
        let id = self.publish(Message::EdgehogEvent(event));
        if self.edgehog.sent.len() == SENT_MAX {
            self.edgehog.sent.pop_front();
        }
        self.edgehog.sent.push_back((id, operation));
    }

    /// The broker has an event: from now on the server must not repeat its request.
    pub(super) fn edgehog_event_heard(&mut self, id: PublishId) {
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

    fn properties(&self) -> Vec<(&'static str, &'static str, String)> {
        let Some(ecu) = self.ecus.first() else {
            return Vec::new();
        };
        let image = &ecu.installed;
        let mut properties = vec![
            (BASE_IMAGE, "name", image.name.clone()),
            (BASE_IMAGE, "version", image.version.clone()),
            (SYSTEM_INFO, "partNumber", ecu.hardware_id.clone()),
            (SYSTEM_INFO, "serialNumber", self.id.clone()),
        ];
        if let Some(build_id) = &image.build_id {
            properties.push((BASE_IMAGE, "buildId", build_id.clone()));
        }
        properties
    }

    /// An event is sent if the link is up, and lost otherwise.
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
        } else if status.is_final() && self.profile.edgehog.late_success.happens(&mut self.rng) {
            self.edgehog.late = Some(event);
        }
    }

    pub(super) fn edgehog_request(&mut self, request: OtaRequest) {
        match request.kind {
            RequestKind::Update => self.edgehog_update(request),
            RequestKind::Cancel => self.edgehog_cancel(&request),
        }
    }

    fn edgehog_update(&mut self, request: OtaRequest) {
        let operation = request.operation;
        let running = self
            .job
            .as_ref()
            .map(|job| (job.operation, job.order.url == request.url));
        match running {
            Some((running, true)) if running == operation => {}
            Some((running, false)) if running == operation => {
                self.truth.violated(Violation::ChangedRequest { operation });
                self.refuse_second(operation);
            }
            Some((running, _)) => {
                let requested = operation;
                self.truth
                    .violated(Violation::TwoOperationsAtOnce { running, requested });
                let code = Code::UpdateAlreadyInProgress;
                self.truth
                    .begin(self.now, operation, &self.ecus[0].name.clone());
                self.truth
                    .end(self.now, operation, RealOutcome::Rejected(code));
                self.refuse_second(operation);
            }
            None => self.begin(request),
        }
    }

    fn refuse_second(&mut self, operation: Uuid) {
        let code = Some(Code::UpdateAlreadyInProgress);
        self.report_as_edgehog(operation, (Status::Failure, 0), code, "update in progress");
    }

    fn begin(&mut self, request: OtaRequest) {
        let operation = request.operation;
        if self
            .finished
            .iter()
            .any(|finished| finished.operation == operation)
        {
            self.truth
                .violated(Violation::RequestAfterCompletion { operation });
            self.finished
                .retain(|finished| finished.operation != operation);
        }
        let fate = Fate::draw(&self.profile.clone(), &mut self.rng);
        let order = Order {
            name: String::new(),
            version: String::new(),
            url: request.url,
            size: None,
            sha256: None,
        };
        self.accept(Job::new(operation, 0, order, fate));
    }

    /// The device's own answers to a Cancel, some of which look like the failure of an operation
    /// that goes on.
    fn edgehog_cancel(&mut self, request: &OtaRequest) {
        let matches = self.job.as_ref().map(|job| {
            let same = job.operation == request.operation && job.order.url == request.url;
            (same, job.request_forgotten)
        });
        let answer = match matches {
            None | Some((_, true)) => "internal request is empty",
            Some((false, false)) => "different identifier",
            Some((true, false)) => {
                if !self.cancel_if_early()
                    && let Some(job) = self.job.as_mut()
                {
                    job.request_forgotten = true;
                }
                return;
            }
        };
        let code = Some(Code::InternalError);
        self.report_as_edgehog(request.operation, (Status::Failure, 0), code, answer);
    }
}
