//! Random values survive encoding; random bytes never panic.

use proptest::prelude::*;
use rollcall_proto::edgehog::{self, introspection, purge};
use rollcall_proto::native::{
    Ack, BaseImage, EcuDescription, Manifest, OperationalState, OtaEvent, OtaRequest, RequestKind,
    State,
};
use rollcall_proto::topic::Uplink;
use rollcall_proto::{Code, Status};
use uuid::Uuid;

fn name() -> &'static str {
    "[A-Za-z0-9._-]{1,64}"
}

fn version() -> &'static str {
    "[!-~]{1,64}"
}

fn status() -> impl Strategy<Value = Status> {
    proptest::sample::select(Status::ALL)
}

fn operation() -> impl Strategy<Value = Uuid> {
    any::<[u8; 16]>().prop_map(Uuid::from_bytes)
}

prop_compose! {
    fn event()(
        boot in 1..=u64::MAX,
        counter in 1..=u64::MAX,
        operation in operation(),
        status in status(),
        progress in 0..=100_u8,
        code in proptest::option::of(proptest::sample::select(Code::ALL)),
        message in ".{0,64}",
    ) -> OtaEvent {
        OtaEvent { boot, counter, operation, status, progress, code, message }
    }
}

prop_compose! {
    fn image()(
        name in name(),
        version in version(),
        build_id in proptest::option::of(version()),
        digest in any::<Option<[u8; 32]>>(),
        operation in proptest::option::of(operation()),
    ) -> BaseImage {
        BaseImage { name, version, build_id, digest, operation }
    }
}

prop_compose! {
    fn request()(
        update: bool,
        operation in operation(),
        attempt in 1..=u32::MAX,
        image_name in name(),
        image_version in version(),
        path in "[a-z0-9/]{1,64}",
        size in 1..=u64::MAX,
        sha256: [u8; 32],
        hardware_id in name(),
        expected_version in proptest::option::of(version()),
        deadline_unix_ms: u64,
    ) -> OtaRequest {
        let kind = if update { RequestKind::Update } else { RequestKind::Cancel };
        let url = format!("https://{path}");
        OtaRequest {
            kind, operation, attempt, image_name, image_version, url, size, sha256, hardware_id,
            expected_version, deadline_unix_ms,
        }
    }
}

prop_compose! {
    fn manifest()(
        boot in 1..=u64::MAX,
        wants_ack: bool,
        hardware_ids in proptest::collection::vec(name(), 1..=32),
        primary: proptest::sample::Index,
    ) -> Manifest {
        let primary = primary.index(hardware_ids.len());
        let ecus = hardware_ids.into_iter().enumerate().map(|(index, hardware_id)| {
            EcuDescription { name: format!("ecu-{index}"), hardware_id, primary: index == primary }
        });
        Manifest { protocol: 1, boot, wants_ack, ecus: ecus.collect() }
    }
}

proptest! {
    #[test]
    fn native_messages_survive_a_round_trip(
        event in event(), image in image(), request in request(), manifest in manifest(),
        boot in 1..=u64::MAX, counter in 1..=u64::MAX,
        battery_percent in proptest::option::of(0..=100_u8), free_storage_bytes: Option<u64>,
    ) {
        prop_assert_eq!(OtaEvent::decode(&event.encode()), Ok(event));
        prop_assert_eq!(BaseImage::decode(&image.encode()), Ok(image));
        prop_assert_eq!(OtaRequest::decode(&request.encode()), Ok(request));
        prop_assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
        let ack = Ack { boot, counter };
        prop_assert_eq!(Ack::decode(&ack.encode()), Ok(ack));
        let state =
            State { operational: OperationalState::Idle, battery_percent, free_storage_bytes };
        prop_assert_eq!(State::decode(&state.encode()), Ok(state));
    }

    #[test]
    fn edgehog_messages_survive_a_round_trip(event in event(), time: Option<i64>, text in ".{0,64}") {
        let event = edgehog::OtaEvent {
            operation: event.operation,
            status: event.status,
            progress: event.progress,
            code: event.code.filter(|code| code.is_edgehog()),
            message: event.message,
            timestamp_unix_ms: time,
        };
        prop_assert_eq!(edgehog::OtaEvent::decode(&event.encode()), Ok(event));
        let property = edgehog::Property::Set(edgehog::Value::String(text));
        prop_assert_eq!(edgehog::Property::decode(&property.encode()), Ok(property));
    }

    #[test]
    fn purge_lists_survive_a_round_trip(
        list in proptest::collection::vec("[a-z]{1,9}\\.[A-Z][a-z]{0,9}/[a-zA-Z0-9]{1,20}", 0..40),
    ) {
        prop_assert_eq!(purge::decode(&purge::encode(&list)), Ok(list));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        decode_everything(&bytes);
    }

    #[test]
    fn mutated_messages_never_panic(
        event in event(), manifest in manifest(), at: proptest::sample::Index, byte: u8, cut: bool,
    ) {
        let edgehog = edgehog::OtaEvent {
            operation: event.operation,
            status: event.status,
            progress: event.progress,
            code: None,
            message: event.message.clone(),
            timestamp_unix_ms: Some(1),
        };
        for mut bytes in [event.encode(), manifest.encode(), edgehog.encode()] {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if cut {
                bytes.truncate(at);
            }
            decode_everything(&bytes);
        }
    }

    #[test]
    fn an_accepted_topic_is_below_a_valid_base(topic in "[a-z/.#+A-Z0-9]{0,60}") {
        if let Ok((base, _)) = Uplink::parse(&topic) {
            prop_assert!(topic.starts_with(&base.to_string()));
            prop_assert!(!topic.contains(['#', '+']));
        }
    }
}

/// Every decoder on the same bytes; what they say does not matter here.
fn decode_everything(bytes: &[u8]) {
    let _ = OtaEvent::decode(bytes);
    let _ = BaseImage::decode(bytes);
    let _ = OtaRequest::decode(bytes);
    let _ = Manifest::decode(bytes);
    let _ = Ack::decode(bytes);
    let _ = State::decode(bytes);
    let _ = edgehog::OtaEvent::decode(bytes);
    let _ = edgehog::OtaRequest::decode(bytes);
    let _ = edgehog::Property::decode(bytes);
    let _ = edgehog::SystemStatus::decode(bytes);
    let _ = purge::decode(bytes);
    let _ = introspection::parse(bytes);
    if let Ok(topic) = std::str::from_utf8(bytes) {
        let _ = Uplink::parse(topic);
    }
}
