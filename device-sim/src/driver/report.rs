//! What a run tells when it is over.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::stats::{Latency, Snapshot, Stats};
use crate::model::{Image, OperationRecord, Protocol, Robot, Violation};

/// A run, in figures and robot by robot.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Robots that gave an account of themselves.
    pub robots: usize,
    /// Length of the run, in milliseconds of the wall clock.
    pub elapsed_ms: u64,
    /// The final counters.
    pub totals: Snapshot,
    /// Why attempts to connect failed, and how often.
    pub refusals: BTreeMap<String, u64>,
    /// All pairing calls before one attempt to connect.
    pub pairing_latency: LatencyReport,
    /// From the attempt to connect, TLS handshake included, to the broker's CONNACK.
    pub connect_latency: LatencyReport,
    /// From the beginning of an attempt that succeeds, pairing included, until what the robot then has to
    /// say is acknowledged: the properties of an Edgehog device, the events of a native robot.
    pub arrival_latency: LatencyReport,
    /// From a publish to its PUBACK or PUBCOMP.
    pub publish_latency: LatencyReport,
    /// From an Update's arrival to the acknowledgement of the event that accepts it.
    pub request_latency: LatencyReport,
    /// Every robot, by id.
    pub fleet: Vec<RobotReport>,
}

/// A distribution of times, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct LatencyReport {
    /// How many were measured.
    pub count: u64,
    /// Median.
    pub p50_ms: f64,
    /// Nine of ten are shorter.
    pub p90_ms: f64,
    /// 99 of 100 are shorter.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// What really happened to one robot.
#[derive(Debug, Clone, Serialize)]
pub struct RobotReport {
    /// Its id.
    pub id: String,
    /// Which protocol it spoke.
    pub protocol: Protocol,
    /// Whether it was connected, idle and acknowledged at the end.
    pub settled: bool,
    /// What its ECUs run.
    pub ecus: Vec<EcuReport>,
    /// The operations that it was asked for, in order, with their real outcomes.
    pub operations: Vec<OperationRecord>,
    /// What the server did that it must not do.
    pub violations: Vec<Violation>,
    /// Operations and violations that did not fit into the lists.
    pub forgotten: (u64, u64),
}

/// What one ECU really runs.
#[derive(Debug, Clone, Serialize)]
pub struct EcuReport {
    /// Its name.
    pub name: String,
    /// What it runs.
    pub image: Image,
    /// The operation that brought it.
    pub operation: Option<Uuid>,
}

impl RobotReport {
    pub(super) fn of(robot: &Robot) -> Self {
        let ecus = robot.installed().map(|(name, image, operation)| EcuReport {
            name: name.to_owned(),
            image: image.clone(),
            operation,
        });
        Self {
            id: robot.id().to_owned(),
            protocol: robot.protocol(),
            settled: robot.is_settled(),
            ecus: ecus.collect(),
            operations: robot.truth().operations().to_vec(),
            violations: robot.truth().violations().to_vec(),
            forgotten: robot.truth().forgotten(),
        }
    }
}

pub(super) fn assemble(stats: &Stats, elapsed: Duration, fleet: Vec<RobotReport>) -> Report {
    Report {
        robots: fleet.len(),
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        totals: stats.snapshot(),
        refusals: stats.refusals(),
        pairing_latency: distribution(&stats.pairing_time),
        connect_latency: distribution(&stats.connect_time),
        arrival_latency: distribution(&stats.arrival_time),
        publish_latency: distribution(&stats.publish_time),
        request_latency: distribution(&stats.request_time),
        fleet,
    }
}

fn distribution(latency: &Latency) -> LatencyReport {
    let read = latency.read(|histogram| {
        let at = |quantile| millis(histogram.value_at_quantile(quantile));
        LatencyReport {
            count: histogram.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            max_ms: millis(histogram.max()),
        }
    });
    read.unwrap_or_default()
}

fn millis(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1000.0
}
