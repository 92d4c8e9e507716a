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
        while let Some(act) = self.rollouts.get(&id).and_then(watched) {
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

impl Rollout {
    /// Failed robots that the operator who lets it run again has seen, if they would pause it at once.
    pub(crate) fn to_excuse(&self) -> Option<u32> {
        let pauses = matches!(passed(self, true), Some(Act::Pause(_)));
        pauses.then_some(self.tally.failed)
    }
}

fn watched(rollout: &Rollout) -> Option<Act> {
    let run = rollout.run()?;
    if matches!(run, Run::Ending { .. }) {
        return None;
    }
    // A rollout that does not run is not paused again. What an operator has seen, and resumed after, pauses it again with
    // the next failure only.
    let may_pause = matches!(run, Run::Running) && rollout.tally.failed > rollout.course.excused;
    passed(rollout, may_pause)
}

fn passed(rollout: &Rollout, may_pause: bool) -> Option<Act> {
    let mechanism = &rollout.mechanism;
    let failed = rollout.tally.failed;
    let max = mechanism.max_failure_percentage;
    if max.is_some_and(|max| max.is_exceeded_by(failed, rollout.affected())) {
        return Some(Act::End(EndReason::MaxFailures));
    }
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
