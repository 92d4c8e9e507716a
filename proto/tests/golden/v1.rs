//! Native protocol, version 1. The bytes were computed from the protobuf encoding rules by hand.

use rollcall_proto::native::{
    Ack, BaseImage, EcuDescription, Manifest, OperationalState, OtaEvent, OtaRequest, RequestKind,
    State,
};
use rollcall_proto::{Code, Status};

use crate::{digest, frozen, operation};

const MANIFEST: &str =
    "08011007180122110a046d61696e1207636f6d70757465180122100a076d6f746f722d3112056d6f746f72";
const BASE_IMAGE: &str = "\
    0a07626173652d6f731205312e342e301a0262372220000102030405060708090a0b0c0d0e0f101112131415\
    161718191a1b1c1d1e1f2a106f7f2d5e58f14a3a9b6e2f3f0d3f9a10";
const BASE_IMAGE_BARE: &str = "0a07626173652d6f731205312e342e30";
const OTA_EVENT: &str =
    "080710ac021a106f7f2d5e58f14a3a9b6e2f3f0d3f9a102008300b3a0f7368612d3235362064696666657273";
const OTA_EVENT_PROGRESS: &str = "0807100c1a106f7f2d5e58f14a3a9b6e2f3f0d3f9a1020022832";
const UPDATE: &str = "\
    080112106f7f2d5e58f14a3a9b6e2f3f0d3f9a1018022207626173652d6f732a05312e352e30321768747470\
    3a2f2f3132372e302e302e313a383038312f61388080404220000102030405060708090a0b0c0d0e0f101112\
    131415161718191a1b1c1d1e1f4a07636f6d707574655205312e342e305880d8c1a28c34";
const CANCEL: &str = "\
    080212106f7f2d5e58f14a3a9b6e2f3f0d3f9a1018023217687474703a2f2f3132372e302e302e313a383038\
    312f61";
const ACK: &str = "080710ac02";
const STATE: &str = "080210571880e497d012";
const STATE_EMPTY_BATTERY: &str = "08031000";

#[test]
fn manifest_is_frozen() {
    let ecu = |name: &str, hardware_id: &str, primary| EcuDescription {
        name: name.to_owned(),
        hardware_id: hardware_id.to_owned(),
        primary,
    };
    frozen!(
        Manifest,
        MANIFEST,
        Manifest {
            protocol: 1,
            boot: 7,
            wants_ack: true,
            ecus: vec![ecu("main", "compute", true), ecu("motor-1", "motor", false)],
        }
    );
}

#[test]
fn base_image_is_frozen() {
    let bare = BaseImage {
        name: "base-os".to_owned(),
        version: "1.4.0".to_owned(),
        build_id: None,
        digest: None,
        operation: None,
    };
    frozen!(BaseImage, BASE_IMAGE_BARE, bare.clone());
    frozen!(
        BaseImage,
        BASE_IMAGE,
        BaseImage {
            build_id: Some("b7".to_owned()),
            digest: Some(digest()),
            operation: Some(operation()),
            ..bare
        }
    );
}

#[test]
fn ota_event_is_frozen() {
    let failure = OtaEvent {
        boot: 7,
        counter: 300,
        operation: operation(),
        status: Status::Failure,
        progress: 0,
        code: Some(Code::DigestMismatch),
        message: "sha-256 differs".to_owned(),
    };
    frozen!(OtaEvent, OTA_EVENT, failure.clone());
    frozen!(
        OtaEvent,
        OTA_EVENT_PROGRESS,
        OtaEvent {
            counter: 12,
            status: Status::Downloading,
            progress: 50,
            code: None,
            message: String::new(),
            ..failure
        }
    );
}

#[test]
fn every_status_and_code_keeps_its_number() {
    let event = |status, code| OtaEvent {
        boot: 1,
        counter: 1,
        operation: operation(),
        status,
        progress: 0,
        code,
        message: String::new(),
    };
    for (number, status) in (1_u8..).zip(Status::ALL) {
        let bytes = event(*status, None).encode();
        assert_eq!(bytes[22..], [4 << 3, number], "{status}");
    }
    for (number, code) in (1_u8..).zip(Code::ALL) {
        let bytes = event(Status::Failure, Some(*code)).encode();
        assert_eq!(bytes[24..], [6 << 3, number], "{code}");
    }
    assert_eq!((Status::ALL.len(), Code::ALL.len()), (8, 14));
}

#[test]
fn ota_request_is_frozen() {
    let update = OtaRequest {
        kind: RequestKind::Update,
        operation: operation(),
        attempt: 2,
        image_name: "base-os".to_owned(),
        image_version: "1.5.0".to_owned(),
        url: "http://127.0.0.1:8081/a".to_owned(),
        size: 1_048_576,
        sha256: digest(),
        hardware_id: "compute".to_owned(),
        expected_version: Some("1.4.0".to_owned()),
        deadline_unix_ms: 1_790_000_000_000,
    };
    frozen!(OtaRequest, UPDATE, update.clone());
    frozen!(
        OtaRequest,
        CANCEL,
        OtaRequest {
            kind: RequestKind::Cancel,
            image_name: String::new(),
            image_version: String::new(),
            size: 0,
            sha256: [0; 32],
            hardware_id: String::new(),
            expected_version: None,
            deadline_unix_ms: 0,
            ..update
        }
    );
}

#[test]
fn ack_is_frozen() {
    frozen!(
        Ack,
        ACK,
        Ack {
            boot: 7,
            counter: 300
        }
    );
}

#[test]
fn state_is_frozen() {
    frozen!(
        State,
        STATE,
        State {
            operational: OperationalState::Charging,
            battery_percent: Some(87),
            free_storage_bytes: Some(5_000_000_000),
        }
    );
    frozen!(
        State,
        STATE_EMPTY_BATTERY,
        State {
            operational: OperationalState::Mission,
            battery_percent: Some(0),
            free_storage_bytes: None,
        }
    );
}
