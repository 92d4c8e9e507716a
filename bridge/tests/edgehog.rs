//! Edgehog devices on the wire, through the whole server (device-contract 0, 1, 3 and 6).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod process;

use process::{Device, INTROSPECTION, ServerProcess};
use rollcall_proto::edgehog::{OtaEvent, Property, Value, purge};
use rollcall_proto::native::RequestKind;
use rollcall_proto::{Code, Status};
use serde_json::{Value as Json, json};
use std::io::Write;

const PREFIX: &str = "io.edgehog.devicemanager.";

struct World {
    server: ServerProcess,
    secret: String,
    _directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(directory.path(), "");
        let robot = server.post("/v1/robots", &json!({"id": "d", "ecus": []}));
        let secret = robot["credentials_secret"].as_str().unwrap().to_owned();
        Self {
            server,
            secret,
            _directory: directory,
        }
    }

    fn introduced(&self) -> Device {
        Device::introduced(self.server.mqtt, "d", &self.secret)
    }

    fn started(&self, version: &str) -> Device {
        Device::started(self.server.mqtt, "d", &self.secret, version)
    }

    fn returned(&self, version: &str) -> Device {
        Device::returned(self.server.mqtt, "d", &self.secret, version)
    }

    fn shown(&self) -> Json {
        self.server.get("/v1/robots/d")
    }

    /// The value at a path, as the API shows it.
    fn value(&self, kind: &str, interface: &str, path: &str) -> Option<Json> {
        let shown = self.shown();
        let values = shown["device"][kind]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let interface = format!("{PREFIX}{interface}");
        let mut found = values
            .into_iter()
            .filter(|value| value["interface"] == *interface && value["path"] == *path);
        found.next().map(|value| value["value"].clone())
    }
}

fn string(text: &str) -> Vec<u8> {
    Property::Set(Value::String(text.to_owned())).encode()
}

fn zlib(announced: u32, text: &[u8]) -> Vec<u8> {
    let mut payload = announced.to_be_bytes().to_vec();
    let level = flate2::Compression::best();
    let mut encoder = flate2::write::ZlibEncoder::new(&mut payload, level);
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap();
    payload
}

#[test]
fn what_a_device_says_is_shown_and_survives_a_kill() {
    let mut world = World::new();
    let before = world.shown();
    assert_eq!(
        (&before["by_part_number"], &before["ecus"]),
        (&json!(true), &json!([]))
    );
    let mut device = world.started("1.0.0");
    let long = Property::Set(Value::LongInteger(8_000_000_000)).encode();
    assert!(device.publish(&format!("{PREFIX}HardwareInfo/mem/totalBytes"), &long));
    // {v: {levelPercentage: 80.5}}
    let battery = b"\x26\0\0\0\x03v\0\x1e\0\0\0\x01levelPercentage\0\0\0\0\0\0\x20\x54\x40\0\0";
    device.send_stream(&format!("{PREFIX}BatteryStatus/slot-1"), battery);
    let shown = world.shown();
    assert_eq!(shown["ecus"][0]["hardware_id"], "board-7", "{shown:#}");
    assert_eq!(
        shown["ecus"][0]["reported"]["version"], "1.0.0",
        "what came first is kept"
    );
    assert_eq!(shown["model"], "board-7");
    assert_eq!(
        shown["device"]["interfaces"][format!("{PREFIX}OTARequest")],
        "1.0"
    );
    let memory = || world.value("properties", "HardwareInfo", "/mem/totalBytes");
    let roomy = format!(r#"reported["{PREFIX}HardwareInfo/mem/totalBytes"] > 4000000000"#);
    let meant = |world: &World| {
        let asked = json!({"selector": roomy, "robot": "d"});
        let checked = world.server.post("/v1/selectors/check", &asked);
        assert_eq!(
            checked["robot"]["decided_by"][0]["found"],
            json!(["8000000000"])
        );
        checked["items"].clone()
    };
    assert_eq!(meant(&world), json!(["d"]));
    assert_eq!(memory(), Some(json!(8_000_000_000_u64)));
    let level = world.value("datastreams", "BatteryStatus", "/slot-1");
    assert_eq!(level, Some(json!({"levelPercentage": 80.5})));
    let history = world.server.get("/v1/robots/d/history").to_string();
    assert!(history.contains("part number board-7"), "{history}");
    assert!(
        !history.contains("BatteryStatus"),
        "telemetry is no history"
    );

    world.server.kill();
    world.server.restart();
    assert_eq!(meant(&world), json!(["d"]));
    let memory = world.value("properties", "HardwareInfo", "/mem/totalBytes");
    assert_eq!(memory, Some(json!(8_000_000_000_u64)));
    assert_eq!(world.value("datastreams", "BatteryStatus", "/slot-1"), None);
    // A list that names less deletes the rest.
    let mut device = world.introduced();
    let listed = [format!("{PREFIX}BaseImage/version")];
    assert!(device.publish("control/producer/properties", &purge::encode(&listed)));
    assert_eq!(
        world.value("properties", "HardwareInfo", "/mem/totalBytes"),
        None
    );
    let version = world.value("properties", "BaseImage", "/version");
    assert_eq!(version, Some(json!("1.0.0")));
}

#[test]
fn each_fault_of_astartes_list_ends_the_connection_is_counted_and_changes_nothing() {
    let world = World::new();
    world.started("1.0.0");
    let before = world.shown()["device"].clone();
    let p = |name: &str| format!("{PREFIX}{name}");
    let number = Property::Set(Value::Integer(1)).encode();
    let bomb = zlib(60_000, &vec![b'a'; 8_000_000]);
    for (topic, payload, code) in [
        (String::new(), &b"a:b:c"[..], "invalid_introspection"),
        ("control/nonsense".to_owned(), b"1", "unknown_control_path"),
        (
            "control/producer/properties".to_owned(),
            b"\0\0",
            "invalid_purge_list",
        ),
        (
            "control/producer/properties".to_owned(),
            &zlib(5, b"a.B/c/d"),
            "invalid_purge_list",
        ),
        (
            "control/producer/properties".to_owned(),
            &bomb,
            "invalid_purge_list",
        ),
        (
            p("OTARequest/request"),
            &string("x"),
            "write_on_server_owned_interface",
        ),
        (
            p("Geolocation/gps"),
            &string("x"),
            "interface_not_installed",
        ),
        (
            "com.example.Other/a".to_owned(),
            &string("x"),
            "interface_not_installed",
        ),
        (p("BaseImage/colour"), &string("x"), "mapping_not_found"),
        (p("BaseImage/version"), &number, "unexpected_value_type"),
        (p("BaseImage/version"), b"", "unset_not_allowed"),
        (
            p("BaseImage/version"),
            &string("1.0.0")[..9],
            "undecodable_bson",
        ),
        (
            p("BatteryStatus/slot"),
            &string("x"),
            "unexpected_value_type",
        ),
        ("capabilities".to_owned(), b"{}", "invalid_capabilities"),
    ] {
        let mut device = world.introduced();
        assert!(!device.publish(&topic, payload), "{topic}: {code}");
        let shown = world.shown();
        assert_eq!(shown["last_refusal"]["code"], code, "{topic}: {shown:#}");
        assert_eq!(shown["device"], before, "{topic}: nothing has changed");
        let counted = &world.server.get("/v1/status")["writer"]["refusals"][code];
        assert!(counted.as_u64().is_some_and(|count| count > 0), "{code}");
    }
}

#[test]
fn what_is_no_fault_of_the_device_is_only_discarded() {
    let world = World::new();
    let mut device = world.started("1.0.0");
    let p = |name: &str| format!("{PREFIX}{name}");
    for (topic, payload, code) in [
        (p("BatteryStatus/slot"), &b""[..], "unset_on_datastream"),
        // The introspection has StorageUsage 0.1; the table knows 1.0.
        (
            p("StorageUsage/disk"),
            &string("x"),
            "unknown_interface_major",
        ),
        (
            p("SystemInfo/partNumber"),
            &string("board/8"),
            "bad_part_number",
        ),
    ] {
        assert!(device.publish(&topic, payload), "{topic}");
        if code != "bad_part_number" {
            assert_eq!(world.shown()["last_refusal"]["code"], code);
        }
    }
    // Well-formed, but another product: it is held, and stays connected.
    assert_eq!(world.shown()["ecus"][0]["hold"]["hold"], "part_number");
    device.set("SystemInfo/partNumber", "board-7");
    assert_eq!(world.shown()["ecus"][0]["hold"], Json::Null);
    // A customer's own interface may say what it likes.
    assert!(device.publish("com.example.Own/a/b", &string("x")));
    let shown = world.shown().to_string();
    assert!(shown.contains("com.example.Own"), "{shown}");
}

#[test]
fn properties_of_the_server_are_told_at_once_and_at_every_empty_cache() {
    let mut world = World::new();
    let mut device = world.started("1.0.0");
    let empty = device.message();
    let golden = b"\0\0\0\0\x78\x9c\x03\0\0\0\0\x01".to_vec();
    assert_eq!(empty, ("control/consumer/properties".to_owned(), golden));
    let telemetry = format!("{PREFIX}config.Telemetry");
    let path = format!("request/{PREFIX}SystemStatus/periodSeconds");
    let set = |server: &ServerProcess, value: Json| {
        let body = json!({"interface": telemetry, "path": format!("/{path}"), "value": value});
        server.put("/v1/robots/d/properties", &body)
    };
    set(&world.server, json!(60));
    let payload = Property::Set(Value::LongInteger(60)).encode();
    let told = (format!("{telemetry}/{path}"), payload);
    assert_eq!(device.message(), told);
    drop(device);
    world.server.kill();
    world.server.restart();
    let mut device = world.started("1.0.0");
    let list = purge::encode(&[format!("{telemetry}/{path}")]);
    assert_eq!(
        device.message(),
        ("control/consumer/properties".to_owned(), list)
    );
    assert_eq!(device.message(), told, "the list first, then each");
    set(&world.server, Json::Null);
    assert_eq!(
        device.message(),
        (told.0, Vec::new()),
        "unset is an empty payload"
    );
}

#[test]
fn a_cancel_waits_for_the_device_and_survives_a_kill() {
    let mut world = World::new();
    world.server.add_image("os", "board-7");
    let mut device = world.started("1.0.0");
    let spec = json!({
        "name": "os", "target": {"robots": ["d"]},
        "images": [{"hardware_id": "board-7", "image": "os@2.0.0"}],
    });
    world.server.post("/v1/rollouts", &spec);
    world.server.post("/v1/rollouts/1/launch", &json!({}));
    let update = device.request();
    assert_eq!(update.kind, RequestKind::Update);
    let event = |status, code| OtaEvent {
        operation: update.operation,
        status,
        progress: 0,
        code,
        message: String::new(),
        timestamp_unix_ms: Some(0),
    };
    device.event(&event(Status::Acknowledged, None));
    drop(device);
    let cancelled = world.server.post("/v1/robots/d/cancel", &json!({}));
    assert_eq!(cancelled["operation"]["cancelling"]["by"], "admin");
    world.server.kill();
    world.server.restart();
    let why = world.server.get("/v1/rollouts/1/robots/d/why");
    assert_eq!(why["ecus"][0]["cancelling"]["by"], "admin", "{why:#}");
    let mut device = world.returned("1.0.0");
    let cancel = device.request();
    // Device-contract 0.3: a Cancel has the URL of its Update.
    assert_eq!(cancel.kind, RequestKind::Cancel);
    assert_eq!(
        (cancel.operation, &cancel.url),
        (update.operation, &update.url)
    );
    device.event(&event(Status::Failure, Some(Code::Canceled)));
    let robots = world.server.get("/v1/rollouts/1/robots");
    let ecu = &robots["items"][0]["ecus"][0];
    assert_eq!(ecu["state"], "cancelled", "{ecu:#}");
    assert_eq!(ecu["reason"], "by_operator");
}

#[test]
fn the_introspection_of_these_tests_is_one() {
    let parsed = rollcall_proto::edgehog::introspection::parse(INTROSPECTION.as_bytes());
    assert_eq!(parsed.unwrap().len(), 9);
}
