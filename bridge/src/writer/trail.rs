//! What the log says of rollouts and robots. Spans carry their ids, so that the operator can follow one of them
//! (`docs/operators-guide.md`). What nobody asked for costs a look at a flag: no span, no words.

use rollcall_engine::{Robot, RobotKey, RolloutId, RolloutStatus, Row, Run, State, Target};
use std::collections::BTreeMap;
use std::fmt::Debug;
use tracing::level_filters::LevelFilter;
use tracing::span::EnteredSpan;

/// Where each rollout was when the log last spoke of it.
#[derive(Debug)]
pub(super) struct Trail(BTreeMap<RolloutId, &'static str>);

impl Trail {
    /// The log has no need to tell what was so before the server began.
    pub(super) fn of(state: &State) -> Self {
        let rollouts = state.rollouts();
        Self(
            rollouts
                .map(|rollout| (rollout.id, rollout.word()))
                .collect(),
        )
    }

    /// Says which of these rollouts have moved on.
    pub(super) fn follow(&mut self, state: &State, touched: impl Iterator<Item = RolloutId>) {
        for id in touched {
            let Some(found) = state.rollout(id) else {
                if let Some(was) = self.0.remove(&id) {
                    tracing::info!(rollout_id = id.0, was, "a rollout was deleted");
                }
                continue;
            };
            let now = found.word();
            let was = self.0.insert(id, now);
            if was != Some(now) {
                let _rollout = rollout(id);
                tracing::info!(
                    rollout_id = id.0,
                    name = %found.name,
                    robots = found.members.len(),
                    was,
                    now,
                    why = reason(&found.status).map(tracing::field::debug),
                    "a rollout has moved on"
                );
            }
        }
    }
}

fn reason(status: &RolloutStatus) -> Option<&dyn Debug> {
    match status {
        RolloutStatus::Prepared => None,
        RolloutStatus::Launched { run, .. } => match run {
            Run::Running | Run::Stopped { .. } => None,
            Run::Paused { why, .. } => Some(why),
            Run::Ending { why, .. } => Some(why),
        },
        RolloutStatus::Completed { why: Some(why), .. } => Some(why),
        RolloutStatus::Completed { outcome, .. } => Some(outcome),
    }
}

/// What happens until the value is dropped concerns this rollout.
pub(super) fn rollout(id: RolloutId) -> EnteredSpan {
    tracing::trace_span!("rollout", rollout_id = id.0).entered()
}

/// What happens until the value is dropped concerns this robot.
pub(super) fn robot(state: &State, key: RobotKey) -> EnteredSpan {
    tracing::trace_span!("robot", robot_id = state.robot(key).map(id)).entered()
}

fn id(robot: &Robot) -> &str {
    robot.id.as_str()
}

/// Says where the members of rollouts are that an input has touched.
pub(super) fn steps(state: &State, touched: &[Row]) {
    // Whoever follows one rollout or robot lets this through, and the spans below decide.
    if LevelFilter::current() < LevelFilter::TRACE {
        return;
    }
    for row in touched {
        if let Row::Member(id, key) = row
            && let Some(found) = state.rollout(*id)
            && let Some(member) = found.members.get(key)
        {
            let _rollout = rollout(*id);
            let _robot = robot(state, *key);
            let targets: Vec<_> = member.targets.iter().map(summary).collect();
            tracing::trace!(?targets, "step");
        }
    }
}

fn summary(target: &Target) -> (u8, u16, rollcall_engine::TargetState) {
    (target.ecu, target.attempt, target.state)
}
