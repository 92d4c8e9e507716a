//! What Astarte's grammar does not allow.

use std::io::Write;

use bson::raw::{RawDocumentBuf, cstr};
use rollcall_proto::edgehog::introspection::{self, IntrospectionError};
use rollcall_proto::edgehog::purge::{self, PurgeError};
use rollcall_proto::edgehog::{
    BOOT_ID_MAX, DOCUMENT_MAX, DecodeError, OtaEvent, OtaRequest, Property, SystemStatus, Value,
};
use rollcall_proto::{Code, Status};

const UUID: &str = "6f7f2d5e-58f1-4a3a-9b6e-2f3f0d3f9a10";

fn object(build: impl FnOnce(&mut RawDocumentBuf)) -> Vec<u8> {
    let mut inner = RawDocumentBuf::new();
    build(&mut inner);
    let mut outer = RawDocumentBuf::new();
    outer.append(cstr!("v"), inner);
    outer.into_bytes()
}

fn event(build: impl FnOnce(&mut RawDocumentBuf)) -> Result<OtaEvent, DecodeError> {
    OtaEvent::decode(&object(|inner| {
        inner.append(cstr!("requestUUID"), UUID);
        build(inner);
    }))
}

#[test]
fn keys_may_be_missing_but_not_the_two_that_give_meaning() {
    let bare = event(|o| o.append(cstr!("status"), "Success")).unwrap();
    assert_eq!(
        (bare.status, bare.progress, bare.code),
        (Status::Success, 0, None)
    );
    assert_eq!((bare.message.as_str(), bare.timestamp_unix_ms), ("", None));
    assert_eq!(event(|_| ()), Err(DecodeError::Missing("status")));
    let no_uuid = object(|o| o.append(cstr!("status"), "Success"));
    assert_eq!(
        OtaEvent::decode(&no_uuid),
        Err(DecodeError::Missing("requestUUID"))
    );
    let empty = RawDocumentBuf::new().into_bytes();
    assert_eq!(OtaEvent::decode(&empty), Err(DecodeError::Missing("v")));
}

#[test]
fn wrong_types_are_refused_by_key() {
    assert_eq!(
        event(|o| o.append(cstr!("status"), 1)),
        Err(DecodeError::WrongType("status"))
    );
    let long = event(|o| o.append(cstr!("statusProgress"), 50_i64));
    assert_eq!(long, Err(DecodeError::WrongType("statusProgress")));
    let text = Property::Set(Value::String("x".to_owned())).encode();
    assert_eq!(OtaEvent::decode(&text), Err(DecodeError::WrongType("v")));
    let number = Property::Set(Value::Integer(1)).encode();
    assert_eq!(
        Property::decode_string(&number),
        Err(DecodeError::WrongType("v"))
    );
}

#[test]
fn system_status_takes_what_the_interface_has_and_nothing_else() {
    let status = |build: fn(&mut RawDocumentBuf)| SystemStatus::decode(&object(build));
    assert_eq!(status(|_| ()).unwrap().boot_id, "");
    let small = status(|o| o.append(cstr!("uptimeMillis"), 5_i32)).unwrap();
    assert_eq!(small.uptime_ms, 5);
    let wrong = status(|o| o.append(cstr!("uptimeMillis"), "5"));
    assert_eq!(wrong, Err(DecodeError::WrongType("uptimeMillis")));
    let wrong = status(|o| o.append(cstr!("taskCount"), 5_i64));
    assert_eq!(wrong, Err(DecodeError::WrongType("taskCount")));
    let unknown = status(|o| o.append(cstr!("boot_id"), "x"));
    assert_eq!(unknown, Err(DecodeError::UnknownKey("boot_id".to_owned())));
    let long = SystemStatus::decode(&object(|o| {
        o.append(cstr!("bootId"), "x".repeat(BOOT_ID_MAX + 1).as_str());
    }));
    let (field, max) = ("bootId", BOOT_ID_MAX);
    assert_eq!(long, Err(DecodeError::TooLong { field, max }));
}

#[test]
fn unknown_and_repeated_keys_are_refused() {
    let unknown = event(|o| o.append(cstr!("colour"), "red"));
    assert_eq!(unknown, Err(DecodeError::UnknownKey("colour".to_owned())));
    let twice = event(|o| {
        o.append(cstr!("status"), "Success");
        o.append(cstr!("status"), "Failure");
    });
    assert_eq!(twice, Err(DecodeError::RepeatedKey("status".to_owned())));
    let mut outer = RawDocumentBuf::new();
    outer.append(cstr!("w"), "x");
    assert_eq!(
        Property::decode(outer.as_bytes()),
        Err(DecodeError::UnknownKey("w".to_owned()))
    );
}

#[test]
fn values_outside_the_vocabulary_are_refused() {
    let status = event(|o| o.append(cstr!("status"), "Done"));
    assert_eq!(status, Err(DecodeError::Invalid("status")));
    for (word, result) in [
        ("IOError", (Some(Code::IoError), "")),
        ("RequestError", (Some(Code::InvalidRequest), "")),
        ("", (None, "")),
        // The event is kept: its failure is one, whatever its reason is called.
        ("Busy", (None, "Busy: ")),
        ("Sunburn", (None, "Sunburn: ")),
    ] {
        let event = event(|o| {
            o.append(cstr!("status"), "Failure");
            o.append(cstr!("statusCode"), word);
        })
        .unwrap();
        assert_eq!((event.code, event.message.as_str()), result, "{word}");
    }
    for progress in [-1, 101, i32::MAX] {
        let event = event(|o| {
            o.append(cstr!("status"), "Downloading");
            o.append(cstr!("statusProgress"), progress);
        });
        assert_eq!(event, Err(DecodeError::ProgressOutOfRange(progress)));
    }
    let uuid = OtaEvent::decode(&object(|o| {
        o.append(cstr!("requestUUID"), "me");
        o.append(cstr!("status"), "Success");
    }));
    assert_eq!(uuid, Err(DecodeError::Invalid("requestUUID")));
}

#[test]
fn request_needs_a_known_operation_and_a_url() {
    let request = |operation: &str, url: &str| {
        OtaRequest::decode(&object(|o| {
            o.append(cstr!("operation"), operation);
            o.append(cstr!("url"), url);
            o.append(cstr!("uuid"), UUID);
        }))
    };
    assert!(request("Update", "http://h/a").is_ok());
    assert_eq!(
        request("update", "http://h/a"),
        Err(DecodeError::Invalid("operation"))
    );
    assert_eq!(request("Cancel", ""), Err(DecodeError::Missing("url")));
    let long = format!("http://{}", "u".repeat(2048));
    assert_eq!(
        request("Update", &long),
        Err(DecodeError::TooLong {
            field: "url",
            max: 2048
        })
    );
}

#[test]
fn every_prefix_and_every_lying_length_is_refused() {
    let whole = object(|o| {
        o.append(cstr!("requestUUID"), UUID);
        o.append(cstr!("status"), "Success");
    });
    assert!(OtaEvent::decode(&whole).is_ok());
    for end in 0..whole.len() {
        assert!(OtaEvent::decode(&whole[..end]).is_err(), "{end}");
    }
    for length_at in [0, 7] {
        for lie in [0_u8, 4, 200, 255] {
            let mut lying = whole.clone();
            lying[length_at] = lie;
            assert!(OtaEvent::decode(&lying).is_err(), "{length_at} {lie}");
        }
    }
    let oversized = vec![0; DOCUMENT_MAX + 1];
    assert_eq!(
        OtaEvent::decode(&oversized),
        Err(DecodeError::TooLarge(DOCUMENT_MAX + 1))
    );
}

#[test]
fn properties_refuse_what_astarte_has_no_type_for() {
    let nan = Property::Set(Value::Double(f64::NAN)).encode();
    assert_eq!(Property::decode(&nan), Err(DecodeError::Invalid("v")));
    let mixed = Value::Array(vec![Value::Integer(1), Value::Boolean(true)]);
    assert_eq!(
        Property::decode(&Property::Set(mixed).encode()),
        Err(DecodeError::WrongType("v"))
    );
    let nested = Value::Array(vec![Value::Array(vec![])]);
    assert_eq!(
        Property::decode(&Property::Set(nested).encode()),
        Err(DecodeError::WrongType("v"))
    );
    assert_eq!(
        Property::decode(&object(|_| ())),
        Err(DecodeError::WrongType("v"))
    );
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
fn purge_list_that_lies_about_its_length_is_refused() {
    let text = b"a.B/c;a.B/d";
    assert_eq!(purge::decode(&zlib(11, text)).unwrap(), ["a.B/c", "a.B/d"]);
    for announced in [0, 10, 12, 60_000] {
        let wrong = PurgeError::WrongLength {
            announced: announced as usize,
        };
        assert_eq!(purge::decode(&zlib(announced, text)), Err(wrong));
    }
}

#[test]
fn purge_bomb_is_refused_before_it_is_inflated() {
    let bomb = zlib(8_000_000, &vec![b'a'; 8_000_000]);
    assert!(bomb.len() < 60_000);
    assert_eq!(purge::decode(&bomb), Err(PurgeError::TooLarge(8_000_000)));
    let modest = zlib(100, &vec![b'a'; 8_000_000]);
    assert_eq!(
        purge::decode(&modest),
        Err(PurgeError::WrongLength { announced: 100 })
    );
}

#[test]
fn purge_list_must_be_zlib_text_of_properties() {
    assert_eq!(purge::decode(b"\0\0"), Err(PurgeError::TooShort(2)));
    assert_eq!(purge::decode(b"\0\0\0\x05hello"), Err(PurgeError::NotZlib));
    let mut trailing = zlib(5, b"a.B/c");
    trailing.push(0);
    assert_eq!(purge::decode(&trailing), Err(PurgeError::TrailingBytes));
    let mut cut = zlib(5, b"a.B/c");
    cut.truncate(cut.len() - 5);
    assert!(purge::decode(&cut).is_err());
    assert_eq!(
        purge::decode(&zlib(2, b"\xff\xfe")),
        Err(PurgeError::NotText)
    );
    for (bad, entry) in [
        ("a.B", 1),
        ("a.B/", 1),
        ("a.B/c;", 2),
        ("/c", 1),
        ("a.B/c//d", 1),
    ] {
        let list = zlib(u32::try_from(bad.len()).unwrap(), bad.as_bytes());
        assert_eq!(
            purge::decode(&list),
            Err(PurgeError::BadEntry(entry)),
            "{bad}"
        );
    }
}

#[test]
fn introspection_entries_follow_the_grammar() {
    for bad in [
        "a", "a:1", "a:1:2:3", "a:+1:0", "a:-1:0", "a::0", "1a:0:1", "a b:0:1", ";", "a:0:1;",
    ] {
        let error = introspection::parse(bad.as_bytes()).unwrap_err();
        assert!(
            matches!(error, IntrospectionError::BadEntry(_)),
            "{bad}: {error:?}"
        );
    }
    let twice = IntrospectionError::Duplicate("a".to_owned());
    assert_eq!(introspection::parse(b"a:0:1;a:0:2"), Err(twice));
    assert_eq!(
        introspection::parse(b"\xff"),
        Err(IntrospectionError::NotText)
    );
    let long = vec![b'a'; introspection::INTROSPECTION_MAX + 1];
    assert!(matches!(
        introspection::parse(&long),
        Err(IntrospectionError::TooLarge(_))
    ));
}

#[test]
fn a_message_that_is_too_long_loses_its_end_and_not_the_event() {
    let long = "é".repeat(rollcall_proto::edgehog::MESSAGE_MAX);
    let event = event(|o| {
        o.append(cstr!("status"), "Failure");
        o.append(cstr!("statusCode"), "Sunburn");
        o.append(cstr!("message"), long.as_str());
    })
    .unwrap();
    assert!(event.message.len() <= rollcall_proto::edgehog::MESSAGE_MAX);
    assert!(event.message.starts_with("Sunburn: é"));
    let word = "x".repeat(65);
    let code = crate::edgehog::event(|o| {
        o.append(cstr!("status"), "Failure");
        o.append(cstr!("statusCode"), word.as_str());
    });
    assert!(matches!(code, Err(DecodeError::TooLong { .. })));
}
