//! People who use the whole of a mechanism, and every command that a launched rollout takes.

use super::dice::Dice;
use super::scenario::{MINUTE, SECOND};
use rollcall_engine::{
    AbortRule, Command, Counting, Factor, FailureClass, FailureKind, Growth, Mechanism,
    OfflinePolicy, OnVersionMismatch, Percent, Phase, PhaseSize, Rate, Retry, Rollout, RolloutEdit,
    RolloutId, State, ThresholdAction,
};

fn percent(hundredths: u16) -> Percent {
    Percent::hundredths(hundredths).unwrap_or(Percent::ALL)
}

fn share(dice: &mut Dice) -> Percent {
    percent(*dice.pick(&[1, 1_000, 2_500, 3_333, 5_000, 10_000]))
}

fn action(dice: &mut Dice) -> ThresholdAction {
    *dice.pick(&[ThresholdAction::Abort, ThresholdAction::Pause])
}

fn small(dice: &mut Dice, low: u64, high: u64) -> u32 {
    u32::try_from(dice.within(low, high)).unwrap_or(1)
}

fn rate(dice: &mut Dice) -> Rate {
    let per_minute = small(dice, 1, 6);
    let growth = dice.chance(50).then(|| Growth {
        factor: Factor::tenths(u8::try_from(dice.within(11, 50)).unwrap_or(11)),
        every: small(dice, 1, 3),
        counting: *dice.pick(&[Counting::Told, Counting::Succeeded]),
        max_per_minute: per_minute + small(dice, 0, 30),
    });
    Rate { per_minute, growth }
}

fn retries(dice: &mut Dice) -> Vec<Retry> {
    let classes = [
        FailureClass::Network,
        FailureClass::Storage,
        FailureClass::Busy,
        FailureClass::Verify,
        FailureClass::Timeout,
    ];
    let some = dice.some(&classes, 50).into_iter();
    some.map(|class| {
        let backoff = dice.within(0, 2 * MINUTE);
        Retry {
            class,
            times: u8::try_from(dice.within(1, 3)).unwrap_or(1),
            backoff,
            max_backoff: backoff + dice.within(0, 5 * MINUTE),
        }
    })
    .collect()
}

fn abort(dice: &mut Dice) -> Vec<AbortRule> {
    let kinds = [
        FailureKind::All,
        FailureKind::Failed,
        FailureKind::Rejected,
        FailureKind::TimedOut,
        FailureKind::RolledBack,
    ];
    let some = dice.some(&kinds, 20).into_iter();
    some.map(|kind| {
        let percentage = share(dice);
        AbortRule {
            kind,
            percentage,
            min_tried: small(dice, 1, 4),
            action: action(dice),
        }
    })
    .collect()
}

fn phases(dice: &mut Dice) -> Vec<Phase> {
    let sizes = match dice.within(0, 2) {
        0 => vec![PhaseSize::Robots(1), PhaseSize::Rest],
        1 => [3_333, 3_333, 3_334]
            .map(|part| PhaseSize::Percentage(percent(part)))
            .to_vec(),
        _ => vec![
            PhaseSize::Robots(small(dice, 1, 3)),
            PhaseSize::Percentage(share(dice)),
            PhaseSize::Rest,
        ],
    };
    let phase = |size| Phase {
        size,
        success_threshold: share(dice),
        soak: *dice.pick(&[0, 0, 1_023, 3 * MINUTE]),
        approval: dice.chance(30),
        error_threshold: dice.chance(30).then(|| share(dice)),
        on_error: action(dice),
    };
    let mut phases: Vec<_> = sizes.into_iter().map(phase).collect();
    if let Some(last) = phases.last_mut() {
        (last.soak, last.approval) = (0, false);
    }
    phases
}

/// Gives a plain mechanism more rules, each sometimes, so that each is also seen alone.
pub(super) fn mechanism(dice: &mut Dice, plain: Mechanism) -> Mechanism {
    Mechanism {
        rate: dice.chance(30).then(|| rate(dice)),
        on_version_mismatch: *dice.pick(&[OnVersionMismatch::Fail, OnVersionMismatch::Skip]),
        retries: if dice.chance(60) {
            retries(dice)
        } else {
            Vec::new()
        },
        max_failure_percentage: dice.chance(25).then(|| share(dice)),
        abort: if dice.chance(40) {
            abort(dice)
        } else {
            Vec::new()
        },
        offline: match dice.chance(25) {
            true => OfflinePolicy::Fail {
                grace: dice.within(0, 10 * MINUTE),
            },
            false => OfflinePolicy::Wait,
        },
        phases: if dice.chance(40) {
            phases(dice)
        } else {
            Vec::new()
        },
        ..plain
    }
}

/// What people do to a rollout that is launched.
pub(super) fn control(dice: &mut Dice, state: &State) -> Option<Command> {
    let launched: Vec<&Rollout> = state.rollouts().filter(|r| r.is_launched()).collect();
    if launched.is_empty() {
        return None;
    }
    let chosen = *dice.pick(&launched);
    let rollout = chosen.id;
    Some(
        match (chosen.run().map(|run| run.word()), dice.within(0, 9)) {
            (Some("paused"), 0..=3) => Command::ApprovePhase {
                rollout,
                phase: dice.chance(50).then_some(chosen.course.phase),
            },
            (Some("paused" | "stopped"), 0..=6) => Command::ResumeRollout { rollout },
            (_, 0 | 1) => Command::PauseRollout { rollout },
            (_, 2 | 3) => Command::StopRollout { rollout },
            (_, 4) => Command::CancelRollout { rollout },
            (_, 5) => Command::ApprovePhase {
                rollout,
                phase: None,
            },
            _ => edit(dice, rollout),
        },
    )
}

fn edit(dice: &mut Dice, rollout: RolloutId) -> Command {
    let edit = RolloutEdit {
        revision: dice.chance(20).then(|| small(dice, 1, 3)),
        max_in_progress: dice.chance(60).then(|| *dice.pick(&[1, 1, 2, 5, 50])),
        rate: dice.chance(50).then(|| dice.chance(80).then(|| rate(dice))),
        deadline: dice.chance(20).then(|| dice.within(SECOND, 200 * MINUTE)),
        ..RolloutEdit::default()
    };
    Command::EditRollout {
        rollout,
        edit: Box::new(edit),
    }
}
