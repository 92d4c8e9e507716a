//! `GET /metrics`: gauges and counters in Prometheus's text format.

use super::Context;
use super::error::ApiError;
use super::request::Viewer;
use super::status::FleetView;
use crate::writer::Distribution;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use std::fmt::{Display, Write};

/// Text in the making. Writing to a `String` cannot fail, so results are dropped.
#[derive(Default)]
struct Exposition {
    text: String,
}

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(
            self.text,
            "# HELP rollcall_{name} {help}\n# TYPE rollcall_{name} {kind}\n"
        );
    }

    fn sample(&mut self, name: &str, label: Option<(&str, &str)>, value: impl Display) {
        let _ = match label {
            // Labels are our own words, so nothing in them needs escaping.
            Some((key, word)) => writeln!(self.text, "rollcall_{name}{{{key}=\"{word}\"}} {value}"),
            None => writeln!(self.text, "rollcall_{name} {value}"),
        };
    }

    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        distribution: &Distribution,
        write: impl Fn(u64) -> String,
    ) {
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (bound, count) in &distribution.buckets {
            self.sample(&bucket, Some(("le", &write(*bound))), count);
        }
        self.sample(&bucket, Some(("le", "+Inf")), distribution.count);
        self.sample(&format!("{name}_sum"), None, write(distribution.sum));
        self.sample(&format!("{name}_count"), None, distribution.count);
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, None, value);
    }
}

/// `GET /metrics`
pub(super) async fn metrics(
    State(context): State<Context>,
    _: Viewer,
) -> Result<impl IntoResponse, ApiError> {
    let fleet = context.bridge.query(FleetView::new).await?;
    let mut out = Exposition::default();
    fleet_metrics(&mut out, &fleet);
    writer_metrics(&mut out, &context);
    broker_metrics(&mut out, &context);
    certificate_metrics(&mut out, &context);
    artifact_metrics(&mut out, &context);
    Ok((
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        out.text,
    ))
}

fn fleet_metrics(out: &mut Exposition, fleet: &FleetView) {
    out.single("robots", "gauge", "Registered robots.", fleet.robots);
    out.single(
        "robots_online",
        "gauge",
        "Robots with a live connection.",
        fleet.online,
    );
    out.single("groups", "gauge", "Groups.", fleet.groups);
    out.single("images", "gauge", "Images.", fleet.images);
    out.family("rollouts", "gauge", "Rollouts by status.");
    let rollouts = &fleet.rollouts;
    for (status, count) in [
        ("prepared", rollouts.prepared),
        ("running", rollouts.running),
        ("paused", rollouts.paused),
        ("stopped", rollouts.stopped),
        ("ending", rollouts.ending),
        ("completed", rollouts.completed),
    ] {
        out.sample("rollouts", Some(("status", status)), count);
    }
}

fn writer_metrics(out: &mut Exposition, context: &Context) {
    let writer = context.bridge.status().snapshot();
    out.single("commits_total", "counter", "Commits.", writer.commits);
    out.single(
        "inputs_committed_total",
        "counter",
        "Inputs made durable.",
        writer.inputs_committed,
    );
    out.single(
        "events_committed_total",
        "counter",
        "OTAEvents made durable.",
        writer.events_committed,
    );
    out.single(
        "largest_batch",
        "gauge",
        "Inputs in the largest commit.",
        writer.largest_batch,
    );
    let (micros, inputs) = context.bridge.status().distributions();
    let seconds = |micros: u64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let help = "How long commits took, seconds: what an acknowledgement waits for at least.";
    out.histogram("commit_seconds", help, &micros, seconds);
    let help = "Inputs that a commit held; those of robots are at most 10,000.";
    out.histogram("commit_inputs", help, &inputs, |inputs| inputs.to_string());
    let stopped = u8::from(writer.intake_stopped.is_some());
    out.single(
        "intake_stopped",
        "gauge",
        "1 while nothing is taken in.",
        stopped,
    );
    out.family(
        "refusals_total",
        "counter",
        "Refused and ignored inputs by reason.",
    );
    for (reason, count) in &writer.refusals {
        out.sample("refusals_total", Some(("reason", reason)), count);
    }
}

fn certificate_metrics(out: &mut Exposition, context: &Context) {
    let summary = context.pki.summary();
    let name = "certificate_not_after_seconds";
    out.family(
        name,
        "gauge",
        "When a certificate ends, seconds since the Unix epoch.",
    );
    for (word, end_ms) in [
        ("ca", summary.authority_not_after_ms),
        ("server", summary.server_not_after_ms),
    ] {
        out.sample(name, Some(("certificate", word)), end_ms / 1_000);
    }
}

fn broker_metrics(out: &mut Exposition, context: &Context) {
    let broker = context.broker.metrics();
    for (name, help, value) in [
        (
            "mqtt_connections",
            "Connections past their CONNECT.",
            broker.connections,
        ),
        (
            "mqtt_handshaking",
            "Connections whose CONNECT is not complete.",
            broker.handshaking,
        ),
        (
            "mqtt_sessions",
            "Sessions, connected or not.",
            broker.sessions,
        ),
        (
            "mqtt_subscriptions",
            "Subscriptions of all sessions.",
            broker.subscriptions,
        ),
        (
            "mqtt_retained_messages",
            "Retained messages.",
            broker.retained_messages,
        ),
        (
            "mqtt_retained_bytes",
            "Bytes of retained messages.",
            broker.retained_bytes,
        ),
        (
            "mqtt_queued_messages",
            "Messages that wait for clients, connected or not.",
            broker.queued_messages,
        ),
        (
            "mqtt_queued_bytes",
            "Bytes of the messages that wait for clients, each counted for every client.",
            broker.queued_bytes,
        ),
        (
            "intake_waiting",
            "What robots did that waits for the writer.",
            broker.events_waiting,
        ),
        (
            "mqtt_unstored",
            "Changed rows of sessions and retained messages that wait for a commit.",
            broker.unstored,
        ),
    ] {
        out.single(name, "gauge", help, value);
    }
    out.family(
        "mqtt_events_total",
        "counter",
        "What passed or was refused on MQTT, by kind.",
    );
    for (kind, count) in broker.counts() {
        out.sample("mqtt_events_total", Some(("kind", kind)), count);
    }
}

fn artifact_metrics(out: &mut Exposition, context: &Context) {
    out.family(
        "artifacts",
        "gauge",
        "Hosted files by what is known of them; damaged and missing ones are not given to robots.",
    );
    for (condition, count) in context.artifacts.conditions() {
        out.sample("artifacts", Some(("file", condition.word())), count);
    }
    let downloads = context.artifacts.downloads();
    let gauges = [
        (
            "downloads_running",
            "Downloads that run.",
            downloads.running,
        ),
        (
            "downloads_waiting",
            "Downloads that wait for another to end.",
            downloads.waiting,
        ),
    ];
    for (name, help, value) in gauges {
        out.single(name, "gauge", help, value);
    }
    out.family(
        "downloads_total",
        "counter",
        "Requests for artifacts by how they ended.",
    );
    for (end, count) in &downloads.ends {
        out.sample("downloads_total", Some(("end", end)), count);
    }
    out.single(
        "download_bytes_total",
        "counter",
        "Bytes of artifacts that went out.",
        downloads.bytes,
    );
    out.single(
        "download_operations_ignored_total",
        "counter",
        "Requests whose X-Edgehog-OTA-ID is no UUID.",
        downloads.strange_operations,
    );
}
