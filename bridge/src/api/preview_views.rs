//! What a rollout would do, as the API shows it.

use super::views::reference;
use rollcall_engine::{Check, Conflict, PlannedRobot, Preview, SkipReason, State};
use serde::{Deserialize, Serialize};

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
    pub conflicts: Vec<ConflictView>,
    pub items: Vec<PlannedView>,
    pub next: Option<String>,
}

/// Another rollout that has open targets on the same ECUs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct ConflictView {
    pub rollout: u32,
    pub superseded: usize,
    pub in_progress: usize,
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
    pub(super) fn new(state: &State, preview: &Preview, after: Option<u32>, limit: usize) -> Self {
        let robots = &preview.plan.robots;
        let affected = preview.plan.affected().count();
        let ecus = || robots.iter().flat_map(|robot| &robot.ecus);
        let count = |is: fn(&Check) -> bool| ecus().filter(|ecu| is(&ecu.at_dispatch)).count();
        // The plan is in the order of the robots' numbers.
        let from =
            robots.partition_point(|robot| after.is_some_and(|after| robot.robot.0 <= after));
        let page: Vec<_> = robots.iter().skip(from).take(limit).collect();
        let more = from + page.len() < robots.len();
        let next = page
            .last()
            .filter(|_| more)
            .map(|robot| robot.robot.0.to_string());
        Self {
            robots: robots.len(),
            affected_robots: affected,
            skipped_robots: robots.len() - affected,
            ecus: ecus().count(),
            already_current: count(|check| matches!(check, Check::AlreadyCurrent)),
            will_fail: count(|check| matches!(check, Check::Fail { .. })),
            lifted: count(|check| matches!(check, Check::Send { lifted: Some(_) })),
            conflicts: preview.conflicts.iter().map(ConflictView::new).collect(),
            items: page
                .into_iter()
                .filter_map(|robot| PlannedView::new(state, robot))
                .collect(),
            next,
        }
    }
}

impl ConflictView {
    const fn new(conflict: &Conflict) -> Self {
        Self {
            rollout: conflict.rollout.0,
            superseded: conflict.superseded,
            in_progress: conflict.in_progress,
        }
    }
}

impl PlannedView {
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
