//! One look at everything.

use crate::procfs;
use crate::server::Server;
use anyhow::Result;
use device_sim::bench::IntervalReport;
use rollcall::store::DATABASE_FILE;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What the kernel says of the server.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Process {
    /// Bytes: heap, stacks, and pages of the program.
    pub(super) resident: u64,
    /// Bytes: heap and stacks alone.
    pub(super) private: u64,
    /// Open ones.
    pub(super) files: u64,
    pub(super) threads: u64,
}

impl Process {
    pub(super) fn of(server: &Server) -> Result<Self> {
        let memory = server.memory()?;
        Ok(Self {
            resident: memory.resident,
            private: memory.anonymous,
            files: procfs::open_files(server.pid())?,
            threads: procfs::threads(server.pid())?,
        })
    }
}

/// What the server counts.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Counts {
    /// OTAEvents that a commit has made durable and that moved their target.
    pub(super) events_committed: u64,
    /// By reason: messages of robots that were refused, or taken without an effect.
    pub(super) refusals: BTreeMap<String, u64>,
    /// By kind: what passed or was refused on MQTT.
    pub(super) mqtt: BTreeMap<String, u64>,
    pub(super) connections: u64,
    pub(super) sessions: u64,
    /// Messages that wait for clients.
    pub(super) queued_messages: u64,
    /// Robots' messages that wait for the writer.
    pub(super) intake_waiting: u64,
    /// Changed rows of sessions that wait for a commit.
    pub(super) unstored: u64,
}

impl Counts {
    pub(super) fn of(server: &Server) -> Result<Self> {
        Ok(Self::read(&server.metrics()?))
    }

    fn read(metrics: &BTreeMap<String, f64>) -> Self {
        // Counts are far below 2^52, where every whole number is a float.
        let whole = |value: &f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "counts are whole, small and not negative"
            )]
            let whole = *value as u64;
            whole
        };
        let value = |name: &str| metrics.get(name).map_or(0, whole);
        let family = |beginning: &str| {
            let words = metrics.iter().filter_map(|(name, value)| {
                let word = name.strip_prefix(beginning)?.strip_suffix("\"}")?;
                Some((word.to_owned(), whole(value)))
            });
            words.collect()
        };
        Self {
            events_committed: value("events_committed_total"),
            refusals: family("refusals_total{reason=\""),
            mqtt: family("mqtt_events_total{kind=\""),
            connections: value("mqtt_connections"),
            sessions: value("mqtt_sessions"),
            queued_messages: value("mqtt_queued_messages"),
            intake_waiting: value("intake_waiting"),
            unstored: value("mqtt_unstored"),
        }
    }

    /// What passes and is no refusal.
    const TRAFFIC: [&str; 13] = [
        "sockets_accepted",
        "connections_opened",
        "connections_closed",
        "bytes_in",
        "bytes_out",
        "packets_in",
        "publishes_in",
        "publishes_out",
        "intake_handed",
        "intake_accepted",
        "tls_handshakes",
        "websockets_opened",
        "wills_published",
    ];

    /// What was refused on MQTT, or went wrong there, if anything did.
    pub(super) fn refused_on_mqtt(&self) -> impl Iterator<Item = (&str, u64)> {
        let all = self
            .mqtt
            .iter()
            .map(|(kind, count)| (kind.as_str(), *count));
        all.filter(|(kind, count)| *count > 0 && !Self::TRAFFIC.contains(kind))
    }
}

/// A moment of the soak, and what led to it since the one before.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sample {
    /// Seconds since the publishers began.
    pub(super) at: f64,
    /// The publishers since the sample before.
    pub(super) publishers: IntervalReport,
    pub(super) process: Process,
    /// CPU that the server used since the sample before, cores.
    pub(super) server_cores: f64,
    pub(super) counts: Counts,
    pub(super) database_bytes: u64,
    /// Runs of the hostile clients that have ended, and what they found.
    pub(super) hostile_runs: u64,
    pub(super) hostile_failures: u64,
    /// Rollouts that have completed.
    pub(super) rollouts: u64,
    /// Their targets, which the server keeps in memory by design.
    pub(super) targets: u64,
}

/// Takes samples.
#[derive(Debug)]
pub(super) struct Sampler {
    began: Instant,
    last: (Instant, Duration),
}

impl Sampler {
    pub(super) fn start(server: &Server) -> Result<Self> {
        let now = Instant::now();
        Ok(Self {
            began: now,
            last: (now, server.cpu()?.total),
        })
    }

    /// What hostile clients and rollouts have come to is added by whoever knows.
    pub(super) fn take(&mut self, server: &Server, publishers: IntervalReport) -> Result<Sample> {
        let (then, before) = self.last;
        let (now, used) = (Instant::now(), server.cpu()?.total);
        self.last = (now, used);
        Ok(Sample {
            at: (now - self.began).as_secs_f64(),
            publishers,
            process: Process::of(server)?,
            server_cores: used.saturating_sub(before).as_secs_f64() / (now - then).as_secs_f64(),
            counts: Counts::of(server)?,
            database_bytes: std::fs::metadata(server.data_dir().join(DATABASE_FILE))?.len(),
            hostile_runs: 0,
            hostile_failures: 0,
            rollouts: 0,
            targets: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_by_name_and_by_label() {
        let metrics = [
            ("events_committed_total", 7.0),
            ("mqtt_connections", 3.0),
            ("refusals_total{reason=\"late_event\"}", 5.0),
            ("mqtt_events_total{kind=\"bytes_in\"}", 99.0),
            ("mqtt_events_total{kind=\"queue_full\"}", 1.0),
            ("mqtt_events_total{kind=\"session_limit\"}", 0.0),
        ];
        let metrics = metrics.map(|(name, value)| (name.to_owned(), value));
        let counts = Counts::read(&BTreeMap::from(metrics));
        assert_eq!((counts.events_committed, counts.connections), (7, 3));
        assert_eq!(
            counts.refusals,
            BTreeMap::from([("late_event".to_owned(), 5)])
        );
        let refused: Vec<_> = counts.refused_on_mqtt().collect();
        assert_eq!(refused, [("queue_full", 1)]);
    }
}
