//! What a native robot does with a request.

use rollcall_proto::native::{OtaRequest, RequestKind};
use rollcall_proto::{Code, Status};
use uuid::Uuid;

use super::fate::Fate;
use super::native::Finished;
use super::update::{Job, Order};
use super::{RealOutcome, Robot, Violation};

impl Robot {
    pub(super) fn native_request(&mut self, ecu: &str, request: OtaRequest) {
        match request.kind {
            RequestKind::Update => self.native_update(ecu, request),
            RequestKind::Cancel => self.native_cancel(ecu, request.operation),
        }
    }

    fn native_update(&mut self, ecu_name: &str, request: OtaRequest) {
        let operation = request.operation;
        if let Some(job) = self.job.as_ref().filter(|job| job.operation == operation) {
            if job.order.url != request.url || job.order.version != request.image_version {
                self.truth.violated(Violation::ChangedRequest { operation });
            }
            return;
        }
        if self.answer_again(operation) {
            return;
        }
        let Some(index) = self.ecus.iter().position(|ecu| ecu.name == ecu_name) else {
            let ecu = ecu_name.to_owned();
            self.truth
                .violated(Violation::UnknownEcu { operation, ecu });
            return self.reject(ecu_name, operation, Code::InvalidRequest, "no such ecu");
        };
        if let Some(running) = self.running() {
            self.truth.violated(Violation::TwoOperationsAtOnce {
                running,
                requested: operation,
            });
            let code = Code::UpdateAlreadyInProgress;
            return self.reject(ecu_name, operation, code, "another operation is running");
        }
        let fate = Fate::draw(&self.profile.clone(), &mut self.rng);
        if let Err((code, message)) = self.admit(index, &request, fate) {
            return self.reject(ecu_name, operation, code, &message);
        }
        let order = Order {
            name: request.image_name,
            version: request.image_version,
            url: request.url,
            size: Some(request.size),
            sha256: Some(request.sha256),
        };
        self.accept(Job::new(operation, index, order, fate));
    }

    /// Whether the ECU takes the request, before anything is downloaded.
    fn admit(
        &mut self,
        index: usize,
        request: &OtaRequest,
        fate: Fate,
    ) -> Result<(), (Code, String)> {
        let ecu = &self.ecus[index];
        if ecu.hardware_id != request.hardware_id {
            let message = format!(
                "hardware is {}, not {}",
                ecu.hardware_id, request.hardware_id
            );
            self.truth.violated(Violation::IncompatibleHardware {
                operation: request.operation,
                ecu: ecu.name.clone(),
                asked: request.hardware_id.clone(),
            });
            return Err((Code::IncompatibleHardware, message));
        }
        if let Some(expected) = &request.expected_version
            && *expected != ecu.installed.version
        {
            let message = format!("version is {}, not {expected}", ecu.installed.version);
            return Err((Code::UnexpectedVersion, message));
        }
        match fate {
            Fate { refuse: true, .. } => Err((Code::Refused, "forbidden by policy".to_owned())),
            Fate { busy: true, .. } => Err((Code::Busy, "on a mission".to_owned())),
            Fate { .. } => Ok(()),
        }
    }

    /// A finished operation is not run again; its last word is repeated, since it may have got lost.
    fn answer_again(&mut self, operation: Uuid) -> bool {
        let finished = self
            .finished
            .iter()
            .find(|finished| finished.operation == operation);
        let Some(finished) = finished.cloned() else {
            return false;
        };
        if finished.acknowledged {
            self.truth
                .violated(Violation::RequestAfterCompletion { operation });
        }
        let Finished {
            ecu, status, code, ..
        } = finished;
        self.report_natively(&ecu, operation, (status, 0), code, "already finished");
        true
    }

    /// Before the image is written, a Cancel ends the operation; later it is ignored. An operation
    /// that the robot never heard of is canceled too, so that the server need not wait for it.
    fn native_cancel(&mut self, ecu: &str, operation: Uuid) {
        match self.running() {
            Some(running) if running == operation => {
                self.cancel_if_early();
            }
            _ if self
                .finished
                .iter()
                .any(|finished| finished.operation == operation) => {}
            _ => {
                self.truth.begin(self.now, operation, ecu);
                self.conclude(ecu, operation, RealOutcome::Canceled);
                let code = Some(Code::Canceled);
                self.report_natively(ecu, operation, (Status::Failure, 0), code, "never begun");
            }
        }
    }

    fn reject(&mut self, ecu: &str, operation: Uuid, code: Code, message: &str) {
        self.truth.begin(self.now, operation, ecu);
        self.conclude(ecu, operation, RealOutcome::Rejected(code));
        self.report_natively(ecu, operation, (Status::Failure, 0), Some(code), message);
    }
}
