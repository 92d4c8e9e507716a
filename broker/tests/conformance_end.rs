//! Sections 3.14, 3.15, 4.12 and 4.13 of MQTT 5 and 3.14 and 4.8 of MQTT 3.1.1: how connections end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{
    Auth, ConnAck, Disconnect, Packet, Properties, PropertyId as Id, SubAck, UnsubAck,
};
use rollcall_broker::{Count, Event, QoS, ReasonCode};
use support::conformance::{BOTH, encoded, ends, lasting, leave, number};
use support::{ANY, Client, Server, V4, V5, connect, publish, will};

/// The DISCONNECT with which the server ends a connection, after which nothing may come.
async fn last_word(client: &mut Client) -> Disconnect {
    let Packet::Disconnect(disconnect) = client.recv().await else {
        panic!("disconnect was expected");
    };
    assert_eq!(client.next().await, None);
    disconnect
}

#[tokio::test]
async fn what_comes_after_a_disconnect_is_not_looked_at_and_the_server_closes() {
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        let mut bytes = encoded(version, &leave(ReasonCode::Success));
        let message = publish("t", b"x", QoS::AtLeastOnce, 1);
        bytes.extend(encoded(version, &Packet::Publish(message)));
        client.send_bytes(&bytes).await;
        client.ends_with(None).await;
    }
    assert_eq!(server.handle.metrics().count(Count::PublishesIn), 0);
}

#[tokio::test]
async fn packets_that_only_servers_send_end_the_connection() {
    let server = Server::start().await;
    let none = Properties::none;
    for version in BOTH {
        for packet in [
            Packet::ConnAck(ConnAck {
                session_present: false,
                code: ReasonCode::Success,
                properties: none(),
            }),
            Packet::SubAck(SubAck {
                packet_id: 1,
                properties: none(),
                codes: vec![ReasonCode::Success],
            }),
            Packet::UnsubAck(UnsubAck {
                packet_id: 1,
                properties: none(),
                codes: vec![ReasonCode::Success],
            }),
            Packet::PingResp,
        ] {
            let mut client = Client::open(server.addr, connect(version, "a")).await;
            client.send(packet).await;
            ends(&mut client, version, ReasonCode::ProtocolError).await;
        }
    }
}

#[tokio::test]
async fn v5_3_14_2_1_a_disconnect_has_a_code_and_properties_of_its_own() {
    let server = Server::start().await;
    for bytes in [
        &b"\xe0\x01\x01"[..],
        b"\xe0\x01\x91",
        b"\xe0\x01\xff",
        b"\xe0\x04\0\x02\x01\0",
    ] {
        let mut client = Client::v5(server.addr, "a").await;
        client.send_bytes(bytes).await;
        let code = last_word(&mut client).await.code;
        assert!(
            matches!(
                code,
                ReasonCode::MalformedPacket | ReasonCode::ProtocolError
            ),
            "{code}"
        );
    }
    // MQTT 3.1.1 has neither.
    let mut client = Client::v4(server.addr, "a").await;
    client.send_bytes(b"\xe0\x01\0").await;
    client.ends_with(None).await;
    server.counts(Count::MalformedPacket, 4).await;
}

#[tokio::test]
async fn v5_3_14_2_2_and_3_the_servers_disconnect_has_no_expiry_and_fits_into_the_clients_packets()
{
    let mut server = Server::start().await;
    for (maximum, has_reason) in [(1_000, true), (16, false)] {
        let mut connect = lasting(V5, "robot");
        connect.properties = Properties::builder()
            .number(Id::SessionExpiryInterval, 900)
            .number(Id::MaximumPacketSize, maximum)
            .build()
            .unwrap();
        let mut robot = Client::open(server.addr, connect).await;
        let connection = loop {
            if let Event::Connected { connection, .. } = server.event().await {
                break connection;
            }
        };
        let why = "the operator has said that this robot has to go away";
        let code = ReasonCode::AdministrativeAction;
        server.handle.disconnect(connection, code, why);
        let last = last_word(&mut robot).await;
        assert_eq!(last.code, code);
        assert_eq!(last.properties.get(Id::SessionExpiryInterval), None);
        let properties: Vec<_> = last.properties.iter().map(|(id, _)| id).collect();
        let reason = has_reason.then_some(Id::ReasonString);
        assert_eq!(properties, Vec::from_iter(reason), "and none of the user");
    }
}

#[tokio::test]
async fn v5_3_15_2_1_an_auth_has_a_code_of_its_own() {
    let server = Server::start().await;
    for code in 0..=u8::MAX {
        let mut client = Client::v5(server.addr, "a").await;
        let method = b"\x15\0\x01m";
        client
            .send_bytes(&[&[0xf0, 6, code, 4], &method[..]].concat())
            .await;
        // What is well formed is refused all the same: no method was agreed on.
        let expected = match code {
            0x00 | 0x18 | 0x19 => ReasonCode::ProtocolError,
            _ => ReasonCode::MalformedPacket,
        };
        assert_eq!(last_word(&mut client).await.code, expected, "{code:#x}");
    }
}

#[tokio::test]
async fn v5_4_13_every_violation_has_its_code_and_closes() {
    let server = Server::start().await;
    let mut wrong = publish("t", b"x", QoS::AtMostOnce, 0);
    wrong.properties = number(Id::TopicAlias, 0);
    for (bytes, code) in [
        (&b"\x32\x06\0\x01t\0\0\0"[..], ReasonCode::MalformedPacket),
        (b"\x20\x03\0\0\0", ReasonCode::ProtocolError),
        (
            b"\x82\x08\0\x01\0\0\x02a#\0",
            ReasonCode::TopicFilterInvalid,
        ),
        (b"\x30\x04\0\x01#\0", ReasonCode::TopicNameInvalid),
        (
            &encoded(V5, &Packet::Publish(wrong)),
            ReasonCode::TopicAliasInvalid,
        ),
        (b"\x30\xff\xff\xff\x7f", ReasonCode::PacketTooLarge),
    ] {
        let mut client = Client::v5(server.addr, "a").await;
        client.send_bytes(bytes).await;
        assert_eq!(last_word(&mut client).await.code, code);
        // A client of MQTT 3.1.1 is not told, but closed as well.
        if code != ReasonCode::TopicAliasInvalid {
            let mut bytes = bytes.to_vec();
            if code == ReasonCode::TopicFilterInvalid {
                bytes = b"\x82\x07\0\x01\0\x02a#\0".to_vec();
            } else if code == ReasonCode::ProtocolError {
                bytes = b"\x20\x02\0\0".to_vec();
            }
            let mut client = Client::v4(server.addr, "a").await;
            client.send_bytes(&bytes).await;
            client.ends_with(None).await;
        }
    }
}

#[tokio::test]
async fn v5_4_12_0_1_and_6_enhanced_authentication_is_refused_and_never_begun() {
    let server = Server::start().await;
    let mut enhanced = connect(V5, "a");
    enhanced.will = Some(will("wills", b"x"));
    enhanced.properties = Properties::builder()
        .text(Id::AuthenticationMethod, "SCRAM-SHA-256")
        .binary(Id::AuthenticationData, b"n,,n=user")
        .build()
        .unwrap();
    let (mut client, answer) = Client::try_open(server.addr, enhanced).await;
    assert_eq!(answer.code, ReasonCode::BadAuthenticationMethod);
    client.ends_with(None).await;

    let mut data_only = connect(V5, "a");
    data_only.properties = Properties::builder()
        .binary(Id::AuthenticationData, b"x")
        .build()
        .unwrap();
    let (mut client, answer) = Client::try_open(server.addr, data_only).await;
    assert_eq!(answer.code, ReasonCode::ProtocolError);
    client.ends_with(None).await;

    for code in [
        ReasonCode::Success,
        ReasonCode::ContinueAuthentication,
        ReasonCode::ReAuthenticate,
    ] {
        let (mut client, answer) = Client::try_open(server.addr, connect(V5, "a")).await;
        assert_eq!(answer.properties.get(Id::AuthenticationMethod), None);
        client
            .send(Packet::Auth(Auth {
                code,
                properties: Properties::builder()
                    .text(Id::AuthenticationMethod, "SCRAM-SHA-256")
                    .build()
                    .unwrap(),
            }))
            .await;
        assert_eq!(last_word(&mut client).await.code, ReasonCode::ProtocolError);
    }
    let mut old = Client::v4(server.addr, "a").await;
    old.send_bytes(b"\xf0\0").await;
    old.ends_with(None).await;
    assert_eq!(server.handle.metrics().count(Count::WillsPublished), 0);
}

#[tokio::test]
async fn v5_3_14_0_1_before_connack_there_is_no_disconnect() {
    let server = Server::start().await;
    for bytes in [
        &b"\xc0\0"[..],
        b"\xe0\0",
        b"\x30\x04\0\x01t\0",
        b"\x10\xff\xff\xff\x7f",
        b"\x10\x0e\0\x04MQTT\x05\x03\0\0\0\0\x01a",
    ] {
        let mut client = Client::raw(server.addr, V5).await;
        client.send_bytes(bytes).await;
        while let Some(packet) = client.next().await {
            assert!(matches!(packet, Packet::ConnAck(_)), "{packet:?}");
        }
    }
}

#[tokio::test]
async fn a_session_ends_with_its_connection_if_the_client_says_so_when_it_leaves() {
    let server = Server::start().await;
    let mut client = Client::open(server.addr, lasting(V5, "a")).await;
    client.subscribe("t", ANY).await;
    client
        .send(Packet::Disconnect(Disconnect {
            code: ReasonCode::Success,
            properties: number(Id::SessionExpiryInterval, 0),
        }))
        .await;
    client.ends_with(None).await;
    support::conformance::until_connections(&server, 0).await;
    assert_eq!(server.handle.metrics().sessions, 0);
    let mut client = Client::open(server.addr, lasting(V4, "a")).await;
    client.send(leave(ReasonCode::Success)).await;
    client.ends_with(None).await;
    support::conformance::until_connections(&server, 0).await;
    assert_eq!(server.handle.metrics().sessions, 1);
}
