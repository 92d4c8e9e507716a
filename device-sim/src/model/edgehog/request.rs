//! What an Edgehog device does with an OTARequest (device-contract 0.3 to 0.6, 3.2).
//!
//! The device knows two things apart from each other: what it works on, and the request that it took
//! last (`current`). A Cancel that comes too late takes the second away and leaves the first.

use std::collections::VecDeque;

use rollcall_proto::edgehog::OtaRequest;
use rollcall_proto::native::RequestKind;
use rollcall_proto::{Code, Status};
use uuid::Uuid;

use super::super::fate::Fate;
use super::super::update::{Job, Order};
use super::super::{RealOutcome, Robot, Violation};

/// Requests that wait behind an operation whose request was forgotten.
const QUEUE_MAX: usize = 2;

/// The requests of one process.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests {
    /// Uuid and url of the request that was taken last.
    current: Option<(Uuid, String)>,
    queue: VecDeque<Queued>,
}

#[derive(Debug, Clone)]
struct Queued {
    request: OtaRequest,
    canceled: bool,
}

impl Robot {
    pub(in super::super) fn edgehog_request(&mut self, request: OtaRequest) {
        match request.kind {
            RequestKind::Update => self.edgehog_update(request),
            RequestKind::Cancel => self.edgehog_cancel(&request),
        }
    }

    fn edgehog_update(&mut self, request: OtaRequest) {
        if self.job.is_none() {
            self.edgehog.requests.current = None;
        }
        let id = (request.operation, request.url.clone());
        match &self.edgehog.requests.current {
            Some(current) if *current == id => {}
            Some((current, _)) => {
                let current = *current;
                self.refuse_second(current, request.operation);
            }
            None if self.job.is_none() => self.begin(request),
            None => {
                self.note_second(request.operation);
                self.edgehog.requests.current = Some(id);
                if self.edgehog.requests.queue.len() < QUEUE_MAX {
                    self.edgehog.requests.queue.push_back(Queued {
                        request,
                        canceled: false,
                    });
                }
            }
        }
    }

    /// A server that keeps one operation per robot never gets here.
    fn note_second(&mut self, requested: Uuid) {
        let Some(running) = self.running() else {
            return;
        };
        let violation = if running == requested {
            Violation::ChangedRequest { operation: running }
        } else {
            Violation::TwoOperationsAtOnce { running, requested }
        };
        self.truth.violated(violation);
    }

    fn refuse_second(&mut self, current: Uuid, operation: Uuid) {
        let code = Code::UpdateAlreadyInProgress;
        self.note_second(operation);
        if current != operation {
            let ecu = self.ecus[0].name.clone();
            self.truth.begin(self.now, operation, &ecu);
            let outcome = RealOutcome::Rejected(code);
            self.truth.end(self.now, operation, outcome);
        }
        self.report_as_edgehog(operation, (Status::Failure, 0), Some(code), "");
    }

    fn begin(&mut self, request: OtaRequest) {
        let operation = request.operation;
        let ran = |finished: &super::super::native::Finished| finished.operation == operation;
        if self.finished.iter().any(ran) {
            self.truth
                .violated(Violation::RequestAfterCompletion { operation });
            self.finished.retain(|finished| !ran(finished));
        }
        self.edgehog.requests.current = Some((operation, request.url.clone()));
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

    /// The operation is over: what waited behind it is begun, unless it was canceled meanwhile.
    pub(in super::super) fn next_queued(&mut self) {
        while let Some(Queued { request, canceled }) = self.edgehog.requests.queue.pop_front() {
            if !canceled {
                return self.begin(request);
            }
            let (operation, code) = (request.operation, Some(Code::Canceled));
            let ecu = self.ecus[0].name.clone();
            self.truth.begin(self.now, operation, &ecu);
            self.truth.end(self.now, operation, RealOutcome::Canceled);
            self.report_as_edgehog(operation, (Status::Failure, 0), code, "");
        }
    }

    /// The device's own answers to a Cancel, some of which look like the failure of an operation
    /// that goes on.
    fn edgehog_cancel(&mut self, request: &OtaRequest) {
        let requests = &mut self.edgehog.requests;
        let message = match &requests.current {
            None => "Unable to cancel OTA request, internal request is empty",
            Some((operation, url)) if (*operation, url) == (request.operation, &request.url) => {
                requests.current = None;
                // Only the newest in the queue can be the current one.
                match requests.queue.back_mut() {
                    Some(queued) => queued.canceled = true,
                    None => _ = self.cancel_if_early(),
                }
                return;
            }
            Some(_) => "Unable to cancel OTA request, they have different identifier",
        };
        let code = Some(Code::InternalError);
        self.report_as_edgehog(request.operation, (Status::Failure, 0), code, message);
    }
}
