//! A soak as a Markdown table and as JSON.

use super::args::Settings;
use super::sample::Sample;
use super::verdict::{Course, Verdict};
use crate::report::{Machine, number};
use serde::Serialize;
use std::fmt::{self, Write as _};

/// Rows that the table has at most: five minutes each of an hour.
const ROWS: usize = 12;

/// What a soak has to tell.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(super) machine: Machine,
    pub(super) settings: Settings,
    pub(super) samples: Vec<Sample>,
    pub(super) verdicts: Vec<Verdict>,
    /// Whole visits of robots that come and go.
    pub(super) visits: u64,
    /// What was refused on MQTT, by kind.
    pub(super) refused: Vec<(String, u64)>,
}

impl Report {
    pub(super) fn new(
        machine: Machine,
        settings: Settings,
        course: Course,
        verdicts: Vec<Verdict>,
    ) -> Self {
        let refused = course.counts.refused_on_mqtt();
        let refused = refused.map(|(kind, count)| (kind.to_owned(), count));
        Self {
            machine,
            settings,
            refused: refused.collect(),
            visits: course.visits,
            samples: course.samples,
            verdicts,
        }
    }

    /// Whether everything held.
    pub(crate) fn has_passed(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.held)
    }

    /// For people.
    pub(crate) fn markdown(&self) -> String {
        // Writing to a `String` cannot fail.
        let mut text = String::new();
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        let Settings {
            duration,
            rate,
            robots,
            churn,
            hostile,
            ..
        } = self.settings;
        writeln!(text, "{}.\n", self.machine)?;
        writeln!(
            text,
            "{} at {} events/s from {robots} robots, {churn} visits per second ({} in all), {} hostile clients.\n",
            humantime::format_duration(duration),
            number(rate.into()),
            number(self.visits as f64),
            if hostile { "with" } else { "without" },
        )?;
        writeln!(
            text,
            "| minute | events/s | p50 ms | p99 ms | max ms | RSS MB | private MB | files | threads | server cores | \
             connections | database GB | attack runs | rollouts |"
        )?;
        writeln!(text, "|{}", "---|".repeat(14))?;
        let rows = self.samples.len().div_ceil(ROWS).max(1);
        for part in self.samples.chunks(rows) {
            row(text, part)?;
        }
        writeln!(text, "\n| verdict | held | figures |\n|---|---|---|")?;
        for Verdict { name, held, said } in &self.verdicts {
            let held = if *held { "yes" } else { "**no**" };
            // What others wrote must not break the table.
            let said = said.replace('|', "/").replace('\n', " ");
            writeln!(text, "| {name} | {held} | {said} |")?;
        }
        let refused: Vec<_> = self
            .refused
            .iter()
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        if !refused.is_empty() {
            let refused = refused.join(", ");
            writeln!(text, "\nCounted on MQTT beside the traffic: {refused}.")?;
        }
        Ok(())
    }
}

/// Rates and the median latency are means over the part, other latencies its worst; everything else is as at its end.
fn row(text: &mut String, part: &[Sample]) -> fmt::Result {
    let Some(last) = part.last() else {
        return Ok(());
    };
    let mean = |value: fn(&Sample) -> f64| part.iter().map(value).sum::<f64>() / part.len() as f64;
    let worst = |value: fn(&Sample) -> f64| part.iter().map(value).fold(0.0, f64::max);
    let values = [
        number(last.at / 60.0),
        number(mean(|sample| sample.publishers.acknowledged_per_second)),
        number(mean(|sample| sample.publishers.ack_latency.p50_ms)),
        number(worst(|sample| sample.publishers.ack_latency.p99_ms)),
        number(worst(|sample| sample.publishers.ack_latency.max_ms)),
        number(last.process.resident as f64 / 1e6),
        number(last.process.private as f64 / 1e6),
        last.process.files.to_string(),
        last.process.threads.to_string(),
        number(mean(|sample| sample.server_cores)),
        last.counts.connections.to_string(),
        number(last.database_bytes as f64 / 1e9),
        last.hostile_runs.to_string(),
        last.rollouts.to_string(),
    ];
    writeln!(text, "| {} |", values.join(" | "))
}

/// One look, for whoever watches.
pub(super) fn line(sample: &Sample) -> String {
    let Sample {
        at,
        publishers,
        process,
        server_cores,
        counts,
        database_bytes,
        hostile_runs,
        hostile_failures,
        rollouts,
        targets: _,
    } = sample;
    let latency = publishers.ack_latency;
    format!(
        "{:>6.1} min: {} events/s, p50 {} p99 {} max {} ms, RSS {} MB, {} files, {} threads, {server_cores:.2} cores, {} \
         connections, {} sessions, database {} GB, {hostile_runs} attack runs ({hostile_failures} failures), {rollouts} \
         rollouts, {} refused, {} lost",
        at / 60.0,
        number(publishers.acknowledged_per_second),
        number(latency.p50_ms),
        number(latency.p99_ms),
        number(latency.max_ms),
        number(process.resident as f64 / 1e6),
        process.files,
        process.threads,
        counts.connections,
        counts.sessions,
        number(*database_bytes as f64 / 1e9),
        publishers.refused,
        publishers.lost,
    )
}
