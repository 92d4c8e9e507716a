//! Updates of an Edgehog device (device-contract 0 and 3.2).

use device_sim::model::{FetchError, Message, RealOutcome};
use rollcall_proto::edgehog::{Property, Value};
use rollcall_proto::native::RequestKind::Update;
use rollcall_proto::{Code, Status};

use crate::bench::{Bench, ONE, URL};

fn update(profile: &str, ms: u64) -> Bench {
    let mut bench = Bench::edgehog(profile);
    bench.take();
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(ms);
    bench
}

fn outcome(bench: &Bench) -> Option<RealOutcome> {
    bench.robot.truth().operations()[0].outcome
}

fn property(messages: &[Message], wanted: &str) -> Option<Property> {
    messages.iter().find_map(|message| match message {
        Message::Property { path, value, .. } if *path == wanted => Some(value.clone()),
        _ => None,
    })
}

fn text(text: &str) -> Option<Property> {
    Some(Property::Set(Value::String(text.to_owned())))
}

#[test]
fn contract_3_2_the_events_of_an_update_come_in_steps_of_ten() {
    let mut bench = update("[edgehog]\nlate_success = 0\n", 60_000);
    let steps = bench.edgehog_steps(ONE);
    let tens = |status| (1..10).map(move |ten| (status, ten * 10, None));
    let mut expected = vec![
        (Status::Acknowledged, 0, None),
        (Status::Downloading, 0, None),
    ];
    expected.extend(tens(Status::Downloading));
    expected.extend([
        (Status::Downloading, 100, None),
        (Status::Deploying, 0, None),
    ]);
    expected.extend(tens(Status::Deploying));
    expected.extend([(Status::Deployed, 0, None), (Status::Rebooting, 0, None)]);
    assert_eq!(steps[..expected.len()], expected);
    let rest = &steps[expected.len()..];
    let alive = [(Status::Rebooting, 0, None)];
    assert!(rest.is_empty() || rest == alive, "{rest:?}");
}

#[test]
fn contract_0_1_success_after_the_reboot_is_lost_and_the_properties_tell() {
    let mut bench = update("[edgehog]\nlate_success = 0\n", 60_000);
    let messages = bench.messages();
    let last = messages.iter().rev().find_map(|message| match message {
        Message::EdgehogEvent(event) => Some(event.status),
        _ => None,
    });
    assert_eq!(last, Some(Status::Rebooting));
    assert_eq!(property(&messages, "version"), text("2.0.0"));
    assert_eq!(property(&messages, "buildId"), text("b7"));
    assert_eq!(outcome(&bench), Some(RealOutcome::Installed));
}

#[test]
fn contract_0_1_the_final_event_may_survive_the_reboot() {
    let mut bench = update("[edgehog]\nlate_success = 100\n", 60_000);
    let last = (ONE, Status::Success, None);
    assert_eq!(bench.edgehog_events().last(), Some(&last));
}

#[test]
fn contract_0_2_events_while_the_link_is_down_are_lost() {
    let profile = "[failures]\ninstall = 100\n[link]\noffline_every = \"2s\"\n\
        offline_for = \"1h\"\n[edgehog]\nlate_success = 100\n";
    let mut bench = update(profile, 2 * 3_600_000);
    let failed = RealOutcome::Failed(Code::InvalidBaseImage);
    assert_eq!(outcome(&bench), Some(failed));
    let events = bench.edgehog_events();
    assert!(events.iter().all(|(_, status, _)| !status.is_final()));
}

#[test]
fn contract_3_2_a_crash_in_the_download_leaves_nothing_behind() {
    let mut bench = update("[power]\nloss_every = \"600ms\"\n", 700);
    let downloading = |(status, _, _): &(Status, u8, Option<Code>)| *status == Status::Downloading;
    assert!(bench.edgehog_steps(ONE).iter().any(downloading));
    bench.run_for(20_100);
    assert_eq!(outcome(&bench), Some(RealOutcome::Forgotten));
    assert_eq!(bench.edgehog_events(), [], "no event ever");
    bench.edgehog_request(Update, ONE, URL);
    assert_eq!(
        bench.robot.running(),
        Some(ONE),
        "the same uuid is taken again"
    );
}

#[test]
fn contract_3_2_a_crash_while_writing_is_a_rollback_of_which_nobody_hears() {
    let profile = "[power]\nloss_every = \"6s\"\n[edgehog]\nlate_success = 0\n";
    let mut bench = update(profile, 30_000);
    assert_eq!(outcome(&bench), Some(RealOutcome::RolledBack));
    assert_eq!(bench.version("main"), "1.0.0");
    let events = bench.edgehog_events();
    assert!(events.iter().all(|(_, status, _)| !status.is_final()));
}

#[test]
fn contract_3_2_a_runtime_that_starts_again_on_the_same_slot_calls_it_a_rollback() {
    let mut bench = update("[edgehog]\nlate_success = 100\n", 6_000);
    bench.take();
    bench.hears("control/consumer/properties", &[1]);
    bench.run_for(2_000);
    let rolled_back = (ONE, Status::Failure, Some(Code::SystemRollback));
    assert_eq!(bench.edgehog_events(), [rolled_back]);
    assert_eq!(outcome(&bench), Some(RealOutcome::RolledBack));
}

#[test]
fn contract_3_2_a_download_is_tried_five_times_with_growing_waits_and_then_called_internal() {
    let mut bench = Bench::edgehog("");
    let broken = FetchError::Network("reset".to_owned());
    bench.fetch_error = Some(broken);
    bench.take();
    bench.edgehog_request(Update, ONE, URL);
    let mut seen = Vec::new();
    let mut fetches = 0;
    while bench.robot.running().is_some() {
        for output in bench.take() {
            match output {
                device_sim::model::Output::Fetch { .. } => fetches += 1,
                device_sim::model::Output::Publish {
                    message: Message::EdgehogEvent(event),
                    ..
                } => seen.push((bench.now, event.status, event.code)),
                _ => {}
            }
        }
        let next = bench.robot.poll_timeout().unwrap();
        bench.run_for(next - bench.now);
    }
    let error = |at| (at, Status::Error, Some(Code::NetworkError));
    let first = 100;
    let errors = [0, 2, 6, 14, 30].map(|s| error(first + s * 1_000));
    assert_eq!(seen[2..], errors, "no Downloading is repeated");
    assert_eq!(fetches, 5);
    assert_eq!(
        bench.now,
        first + 62_000,
        "it waits after the last attempt too"
    );
    let internal = (ONE, Status::Failure, Some(Code::InternalError));
    assert_eq!(bench.edgehog_events(), [internal]);
}

#[test]
fn contract_3_2_percentages_restart_with_every_download() {
    let mut bench = update("[failures]\ndownload = 100\n", 4_000);
    let steps = bench.edgehog_steps(ONE);
    let tenths = steps
        .iter()
        .filter(|step| **step == (Status::Downloading, 10, None));
    assert_eq!(tenths.count(), 2);
    let begun = steps
        .iter()
        .filter(|step| **step == (Status::Downloading, 0, None));
    assert_eq!(begun.count(), 1);
}

#[test]
fn contract_0_10_an_answer_without_length_is_a_network_error_and_any_body_is_a_bundle() {
    let mut bench = Bench::edgehog("");
    bench.fetch_error = Some(FetchError::NoLength);
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(1_000);
    let error = (ONE, Status::Error, Some(Code::NetworkError));
    assert_eq!(bench.edgehog_events().last(), Some(&error));
    let mut bench = Bench::edgehog("");
    bench.artifact.label = None;
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(5_000);
    let steps = bench.edgehog_steps(ONE);
    let end = [
        (Status::Downloading, 100, None),
        (Status::Failure, 0, Some(Code::InvalidBaseImage)),
    ];
    assert!(steps.ends_with(&end), "{steps:?}");
}

#[test]
fn contract_3_2_an_external_reboot_is_announced_twice_and_then_every_30_s() {
    let profile = "[edgehog]\nreboot = \"external\"\nexternal_reboot = \"100s\"\n";
    let mut bench = update(profile, 11_200);
    let rebooting = (Status::Rebooting, 0, None);
    assert!(bench.edgehog_steps(ONE).ends_with(&[rebooting, rebooting]));
    bench.run_for(95_000);
    assert_eq!(bench.edgehog_steps(ONE), [rebooting; 3]);
    assert_eq!(bench.version("main"), "1.0.0");
    bench.run_for(60_000);
    assert_eq!(bench.version("main"), "2.0.0");
}

#[test]
fn contract_3_2_a_streaming_device_has_no_download_and_no_second_try() {
    let profile = "[edgehog]\nstreaming = true\n";
    let mut bench = update(profile, 60_000);
    let steps = bench.edgehog_steps(ONE);
    assert!(
        steps
            .iter()
            .all(|(status, ..)| *status != Status::Downloading)
    );
    assert_eq!(steps[1], (Status::Deploying, 0, None));
    assert_eq!(bench.version("main"), "2.0.0");
    let mut bench = Bench::edgehog(profile);
    bench.fetch_error = Some(FetchError::Network("reset".to_owned()));
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(5_000);
    let failed = (ONE, Status::Failure, Some(Code::InvalidBaseImage));
    assert_eq!(bench.edgehog_events().last(), Some(&failed));
}

#[test]
fn contract_3_2_an_update_that_rauc_refuses_is_an_invalid_image_and_the_device_is_idle() {
    let mut bench = update("[failures]\ninstall = 100\n", 20_000);
    let failed = (ONE, Status::Failure, Some(Code::InvalidBaseImage));
    assert_eq!(bench.edgehog_events().last(), Some(&failed));
    assert_eq!(bench.robot.running(), None);
    assert!(bench.robot.is_settled());
}
