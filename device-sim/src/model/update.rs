//! One operation, from the accepted request to the running image.
//!
//! ```text
//! Accepted -> Fetching -> Transferring -> Deploying -> Deployed -> Restarting -> (done)
//!    |           ^             |              ^            |
//!    |           +- RetryWait <+              |            +-> AwaitingReboot -> (done)
//!    +-> Streaming ---------------------------+
//! ```
//!
//! What comes before Deploying is in `download`. A failure leaves the old image. Streaming and
//! AwaitingReboot are ways that an Edgehog device can be configured to go.

use rand::RngExt;
use rollcall_proto::native::BaseImage;
use rollcall_proto::{Code, Status};
use uuid::Uuid;

use super::fate::{Fate, Fault, Lie};
use super::native::Finished;
use super::timer::Timer;
use super::{Artifact, FetchId, Image, Link, Protocol, RealOutcome, Robot};
use crate::profile::Reboot;

/// From the end of the installation to the announced restart, and from there to the robot's going
/// down, in milliseconds.
const BEFORE_RESTART: u64 = 1_000;
/// How long Edgehog's runtime waits after it announced the reboot, and how often it says so again
/// (device-contract 3.2).
const BEFORE_REBOOT: u64 = 5_000;
const REBOOTING_AGAIN: u64 = 30_000;

/// What was ordered.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) url: String,
    /// Announced by native requests only.
    pub(super) size: Option<u64>,
    pub(super) sha256: Option<[u8; 32]>,
}

/// The operation that a robot works on.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) operation: Uuid,
    pub(super) ecu: usize,
    pub(super) order: Order,
    pub(super) fate: Fate,
    pub(super) stage: Stage,
    /// Highest progress reported in the current status.
    pub(super) reported: u8,
    /// Downloads that broke.
    pub(super) broken: u32,
    pub(super) artifact: Option<Artifact>,
    /// Edgehog: the broker has acknowledged an event of it.
    pub(super) heard: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Accepted,
    Fetching(FetchId),
    RetryWait,
    Transferring(Span),
    /// RAUC itself gets the bundle.
    Streaming(FetchId),
    Deploying(Span),
    Deployed,
    Restarting,
    /// Somebody else reboots the machine, at this time.
    AwaitingReboot(u64),
}

/// Something that goes from 0 to 100 percent in a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) started: u64,
    pub(super) duration: u64,
    pub(super) percent: u8,
}

impl Span {
    /// When the next step of progress is reached.
    pub(super) fn next(&mut self, step: u8) -> u64 {
        self.percent = self.percent.saturating_add(step).min(100);
        let share = u128::from(self.duration) * u128::from(self.percent) / 100;
        self.started
            .saturating_add(u64::try_from(share).unwrap_or(u64::MAX))
    }
}

impl Job {
    pub(super) fn new(operation: Uuid, ecu: usize, order: Order, fate: Fate) -> Self {
        Self {
            operation,
            ecu,
            order,
            fate,
            stage: Stage::Accepted,
            reported: 0,
            broken: 0,
            artifact: None,
            heard: false,
        }
    }

    /// Whether a Cancel still ends it.
    pub(super) fn is_early(&self) -> bool {
        match self.stage {
            Stage::Accepted | Stage::Fetching(_) | Stage::RetryWait | Stage::Transferring(_) => {
                true
            }
            Stage::Streaming(_)
            | Stage::Deploying(_)
            | Stage::Deployed
            | Stage::Restarting
            | Stage::AwaitingReboot(_) => false,
        }
    }
}

impl Robot {
    /// Points of progress between two reports, and how often a download is tried.
    pub(super) fn protocol_limits(&self) -> (u8, u32) {
        match self.protocol {
            Protocol::Native => (25, 3),
            Protocol::Edgehog => (10, 5),
        }
    }

    pub(super) fn accept(&mut self, job: Job) {
        let ecu = self.ecus[job.ecu].name.clone();
        self.truth.begin(self.now, job.operation, &ecu);
        if job.fate.unknown_operation {
            let stranger = Uuid::from_u128(u128::from(self.random()) << 64 | 1);
            self.report(&ecu, stranger, (Status::Deploying, 50), None, "a lie");
        }
        self.job = Some(job);
        self.tell((Status::Acknowledged, 0), None, "");
        let profile = self.profile.clone();
        let delay = profile.timing.acknowledge.draw(&mut self.rng);
        self.after(Timer::Step, delay);
    }

    /// Reports on the running operation.
    pub(super) fn tell(&mut self, state: (Status, u8), code: Option<Code>, message: &str) {
        if let Some(job) = &self.job {
            let (operation, ecu) = (job.operation, self.ecus[job.ecu].name.clone());
            self.report(&ecu, operation, state, code, message);
        }
    }

    pub(super) fn report(
        &mut self,
        ecu: &str,
        operation: Uuid,
        state: (Status, u8),
        code: Option<Code>,
        message: &str,
    ) {
        match self.protocol {
            Protocol::Native => self.report_natively(ecu, operation, state, code, message),
            Protocol::Edgehog => self.report_as_edgehog(operation, state, code, message),
        }
    }

    /// The running operation's timer.
    pub(super) fn step(&mut self) {
        let streams = self.streams();
        let Some(job) = self.job.as_mut() else { return };
        match job.stage {
            Stage::Accepted => {
                let next = if streams {
                    Status::Deploying
                } else {
                    Status::Downloading
                };
                self.tell((next, 0), None, "");
                self.fetch();
            }
            Stage::RetryWait => self.fetch_again(),
            // The driver answers.
            Stage::Fetching(_) | Stage::Streaming(_) => {}
            Stage::Transferring(span) => self.transfer(span),
            Stage::Deploying(span) => self.deploy(span),
            Stage::Deployed => self.restart(),
            Stage::Restarting if self.ecus[job.ecu].primary => self.go_down(),
            Stage::Restarting => self.restarted_into_image(),
            Stage::AwaitingReboot(at) if self.now >= at => self.power_down(true),
            Stage::AwaitingReboot(at) => {
                self.tell((Status::Rebooting, 0), None, "");
                self.await_reboot(at);
            }
        }
    }

    pub(super) fn set_stage(&mut self, stage: Stage, until: u64) {
        if let Some(job) = self.job.as_mut() {
            job.stage = stage;
            self.timers.set(Timer::Step, until);
        }
    }

    pub(super) fn begin_deploying(&mut self) {
        if let Some(job) = self.job.as_mut() {
            job.reported = 0;
        }
        self.tell((Status::Deploying, 0), None, "");
        self.deploy_from_start();
    }

    pub(super) fn deploy_from_start(&mut self) {
        let duration = self.profile.timing.install.draw(&mut self.rng);
        let mut span = Span {
            started: self.now,
            duration,
            percent: 0,
        };
        let at = span.next(self.protocol_limits().0);
        self.set_stage(Stage::Deploying(span), at);
    }

    fn deploy(&mut self, mut span: Span) {
        let Some(job) = self.job.as_mut() else { return };
        let percent = span.percent;
        if job.fate.fault == Fault::Install && percent >= 50 {
            return self.fail(Code::InvalidBaseImage, "Update failed with signal 1");
        }
        if percent == 100 {
            self.tell((Status::Deployed, 0), None, "");
            let pause = match self.protocol {
                Protocol::Native => BEFORE_RESTART,
                Protocol::Edgehog => 0,
            };
            return self.set_stage(Stage::Deployed, self.now.saturating_add(pause));
        }
        if percent > job.reported {
            job.reported = percent;
            self.tell(
                (Status::Deploying, percent),
                None,
                &format!("{percent}% written"),
            );
        }
        let at = span.next(self.protocol_limits().0);
        self.set_stage(Stage::Deploying(span), at);
    }

    fn restart(&mut self) {
        self.tell((Status::Rebooting, 0), None, "");
        if self.protocol == Protocol::Edgehog {
            return self.reboot_as_edgehog();
        }
        let Some(job) = self.job.as_mut() else { return };
        job.stage = Stage::Restarting;
        // The robot gives its last words time to leave before it goes down.
        let delay = if self.ecus[job.ecu].primary {
            BEFORE_RESTART
        } else {
            self.profile.timing.restart.draw(&mut self.rng)
        };
        self.after(Timer::Step, delay);
    }

    fn reboot_as_edgehog(&mut self) {
        if self.profile.edgehog.reboot == Reboot::Default {
            return self.set_stage(Stage::Restarting, self.now.saturating_add(BEFORE_REBOOT));
        }
        self.tell((Status::Rebooting, 0), None, "");
        let profile = self.profile.clone();
        let wait = profile.edgehog.external_reboot.draw(&mut self.rng);
        self.await_reboot(self.now.saturating_add(wait));
    }

    fn await_reboot(&mut self, at: u64) {
        let again = self.now.saturating_add(REBOOTING_AGAIN);
        self.set_stage(Stage::AwaitingReboot(at), at.min(again));
    }

    /// The machine goes down. A runtime that is still alive then says once more that it will.
    fn go_down(&mut self) {
        if self.protocol == Protocol::Edgehog && self.rng.random_bool(0.5) {
            self.tell((Status::Rebooting, 0), None, "");
        }
        self.power_down(true);
    }

    /// After a start of the robot: goes on with what was interrupted.
    pub(super) fn resume(&mut self) {
        let Some(job) = self.job.as_mut() else { return };
        let (primary, early) = (self.ecus[job.ecu].primary, job.is_early());
        match (self.protocol, job.stage) {
            // The runtime started on the slot that it was on: it takes that for a rollback.
            (Protocol::Edgehog, _) if self.edgehog.exited && !early => self.roll_back(),
            (_, Stage::Deployed | Stage::Restarting | Stage::AwaitingReboot(_)) if primary => {
                self.restarted_into_image();
            }
            (_, Stage::Deployed | Stage::Restarting) => self.restart(),
            (Protocol::Native, Stage::Deploying(_)) => self.deploy_from_start(),
            (Protocol::Native, _) => self.fetch(),
            (Protocol::Edgehog, _) if !early => self.roll_back(),
            (Protocol::Edgehog, _) => {
                let (operation, ecu) = (job.operation, self.ecus[job.ecu].name.clone());
                self.job = None;
                self.conclude(&ecu, operation, RealOutcome::Forgotten);
            }
        }
    }

    /// The ECU has restarted: the image runs, or the old one does.
    fn restarted_into_image(&mut self) {
        let Some(job) = self.job.as_mut() else { return };
        match (job.fate.lie, job.fate.fault) {
            (Lie::ClaimSuccess, _) => self.succeed(None),
            (Lie::WrongVersion, _) if self.protocol == Protocol::Native => {
                let claim = BaseImage {
                    name: job.order.name.clone(),
                    version: "0.0.0-other".to_owned(),
                    build_id: None,
                    digest: None,
                    operation: Some(job.operation),
                };
                self.succeed(Some(claim));
            }
            (_, Fault::Rollback) => self.roll_back(),
            _ => self.install(),
        }
    }

    fn install(&mut self) {
        let Some(job) = self.job.as_mut() else { return };
        let (version, build_id) = match job.order.version.split_once('+') {
            Some((version, build)) if self.protocol == Protocol::Edgehog => {
                (version.to_owned(), Some(build.to_owned()))
            }
            _ => (job.order.version.clone(), None),
        };
        let ecu = &mut self.ecus[job.ecu];
        ecu.installed = Image {
            name: job.order.name.clone(),
            version,
            build_id,
            digest: job.artifact.as_ref().map(|artifact| artifact.sha256),
        };
        ecu.operation = Some(job.operation);
        ecu.claim = None;
        self.finish(Status::Success, None, "", RealOutcome::Installed);
    }

    /// Success without an image, and perhaps a `BaseImage` that is not true.
    fn succeed(&mut self, claim: Option<BaseImage>) {
        let Some(job) = self.job.as_mut() else { return };
        self.ecus[job.ecu].claim = claim;
        self.finish(Status::Success, None, "a lie", RealOutcome::Pretended);
    }

    fn roll_back(&mut self) {
        let (code, outcome) = (Some(Code::SystemRollback), RealOutcome::RolledBack);
        self.finish(Status::Failure, code, "Unable to switch slot", outcome);
    }

    pub(super) fn fail(&mut self, code: Code, message: &str) {
        self.finish(
            Status::Failure,
            Some(code),
            message,
            RealOutcome::Failed(code),
        );
    }

    /// Ends the operation if its image is not being written yet.
    pub(super) fn cancel_if_early(&mut self) -> bool {
        let early = self.job.as_ref().is_some_and(Job::is_early);
        if early {
            self.abandon_fetch();
            let (code, outcome) = (Some(Code::Canceled), RealOutcome::Canceled);
            self.finish(Status::Failure, code, "canceled", outcome);
        }
        early
    }

    /// The operation is over: the image is reported where the link has stayed up, then the event.
    fn finish(&mut self, status: Status, code: Option<Code>, message: &str, outcome: RealOutcome) {
        let Some(job) = self.job.take() else { return };
        self.timers.stop(Timer::Step);
        let ecu = self.ecus[job.ecu].name.clone();
        self.conclude(&ecu, job.operation, outcome);
        if let Some(finished) = self.finished.back_mut() {
            (finished.status, finished.code) = (status, code);
            finished.acknowledged = job.heard;
        }
        if self.protocol == Protocol::Native && status == Status::Success && self.link == Link::Up {
            self.publish_image(job.ecu);
        }
        self.report(&ecu, job.operation, (status, 0), code, message);
        if self.protocol == Protocol::Edgehog {
            self.next_queued();
        }
    }

    /// Writes an operation's real end down.
    pub(super) fn conclude(&mut self, ecu: &str, operation: Uuid, outcome: RealOutcome) {
        self.truth.end(self.now, operation, outcome);
        let code = match outcome {
            RealOutcome::Failed(code) | RealOutcome::Rejected(code) => Some(code),
            RealOutcome::RolledBack => Some(Code::SystemRollback),
            RealOutcome::Canceled => Some(Code::Canceled),
            RealOutcome::Installed | RealOutcome::Pretended | RealOutcome::Forgotten => None,
        };
        let status = if code.is_some() {
            Status::Failure
        } else {
            Status::Success
        };
        let ecu = ecu.to_owned();
        self.remember(Finished {
            operation,
            ecu,
            status,
            code,
            acknowledged: false,
        });
    }
}
