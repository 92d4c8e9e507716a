//! The native protocol's bounds.

use rollcall_proto::native::{
    Ack, BaseImage, DecodeError, EcuDescription, Manifest, OtaEvent, OtaRequest, PAYLOAD_MAX,
    RequestKind, State,
};
use rollcall_proto::{Code, Status};
use uuid::Uuid;

fn event() -> OtaEvent {
    OtaEvent {
        boot: 7,
        counter: 12,
        operation: Uuid::from_u128(1),
        status: Status::Failure,
        progress: 0,
        code: Some(Code::Busy),
        message: "on a mission".to_owned(),
    }
}

fn ecu(name: &str, primary: bool) -> EcuDescription {
    EcuDescription {
        name: name.to_owned(),
        hardware_id: "hw".to_owned(),
        primary,
    }
}

fn manifest(ecus: Vec<EcuDescription>) -> Result<Manifest, DecodeError> {
    Manifest::decode(
        &Manifest {
            protocol: 1,
            boot: 1,
            wants_ack: false,
            ecus,
        }
        .encode(),
    )
}

fn update() -> OtaRequest {
    OtaRequest {
        kind: RequestKind::Update,
        operation: Uuid::from_u128(1),
        attempt: 1,
        image_name: "os".to_owned(),
        image_version: "2".to_owned(),
        url: "http://127.0.0.1/a".to_owned(),
        size: 1,
        sha256: [7; 32],
        hardware_id: "hw".to_owned(),
        expected_version: None,
        deadline_unix_ms: 0,
    }
}

fn with(mut bytes: Vec<u8>, more: &[u8]) -> Vec<u8> {
    bytes.extend_from_slice(more);
    bytes
}

#[test]
fn unknown_field_is_refused_with_its_number() {
    let bytes = with(event().encode(), &[15 << 3, 1]);
    assert_eq!(OtaEvent::decode(&bytes), Err(DecodeError::UnknownField(15)));
    let far = with(event().encode(), b"\xf8\xff\xff\xff\x0f\x01");
    assert_eq!(
        OtaEvent::decode(&far),
        Err(DecodeError::UnknownField(536_870_911))
    );
    assert_eq!(Ack::decode(&[0, 0]), Err(DecodeError::UnknownField(0)));
}

#[test]
fn unknown_field_inside_an_ecu_is_refused() {
    let bytes = b"\x08\x01\x10\x01\x22\x02\x48\x01";
    assert_eq!(Manifest::decode(bytes), Err(DecodeError::UnknownField(9)));
}

#[test]
fn wrong_type_is_refused_with_the_fields_name() {
    assert_eq!(
        Ack::decode(b"\x0a\x01x"),
        Err(DecodeError::WrongType("boot"))
    );
    assert_eq!(
        Ack::decode(b"\x0d\0\0\0\0"),
        Err(DecodeError::WrongType("boot"))
    );
    assert_eq!(
        OtaEvent::decode(b"\x18\x01"),
        Err(DecodeError::WrongType("operation"))
    );
    assert_eq!(
        Manifest::decode(b"\x20\x01"),
        Err(DecodeError::WrongType("ecus"))
    );
    assert_eq!(
        Manifest::decode(b"\x22\x02\x08\x01"),
        Err(DecodeError::WrongType("ecus.name"))
    );
}

#[test]
fn repeated_singular_field_is_refused() {
    let bytes = with(event().encode(), &[2 << 3, 9]);
    assert_eq!(
        OtaEvent::decode(&bytes),
        Err(DecodeError::Repeated("counter"))
    );
}

#[test]
fn every_prefix_of_an_event_is_refused() {
    let bytes = event().encode();
    // Message and code are optional: the prefixes that end before them are whole messages.
    let whole = [24, 26];
    for end in 0..bytes.len() {
        let decoded = OtaEvent::decode(&bytes[..end]);
        assert_eq!(decoded.is_ok(), whole.contains(&end), "{end}: {decoded:?}");
    }
    assert_eq!(OtaEvent::decode(&bytes[..3]), Err(DecodeError::Truncated));
    assert_eq!(OtaEvent::decode(&bytes[..10]), Err(DecodeError::Truncated));
}

#[test]
fn required_fields_of_an_event_are_named() {
    let missing = |event: OtaEvent| OtaEvent::decode(&event.encode());
    assert_eq!(OtaEvent::decode(b""), Err(DecodeError::Missing("boot")));
    assert_eq!(
        missing(OtaEvent { boot: 0, ..event() }),
        Err(DecodeError::Missing("boot"))
    );
    assert_eq!(
        missing(OtaEvent {
            counter: 0,
            ..event()
        }),
        Err(DecodeError::Missing("counter"))
    );
    assert_eq!(
        OtaEvent::decode(b"\x08\x01\x10\x01"),
        Err(DecodeError::Missing("operation"))
    );
    let without_status = &event().encode()[..22];
    assert_eq!(
        OtaEvent::decode(without_status),
        Err(DecodeError::Missing("status"))
    );
}

#[test]
fn numbers_out_of_range_are_refused() {
    let above = OtaEvent {
        progress: 101,
        ..event()
    };
    let refused = DecodeError::AboveHundred {
        field: "progress",
        value: 101,
    };
    assert_eq!(OtaEvent::decode(&above.encode()), Err(refused));
    let head = &event().encode()[..22];
    let unknown_status = with(head.to_vec(), &[4 << 3, 9]);
    assert_eq!(
        OtaEvent::decode(&unknown_status),
        Err(DecodeError::Invalid("status"))
    );
    let unknown_code = with(head.to_vec(), &[4 << 3, 8, 6 << 3, 99]);
    assert_eq!(
        OtaEvent::decode(&unknown_code),
        Err(DecodeError::Invalid("code"))
    );
    let battery = DecodeError::AboveHundred {
        field: "battery_percent",
        value: 101,
    };
    assert_eq!(State::decode(&[8, 1, 16, 101]), Err(battery));
    assert_eq!(State::decode(&[16, 50]), Err(DecodeError::Missing("state")));
    assert_eq!(State::decode(&[8, 77]), Err(DecodeError::Invalid("state")));
    let eleven = with(vec![8], &[0xff; 10]);
    assert!(matches!(
        Ack::decode(&with(eleven, &[1])),
        Err(DecodeError::Malformed(_))
    ));
}

#[test]
fn operation_of_another_length_is_refused() {
    let bytes = b"\x08\x01\x10\x01\x1a\x02ab\x20\x01";
    assert_eq!(
        OtaEvent::decode(bytes),
        Err(DecodeError::Invalid("operation"))
    );
}

#[test]
fn oversized_text_and_payloads_are_refused() {
    let long = OtaEvent {
        message: "m".repeat(1025),
        ..event()
    };
    let refused = DecodeError::TooLong {
        field: "message",
        max: 1024,
    };
    assert_eq!(OtaEvent::decode(&long.encode()), Err(refused));
    let fits = OtaEvent {
        message: "m".repeat(1024),
        ..event()
    };
    assert_eq!(OtaEvent::decode(&fits.encode()), Ok(fits));
    let huge = vec![0; PAYLOAD_MAX + 1];
    assert_eq!(
        Ack::decode(&huge),
        Err(DecodeError::TooLarge(PAYLOAD_MAX + 1))
    );
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let bytes = with(event().encode()[..24].to_vec(), b"\x3a\x02\xff\xfe");
    assert!(matches!(
        OtaEvent::decode(&bytes),
        Err(DecodeError::Malformed(_))
    ));
}

#[test]
fn manifest_needs_unique_ecus_and_one_primary() {
    assert!(manifest(vec![ecu("main", true), ecu("arm", false)]).is_ok());
    assert_eq!(manifest(vec![]), Err(DecodeError::Missing("ecus")));
    assert_eq!(
        manifest(vec![ecu("arm", false)]),
        Err(DecodeError::PrimaryCount(0))
    );
    let two = vec![ecu("main", true), ecu("arm", true)];
    assert_eq!(manifest(two), Err(DecodeError::PrimaryCount(2)));
    let twice = vec![ecu("main", true), ecu("main", false)];
    assert_eq!(
        manifest(twice),
        Err(DecodeError::DuplicateEcu("main".to_owned()))
    );
    let named = |count: usize| (0..count).map(|n| ecu(&format!("e{n}"), n == 0)).collect();
    assert!(manifest(named(32)).is_ok());
    assert_eq!(manifest(named(33)), Err(DecodeError::TooManyEcus(33)));
    assert_eq!(
        manifest(vec![ecu("a/b", true)]),
        Err(DecodeError::Invalid("ecus.name"))
    );
    let long = DecodeError::TooLong {
        field: "ecus.name",
        max: 32,
    };
    assert_eq!(manifest(vec![ecu(&"e".repeat(33), true)]), Err(long));
}

#[test]
fn manifest_of_another_protocol_is_refused() {
    let other = Manifest {
        protocol: 2,
        boot: 1,
        wants_ack: false,
        ecus: vec![ecu("main", true)],
    };
    assert_eq!(
        Manifest::decode(&other.encode()),
        Err(DecodeError::UnsupportedProtocol(2))
    );
    let none = Manifest {
        protocol: 0,
        ..other
    };
    assert_eq!(
        Manifest::decode(&none.encode()),
        Err(DecodeError::Missing("protocol"))
    );
}

#[test]
fn base_image_fields_are_checked_when_present() {
    let image = |name: &str, version: &str| BaseImage {
        name: name.to_owned(),
        version: version.to_owned(),
        build_id: None,
        digest: None,
        operation: None,
    };
    let decode = |image: BaseImage| BaseImage::decode(&image.encode());
    assert_eq!(decode(image("", "1")), Err(DecodeError::Missing("name")));
    assert_eq!(
        decode(image("os", "")),
        Err(DecodeError::Missing("version"))
    );
    assert_eq!(decode(image("o s", "1")), Err(DecodeError::Invalid("name")));
    assert_eq!(
        decode(image("os", "1\n")),
        Err(DecodeError::Invalid("version"))
    );
    let short_digest = with(image("os", "1").encode(), b"\x22\x02ab");
    assert_eq!(
        BaseImage::decode(&short_digest),
        Err(DecodeError::Invalid("digest"))
    );
}

#[test]
fn update_needs_everything_and_cancel_needs_its_url() {
    let decode = |request: OtaRequest| OtaRequest::decode(&request.encode());
    assert!(decode(update()).is_ok());
    assert_eq!(
        decode(OtaRequest {
            size: 0,
            ..update()
        }),
        Err(DecodeError::Missing("size"))
    );
    assert_eq!(
        decode(OtaRequest {
            attempt: 0,
            ..update()
        }),
        Err(DecodeError::Missing("attempt"))
    );
    let nameless = OtaRequest {
        hardware_id: String::new(),
        ..update()
    };
    assert_eq!(decode(nameless), Err(DecodeError::Missing("hardware_id")));
    let file = OtaRequest {
        url: "file:///etc/passwd".to_owned(),
        ..update()
    };
    assert_eq!(decode(file), Err(DecodeError::Invalid("url")));
    let cancel = OtaRequest {
        kind: RequestKind::Cancel,
        url: String::new(),
        ..update()
    };
    assert_eq!(decode(cancel), Err(DecodeError::Missing("url")));
}
