//! Packets of MQTT 5.0 after CONNECT.

use super::Malformed;

pub(super) const PACKETS: &[Malformed] = &[
    (
        "a second CONNECT",
        b"\x10\x0e\0\x04MQTT\x05\x02\0\0\0\0\x01a",
    ),
    ("CONNACK from a client", b"\x20\x03\0\0\0"),
    ("SUBACK from a client", b"\x90\x04\0\x01\0\0"),
    ("UNSUBACK from a client", b"\xb0\x04\0\x01\0\0"),
    ("PINGRESP from a client", b"\xd0\x00"),
    ("AUTH without an authentication method", b"\xf0\x00"),
    (
        "a remaining length of five bytes",
        b"\x30\xff\xff\xff\xff\x01",
    ),
    ("an overlong remaining length", b"\xc0\x80\x00"),
    ("QoS 3", b"\x36\x07\0\x01a\0\x01\0x"),
    ("DUP at QoS 0", b"\x38\x05\0\x01a\0x"),
    ("PUBLISH to no topic and no alias", b"\x30\x03\0\0\0"),
    ("PUBLISH to #", b"\x30\x05\0\x01#\0x"),
    ("PUBLISH to U+0000", b"\x30\x05\0\x01\0\0x"),
    ("PUBLISH to what is not UTF-8", b"\x30\x05\0\x01\xff\0x"),
    ("PUBLISH without properties", b"\x30\x03\0\x01a"),
    (
        "PUBLISH whose properties end beyond the packet",
        b"\x30\x04\0\x01a\x05",
    ),
    (
        "PUBLISH with a property length of five bytes",
        b"\x30\x08\0\x01a\xff\xff\xff\xff\x01",
    ),
    (
        "PUBLISH with an overlong property length",
        b"\x30\x05\0\x01a\x80\x00",
    ),
    ("PUBLISH with identifier 0", b"\x32\x07\0\x01a\0\0\0x"),
    ("an unknown property", b"\x30\x06\0\x01a\x02\x04\0"),
    ("a property above 127", b"\x30\x07\0\x01a\x03\x80\x01\0"),
    (
        "a property of another packet",
        b"\x30\x09\0\x01a\x05\x11\0\0\0\x01",
    ),
    (
        "a payload format that comes twice",
        b"\x30\x08\0\x01a\x04\x01\x01\x01\x01",
    ),
    ("payload format 2", b"\x30\x06\0\x01a\x02\x01\x02"),
    (
        "a message expiry that comes twice",
        b"\x30\x0e\0\x01a\x0a\x02\0\0\0\x01\x02\0\0\0\x01",
    ),
    (
        "a message expiry of two bytes",
        b"\x30\x07\0\x01a\x03\x02\0\0",
    ),
    (
        "a content type that is not UTF-8",
        b"\x30\x08\0\x01a\x04\x03\0\x01\xff",
    ),
    (
        "a response topic with a wildcard",
        b"\x30\x08\0\x01a\x04\x08\0\x01#",
    ),
    (
        "correlation data that end beyond the properties",
        b"\x30\x08\0\x01a\x04\x09\0\x09x",
    ),
    (
        "a subscription identifier from a client",
        b"\x30\x06\0\x01a\x02\x0b\x01",
    ),
    ("subscription identifier 0", b"\x30\x06\0\x01a\x02\x0b\x00"),
    ("topic alias 0", b"\x30\x07\0\x01a\x03\x23\0\0"),
    (
        "a topic alias above every maximum",
        b"\x30\x07\0\x01a\x03\x23\xff\xff",
    ),
    (
        "a topic alias that was never set",
        b"\x30\x06\0\0\x03\x23\0\x01",
    ),
    ("half a user property", b"\x30\x08\0\x01a\x04\x26\0\x01x"),
    (
        "a user property with U+0000",
        b"\x30\x0b\0\x01a\x07\x26\0\x01\0\0\x01x",
    ),
    ("PUBACK with identifier 0", b"\x40\x02\0\0"),
    (
        "PUBACK with a reason code that does not exist",
        b"\x40\x03\0\x01\x01",
    ),
    (
        "PUBACK with a reason code of another packet",
        b"\x40\x03\0\x01\x92",
    ),
    (
        "PUBACK with bytes after its properties",
        b"\x40\x05\0\x01\0\0\0",
    ),
    (
        "PUBACK whose properties end beyond the packet",
        b"\x40\x04\0\x01\0\x05",
    ),
    (
        "PUBACK with a property of another packet",
        b"\x40\x07\0\x01\0\x03\x23\0\x01",
    ),
    (
        "PUBREL with a reason code of another packet",
        b"\x62\x03\0\x01\x80",
    ),
    ("SUBSCRIBE with identifier 0", b"\x82\x07\0\0\0\0\x01a\0"),
    ("SUBSCRIBE without properties", b"\x82\x02\0\x01"),
    ("SUBSCRIBE to nothing", b"\x82\x03\0\x01\0"),
    ("SUBSCRIBE with QoS 3", b"\x82\x07\0\x01\0\0\x01a\x03"),
    (
        "SUBSCRIBE with retain handling 3",
        b"\x82\x07\0\x01\0\0\x01a\x30",
    ),
    (
        "SUBSCRIBE with reserved bits",
        b"\x82\x07\0\x01\0\0\x01a\x40",
    ),
    ("SUBSCRIBE to an empty filter", b"\x82\x06\0\x01\0\0\0\0"),
    ("SUBSCRIBE to a#", b"\x82\x08\0\x01\0\0\x02a#\0"),
    (
        "SUBSCRIBE with subscription identifier 0",
        b"\x82\x09\0\x01\x02\x0b\x00\0\x01a\0",
    ),
    (
        "SUBSCRIBE with two subscription identifiers",
        b"\x82\x0b\0\x01\x04\x0b\x01\x0b\x02\0\x01a\0",
    ),
    (
        "no local on a shared subscription",
        b"\x82\x10\0\x01\0\0\x0a$share/g/a\x04",
    ),
    ("UNSUBSCRIBE from nothing", b"\xa2\x03\0\x01\0"),
    (
        "UNSUBSCRIBE with a property of another packet",
        b"\xa2\x08\0\x01\x02\x0b\x01\0\x01a",
    ),
    (
        "DISCONNECT with a session expiry after connecting without",
        b"\xe0\x07\0\x05\x11\0\0\0\x05",
    ),
    (
        "DISCONNECT with bytes after its properties",
        b"\xe0\x03\0\0\0",
    ),
    ("PINGREQ with a body", b"\xc0\x01\0"),
];
