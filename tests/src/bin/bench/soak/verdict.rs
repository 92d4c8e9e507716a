//! What a soak must have shown.

use super::args::Settings;
use super::kept::Kept;
use super::sample::{Counts, Process, Sample};
use crate::report::number;
use serde::Serialize;

/// By how much the last quarter's median of memory may be above the second's: this share or so many bytes, whichever is
/// more, and what completed rollouts take, which stay in memory by design. The first quarter fills caches.
const MEMORY_SHARE: f64 = 0.05;
const MEMORY_BYTES: f64 = 16e6;

/// Bytes that the engine keeps for a target of a completed rollout, as `bench engine` counts them.
const TARGET_BYTES: f64 = 162.0;

/// The same of open files and threads, which come and go with hostile clients.
const MORE_FILES: f64 = 64.0;
const MORE_THREADS: f64 = 16.0;

/// Shares of the rate that each interval must have, and all together.
const INTERVAL_SHARE: f64 = 0.95;
const WHOLE_SHARE: f64 = 0.99;

/// Open files that may be left when everybody has gone: connections of our own looks at the server.
const LEFT_FILES: u64 = 16;

/// Causes that are told of one verdict.
const CAUSES: usize = 5;

/// What repetitions of a step are counted as: taken, kept in the history, and no step forward.
pub(super) const REPEATED: &str = "late_event";

/// What a soak has come to. Nothing counts as seen that was not.
#[derive(Debug, Default)]
pub(super) struct Course {
    pub(super) samples: Vec<Sample>,
    /// Before anybody came.
    pub(super) before: Process,
    /// When everybody had gone.
    pub(super) after: Process,
    pub(super) counts: Counts,
    /// Why it ended early.
    pub(super) broken: Option<String>,
    /// Events that the publishers saw acknowledged.
    pub(super) acknowledged: u64,
    /// What innocent clients noticed.
    pub(super) disturbances: Vec<String>,
    /// Innocent robots to which the engine has refused something, and what.
    pub(super) refused: Vec<String>,
    pub(super) visits: u64,
    pub(super) hostile_runs: u64,
    pub(super) hostile_attacks: u64,
    pub(super) hostile_failures: Vec<String>,
    pub(super) rollouts: u64,
    pub(super) rollout_failures: Vec<String>,
    /// Lines of the server's log from `warn` on.
    pub(super) log: Vec<String>,
    /// The database after the end, or what is wrong with it.
    pub(super) kept: Option<Result<Kept, String>>,
}

/// Whether something held, and the figures that say so.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Verdict {
    pub(super) name: &'static str,
    pub(super) held: bool,
    pub(super) said: String,
}

fn verdict(name: &'static str, held: bool, said: impl Into<String>) -> Verdict {
    let said = said.into();
    Verdict { name, held, said }
}

/// Everything that is judged.
pub(super) fn judge(settings: &Settings, course: &Course) -> Vec<Verdict> {
    let mut verdicts = vec![
        whole(course),
        memory(&course.samples),
        handles(&course.samples),
        rate(settings, &course.samples),
        acknowledged(course),
        none("innocent clients noticed nothing", &course.disturbances),
        refusals(settings, course),
        none("no warning in the server's log", &course.log),
        rollouts(course),
        left(course),
    ];
    if settings.hostile {
        verdicts.push(hostile(course));
    }
    verdicts
}

fn whole(course: &Course) -> Verdict {
    let why = course.broken.clone();
    let held = why.is_none() && !course.samples.is_empty();
    verdict(
        "it went to its end",
        held,
        why.unwrap_or_else(|| format!("{} looks", course.samples.len())),
    )
}

fn none(name: &'static str, causes: &[String]) -> Verdict {
    let mut said = causes.iter().take(CAUSES).cloned().collect::<Vec<_>>();
    if causes.len() > CAUSES {
        said.push(format!("and {} more", causes.len() - CAUSES));
    }
    let said = if said.is_empty() {
        "none".to_owned()
    } else {
        said.join("; ")
    };
    verdict(name, causes.is_empty(), said)
}

/// Medians of the second and of the last quarter; nothing if there are too few samples.
fn quarters(samples: &[Sample], value: impl Fn(&Sample) -> u64) -> Option<(f64, f64)> {
    let quarter = samples.len() / 4;
    if quarter == 0 {
        return None;
    }
    let median = |part: &[Sample]| {
        let mut values: Vec<_> = part.iter().map(&value).collect();
        values.sort_unstable();
        values[values.len() / 2] as f64
    };
    let (second, last) = (
        &samples[quarter..2 * quarter],
        &samples[samples.len() - quarter..],
    );
    Some((median(second), median(last)))
}

/// Bytes per hour by which resident memory grows over the second half: least squares.
fn slope(samples: &[Sample]) -> f64 {
    let half = &samples[samples.len() / 2..];
    let count = half.len() as f64;
    let mean = |value: &dyn Fn(&Sample) -> f64| half.iter().map(value).sum::<f64>() / count;
    let (middle, level) = (
        mean(&|sample| sample.at),
        mean(&|sample| sample.process.resident as f64),
    );
    let (mut up, mut along) = (0.0, 0.0);
    for sample in half {
        let time = sample.at - middle;
        up += time * (sample.process.resident as f64 - level);
        along += time * time;
    }
    if along > 0.0 {
        up / along * 3_600.0
    } else {
        0.0
    }
}

fn memory(samples: &[Sample]) -> Verdict {
    let name = "memory is flat";
    let Some((second, last)) = quarters(samples, |sample| sample.process.resident) else {
        return verdict(name, false, "too few looks");
    };
    let targets = quarters(samples, |sample| sample.targets);
    let kept = targets.map_or(0.0, |(second, last)| (last - second) * TARGET_BYTES);
    let allowed = (second * MEMORY_SHARE).max(MEMORY_BYTES) + kept;
    let mb = |bytes: f64| number(bytes / 1e6);
    let said = format!(
        "resident, median of the second quarter {} MB, of the last {} MB, at most {} MB more allowed, {} of them for rollouts \
         that have completed in between; over the second half {} MB per hour",
        mb(second),
        mb(last),
        mb(allowed),
        mb(kept),
        mb(slope(samples)),
    );
    verdict(name, last <= second + allowed, said)
}

fn handles(samples: &[Sample]) -> Verdict {
    let name = "open files and threads are flat";
    let files = quarters(samples, |sample| sample.process.files);
    let threads = quarters(samples, |sample| sample.process.threads);
    let Some((files, threads)) = files.zip(threads) else {
        return verdict(name, false, "too few looks");
    };
    let held = files.1 <= files.0 + MORE_FILES && threads.1 <= threads.0 + MORE_THREADS;
    let said = format!(
        "medians of the second and the last quarter: files {} and {}, threads {} and {}",
        files.0, files.1, threads.0, threads.1
    );
    verdict(name, held, said)
}

fn rate(settings: &Settings, samples: &[Sample]) -> Verdict {
    let rate = f64::from(settings.rate);
    let rates = || {
        samples
            .iter()
            .map(|sample| sample.publishers.acknowledged_per_second)
    };
    let least = rates().fold(f64::INFINITY, f64::min);
    let mean = rates().sum::<f64>() / samples.len().max(1) as f64;
    let said = format!(
        "{} events/s asked for, {} acknowledged on average, {} in the slowest interval",
        number(rate),
        number(mean),
        number(least),
    );
    let held = !samples.is_empty() && least >= rate * INTERVAL_SHARE && mean >= rate * WHOLE_SHARE;
    verdict("the rate is held", held, said)
}

fn acknowledged(course: &Course) -> Verdict {
    let name = "nothing acknowledged is lost";
    let acknowledged = course.acknowledged;
    let moved = course.counts.events_committed;
    let repeated = course.counts.refusals.get(REPEATED).copied().unwrap_or(0);
    let counted =
        format!("{acknowledged} acknowledged, {moved} steps and {repeated} repetitions counted");
    let covered = acknowledged > 0 && moved + repeated >= acknowledged;
    match &course.kept {
        None => verdict(name, false, format!("{counted}; the database was not read")),
        Some(Err(why)) => verdict(name, false, format!("{counted}; {why}")),
        Some(Ok(kept)) => {
            let Kept { events, file_bytes } = *kept;
            let each = number(file_bytes as f64 / events.max(1) as f64);
            let said = format!(
                "{counted}; {events} in the history, each robot's once and without a gap, {each} bytes of file each"
            );
            verdict(name, covered && events >= acknowledged, said)
        }
    }
}

/// What the engine says to robots' messages: repetitions are ours. Of other refusals, with hostile clients, only what it last
/// refused to each robot says whose they are.
fn refusals(settings: &Settings, course: &Course) -> Verdict {
    let mut unexpected = course.refused.clone();
    if !settings.hostile {
        let counted = course.counts.refusals.iter();
        let others = counted.filter(|(why, count)| **count > 0 && *why != REPEATED);
        unexpected.extend(others.map(|(why, count)| format!("{why}: {count}")));
    }
    none("no innocent robot was refused anything", &unexpected)
}

fn rollouts(course: &Course) -> Verdict {
    let name = "every rollout succeeded";
    if course.rollouts == 0 || !course.rollout_failures.is_empty() {
        let mut verdict = none(name, &course.rollout_failures);
        verdict.held = false;
        return verdict;
    }
    verdict(name, true, format!("{} completed", course.rollouts))
}

fn hostile(course: &Course) -> Verdict {
    let name = "every attack was survived";
    let (runs, attacks) = (course.hostile_runs, course.hostile_attacks);
    let mut verdict = none(name, &course.hostile_failures);
    verdict.held &= runs > 0 && attacks > 0;
    verdict.said = format!("{attacks} attacks in {runs} runs; failed: {}", verdict.said);
    verdict
}

/// When everybody has gone nothing is left of them.
fn left(course: &Course) -> Verdict {
    let (connections, files) = (course.counts.connections, course.after.files);
    let held = connections == 0 && files > 0 && files <= course.before.files + LEFT_FILES;
    let said = format!(
        "{connections} connections, {files} open files ({} before)",
        course.before.files
    );
    verdict("nothing is left of clients that have gone", held, said)
}

#[cfg(test)]
mod tests;
