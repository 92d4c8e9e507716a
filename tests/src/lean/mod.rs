//! Lean native robots: enough of the protocol to load a server or to catch it lying, and nothing that costs time.
//!
//! Beside `device-sim`, which behaves like a robot, these only follow a script, so that thousands of them leave the
//! cores to the server that is measured, and so that they can keep a log of everything that was acknowledged to them.

mod robot;
mod wire;

use parking_lot::Mutex;
use rollcall_proto::Status;
use rollcall_proto::native::EcuDescription;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use uuid::Uuid;

pub use robot::live;
pub use rollcall_broker::QoS;

/// Who a robot is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// First level of its topics.
    pub realm: String,
    /// Its id.
    pub id: String,
    /// Its credentials secret.
    pub secret: String,
    /// Its ECUs.
    pub ecus: Vec<EcuDescription>,
}

/// What every robot does with a request.
#[derive(Debug, Clone)]
pub struct Script {
    /// The events of an operation before its end.
    pub steps: Vec<(Status, u8)>,
    /// Every so many operations one fails at its end (0: none does). Which ones follows from their uuids.
    pub fail_every: u128,
    /// Publishes that may be unacknowledged.
    pub window: usize,
    /// Quality of service of all publishes.
    pub qos: QoS,
    /// Pause before each event.
    pub pause: Duration,
    /// Keep a log of every acknowledged event.
    pub keep_log: bool,
}

impl Script {
    /// The nine events that a robot sends on an uneventful update.
    #[must_use]
    pub fn typical() -> Self {
        use Status::{Acknowledged, Deployed, Deploying, Downloading};
        let steps = vec![
            (Acknowledged, 0),
            (Downloading, 0),
            (Downloading, 50),
            (Downloading, 100),
            (Deploying, 0),
            (Deploying, 50),
            (Deployed, 0),
        ];
        Self {
            steps,
            fail_every: 0,
            window: 4,
            qos: QoS::AtLeastOnce,
            pause: Duration::ZERO,
            keep_log: false,
        }
    }

    /// 200 events per operation, each of which moves its target.
    #[must_use]
    pub fn chatty() -> Self {
        let progress = |status| (0..100).map(move |percent| (status, percent));
        let steps = progress(Status::Downloading)
            .chain(progress(Status::Deploying))
            .collect();
        Self {
            steps,
            window: 8,
            ..Self::typical()
        }
    }

    /// Whether the operation fails at its end.
    #[must_use]
    pub fn fails(&self, operation: Uuid) -> bool {
        self.fail_every != 0 && operation.as_u128().is_multiple_of(self.fail_every)
    }
}

/// What all robots of a fleet have seen together.
#[derive(Debug, Default)]
pub struct Fleet {
    /// Robots that are connected and have introduced themselves.
    pub online: AtomicU64,
    /// Events that were acknowledged.
    pub acknowledged: AtomicU64,
    /// Requests that were begun.
    pub begun: AtomicU64,
    /// Operations that were ended.
    pub ended: AtomicU64,
    /// The most operations that were under way at one instant, as the robots saw it.
    pub most_running: AtomicU64,
    /// When the newest operation was begun.
    pub last_begun: Mutex<Option<Instant>>,
    /// Robots to which any request was sent.
    pub told: Mutex<BTreeSet<String>>,
    /// What the server must never do.
    pub violations: Mutex<Vec<String>>,
}

impl Fleet {
    fn begin(&self) {
        let begun = self.begun.fetch_add(1, SeqCst) + 1;
        let running = begun.saturating_sub(self.ended.load(SeqCst));
        self.most_running.fetch_max(running, SeqCst);
        *self.last_begun.lock() = Some(Instant::now());
    }

    fn violation(&self, text: String) {
        let mut violations = self.violations.lock();
        if violations.len() < 100 {
            violations.push(text);
        }
    }
}

/// What one robot really did and was told.
#[derive(Debug, Clone, Default)]
pub struct Life {
    /// The robot.
    pub id: String,
    /// Boot and counter of every event that was acknowledged, if the script keeps a log.
    pub acknowledged: Vec<(u64, u64)>,
    /// Operations by uuid: the ECU, and whether the image was installed (`None`: under way).
    pub operations: BTreeMap<Uuid, (String, Option<bool>)>,
    /// The version that each ECU runs.
    pub versions: BTreeMap<String, String>,
    /// The last event of the operation under way that was acknowledged: operation, status and progress.
    pub last: Option<(Uuid, Status, u8)>,
}
