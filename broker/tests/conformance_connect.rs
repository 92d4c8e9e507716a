//! Sections 3.1 and 3.2 of both standards: CONNECT and CONNACK, without the will.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{ConnAck, Connect, Packet, Properties, PropertyId as Id};
use rollcall_broker::{Count, Limits, ProtocolVersion, QoS, ReasonCode};
use std::time::Duration;
use support::conformance::{BOTH, encoded, lasting, send, subscribe_to, with_number};
use support::{ANY, Client, Server, V4, V5, connect, publish, subscription};

/// Sends the bytes of a CONNECT that is refused; the CONNACK, if there is one, after which the connection must end.
async fn refused(server: &Server, version: ProtocolVersion, bytes: &[u8]) -> Option<ConnAck> {
    let mut client = Client::raw(server.addr, version).await;
    client.send_bytes(bytes).await;
    match client.next().await {
        Some(Packet::ConnAck(answer)) => {
            assert!(answer.code.is_error());
            client.ends_with(None).await;
            Some(answer)
        }
        None => None,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

fn bytes(connect: &Connect) -> Vec<u8> {
    let packet = Packet::Connect(Box::new(connect.clone()));
    encoded(connect.version, &packet)
}

fn with_wrong_password(mut connect: Connect) -> Connect {
    connect.username = Some("a".into());
    connect.password = Some("wrong".into());
    connect
}

/// A CONNECT with these flags and this payload after an empty set of properties.
fn by_hand(version: ProtocolVersion, flags: u8, payload: &[u8]) -> Vec<u8> {
    let level = if version.is_v5() { 5 } else { 4 };
    let mut body = [b"\0\x04MQTT", &[level, flags, 0, 0][..]].concat();
    if version.is_v5() {
        body.push(0);
    }
    body.extend_from_slice(payload);
    let length = u8::try_from(body.len()).unwrap();
    [&[0x10, length], &body[..]].concat()
}

#[tokio::test]
async fn a_level_that_is_not_supported_is_refused_by_its_code_and_closed() {
    let server = Server::start().await;
    for (version, bytes) in [
        (V4, &b"\x10\x0f\0\x06MQIsdp\x03\x02\0\0\0\x01a"[..]),
        (V4, b"\x10\x0d\0\x04MQTT\x03\x02\0\0\0\x01a"),
        (V5, b"\x10\x0e\0\x04MQTT\x06\x02\0\0\0\0\x01a"),
    ] {
        let answer = refused(&server, version, bytes).await;
        let code = answer.expect("it is told").code;
        assert_eq!(code, ReasonCode::UnsupportedProtocolVersion);
    }
    for name in [b"mqtt\x04", b"HTTP\x04"] {
        let bytes = [b"\x10\x0d\0\x04", &name[..], b"\x02\0\0\0\x01a"].concat();
        assert_eq!(refused(&server, V4, &bytes).await, None, "no MQTT");
    }
}

#[tokio::test]
async fn a_second_connect_ends_the_connection() {
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        client.send_bytes(&bytes(&connect(version, "a"))).await;
        let code = version.is_v5().then_some(ReasonCode::ProtocolError);
        client.ends_with(code).await;
    }
}

#[tokio::test]
async fn connect_flags_that_are_reserved_or_contradict_each_other_are_refused() {
    let server = Server::start().await;
    let id = b"\0\x01a";
    let with_will = [&id[..], b"\0\x01t\0\x01x"].concat();
    let with_will_v5 = [&id[..], b"\0\0\x01t\0\x01x"].concat();
    let with_password = [&id[..], b"\0\x01p"].concat();
    for version in BOTH {
        let will = if version.is_v5() {
            &with_will_v5
        } else {
            &with_will
        };
        for (flags, payload) in [
            (0x03, &id[..]),
            (0x0a, id),
            (0x12, id),
            (0x22, id),
            (0x1e, will),
        ] {
            let answer = refused(&server, version, &by_hand(version, flags, payload)).await;
            let code = answer.map(|answer| answer.code);
            let expected = version.is_v5().then_some(ReasonCode::MalformedPacket);
            assert_eq!(code, expected, "{flags:#x}");
        }
    }
    // A password without user name is for MQTT 5 only.
    let flags = 0x42;
    assert_eq!(
        refused(&server, V4, &by_hand(V4, flags, &with_password)).await,
        None
    );
    let mut client = Client::raw(server.addr, V5).await;
    client.send_bytes(&by_hand(V5, flags, &with_password)).await;
    let Packet::ConnAck(answer) = client.recv().await else {
        panic!("connack was expected");
    };
    assert_eq!(answer.code, ReasonCode::Success);
}

#[tokio::test]
async fn a_connects_payload_is_what_its_flags_say_and_in_their_order() {
    let server = Server::start().await;
    for version in BOTH {
        let will: &[u8] = if version.is_v5() {
            b"\0\0\x01t\0\x01x"
        } else {
            b"\0\x01t\0\x01x"
        };
        for (flags, payload) in [
            (0x02, &b""[..]),
            (0x02, b"\0\x05a"),
            (0x02, b"\0\x01a\0\x01u"),
            (0x82, b"\0\x01a"),
            (0xc2, b"\0\x01a\0\x01u"),
            (0xc2, b"\0\x01a\0\x01u\0\x01p\0\x01x"),
            (0x06, b"\0\x01a"),
            (0x06, &[b"\0\x01a", &will[..will.len() - 3]].concat()),
        ] {
            let answer = refused(&server, version, &by_hand(version, flags, payload)).await;
            let code = answer.map(|answer| answer.code);
            let expected = version.is_v5().then_some(ReasonCode::MalformedPacket);
            assert_eq!(code, expected, "{flags:#x} {payload:?}");
        }
        // In order: id, will, user name, password; the last is wrong, so it has been found.
        let all = [b"\0\x01a", will, b"\0\x01u\0\x05wrong"].concat();
        let answer = refused(&server, version, &by_hand(version, 0xc6, &all)).await;
        let code = answer.expect("it is told").code;
        assert_eq!(code, ReasonCode::BadUserNameOrPassword);
    }
}

#[tokio::test]
async fn client_ids_of_1_to_23_letters_and_digits_are_allowed() {
    let server = Server::start().await;
    let all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for version in BOTH {
        for start in [0, 23, all.len() - 23] {
            Client::open(server.addr, connect(version, &all[start..start + 23])).await;
        }
        for length in 1..23 {
            Client::open(server.addr, connect(version, &all[..length])).await;
        }
    }
}

#[tokio::test]
async fn a_refused_client_id_is_told_by_its_code_and_closed() {
    let limits = Limits {
        max_client_id: 8,
        ..Limits::default()
    };
    let server = Server::with(limits, 16).await;
    for version in BOTH {
        let answer = refused(&server, version, &bytes(&connect(version, "123456789"))).await;
        let code = answer.expect("it is told").code;
        assert_eq!(code, ReasonCode::ClientIdentifierNotValid);
    }
    let mut nameless = connect(V4, "");
    nameless.clean_start = false;
    let answer = refused(&server, V4, &bytes(&nameless)).await;
    let code = answer.expect("it is told").code;
    assert_eq!(code, ReasonCode::ClientIdentifierNotValid);
}

#[tokio::test]
async fn state_belongs_to_the_client_id() {
    let server = Server::start().await;
    for version in BOTH {
        let mut first = Client::open(server.addr, lasting(version, "first")).await;
        first.subscribe("t", ANY).await;
        drop(first);
        let (_, second) = Client::try_open(server.addr, lasting(version, "second")).await;
        assert!(!second.session_present);
        let (_, first) = Client::try_open(server.addr, lasting(version, "first")).await;
        assert!(first.session_present);
        Client::open(server.addr, connect(version, "first")).await;
        Client::open(server.addr, connect(version, "second")).await;
    }
}

#[tokio::test]
async fn nothing_that_follows_a_refused_connect_is_looked_at() {
    let server = Server::start().await;
    let mut watcher = Client::v5(server.addr, "watcher").await;
    watcher.subscribe("#", ANY).await;
    for version in BOTH {
        let mut all = bytes(&with_wrong_password(connect(version, "a")));
        let message = publish("t", b"x", QoS::AtLeastOnce, 1);
        all.extend(encoded(version, &Packet::Publish(message)));
        assert!(refused(&server, version, &all).await.is_some());
    }
    assert_eq!(server.handle.metrics().count(Count::PublishesIn), 0);
    assert_eq!(watcher.until_pong().await, []);
}

#[tokio::test]
async fn connack_comes_first_and_once_whatever_waits_behind_it() {
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, lasting(version, "a")).await;
        client.subscribe("t", ANY).await;
        drop(client);
        support::conformance::until_connections(&server, 0).await;
        send(&server, "t", "waited", QoS::AtLeastOnce);
        let mut all = bytes(&lasting(version, "a"));
        all.extend(encoded(version, &subscription(1, "u", ANY)));
        let message = publish("t", b"own", QoS::AtLeastOnce, 1);
        all.extend(encoded(version, &Packet::Publish(message)));
        let mut client = Client::raw(server.addr, version).await;
        client.send_bytes(&all).await;
        let Packet::ConnAck(answer) = client.recv().await else {
            panic!("connack was expected");
        };
        assert!(answer.session_present);
        let mut others = client.until_pong().await;
        others.extend(client.until_pong().await);
        assert_eq!(others.len(), 4, "{others:?}");
        assert!(
            !others
                .iter()
                .any(|packet| matches!(packet, Packet::ConnAck(_)))
        );
        Client::open(server.addr, connect(version, "a")).await;
    }
}

#[tokio::test]
async fn a_refusal_never_says_that_a_session_is_present() {
    let server = Server::start().await;
    for version in BOTH {
        Client::open(server.addr, lasting(version, "a")).await;
        let connect = with_wrong_password(lasting(version, "a"));
        let answer = refused(&server, version, &bytes(&connect)).await;
        let answer = answer.expect("it is told");
        assert_eq!(answer.code, ReasonCode::BadUserNameOrPassword);
        assert!(!answer.session_present);
    }
}

#[tokio::test]
async fn v5_3_2_2_21_a_keep_alive_that_is_too_long_is_replaced_and_then_holds() {
    let limits = Limits {
        max_keep_alive: Some(Duration::from_secs(1)),
        ..Limits::default()
    };
    let server = Server::with(limits, 16).await;
    let asking = |version, seconds| {
        let mut asking = connect(version, &format!("{version}-{seconds}"));
        asking.keep_alive = seconds;
        asking
    };
    let mut old = Client::open(server.addr, asking(V4, 600)).await;
    let (_modest, answer) = Client::try_open(server.addr, asking(V5, 1)).await;
    assert_eq!(answer.properties.number(Id::ServerKeepAlive), None);
    for seconds in [0, 2, 65_535] {
        let (mut client, answer) = Client::try_open(server.addr, asking(V5, seconds)).await;
        assert_eq!(answer.properties.number(Id::ServerKeepAlive), Some(1));
        client.ends_with(Some(ReasonCode::KeepAliveTimeout)).await;
    }
    assert_eq!(old.until_pong().await, [], "it cannot be told");
}

#[tokio::test]
async fn v5_3_2_2_22_without_a_limit_the_clients_own_keep_alive_holds() {
    let server = Server::start().await;
    for seconds in [0, 1, 65_535] {
        let mut own = connect(V5, "own");
        own.keep_alive = seconds;
        let (mut client, answer) = Client::try_open(server.addr, own).await;
        assert_eq!(answer.properties.number(Id::ServerKeepAlive), None);
        if seconds == 1 {
            client.ends_with(Some(ReasonCode::KeepAliveTimeout)).await;
        }
    }
}

#[tokio::test]
async fn v5_3_2_2_19_and_3_14_0_1_a_connack_fits_into_the_clients_packets_or_is_cut_or_left_out() {
    let server = Server::start().await;
    let small = |maximum| with_number("a", Id::MaximumPacketSize, maximum);
    for (maximum, has_reason) in [(29, true), (28, false), (5, false)] {
        let connect = with_wrong_password(small(maximum));
        let answer = refused(&server, V5, &bytes(&connect)).await;
        let answer = answer.expect("it is told");
        assert_eq!(
            answer.properties.text(Id::ReasonString).is_some(),
            has_reason
        );
    }
    assert_eq!(refused(&server, V5, &bytes(&small(4))).await, None);
    for maximum in [5, 15] {
        let answer = refused(&server, V5, &bytes(&small(maximum))).await;
        let code = answer.expect("it is told").code;
        assert_eq!(code, ReasonCode::PacketTooLarge, "{maximum}");
    }
    let sessions = server.handle.metrics().sessions;
    assert_eq!(sessions, 0, "none was made for those that were refused");
    Client::open(server.addr, small(16)).await;
}

#[tokio::test]
async fn v5_3_1_2_28_no_response_information_is_sent_asked_or_not() {
    let server = Server::start().await;
    for wanted in [0, 1] {
        let connect = with_number("a", Id::RequestResponseInformation, wanted);
        let (_, answer) = Client::try_open(server.addr, connect).await;
        assert_eq!(answer.properties.get(Id::ResponseInformation), None);
    }
}

#[tokio::test]
async fn v5_3_1_2_29_reason_strings_come_only_to_who_wants_them() {
    let server = Server::start().await;
    for wanted in [0, 1] {
        let connect = with_number("a", Id::RequestProblemInformation, wanted);
        let mut client = Client::open(server.addr, connect).await;
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            client.publish(publish("deny/a", b"x", qos, 1)).await;
        }
        client.send(subscription(1, "deny/a", ANY)).await;
        let answers = client.until_pong().await;
        assert_eq!(answers.len(), 3);
        for answer in answers {
            let properties = match answer {
                Packet::PubAck(ack) | Packet::PubRec(ack) => ack.properties,
                Packet::SubAck(answer) => answer.properties,
                other => panic!("an answer was expected, not {other:?}"),
            };
            let has_reason = properties.text(Id::ReasonString).is_some();
            assert_eq!(has_reason, wanted == 1);
        }
    }
}

#[tokio::test]
async fn v5_3_1_2_23_a_session_lasts_as_long_as_was_agreed_and_no_longer_than_asked() {
    let server = Server::start().await;
    let v5 = |expiry: Option<u32>| {
        let mut connect = connect(V5, "a");
        connect.clean_start = false;
        if let Some(seconds) = expiry {
            connect.properties = support::conformance::number(Id::SessionExpiryInterval, seconds);
        }
        connect
    };
    for (expiry, lasts) in [
        (None, false),
        (Some(0), false),
        (Some(900), true),
        (None, false),
    ] {
        let (mut client, _) = Client::try_open(server.addr, v5(expiry)).await;
        subscribe_to(&mut client, 1, Properties::none(), &[("t", ANY)]).await;
        drop(client);
        support::conformance::until_connections(&server, 0).await;
        assert_eq!(server.handle.metrics().sessions, usize::from(lasts));
    }
}
