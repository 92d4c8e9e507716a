//! A rollout's mechanism in words: what is not the default, and the cap and the deadline always.

use super::tables::word;
use super::words::span_text;
use crate::api::rfc3339;
use rollcall_engine::{
    AbortRule, Counting, ForceDowngrade, Mechanism, OfflinePolicy, OnFailure, OnVersionMismatch,
    Phase, PhaseSize, Rate, Retry, ThresholdAction, Window, Windows,
};

/// Names and values for the sheet of a rollout.
pub(super) fn pace(mechanism: &Mechanism) -> Vec<(&'static str, String)> {
    let default = Mechanism::default();
    let mut rows = vec![("max in progress", mechanism.max_in_progress.to_string())];
    rows.extend(
        mechanism
            .rate
            .as_ref()
            .map(|rate| ("rate", rate_text(rate))),
    );
    let share = mechanism.max_failure_percentage;
    rows.extend(share.map(|share| {
        (
            "max failures",
            format!("{share} of all robots; more abort it"),
        )
    }));
    rows.extend(mechanism.abort.iter().map(|rule| ("rule", rule_text(rule))));
    if !mechanism.retries.is_empty() {
        let retries: Vec<_> = mechanism.retries.iter().map(retry_text).collect();
        rows.push(("retries", retries.join(", ")));
    }
    if let OfflinePolicy::Fail { grace } = mechanism.offline {
        rows.push(("offline", format!("fails after {}", span_text(grace))));
    }
    rows.extend(mechanism.windows.iter().flat_map(windows_rows));
    for (name, at) in [
        ("start", mechanism.schedule.start),
        ("end", mechanism.schedule.end),
    ] {
        rows.extend(at.map(|at| (name, rfc3339(at))));
    }
    rows.push(("lasts at most", span_text(mechanism.deadline)));
    let waits = waits(mechanism, &default);
    if !waits.is_empty() {
        rows.push(("waits", waits));
    }
    let ways = ways(mechanism);
    if !ways.is_empty() {
        rows.push(("otherwise", ways.join(", ")));
    }
    rows
}

fn windows_rows(windows: &Windows) -> Vec<(&'static str, String)> {
    let window = |window: &Window| {
        let open = span_text(u64::from(window.minutes) * 60_000);
        ("window", format!("{} for {open}", window.opens))
    };
    let mut rows: Vec<_> = windows.windows.iter().map(window).collect();
    let Windows {
        zone, zone_label, ..
    } = windows;
    rows.push(("time zone", format!("label {zone_label}, else {zone}")));
    rows
}

fn rate_text(rate: &Rate) -> String {
    let per_minute = format!("{} robots a minute", rate.per_minute);
    let Some(growth) = &rate.growth else {
        return per_minute;
    };
    let counting = match growth.counting {
        Counting::Told => "told",
        Counting::Succeeded => "succeeded",
    };
    format!(
        "{per_minute}, times {} for every {} that {counting}, up to {}",
        f64::from(growth.factor),
        growth.every,
        growth.max_per_minute
    )
}

const fn acts(action: ThresholdAction) -> &'static str {
    match action {
        ThresholdAction::Abort => "aborts",
        ThresholdAction::Pause => "pauses",
    }
}

fn rule_text(rule: &AbortRule) -> String {
    format!(
        "{} when {} of the robots that tried {}, from {} on",
        acts(rule.action),
        rule.percentage,
        match word(&rule.kind).as_str() {
            "all" => "failed in any way".to_owned(),
            "failed" => "failed".to_owned(),
            "rejected" => "were rejected".to_owned(),
            kind => kind.to_owned(),
        },
        rule.min_tried
    )
}

fn retry_text(retry: &Retry) -> String {
    let times = match retry.times {
        1 => "once".to_owned(),
        times => format!("{times} times"),
    };
    format!("{} {times}", retry.class.word())
}

fn waits(mechanism: &Mechanism, default: &Mechanism) -> String {
    let spans = [
        (
            "request",
            mechanism.request_timeout,
            default.request_timeout,
        ),
        (
            "in progress",
            mechanism.in_progress_timeout,
            default.in_progress_timeout,
        ),
        (
            "confirm",
            mechanism.confirm_timeout,
            default.confirm_timeout,
        ),
        (
            "rollback grace",
            mechanism.rollback_grace,
            default.rollback_grace,
        ),
    ];
    let other = spans.into_iter().filter(|(_, span, usual)| span != usual);
    let other = other.map(|(name, span, _)| format!("{name} {}", span_text(span)));
    other.collect::<Vec<_>>().join(", ")
}

fn ways(mechanism: &Mechanism) -> Vec<&'static str> {
    let mut ways = Vec::new();
    match mechanism.force_downgrade {
        ForceDowngrade::No => {}
        ForceDowngrade::All => ways.push("downgrades forced"),
        ForceDowngrade::WithinRequirement => ways.push("downgrades forced within the requirement"),
    }
    if mechanism.on_failure == OnFailure::Stop {
        ways.push("a failed ECU stops its robot");
    }
    if mechanism.on_version_mismatch == OnVersionMismatch::Skip {
        ways.push("versions that do not fit are skipped");
    }
    if mechanism.dynamic {
        ways.push("late robots join");
    }
    ways
}

/// A phase's size in words.
pub(super) fn size_text(size: &PhaseSize) -> String {
    match size {
        PhaseSize::Percentage(share) => share.to_string(),
        PhaseSize::Robots(1) => "1 robot".to_owned(),
        PhaseSize::Robots(robots) => format!("{robots} robots"),
        PhaseSize::Group(name) => format!("group {name}"),
        PhaseSize::Rest => "the rest".to_owned(),
    }
}

/// What must be so before the phase after this one opens, and what its failures do.
pub(super) fn conditions(phase: &Phase, last: bool) -> String {
    let mut parts = Vec::new();
    if !last {
        parts.push(format!("{} succeed", phase.success_threshold));
        if phase.soak > 0 {
            parts.push(format!("soaks {}", span_text(phase.soak)));
        }
        if phase.approval {
            parts.push("approval".to_owned());
        }
    }
    if let Some(share) = phase.error_threshold {
        let what = acts(phase.on_error);
        parts.push(format!("more than {share} failed {what}"));
    }
    if parts.is_empty() {
        parts.push("-".to_owned());
    }
    parts.join(", ")
}
