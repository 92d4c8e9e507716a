//! Robots and ECUs in a rollout as the API shows them: where each one is, and why.

use super::preview_views::{PlannedEcuView, PlannedView};
use super::views::{CancellingView, reference, rfc3339, word};
use super::wait_views::wait_view;
use crate::artifacts::Tally;
use rollcall_engine::{
    Check, FailureClass, FailureReason, Member, Retrying, Robot, RobotProgress, Rollout, RolloutId,
    SkipReason, State, Target, TargetState, Why,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A robot in a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct MemberView {
    pub robot: String,
    pub number: u32,
    /// `null` before the launch.
    pub progress: Option<RobotProgress>,
    pub skipped: Option<SkipReason>,
    /// From 1; `null` before the launch, and in rollouts without phases.
    pub phase: Option<u16>,
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
    pub retry: Option<RetryView>,
    pub cancelling: Option<CancellingView>,
    /// What rapyuta.io calls the failure.
    pub code: Option<String>,
    pub airbotics: Option<String>,
    pub edgehog_operation: Option<String>,
    pub edgehog_target: Option<String>,
}

/// What went wrong before, and how often it was tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct RetryView {
    pub failure: FailureReason,
    /// When it is tried again, while it waits for that.
    pub at: Option<String>,
    pub at_ms: Option<u64>,
    /// Retries by class of failure.
    pub used: BTreeMap<String, u8>,
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
    /// Since when it waits for that.
    #[serde(default)]
    pub waits_since: Option<String>,
    #[serde(default)]
    pub waits_since_ms: Option<u64>,
    pub until: Option<String>,
    pub until_ms: Option<u64>,
    pub then: String,
    pub remedy: String,
    pub at_dispatch: Option<Check>,
    pub detail: Option<String>,
    /// What rapyuta.io calls the failure.
    #[serde(default)]
    pub code: Option<String>,
    #[serde(default)]
    pub code_text: Option<String>,
    pub operation: Option<String>,
    /// What was downloaded for the operation since the server started.
    pub downloads: Option<Tally>,
    /// An operator wants it cancelled.
    #[serde(default)]
    pub cancelling: Option<CancellingView>,
}

impl MemberView {
    pub(super) fn new(state: &State, rollout: &Rollout, robot: &Robot, member: &Member) -> Self {
        let targets = member.targets.iter().enumerate();
        Self {
            robot: robot.id.to_string(),
            number: robot.key.0,
            progress: Some(member.progress()),
            skipped: member.skipped,
            phase: (!rollout.mechanism.phases.is_empty()).then_some(member.phase + 1),
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
            phase: None,
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
            retry: target
                .retry
                .as_deref()
                .map(|retry| RetryView::new(retry, target)),
            cancelling: target
                .cancelling
                .as_deref()
                .filter(|_| target.state.is_active())
                .map(CancellingView::from),
            code: target
                .state
                .deployment_error()
                .map(|error| error.code.to_owned()),
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
            retry: None,
            cancelling: None,
            code: None,
            airbotics: None,
            edgehog_operation: None,
            edgehog_target: None,
        }
    }
}

impl RetryView {
    fn new(retry: &Retrying, target: &Target) -> Self {
        const CLASSES: [FailureClass; 5] = [
            FailureClass::Network,
            FailureClass::Storage,
            FailureClass::Busy,
            FailureClass::Verify,
            FailureClass::Timeout,
        ];
        let at = target.retry_at();
        let used = CLASSES.into_iter().zip(retry.used);
        Self {
            failure: retry.failure,
            at: at.map(rfc3339),
            at_ms: at.map(|at| at.0),
            used: used
                .filter(|(_, used)| *used > 0)
                .map(|(class, used)| (class.word().to_owned(), used))
                .collect(),
        }
    }
}

impl From<Why> for WhyView {
    fn from(why: Why) -> Self {
        let error = why.state.deployment_error();
        Self {
            ecu: why.ecu.map(|ecu| ecu.to_string()),
            state: why.state,
            waits_for: why.waits_for.as_ref().map(wait_view),
            waits_for_text: why.waits_for.map(|reason| reason.to_string()),
            since: rfc3339(why.since),
            since_ms: why.since.0,
            waits_since: why.waits_since.map(rfc3339),
            waits_since_ms: why.waits_since.map(|at| at.0),
            until: why.until.map(rfc3339),
            until_ms: why.until.map(|at| at.0),
            then: why.then.to_owned(),
            remedy: why.remedy.to_owned(),
            at_dispatch: why.at_dispatch,
            detail: why.detail,
            code: error.map(|error| error.code.to_owned()),
            code_text: error.map(|error| error.meaning.to_owned()),
            operation: None,
            downloads: None,
            cancelling: why.cancelling.as_ref().map(CancellingView::from),
        }
    }
}
