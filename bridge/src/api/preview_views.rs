//! What a rollout would do, as the API shows it.

use super::views::{Page, reference, rfc3339, word};
use rollcall_engine::{
    Check, Conflict, Plan, PlanReport, PlannedRobot, SkipReason, Span, State, ZoneWindows,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a rollout would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct PreviewView {
    pub robots: usize,
    pub affected_robots: usize,
    pub skipped_robots: usize,
    pub ecus: usize,
    pub already_current: usize,
    pub will_fail: usize,
    pub lifted: usize,
    /// Robots by the reason for which they get nothing.
    #[serde(default)]
    pub skipped_by_reason: BTreeMap<String, usize>,
    /// ECUs by the reason for which they would fail at once.
    #[serde(default)]
    pub will_fail_by_reason: BTreeMap<String, usize>,
    /// ECUs that would be skipped for their version.
    #[serde(default)]
    pub will_skip: usize,
    #[serde(default)]
    pub windows: Vec<ZoneWindowsView>,
    /// Robots of each phase, in their order.
    #[serde(default)]
    pub phases: Vec<u32>,
    pub conflicts: Vec<ConflictView>,
    pub items: Vec<PlannedView>,
    pub next: Option<String>,
}

/// Another rollout that has open targets on the same ECUs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct ConflictView {
    pub rollout: u32,
    #[serde(default)]
    pub name: String,
    pub superseded: usize,
    pub in_progress: usize,
}

/// When robots of one time zone may be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct ZoneWindowsView {
    pub zone: String,
    pub robots: u32,
    pub bad_labels: u32,
    pub upcoming: Vec<SpanView>,
}

/// A time during which a window is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct SpanView {
    pub from: String,
    pub from_ms: u64,
    /// What the clocks show there.
    pub from_local: String,
    pub until: Option<String>,
    pub until_ms: Option<u64>,
    pub until_local: Option<String>,
}

/// What a rollout would do to one robot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct PlannedView {
    pub robot: String,
    pub number: u32,
    pub skipped: Option<SkipReason>,
    pub ecus: Vec<PlannedEcuView>,
}

/// What a rollout would do to one ECU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct PlannedEcuView {
    pub ecu: String,
    pub hardware_id: String,
    pub image: String,
    pub from: Option<String>,
    pub already_current: bool,
    pub at_dispatch: Check,
}

impl PreviewView {
    /// Counts over the whole plan, and at most `limit` robots after `after`.
    pub(super) fn new(
        state: &State,
        plan: &Plan,
        report: &PlanReport,
        after: Option<u32>,
        limit: usize,
    ) -> Self {
        let robots = &plan.robots;
        let affected = plan.affected().count();
        let ecus = || robots.iter().flat_map(|robot| &robot.ecus);
        let count = |is: fn(&Check) -> bool| ecus().filter(|ecu| is(&ecu.at_dispatch)).count();
        let failing = ecus().filter_map(|ecu| match ecu.at_dispatch {
            Check::Fail { reason } => Some(word(&reason)),
            _ => None,
        });
        let skipped = robots.iter().filter_map(|robot| robot.skipped);
        let page = PlannedView::page(state, plan, after, limit);
        Self {
            robots: robots.len(),
            affected_robots: affected,
            skipped_robots: robots.len() - affected,
            ecus: ecus().count(),
            already_current: count(|check| matches!(check, Check::AlreadyCurrent)),
            will_fail: count(|check| matches!(check, Check::Fail { .. })),
            lifted: count(|check| matches!(check, Check::Send { lifted: Some(_) })),
            skipped_by_reason: tally(skipped.map(|reason| word(&reason))),
            will_fail_by_reason: tally(failing),
            will_skip: count(|check| matches!(check, Check::Skip { .. })),
            windows: report.windows.iter().map(ZoneWindowsView::new).collect(),
            phases: report.phases.clone(),
            conflicts: report
                .conflicts
                .iter()
                .map(|conflict| ConflictView::new(state, conflict))
                .collect(),
            items: page.items,
            next: page.next,
        }
    }
}

pub(super) fn tally(words: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for word in words {
        *tally.entry(word).or_default() += 1;
    }
    tally
}

impl ZoneWindowsView {
    fn new(found: &ZoneWindows) -> Self {
        let span = |span: &Span| SpanView {
            from: rfc3339(span.from),
            from_ms: span.from.0,
            from_local: found.zone.local_time(span.from),
            until: span.until.map(rfc3339),
            until_ms: span.until.map(|at| at.0),
            until_local: span.until.map(|at| found.zone.local_time(at)),
        };
        Self {
            zone: found.zone.as_str().to_owned(),
            robots: found.robots,
            bad_labels: found.bad_labels,
            upcoming: found.upcoming.iter().map(span).collect(),
        }
    }
}

impl ConflictView {
    pub(super) fn new(state: &State, conflict: &Conflict) -> Self {
        let name = state
            .rollout(conflict.rollout)
            .map(|rollout| rollout.name.to_string());
        Self {
            rollout: conflict.rollout.0,
            name: name.unwrap_or_default(),
            superseded: conflict.superseded,
            in_progress: conflict.in_progress,
        }
    }
}

impl PlannedView {
    /// At most `limit` robots of the plan after `after`.
    pub(super) fn page(state: &State, plan: &Plan, after: Option<u32>, limit: usize) -> Page<Self> {
        let robots = &plan.robots;
        // The plan is in the order of the robots' numbers.
        let from =
            robots.partition_point(|robot| after.is_some_and(|after| robot.robot.0 <= after));
        let page: Vec<_> = robots.iter().skip(from).take(limit).collect();
        let more = from + page.len() < robots.len();
        let last = page.last().filter(|_| more);
        Page {
            next: last.map(|robot| robot.robot.0.to_string()),
            items: page
                .into_iter()
                .filter_map(|robot| Self::new(state, robot))
                .collect(),
        }
    }

    fn new(state: &State, planned: &PlannedRobot) -> Option<Self> {
        let robot = state.robot(planned.robot)?;
        let ecus = planned.ecus.iter().filter_map(|planned| {
            let ecu = robot.ecus.get(usize::from(planned.ecu))?;
            Some(PlannedEcuView {
                ecu: ecu.name.to_string(),
                hardware_id: ecu.hardware_id.to_string(),
                image: reference(state, planned.image),
                from: planned.from.clone(),
                already_current: planned.at_dispatch == Check::AlreadyCurrent,
                at_dispatch: planned.at_dispatch,
            })
        });
        Some(Self {
            robot: robot.id.to_string(),
            number: robot.key.0,
            skipped: planned.skipped,
            ecus: ecus.collect(),
        })
    }
}
