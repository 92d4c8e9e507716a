//! A reference model, written as naively as possible, agrees with the engine on random operations.
//!
//! A failure prints the few operations that lead to it. `ROLLCALL_LONG=1` plays a hundred times as many lives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and what they print is shown when they fail"
)]

mod reference;

use proptest::test_runner::{Config, TestCaseError, TestRng, TestRunner};
use reference::{Op, Seen, ops, play};
use rollcall_engine::{
    AbortRule, FailureKind, Mechanism, OfflinePolicy, Percent, Phase, PhaseSize, ThresholdAction,
};
use std::cell::RefCell;

/// Lives per test.
const LIVES: u32 = 1_500;
const LONG: u32 = 30_000;

#[test]
fn a_naive_model_agrees_with_the_engine() {
    let long = std::env::var_os("ROLLCALL_LONG").is_some();
    let config = Config {
        cases: if long { LONG } else { LIVES },
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    // The same lives every time: what fails here fails for everybody.
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let seen = RefCell::new(Seen::new());
    let result = runner.run(&ops(), |ops| {
        let of_life = play(&ops).map_err(TestCaseError::fail)?;
        for (what, count) in of_life {
            *seen.borrow_mut().entry(what).or_default() += count;
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    println!("{:#?}", seen.borrow());
    for what in SEEN {
        let seen = seen.borrow();
        assert!(seen.contains_key(what), "no life had {what:?}");
    }
}

/// What must come about in some life: a model that never meets trouble proves nothing.
const SEEN: [&str; 36] = [
    "running",
    "stopped",
    "Operator",
    "Failures",
    "PhaseErrors",
    "PhaseMissed",
    "Approval",
    "ending Operator",
    "ending MaxFailures",
    "ending Failures",
    "retry",
    "Completed(Success)",
    "Completed(Partial)",
    "Completed(Failure)",
    "Completed(Cancelled)",
    "Completed(Expired)",
    "RolledBack",
    "resume true",
    "approve true",
    "stop true",
    "edit true",
    "cancel operation true",
    "restart true",
    "Failed  reason: Offline ",
    "missed start",
    "joined",
    "mark true",
    "manual true",
    "manual false",
    "promise the end",
    "promise launch",
    "promise phase",
    "promise retry",
    "promise window",
    "promise rate",
    "promise offline",
];

fn phases(error_threshold: Option<Percent>) -> Vec<Phase> {
    let phase = |size| Phase {
        size,
        success_threshold: Percent::hundredths(1).unwrap(),
        soak: 0,
        approval: false,
        error_threshold,
        on_error: ThresholdAction::Abort,
    };
    vec![phase(PhaseSize::Robots(1)), phase(PhaseSize::Rest)]
}

fn create(whom: u8, image: u8, phases: Vec<Phase>, launch: bool) -> Op {
    let mechanism = Mechanism {
        max_in_progress: 1,
        phases,
        ..Mechanism::default()
    };
    Op::Create {
        whom,
        image,
        mechanism: Box::new(mechanism),
        schedule: (None, None),
        launch,
    }
}

fn arrive(robot: usize, all: bool) -> Op {
    Op::Arrive {
        robot,
        restarted: false,
        all,
    }
}

#[test]
fn x20_a_launch_takes_everything_over_before_the_older_rollout_goes_on() {
    let ops = [
        create(1, 0, Vec::new(), false),
        create(1, 0, Vec::new(), false),
        arrive(3, true),
        create(14, 0, phases(None), true),
        create(12, 0, Vec::new(), true),
    ];
    play(&ops).unwrap();
}

#[test]
fn a_threshold_that_ends_a_rollout_is_stronger_than_one_that_pauses_it() {
    let mut ops = vec![arrive(0, false), Op::Wait(11_000)];
    let mut rollout = create(15, 0, phases(Percent::hundredths(1)), true);
    if let Op::Create { mechanism, .. } = &mut rollout {
        let pause = AbortRule {
            kind: FailureKind::All,
            percentage: Percent::hundredths(1).unwrap(),
            min_tried: 1,
            action: ThresholdAction::Pause,
        };
        mechanism.abort = vec![pause];
    }
    ops.extend([
        rollout,
        arrive(1, false),
        arrive(2, false),
        arrive(3, false),
    ]);
    ops.push(Op::Wait(11_000));
    let seen = play(&ops).unwrap();
    let aborted = "Cancelled  reason: RolloutAborted ";
    assert!(seen.contains_key(aborted), "{seen:#?}");
}

#[test]
fn what_is_overdue_waits_for_the_reports_under_way_and_no_longer() {
    let ops = [
        create(15, 1, Vec::new(), true),
        arrive(1, true),
        Op::Says { robot: 1, what: 60 },
        // Fifteen minutes for a confirmation; the robot is back shortly before their end.
        Op::Wait(15 * 60_000 - 4_000),
        arrive(1, false),
        Op::Wait(5_000),
        arrive(1, true),
        Op::Wait(0),
    ];
    let seen = play(&ops).unwrap();
    assert!(
        seen.contains_key("Failed  reason: NotConfirmed "),
        "{seen:#?}"
    );
}

#[test]
fn a_tag_does_not_take_away_patience_that_began_with_a_window() {
    let mut rollout = create(15, 6, Vec::new(), true);
    if let Op::Create { mechanism, .. } = &mut rollout {
        let windows = r#"{"windows": [{"opens": "0 * * * *", "minutes": 5}]}"#;
        mechanism.windows = serde_json::from_str(windows).ok();
        mechanism.offline = OfflinePolicy::Fail { grace: 2_029 };
    }
    let beta = Some(false);
    let ops = [
        create(15, 0, Vec::new(), false),
        rollout,
        Op::Wait(59_000),
        Op::Mark { robot: 1, beta },
        Op::Wait(3_000),
    ];
    let seen = play(&ops).unwrap();
    assert!(seen.contains_key("Failed  reason: Offline "), "{seen:#?}");
}
