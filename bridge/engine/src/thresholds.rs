//! Thresholds: when so many robots have failed that a rollout ends, or pauses.
//!
//! They are looked at after every change and before anybody else is told, so that they act at the first moment at which
//! they hold.

use crate::mechanism::ThresholdAction;
use crate::rollout::{EndReason, PauseReason, Rollout, RolloutId, Run};
use crate::state::{Changes, State};

/// What a threshold that is passed asks for.
enum Act {
    End(EndReason),
    Pause(PauseReason),
}

impl State {
    /// Ends or pauses the rollout if a threshold is passed. One that ends it is stronger than one that pauses it.
    pub(crate) fn watch_thresholds(&mut self, id: RolloutId, changes: &mut Changes) {
        while let Some(act) = self.rollouts.get(&id).and_then(passed) {
            match act {
                Act::End(why) => self.end_rollout(id, why, changes),
                Act::Pause(why) => {
                    let since = self.now;
                    self.set_run(id, Run::Paused { since, why }, changes);
                }
            }
        }
    }
}

fn passed(rollout: &Rollout) -> Option<Act> {
    let run = rollout.run()?;
    let failed = rollout.tally.failed;
    // What an operator has seen, and resumed after, acts again with the next failure only.
    if matches!(run, Run::Ending { .. }) || failed <= rollout.course.excused {
        return None;
    }
    let mechanism = &rollout.mechanism;
    let max = mechanism.max_failure_percentage;
    if max.is_some_and(|max| max.is_exceeded_by(failed, rollout.affected())) {
        return Some(Act::End(EndReason::MaxFailures));
    }
    // A rollout that does not run is not paused again.
    let may_pause = matches!(run, Run::Running);
    let wanted = |action| action == ThresholdAction::Abort || may_pause;
    let tried = rollout.tally.tried;
    for (number, rule) in (0_u16..).zip(&mechanism.abort) {
        let reached = tried >= rule.min_tried
            && rule
                .percentage
                .is_reached_by(rollout.tally.kind(rule.kind), tried);
        if reached && wanted(rule.action) {
            return Some(match rule.action {
                ThresholdAction::Abort => Act::End(EndReason::Failures { rule: number }),
                ThresholdAction::Pause => Act::Pause(PauseReason::Failures { rule: number }),
            });
        }
    }
    for (number, (phase, tally)) in
        (0_u16..).zip(mechanism.phases.iter().zip(&rollout.tally.phases))
    {
        let exceeded = phase
            .error_threshold
            .is_some_and(|most| most.is_exceeded_by(tally.failed, tally.robots));
        if exceeded && wanted(phase.on_error) {
            return Some(match phase.on_error {
                ThresholdAction::Abort => Act::End(EndReason::PhaseErrors { phase: number }),
                ThresholdAction::Pause => Act::Pause(PauseReason::PhaseErrors { phase: number }),
            });
        }
    }
    None
}
