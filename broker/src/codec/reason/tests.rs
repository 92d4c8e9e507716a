//! Table 2-6 of MQTT 5, copied out by hand.

use super::super::{Packet, ProtocolVersion};
use super::{PacketType, ReasonCode};
use bytes::Bytes;

/// What PUBACK and PUBREC may carry.
const RECEIVED: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const RELEASED: &[u8] = &[0x00, 0x92];

/// Packet type, its body up to the code and after it, and the codes.
type Row = (PacketType, &'static [u8], &'static [u8], &'static [u8]);

const TABLE: [Row; 9] = [
    (
        PacketType::ConnAck,
        b"\0",
        b"\0",
        &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90,
            0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
        ],
    ),
    (PacketType::PubAck, b"\0\x01", b"", RECEIVED),
    (PacketType::PubRec, b"\0\x01", b"", RECEIVED),
    (PacketType::PubRel, b"\0\x01", b"", RELEASED),
    (PacketType::PubComp, b"\0\x01", b"", RELEASED),
    (
        PacketType::SubAck,
        b"\0\x01\0",
        b"",
        &[
            0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2,
        ],
    ),
    (
        PacketType::UnsubAck,
        b"\0\x01\0",
        b"",
        &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91],
    ),
    (
        PacketType::Disconnect,
        b"",
        b"\0",
        &[
            0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x90,
            0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0,
            0xa1, 0xa2,
        ],
    ),
    (
        PacketType::Auth,
        b"",
        b"\x04\x15\0\x01m",
        &[0x00, 0x18, 0x19],
    ),
];

#[test]
fn every_packet_has_the_reason_codes_of_the_standard_and_no_others() {
    for (kind, before, after, allowed) in TABLE {
        for byte in 0..=u8::MAX {
            let body = Bytes::from([before, &[byte], after].concat());
            let decoded = Packet::decode(ProtocolVersion::V5, kind.first_byte(), body);
            let is_allowed = allowed.contains(&byte);
            assert_eq!(decoded.is_ok(), is_allowed, "{kind:?} {byte:#x}");
            let code = ReasonCode::from_byte(byte);
            let may_be_sent = code.is_some_and(|code| code.allowed_in(kind));
            assert_eq!(may_be_sent, is_allowed, "{kind:?} {byte:#x}");
        }
    }
}
