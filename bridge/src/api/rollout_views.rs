//! Rollouts as the API shows them: status, counts, each robot's part, and the words of other systems.

use super::views::{CancellingView, rfc3339, word};
use crate::artifacts::Tally;
use rollcall_engine::{
    Check, Completion, Conflict, Counts, Mechanism, Member, PlannedRobot, Preview, Robot,
    RobotProgress, Rollout, RolloutId, RolloutStatus, Run, SkipReason, State, Target,
    TargetSelection, TargetState, Why,
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
    pub outcome: Option<Completion>,
    pub revision: u32,
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
    pub counts: Counts,
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

/// A robot in a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct MemberView {
    pub robot: String,
    pub number: u32,
    /// `null` before the launch.
    pub progress: Option<RobotProgress>,
    pub skipped: Option<SkipReason>,
    pub airbotics: String,
    pub ecus: Vec<TargetView>,
}

/// An ECU in a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct TargetView {
    pub ecu: String,
    pub hardware_id: String,
    pub image: String,
    #[serde(flatten)]
    pub state: TargetState,
    pub since: String,
    pub since_ms: u64,
    pub attempt: u16,
    pub operation: Option<String>,
    pub waits_for: Option<String>,
    pub until: Option<String>,
    pub until_ms: Option<u64>,
    pub detail: Option<String>,
    pub airbotics: Option<String>,
    pub edgehog_operation: Option<String>,
    pub edgehog_target: Option<String>,
}

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

/// Where one ECU stands, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct WhyView {
    /// `null` when the whole robot is skipped.
    pub ecu: Option<String>,
    #[serde(flatten)]
    pub state: TargetState,
    pub waits_for: Option<serde_json::Value>,
    /// The same for people.
    pub waits_for_text: Option<String>,
    pub since: String,
    pub since_ms: u64,
    pub until: Option<String>,
    pub until_ms: Option<u64>,
    pub then: String,
    pub remedy: String,
    pub at_dispatch: Option<Check>,
    pub detail: Option<String>,
    pub operation: Option<String>,
    /// What was downloaded for the operation since the server started.
    pub downloads: Option<Tally>,
    /// An operator wants it cancelled.
    #[serde(default)]
    pub cancelling: Option<CancellingView>,
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
            outcome,
            revision: rollout.revision,
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
            counts: rollout.counts,
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

impl MemberView {
    pub(super) fn new(state: &State, rollout: &Rollout, robot: &Robot, member: &Member) -> Self {
        let targets = member.targets.iter().enumerate();
        Self {
            robot: robot.id.to_string(),
            number: robot.key.0,
            progress: Some(member.progress()),
            skipped: member.skipped,
            airbotics: word(&member.airbotics()),
            ecus: targets
                .map(|(index, target)| TargetView::new(state, rollout.id, robot, index, target))
                .collect(),
        }
    }

    /// The robot's part before the launch: what the plan says.
    pub(super) fn planned(rollout: &Rollout, planned: &PlannedView) -> Self {
        let airbotics = if planned.skipped.is_some() {
            "Skipped"
        } else {
            "Pending"
        };
        Self {
            robot: planned.robot.clone(),
            number: planned.number,
            progress: planned.skipped.map(|_| RobotProgress::Skipped),
            skipped: planned.skipped,
            airbotics: airbotics.to_owned(),
            ecus: planned
                .ecus
                .iter()
                .map(|ecu| TargetView::planned(rollout, ecu))
                .collect(),
        }
    }
}

impl TargetView {
    fn new(state: &State, id: RolloutId, robot: &Robot, index: usize, target: &Target) -> Self {
        let ecu = robot.ecus.get(usize::from(target.ecu));
        let operation = ecu.filter(|_| target.attempt > 0).map(|ecu| {
            rollcall_engine::operation_id(id, robot.key, &ecu.name, target.attempt).to_string()
        });
        let waits_for = (target.state == TargetState::Pending)
            .then(|| state.wait_reason(id, robot, index))
            .flatten();
        Self {
            ecu: ecu.map(|ecu| ecu.name.to_string()).unwrap_or_default(),
            hardware_id: ecu
                .map(|ecu| ecu.hardware_id.to_string())
                .unwrap_or_default(),
            image: reference(state, target.image),
            state: target.state,
            since: rfc3339(target.since),
            since_ms: target.since.0,
            attempt: target.attempt,
            operation,
            waits_for: waits_for.map(|reason| reason.to_string()),
            until: target.deadline.map(rfc3339),
            until_ms: target.deadline.map(|at| at.0),
            detail: target.detail.as_deref().map(str::to_owned),
            airbotics: target.airbotics().as_ref().map(word),
            edgehog_operation: target.edgehog_operation().as_ref().map(word),
            edgehog_target: target.edgehog_target().as_ref().map(word),
        }
    }

    fn planned(rollout: &Rollout, ecu: &PlannedEcuView) -> Self {
        Self {
            ecu: ecu.ecu.clone(),
            hardware_id: ecu.hardware_id.clone(),
            image: ecu.image.clone(),
            state: TargetState::Pending,
            since: rfc3339(rollout.created),
            since_ms: rollout.created.0,
            attempt: 0,
            operation: None,
            waits_for: Some("launch".to_owned()),
            until: None,
            until_ms: None,
            detail: None,
            airbotics: None,
            edgehog_operation: None,
            edgehog_target: None,
        }
    }
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

impl From<Why> for WhyView {
    fn from(why: Why) -> Self {
        Self {
            ecu: why.ecu.map(|ecu| ecu.to_string()),
            state: why.state,
            waits_for: why
                .waits_for
                .as_ref()
                .and_then(|reason| serde_json::to_value(reason).ok()),
            waits_for_text: why.waits_for.map(|reason| reason.to_string()),
            since: rfc3339(why.since),
            since_ms: why.since.0,
            until: why.until.map(rfc3339),
            until_ms: why.until.map(|at| at.0),
            then: why.then.to_owned(),
            remedy: why.remedy.to_owned(),
            at_dispatch: why.at_dispatch,
            detail: why.detail,
            operation: None,
            downloads: None,
            cancelling: why.cancelling.as_ref().map(CancellingView::from),
        }
    }
}

fn reference(state: &State, image: rollcall_engine::ImageKey) -> String {
    state
        .image(image)
        .map(|image| image.reference.to_string())
        .unwrap_or_default()
}
