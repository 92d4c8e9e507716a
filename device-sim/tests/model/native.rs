//! The native protocol.

use device_sim::model::{Input, Message, Output, RealOutcome, Violation};
use rollcall_proto::native::OtaRequest;
use rollcall_proto::{Code, Status};

use crate::bench::{Bench, ONE, TWO, update};

const FAILURE: Status = Status::Failure;

#[test]
fn greeting_subscribes_then_tells_manifest_then_images() {
    let mut bench = Bench::native("");
    let outputs = bench.take();
    assert_eq!(
        outputs[0],
        Output::Connect {
            clean_session: true
        }
    );
    let filters = vec![("rollcall.v1.OTARequest/#", 1), ("rollcall.v1.Ack", 1)];
    assert_eq!(outputs[1], Output::Subscribe(filters));
    let Output::Publish {
        message: Message::Manifest(manifest),
        ..
    } = &outputs[2]
    else {
        panic!("{:?}", outputs[2])
    };
    assert_eq!(
        (manifest.protocol, manifest.boot, manifest.ecus.len()),
        (1, 5, 3)
    );
    for (output, name) in outputs[3..6].iter().zip(["main", "motor-1", "motor-2"]) {
        let Output::Publish {
            message: Message::BaseImage { ecu, image },
            ..
        } = output
        else {
            panic!("{output:?}")
        };
        assert_eq!((ecu.as_str(), image.version.as_str()), (name, "1.0.0"));
    }
    assert!(matches!(
        &outputs[6..],
        [Output::Publish {
            message: Message::State(_),
            ..
        }]
    ));
}

#[test]
fn secondary_is_updated_without_a_restart_of_the_robot() {
    let mut bench = Bench::native("");
    bench.take();
    bench.update("motor-2", ONE);
    bench.run_for(20_000);
    let messages = bench.messages();
    let proof = messages.iter().position(|message| {
        let Message::BaseImage { ecu, image } = message else {
            return false;
        };
        assert_eq!((image.operation, image.digest), (Some(ONE), Some([7; 32])));
        ecu == "motor-2" && image.version == "2.0.0"
    });
    let claim = messages.iter().position(|message| {
        matches!(message, Message::Event { event, .. } if event.status == Status::Success)
    });
    assert!(proof.unwrap() < claim.unwrap(), "the proof comes first");
    assert_eq!(
        (bench.robot.boot(), bench.version("motor-2").as_str()),
        (5, "2.0.0")
    );
    assert_eq!(bench.version("motor-1"), "1.0.0");
    assert!(bench.robot.is_settled());
}

#[test]
fn events_come_in_order_with_rising_counters() {
    let mut bench = Bench::native("");
    bench.take();
    bench.update("motor-1", ONE);
    bench.run_for(20_000);
    let events = bench.events();
    let steps: Vec<_> = events
        .iter()
        .map(|event| (event.status, event.progress))
        .collect();
    use Status::{Acknowledged, Deployed, Deploying, Downloading, Rebooting, Success};
    assert_eq!(
        steps,
        [
            (Acknowledged, 0),
            (Downloading, 0),
            (Downloading, 25),
            (Downloading, 50),
            (Downloading, 75),
            (Downloading, 100),
            (Deploying, 0),
            (Deploying, 25),
            (Deploying, 50),
            (Deploying, 75),
            (Deployed, 0),
            (Rebooting, 0),
            (Success, 0)
        ]
    );
    let numbers: Vec<_> = events
        .iter()
        .map(|event| (event.boot, event.counter))
        .collect();
    assert_eq!(
        numbers,
        (1..=13).map(|counter| (5, counter)).collect::<Vec<_>>()
    );
}

#[test]
fn primary_restarts_the_robot_and_reports_under_a_new_boot() {
    let mut bench = Bench::native("");
    bench.take();
    bench.update("main", ONE);
    bench.run_for(13_200);
    assert!(
        bench
            .take()
            .contains(&Output::Disconnect { graceful: true })
    );
    bench.run_for(30_000);
    assert_eq!(bench.robot.boot(), 6);
    let messages = bench.messages();
    assert!(matches!(&messages[0], Message::Manifest(manifest) if manifest.boot == 6));
    let image =
        |m: &Message| matches!(m, Message::BaseImage { image, .. } if image.operation == Some(ONE));
    assert_eq!(messages.iter().filter(|m| image(m)).count(), 1);
    let Some(Message::Event { event, .. }) =
        messages.iter().find(|m| matches!(m, Message::Event { .. }))
    else {
        panic!("no event")
    };
    assert_eq!(
        (event.boot, event.counter, event.status),
        (6, 1, Status::Success)
    );
}

#[test]
fn unacknowledged_events_are_sent_again_after_a_restart_with_new_numbers() {
    let mut bench = Bench::native("");
    bench.acknowledges = false;
    bench.update("main", ONE);
    bench.run_for(13_200);
    let before = bench.events();
    assert_eq!(before.last().unwrap().status, Status::Rebooting);
    bench.run_for(30_000);
    let after = bench.events();
    assert_eq!(after.len(), before.len() + 1);
    let statuses = |events: &[rollcall_proto::native::OtaEvent]| {
        events.iter().map(|event| event.status).collect::<Vec<_>>()
    };
    assert_eq!(statuses(&after)[..before.len()], statuses(&before));
    assert!(
        (1..)
            .zip(&after)
            .all(|(counter, e)| (e.boot, e.counter) == (6, counter))
    );
}

#[test]
fn robot_that_wants_ack_keeps_events_until_the_ack_covers_them() {
    let mut bench = Bench::native("[messages]\nwants_ack = 100\n");
    bench.take();
    bench.request(
        "main",
        OtaRequest {
            hardware_id: "other".to_owned(),
            ..update("main", ONE)
        },
    );
    bench.request(
        "main",
        OtaRequest {
            hardware_id: "other".to_owned(),
            ..update("main", TWO)
        },
    );
    assert_eq!(bench.events().len(), 2);
    assert!(!bench.robot.is_settled(), "a PUBACK is not an Ack");
    bench.ack(5, 1);
    bench.cut();
    bench.run_for(5_000);
    let again = bench.events();
    assert_eq!(
        again.iter().map(|event| event.counter).collect::<Vec<_>>(),
        [2]
    );
    bench.ack(4, 99);
    assert!(
        !bench.robot.is_settled(),
        "an ack of an older boot covers nothing of this one"
    );
    bench.ack(5, 2);
    assert!(bench.robot.is_settled());
}

#[test]
fn events_made_offline_are_sent_on_return() {
    let mut bench = Bench::native("");
    bench.update("motor-1", ONE);
    bench.run_for(5_000);
    let already = bench.events().len();
    bench.cut();
    bench.run_for(30_000);
    let events = bench.events();
    assert_eq!(already + events.len(), 13);
    assert_eq!(events.last().unwrap().status, Status::Success);
}

#[test]
fn incompatible_hardware_is_refused_before_any_download() {
    let mut bench = Bench::native("");
    bench.take();
    bench.request(
        "main",
        OtaRequest {
            hardware_id: "motor".to_owned(),
            ..update("main", ONE)
        },
    );
    assert_eq!(
        bench.verdicts(),
        [(ONE, FAILURE, Some(Code::IncompatibleHardware))]
    );
    bench.run_for(60_000);
    assert!(
        !bench
            .take()
            .iter()
            .any(|output| matches!(output, Output::Fetch { .. }))
    );
    assert!(matches!(
        bench.robot.truth().violations(),
        [Violation::IncompatibleHardware { asked, .. }] if asked == "motor"
    ));
}

#[test]
fn unexpected_version_is_refused_and_the_expected_one_is_not() {
    let mut bench = Bench::native("");
    let expecting = |operation, version: &str| OtaRequest {
        expected_version: Some(version.to_owned()),
        ..update("motor-1", operation)
    };
    bench.request("motor-1", expecting(ONE, "0.9"));
    assert_eq!(
        bench.verdicts(),
        [(ONE, FAILURE, Some(Code::UnexpectedVersion))]
    );
    bench.request("motor-1", expecting(TWO, "1.0.0"));
    assert_eq!(bench.robot.running(), Some(TWO));
}

#[test]
fn second_operation_is_refused_and_the_first_goes_on() {
    let mut bench = Bench::native("");
    bench.update("motor-1", ONE);
    bench.update("motor-2", TWO);
    assert_eq!(
        bench.verdicts(),
        [(TWO, FAILURE, Some(Code::UpdateAlreadyInProgress))]
    );
    let witnessed = Violation::TwoOperationsAtOnce {
        running: ONE,
        requested: TWO,
    };
    assert_eq!(bench.robot.truth().violations(), [witnessed]);
    bench.run_for(20_000);
    assert_eq!(bench.verdicts(), [(ONE, Status::Success, None)]);
}

#[test]
fn repeated_request_for_the_running_operation_is_ignored() {
    let mut bench = Bench::native("");
    bench.update("motor-1", ONE);
    bench.take();
    bench.update("motor-1", ONE);
    assert_eq!(bench.take(), []);
    assert_eq!(bench.robot.truth().violations(), []);
    bench.request(
        "motor-1",
        OtaRequest {
            url: "http://h/b".to_owned(),
            ..update("motor-1", ONE)
        },
    );
    let changed = Violation::ChangedRequest { operation: ONE };
    assert_eq!(bench.robot.truth().violations(), [changed]);
}

#[test]
fn finished_operation_is_answered_again_and_not_run_again() {
    let mut bench = Bench::native("");
    bench.update("motor-1", ONE);
    bench.run_for(20_000);
    bench.take();
    bench.update("motor-1", ONE);
    assert_eq!(bench.verdicts(), [(ONE, Status::Success, None)]);
    assert_eq!(bench.robot.running(), None);
    let seen = Violation::RequestAfterCompletion { operation: ONE };
    assert_eq!(bench.robot.truth().violations(), [seen]);
    assert_eq!(bench.robot.truth().operations().len(), 1);
}

#[test]
fn cancel_ends_an_operation_until_it_is_being_written() {
    for (after_ms, ends) in [
        (0, true),
        (50, true),
        (600, true),
        (2_000, false),
        (11_500, false),
    ] {
        let mut bench = Bench::native("");
        bench.update("motor-1", ONE);
        bench.run_for(after_ms);
        bench.take();
        bench.cancel("motor-1", ONE);
        let expected = if ends {
            vec![(ONE, FAILURE, Some(Code::Canceled))]
        } else {
            vec![]
        };
        assert_eq!(bench.verdicts(), expected, "{after_ms} ms");
        bench.run_for(60_000);
        let outcome = if ends {
            RealOutcome::Canceled
        } else {
            RealOutcome::Installed
        };
        assert_eq!(
            bench.robot.truth().operations()[0].outcome,
            Some(outcome),
            "{after_ms} ms"
        );
    }
}

#[test]
fn cancel_during_a_fetch_abandons_it() {
    let mut bench = Bench::native("");
    bench.serves = false;
    bench.update("motor-1", ONE);
    bench.run_for(1_000);
    let fetch = bench.open_fetch.unwrap();
    bench.take();
    bench.cancel("motor-1", ONE);
    assert!(bench.take().contains(&Output::AbandonFetch(fetch)));
    let result = Ok(bench.artifact.clone());
    bench.input(Input::Fetched { fetch, result });
    bench.run_for(60_000);
    assert_eq!(bench.version("motor-1"), "1.0.0");
}

#[test]
fn cancel_of_an_unknown_operation_is_confirmed_and_the_operation_never_runs() {
    let mut bench = Bench::native("");
    bench.cancel("main", ONE);
    assert_eq!(bench.verdicts(), [(ONE, FAILURE, Some(Code::Canceled))]);
    bench.update("main", ONE);
    assert_eq!(bench.robot.running(), None);
}

#[test]
fn reconnecting_waits_longer_each_time() {
    let mut bench = Bench::native("");
    let mut waits = Vec::new();
    for _ in 0..6 {
        // A refused attempt: the broker never answers with CONNACK.
        bench.robot.handle(bench.now, Input::Disconnected);
        let at = bench.robot.poll_timeout().unwrap();
        waits.push(at - bench.now);
        bench.now = at;
        bench.robot.handle_timeout(at);
        while bench.robot.poll_output().is_some() {}
    }
    assert!(waits[0] >= 500 && waits[0] <= 1_500, "{waits:?}");
    assert!(waits[5] >= 16_000, "{waits:?}");
}
