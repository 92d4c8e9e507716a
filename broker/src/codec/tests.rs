//! Malformed packets are refused, each with its reason; legal oddities are accepted.

use super::topic;
use super::*;
use bytes::Bytes;

fn decode(version: ProtocolVersion, bytes: &[u8]) -> Result<Packet, DecodeError> {
    let found = header(bytes, 1 << 20)?.expect("complete header");
    assert_eq!(found.total(), bytes.len(), "the example is one packet");
    let body = Bytes::copy_from_slice(&bytes[found.header_len..]);
    Packet::decode(version, found.first, body)
}

fn v4(bytes: &[u8]) -> DecodeError {
    decode(ProtocolVersion::V4, bytes).expect_err("malformed in 3.1.1")
}

fn v5(bytes: &[u8]) -> DecodeError {
    decode(ProtocolVersion::V5, bytes).expect_err("malformed in 5.0")
}

/// A CONNECT of 5.0 with these flags and this encoded property section, then client id and the rest.
fn connect(flags: u8, properties: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x05".to_vec();
    body.extend([flags, 0, 0]);
    body.push(u8::try_from(properties.len()).expect("short"));
    body.extend(properties);
    body.extend(rest);
    let mut packet = vec![0x10, u8::try_from(body.len()).expect("short")];
    packet.extend(body);
    packet
}

/// A QoS 0 PUBLISH of 5.0 to `a` with this encoded property section.
fn publish(properties: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x30, u8::try_from(4 + properties.len()).expect("short")];
    packet.extend([0, 1, b'a', u8::try_from(properties.len()).expect("short")]);
    packet.extend(properties);
    packet
}

#[test]
fn u_0000_is_refused_in_every_string() {
    assert_eq!(v4(b"\x30\x04\0\x02a\0"), DecodeError::NulInString);
    assert_eq!(
        v4(b"\x82\x07\0\x01\0\x02a\0\0"),
        DecodeError::NulInString,
        "filter"
    );
    assert_eq!(
        v5(&connect(2, b"", b"\0\x02a\0")),
        DecodeError::NulInString,
        "client id"
    );
    assert_eq!(
        v5(&connect(0x82, b"", b"\0\x01a\0\x01\0")),
        DecodeError::NulInString,
        "user name"
    );
    assert_eq!(
        v5(&publish(b"\x26\0\x01\0\0\x01b")),
        DecodeError::NulInString,
        "user property"
    );
}

#[test]
fn strings_that_are_not_utf_8_are_refused() {
    for bad in [
        &b"\xff"[..],
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
    ] {
        let length = u8::try_from(bad.len()).expect("short");
        let mut packet = vec![0x30, 2 + length, 0, length];
        packet.extend(bad);
        assert_eq!(v4(&packet), DecodeError::InvalidUtf8);
    }
}

#[test]
fn wildcards_in_topic_names_are_refused() {
    assert_eq!(v4(b"\x30\x03\0\x01#"), DecodeError::WildcardInTopic);
    assert_eq!(v5(b"\x30\x06\0\x03a/+\0"), DecodeError::WildcardInTopic);
    assert_eq!(
        v5(&connect(6, b"", b"\0\x01a\0\0\x01#\0\0")),
        DecodeError::WildcardInTopic,
        "will"
    );
    assert_eq!(
        v5(&publish(b"\x08\0\x01#")),
        DecodeError::PropertyValue(8),
        "response topic"
    );
}

#[test]
fn an_empty_topic_needs_an_alias() {
    assert_eq!(v4(b"\x30\x02\0\0"), DecodeError::EmptyTopic);
    assert_eq!(v5(b"\x30\x03\0\0\0"), DecodeError::EmptyTopic);
    assert!(decode(ProtocolVersion::V5, b"\x30\x06\0\0\x03\x23\0\x01").is_ok());
}

#[test]
fn fixed_header_flags_must_be_what_the_type_says() {
    assert_eq!(v4(b"\x38\x03\0\x01a"), DecodeError::DupOnQoS0);
    assert_eq!(v4(b"\x36\x05\0\x01a\0\x01"), DecodeError::ReservedQoS);
    assert_eq!(v4(b"\x00\x00"), DecodeError::ReservedPacketType(0));
    assert_eq!(v4(b"\xf0\x00"), DecodeError::ReservedPacketType(15));
    for kind in [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14_u8] {
        let kind = PacketType::from_first_byte(kind << 4).expect("exists");
        let wrong = kind.first_byte() ^ 0b0001;
        assert_eq!(
            header(&[wrong], 100),
            Err(DecodeError::WrongFlags(kind)),
            "known from the first byte alone"
        );
    }
}

#[test]
fn remaining_lengths_are_minimal_and_at_most_four_bytes() {
    let too_long = Err(DecodeError::VariableByteInteger);
    assert_eq!(header(b"\xc0\x80\x00", 100), too_long, "0 in two bytes");
    assert_eq!(header(b"\x30\xff\x80\x00", 1 << 20), too_long);
    assert_eq!(header(b"\x30\xff\xff\xff\xff", 1 << 28), too_long);
    assert_eq!(header(b"\x30\xff\xff\xff", 1 << 28), Ok(None));
    let largest = header(b"\x30\xff\xff\xff\x7f", MAX_REMAINING_LENGTH);
    assert_eq!(
        largest.expect("valid").expect("complete").body_len,
        MAX_REMAINING_LENGTH
    );
}

#[test]
fn a_packet_above_the_maximum_is_refused_from_its_header() {
    assert_eq!(
        header(b"\x30\xff\xff\xff\x7f", 1_000),
        Err(DecodeError::PacketTooLarge {
            length: MAX_REMAINING_LENGTH,
            maximum: 1_000
        })
    );
}

#[test]
fn packet_identifier_zero_is_refused() {
    for packet in [
        &b"\x32\x05\0\x01a\0\0"[..],
        b"\x34\x05\0\x01a\0\0",
        b"\x40\x02\0\0",
        b"\x50\x02\0\0",
        b"\x62\x02\0\0",
        b"\x70\x02\0\0",
        b"\x82\x06\0\0\0\x01a\0",
        b"\xa2\x05\0\0\0\x01a",
    ] {
        assert_eq!(v4(packet), DecodeError::PacketIdZero);
    }
}

#[test]
fn fields_end_within_the_packet_and_fill_it() {
    assert_eq!(v4(b"\x30\x03\0\x05a"), DecodeError::Truncated);
    assert_eq!(v4(b"\x40\x01\0"), DecodeError::Truncated);
    assert_eq!(v4(b"\x40\x03\0\x01\0"), DecodeError::TrailingBytes);
    assert_eq!(v4(b"\xc0\x01\0"), DecodeError::TrailingBytes);
    assert_eq!(v4(b"\xe0\x01\0"), DecodeError::TrailingBytes);
    assert_eq!(v5(b"\x30\x04\0\x01a\x05"), DecodeError::Truncated);
    assert_eq!(
        v5(&connect(2, b"", b"\0\x01a!")),
        DecodeError::TrailingBytes
    );
}

#[test]
fn connect_flags_must_agree_with_each_other() {
    assert_eq!(v5(&connect(3, b"", b"\0\x01a")), DecodeError::ConnectFlags);
    for will_without_flag in [0x08, 0x10, 0x20] {
        let packet = connect(will_without_flag, b"", b"\0\x01a");
        assert_eq!(v5(&packet), DecodeError::ConnectFlags);
    }
    assert_eq!(
        v5(&connect(0x1c, b"", b"\0\x01a\0\0\x01t\0\0")),
        DecodeError::ReservedQoS
    );
    let password_alone = b"\x10\x10\0\x04MQTT\x04\x42\0\0\0\x01a\0\x01p";
    assert_eq!(v4(password_alone), DecodeError::ConnectFlags);
    assert!(decode(ProtocolVersion::V5, &connect(0x42, b"", b"\0\x01a\0\x01p")).is_ok());
}

#[test]
fn other_protocols_are_told_apart_from_other_levels() {
    assert_eq!(
        v4(b"\x10\x0f\0\x06MQIsdp\x03\x02\0\0\0\x01a"),
        DecodeError::ProtocolLevel(3)
    );
    assert_eq!(
        v4(b"\x10\x0d\0\x04MQTT\x06\x02\0\0\0\x01a"),
        DecodeError::ProtocolLevel(6)
    );
    assert_eq!(
        v4(b"\x10\x0d\0\x04HTTP\x04\x02\0\0\0\x01a"),
        DecodeError::ProtocolName
    );
}

#[test]
fn properties_are_known_in_place_single_and_within_their_values() {
    assert_eq!(v5(&publish(b"\x04\0")), DecodeError::UnknownProperty(4));
    assert_eq!(v5(&publish(b"\x7f\0")), DecodeError::UnknownProperty(127));
    assert_eq!(
        v5(&publish(b"\x11\0\0\0\x01")),
        DecodeError::MisplacedProperty(17)
    );
    assert_eq!(
        v5(&publish(b"\x01\x00\x01\x00")),
        DecodeError::RepeatedProperty(1)
    );
    assert_eq!(v5(&publish(b"\x01\x02")), DecodeError::PropertyValue(1));
    assert_eq!(v5(&publish(b"\x0b\x00")), DecodeError::PropertyValue(11));
    for (zero, id) in [(&b"\x21\0\0"[..], 33), (b"\x27\0\0\0\0", 39)] {
        let packet = connect(2, zero, b"\0\x01a");
        assert_eq!(v5(&packet), DecodeError::PropertyValue(id));
    }
    assert_eq!(
        v5(&connect(2, b"\x16\0\x01x", b"\0\x01a")),
        DecodeError::PropertyValue(22),
        "authentication data without method"
    );
    assert_eq!(v5(&publish(b"\x02\0\0")), DecodeError::Truncated);
    assert!(
        decode(
            ProtocolVersion::V5,
            &publish(b"\x26\0\x01a\0\x01b\x26\0\x01a\0\x01b\x0b\x01\x0b\x02")
        )
        .is_ok(),
        "user properties and, from a server, subscription identifiers repeat"
    );
    assert_eq!(
        v5(b"\x82\x0a\0\x01\x04\x0b\x01\x0b\x02\0\x00\0"),
        DecodeError::RepeatedProperty(11),
        "in SUBSCRIBE the identifier does not"
    );
}

#[test]
fn subscribe_lists_valid_filters_with_valid_options() {
    assert_eq!(v4(b"\x82\x02\0\x01"), DecodeError::EmptyList);
    assert_eq!(v4(b"\xa2\x02\0\x01"), DecodeError::EmptyList);
    assert_eq!(v4(b"\x82\x06\0\x01\0\x01a\x03"), DecodeError::ReservedQoS);
    assert_eq!(
        v4(b"\x82\x06\0\x01\0\x01a\x04"),
        DecodeError::SubscriptionOptions
    );
    assert_eq!(
        v5(b"\x82\x07\0\x01\0\0\x01a\x30"),
        DecodeError::SubscriptionOptions,
        "retain handling 3"
    );
    assert_eq!(
        v5(b"\x82\x07\0\x01\0\0\x01a\x40"),
        DecodeError::SubscriptionOptions
    );
    assert_eq!(
        v5(b"\x82\x10\0\x01\0\0\x0a$share/g/a\x04"),
        DecodeError::NoLocalOnShared
    );
    for bad in [&b""[..], b"a#", b"#/a", b"a/#/b", b"+a", b"a/b+"] {
        let length = u8::try_from(bad.len()).expect("short");
        let mut packet = vec![0x82, 5 + length, 0, 1, 0, length];
        packet.extend(bad);
        packet.push(0);
        assert_eq!(v4(&packet), DecodeError::TopicFilter);
    }
}

#[test]
fn reason_codes_belong_to_their_packet() {
    assert_eq!(v5(b"\x40\x03\0\x01\x92"), DecodeError::ReasonCode(0x92));
    assert_eq!(v5(b"\x62\x03\0\x01\x80"), DecodeError::ReasonCode(0x80));
    assert_eq!(v5(b"\xe0\x01\x86"), DecodeError::ReasonCode(0x86));
    assert_eq!(v4(b"\x90\x03\0\x01\x03"), DecodeError::ReasonCode(3));
    assert_eq!(v4(b"\x20\x02\0\x06"), DecodeError::ReasonCode(6));
    assert_eq!(v4(b"\x20\x02\x01\x05"), DecodeError::ConnAckFlags);
    assert_eq!(v4(b"\x20\x02\x02\x00"), DecodeError::ConnAckFlags);
}

#[test]
fn legal_oddities_are_accepted() {
    for packet in [
        &b"\x40\x02\0\x01"[..],
        b"\x40\x03\0\x01\0",
        b"\x40\x04\0\x01\0\0",
        b"\xe0\x00",
        b"\xe0\x01\x00",
        b"\xe0\x02\x04\x00",
        b"\xf0\x00",
    ] {
        assert!(decode(ProtocolVersion::V5, packet).is_ok(), "{packet:?}");
    }
    for name in ["/", "//", " ", "$SYS/x", "\u{1}", "\u{feff}", "\u{ffff}é"] {
        let mut packet = vec![0x30, 0, 0, 0];
        packet[1] = u8::try_from(2 + name.len()).expect("short");
        packet[3] = u8::try_from(name.len()).expect("short");
        packet.extend(name.as_bytes());
        assert!(decode(ProtocolVersion::V4, &packet).is_ok(), "{name:?}");
    }
}

#[test]
fn every_error_has_a_reason_code_that_disconnect_may_carry() {
    for error in [
        DecodeError::ReservedPacketType(0),
        DecodeError::WrongFlags(PacketType::PubRel),
        DecodeError::VariableByteInteger,
        DecodeError::PacketTooLarge {
            length: 2,
            maximum: 1,
        },
        DecodeError::Truncated,
        DecodeError::TrailingBytes,
        DecodeError::InvalidUtf8,
        DecodeError::NulInString,
        DecodeError::ReservedQoS,
        DecodeError::DupOnQoS0,
        DecodeError::PacketIdZero,
        DecodeError::EmptyTopic,
        DecodeError::WildcardInTopic,
        DecodeError::TopicFilter,
        DecodeError::ConnectFlags,
        DecodeError::ConnAckFlags,
        DecodeError::UnknownProperty(1),
        DecodeError::MisplacedProperty(1),
        DecodeError::RepeatedProperty(1),
        DecodeError::PropertyValue(1),
        DecodeError::EmptyList,
        DecodeError::SubscriptionOptions,
        DecodeError::NoLocalOnShared,
        DecodeError::ReasonCode(3),
    ] {
        let code = error.reason_code();
        assert!(code.is_error(), "{error}");
        assert!(code.allowed_in(PacketType::Disconnect), "{error}");
    }
    // Only a CONNECT can have these, and DISCONNECT comes after it.
    for error in [DecodeError::ProtocolName, DecodeError::ProtocolLevel(9)] {
        let code = error.reason_code();
        assert!(code.allowed_in(PacketType::ConnAck), "{error}");
    }
}

#[test]
fn filters_match_as_the_standard_says() {
    for (filter, name, expected) in [
        ("a/b", "a/b", true),
        ("a/b", "a/b/c", false),
        ("a/b/c", "a/b", false),
        ("a/+", "a/b", true),
        ("a/+", "a/", true),
        ("a/+", "a", false),
        ("a/+/c", "a/b/c", true),
        ("a/#", "a", true),
        ("a/#", "a/b/c", true),
        ("a/#", "ab", false),
        ("#", "a/b", true),
        ("+", "a", true),
        ("+", "/a", false),
        ("+/+", "/a", true),
        ("/+", "/a", true),
        ("#", "$SYS/a", false),
        ("+/a", "$SYS/a", false),
        ("$SYS/#", "$SYS/a", true),
        ("$SYS/+", "$SYS/a", true),
        ("é/+", "é/ü", true),
        ("A", "a", false),
    ] {
        assert_eq!(topic::matches(filter, name), expected, "{filter} {name}");
    }
}

#[test]
fn a_field_too_long_is_an_error_and_not_a_wrong_packet() {
    let long = "x".repeat(70_000);
    let built = Properties::builder()
        .text(PropertyId::ReasonString, &long)
        .build();
    assert_eq!(built, Err(EncodeError::FieldTooLong));
    let built = Properties::builder()
        .number(PropertyId::ReasonString, 1)
        .build();
    assert_eq!(built, Err(EncodeError::PropertyType));
    let packet = Packet::Publish(Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: long.into(),
        packet_id: 0,
        properties: Properties::none(),
        payload: Bytes::new(),
    });
    let encoded = packet.encode(ProtocolVersion::V4, &mut Vec::new());
    assert_eq!(encoded, Err(EncodeError::FieldTooLong));
}
