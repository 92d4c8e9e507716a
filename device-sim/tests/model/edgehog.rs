//! Edgehog's protocol.

use device_sim::model::{Input, Message, Output, RealOutcome, Violation};
use rollcall_proto::native::RequestKind::{Cancel, Update};
use rollcall_proto::{Code, Status};
use uuid::Uuid;

use crate::bench::{Bench, ONE, TWO, URL};

fn internal(operation: Uuid) -> (Uuid, Status, Option<Code>) {
    (operation, Status::Failure, Some(Code::InternalError))
}

fn producer_lists(messages: &[Message]) -> Vec<usize> {
    let list = |message: &Message| match message {
        Message::ProducerProperties(list) => Some(list.len()),
        _ => None,
    };
    messages.iter().filter_map(list).collect()
}

#[test]
fn handshake_is_pipelined_in_the_sdks_order() {
    let mut bench = Bench::edgehog("");
    let outputs = bench.take();
    assert_eq!(
        outputs[0],
        Output::Connect {
            clean_session: true
        }
    );
    assert!(
        matches!(&outputs[1], Output::Subscribe(f) if f[0] == ("control/consumer/properties", 2))
    );
    assert!(matches!(&outputs[2], Output::Subscribe(_)));
    let messages: Vec<_> = outputs[3..]
        .iter()
        .map(|output| match output {
            Output::Publish { message, .. } => message.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(matches!(&messages[0], Message::Introspection(text) if text.contains("OTAEvent:0:1")));
    assert_eq!(messages[1], Message::EmptyCache);
    assert_eq!(
        messages[2],
        Message::ProducerProperties(vec![]),
        "empty at every process start"
    );
    assert_eq!(messages.len(), 7);
    assert!(messages.iter().all(|message| message.qos() == 2));
}

#[test]
fn reconnect_within_a_process_lists_its_properties_and_a_restart_does_not() {
    let mut bench = Bench::edgehog("");
    bench.take();
    bench.cut();
    bench.run_for(5_000);
    let outputs = bench.take();
    assert!(outputs.contains(&Output::Connect {
        clean_session: false
    }));
    bench.outputs = outputs;
    let messages = bench.messages();
    assert_eq!(producer_lists(&messages), [4]);
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(60_000);
    assert_eq!(producer_lists(&bench.messages()), [0]);
}

#[test]
fn success_after_the_reboot_is_lost_and_the_properties_tell() {
    let mut bench = Bench::edgehog("[edgehog]\nlate_success = 0\n");
    bench.take();
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(60_000);
    let messages = bench.messages();
    let last = messages.iter().rev().find_map(|message| match message {
        Message::EdgehogEvent(event) => Some(event.status),
        _ => None,
    });
    assert_eq!(last, Some(Status::Rebooting));
    let property = |path| {
        let found = messages.iter().find_map(|message| match message {
            Message::Property { path: p, value, .. } if *p == path => Some(value.clone()),
            _ => None,
        });
        found.unwrap()
    };
    assert_eq!(
        (property("version").as_str(), property("buildId").as_str()),
        ("2.0.0", "b7")
    );
    assert_eq!(
        bench.robot.truth().operations()[0].outcome,
        Some(RealOutcome::Installed)
    );
}

#[test]
fn final_event_may_survive_the_reboot() {
    let mut bench = Bench::edgehog("[edgehog]\nlate_success = 100\n");
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(60_000);
    assert_eq!(
        bench.edgehog_events().last(),
        Some(&(ONE, Status::Success, None))
    );
}

#[test]
fn events_while_the_link_is_down_are_lost() {
    let mut bench = Bench::edgehog(
        "[failures]\ninstall = 100\n[link]\noffline_every = \"2s\"\noffline_for = \"1h\"\n",
    );
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(2 * 3_600_000);
    let failure = Some(RealOutcome::Failed(Code::InvalidBaseImage));
    assert_eq!(bench.robot.truth().operations()[0].outcome, failure);
    assert!(
        bench
            .edgehog_events()
            .iter()
            .all(|(_, status, _)| !status.is_final())
    );
}

#[test]
fn same_request_again_is_ignored_and_another_url_is_not() {
    let mut bench = Bench::edgehog("");
    bench.edgehog_request(Update, ONE, URL);
    bench.take();
    bench.edgehog_request(Update, ONE, URL);
    assert_eq!(bench.take(), []);
    bench.edgehog_request(Update, ONE, "http://h/refreshed");
    let refused = (ONE, Status::Failure, Some(Code::UpdateAlreadyInProgress));
    assert_eq!(bench.edgehog_events(), [refused]);
    bench.edgehog_request(Update, TWO, URL);
    let second = (TWO, Status::Failure, Some(Code::UpdateAlreadyInProgress));
    assert_eq!(bench.edgehog_events(), [second]);
    bench.run_for(60_000);
    assert_eq!(bench.version("main"), "2.0.0", "the first went on");
}

#[test]
fn finished_operation_that_is_requested_again_runs_again() {
    let mut bench = Bench::edgehog("");
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(60_000);
    bench.edgehog_request(Update, ONE, URL);
    assert_eq!(bench.robot.running(), Some(ONE));
    let seen = Violation::RequestAfterCompletion { operation: ONE };
    assert_eq!(bench.robot.truth().violations(), [seen]);
}

#[test]
fn cancel_works_in_time_with_the_same_url_only() {
    let mut bench = Bench::edgehog("");
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(500);
    bench.take();
    bench.edgehog_request(Cancel, ONE, "http://h/other");
    assert_eq!(bench.edgehog_events(), [internal(ONE)]);
    bench.edgehog_request(Cancel, TWO, URL);
    assert_eq!(bench.edgehog_events(), [internal(TWO)]);
    assert_eq!(bench.robot.running(), Some(ONE));
    bench.edgehog_request(Cancel, ONE, URL);
    assert_eq!(
        bench.edgehog_events(),
        [(ONE, Status::Failure, Some(Code::Canceled))]
    );
    assert_eq!(bench.robot.running(), None);
    bench.edgehog_request(Cancel, ONE, URL);
    assert_eq!(bench.edgehog_events(), [internal(ONE)], "idle");
}

#[test]
fn late_cancel_is_silent_once_and_then_looks_like_a_failure() {
    let mut bench = Bench::edgehog("");
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(6_000);
    bench.take();
    bench.edgehog_request(Cancel, ONE, URL);
    assert_eq!(bench.take(), []);
    bench.edgehog_request(Cancel, ONE, URL);
    assert_eq!(bench.edgehog_events(), [internal(ONE)]);
    bench.run_for(60_000);
    assert_eq!(bench.version("main"), "2.0.0", "the update went on");
}

#[test]
fn power_loss_in_the_download_makes_the_device_forget() {
    let mut bench = Bench::edgehog("[power]\nloss_every = \"600ms\"\n");
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(700);
    assert!(
        bench
            .edgehog_events()
            .iter()
            .any(|(_, status, _)| *status == Status::Downloading)
    );
    bench.run_for(20_100);
    assert_eq!(
        bench.robot.truth().operations()[0].outcome,
        Some(RealOutcome::Forgotten)
    );
    assert_eq!(bench.robot.running(), None);
}

#[test]
fn power_loss_while_writing_is_a_rollback() {
    let mut bench = Bench::edgehog("[power]\nloss_every = \"6s\"\n");
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(30_000);
    assert_eq!(
        bench.robot.truth().operations()[0].outcome,
        Some(RealOutcome::RolledBack)
    );
    assert_eq!(bench.version("main"), "1.0.0");
}

#[test]
fn artifact_that_is_no_bundle_is_an_invalid_image() {
    let mut bench = Bench::edgehog("");
    bench.artifact.label = None;
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(5_000);
    let invalid = (ONE, Status::Failure, Some(Code::InvalidBaseImage));
    assert_eq!(bench.edgehog_events().last(), Some(&invalid));
}

#[test]
fn download_is_tried_five_times_and_then_called_internal() {
    let mut bench = Bench::edgehog("[failures]\ndownload = 100\n");
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(120_000);
    let events = bench.edgehog_events();
    let errors = events
        .iter()
        .filter(|(_, status, _)| *status == Status::Error)
        .count();
    assert_eq!((errors, events.last()), (5, Some(&internal(ONE))));
}

#[test]
fn native_request_to_an_edgehog_device_is_a_violation() {
    let mut bench = Bench::edgehog("");
    bench.update("main", ONE);
    assert!(matches!(
        bench.robot.truth().violations(),
        [Violation::Malformed { .. }]
    ));
    assert_eq!(bench.robot.running(), None);
    bench.input(Input::Disconnected);
}
