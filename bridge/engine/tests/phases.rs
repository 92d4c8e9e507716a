//! Phases (issue 4, Phases): exact sizes, and what opens the next one.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::pace::*;
use fleet::*;
use proptest::prelude::*;
use rollcall_engine::*;

fn phase(size: PhaseSize) -> Phase {
    Phase {
        size,
        success_threshold: Percent::ALL,
        soak: 0,
        approval: false,
        error_threshold: None,
        on_error: ThresholdAction::Pause,
    }
}

fn percent(hundredths: u16) -> Percent {
    Percent::hundredths(hundredths).unwrap()
}

fn in_phases(phases: Vec<Phase>) -> Mechanism {
    Mechanism {
        phases,
        max_in_progress: 10_000,
        request_timeout: 10 * DAY,
        ..Mechanism::default()
    }
}

/// The first phase of `robots` robots with `edit`, then the rest.
fn canary(robots: u32, edit: impl FnOnce(&mut Phase)) -> Mechanism {
    let mut first = phase(PhaseSize::Robots(robots));
    edit(&mut first);
    in_phases(vec![first, phase(PhaseSize::Rest)])
}

fn sizes(fleet: &Fleet, id: RolloutId, phases: usize) -> Vec<usize> {
    let members = &fleet.state.rollout(id).unwrap().members;
    let of = |n| {
        members
            .values()
            .filter(|m| usize::from(m.phase) == n)
            .count()
    };
    (0..phases).map(of).collect()
}

fn run(fleet: &Fleet, id: RolloutId) -> Run {
    fleet.state.rollout(id).unwrap().run().unwrap()
}

fn paused(fleet: &Fleet, id: RolloutId) -> Option<PauseReason> {
    match run(fleet, id) {
        Run::Paused { why, .. } => Some(why),
        _ => None,
    }
}

fn open(fleet: &Fleet, id: RolloutId) -> u16 {
    fleet.state.rollout(id).unwrap().course.phase
}

fn install_all(fleet: &mut Fleet) -> usize {
    let requests = fleet.requests();
    for (robot, ecu, operation) in &requests {
        fleet.install(*robot, ecu, *operation);
    }
    requests.len()
}

fn fail_all(fleet: &mut Fleet) {
    for (robot, ecu, operation) in fleet.requests() {
        fleet
            .fail(robot, &ecu, operation, EventCode::IoError)
            .unwrap();
    }
}

fn approve(fleet: &mut Fleet, rollout: RolloutId, phase: Option<u16>) -> Result<Reply, Refusal> {
    fleet.command(Command::ApprovePhase { rollout, phase })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Of 1 to 1,000 robots: each sum of percentages is rounded up once, so that rounding never adds up.
    #[test]
    fn percentages_are_exact_and_sum_to_all(
        robots in 1_usize..1_000,
        cuts in prop::collection::btree_set(1_u16..10_000, 0..8),
    ) {
        let mut fleet = at_noon();
        fleet.robots(robots);
        let mut sums: Vec<u16> = cuts.into_iter().collect();
        sums.push(10_000);
        let mut before = 0;
        let phases = sums.iter().map(|sum| {
            let share = sum - before;
            before = *sum;
            phase(PhaseSize::Percentage(percent(share)))
        });
        let id = fleet.launched(in_phases(phases.collect()));
        let mut expected = Vec::new();
        for sum in &sums {
            let upto = (robots * usize::from(*sum)).div_ceil(10_000);
            expected.push(upto - expected.iter().sum::<usize>());
        }
        prop_assert_eq!(sizes(&fleet, id, sums.len()), expected);
    }
}

#[test]
fn who_is_in_which_phase_is_the_same_after_a_restart_and_other_in_another_rollout() {
    let mut fleet = at_noon();
    fleet.robots(64);
    let one = fleet.launched(canary(32, |_| {}));
    let phases = |fleet: &Fleet, id: RolloutId| -> Vec<u16> {
        let members = &fleet.state.rollout(id).unwrap().members;
        members.values().map(|member| member.phase).collect()
    };
    let before = phases(&fleet, one);
    fleet.restart(HOUR);
    assert_eq!(phases(&fleet, one), before);
    let two = fleet.launched(canary(32, |_| {}));
    assert_ne!(phases(&fleet, two), before, "chance, salted by the rollout");
    let mut again = at_noon();
    again.robots(64);
    let one = again.launched(canary(32, |_| {}));
    assert_eq!(phases(&again, one), before, "but the same on every machine");
}

#[test]
fn groups_come_first_counts_are_cut_and_the_rest_is_everybody_else() {
    let mut fleet = at_noon();
    fleet.robots(5);
    let name = GroupName::new("lab").unwrap();
    let ids = ["r2", "r4"].map(|id| RobotId::new(id).unwrap()).to_vec();
    let group = Command::AddGroup {
        name: name.clone(),
        robots: ids,
    };
    fleet.command(group).unwrap();
    let id = fleet.launched(in_phases(vec![
        phase(PhaseSize::Group(name.clone())),
        phase(PhaseSize::Robots(2)),
        phase(PhaseSize::Group(name)),
        phase(PhaseSize::Robots(9)),
        phase(PhaseSize::Rest),
    ]));
    assert_eq!(sizes(&fleet, id, 5), [2, 2, 0, 1, 0]);
}

/// Two phases of a group without robots before the rest.
fn nobody_first(fleet: &mut Fleet, approval: bool) -> RolloutId {
    let name = GroupName::new("nobody").unwrap();
    let group = Command::AddGroup {
        name: name.clone(),
        robots: vec![],
    };
    fleet.command(group).unwrap();
    let none = Phase {
        soak: HOUR,
        approval,
        ..phase(PhaseSize::Group(name))
    };
    fleet.launched(in_phases(vec![none.clone(), none, phase(PhaseSize::Rest)]))
}

#[test]
fn empty_phases_pass_at_once_without_soak() {
    let (mut fleet, _) = connected(1);
    let id = nobody_first(&mut fleet, false);
    assert_eq!(open(&fleet, id), 2);
    assert_eq!(fleet.told().len(), 1);
}

#[test]
fn an_approval_is_asked_for_even_when_the_phase_before_has_nobody() {
    let (mut fleet, _) = connected(1);
    let id = nobody_first(&mut fleet, true);
    assert_eq!((open(&fleet, id), fleet.told().len()), (0, 0));
    for opens in [1, 2] {
        let phase = None;
        fleet
            .command(Command::ApprovePhase { rollout: id, phase })
            .unwrap();
        assert_eq!(open(&fleet, id), opens);
    }
    assert_eq!(fleet.told().len(), 1);
}

#[test]
fn an_approval_or_a_soak_time_after_the_last_phase_is_refused() {
    let (mut fleet, _) = connected(1);
    for last in [
        Phase {
            approval: true,
            ..phase(PhaseSize::Rest)
        },
        Phase {
            soak: 1,
            ..phase(PhaseSize::Rest)
        },
    ] {
        let spec = fleet.spec_with(in_phases(vec![phase(PhaseSize::Robots(1)), last]));
        let refused = fleet.create(spec);
        assert!(matches!(
            refused,
            Err(Refusal::NothingAfterTheLastPhase { .. })
        ));
    }
}

#[test]
fn a_group_of_a_phase_that_does_not_exist_is_refused_at_creation() {
    let (mut fleet, _) = connected(1);
    let name = GroupName::new("canari").unwrap();
    let first = phase(PhaseSize::Group(name.clone()));
    let spec = fleet.spec_with(in_phases(vec![first, phase(PhaseSize::Rest)]));
    assert_eq!(fleet.create(spec), Err(Refusal::UnknownGroup { name }));
}

#[test]
fn the_next_phase_opens_at_the_success_threshold_and_not_before() {
    let (mut fleet, _) = connected(8);
    let id = fleet.launched(canary(4, |phase| phase.success_threshold = percent(7_500)));
    let requests = fleet.requests();
    assert_eq!(requests.len(), 4);
    for (done, (robot, ecu, operation)) in requests.iter().enumerate() {
        assert_eq!(open(&fleet, id), u16::from(done >= 3), "after {done} of 4");
        fleet.install(*robot, ecu, *operation);
    }
    assert_eq!(fleet.told().len(), 4);
}

#[test]
fn a_phase_soaks_by_the_clock_across_a_restart() {
    let (mut fleet, robots) = connected(2);
    let id = fleet.launched(canary(1, |phase| phase.soak = HOUR));
    install_all(&mut fleet);
    let waits = robots
        .iter()
        .find_map(|robot| fleet.waits_for(id, *robot))
        .unwrap();
    let soaks_until = Some(Timestamp(NOON + HOUR));
    assert_eq!(
        waits,
        WaitReason::Phase {
            phase: 1,
            open: 0,
            soaks_until
        }
    );
    fleet.pass(HOUR / 2);
    fleet.restart(MINUTE);
    robots
        .iter()
        .for_each(|robot| fleet.online_with(*robot, 2, "1"));
    fleet.effects.clear();
    fleet.pass(HOUR / 2 - MINUTE - 1);
    assert_eq!(open(&fleet, id), 0);
    fleet.pass(1);
    assert_eq!(open(&fleet, id), 1);
    assert_eq!(fleet.told().len(), 1);
}

#[test]
fn an_approval_is_waited_for_and_a_resume_is_none() {
    let (mut fleet, robots) = connected(2);
    let id = fleet.launched(canary(1, |phase| phase.approval = true));
    install_all(&mut fleet);
    let why = PauseReason::Approval { phase: 0 };
    assert_eq!(paused(&fleet, id), Some(why));
    let waits = robots.iter().find_map(|robot| fleet.waits_for(id, *robot));
    assert_eq!(waits, Some(WaitReason::Paused(why)));
    fleet.restart(HOUR);
    robots
        .iter()
        .for_each(|robot| fleet.online_with(*robot, 2, "1"));
    assert_eq!(fleet.told(), [], "a restart approves nothing");
    let resume = fleet.command(Command::ResumeRollout { rollout: id });
    assert_eq!(resume, Err(Refusal::NeedsApproval { id, phase: 0 }));
    let other = approve(&mut fleet, id, Some(1)).unwrap_err();
    assert_eq!(
        other,
        Refusal::OtherPhase {
            id,
            current: 1,
            found: 2
        }
    );
    approve(&mut fleet, id, Some(0)).unwrap();
    assert_eq!(fleet.told().len(), 1);
    let again = approve(&mut fleet, id, None).unwrap_err();
    assert_eq!(again.code(), "nothing_to_approve");
}

#[test]
fn a_phase_that_can_no_longer_pass_pauses_and_can_be_approved_all_the_same() {
    let (mut fleet, _) = connected(3);
    let id = fleet.launched(canary(2, |_| {}));
    fail_all(&mut fleet);
    assert_eq!(
        paused(&fleet, id),
        Some(PauseReason::PhaseMissed { phase: 0 })
    );
    approve(&mut fleet, id, None).unwrap();
    assert_eq!(fleet.told().len(), 1);
}

#[test]
fn more_errors_than_a_phase_may_have_pause_or_end_the_rollout() {
    for action in [ThresholdAction::Pause, ThresholdAction::Abort] {
        let (mut fleet, _) = connected(6);
        let id = fleet.launched(canary(4, |phase| {
            phase.error_threshold = Some(percent(2_500));
            phase.on_error = action;
        }));
        let requests = fleet.requests();
        for (n, (robot, ecu, operation)) in requests.iter().take(2).enumerate() {
            assert_eq!(run(&fleet, id), Run::Running, "a quarter may fail, {n}");
            fleet
                .fail(*robot, ecu, *operation, EventCode::IoError)
                .unwrap();
        }
        match run(&fleet, id) {
            Run::Paused { why, .. } => {
                assert_eq!(action, ThresholdAction::Pause);
                assert_eq!(why, PauseReason::PhaseErrors { phase: 0 });
            }
            Run::Ending { why, .. } => {
                assert_eq!(action, ThresholdAction::Abort);
                assert_eq!(why, EndReason::PhaseErrors { phase: 0 });
            }
            run => panic!("{run:?}"),
        }
    }
}

#[test]
fn withdrawn_robots_are_not_counted() {
    let (mut fleet, _) = connected(6);
    let id = fleet.launched(canary(3, |_| {}));
    let requests = fleet.requests();
    let gone = fleet.state.robot(requests[0].0).unwrap().id.clone();
    for (robot, ecu, operation) in &requests[1..] {
        fleet.install(*robot, ecu, *operation);
    }
    assert_eq!(open(&fleet, id), 0);
    fleet.command(Command::RemoveRobot { robot: gone }).unwrap();
    assert_eq!(open(&fleet, id), 1, "two of two succeeded");
}

#[test]
fn an_open_phase_stays_open_across_a_restart() {
    let (mut fleet, robots) = connected(4);
    let id = fleet.launched(canary(2, |_| {}));
    install_all(&mut fleet);
    assert_eq!(open(&fleet, id), 1);
    fleet.effects.clear();
    fleet.restart(HOUR);
    robots
        .iter()
        .for_each(|robot| fleet.online_with(*robot, 2, "1"));
    let mut told = fleet.told();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), 2);
    assert_eq!(open(&fleet, id), 1);
}

#[test]
fn a_preview_says_how_many_robots_are_in_each_phase() {
    let (mut fleet, _) = connected(10);
    let spec = fleet.spec_with(canary(3, |_| ()));
    let (_, report) = fleet.state.preview(&spec).unwrap();
    assert_eq!(report.phases, [3, 7]);
    let id = fleet.create(spec).unwrap();
    fleet.launch(id).unwrap();
    assert_eq!(sizes(&fleet, id, 2), [3, 7]);
}
