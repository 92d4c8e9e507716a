//! What a measurement tells: JSON for programs, the same as a table for people.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A distribution of times, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencyReport {
    /// How many were measured.
    pub count: u64,
    /// Median.
    pub p50_ms: f64,
    /// 99 of 100 are shorter.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl LatencyReport {
    pub(super) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| millis(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            max_ms: millis(histogram.max()),
        }
    }
}

fn millis(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1_000.0
}

/// What connecting took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectReport {
    /// Clients that were to connect.
    pub clients: u64,
    /// Clients that the server accepted.
    pub connected: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// From the first attempt to the last CONNACK.
    pub seconds: f64,
    /// Accepted connections per second.
    pub connects_per_second: f64,
    /// From the attempt, TLS included, to CONNACK.
    pub connect_latency: LatencyReport,
    /// CPU of this program per connection, microseconds.
    pub own_cpu_us_per_connect: f64,
    /// Of the time that is measured: how much the busiest thread of this program ran or waited for a core; near 1 the figure may be
    /// bounded by this program. Nothing where the kernel does not tell.
    pub own_busiest_thread: Option<f64>,
    /// CPU of the server per connection, microseconds, with `--server-pid`.
    pub server_cpu_us_per_connect: Option<f64>,
    /// Why attempts failed, and how often.
    pub errors: BTreeMap<String, u64>,
}

/// What holding idle connections costs the server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IdleReport {
    /// How they were made.
    pub connect: ConnectReport,
    /// Resident memory of the server before the first of them, bytes.
    pub resident_before_bytes: u64,
    /// The same with all of them connected and at rest.
    pub resident_after_bytes: u64,
    /// Clients that answered a PING after the reading: those whose memory it was.
    pub alive: u64,
    /// The difference for each.
    pub bytes_per_connection: f64,
    /// CPU that the server used per second while nothing was said, milliseconds.
    pub idle_cpu_ms_per_second: f64,
}

/// What a window of publishing brought.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FanInReport {
    /// Clients that publish.
    pub publishers: u64,
    /// Clients that subscribe to everything.
    pub subscribers: u64,
    /// Quality of service of the publishes.
    pub qos: u8,
    /// Unacknowledged publishes of one client.
    pub window: u64,
    /// Bytes of a payload; of OTAEvents a little less.
    pub size: u64,
    /// Messages per second that were asked for; nothing: as fast as it goes.
    pub rate: Option<u64>,
    /// Messages acknowledged in all, before and after the window too.
    pub acknowledged: u64,
    /// Length of the window that is measured.
    pub seconds: f64,
    /// Messages published per second.
    pub sent_per_second: f64,
    /// Messages acknowledged per second: PUBACK, or PUBCOMP at QoS 2. Refusals are not among them.
    pub acknowledged_per_second: f64,
    /// Messages delivered per second, all subscribers together.
    pub delivered_per_second: f64,
    /// From when a message was due (as fast as it goes: was sent) to its acknowledgement.
    pub ack_latency: LatencyReport,
    /// Messages due and not acknowledged, or acknowledged and not delivered, at the beginning.
    pub queue_before: u64,
    /// The same at the end.
    pub queue_after: u64,
    /// Whether that grew beyond what batches explain: the server cannot keep up.
    pub queue_grows: bool,
    /// Acknowledged messages that had not been delivered some seconds after the end.
    pub undelivered: u64,
    /// Acknowledgements that refuse.
    pub refused: u64,
    /// Connections lost.
    pub lost: u64,
    /// CPU of this program per acknowledged message, microseconds.
    pub own_cpu_us_per_message: f64,
    /// Of the time that is measured: how much the busiest thread of this program ran or waited for a core; near 1 the figure may be
    /// bounded by this program. Nothing where the kernel does not tell.
    pub own_busiest_thread: Option<f64>,
    /// CPU of the server per acknowledged message, microseconds, with `--server-pid`.
    pub server_cpu_us_per_message: Option<f64>,
    /// With `--find-peak`: the highest rate that was held, and how it was found.
    pub peak: Option<PeakReport>,
    /// Why connections failed or were lost, and how often.
    pub errors: BTreeMap<String, u64>,
}

/// What an interval of a window brought, with `--every`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IntervalReport {
    /// Length of the interval.
    pub seconds: f64,
    /// Messages acknowledged in all, since the publishers began.
    pub acknowledged: u64,
    /// Messages acknowledged per second of this interval.
    pub acknowledged_per_second: f64,
    /// From when a message was due to its acknowledgement, of those acknowledged in this interval.
    pub ack_latency: LatencyReport,
    /// Messages due and not acknowledged, or acknowledged and not delivered, at its end.
    pub queue: u64,
    /// Acknowledgements that refuse, in all.
    pub refused: u64,
    /// Connections lost, in all.
    pub lost: u64,
    /// CPU that this program used in this interval, cores.
    pub own_cores: f64,
}

/// The highest rate without a growing queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PeakReport {
    /// Messages per second; nothing if no rate was held.
    pub held_per_second: Option<u64>,
    /// For so long.
    pub hold_seconds: f64,
    /// Every rate that was tried, in order.
    pub tries: Vec<TryReport>,
}

/// One rate that was tried.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TryReport {
    /// Messages per second.
    pub rate: u64,
    /// For so long.
    pub seconds: f64,
    /// Whether the queue stayed.
    pub held: bool,
    /// How much of it the busiest thread of this program ran or waited for a core.
    pub own_busiest_thread: Option<f64>,
    /// Latency of acknowledgements meanwhile.
    pub ack_latency: LatencyReport,
}

/// What one message to each of many clients took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FanOutReport {
    /// Clients, each subscribed to a topic of its own.
    pub clients: u64,
    /// Clients that got their message.
    pub delivered: u64,
    /// From the first publish to the last delivery; with `--by-server` from the first delivery.
    pub seconds: f64,
    /// From the first publish to each delivery; with `--by-server` from the first delivery.
    pub delivery_latency: LatencyReport,
    /// When the first message came, microseconds since 1970.
    pub first_delivery_unix_us: u64,
    /// When the last message came, microseconds since 1970.
    pub last_delivery_unix_us: u64,
    /// CPU of this program meanwhile, milliseconds.
    pub own_cpu_ms: f64,
    /// From the first delivery to the last: how much of it the busiest thread of this program ran or waited for a core;
    /// near 1 the figure may be bounded by this program. Nothing where the kernel does not tell.
    pub own_busiest_thread: Option<f64>,
    /// CPU of the server meanwhile, milliseconds, with `--server-pid`.
    pub server_cpu_ms: Option<f64>,
    /// Why connections failed or were lost, and how often.
    pub errors: BTreeMap<String, u64>,
}

/// What coming and going brought.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChurnReport {
    /// Clients that come and go at one time.
    pub clients: u64,
    /// Length of the measurement.
    pub seconds: f64,
    /// Whole visits, from TCP to the server's hanging up after DISCONNECT.
    pub visits: u64,
    /// The same per second.
    pub visits_per_second: f64,
    /// From the attempt to CONNACK.
    pub connect_latency: LatencyReport,
    /// Visits that failed.
    pub failed: u64,
    /// CPU of the server per visit, microseconds, with `--server-pid`.
    pub server_cpu_us_per_visit: Option<f64>,
    /// Growth of the server's resident memory, bytes, with `--server-pid`.
    pub resident_growth_bytes: Option<i64>,
    /// Why visits failed, and how often.
    pub errors: BTreeMap<String, u64>,
}

/// What a storm of reconnects took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StormReport {
    /// Clients that were dropped and came back.
    pub clients: u64,
    /// Clients that are back.
    pub back: u64,
    /// From the drop to the last one's CONNACK.
    pub seconds: f64,
    /// From the drop to each one's CONNACK.
    pub back_latency: LatencyReport,
    /// Attempts that failed; each was made again.
    pub failed_attempts: u64,
    /// CPU of the server meanwhile per client, microseconds, with `--server-pid`.
    pub server_cpu_us_per_client: Option<f64>,
    /// Why attempts failed, and how often.
    pub errors: BTreeMap<String, u64>,
}

/// A measurement's report.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum BenchReport {
    /// `connect`.
    Connect(ConnectReport),
    /// `idle`.
    Idle(IdleReport),
    /// `fan-in` and `qos2`.
    FanIn(Box<FanInReport>),
    /// `fan-out`.
    FanOut(FanOutReport),
    /// `churn`.
    Churn(ChurnReport),
    /// `storm`.
    Storm(StormReport),
}

/// The fields of a report line by line: those of nested objects after the name of their parent.
pub(super) fn table(report: &Value) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    rows(&mut table, "", report);
    if let Some(values) = table.column_mut(1) {
        values.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn rows(table: &mut Table, name: &str, value: &Value) {
    let below = |inner: &str| {
        let inner = inner.replace('_', " ");
        if name.is_empty() {
            inner
        } else {
            format!("{name}: {inner}")
        }
    };
    let shown = match value {
        Value::Object(fields) => {
            for (inner, value) in fields {
                rows(table, &below(inner), value);
            }
            return;
        }
        Value::Array(values) => {
            for (number, value) in values.iter().enumerate() {
                rows(table, &below(&(number + 1).to_string()), value);
            }
            return;
        }
        Value::Null => "-".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => match number.as_f64() {
            Some(value) if number.is_f64() && value.abs() < 1_000.0 => format!("{value:.2}"),
            Some(value) if number.is_f64() => format!("{value:.0}"),
            _ => number.to_string(),
        },
        Value::String(text) => text.clone(),
    };
    table.add_row([name.to_owned(), shown]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_a_row_with_its_parents_name() {
        let value =
            serde_json::json!({"a_b": {"p50_ms": 0.5, "count": 1234567}, "held": false, "x": null});
        let text = table(&value);
        let rows: Vec<Vec<_>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(rows[0], ["a", "b:", "count", "1234567"]);
        assert_eq!(rows[1], ["a", "b:", "p50", "ms", "0.50"]);
        assert_eq!(rows[2], ["held", "no"]);
        assert_eq!(rows[3], ["x", "-"]);
    }
}
