//! A launched rollout's course for people: whether it runs and why not, its phases, its pace, what became of its robots.

use super::views::rfc3339;
use rollcall_engine::{
    EndReason, FailureKind, PauseReason, Percent, Phase, PhaseGate, PhaseSize, PhaseTally, Rollout,
    RolloutStatus, Run, Schedule, Tally, TargetSelection, Timestamp,
};
use serde::{Deserialize, Serialize};

/// Whether a launched rollout tells robots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct RunView {
    pub since: String,
    pub since_ms: u64,
    pub reason: Option<ReasonView>,
    pub reason_text: Option<String>,
    pub remedy: Option<String>,
}

/// Why a rollout pauses or ends; phases and rules count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct ReasonView {
    pub why: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u16>,
}

/// When a rollout starts and ends by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct ScheduleView {
    pub start: Option<String>,
    pub start_ms: Option<u64>,
    pub end: Option<String>,
    pub end_ms: Option<u64>,
}

/// Robots as thresholds count them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct TallyView {
    pub told: u32,
    pub tried: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub failures: FailuresView,
}

/// Failed robots by kind; one may be in several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct FailuresView {
    pub failed: u32,
    pub rejected: u32,
    pub timed_out: u32,
    pub rolled_back: u32,
}

/// The rate of new starts at present.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct PaceView {
    pub per_minute: u32,
    pub next: Option<String>,
    pub next_ms: Option<u64>,
}

/// Where a rollout with phases is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct CourseView {
    pub phase: u16,
    pub opened: String,
    pub opened_ms: u64,
    pub passed: Option<String>,
    pub passed_ms: Option<u64>,
    pub soaks_until: Option<String>,
    pub soaks_until_ms: Option<u64>,
    pub waits_for: Option<String>,
    pub waits_for_text: Option<String>,
    pub phases: Vec<PhaseView>,
}

/// A phase, from 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct PhaseView {
    pub phase: u16,
    pub state: String,
    pub size: PhaseSize,
    pub robots: u32,
    pub open: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub withdrawn: u32,
    pub needed: u32,
    pub may_fail: Option<u32>,
}

impl RunView {
    pub(super) fn new(rollout: &Rollout) -> Option<Self> {
        if let RolloutStatus::Completed { completed, why, .. } = rollout.status {
            let (reason, reason_text) = end_reason(rollout, why?);
            return Some(Self {
                since: rfc3339(completed),
                since_ms: completed.0,
                reason: Some(reason),
                reason_text: Some(reason_text),
                remedy: None,
            });
        }
        let (since, reason) = match rollout.run()? {
            Run::Running => (rollout.course.running_since, None),
            Run::Paused { since, why } => (since, Some(pause_reason(rollout, why))),
            Run::Stopped { since } => (since, None),
            Run::Ending { since, why } => (since, Some(end_reason(rollout, why))),
        };
        let (reason, reason_text) = reason.unzip();
        Some(Self {
            since: rfc3339(since),
            since_ms: since.0,
            reason,
            reason_text,
            remedy: remedy(rollout).map(str::to_owned),
        })
    }
}

impl ReasonView {
    fn new(why: &str) -> Self {
        Self {
            why: why.to_owned(),
            phase: None,
            rule: None,
        }
    }

    fn phase(why: &str, phase: u16) -> Self {
        Self {
            phase: Some(phase + 1),
            ..Self::new(why)
        }
    }

    fn rule(rule: u16) -> Self {
        Self {
            rule: Some(rule + 1),
            ..Self::new("failures")
        }
    }
}

fn pause_reason(rollout: &Rollout, why: PauseReason) -> (ReasonView, String) {
    match why {
        PauseReason::Operator => (
            ReasonView::new("operator"),
            "an operator paused it".to_owned(),
        ),
        PauseReason::Approval { phase } => (
            ReasonView::phase("approval", phase),
            format!(
                "phase {} is done, and the next one waits for an approval",
                phase + 1
            ),
        ),
        PauseReason::PhaseMissed { phase } => {
            let (definition, tally) = phase_of(rollout, phase);
            let text = format!(
                "every robot of phase {} is done, and {} of {} succeeded; {} had to",
                phase + 1,
                tally.succeeded,
                tally.robots - tally.withdrawn,
                needed(definition, tally),
            );
            (ReasonView::phase("phase_missed", phase), text)
        }
        PauseReason::PhaseErrors { phase } => (
            ReasonView::phase("phase_errors", phase),
            phase_errors(rollout, phase),
        ),
        PauseReason::Failures { rule } => (ReasonView::rule(rule), rule_text(rollout, rule)),
    }
}

fn end_reason(rollout: &Rollout, why: EndReason) -> (ReasonView, String) {
    match why {
        EndReason::Operator => (
            ReasonView::new("operator"),
            "an operator cancelled it".to_owned(),
        ),
        EndReason::MaxFailures => {
            let max = rollout.mechanism.max_failure_percentage;
            let text = format!(
                "{} of {} robots failed; at most {} may",
                rollout.tally.failed,
                rollout.affected(),
                max.unwrap_or(Percent::ALL)
            );
            (ReasonView::new("max_failures"), text)
        }
        EndReason::Replaced { by } => (
            ReasonView::new("replaced"),
            format!("release {} took the place of its release", by.0),
        ),
        EndReason::Failures { rule } => (ReasonView::rule(rule), rule_text(rollout, rule)),
        EndReason::PhaseErrors { phase } => (
            ReasonView::phase("phase_errors", phase),
            phase_errors(rollout, phase),
        ),
    }
}

fn phase_errors(rollout: &Rollout, phase: u16) -> String {
    let (definition, tally) = phase_of(rollout, phase);
    let most = definition.and_then(|definition| definition.error_threshold);
    format!(
        "{} of {} robots of phase {} failed; at most {} may",
        tally.failed,
        tally.robots,
        phase + 1,
        most.unwrap_or(Percent::ALL)
    )
}

fn rule_text(rollout: &Rollout, rule: u16) -> String {
    let number = rule + 1;
    let Some(rule) = rollout.mechanism.abort.get(usize::from(rule)) else {
        return format!("abort rule {number}");
    };
    let failed = match rule.kind {
        FailureKind::All => "failed",
        FailureKind::Failed => "tried and could not",
        FailureKind::Rejected => "rejected the update, or were not given it for their versions",
        FailureKind::TimedOut => "were too slow",
        FailureKind::RolledBack => "came back with the old image",
    };
    format!(
        "abort rule {number}: {} of the {} robots that have tried {failed}; it acts at {}",
        rollout.tally.kind(rule.kind),
        rollout.tally.tried,
        rule.percentage
    )
}

/// What an operator can do about a rollout that does not run.
const fn remedy(rollout: &Rollout) -> Option<&'static str> {
    Some(match rollout.run() {
        None | Some(Run::Running) => return None,
        Some(Run::Paused {
            why: PauseReason::Operator,
            ..
        }) => "resume it, stop it or cancel it",
        Some(Run::Paused {
            why: PauseReason::Approval { .. },
            ..
        }) => "look at the robots of the phase, then approve it, or cancel the rollout",
        Some(Run::Paused {
            why: PauseReason::PhaseMissed { .. },
            ..
        }) => {
            "look why robots of the phase failed; then approve it all the same, or cancel the rollout"
        }
        Some(Run::Paused {
            why: PauseReason::PhaseErrors { .. } | PauseReason::Failures { .. },
            ..
        }) => {
            "look why robots failed; then resume the rollout, which acts again at the next failure, or cancel it"
        }
        Some(Run::Stopped { .. }) if matches!(rollout.target, TargetSelection::Release(_)) => {
            "resume its release"
        }
        Some(Run::Stopped { .. }) => "resume it or cancel it",
        Some(Run::Ending { .. }) => "wait for the robots that install",
    })
}

fn phase_of(rollout: &Rollout, phase: u16) -> (Option<&Phase>, PhaseTally) {
    let phase = usize::from(phase);
    let tally = rollout.tally.phases.get(phase).copied();
    (
        rollout.mechanism.phases.get(phase),
        tally.unwrap_or_default(),
    )
}

/// Robots that must succeed before the phase passes.
fn needed(phase: Option<&Phase>, tally: PhaseTally) -> u32 {
    let counted = tally.robots - tally.withdrawn;
    phase.map_or(0, |phase| phase.success_threshold.of(counted))
}

impl ScheduleView {
    pub(super) fn new(schedule: &Schedule) -> Self {
        Self {
            start: schedule.start.map(rfc3339),
            start_ms: schedule.start.map(|at| at.0),
            end: schedule.end.map(rfc3339),
            end_ms: schedule.end.map(|at| at.0),
        }
    }
}

impl TallyView {
    pub(super) fn new(tally: &Tally) -> Self {
        Self {
            told: tally.told,
            tried: tally.tried,
            succeeded: tally.succeeded,
            failed: tally.failed,
            failures: FailuresView {
                failed: tally.kind(FailureKind::Failed),
                rejected: tally.kind(FailureKind::Rejected),
                timed_out: tally.kind(FailureKind::TimedOut),
                rolled_back: tally.kind(FailureKind::RolledBack),
            },
        }
    }
}

impl PaceView {
    pub(super) fn new(rollout: &Rollout, now: Timestamp) -> Option<Self> {
        let per_minute = rollout.per_minute().filter(|_| rollout.is_launched())?;
        let next = rollout.next_start(now);
        Some(Self {
            per_minute,
            next: next.map(rfc3339),
            next_ms: next.map(|at| at.0),
        })
    }
}

impl CourseView {
    /// `None` before the launch, and for a rollout without phases.
    pub(super) fn new(rollout: &Rollout, now: Timestamp) -> Option<Self> {
        if rollout.status == RolloutStatus::Prepared || rollout.mechanism.phases.is_empty() {
            return None;
        }
        let course = &rollout.course;
        let gate = rollout.phase_gate(now).filter(|_| rollout.is_launched());
        let soaks_until = match gate {
            Some(PhaseGate::Soak(until)) => Some(until),
            _ => None,
        };
        let (waits_for, waits_for_text) = gate.map(|gate| gate_words(rollout, gate)).unzip();
        let phases = (0_u16..).zip(&rollout.mechanism.phases);
        Some(Self {
            phase: course.phase + 1,
            opened: rfc3339(course.phase_opened),
            opened_ms: course.phase_opened.0,
            passed: course.phase_passed.map(rfc3339),
            passed_ms: course.phase_passed.map(|at| at.0),
            soaks_until: soaks_until.map(rfc3339),
            soaks_until_ms: soaks_until.map(|at| at.0),
            waits_for,
            waits_for_text,
            phases: phases
                .map(|(number, phase)| PhaseView::new(rollout, number, phase))
                .collect(),
        })
    }
}

/// What the newest open phase waits for before the next one opens.
fn gate_words(rollout: &Rollout, gate: PhaseGate) -> (String, String) {
    let (definition, tally) = phase_of(rollout, rollout.course.phase);
    let (word, text) = match gate {
        PhaseGate::Success => {
            let (succeeded, needed) = (tally.succeeded, needed(definition, tally));
            let more = needed.saturating_sub(succeeded);
            let text = format!("{succeeded} robots have succeeded, {more} more must");
            ("success", text)
        }
        PhaseGate::Soak(until) => ("soak", format!("it soaks until {}", rfc3339(until))),
        PhaseGate::Approval => ("approval", "an approval".to_owned()),
        PhaseGate::Missed => (
            "missed",
            "an approval all the same: too few robots succeeded".to_owned(),
        ),
        PhaseGate::Open => ("open", "nothing: the next phase opens".to_owned()),
    };
    (word.to_owned(), text)
}

impl PhaseView {
    fn new(rollout: &Rollout, number: u16, phase: &Phase) -> Self {
        let (_, tally) = phase_of(rollout, number);
        let state = match number.cmp(&rollout.course.phase) {
            std::cmp::Ordering::Less => "passed",
            std::cmp::Ordering::Equal => "open",
            std::cmp::Ordering::Greater => "closed",
        };
        Self {
            phase: number + 1,
            state: state.to_owned(),
            size: phase.size.clone(),
            robots: tally.robots,
            open: tally.open,
            succeeded: tally.succeeded,
            failed: tally.failed,
            withdrawn: tally.withdrawn,
            needed: needed(Some(phase), tally),
            may_fail: phase
                .error_threshold
                .map(|most| at_most(most, tally.robots)),
        }
    }
}

/// The most robots of `all` that are not more than `percent` of them.
fn at_most(percent: Percent, all: u32) -> u32 {
    let share = u64::from(percent.in_hundredths()) * u64::from(all) / 10_000;
    u32::try_from(share).unwrap_or(all)
}

#[cfg(test)]
mod tests;
