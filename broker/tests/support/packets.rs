//! Arbitrary valid packets.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "tests fail by panicking, and each file of them uses a part of this"
)]

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use rollcall_broker::codec::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, PacketType, Properties, PropertyId as Id,
    Publish, RetainHandling, SubAck, Subscribe, SubscribeOptions, Subscription, UnsubAck,
    Unsubscribe, Value, Will,
};
use rollcall_broker::{ProtocolVersion, QoS, ReasonCode};

pub fn version() -> impl Strategy<Value = ProtocolVersion> {
    select(vec![ProtocolVersion::V4, ProtocolVersion::V5])
}

fn qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => proptest::char::range('a', 'z'),
        1 => select(vec!['/', ' ', 'é', '日', '\u{1f916}', '$', '\u{1}', '\u{ffff}'])
    ];
    vec(character, 0..12).prop_map(|chars| chars.into_iter().collect())
}

pub fn topic() -> impl Strategy<Value = String> {
    text().prop_map(|text| if text.is_empty() { "/".into() } else { text })
}

pub fn filter() -> impl Strategy<Value = String> {
    let level = select(vec!["", "+", "a", "b", "éa", "$x"]);
    (vec(level, 1..5), any::<bool>()).prop_map(|(mut levels, all)| {
        if all {
            levels.push("#");
        }
        let filter = levels.join("/");
        if filter.is_empty() {
            "+".into()
        } else {
            filter
        }
    })
}

fn binary() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn value(id: Id) -> BoxedStrategy<(Id, Value)> {
    let number = |range| Strategy::prop_map(range, Value::Number).boxed();
    let value = match id {
        Id::PayloadFormatIndicator
        | Id::RequestProblemInformation
        | Id::RequestResponseInformation
        | Id::MaximumQoS
        | Id::RetainAvailable
        | Id::WildcardSubscriptionAvailable
        | Id::SubscriptionIdentifierAvailable
        | Id::SharedSubscriptionAvailable => number(0..2_u32),
        Id::SubscriptionIdentifier => number(1..268_435_456_u32),
        Id::ReceiveMaximum | Id::TopicAlias => number(1..65_536_u32),
        Id::ServerKeepAlive | Id::TopicAliasMaximum => number(0..65_536_u32),
        Id::MessageExpiryInterval | Id::SessionExpiryInterval | Id::WillDelayInterval => {
            any::<u32>().prop_map(Value::Number).boxed()
        }
        Id::MaximumPacketSize => number(1..u32::MAX),
        Id::CorrelationData | Id::AuthenticationData => binary().prop_map(Value::Binary).boxed(),
        Id::UserProperty => (text(), text())
            .prop_map(|(name, value)| Value::Pair(name.into(), value.into()))
            .boxed(),
        Id::ResponseTopic => topic().prop_map(|topic| Value::Text(topic.into())).boxed(),
        Id::ContentType
        | Id::AssignedClientIdentifier
        | Id::AuthenticationMethod
        | Id::ResponseInformation
        | Id::ServerReference
        | Id::ReasonString => text().prop_map(|text| Value::Text(text.into())).boxed(),
    };
    (Just(id), value).boxed()
}

fn properties(version: ProtocolVersion, ids: &'static [Id]) -> BoxedStrategy<Properties> {
    if !version.is_v5() {
        return Just(Properties::none()).boxed();
    }
    let chosen = subsequence(ids.to_vec(), 0..=ids.len()).prop_shuffle();
    (chosen, 0..3_usize)
        .prop_flat_map(|(mut ids, users)| {
            ids.extend(std::iter::repeat_n(Id::UserProperty, users));
            ids.into_iter().map(value).collect::<Vec<_>>()
        })
        .prop_map(|values| build(&values))
        .boxed()
}

pub fn build(values: &[(Id, Value)]) -> Properties {
    let mut builder = Properties::builder();
    for (id, value) in values {
        builder = match value {
            Value::Number(number) => builder.number(*id, *number),
            Value::Text(text) => builder.text(*id, text),
            Value::Binary(bytes) => builder.binary(*id, bytes),
            Value::Pair(name, value) => builder.user(name, value),
        };
    }
    builder.build().unwrap()
}

fn reason(version: ProtocolVersion, kind: PacketType) -> BoxedStrategy<ReasonCode> {
    if !version.is_v5() {
        return Just(ReasonCode::Success).boxed();
    }
    let all = ReasonCode::ALL.iter().copied();
    select(all.filter(|code| code.allowed_in(kind)).collect::<Vec<_>>()).boxed()
}

const MESSAGE: &[Id] = &[
    Id::PayloadFormatIndicator,
    Id::MessageExpiryInterval,
    Id::ContentType,
    Id::ResponseTopic,
    Id::CorrelationData,
];

fn connect(version: ProtocolVersion) -> impl Strategy<Value = Packet> {
    let ids = &[
        Id::SessionExpiryInterval,
        Id::ReceiveMaximum,
        Id::MaximumPacketSize,
        Id::TopicAliasMaximum,
        Id::RequestResponseInformation,
        Id::RequestProblemInformation,
        Id::AuthenticationMethod,
    ];
    let will = (
        topic(),
        binary(),
        qos(),
        any::<bool>(),
        properties(version, MESSAGE),
    )
        .prop_map(|(topic, payload, qos, retain, properties)| Will {
            topic: topic.into(),
            payload,
            qos,
            retain,
            properties,
        });
    (
        any::<bool>(),
        any::<u16>(),
        text(),
        option::of(will),
        option::of((text(), option::of(binary()))),
        properties(version, ids),
    )
        .prop_map(
            move |(clean_start, keep_alive, client_id, will, login, properties)| {
                Packet::Connect(Box::new(Connect {
                    version,
                    clean_start,
                    keep_alive,
                    client_id: client_id.into(),
                    will,
                    username: login.as_ref().map(|(name, _)| name.as_str().into()),
                    password: login.and_then(|(_, password)| password),
                    properties,
                }))
            },
        )
}

fn connack(version: ProtocolVersion) -> impl Strategy<Value = Packet> {
    let ids = &[
        Id::SessionExpiryInterval,
        Id::ReceiveMaximum,
        Id::MaximumQoS,
        Id::RetainAvailable,
        Id::MaximumPacketSize,
        Id::AssignedClientIdentifier,
        Id::TopicAliasMaximum,
        Id::ReasonString,
        Id::WildcardSubscriptionAvailable,
        Id::SubscriptionIdentifierAvailable,
        Id::SharedSubscriptionAvailable,
        Id::ServerKeepAlive,
        Id::ResponseInformation,
        Id::ServerReference,
    ];
    let code = reason(version, PacketType::ConnAck);
    (any::<bool>(), code, properties(version, ids)).prop_map(|(present, code, properties)| {
        Packet::ConnAck(ConnAck {
            session_present: present && code == ReasonCode::Success,
            code,
            properties,
        })
    })
}

fn publish(version: ProtocolVersion) -> impl Strategy<Value = Packet> {
    (
        any::<bool>(),
        qos(),
        any::<bool>(),
        topic(),
        1..=u16::MAX,
        properties(version, MESSAGE),
        binary(),
    )
        .prop_map(|(dup, qos, retain, topic, id, properties, payload)| {
            let numbered = qos != QoS::AtMostOnce;
            Packet::Publish(Publish {
                dup: dup && numbered,
                qos,
                retain,
                topic: topic.into(),
                packet_id: if numbered { id } else { 0 },
                properties,
                payload,
            })
        })
}

fn ack(
    version: ProtocolVersion,
    kind: PacketType,
    wrap: fn(Ack) -> Packet,
) -> impl Strategy<Value = Packet> {
    let properties = properties(version, &[Id::ReasonString]);
    (1..=u16::MAX, reason(version, kind), properties).prop_map(
        move |(packet_id, code, properties)| {
            wrap(Ack {
                packet_id,
                code,
                properties,
            })
        },
    )
}

fn options(version: ProtocolVersion) -> impl Strategy<Value = SubscribeOptions> {
    let handling = vec![
        RetainHandling::Send,
        RetainHandling::SendIfNew,
        RetainHandling::DoNotSend,
    ];
    (qos(), any::<bool>(), any::<bool>(), select(handling)).prop_map(
        move |(qos, no_local, retain_as_published, retain_handling)| {
            if version.is_v5() {
                SubscribeOptions {
                    qos,
                    no_local,
                    retain_as_published,
                    retain_handling,
                }
            } else {
                SubscribeOptions::qos(qos)
            }
        },
    )
}

fn subscribe(version: ProtocolVersion) -> impl Strategy<Value = Packet> {
    let one = (filter(), options(version)).prop_map(|(filter, options)| Subscription {
        filter: filter.into(),
        options,
    });
    let properties = properties(version, &[Id::SubscriptionIdentifier]);
    (1..=u16::MAX, properties, vec(one, 1..4)).prop_map(|(packet_id, properties, subscriptions)| {
        Packet::Subscribe(Subscribe {
            packet_id,
            properties,
            subscriptions,
        })
    })
}

fn suback(version: ProtocolVersion) -> impl Strategy<Value = Packet> {
    let code = if version.is_v5() {
        reason(version, PacketType::SubAck)
    } else {
        select(vec![
            ReasonCode::Success,
            ReasonCode::GrantedQoS1,
            ReasonCode::GrantedQoS2,
            ReasonCode::UnspecifiedError,
        ])
        .boxed()
    };
    let properties = properties(version, &[Id::ReasonString]);
    (1..=u16::MAX, properties, vec(code, 1..4)).prop_map(|(packet_id, properties, codes)| {
        Packet::SubAck(SubAck {
            packet_id,
            properties,
            codes,
        })
    })
}

fn unsubscribe(version: ProtocolVersion) -> impl Strategy<Value = Packet> {
    (1..=u16::MAX, properties(version, &[]), vec(filter(), 1..4)).prop_map(
        |(packet_id, properties, filters)| {
            Packet::Unsubscribe(Unsubscribe {
                packet_id,
                properties,
                filters: filters.into_iter().map(Into::into).collect(),
            })
        },
    )
}

fn unsuback(version: ProtocolVersion) -> impl Strategy<Value = Packet> {
    let properties = properties(version, &[Id::ReasonString]);
    let codes = vec(reason(version, PacketType::UnsubAck), 1..4);
    (1..=u16::MAX, properties, codes).prop_map(move |(packet_id, properties, codes)| {
        Packet::UnsubAck(UnsubAck {
            packet_id,
            properties,
            codes: if version.is_v5() { codes } else { Vec::new() },
        })
    })
}

fn disconnect(version: ProtocolVersion) -> impl Strategy<Value = Packet> {
    let ids = &[
        Id::SessionExpiryInterval,
        Id::ReasonString,
        Id::ServerReference,
    ];
    let code = reason(version, PacketType::Disconnect);
    (code, properties(version, ids))
        .prop_map(|(code, properties)| Packet::Disconnect(Disconnect { code, properties }))
}

fn auth() -> impl Strategy<Value = Packet> {
    let code = reason(ProtocolVersion::V5, PacketType::Auth);
    (code, text(), option::of(binary())).prop_map(|(code, method, data)| {
        let mut values = vec![(Id::AuthenticationMethod, Value::Text(method.into()))];
        values.extend(data.map(|data| (Id::AuthenticationData, Value::Binary(data))));
        Packet::Auth(Auth {
            code,
            properties: build(&values),
        })
    })
}

/// Any packet of the version.
pub fn packet(version: ProtocolVersion) -> BoxedStrategy<Packet> {
    let common = prop_oneof![
        connect(version),
        connack(version),
        publish(version),
        ack(version, PacketType::PubAck, Packet::PubAck),
        ack(version, PacketType::PubRec, Packet::PubRec),
        ack(version, PacketType::PubRel, Packet::PubRel),
        ack(version, PacketType::PubComp, Packet::PubComp),
        prop_oneof![
            subscribe(version),
            suback(version),
            unsubscribe(version),
            unsuback(version),
            disconnect(version),
            Just(Packet::PingReq),
            Just(Packet::PingResp),
        ],
    ];
    if version.is_v5() {
        prop_oneof![12 => common, 1 => auth()].boxed()
    } else {
        common.boxed()
    }
}
