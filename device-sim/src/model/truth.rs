//! What really happened to a robot, for comparison with what a server believes.
//!
//! Both lists are bounded; what no longer fits is counted.

use rollcall_proto::Code;
use serde::Serialize;
use uuid::Uuid;

/// Most operations and most violations that a robot remembers.
const REMEMBERED_MAX: usize = 1024;

/// An image as it is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Name.
    pub name: String,
    /// Version, without the build id.
    pub version: String,
    /// Build id.
    pub build_id: Option<String>,
    /// SHA-256 of the artifact, in hexadecimal digits where it is shown.
    #[serde(serialize_with = "hex")]
    pub digest: Option<[u8; 32]>,
}

fn hex<S: serde::Serializer>(digest: &Option<[u8; 32]>, to: S) -> Result<S::Ok, S::Error> {
    match digest {
        None => to.serialize_none(),
        Some(digest) => {
            let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            to.serialize_str(&text)
        }
    }
}

/// One operation that a robot was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperationRecord {
    /// The operation.
    pub operation: Uuid,
    /// The ECU.
    pub ecu: String,
    /// When the request came, in milliseconds of the robot's time.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// How it really ended; `None` while it runs.
    pub outcome: Option<RealOutcome>,
}

/// How an operation really ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RealOutcome {
    /// The image runs.
    Installed,
    /// It failed, and the old image runs.
    Failed(#[serde(serialize_with = "word")] Code),
    /// The old image came back after the restart.
    RolledBack,
    /// A Cancel ended it.
    Canceled,
    /// It was never begun.
    Rejected(#[serde(serialize_with = "word")] Code),
    /// The robot lied: whatever it said, the old image runs.
    Pretended,
    /// A power loss made the device forget it (Edgehog).
    Forgotten,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn word<S: serde::Serializer>(code: &Code, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(code.as_str())
}

/// Something a correct server never does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "violation")]
pub enum Violation {
    /// An Update while another operation was running.
    TwoOperationsAtOnce {
        /// The one that was running.
        running: Uuid,
        /// The new one.
        requested: Uuid,
    },
    /// An Update for another hardware id than the ECU's.
    IncompatibleHardware {
        /// The operation.
        operation: Uuid,
        /// The ECU.
        ecu: String,
        /// The hardware id of the request.
        asked: String,
    },
    /// An Update for an operation whose final event the server had acknowledged.
    RequestAfterCompletion {
        /// The operation.
        operation: Uuid,
    },
    /// A known operation with another url or another image.
    ChangedRequest {
        /// The operation.
        operation: Uuid,
    },
    /// A request for an ECU that the robot does not have.
    UnknownEcu {
        /// The operation.
        operation: Uuid,
        /// The ECU.
        ecu: String,
    },
    /// A control message that cannot be read. Most of them end the process of an Edgehog device.
    MalformedControl {
        /// What is wrong.
        reason: String,
    },
    /// A message that is too large for Astarte's SDK, which hangs up on it.
    TooLarge {
        /// Its topic.
        topic: String,
        /// Its remaining length.
        bytes: usize,
    },
    /// A message that cannot be understood.
    Malformed {
        /// Its topic.
        topic: String,
        /// What is wrong.
        reason: String,
    },
}

/// How much happened to a robot, also what no longer fits into the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Operations that it was asked for.
    pub started: u64,
    /// Of those, over.
    pub ended: u64,
    /// Of those, the image runs.
    pub installed: u64,
    /// Violations.
    pub violations: u64,
}

/// The ground truth of one robot.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    operations: Vec<OperationRecord>,
    violations: Vec<Violation>,
    totals: Totals,
}

impl Truth {
    /// Every operation that the robot was asked for, in order.
    #[must_use]
    pub fn operations(&self) -> &[OperationRecord] {
        &self.operations
    }

    /// What the server did that it must not do.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How many operations and violations did not fit any more.
    #[must_use]
    pub fn forgotten(&self) -> (u64, u64) {
        let (operations, violations) = (self.operations.len(), self.violations.len());
        let Totals {
            started,
            violations: violated,
            ..
        } = self.totals;
        (started - operations as u64, violated - violations as u64)
    }

    /// How much happened in all.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    pub(super) fn begin(&mut self, now: u64, operation: Uuid, ecu: &str) {
        if self.operations.len() == REMEMBERED_MAX {
            self.operations.remove(0);
        }
        self.totals.started += 1;
        self.operations.push(OperationRecord {
            operation,
            ecu: ecu.to_owned(),
            started_ms: now,
            ended_ms: None,
            outcome: None,
        });
    }

    pub(super) fn end(&mut self, now: u64, operation: Uuid, outcome: RealOutcome) {
        let running = self.operations.iter_mut().rev();
        let mut running = running.filter(|record| record.operation == operation);
        if let Some(record) = running.find(|record| record.outcome.is_none()) {
            record.ended_ms = Some(now);
            record.outcome = Some(outcome);
            self.totals.ended += 1;
            self.totals.installed += u64::from(outcome == RealOutcome::Installed);
        }
    }

    pub(super) fn violated(&mut self, violation: Violation) {
        self.totals.violations += 1;
        if self.violations.len() < REMEMBERED_MAX {
            self.violations.push(violation);
        }
    }
}
