//! Good packets, by the bits of a byte or two.

use bytes::Bytes;
use rollcall_broker::codec::{
    Ack, Connect, Packet, Properties, PropertyId, Publish, RetainHandling, Subscribe,
    SubscribeOptions, Subscription, Will,
};
use rollcall_broker::{ProtocolVersion, QoS};

/// What a message that expires begins with; then comes when it was published.
pub(super) const EXPIRES: &[u8] = b"expires: ";
/// When it does, seconds.
pub(super) const EXPIRY_S: u32 = 20;
/// Of clients in a hurry, seconds.
const KEEP_ALIVE_S: u16 = 10;
/// Of their wills, seconds.
const WILL_DELAY_S: u32 = 30;

/// A CONNECT by the bits of a byte; all of them are the witness.
pub(super) fn introduction(how: u8) -> Vec<u8> {
    let witness = how == 0xff;
    let version = match how & 1 {
        0 => ProtocolVersion::V4,
        _ => ProtocolVersion::V5,
    };
    // A client whose time may be over: it must speak soon, and its will waits.
    let hurries = how & 0x40 > 0 && !witness;
    let mut properties = Properties::builder();
    if version.is_v5() && how & 2 > 0 && !witness {
        properties = properties.number(PropertyId::SessionExpiryInterval, 1_000);
    }
    if version.is_v5() && how & 4 > 0 && !witness {
        properties = properties.number(PropertyId::ReceiveMaximum, 2);
    }
    let will = (how & 8 > 0 && !witness).then(|| Will {
        topic: "t".into(),
        payload: Bytes::from_static(b"will"),
        qos: QoS::AtLeastOnce,
        retain: how & 0x80 > 0,
        properties: if hurries && version.is_v5() {
            number(PropertyId::WillDelayInterval, WILL_DELAY_S)
        } else {
            Properties::none()
        },
    });
    let ids = ["r1", "r2", "a", "rc"];
    let connect = Packet::Connect(Box::new(Connect {
        version,
        clean_start: how & 2 == 0 || witness,
        keep_alive: if hurries { KEEP_ALIVE_S } else { 0 },
        client_id: if witness {
            "witness"
        } else {
            ids[usize::from(how >> 4 & 3)]
        }
        .into(),
        will,
        username: None,
        password: None,
        properties: properties.build().expect("good properties"),
    }));
    let mut bytes = Vec::new();
    connect.encode(version, &mut bytes).expect("a good CONNECT");
    bytes
}

pub(super) fn qos(bits: u8) -> QoS {
    QoS::from_bits(bits & 3).unwrap_or(QoS::AtLeastOnce)
}
fn number(id: PropertyId, value: u32) -> Properties {
    let properties = Properties::builder().number(id, value);
    properties.build().expect("a good number")
}

/// A packet at this time, in seconds.
pub(super) fn packet(version: ProtocolVersion, what: u8, which: u8, now: u64) -> Vec<u8> {
    let topic = ["t", "i", "a/b", "d"][usize::from(which) % 4];
    let id = u16::from(which >> 2 & 3) + 1;
    let packet = match what % 8 {
        0..=3 => {
            let qos = qos(what);
            let mut properties = Properties::none();
            let mut payload = Bytes::copy_from_slice(&[which; 40][..usize::from(what >> 4) * 2]);
            if version.is_v5() && which & 0x10 > 0 {
                properties = number(PropertyId::MessageExpiryInterval, EXPIRY_S);
                payload = [EXPIRES, &now.to_be_bytes()].concat().into();
            }
            Packet::Publish(Publish {
                dup: what & 0x40 > 0 && qos != QoS::AtMostOnce,
                qos,
                retain: what & 0x80 > 0,
                topic: topic.into(),
                packet_id: if qos == QoS::AtMostOnce { 0 } else { id },
                properties,
                payload,
            })
        }
        4 => Packet::PubRel(Ack::success(id)),
        5 => Packet::PingReq,
        _ => Packet::Subscribe(Subscribe {
            packet_id: id,
            properties: Properties::none(),
            subscriptions: vec![Subscription {
                filter: ["t", "#", "a/+", "$share/g/t"][usize::from(which) % 4].into(),
                options: SubscribeOptions {
                    qos: qos(what >> 4),
                    no_local: false,
                    retain_as_published: false,
                    retain_handling: RetainHandling::Send,
                },
            }],
        }),
    };
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).expect("a good packet");
    bytes
}
