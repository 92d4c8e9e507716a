//! What must be true of a report for its figures to count.

use super::generator::Publishing;
use crate::server::Counters;
use anyhow::{Result, ensure};
use device_sim::bench::{FanInReport, IdleReport};

/// The report, if every client was let in and is still there: bytes and rates of a part say something else.
pub(super) fn all_in(report: IdleReport) -> Result<IdleReport> {
    let (clients, connected) = (report.connect.clients, report.connect.connected);
    ensure!(
        connected == clients && report.alive == clients && report.connect.failed == 0,
        "{connected} of {clients} clients were let in, and {} answered at the end",
        report.alive
    );
    Ok(report)
}

/// What Rollcall counts repetitions of a step as: taken, kept in the history, and no step forward.
const REPEATED: &str = "late_event";

/// Whether what Rollcall acknowledged is committed, and nothing was refused: MQTT 3.1.1 has no word for a refusal, so
/// that its PUBACK looks like any other. The first event of each step moves its target, the others are repetitions.
pub(super) fn covered(
    before: &Counters,
    after: &Counters,
    acknowledged: u64,
    repeat: u32,
) -> Result<()> {
    let grown = |now: u64, then: u64| now.saturating_sub(then);
    let mut repeated = 0;
    for (why, count) in &after.refusals {
        let count = grown(*count, before.refusals.get(why).copied().unwrap_or(0));
        if why == REPEATED {
            repeated = count;
        } else {
            ensure!(count == 0, "the server refused {count} messages: {why}");
        }
    }
    let moved = grown(after.events_committed, before.events_committed);
    ensure!(
        moved + repeated >= acknowledged && moved.saturating_mul(u64::from(repeat)) >= acknowledged,
        "{acknowledged} events were acknowledged, but {moved} steps and {repeated} repetitions committed"
    );
    Ok(())
}

/// Messages per second that went all the way.
pub(super) fn through(report: &FanInReport) -> f64 {
    if report.subscribers == 0 {
        report.acknowledged_per_second
    } else {
        report
            .acknowledged_per_second
            .min(report.delivered_per_second)
    }
}

/// The report, if nothing was lost or refused.
pub(super) fn whole(report: FanInReport) -> Result<FanInReport, String> {
    let (lost, refused, undelivered) = (report.lost, report.refused, report.undelivered);
    if lost + refused + undelivered == 0 {
        return Ok(report);
    }
    let errors: Vec<_> = report.errors.keys().cloned().collect();
    Err(format!(
        "{lost} connections lost, {refused} messages refused, {undelivered} acknowledged and not delivered; {}",
        errors.join("; ")
    ))
}

/// Messages per second that are planned for: what robots have to say must last.
const PLANNED: u64 = 400_000;

/// How often robots must say each step so that a rollout lasts.
pub(super) fn repeat(publishing: &Publishing, ecus: usize) -> u32 {
    let holding = publishing.longest_search();
    let seconds = (publishing.duration + holding).as_secs() + 5;
    let events = publishing.rate.unwrap_or(PLANNED) * seconds;
    let steps = 200 * (publishing.publishers * ecus) as u64;
    u32::try_from(events.div_ceil(steps))
        .unwrap_or(u32::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledged_events_must_be_committed_and_none_refused() {
        let counters = |events_committed, repeated: u64, refused: u64| Counters {
            events_committed,
            refusals: [
                (REPEATED.to_owned(), repeated),
                ("unknown_operation".to_owned(), refused),
            ]
            .into(),
            ..Counters::default()
        };
        let before = counters(100, 10, 1);
        let check = |after, acknowledged, repeat| {
            let said = covered(&before, &after, acknowledged, repeat);
            said.map_err(|error| error.to_string())
        };
        assert_eq!(check(counters(150, 10, 1), 50, 1), Ok(()));
        assert_eq!(check(counters(150, 60, 1), 100, 2), Ok(()));
        let lost = check(counters(150, 10, 1), 51, 2).unwrap_err();
        assert!(lost.contains("50 steps and 0 repetitions"), "{lost}");
        // More repetitions than the robots say: operations were over.
        assert!(check(counters(110, 100, 1), 100, 2).is_err());
        let refused = check(counters(200, 10, 3), 50, 1).unwrap_err();
        assert!(refused.contains("refused 2"), "{refused}");
    }
}
