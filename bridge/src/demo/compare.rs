//! What the server believes against what the robots really did.

use super::process::{Report, RobotReport};
use crate::writer::View;
use rollcall_engine::{Robot, RolloutId, SuccessKind, Target, TargetState};
use std::collections::BTreeMap;

/// Differences that are told; the rest is counted.
const MAX_TOLD: usize = 10;

/// The result of the comparison.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Targets that were compared.
    pub(super) compared: usize,
    /// Where server and robots disagree, the first few in words.
    pub(super) differences: Vec<String>,
    /// Failed targets by the server's reason.
    pub(super) reasons: BTreeMap<String, usize>,
}

impl Verdict {
    fn differ(&mut self, text: impl FnOnce() -> String) {
        if self.differences.len() < MAX_TOLD {
            self.differences.push(text());
        }
    }
}

/// Compares every robot of the rollout.
pub(super) fn compare(view: &View<'_>, id: RolloutId, report: &Report) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(rollout) = view.state.rollout(id) else {
        return verdict;
    };
    let truth: BTreeMap<_, _> = report
        .fleet
        .iter()
        .map(|robot| (robot.id.as_str(), robot))
        .collect();
    for (key, member) in rollout.members.iter() {
        let Some(robot) = view.state.robot(key) else {
            continue;
        };
        let Some(real) = truth.get(robot.id.as_str()) else {
            verdict.differ(|| format!("{}: the fleet knows no such robot", robot.id));
            continue;
        };
        for violation in &real.violations {
            verdict.differ(|| format!("{}: {violation}", robot.id));
        }
        if member.targets.is_empty() && !real.operations.is_empty() {
            verdict.differ(|| format!("{}: skipped, yet it was asked to update", robot.id));
        }
        for target in &member.targets {
            verdict.compared += 1;
            compare_target(view, robot, target, real, &mut verdict);
        }
    }
    verdict
}

fn compare_target(
    view: &View<'_>,
    robot: &Robot,
    target: &Target,
    real: &RobotReport,
    verdict: &mut Verdict,
) {
    let (Some(ecu), Some(image)) = (
        robot.ecus.get(usize::from(target.ecu)),
        view.state.image(target.image),
    ) else {
        return;
    };
    let runs_it = real.ecus.iter().any(|other| {
        other.name == ecu.name.as_str()
            && other.image.name == image.reference.name.as_str()
            && other.image.version == image.reference.version.as_str()
    });
    let last = real
        .operations
        .iter()
        .rev()
        .find(|operation| operation.ecu == ecu.name.as_str());
    let really = last
        .and_then(|operation| operation.outcome.as_ref())
        .map(ToString::to_string);
    let agree = match target.state {
        TargetState::Succeeded {
            how: SuccessKind::Installed,
        } => runs_it && really.as_deref() == Some("\"installed\""),
        TargetState::Succeeded {
            how: SuccessKind::AlreadyCurrent,
        } => runs_it && really.is_none(),
        _ => !runs_it && really.as_deref() != Some("\"installed\""),
    };
    if !agree {
        verdict.differ(|| {
            let really = really.as_deref().unwrap_or("nothing");
            format!(
                "{} {}: the server says {:?}, the robot did {really}",
                robot.id, ecu.name, target.state
            )
        });
    }
    if let TargetState::Failed { reason } = target.state {
        *verdict.reasons.entry(format!("{reason:?}")).or_default() += 1;
    } else if target.state == TargetState::RolledBack {
        *verdict.reasons.entry("RolledBack".to_owned()).or_default() += 1;
    }
}
