//! The codec against itself: every valid packet survives, nothing malformed does harm.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

#[path = "support/packets.rs"]
mod packets;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use rollcall_broker::ProtocolVersion;
use rollcall_broker::codec::{DecodeError, Packet, header};

fn encoded(version: ProtocolVersion, packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(version, &mut out).unwrap();
    out
}

/// Decodes the packet that fills `bytes` exactly; `None` if it is incomplete.
fn decoded(version: ProtocolVersion, bytes: &[u8]) -> Result<Option<Packet>, DecodeError> {
    let Some(found) = header(bytes, 1 << 20)? else {
        return Ok(None);
    };
    if bytes.len() < found.total() {
        return Ok(None);
    }
    let body = Bytes::copy_from_slice(&bytes[found.header_len..found.total()]);
    Packet::decode(version, found.first, body).map(Some)
}

fn with_version() -> impl Strategy<Value = (ProtocolVersion, Packet)> {
    packets::version().prop_flat_map(|version| (Just(version), packets::packet(version)))
}

/// Items that a decoded packet holds, each of which must have cost at least one byte of input.
fn items(packet: &Packet) -> usize {
    match packet {
        Packet::Subscribe(subscribe) => subscribe.subscriptions.len(),
        Packet::SubAck(suback) => suback.codes.len(),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.filters.len(),
        Packet::UnsubAck(unsuback) => unsuback.codes.len(),
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn every_packet_survives_encoding_and_decoding((version, packet) in with_version()) {
        let bytes = encoded(version, &packet);
        prop_assert_eq!(decoded(version, &bytes).unwrap(), Some(packet));
    }

    #[test]
    fn no_proper_beginning_of_a_packet_decodes((version, packet) in with_version()) {
        let bytes = encoded(version, &packet);
        for end in 0..bytes.len() {
            prop_assert_eq!(decoded(version, &bytes[..end]).unwrap(), None);
        }
    }

    #[test]
    fn a_mutated_packet_is_refused_or_means_what_its_bytes_say(
        (version, packet) in with_version(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6),
        other in packets::version(),
    ) {
        let mut bytes = encoded(version, &packet);
        for (index, byte, how) in changes {
            let at = index.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { if bytes.len() > 1 { bytes.remove(at); } }
            }
        }
        for version in [version, other] {
            if let Ok(Some(packet)) = decoded(version, &bytes) {
                prop_assert!(items(&packet) <= bytes.len());
                let version = match &packet {
                    Packet::Connect(connect) => connect.version,
                    _ => version,
                };
                let again = encoded(version, &packet);
                prop_assert_eq!(decoded(version, &again).unwrap(), Some(packet));
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(version in packets::version(), bytes in vec(any::<u8>(), 0..200)) {
        let _ = decoded(version, &bytes);
        if let Some((first, body)) = bytes.split_first() {
            let _ = Packet::decode(version, *first, Bytes::copy_from_slice(body));
        }
    }
}
