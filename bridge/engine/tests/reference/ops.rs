//! What can happen, small enough to be read when it fails.

use proptest::prelude::*;
use rollcall_engine::{
    AbortRule, Counting, Factor, FailureClass, FailureKind, GroupName, Growth, Mechanism,
    OfflinePolicy, OnFailure, Percent, Phase, PhaseSize, Rate, Retry, ThresholdAction, Windows,
};

const SECOND: u64 = 1_000;

/// One thing that happens. Robots, rollouts and ECUs are taken modulo what there is.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// A robot connects, and says what all of its ECUs run, or of none.
    Arrive {
        /// Which.
        robot: usize,
        /// In a new process.
        restarted: bool,
        /// Of all.
        all: bool,
    },
    /// A robot is gone.
    Leave {
        /// Which.
        robot: usize,
    },
    /// A robot says how far its operation is.
    Says {
        /// Which.
        robot: usize,
        /// What, of a list.
        what: usize,
    },
    /// A robot reports what its operation brought.
    Installs {
        /// Which.
        robot: usize,
        /// Whether the image runs.
        honest: bool,
    },
    /// People create a rollout.
    Create {
        /// Whom, a bit each; beyond 15 a board, a tag, a group.
        whom: u8,
        /// Which image, of a list.
        image: u8,
        /// How.
        mechanism: Box<Mechanism>,
        /// When it starts and ends by itself, in milliseconds from now.
        schedule: (Option<u64>, Option<u64>),
        /// And launch it.
        launch: bool,
    },
    /// People launch, pause, resume, approve, stop or cancel a rollout.
    Control {
        /// Which.
        rollout: usize,
        /// What, of a list.
        what: usize,
    },
    /// People change the pace of a rollout.
    Edit {
        /// Which.
        rollout: usize,
        /// The cap.
        cap: Option<u32>,
        /// The rate.
        rate: Option<Option<Rate>>,
        /// The deadline, in milliseconds.
        deadline: Option<u64>,
    },
    /// People cancel what a robot does.
    CancelOperation {
        /// Which.
        robot: usize,
        /// And what it waits for.
        all: bool,
    },
    /// People put a tag on a robot or take it off, or put it into a group.
    Mark {
        /// Which.
        robot: usize,
        /// `Some`: the tag, on or off; `None`: the group.
        beta: Option<bool>,
    },
    /// People update one ECU of a robot by hand.
    Manual {
        /// Which robot, and which of its ECUs.
        place: (usize, usize),
        /// An image for which of the boards, and its version.
        image: (usize, u8),
        /// Whether they type its id right.
        typed: bool,
        /// The patience with it while it is offline, and the deadline, in milliseconds.
        spans: (Option<u64>, Option<u64>),
    },
    /// People remove a robot.
    Remove {
        /// Which.
        robot: usize,
    },
    /// The server is away for so many milliseconds.
    Away(u64),
    /// So many milliseconds pass.
    Wait(u64),
}

fn rate() -> impl Strategy<Value = Rate> {
    let growth = (11..=50_u8, 1..=2_u32, any::<bool>()).prop_map(|(tenths, every, told)| Growth {
        factor: Factor::tenths(tenths),
        every,
        counting: if told {
            Counting::Told
        } else {
            Counting::Succeeded
        },
        max_per_minute: 40,
    });
    (1..=20_u32, prop::option::of(growth))
        .prop_map(|(per_minute, growth)| Rate { per_minute, growth })
}

fn percent() -> impl Strategy<Value = Percent> {
    prop_oneof![Just(1), Just(2_500), Just(5_000), Just(10_000)]
        .prop_map(|hundredths| Percent::hundredths(hundredths).unwrap_or(Percent::ALL))
}

fn action() -> impl Strategy<Value = ThresholdAction> {
    prop_oneof![Just(ThresholdAction::Abort), Just(ThresholdAction::Pause)]
}

fn abort() -> impl Strategy<Value = AbortRule> {
    let kind = prop_oneof![
        Just(FailureKind::All),
        Just(FailureKind::Failed),
        Just(FailureKind::Rejected),
        Just(FailureKind::TimedOut),
        Just(FailureKind::RolledBack),
    ];
    (kind, percent(), 1..=2_u32, action()).prop_map(|(kind, percentage, min_tried, action)| {
        AbortRule {
            kind,
            percentage,
            min_tried,
            action,
        }
    })
}

fn retry() -> impl Strategy<Value = Vec<Retry>> {
    let of = |class| {
        let spans = (1..=2_u8, 0..=30_u64, 10..=60_u64);
        let retry = spans.prop_map(move |(times, backoff, longest)| Retry {
            class,
            times,
            backoff: backoff * SECOND + 7,
            max_backoff: backoff.max(longest) * SECOND + 7,
        });
        prop::option::weighted(0.3, retry)
    };
    (
        of(FailureClass::Network),
        of(FailureClass::Busy),
        of(FailureClass::Timeout),
    )
        .prop_map(|(network, busy, timeout)| {
            [network, busy, timeout].into_iter().flatten().collect()
        })
}

fn canary() -> PhaseSize {
    PhaseSize::Group(GroupName::new("canary").expect("it is a name"))
}

fn phases() -> impl Strategy<Value = Vec<Phase>> {
    let sizes = prop_oneof![
        Just(vec![PhaseSize::Robots(1), PhaseSize::Rest]),
        Just(vec![
            PhaseSize::Robots(1),
            PhaseSize::Robots(1),
            PhaseSize::Rest
        ]),
        percent().prop_map(|share| vec![PhaseSize::Percentage(share), PhaseSize::Rest]),
        Just(vec![canary(), PhaseSize::Rest]),
        Just(vec![PhaseSize::Robots(1), canary(), PhaseSize::Rest]),
        Just(vec![
            PhaseSize::Percentage(Percent::hundredths(3_333).unwrap_or(Percent::ALL)),
            PhaseSize::Percentage(Percent::hundredths(3_333).unwrap_or(Percent::ALL)),
            PhaseSize::Percentage(Percent::hundredths(3_334).unwrap_or(Percent::ALL)),
        ]),
    ];
    let gate = (
        percent(),
        prop_oneof![Just(0), (1..=60_u64).prop_map(|soak| soak * SECOND + 23)],
        any::<bool>(),
        prop::option::weighted(0.3, percent()),
        action(),
    );
    (sizes, gate).prop_map(|(sizes, gate)| {
        let (success_threshold, soak, approval, error_threshold, on_error) = gate;
        let phase = |size| Phase {
            size,
            success_threshold,
            soak,
            approval,
            error_threshold,
            on_error,
        };
        let mut phases: Vec<_> = sizes.into_iter().map(phase).collect();
        if let Some(last) = phases.last_mut() {
            (last.soak, last.approval) = (0, false);
        }
        phases
    })
}

/// Windows that open every twenty minutes, first in this minute of the hour.
pub(super) fn five_minutes_in_twenty(first: usize) -> Windows {
    let (second, third) = (first + 20, first + 40);
    let opens = format!("{first},{second},{third} * * * *");
    let windows = serde_json::json!({"windows": [{"opens": opens, "minutes": 5}]});
    serde_json::from_value(windows).expect("they are windows")
}

fn mechanism() -> impl Strategy<Value = Box<Mechanism>> {
    let spans = (
        5..=60_u64,
        0..=1_u8,
        10..=90_u64,
        10..=60_u64,
        0..=5_u64,
        60..=1_800_u64,
    );
    let gates = (
        1..=3_u32,
        prop::option::weighted(0.3, rate()),
        any::<bool>(),
        retry(),
        prop::option::weighted(0.2, percent()),
        prop::collection::vec(abort(), 0..=1),
        prop_oneof![2 => Just(Vec::new()), 1 => phases()],
        prop::bool::weighted(0.25),
        prop::option::weighted(0.3, 1..=60_u64),
        prop::bool::weighted(0.4),
    );
    (spans, gates).prop_map(|(spans, gates)| {
        let (request, request_resends, in_progress, confirm, grace, deadline) = spans;
        let (max_in_progress, rate, stop, retries, max_failure_percentage, abort, ..) = gates;
        let (.., phases, windows, patience, dynamic) = gates;
        Box::new(Mechanism {
            max_in_progress,
            rate,
            // Odd, so that few things happen at the same instant: their order then is nobody's rule.
            request_timeout: request * SECOND + 3,
            request_resends,
            in_progress_timeout: in_progress * SECOND + 11,
            confirm_timeout: confirm * SECOND + 13,
            rollback_grace: grace * SECOND + 17,
            deadline: deadline * SECOND + 19,
            on_failure: if stop {
                OnFailure::Stop
            } else {
                OnFailure::Continue
            },
            force_downgrade: rollcall_engine::ForceDowngrade::All,
            retries,
            max_failure_percentage,
            abort,
            phases,
            windows: windows.then(|| five_minutes_in_twenty(0)),
            offline: patience.map_or(OfflinePolicy::Wait, |grace| OfflinePolicy::Fail {
                grace: grace * SECOND + 29,
            }),
            dynamic,
            ..Mechanism::default()
        })
    })
}

fn op() -> impl Strategy<Value = Op> {
    let robot = || 0..4_usize;
    // Mostly everybody.
    let whom = || prop_oneof![2 => Just(15_u8), 1 => 1..16_u8, 3 => 16..20_u8];
    let start = || prop::option::weighted(0.15, (0..=120_u64).prop_map(|s| s * SECOND + 31));
    let end = || prop::option::weighted(0.15, (0..=900_u64).prop_map(|s| s * SECOND + 37));
    let rollout = || 0..5_usize;
    let seconds = |most: u64| (0..=most).prop_map(|seconds| seconds * SECOND);
    prop_oneof![
        8 => (robot(), prop::bool::weighted(0.3), prop::bool::weighted(0.9))
            .prop_map(|(robot, restarted, all)| Op::Arrive { robot, restarted, all }),
        2 => robot().prop_map(|robot| Op::Leave { robot }),
        30 => (robot(), 0..100_usize).prop_map(|(robot, what)| Op::Says { robot, what }),
        16 => (robot(), prop::bool::weighted(0.9))
            .prop_map(|(robot, honest)| Op::Installs { robot, honest }),
        4 => (whom(), 0..9_u8, mechanism(), (start(), end()), prop::bool::weighted(0.9))
            .prop_map(|(whom, image, mechanism, schedule, launch)| {
                let launch = launch && schedule.0.is_none();
                Op::Create { whom, image, mechanism, schedule, launch }
            }),
        2 => (robot(), prop::option::weighted(0.7, prop::bool::weighted(0.7)))
            .prop_map(|(robot, beta)| Op::Mark { robot, beta }),
        1 => (
            (robot(), 0..2_usize),
            (0..2_usize, 1..4_u8),
            prop::bool::weighted(0.9),
            (prop::option::of((1..=60_u64).prop_map(|s| s * SECOND + 41)), prop::option::of(seconds(900))),
        )
            .prop_map(|(place, image, typed, spans)| Op::Manual { place, image, typed, spans }),
        8 => (0..3_usize, 0..12_usize).prop_map(|(rollout, what)| Op::Control { rollout, what }),
        2 => (
            rollout(),
            prop::option::of(1..=3_u32),
            prop::option::of(prop::option::of(rate())),
            prop::option::weighted(0.3, (1..=900_u64).prop_map(|seconds| seconds * SECOND)),
        )
            .prop_map(|(rollout, cap, rate, deadline)| Op::Edit { rollout, cap, rate, deadline }),
        1 => (robot(), any::<bool>()).prop_map(|(robot, all)| Op::CancelOperation { robot, all }),
        1 => prop::option::weighted(0.2, robot())
            .prop_map(|robot| robot.map_or(Op::Wait(1), |robot| Op::Remove { robot })),
        1 => seconds(60).prop_map(Op::Away),
        16 => prop_oneof![8 => seconds(3), 4 => seconds(30), 2 => seconds(300)].prop_map(Op::Wait),
    ]
}

/// A life of the fleet.
pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 1..120)
}
