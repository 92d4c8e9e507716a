//! Messages for sessions and retained messages, against SIGKILL: whatever the broker has acknowledged is there after
//! the restart.
//!
//! `ROLLCALL_LONG=1` kills 200 times instead of 8.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod process;

use bytes::Bytes;
use process::{Line, ServerProcess};
use rand::RngExt;
use rollcall_broker::codec::{
    Ack, Connect, Packet, Properties, Publish, Subscribe, SubscribeOptions, Subscription,
};
use rollcall_broker::{ProtocolVersion, QoS};
use std::collections::BTreeSet;
use std::net::SocketAddr;

const OPEN: &str =
    "[mqtt.open]\nanonymous = true\npublish = [\"open/#\"]\nsubscribe = [\"open/#\"]\n";

/// Publishes under way at one time.
const WINDOW: usize = 8;

/// A connection with a session that lasts unless it is `clean`, and whether there was one.
fn connect(mqtt: SocketAddr, client_id: &str, clean: bool) -> (Line, bool) {
    let mut line = Line::open(mqtt, ProtocolVersion::V4);
    let connect = Packet::Connect(Box::new(Connect {
        version: ProtocolVersion::V4,
        clean_start: clean,
        keep_alive: 0,
        client_id: client_id.into(),
        will: None,
        username: None,
        password: None,
        properties: Properties::none(),
    }));
    line.send(&connect).unwrap();
    match line.packet() {
        Some(Packet::ConnAck(connack)) => (line, connack.session_present),
        other => panic!("{other:?} instead of CONNACK"),
    }
}

fn message(number: u32, qos: QoS, packet_id: u16, retain: bool) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain,
        topic: if retain { "open/last" } else { "open/queue" }.into(),
        packet_id,
        properties: Properties::none(),
        payload: Bytes::from(number.to_string()),
    })
}

/// Publishes numbers from `first` on until the server is killed, which happens after `acks` acknowledgements. Every third
/// is retained. Returns the numbers that were acknowledged, and the first that was not sent.
fn publish_until_killed(server: &mut ServerProcess, first: u32, acks: usize) -> (Vec<u32>, u32) {
    let (mut line, _) = connect(server.mqtt, "publisher", false);
    let (mut next, mut under_way) = (first, std::collections::VecDeque::new());
    let mut acknowledged = Vec::new();
    loop {
        while under_way.len() < WINDOW {
            let id = u16::try_from(next % 60_000 + 1).unwrap();
            let sent = line.send(&message(next, QoS::AtLeastOnce, id, next.is_multiple_of(3)));
            if sent.is_err() {
                return (acknowledged, next);
            }
            under_way.push_back(next);
            next += 1;
        }
        match line.packet() {
            Some(Packet::PubAck(_)) => acknowledged.extend(under_way.pop_front()),
            None => return (acknowledged, next),
            Some(other) => panic!("{other:?}"),
        }
        if acknowledged.len() == acks {
            server.kill();
        }
    }
}

/// Everything that waits for the subscriber, acknowledged, until the server has nothing more.
fn fetch(mqtt: SocketAddr) -> BTreeSet<u32> {
    let (mut line, present) = connect(mqtt, "subscriber", false);
    assert!(present, "the session survives");
    line.send(&Packet::PingReq).unwrap();
    let (mut got, mut quiet) = (BTreeSet::new(), 0);
    while quiet < 3 {
        match line.packet().unwrap() {
            Packet::Publish(publish) => {
                let number = std::str::from_utf8(&publish.payload).unwrap();
                got.insert(number.parse().unwrap());
                let ack = Packet::PubAck(Ack::success(publish.packet_id));
                line.send(&ack).unwrap();
                quiet = 0;
            }
            Packet::PingResp => {
                quiet += 1;
                line.send(&Packet::PingReq).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    got
}

fn subscribe(line: &mut Line, filter: &str) {
    let subscribe = Packet::Subscribe(Subscribe {
        packet_id: 1,
        properties: Properties::none(),
        subscriptions: vec![Subscription {
            filter: filter.into(),
            options: SubscribeOptions::qos(QoS::ExactlyOnce),
        }],
    });
    line.send(&subscribe).unwrap();
}

fn retained(mqtt: SocketAddr) -> Option<u32> {
    let (mut line, _) = connect(mqtt, "looker", true);
    subscribe(&mut line, "open/last");
    loop {
        match line.packet() {
            Some(Packet::SubAck(_)) => {}
            Some(Packet::Publish(publish)) => {
                return std::str::from_utf8(&publish.payload).ok()?.parse().ok();
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn kills_lose_nothing_that_was_acknowledged_to_a_publisher() {
    let kills = if std::env::var_os("ROLLCALL_LONG").is_some() {
        200
    } else {
        8
    };
    let directory = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(directory.path(), OPEN);
    let (mut line, present) = connect(server.mqtt, "subscriber", false);
    assert!(!present);
    subscribe(&mut line, "open/queue");
    assert!(matches!(line.packet(), Some(Packet::SubAck(_))));
    drop(line);
    let mut next = 0;
    for kill in 0..kills {
        // Below the bound of an absent client's queue, in which both kinds of messages do not fit for ever.
        let acks = rand::rng().random_range(1..600);
        let (acknowledged, after) = publish_until_killed(&mut server, next, acks);
        server.restart();
        let got = fetch(server.mqtt);
        for number in acknowledged
            .iter()
            .filter(|number| !number.is_multiple_of(3))
        {
            assert!(
                got.contains(number),
                "kill {kill}: {number} was acknowledged and is lost"
            );
        }
        if let Some(last) = acknowledged.iter().rfind(|number| number.is_multiple_of(3)) {
            let kept = retained(server.mqtt);
            assert!(
                kept >= Some(*last),
                "kill {kill}: {last} was to be retained, not {kept:?}"
            );
        }
        next = after;
    }
}
