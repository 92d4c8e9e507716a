//! What a device may not publish on an interface (device-contract 1.7).

use bson::raw::{RawDocumentBuf, cstr};
use rollcall_proto::edgehog::interface::{Rejection, check};
use rollcall_proto::edgehog::{Data, InterfaceVersion, Property, Value};

const BASE_IMAGE: &str = "io.edgehog.devicemanager.BaseImage";
const BATTERY: &str = "io.edgehog.devicemanager.BatteryStatus";
const NETWORK: &str = "io.edgehog.devicemanager.NetworkInterfaceProperties";

fn version(major: u32, minor: u32) -> Option<InterfaceVersion> {
    Some(InterfaceVersion { major, minor })
}

fn text(value: &str) -> Vec<u8> {
    Property::Set(Value::String(value.to_owned())).encode()
}

fn object(build: impl FnOnce(&mut RawDocumentBuf)) -> Vec<u8> {
    let mut inner = RawDocumentBuf::new();
    build(&mut inner);
    let mut outer = RawDocumentBuf::new();
    outer.append(cstr!("v"), inner);
    outer.into_bytes()
}

fn code(interface: &str, path: &str, payload: &[u8]) -> &'static str {
    check(version(0, 1), interface, path, payload).map_or_else(|error| error.code(), |_| "accepted")
}

#[test]
fn what_the_interface_says_is_accepted() {
    let set = check(version(0, 1), BASE_IMAGE, "version", &text("1.4.0")).unwrap();
    assert!(set.property);
    assert_eq!(
        set.data,
        Some(Data::Individual(Value::String("1.4.0".to_owned())))
    );
    let unset = check(version(0, 1), NETWORK, "eth0/macAddress", b"").unwrap();
    assert_eq!((unset.property, unset.data), (true, None));
    // A time that is missing is that of the arrival; keys may be missing too.
    let status = object(|o| o.append(cstr!("levelPercentage"), 80.5));
    let status = check(version(0, 1), BATTERY, "slot-1", &status).unwrap();
    assert!(!status.property);
    // The SDK writes a long integer that is small as a shorter one.
    let short = Property::Set(Value::Integer(7)).encode();
    assert_eq!(
        code(
            "io.edgehog.devicemanager.HardwareInfo",
            "mem/totalBytes",
            &short
        ),
        "accepted"
    );
}

#[test]
fn each_rule_of_astarte_has_its_reason() {
    let number = Property::Set(Value::Integer(1)).encode();
    let long = Property::Set(Value::LongInteger(1)).encode();
    let unknown_key = object(|o| o.append(cstr!("colour"), "red"));
    let wrong_key = object(|o| o.append(cstr!("levelPercentage"), "full"));
    let nested = object(|o| {
        let mut deeper = RawDocumentBuf::new();
        deeper.append(cstr!("x"), 1);
        o.append(cstr!("levelPercentage"), deeper);
    });
    let battery = object(|o| o.append(cstr!("levelPercentage"), 80.5));
    let huge = text(&"x".repeat(65_536));
    for (interface, path, payload, reason) in [
        (BASE_IMAGE, "version", &number[..], "unexpected_value_type"),
        (BASE_IMAGE, "colour", &text("red"), "mapping_not_found"),
        (BASE_IMAGE, "version/x", &text("red"), "mapping_not_found"),
        (BASE_IMAGE, "version", b"", "unset_not_allowed"),
        (BASE_IMAGE, "version", &battery, "unexpected_value_type"),
        (BASE_IMAGE, "version", &huge, "value_size_exceeded"),
        (BASE_IMAGE, "version", b"\x05\0\0\0", "undecodable_bson"),
        (BASE_IMAGE, "version", &text("a")[..10], "undecodable_bson"),
        (BATTERY, "slot", b"", "unset_on_datastream"),
        (BATTERY, "slot/0", &battery, "mapping_not_found"),
        (BATTERY, "slot", &text("full"), "unexpected_value_type"),
        (BATTERY, "slot", &unknown_key, "unexpected_object_key"),
        (BATTERY, "slot", &wrong_key, "unexpected_value_type"),
        (BATTERY, "slot", &nested, "unexpected_value_type"),
        (
            "io.edgehog.devicemanager.OSInfo",
            "osName",
            &long,
            "unexpected_value_type",
        ),
        (
            "io.edgehog.devicemanager.OTARequest",
            "request",
            &battery,
            "write_on_server_owned_interface",
        ),
    ] {
        assert_eq!(code(interface, path, payload), reason, "{interface}/{path}");
    }
    let missing = check(None, BASE_IMAGE, "version", &text("1"));
    assert_eq!(missing, Err(Rejection::NotInstalled));
}

#[test]
fn only_faults_of_the_device_disconnect_it() {
    // Unset on a datastream is Astarte's one exception (device-contract 1.7).
    assert!(!Rejection::UnsetDatastream.disconnects());
    assert!(Rejection::UnsetNotAllowed.disconnects());
    let future = check(version(3, 0), BASE_IMAGE, "colour", b"garbage");
    assert_eq!(
        future,
        Err(Rejection::UnknownMajor { found: 3, known: 0 }),
        "another schema is not judged by ours"
    );
    assert!(!future.unwrap_err().disconnects());
    let newer = check(version(0, 2), BASE_IMAGE, "colour", &text("red")).unwrap_err();
    assert_eq!(newer.code(), "newer_interface_minor");
    assert!(!newer.disconnects());
    // What both versions have is checked all the same.
    let wrong = check(version(0, 2), BASE_IMAGE, "version", b"").unwrap_err();
    assert!(wrong.disconnects());
}

#[test]
fn a_customers_own_interface_may_say_whatever_astarte_has_a_type_for() {
    let own = "com.example.Robot";
    for value in [
        Value::Double(1.5),
        Value::BinaryBlob(vec![0, 1]),
        Value::DateTime(1),
        Value::Array(vec![Value::Boolean(true), Value::Boolean(false)]),
    ] {
        let payload = Property::Set(value.clone()).encode();
        let accepted = check(version(7, 7), own, "any/path", &payload).unwrap();
        assert_eq!(accepted.data, Some(Data::Individual(value)));
    }
    assert_eq!(code(own, "a", b""), "accepted", "a property may be removed");
    let mixed = Value::Array(vec![Value::Integer(1), Value::Boolean(true)]);
    let mixed = Property::Set(mixed).encode();
    assert_eq!(code(own, "a", &mixed), "unexpected_value_type");
    let twice = object(|o| {
        o.append(cstr!("a"), 1);
        o.append(cstr!("a"), 2);
    });
    assert_eq!(code(own, "a", &twice), "undecodable_bson");
    let deep = object(|o| {
        let mut inner = RawDocumentBuf::new();
        inner.append(cstr!("b"), 1);
        o.append(cstr!("a"), inner);
    });
    assert_eq!(code(own, "a", &deep), "unexpected_value_type");
    assert_eq!(
        check(None, own, "a", &deep),
        Err(Rejection::NotInstalled),
        "but only when the introspection lists it"
    );
}
