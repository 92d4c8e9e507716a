//! Astarte payloads as Edgehog devices speak them. The bytes were computed from the BSON
//! specification by hand; the empty purge list is what the released SDK sends.

use rollcall_proto::edgehog::{
    OtaEvent, OtaRequest, Property, SystemStatus, Value, introspection, purge,
};
use rollcall_proto::native::RequestKind;
use rollcall_proto::{Code, Status};

use crate::{bytes, frozen, hex, operation};

const E_UPDATE: &str = "\
    730000000376006b000000026f7065726174696f6e0007000000557064617465000275726c00180000006874\
    74703a2f2f3132372e302e302e313a383038312f61000275756964002500000036663766326435652d353866\
    312d346133612d396236652d326633663064336639613130000000";
const E_CANCEL: &str = "\
    730000000376006b000000026f7065726174696f6e000700000043616e63656c000275726c00180000006874\
    74703a2f2f3132372e302e302e313a383038312f61000275756964002500000036663766326435652d353866\
    312d346133612d396236652d326633663064336639613130000000";
const E_EVENT: &str = "\
    9a00000003760087000000026d65737361676500040000003432250002726571756573745555494400250000\
    0036663766326435652d353866312d346133612d396236652d32663366306433663961313000027374617475\
    73000a0000004465706c6f79696e670002737461747573436f64650001000000001073746174757350726f67\
    72657373002a000000000974007b6c50c4a001000000";
const E_FAILURE: &str = "\
    9c00000003760089000000026d65737361676500010000000002726571756573745555494400250000003666\
    3766326435652d353866312d346133612d396236652d32663366306433663961313000027374617475730008\
    0000004661696c7572650002737461747573436f64650008000000494f4572726f7200107374617475735072\
    6f67726573730000000000000974007b6c50c4a001000000";
const E_STATUS: &str = "\
    880000000376007500000012617661696c4d656d6f72794279746573000050d6dc0100000002626f6f744964\
    002500000036663766326435652d353866312d346133612d396236652d326633663064336639613130001074\
    61736b436f756e7400d400000012757074696d654d696c6c69730048ee000000000000000974007b6c50c4a0\
    01000000";
const E_VERSION: &str = "1200000002760006000000312e342e300000";
const E_LONG: &str = "100000001276000050d6dc0100000000";
const E_ARRAY: &str = "\
    2d000000047600250000000230000800000073746f72616765000231000a00000073747265616d696e670000\
    00";
const PURGE_EMPTY: &str = "00000000789c030000000001";
const PURGE_TWO_STORED: &str = "\
    000000527801015200adff696f2e65646765686f672e6465766963656d616e616765722e42617365496d6167\
    652f6e616d653b696f2e65646765686f672e6465766963656d616e616765722e42617365496d6167652f7665\
    7273696f6efe3b1efd";

#[test]
fn ota_request_is_frozen() {
    let request = |kind| OtaRequest {
        kind,
        operation: operation(),
        url: "http://127.0.0.1:8081/a".to_owned(),
    };
    frozen!(OtaRequest, E_UPDATE, request(RequestKind::Update));
    frozen!(OtaRequest, E_CANCEL, request(RequestKind::Cancel));
}

#[test]
fn ota_event_is_frozen() {
    let deploying = OtaEvent {
        operation: operation(),
        status: Status::Deploying,
        progress: 42,
        code: None,
        message: "42%".to_owned(),
        timestamp_unix_ms: Some(1_790_000_000_123),
    };
    frozen!(OtaEvent, E_EVENT, deploying.clone());
    frozen!(
        OtaEvent,
        E_FAILURE,
        OtaEvent {
            status: Status::Failure,
            progress: 0,
            code: Some(Code::IoError),
            message: String::new(),
            ..deploying
        }
    );
}

#[test]
fn system_status_is_frozen() {
    let status = SystemStatus {
        boot_id: operation().hyphenated().to_string(),
        uptime_ms: 61_000,
        available_memory_bytes: 8_000_000_000,
        tasks: 212,
        timestamp_unix_ms: Some(1_790_000_000_123),
    };
    frozen!(SystemStatus, E_STATUS, status);
}

#[test]
fn properties_are_frozen() {
    frozen!(
        Property,
        E_VERSION,
        Property::Set(Value::String("1.4.0".to_owned()))
    );
    frozen!(
        Property,
        E_LONG,
        Property::Set(Value::LongInteger(8_000_000_000))
    );
    let words = ["storage", "streaming"].map(|word| Value::String(word.to_owned()));
    frozen!(
        Property,
        E_ARRAY,
        Property::Set(Value::Array(words.to_vec()))
    );
    frozen!(Property, "", Property::Unset);
}

#[test]
fn purge_lists_are_frozen() {
    assert_eq!(hex(&purge::encode::<&str>(&[])), PURGE_EMPTY);
    assert_eq!(purge::decode(&bytes(PURGE_EMPTY)), Ok(vec![]));
    assert_eq!(purge::decode(&bytes("00000000")), Ok(vec![]));
    let two = [
        "io.edgehog.devicemanager.BaseImage/name",
        "io.edgehog.devicemanager.BaseImage/version",
    ];
    assert_eq!(purge::decode(&bytes(PURGE_TWO_STORED)).unwrap(), two);
    assert_eq!(purge::decode(&purge::encode(&two)).unwrap(), two);
}

#[test]
fn introspection_is_frozen() {
    let text = "io.edgehog.devicemanager.BaseImage:0:1;io.edgehog.devicemanager.OTAEvent:0:1;\
                io.edgehog.devicemanager.OTARequest:1:0";
    let parsed = introspection::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.len(), 3);
    assert_eq!(introspection::format(&parsed), text);
    assert!(introspection::parse(b"").unwrap().is_empty());
}
