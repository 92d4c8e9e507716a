//! Native robots on bad days: faults, power losses, lies and lost messages.

use device_sim::model::{FetchError, Input, Message, RealOutcome};
use rollcall_proto::native::BaseImage;
use rollcall_proto::{Code, Status};

use crate::bench::{Bench, ONE};

const FAILURE: Status = Status::Failure;

#[test]
fn wrong_digest_and_wrong_size_are_never_installed() {
    let spoil: [fn(&mut Bench); 2] = [
        |bench| bench.artifact.sha256[0] = 0,
        |bench| bench.artifact.size -= 1,
    ];
    for spoil in spoil {
        let mut bench = Bench::native("");
        spoil(&mut bench);
        bench.update("motor-1", ONE);
        bench.run_for(60_000);
        assert_eq!(
            bench.verdicts(),
            [(ONE, FAILURE, Some(Code::DigestMismatch))]
        );
        assert_eq!(bench.version("motor-1"), "1.0.0");
    }
}

#[test]
fn broken_download_is_tried_three_times() {
    let mut bench = Bench::native("");
    bench.serves = false;
    bench.update("motor-1", ONE);
    for _ in 0..3 {
        bench.run_for(10_000);
        let fetch = bench.open_fetch.take().expect("a fetch");
        bench.input(Input::Fetched {
            fetch,
            result: Err(FetchError::Status(503)),
        });
    }
    let errors: Vec<_> = bench
        .events()
        .iter()
        .map(|event| (event.status, event.code))
        .collect();
    let network = Some(Code::NetworkError);
    assert_eq!(
        errors[2..],
        [
            (Status::Error, network),
            (Status::Error, network),
            (FAILURE, network)
        ]
    );
}

#[test]
fn each_fault_of_the_profile_fails_its_stage_and_leaves_the_old_image() {
    for (fault, code) in [
        ("refuse", Code::Refused),
        ("busy", Code::Busy),
        ("download", Code::NetworkError),
        ("digest", Code::DigestMismatch),
        ("install", Code::InvalidBaseImage),
        ("rollback", Code::SystemRollback),
    ] {
        for ecu in ["main", "motor-1"] {
            let mut bench = Bench::native(&format!("[failures]\n{fault} = 100\n"));
            bench.update(ecu, ONE);
            bench.run_for(120_000);
            assert_eq!(
                bench.verdicts(),
                [(ONE, FAILURE, Some(code))],
                "{fault} {ecu}"
            );
            assert_eq!(bench.version(ecu), "1.0.0", "{fault} {ecu}");
            assert!(bench.robot.is_settled());
        }
    }
}

#[test]
fn power_loss_at_any_moment_is_survived() {
    // Steps of 250 ms through the whole operation: 13 s, and a reboot of 20 s for the primary.
    for ecu in ["main", "motor-1"] {
        for lost_at in (0..36_000).step_by(250) {
            let mut bench = Bench::native("");
            bench.update(ecu, ONE);
            bench.run_for(lost_at);
            bench.input(Input::PowerLost);
            bench.run_for(120_000);
            let operations = bench.robot.truth().operations();
            let outcomes: Vec<_> = operations
                .iter()
                .map(|o| (o.operation, o.outcome))
                .collect();
            assert_eq!(
                outcomes,
                [(ONE, Some(RealOutcome::Installed))],
                "{ecu} at {lost_at} ms"
            );
            assert_eq!(bench.version(ecu), "2.0.0", "{ecu} at {lost_at} ms");
            let verdicts = bench.verdicts();
            assert_eq!(
                verdicts.last(),
                Some(&(ONE, Status::Success, None)),
                "{ecu} at {lost_at} ms"
            );
            assert!(bench.robot.is_settled());
        }
    }
}

#[test]
fn interrupted_download_goes_on_where_it_was() {
    let mut bench = Bench::native("");
    bench.update("motor-1", ONE);
    bench.run_for(700);
    assert_eq!(bench.steps().last(), Some(&(Status::Downloading, 50)));
    bench.input(Input::PowerLost);
    bench.run_for(21_500);
    let steps = bench.steps();
    assert_eq!(
        steps[..2],
        [(Status::Downloading, 75), (Status::Downloading, 100)]
    );
}

#[test]
fn liar_that_claims_success_keeps_its_old_image() {
    let mut bench = Bench::native("[lies]\nclaim_success = 100\n");
    bench.update("motor-1", ONE);
    bench.run_for(60_000);
    assert_eq!(bench.verdicts(), [(ONE, Status::Success, None)]);
    assert_eq!(bench.version("motor-1"), "1.0.0");
    assert_eq!(
        bench.robot.truth().operations()[0].outcome,
        Some(RealOutcome::Pretended)
    );
}

#[test]
fn liar_names_the_operation_with_another_version() {
    let mut bench = Bench::native("[lies]\nwrong_version = 100\n");
    bench.update("motor-1", ONE);
    bench.run_for(60_000);
    let image = |message| match message {
        Message::BaseImage { image, .. } => Some(image),
        _ => None,
    };
    let named = |image: &BaseImage| image.operation == Some(ONE);
    let claim = bench
        .messages()
        .into_iter()
        .filter_map(image)
        .find(named)
        .unwrap();
    assert_ne!(claim.version, "2.0.0");
    assert_eq!(bench.version("motor-1"), "1.0.0");
}

#[test]
fn liar_goes_back_in_progress() {
    let mut bench = Bench::native("[lies]\nbackward_progress = 100\n");
    bench.update("motor-1", ONE);
    bench.run_for(60_000);
    let steps = bench.steps();
    let back = steps
        .windows(2)
        .any(|two| two[0].0 == two[1].0 && two[1].1 < two[0].1);
    assert!(back, "{steps:?}");
}

#[test]
fn liar_reports_on_an_operation_that_nobody_asked_for() {
    let mut bench = Bench::native("[lies]\nunknown_operation = 100\n");
    bench.update("motor-1", ONE);
    assert!(bench.events().iter().any(|event| event.operation != ONE));
}

#[test]
fn lost_final_event_leaves_the_image_as_the_only_proof() {
    let mut bench = Bench::native("[messages]\nlose_final = 100\n");
    bench.update("motor-1", ONE);
    bench.run_for(60_000);
    assert_eq!(bench.verdicts(), []);
    assert_eq!(bench.version("motor-1"), "2.0.0");
    assert!(bench.robot.is_settled());
}

#[test]
fn duplicates_repeat_their_numbers_and_reordering_swaps_neighbours() {
    let mut twice = Bench::native("[messages]\nduplicate = 100\n");
    twice.update("motor-1", ONE);
    twice.run_for(60_000);
    let counters: Vec<_> = twice.events().iter().map(|event| event.counter).collect();
    assert_eq!(
        counters,
        (1..=13)
            .flat_map(|counter| [counter, counter])
            .collect::<Vec<_>>()
    );

    let mut swapped = Bench::native("[messages]\nreorder = 50\n");
    swapped.update("motor-1", ONE);
    swapped.run_for(60_000);
    let counters: Vec<_> = swapped.events().iter().map(|event| event.counter).collect();
    let mut sorted = counters.clone();
    sorted.sort_unstable();
    assert_ne!(counters, sorted);
    sorted.dedup();
    assert_eq!(sorted, (1..=13).collect::<Vec<_>>(), "nothing is lost");
}

#[test]
fn robot_that_is_never_acknowledged_keeps_a_bounded_number_of_events() {
    let mut bench = Bench::native("");
    bench.acknowledges = false;
    for operation in 1..=1_000 {
        bench.update("nothing", uuid::Uuid::from_u128(operation));
    }
    bench.take();
    bench.cut();
    bench.run_for(5_000);
    let newest = bench.verdicts();
    assert_eq!(newest.len(), 256);
    assert_eq!(newest.last().unwrap().0, uuid::Uuid::from_u128(1_000));
}
