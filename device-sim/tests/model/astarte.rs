//! Astarte MQTT v1 as the device's SDK speaks it (device-contract 0, 1 and 6).

use std::collections::BTreeSet;

use device_sim::model::{Downlink, Input, Message, Output, Violation};
use rollcall_proto::edgehog::{Property, SystemStatus, Value, introspection, purge};
use rollcall_proto::native::RequestKind::Update;

use crate::bench::{Bench, ONE, URL};

const CONSUMER: &str = "control/consumer/properties";
const TELEMETRY: &str = "io.edgehog.devicemanager.config.Telemetry";
const ENABLE: &str = "io.edgehog.devicemanager.config.Telemetry/request/io.edgehog.devicemanager.SystemStatus/enable";

/// The list, as the device sent it.
fn producer_list(messages: &[Message]) -> Vec<String> {
    let mut lists = messages.iter().filter_map(|message| match message {
        Message::ProducerProperties(list) => Some(list.clone()),
        _ => None,
    });
    let list = lists.next().expect("a handshake");
    assert!(lists.next().is_none(), "one handshake");
    list
}

/// The properties that were set, and those that were unset.
fn properties(messages: &[Message]) -> (Vec<String>, Vec<String>) {
    let all = messages.iter().filter_map(|message| match message {
        Message::Property {
            interface,
            path,
            value,
        } => Some((format!("{interface}/{path}"), value)),
        _ => None,
    });
    let (set, unset): (Vec<_>, Vec<_>) = all.partition(|(_, value)| **value != Property::Unset);
    let names = |all: Vec<(String, _)>| all.into_iter().map(|(name, _)| name).collect();
    (names(set), names(unset))
}

fn statuses(messages: &[Message]) -> Vec<SystemStatus> {
    let status = |message: &Message| match message {
        Message::SystemStatus(status) => Some(status.clone()),
        _ => None,
    };
    messages.iter().filter_map(status).collect()
}

fn reconnect(bench: &mut Bench) -> Vec<Message> {
    bench.take();
    bench.cut();
    bench.run_for(5_000);
    bench.messages()
}

#[test]
fn contract_1_6_the_handshake_is_pipelined_in_the_sdks_order() {
    let mut bench = Bench::edgehog("[edgehog]\nstatus_lost = 0\n");
    let outputs = bench.take();
    let clean_session = true;
    assert_eq!(outputs[0], Output::Connect { clean_session });
    let filters: Vec<_> = outputs[1..9]
        .iter()
        .map(|output| match output {
            Output::Subscribe(filters) => filters[..].to_vec(),
            other => panic!("{other:?} instead of one of 8 subscriptions"),
        })
        .collect();
    assert!(filters.iter().all(|one| one.len() == 1 && one[0].1 == 2));
    assert_eq!(filters[0][0].0, CONSUMER);
    let messages: Vec<_> = outputs[9..]
        .iter()
        .map(|output| match output {
            Output::Publish { message, .. } => message.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(matches!(&messages[0], Message::Introspection(_)));
    assert_eq!(messages[1], Message::EmptyCache);
    assert_eq!(messages[2], Message::ProducerProperties(vec![]));
    assert!(matches!(messages.last(), Some(Message::SystemStatus(_))));
    let middle = &messages[3..messages.len() - 1];
    assert!(middle.iter().all(|m| matches!(m, Message::Property { .. })));
    let qos: Vec<_> = messages.iter().map(Message::qos).collect();
    assert!(qos[..qos.len() - 1].iter().all(|qos| *qos == 2));
    assert_eq!(qos[qos.len() - 1], 0);
}

#[test]
fn contract_6_the_default_build_has_26_interfaces_of_which_7_are_the_servers() {
    let mut bench = Bench::edgehog("");
    let outputs = bench.take();
    let subscribed: BTreeSet<_> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Subscribe(filters) => filters[0].0.strip_suffix("/#"),
            _ => None,
        })
        .collect();
    assert_eq!(subscribed.len(), 7);
    bench.outputs = outputs;
    let messages = bench.messages();
    let Message::Introspection(text) = &messages[0] else {
        panic!("{:?}", messages[0]);
    };
    let interfaces = introspection::parse(text.as_bytes()).unwrap();
    assert_eq!(interfaces.len(), 26);
    assert!(subscribed.iter().all(|name| interfaces.contains_key(*name)));
    assert_eq!(interfaces["io.edgehog.devicemanager.OTARequest"].major, 1);
    let again = reconnect(&mut bench);
    assert_ne!(again[0], messages[0], "the order means nothing");
}

#[test]
fn contract_6_the_runtime_reports_itself_completely() {
    let mut bench = Bench::edgehog("[edgehog]\npart_number = \"arm-3\"\n");
    let messages = bench.messages();
    let (set, unset) = properties(&messages);
    assert_eq!((set.len(), unset.len()), (28, 0));
    for name in [
        "BaseImage/version",
        "OSInfo/osName",
        "HardwareInfo/mem/totalBytes",
        "RuntimeInfo/version",
        "SystemInfo/serialNumber",
        "NetworkInterfaceProperties/eth0/macAddress",
        "fileTransfer.Capabilities/serverToDevice/streaming/encodings",
    ] {
        let name = format!("io.edgehog.devicemanager.{name}");
        assert!(set.contains(&name), "{name}");
    }
    let part_number = messages.iter().find_map(|message| match message {
        Message::Property {
            path: "partNumber",
            value,
            ..
        } => Some(value.clone()),
        _ => None,
    });
    let given = Property::Set(Value::String("arm-3".to_owned()));
    assert_eq!(part_number, Some(given));
}

#[test]
fn contract_1_6_the_list_is_empty_at_every_process_start_and_complete_at_reconnects() {
    let mut bench = Bench::edgehog("");
    assert_eq!(producer_list(&bench.messages()).len(), 0);
    bench.cut();
    bench.run_for(5_000);
    let clean_session = false;
    let outputs = bench.take();
    assert!(outputs.contains(&Output::Connect { clean_session }));
    bench.outputs = outputs;
    assert_eq!(producer_list(&bench.messages()).len(), 28);
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(60_000);
    let clean_session = true;
    let outputs = bench.take();
    assert!(outputs.contains(&Output::Connect { clean_session }));
    bench.outputs = outputs;
    assert_eq!(producer_list(&bench.messages()).len(), 0);
}

#[test]
fn contract_1_6_only_a_lost_session_makes_the_device_send_everything_again() {
    let mut bench = Bench::edgehog("");
    bench.session_present = true;
    let messages = reconnect(&mut bench);
    assert_eq!(producer_list(&messages).len(), 28);
    assert_eq!(properties(&messages).0.len(), 0);
    bench.session_present = false;
    let messages = reconnect(&mut bench);
    assert_eq!(properties(&messages).0.len(), 28);
}

#[test]
fn contract_1_6_what_was_not_acknowledged_is_not_listed_and_is_sent_again() {
    let mut bench = Bench::edgehog("");
    bench.session_present = true;
    bench.acknowledges = false;
    bench.session_present = false;
    reconnect(&mut bench);
    bench.session_present = true;
    let messages = reconnect(&mut bench);
    assert_eq!(producer_list(&messages).len(), 0);
    assert_eq!(properties(&messages).0.len(), 28);
    assert!(!bench.robot.is_settled());
}

#[test]
fn contract_1_4_a_property_that_went_away_is_unset_until_the_server_knows() {
    let mut bench = Bench::edgehog("[edgehog]\nadapter_changes = 100\n");
    bench.session_present = true;
    let messages = reconnect(&mut bench);
    let (set, unset) = properties(&messages);
    assert_eq!(
        (set.len(), unset.len()),
        (0, 2),
        "sent although the session was kept"
    );
    assert!(unset.iter().all(|name| name.contains("/wlan0/")));
    assert_eq!(producer_list(&messages).len(), 26);
    let (set, unset) = properties(&reconnect(&mut bench));
    assert_eq!((set.len(), unset.len()), (2, 0), "and put in again");
}

#[test]
fn contract_6_the_boot_id_tells_a_reboot_from_a_reconnect() {
    let mut bench = Bench::edgehog("[edgehog]\nstatus_lost = 0\n");
    let first = statuses(&bench.messages());
    assert_eq!(statuses(&reconnect(&mut bench)), [], "not periodic");
    bench.edgehog_request(Update, ONE, URL);
    bench.run_for(60_000);
    let second = statuses(&bench.messages());
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first[0].boot_id, second[0].boot_id);
    let mut bench = Bench::edgehog("[edgehog]\nstatus_lost = 100\n");
    assert_eq!(
        statuses(&bench.messages()),
        [],
        "sent before the link was up"
    );
}

#[test]
fn contract_1_7_the_waits_are_the_sdks() {
    let mut bench = Bench::edgehog("");
    let mut waits = Vec::new();
    bench.acknowledges = false;
    for _ in 0..11 {
        let before = bench.now;
        bench.cut_without_return();
        let at = bench.robot.poll_timeout().unwrap();
        waits.push(at - before);
        bench.refuse_next(at);
    }
    for (wait, seconds) in waits
        .iter()
        .zip([1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 256])
    {
        let around = seconds * 500..=seconds * 1_500;
        assert!(around.contains(wait), "{wait} ms is not around {seconds} s");
    }
    bench.run_for(2_000_000);
    bench.cut_without_return();
    assert_eq!(bench.robot.poll_timeout(), Some(bench.now), "begun anew");
}

#[test]
fn contract_1_3_the_servers_properties_are_kept_until_a_list_leaves_them_out() {
    let mut bench = Bench::edgehog("");
    let set = Property::Set(Value::Boolean(true)).encode();
    bench.hears(ENABLE, &set);
    let kept = |bench: &Bench| bench.robot.consumer_properties().count();
    assert_eq!(kept(&bench), 1);
    bench.hears(CONSUMER, &purge::encode(&[ENABLE]));
    assert_eq!(kept(&bench), 1);
    bench.hears(CONSUMER, &purge::encode::<&str>(&[]));
    assert_eq!(kept(&bench), 0);
    bench.hears(ENABLE, &set);
    bench.hears(ENABLE, b"");
    assert_eq!(kept(&bench), 0);
    bench.hears(CONSUMER, &[0, 0, 0, 0]);
    assert_eq!(
        bench.robot.truth().violations(),
        [],
        "the bare form is taken too"
    );
}

#[test]
fn contract_1_4_a_property_of_a_wrong_type_is_dropped_and_the_link_stays() {
    let mut bench = Bench::edgehog("");
    let text = Property::Set(Value::String("yes".to_owned())).encode();
    bench.hears(ENABLE, &text);
    bench.hears(&format!("{TELEMETRY}/request/x/colour"), &text);
    bench.hears("io.edgehog.devicemanager.OTARequest/request", &text);
    assert_eq!(bench.robot.truth().violations().len(), 3);
    assert_eq!(bench.robot.consumer_properties().count(), 0);
    assert!(bench.robot.is_connected());
}

#[test]
fn contract_0_8_a_malformed_control_payload_ends_the_process() {
    for payload in [&[0, 0][..], &[0, 0, 0, 9, 1, 2, 3]] {
        let mut bench = Bench::edgehog("[edgehog]\nstatus_lost = 0\n");
        let before = statuses(&bench.messages());
        bench.hears(CONSUMER, payload);
        let seen = bench.robot.truth().violations();
        assert!(
            matches!(seen, [Violation::MalformedControl { .. }]),
            "{seen:?}"
        );
        assert!(!bench.robot.is_connected());
        let graceful = false;
        assert!(bench.take().contains(&Output::Disconnect { graceful }));
        bench.run_for(2_000);
        let messages = bench.messages();
        assert_eq!(producer_list(&messages).len(), 0, "a new process");
        let after = statuses(&messages);
        assert_eq!(before[0].boot_id, after[0].boot_id, "on the same machine");
    }
}

#[test]
fn contract_1_3_a_list_of_another_length_than_announced_is_only_noted() {
    let mut bench = Bench::edgehog("");
    let mut lying = purge::encode(&[ENABLE]);
    lying[3] += 1;
    bench.hears(CONSUMER, &lying);
    let seen = bench.robot.truth().violations();
    assert!(
        matches!(seen, [Violation::MalformedControl { .. }]),
        "{seen:?}"
    );
    assert!(bench.robot.is_connected());
}

#[test]
fn contract_0_7_a_packet_above_10240_bytes_makes_the_device_hang_up() {
    let topic = "fleet/r1/io.edgehog.devicemanager.OTARequest/request";
    let fitting = Downlink::SIZE_MAX - 4 - topic.len();
    for (bytes, violates) in [(fitting, "malformed"), (fitting + 1, "too large")] {
        let mut bench = Bench::edgehog("");
        bench.hears(&topic[9..], &vec![0; bytes]);
        let seen = match bench.robot.truth().violations() {
            [Violation::Malformed { .. }] => "malformed",
            [Violation::TooLarge { bytes: 10_241, .. }] => "too large",
            other => panic!("{other:?}"),
        };
        assert_eq!(seen, violates);
        assert_eq!(bench.robot.is_connected(), seen == "malformed");
        bench.run_for(5_000);
        assert!(bench.robot.is_connected(), "it comes back");
    }
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
