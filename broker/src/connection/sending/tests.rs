//! What becomes of messages as time passes, and as the client takes less.

use crate::codec::{Ack, Connect, Packet, Properties, PropertyId, ProtocolVersion, QoS, header};
use crate::config::Limits;
use crate::connection::{Connection, Session, Terms};
use crate::message::{Delivery, Message};
use crate::storage::SessionJournal;
use bytes::Bytes;
use std::time::{Duration, Instant};

const V5: ProtocolVersion = ProtocolVersion::V5;

fn connected(session: Session, now: Instant) -> Connection {
    let connect = Connect {
        version: V5,
        clean_start: false,
        keep_alive: 0,
        client_id: "robot".into(),
        will: None,
        username: None,
        password: None,
        properties: Properties::none(),
    };
    let terms = Terms::agree(&connect, &Limits::default(), true).expect("plain terms");
    Connection::new(terms, session, SessionJournal::default(), now)
}

/// A message that was published at this moment and expires ten seconds later.
fn delivery(qos: QoS, published: Instant) -> Delivery {
    let expiry = Properties::builder().number(PropertyId::MessageExpiryInterval, 10);
    Delivery {
        message: Message::copied("t", b"x", &expiry.build().expect("fits"), published),
        qos,
        retain: false,
        subscription_ids: None,
        transient: false,
        share: None,
        sequence: None,
    }
}

fn packets(mut out: &[u8]) -> Vec<Packet> {
    let mut packets = Vec::new();
    while let Some(found) = header(out, 1 << 20).expect("we write valid headers") {
        let body = Bytes::copy_from_slice(&out[found.header_len..found.total()]);
        packets.push(Packet::decode(V5, found.first, body).expect("and valid packets"));
        out = &out[found.total()..];
    }
    packets
}

#[test]
fn an_expiry_counts_whole_seconds_waited_and_what_has_expired_is_dropped() {
    let published = Instant::now();
    let mut connection = connected(Session::default(), published);
    for (waited_ms, left) in [
        (0, Some(10)),
        (1, Some(10)),
        (999, Some(10)),
        (1_000, Some(9)),
        (9_999, Some(1)),
        (10_000, None),
        (60_000, None),
    ] {
        let now = published + Duration::from_millis(waited_ms);
        let mut out = Vec::new();
        let message = delivery(QoS::AtLeastOnce, published);
        connection.deliver(message, now, &mut out).expect("room");
        let found = packets(&out).into_iter().next().map(|packet| match packet {
            Packet::Publish(publish) => publish
                .properties
                .number(PropertyId::MessageExpiryInterval)
                .expect("it expires"),
            other => panic!("a publish, not {other:?}"),
        });
        assert_eq!(found, left, "after {waited_ms} ms");
    }
    assert_eq!(connection.tally.expired, 2);
}

#[test]
fn what_was_sent_is_finished_although_it_expires_meanwhile() {
    let published = Instant::now();
    let later = published + Duration::from_secs(60);
    let mut connection = connected(Session::default(), published);
    let mut out = Vec::new();
    for _ in 0..2 {
        let message = delivery(QoS::ExactlyOnce, published);
        connection
            .deliver(message, published, &mut out)
            .expect("room");
    }
    let mut out = Vec::new();
    let received = Packet::PubRec(Ack::success(1));
    connection
        .handle(received, later, &mut out)
        .expect("expected");
    assert_eq!(packets(&out), [Packet::PubRel(Ack::success(1))]);
    // On the next connection the one is repeated, and of the other its release.
    let mut connection = connected(connection.into_session(), later);
    let mut out = Vec::new();
    connection.resend(later, &mut out).expect("encodes");
    let again = packets(&out);
    assert_eq!(again[0], Packet::PubRel(Ack::success(1)));
    let Packet::Publish(publish) = &again[1] else {
        panic!("a publish, not {:?}", again[1]);
    };
    assert!(publish.dup);
    assert_eq!(connection.tally.expired, 0);
}
