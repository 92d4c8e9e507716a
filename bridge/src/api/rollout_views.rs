//! Rollouts as the API shows them: status, counts, and the words of other systems.

use super::course_views::{CourseView, PaceView, RunView, ScheduleView, TallyView};
use super::views::{rfc3339, word};
use rollcall_engine::{
    Completion, Counts, Mechanism, Rollout, RolloutStatus, Run, State, TargetSelection,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct RolloutView {
    pub id: u32,
    pub name: String,
    pub status: String,
    /// `null` unless it is launched and not completed.
    pub run: Option<RunView>,
    pub outcome: Option<Completion>,
    pub revision: u32,
    /// It updates one robot by hand.
    #[serde(default)]
    pub manual: bool,
    pub target: TargetSelection,
    pub images: BTreeMap<String, String>,
    pub mechanism: Mechanism,
    pub created: String,
    pub created_ms: u64,
    pub created_by: String,
    pub launched: Option<String>,
    pub launched_ms: Option<u64>,
    pub deadline: Option<String>,
    pub deadline_ms: Option<u64>,
    pub completed: Option<String>,
    pub completed_ms: Option<u64>,
    pub schedule: Option<ScheduleView>,
    /// Why it did not launch at its start time.
    pub missed_start: Option<String>,
    pub counts: Counts,
    /// `null` before the launch.
    pub tally: Option<TallyView>,
    /// `null` without a rate, and unless it is launched and not completed.
    pub rate_now: Option<PaceView>,
    /// `null` without phases, and before the launch.
    pub course: Option<CourseView>,
    pub projections: Projections,
}

/// A rollout's status in the words of other systems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct Projections {
    pub airbotics: String,
    pub edgehog: EdgehogCampaign,
}

/// Edgehog's words for a campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct EdgehogCampaign {
    pub status: String,
    pub outcome: Option<String>,
}

impl RolloutView {
    pub(super) fn new(state: &State, rollout: &Rollout) -> Self {
        let (launched, deadline, completed, outcome) = match rollout.status {
            RolloutStatus::Prepared => (None, None, None, None),
            RolloutStatus::Launched {
                launched, deadline, ..
            } => (Some(launched), Some(deadline), None, None),
            RolloutStatus::Completed {
                launched,
                completed,
                outcome,
                ..
            } => (Some(launched), None, Some(completed), Some(outcome)),
        };
        let images = rollout.images.iter().filter_map(|(hardware, key)| {
            Some((
                hardware.to_string(),
                state.image(*key)?.reference.to_string(),
            ))
        });
        Self {
            id: rollout.id.0,
            name: rollout.name.to_string(),
            status: rollout.word().to_owned(),
            run: RunView::new(rollout),
            outcome,
            revision: rollout.revision,
            manual: rollout.manual,
            target: rollout.target.clone(),
            images: images.collect(),
            mechanism: rollout.mechanism.clone(),
            created: rfc3339(rollout.created),
            created_ms: rollout.created.0,
            created_by: rollout.created_by.clone(),
            launched: launched.map(rfc3339),
            launched_ms: launched.map(|at| at.0),
            deadline: deadline.map(rfc3339),
            deadline_ms: deadline.map(|at| at.0),
            completed: completed.map(rfc3339),
            completed_ms: completed.map(|at| at.0),
            schedule: Some(ScheduleView::new(&rollout.mechanism.schedule)),
            missed_start: rollout.missed_start.clone(),
            counts: rollout.counts,
            tally: launched.map(|_| TallyView::new(&rollout.tally)),
            rate_now: PaceView::new(rollout, state.now()),
            course: CourseView::new(rollout, state.now()),
            projections: Projections {
                airbotics: word(&rollout.status.airbotics()),
                edgehog: EdgehogCampaign::new(&rollout.status, rollout.counts.in_progress > 0),
            },
        }
    }
}

impl EdgehogCampaign {
    fn new(status: &RolloutStatus, busy: bool) -> Self {
        let (status, outcome) = match status {
            RolloutStatus::Prepared => ("idle", None),
            RolloutStatus::Launched {
                run: Run::Running | Run::Ending { .. },
                ..
            } => ("in_progress", None),
            // Edgehog: pausing while robots are busy.
            RolloutStatus::Launched { .. } if busy => ("pausing", None),
            RolloutStatus::Launched { .. } => ("paused", None),
            RolloutStatus::Completed {
                outcome: Completion::Success | Completion::Partial,
                ..
            } => ("finished", Some("success")),
            RolloutStatus::Completed { .. } => ("finished", Some("failure")),
        };
        Self {
            status: status.to_owned(),
            outcome: outcome.map(str::to_owned),
        }
    }
}
