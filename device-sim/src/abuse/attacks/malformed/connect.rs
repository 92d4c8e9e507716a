//! First packets.

use super::Malformed;

pub(super) const PACKETS: &[Malformed] = &[
    ("a first packet that is a PINGREQ", b"\xc0\x00"),
    ("a first packet that is a PUBLISH", b"\x30\x04\0\x01ax"),
    (
        "a first packet that is a SUBSCRIBE",
        b"\x82\x06\0\x01\0\x01a\0",
    ),
    ("a first packet that is a DISCONNECT", b"\xe0\x00"),
    ("packet type 0", b"\x00\x00"),
    (
        "CONNECT with flags in its first byte",
        b"\x11\x0d\0\x04MQTT\x04\x02\0\0\0\x01a",
    ),
    (
        "CONNECT with a remaining length of five bytes",
        b"\x10\xff\xff\xff\xff\x01",
    ),
    (
        "CONNECT with an overlong remaining length",
        b"\x10\x8d\x80\x00\0\x04MQTT\x04\x02\0\0\0\x01a",
    ),
    ("CONNECT that is empty", b"\x10\x00"),
    (
        "CONNECT that ends within the protocol name",
        b"\x10\x04\0\x04MQ",
    ),
    (
        "CONNECT that ends within the client id",
        b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x05a",
    ),
    (
        "CONNECT with bytes after its end",
        b"\x10\x0e\0\x04MQTT\x04\x02\0\0\0\x01a!",
    ),
    (
        "another protocol name",
        b"\x10\x0d\0\x04HTTP\x04\x02\0\0\0\x01a",
    ),
    (
        "a protocol name in small letters",
        b"\x10\x0d\0\x04mqtt\x04\x02\0\0\0\x01a",
    ),
    ("protocol level 0", b"\x10\x0d\0\x04MQTT\x00\x02\0\0\0\x01a"),
    (
        "protocol level 6",
        b"\x10\x0e\0\x04MQTT\x06\x02\0\0\0\0\x01a",
    ),
    (
        "protocol level 255",
        b"\x10\x0e\0\x04MQTT\xff\x02\0\0\0\0\x01a",
    ),
    (
        "the reserved flag of CONNECT in 3.1.1",
        b"\x10\x0d\0\x04MQTT\x04\x03\0\0\0\x01a",
    ),
    (
        "the reserved flag of CONNECT in 5.0",
        b"\x10\x0e\0\x04MQTT\x05\x03\0\0\0\0\x01a",
    ),
    (
        "will QoS 3",
        b"\x10\x12\0\x04MQTT\x04\x1e\0\0\0\x01a\0\x01t\0\0",
    ),
    (
        "will QoS without a will",
        b"\x10\x0d\0\x04MQTT\x04\x0a\0\0\0\x01a",
    ),
    (
        "will retain without a will",
        b"\x10\x0d\0\x04MQTT\x04\x22\0\0\0\x01a",
    ),
    (
        "a will without its fields",
        b"\x10\x0d\0\x04MQTT\x04\x06\0\0\0\x01a",
    ),
    (
        "a will to #",
        b"\x10\x12\0\x04MQTT\x04\x06\0\0\0\x01a\0\x01#\0\0",
    ),
    (
        "a will to U+0000",
        b"\x10\x12\0\x04MQTT\x04\x06\0\0\0\x01a\0\x01\0\0\0",
    ),
    (
        "a will to no topic",
        b"\x10\x11\0\x04MQTT\x04\x06\0\0\0\x01a\0\0\0\0",
    ),
    (
        "a password without a user name in 3.1.1",
        b"\x10\x10\0\x04MQTT\x04\x42\0\0\0\x01a\0\x01p",
    ),
    (
        "a user name flag without a user name",
        b"\x10\x0d\0\x04MQTT\x04\x82\0\0\0\x01a",
    ),
    (
        "a user name with U+0000",
        b"\x10\x10\0\x04MQTT\x04\x82\0\0\0\x01a\0\x01\0",
    ),
    (
        "a user name that is not UTF-8",
        b"\x10\x10\0\x04MQTT\x04\x82\0\0\0\x01a\0\x01\xff",
    ),
    (
        "a client id with U+0000",
        b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01\0",
    ),
    (
        "a client id that is not UTF-8",
        b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01\xff",
    ),
    (
        "a client id with half a surrogate pair",
        b"\x10\x0f\0\x04MQTT\x04\x02\0\0\0\x03\xed\xa0\x80",
    ),
    (
        "no client id and no clean session in 3.1.1",
        b"\x10\x0c\0\x04MQTT\x04\0\0\0\0\0",
    ),
    (
        "properties that end beyond the packet",
        b"\x10\x0e\0\x04MQTT\x05\x02\0\0\x7f\0\x01a",
    ),
    (
        "a property length of five bytes",
        b"\x10\x12\0\x04MQTT\x05\x02\0\0\xff\xff\xff\xff\x01\0\x01a",
    ),
    (
        "an unknown property",
        b"\x10\x10\0\x04MQTT\x05\x02\0\0\x02\x7f\0\0\x01a",
    ),
    (
        "a property of another packet",
        b"\x10\x11\0\x04MQTT\x05\x02\0\0\x03\x23\0\x01\0\x01a",
    ),
    (
        "receive maximum 0",
        b"\x10\x11\0\x04MQTT\x05\x02\0\0\x03\x21\0\0\0\x01a",
    ),
    (
        "maximum packet size 0",
        b"\x10\x13\0\x04MQTT\x05\x02\0\0\x05\x27\0\0\0\0\0\x01a",
    ),
    (
        "request problem information 2",
        b"\x10\x10\0\x04MQTT\x05\x02\0\0\x02\x17\x02\0\x01a",
    ),
    (
        "a session expiry that comes twice",
        b"\x10\x18\0\x04MQTT\x05\x02\0\0\x0a\x11\0\0\0\x01\x11\0\0\0\x01\0\x01a",
    ),
    (
        "authentication data without a method",
        b"\x10\x12\0\x04MQTT\x05\x02\0\0\x04\x16\0\x01x\0\x01a",
    ),
    (
        "an authentication method that nobody knows",
        b"\x10\x12\0\x04MQTT\x05\x02\0\0\x04\x15\0\x01x\0\x01a",
    ),
    (
        "half a user property",
        b"\x10\x12\0\x04MQTT\x05\x02\0\0\x04\x26\0\x01x\0\x01a",
    ),
];
