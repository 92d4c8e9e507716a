//! What robots say: nothing panics, and what is read means the same after it was written.

use std::fmt::Debug;

use rollcall_proto::edgehog::{self, introspection, purge};
use rollcall_proto::native;
use rollcall_proto::topic::{Base, Uplink, is_device_publishable};

/// A byte for the kind, then the payload.
pub fn payload(data: &[u8]) {
    let Some((kind, payload)) = data.split_first() else {
        return;
    };
    macro_rules! both_ways {
        ($type:ty) => {
            survives(payload, <$type>::decode, <$type>::encode)
        };
    }
    match kind % 13 {
        0 => both_ways!(native::Manifest),
        1 => both_ways!(native::BaseImage),
        2 => both_ways!(native::OtaEvent),
        3 => both_ways!(native::OtaRequest),
        4 => both_ways!(native::Ack),
        5 => both_ways!(native::State),
        6 => both_ways!(edgehog::OtaEvent),
        7 => both_ways!(edgehog::OtaRequest),
        8 => both_ways!(edgehog::SystemStatus),
        9 => {
            let _ = edgehog::Data::decode(payload);
            let _ = edgehog::Property::decode_string(payload);
            let _ = edgehog::is_document(payload);
        }
        10 => survives(payload, introspection::parse, |interfaces| {
            introspection::format(interfaces).into_bytes()
        }),
        11 => survives(payload, purge::decode, |properties| {
            purge::encode(properties)
        }),
        _ => topic(payload),
    }
}

fn survives<T: PartialEq + Debug, E: Debug>(
    payload: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, E>,
    encode: impl Fn(&T) -> Vec<u8>,
) {
    if let Ok(value) = decode(payload) {
        let again = decode(&encode(&value)).expect("what was written can be read");
        assert_eq!(again, value);
    }
}

fn topic(payload: &[u8]) {
    let Ok(text) = std::str::from_utf8(payload) else {
        return;
    };
    let base = Base {
        realm: "fleet",
        robot: "r1",
    };
    let _ = base.may_subscribe(text);
    let _ = is_device_publishable(&base, text);
    if let Ok((base, _)) = Uplink::parse(text) {
        assert!(text.starts_with(&base.to_string()), "{text} is its own");
    }
}
