//! The final report as tables for people.

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use crate::driver::{LatencyReport, Report};

pub(super) fn render(report: &Report) -> String {
    let totals = &report.totals;
    let mut counters = table(["count", "value"]);
    for (name, value) in [
        ("robots", report.robots as u64),
        (
            "settled at the end",
            report.fleet.iter().filter(|robot| robot.settled).count() as u64,
        ),
        ("robots registered", totals.pairing_registrations),
        ("certificates issued", totals.pairing_credentials),
        ("certificates verified", totals.pairing_verifications),
        ("device infos", totals.pairing_infos),
        ("TLS handshakes", totals.tls_handshakes),
        ("connections", totals.connects),
        ("connection attempts that failed", totals.connect_failures),
        ("connections lost", totals.connections_lost),
        ("messages published", totals.published),
        ("messages acknowledged", totals.acknowledged),
        ("messages refused", totals.refused),
        ("messages received", totals.received),
        ("downloads", totals.downloads),
        ("downloads that failed", totals.downloads_failed),
        ("operations", totals.operations_started),
        ("operations installed", totals.operations_installed),
        (
            "operations that ended otherwise",
            totals.operations_ended - totals.operations_installed,
        ),
        ("violations by the server", totals.violations),
    ] {
        counters.add_row([name.to_owned(), value.to_string()]);
    }
    let mut latencies = table(["latency, ms", "count", "p50", "p90", "p99", "max"]);
    for (name, latency) in [
        ("pairing before a connection", &report.pairing_latency),
        ("connect to CONNACK", &report.connect_latency),
        (
            "attempt to everything acknowledged",
            &report.arrival_latency,
        ),
        ("publish to acknowledgement", &report.publish_latency),
        ("request to acknowledged event", &report.request_latency),
    ] {
        let LatencyReport {
            count,
            p50_ms,
            p90_ms,
            p99_ms,
            max_ms,
        } = latency;
        let mut row = vec![name.to_owned(), count.to_string()];
        row.extend([p50_ms, p90_ms, p99_ms, max_ms].map(|ms| format!("{ms:.1}")));
        latencies.add_row(row);
    }
    if report.refusals.is_empty() {
        return format!("{counters}\n{latencies}");
    }
    let mut refusals = table(["attempts that failed", "count"]);
    for (reason, count) in &report.refusals {
        refusals.add_row([reason.clone(), count.to_string()]);
    }
    format!("{counters}\n{latencies}\n{refusals}")
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table
}
