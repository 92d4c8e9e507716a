//! Bad input over MQTT through the whole server: a clear answer to whoever sent it, counted, and nothing changed.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod process;

use process::{Client, ServerProcess};
use rollcall_broker::ReasonCode;
use rollcall_proto::Status;
use rollcall_proto::native::OtaEvent;
use rollcall_tests::lean::Identity;
use serde_json::{Value, json};

const ECUS: [(&str, &str); 2] = [("main", "compute"), ("motor-1", "motor")];

struct World {
    server: ServerProcess,
    robots: Vec<Identity>,
    _directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(directory.path(), "");
        let robots = server.register(2, &ECUS);
        server.add_image("motor-os", "motor");
        Self {
            server,
            robots,
            _directory: directory,
        }
    }

    fn launch(&self) {
        let spec = json!({
            "name": "motors", "target": {"robots": ["r-0"]},
            "images": [{"hardware_id": "motor", "image": "motor-os@2.0.0"}],
        });
        let id = self.server.post("/v1/rollouts", &spec)["id"]
            .as_u64()
            .unwrap();
        self.server
            .post(&format!("/v1/rollouts/{id}/launch"), &json!({}));
    }

    fn refused(&self, code: &str) -> u64 {
        self.server.get("/v1/status")["writer"]["refusals"][code]
            .as_u64()
            .unwrap_or(0)
    }

    fn targets(&self) -> Value {
        self.server.get("/v1/rollouts/1/robots")
    }
}

fn event(operation: uuid::Uuid, boot: u64, counter: u64) -> OtaEvent {
    let status = Status::Acknowledged;
    OtaEvent {
        boot,
        counter,
        operation,
        status,
        progress: 0,
        code: None,
        message: String::new(),
    }
}

#[test]
fn a_wrong_password_and_an_unknown_robot_are_told_what_is_wrong() {
    let world = World::new();
    let (_, code, reason) = Client::connect(world.server.mqtt, &world.robots[0], "guess");
    assert_eq!(code, ReasonCode::BadUserNameOrPassword);
    assert!(reason.contains("credentials secret"), "{reason}");
    let ghost = Identity {
        id: "ghost".to_owned(),
        ..world.robots[0].clone()
    };
    let (_, code, reason) = Client::connect(world.server.mqtt, &ghost, "guess");
    assert_eq!(code, ReasonCode::NotAuthorized);
    assert!(reason.contains("rollcall robot add"), "{reason}");
}

#[test]
fn a_second_connection_of_a_robot_takes_the_first_one_over() {
    let world = World::new();
    let mut first = Client::introduced(world.server.mqtt, &world.robots[0], 1);
    let mut second = Client::introduced(world.server.mqtt, &world.robots[0], 1);
    assert_eq!(first.disconnected(), Some(ReasonCode::SessionTakenOver));
    world.launch();
    assert_eq!(
        second.request().hardware_id,
        "motor",
        "requests go to the connection that lives"
    );
}

#[test]
fn a_topic_outside_the_robots_own_is_refused_by_name() {
    let world = World::new();
    let mut robot = Client::introduced(world.server.mqtt, &world.robots[0], 1);
    for topic in [
        "fleet/r-1/rollcall.v1.Manifest",
        "fleet/r-0/rollcall.v1.OTARequest/main",
        "elsewhere",
    ] {
        let (code, reason) = robot.publish(topic, b"x").unwrap_err();
        assert_eq!(code, ReasonCode::NotAuthorized, "{topic}");
        assert!(reason.contains("own"), "{reason}");
    }
}

#[test]
fn payloads_and_events_that_cannot_be_true_are_refused_counted_and_shown() {
    let world = World::new();
    let mut robot = Client::introduced(world.server.mqtt, &world.robots[0], 5);
    world.launch();
    let operation = robot.request().operation;
    let before = world.targets();
    let manifest = robot.base().manifest();
    let events = robot.base().ota_event("motor-1");
    let refused = |answer: Result<(), (ReasonCode, String)>, code: &str, hint: &str| {
        let (reason_code, reason) = answer.unwrap_err();
        assert_eq!(reason_code, ReasonCode::PayloadFormatInvalid, "{code}");
        assert!(reason.contains(hint), "{code}: {reason}");
        assert!(world.refused(code) > 0, "{code} is not counted");
    };
    refused(
        robot.publish(&manifest, b"\xff\xff"),
        "malformed_payload",
        "payload",
    );
    refused(
        robot.publish(&events, &[0; 20_000]),
        "malformed_payload",
        "exceeds",
    );
    refused(
        robot.manifest(4),
        "older_boot",
        "increases it at each start",
    );
    let unknown = uuid::Uuid::from_u128(7);
    refused(
        robot.event("motor-1", &event(unknown, 5, 1)),
        "unknown_operation",
        "never requested",
    );
    refused(
        robot.event("main", &event(operation, 5, 1)),
        "unknown_operation",
        "never requested",
    );
    refused(
        robot.event("ghost", &event(operation, 5, 1)),
        "unknown_ecu",
        "not registered",
    );
    refused(
        robot.event("motor-1", &event(operation, 4, 1)),
        "older_boot",
        "older",
    );
    refused(
        robot.event("motor-1", &event(operation, 6, 1)),
        "boot_without_manifest",
        "Manifest",
    );
    let over = OtaEvent {
        status: Status::Downloading,
        progress: 101,
        ..event(operation, 5, 1)
    };
    refused(
        robot.event("motor-1", &over),
        "malformed_payload",
        "above 100",
    );
    robot.event("motor-1", &event(operation, 5, 100)).unwrap();
    refused(
        robot.event("motor-1", &event(operation, 5, 1)),
        "old_counter",
        "duplicate",
    );
    let after = world.targets();
    assert_ne!(before, after, "the one true event has moved the target");
    assert_eq!(
        after["items"][0]["ecus"][0]["state"], "acknowledged",
        "{after:#}"
    );
    let shown = world.server.get("/v1/robots/r-0");
    assert!(
        shown.to_string().contains("old_counter"),
        "the robot's last refusal is shown: {shown:#}"
    );
}

#[test]
fn events_of_a_finished_operation_and_duplicates_are_acknowledged_and_change_nothing() {
    let world = World::new();
    let mut robot = Client::introduced(world.server.mqtt, &world.robots[0], 1);
    world.launch();
    let operation = robot.request().operation;
    robot.event("motor-1", &event(operation, 1, 1)).unwrap();
    robot.event("motor-1", &event(operation, 1, 1)).unwrap();
    assert_eq!(world.refused("duplicate_event"), 1);
    let motor = robot.identity.ecus[1].clone();
    robot.image(&motor, "2.0.0", Some(operation)).unwrap();
    let done = world.targets();
    let failed = OtaEvent {
        status: Status::Failure,
        ..event(operation, 1, 2)
    };
    robot.event("motor-1", &failed).unwrap();
    assert_eq!(world.refused("late_event"), 1);
    assert_eq!(world.targets(), done);
}

#[test]
fn malformed_packets_end_the_connection_with_the_reason_and_hurt_nobody_else() {
    let world = World::new();
    let mut innocent = Client::introduced(world.server.mqtt, &world.robots[1], 1);
    for bytes in [
        // A PUBLISH with a wildcard in its topic name, one with U+0000, a SUBSCRIBE with wrong flags, a second CONNECT
        // that is none, an endless length.
        &b"\x32\x06\x00\x01#\x00\x01\x00"[..],
        b"\x32\x06\x00\x01\x00\x00\x01\x00",
        b"\x80\x00",
        b"\x10\x00",
        b"\x30\xff\xff\xff\xff\xff",
    ] {
        let mut robot = Client::introduced(world.server.mqtt, &world.robots[0], 1);
        robot.send_bytes(bytes);
        assert!(
            robot.disconnected().is_some_and(|code| code as u8 >= 0x80),
            "{bytes:?}"
        );
    }
    innocent.manifest(2).unwrap();
}

#[test]
fn a9_a_skipped_robot_hears_nothing_on_the_wire() {
    let world = World::new();
    let legacy = world.server.post(
        "/v1/robots",
        &json!({"id": "legacy", "ecus": [{"name": "main", "hardware_id": "legacy", "primary": true}]}),
    );
    let identity = Identity {
        id: "legacy".to_owned(),
        secret: legacy["credentials_secret"].as_str().unwrap().to_owned(),
        ecus: vec![rollcall_proto::native::EcuDescription {
            name: "main".to_owned(),
            hardware_id: "legacy".to_owned(),
            primary: true,
        }],
        ..world.robots[0].clone()
    };
    let mut skipped = Client::introduced(world.server.mqtt, &identity, 1);
    let mut updated = Client::introduced(world.server.mqtt, &world.robots[0], 1);
    let spec = json!({
        "name": "motors", "target": {"robots": ["r-0", "legacy"]},
        "images": [{"hardware_id": "motor", "image": "motor-os@2.0.0"}],
    });
    let preview = world.server.post("/v1/rollouts/preview", &spec);
    assert!(
        preview.to_string().contains("no_compatible_ecu"),
        "{preview:#}"
    );
    world.server.post("/v1/rollouts", &spec);
    world.server.post("/v1/rollouts/1/launch", &json!({}));
    let operation = updated.request().operation;
    let motor = updated.identity.ecus[1].clone();
    updated.image(&motor, "2.0.0", Some(operation)).unwrap();
    assert_eq!(world.server.get("/v1/rollouts/1")["status"], "completed");
    assert_eq!(skipped.requests_so_far(), 0);
    let why = world.server.get("/v1/rollouts/1/robots/legacy/why");
    assert!(why.to_string().contains("no_compatible_ecu"), "{why:#}");
}
