//! Sections 3.8 to 3.12 of both standards: SUBSCRIBE, UNSUBSCRIBE, their answers, and PINGREQ.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rollcall_broker::codec::{
    Packet, Properties, PropertyId as Id, Subscribe, SubscribeOptions, Unsubscribe,
};
use rollcall_broker::{QoS, ReasonCode};
use support::conformance::{
    BOTH, EVERY_QOS, ends, number, payloads, retain, send, subscribe_to, unacknowledged,
    with_number,
};
use support::{ANY, Client, Server, V5, ack, connect, publish};

fn unsubscription(packet_id: u16, filters: &[&str]) -> Packet {
    Packet::Unsubscribe(Unsubscribe {
        packet_id,
        properties: Properties::none(),
        filters: filters.iter().map(|filter| (*filter).into()).collect(),
    })
}

/// Unsubscribes; the codes, which MQTT 3.1.1 does not have.
async fn unsubscribe_from(client: &mut Client, filters: &[&str]) -> Vec<ReasonCode> {
    client.send(unsubscription(77, filters)).await;
    match client.recv().await {
        Packet::UnsubAck(answer) => {
            assert_eq!(answer.packet_id, 77);
            assert!(answer.properties.is_empty(), "no reason string either");
            answer.codes
        }
        other => panic!("unsuback was expected, not {other:?}"),
    }
}

#[tokio::test]
async fn one_suback_has_a_code_for_every_filter_in_their_order() {
    let server = Server::start().await;
    let at = SubscribeOptions::qos;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        let filters = [
            ("fine/2", at(QoS::ExactlyOnce)),
            ("deny/a", at(QoS::ExactlyOnce)),
            ("fine/1", at(QoS::AtLeastOnce)),
            ("low/a", at(QoS::ExactlyOnce)),
            ("$share/g", at(QoS::AtLeastOnce)),
            ("fine/0", at(QoS::AtMostOnce)),
        ];
        let codes = subscribe_to(&mut client, 0x1234, Properties::none(), &filters).await;
        let failed = |code| {
            if version.is_v5() {
                code
            } else {
                ReasonCode::UnspecifiedError
            }
        };
        assert_eq!(
            codes,
            [
                ReasonCode::GrantedQoS2,
                failed(ReasonCode::NotAuthorized),
                ReasonCode::GrantedQoS1,
                ReasonCode::Success,
                failed(ReasonCode::TopicFilterInvalid),
                ReasonCode::Success,
            ]
        );
        for (topic, expected) in [("fine/1", 1), ("deny/a", 0), ("low/a", 1)] {
            send(&server, topic, "x", QoS::ExactlyOnce);
            assert_eq!(client.until_pong().await.len(), expected, "{topic}");
        }
    }
}

#[tokio::test]
async fn several_filters_are_handled_one_after_the_other() {
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        let filters = [
            ("t", SubscribeOptions::qos(QoS::ExactlyOnce)),
            ("t", SubscribeOptions::qos(QoS::AtMostOnce)),
        ];
        subscribe_to(&mut client, 1, Properties::none(), &filters).await;
        send(&server, "t", "x", QoS::ExactlyOnce);
        assert_eq!(
            client.message().await.qos,
            QoS::AtMostOnce,
            "the later one holds"
        );
        assert_eq!(client.until_pong().await, []);
    }
}

#[tokio::test]
async fn the_same_filter_again_replaces_the_subscription_and_repeats_what_is_retained() {
    let server = Server::start().await;
    retain(&server, "a/b", "kept", QoS::ExactlyOnce);
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        for qos in EVERY_QOS {
            let identifier = if version.is_v5() {
                number(Id::SubscriptionIdentifier, 1 + u32::from(qos.bits()))
            } else {
                Properties::none()
            };
            let filters = [("a/+", SubscribeOptions::qos(qos))];
            subscribe_to(&mut client, 1, identifier.clone(), &filters).await;
            let kept = client.message().await;
            assert_eq!(
                (&kept.payload[..], kept.qos, kept.retain),
                (&b"kept"[..], qos, true)
            );
            send(&server, "a/b", "live", QoS::ExactlyOnce);
            let live = client.message().await;
            assert_eq!((live.qos, live.properties), (qos, identifier));
            assert_eq!(client.until_pong().await, [], "one subscription, one copy");
        }
        assert_eq!(server.handle.metrics().subscriptions, 1);
        drop(client);
        support::conformance::until_connections(&server, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replacing_a_subscription_loses_nothing_that_is_published_meanwhile() {
    const MESSAGES: u16 = 300;
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        client.subscribe("t", ANY).await;
        let mut publisher = Client::open(server.addr, connect(version, "publisher")).await;
        let publishing = tokio::spawn(async move {
            for number in 1..=MESSAGES {
                let payload = number.to_be_bytes();
                publisher
                    .publish(publish("t", &payload, QoS::AtLeastOnce, number))
                    .await;
                publisher.expect(Packet::PubAck(ack(number))).await;
            }
        });
        let mut found = Vec::new();
        let mut replaced = 0;
        while found.len() < usize::from(MESSAGES) {
            client.send(support::subscription(1, "t", ANY)).await;
            loop {
                match client.recv().await {
                    Packet::Publish(message) => {
                        client.send(Packet::PubAck(ack(message.packet_id))).await;
                        found.push(u16::from_be_bytes(message.payload[..].try_into().unwrap()));
                    }
                    Packet::SubAck(_) => break,
                    other => panic!("{other:?}"),
                }
            }
            replaced += 1;
        }
        publishing.await.unwrap();
        assert_eq!(
            found,
            Vec::from_iter(1..=MESSAGES),
            "replaced {replaced} times"
        );
    }
}

#[tokio::test]
async fn a_list_without_filters_ends_the_connection() {
    let server = Server::start().await;
    for version in BOTH {
        for packet in [
            Packet::Subscribe(Subscribe {
                packet_id: 1,
                properties: Properties::none(),
                subscriptions: Vec::new(),
            }),
            unsubscription(1, &[]),
        ] {
            let mut client = Client::open(server.addr, connect(version, "a")).await;
            client.send(packet).await;
            ends(&mut client, version, ReasonCode::ProtocolError).await;
        }
    }
}

#[tokio::test]
async fn reserved_bits_of_subscription_options_end_the_connection() {
    let server = Server::start().await;
    for version in BOTH {
        let bad: &[u8] = if version.is_v5() {
            &[0x03, 0x30, 0x31, 0x40, 0x80, 0xc2]
        } else {
            &[0x03, 0x04, 0x08, 0x10, 0x80]
        };
        for options in bad {
            let mut client = Client::open(server.addr, connect(version, "a")).await;
            let mut body = vec![0, 1];
            if version.is_v5() {
                body.push(0);
            }
            body.extend_from_slice(&[0, 1, b't', *options]);
            let length = u8::try_from(body.len()).unwrap();
            client
                .send_bytes(&[&[0x82, length], &body[..]].concat())
                .await;
            ends(&mut client, version, ReasonCode::MalformedPacket).await;
        }
    }
}

#[tokio::test]
async fn a_filter_that_is_not_well_formed_ends_the_connection() {
    let server = Server::start().await;
    for version in BOTH {
        for filter in ["", "a#", "#/a", "a/#/b", "a+", "+a/b", "a/b+/c", "##"] {
            let subscribe = support::subscription(1, filter, ANY);
            for packet in [subscribe, unsubscription(1, &[filter])] {
                let mut client = Client::open(server.addr, connect(version, "a")).await;
                client.send(packet).await;
                ends(&mut client, version, ReasonCode::TopicFilterInvalid).await;
            }
        }
    }
}

#[tokio::test]
async fn v5_3_8_3_3_with_no_local_nothing_of_the_clients_own_comes_back() {
    let server = Server::start().await;
    let no_local = SubscribeOptions {
        no_local: true,
        ..ANY
    };
    let mut client = Client::v5(server.addr, "a").await;
    client.subscribe("t", no_local).await;
    let mut other = Client::v5(server.addr, "other").await;
    for publisher in [&mut client, &mut other] {
        publisher
            .publish(publish("t", b"x", QoS::AtLeastOnce, 1))
            .await;
        publisher.expect(Packet::PubAck(ack(1))).await;
    }
    assert_eq!(client.until_pong().await.len(), 1, "of the other only");
    // It holds for one subscription, not for the client.
    client.subscribe("+", ANY).await;
    client
        .publish(publish("t", b"own", QoS::AtMostOnce, 0))
        .await;
    assert_eq!(client.message().await.payload, "own");
}

#[tokio::test]
async fn a_message_comes_with_the_lesser_of_published_and_granted_qos() {
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        for granted in EVERY_QOS {
            client.subscribe("t", SubscribeOptions::qos(granted)).await;
            for published in EVERY_QOS {
                send(&server, "t", "x", published);
                assert_eq!(client.message().await.qos, granted.min(published));
            }
        }
    }
}

#[tokio::test]
async fn unsubscribe_compares_filters_byte_for_byte_and_always_answers() {
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        client.subscribe("a/+", ANY).await;
        client.subscribe("a/b", ANY).await;
        let filters = ["a/#", "A/+", "a/+/", "a/c", "a/+"];
        let codes = unsubscribe_from(&mut client, &filters).await;
        if version.is_v5() {
            let none = ReasonCode::NoSubscriptionExisted;
            assert_eq!(codes, [none, none, none, none, ReasonCode::Success]);
        }
        send(&server, "a/b", "b", QoS::AtMostOnce);
        send(&server, "a/c", "c", QoS::AtMostOnce);
        assert_eq!(payloads(&client.until_pong().await), ["b"]);
        unsubscribe_from(&mut client, &["a/+", "never"]).await;
    }
}

#[tokio::test]
async fn after_unsubscribe_nothing_new_comes_and_what_was_begun_is_finished() {
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        client.subscribe("t", ANY).await;
        send(&server, "t", "one", QoS::AtLeastOnce);
        send(&server, "t", "two", QoS::ExactlyOnce);
        let one = unacknowledged(&mut client).await.packet_id;
        let two = unacknowledged(&mut client).await.packet_id;
        unsubscribe_from(&mut client, &["t"]).await;
        send(&server, "t", "new", QoS::AtLeastOnce);
        client.send(Packet::PubAck(ack(one))).await;
        client.send(Packet::PubRec(ack(two))).await;
        client.expect(Packet::PubRel(ack(two))).await;
        client.send(Packet::PubComp(ack(two))).await;
        assert_eq!(client.until_pong().await, []);
    }
}

#[tokio::test]
async fn v5_3_9_2_1_the_reason_string_of_a_suback_is_left_out_where_it_does_not_fit() {
    let server = Server::start().await;
    // "nobody subscribes below deny/" has 29 bytes, its packet 38.
    for (maximum, has_reason) in [(38, true), (37, false)] {
        let connect = with_number("a", Id::MaximumPacketSize, maximum);
        let mut client = Client::open(server.addr, connect).await;
        client.send(support::subscription(1, "deny/a", ANY)).await;
        let Packet::SubAck(answer) = client.recv().await else {
            panic!("suback was expected");
        };
        assert_eq!(answer.codes, [ReasonCode::NotAuthorized]);
        let reason = answer.properties.text(Id::ReasonString);
        assert_eq!(reason.is_some(), has_reason);
    }
}

#[tokio::test]
async fn v5_3_1_2_24_an_answer_too_long_for_the_client_ends_the_connection_instead() {
    let server = Server::start().await;
    let filters: Vec<_> = (0..40).map(|number| format!("t/{number}")).collect();
    let filters: Vec<_> = filters.iter().map(String::as_str).collect();
    // Fixed header 2, identifier 2, properties 1, and a byte for each filter.
    for (maximum, fits) in [(45, true), (44, false)] {
        let subscriptions: Vec<_> = filters.iter().map(|filter| (*filter, ANY)).collect();
        let connect = || with_number("a", Id::MaximumPacketSize, maximum);
        let mut client = Client::open(server.addr, connect()).await;
        if fits {
            let none = Properties::none();
            let codes = subscribe_to(&mut client, 1, none, &subscriptions).await;
            assert_eq!(codes.len(), 40);
            assert_eq!(unsubscribe_from(&mut client, &filters).await.len(), 40);
            continue;
        }
        let bare =
            subscriptions
                .iter()
                .map(|(filter, options)| rollcall_broker::codec::Subscription {
                    filter: (*filter).into(),
                    options: *options,
                });
        let subscribe = Packet::Subscribe(Subscribe {
            packet_id: 1,
            properties: Properties::none(),
            subscriptions: bare.collect(),
        });
        for packet in [subscribe, unsubscription(1, &filters)] {
            let mut client = Client::open(server.addr, connect()).await;
            client.send(packet).await;
            client.ends_with(Some(ReasonCode::PacketTooLarge)).await;
        }
    }
}

#[tokio::test]
async fn subscriptions_are_answered_while_messages_wait_for_the_clients_window() {
    let server = Server::start().await;
    let connect = with_number("a", Id::ReceiveMaximum, 1);
    let mut client = Client::open(server.addr, connect).await;
    client.subscribe("t", ANY).await;
    for payload in ["1", "2", "3"] {
        send(&server, "t", payload, QoS::AtLeastOnce);
    }
    let first = unacknowledged(&mut client).await;
    // Nothing but QoS 1 and 2 has to wait.
    client.subscribe("u", ANY).await;
    client
        .publish(publish("v", b"x", QoS::ExactlyOnce, 9))
        .await;
    client.expect(Packet::PubRec(ack(9))).await;
    client.send(Packet::PubRel(ack(9))).await;
    client.expect(Packet::PubComp(ack(9))).await;
    assert_eq!(
        unsubscribe_from(&mut client, &["u"]).await,
        [ReasonCode::Success]
    );
    assert_eq!(client.until_pong().await, []);
    client.send(Packet::PubAck(ack(first.packet_id))).await;
    assert_eq!(client.message().await.payload, "2");
    assert_eq!(client.message().await.payload, "3");
}

#[tokio::test]
async fn every_ping_is_answered() {
    let server = Server::start().await;
    for version in BOTH {
        let mut client = Client::open(server.addr, connect(version, "a")).await;
        client.send_bytes(b"\xc0\0\xc0\0\xc0\0").await;
        for _ in 0..3 {
            client.expect(Packet::PingResp).await;
        }
    }
    let mut client = Client::open(server.addr, connect(V5, "a")).await;
    assert_eq!(client.until_pong().await, []);
}
