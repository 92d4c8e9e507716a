//! Messages for sessions and retained messages, against SIGKILL: whatever the broker has acknowledged is there after
//! the restart, and what is of QoS 2 comes once, whether the publisher or the subscriber was at work.
//!
//! `ROLLCALL_LONG=1` kills 200 times instead of 8.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod process;

use bytes::Bytes;
use process::{Line, OPEN, ServerProcess};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rollcall_broker::QoS;
use rollcall_broker::codec::{
    Ack, Packet, Properties, Publish, Subscribe, SubscribeOptions, Subscription,
};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

/// Publishes under way at one time.
const WINDOW: usize = 8;

/// Every third message is retained instead of queued, every second is of QoS 2.
const fn is_retained(number: u32) -> bool {
    number.is_multiple_of(3)
}

const fn qos(number: u32) -> QoS {
    if number.is_multiple_of(2) {
        QoS::ExactlyOnce
    } else {
        QoS::AtLeastOnce
    }
}

fn message(number: u32, packet_id: u16) -> Packet {
    let retain = is_retained(number);
    Packet::Publish(Publish {
        dup: false,
        qos: qos(number),
        retain,
        topic: if retain { "open/last" } else { "open/queue" }.into(),
        packet_id,
        properties: Properties::none(),
        payload: Bytes::from(number.to_string()),
    })
}

fn number(publish: &Publish) -> u32 {
    std::str::from_utf8(&publish.payload)
        .unwrap()
        .parse()
        .unwrap()
}

/// Publishes numbers from `first` on until the server is killed, which happens after `acks` acknowledgements. Returns the
/// numbers that were acknowledged, and the first that was not sent.
fn publish_until_killed(server: &mut ServerProcess, first: u32, acks: usize) -> (Vec<u32>, u32) {
    let (mut line, _) = Line::connect(server.mqtt, "publisher", false);
    let (mut next, mut under_way) = (first, VecDeque::new());
    let mut acknowledged = Vec::new();
    loop {
        while under_way.len() < WINDOW {
            let id = u16::try_from(next % 60_000 + 1).unwrap();
            if line.send(&message(next, id)).is_err() {
                return (acknowledged, next);
            }
            under_way.push_back(next);
            next += 1;
        }
        match line.packet() {
            Some(Packet::PubAck(_)) => acknowledged.extend(under_way.pop_front()),
            Some(Packet::PubRec(received)) => {
                acknowledged.extend(under_way.pop_front());
                // A killed server shows at the next packet.
                let _ = line.send(&Packet::PubRel(Ack::success(received.packet_id)));
            }
            Some(Packet::PubComp(_)) => continue,
            None => return (acknowledged, next),
            Some(other) => panic!("{other:?}"),
        }
        if acknowledged.len() == acks {
            server.kill();
        }
    }
}

/// A subscriber who keeps his part of QoS 2 through every kill.
#[derive(Default)]
struct Subscriber {
    /// Identifiers whose PUBREL has not come.
    held: BTreeSet<u16>,
    got: Vec<u32>,
}

impl Subscriber {
    /// Takes everything that waits, or as many packets as `until_kill` says before it kills the server; whether all came.
    fn fetch(&mut self, server: &mut ServerProcess, until_kill: Option<usize>) -> bool {
        let (mut line, present) = Line::connect(server.mqtt, "subscriber", false);
        assert!(present, "the session survives");
        let (mut quiet, mut packets) = (0, 0);
        let send = |line: &mut Line, packet| drop(line.send(&packet));
        send(&mut line, Packet::PingReq);
        while quiet < 3 {
            let Some(packet) = line.packet() else {
                return false;
            };
            packets += 1;
            quiet += 1;
            match packet {
                Packet::Publish(publish) => {
                    quiet = 0;
                    let ack = Ack::success(publish.packet_id);
                    let again = publish.qos == QoS::ExactlyOnce && !self.held.insert(ack.packet_id);
                    if !again {
                        self.got.push(number(&publish));
                    }
                    let twice = publish.qos == QoS::ExactlyOnce;
                    send(
                        &mut line,
                        if twice {
                            Packet::PubRec(ack)
                        } else {
                            Packet::PubAck(ack)
                        },
                    );
                }
                Packet::PubRel(release) => {
                    quiet = 0;
                    self.held.remove(&release.packet_id);
                    send(&mut line, Packet::PubComp(Ack::success(release.packet_id)));
                }
                Packet::PingResp => send(&mut line, Packet::PingReq),
                other => panic!("{other:?}"),
            }
            if until_kill == Some(packets) {
                server.kill();
            }
        }
        until_kill.is_none_or(|kill| packets < kill)
    }
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

fn retained(mqtt: SocketAddr) -> u32 {
    let (mut line, _) = Line::connect(mqtt, "looker", true);
    subscribe(&mut line, "open/last");
    loop {
        match line.packet() {
            Some(Packet::SubAck(_)) => {}
            Some(Packet::Publish(publish)) => return number(&publish),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn kills_lose_nothing_that_was_acknowledged_and_double_nothing_of_qos_2() {
    let kills = if std::env::var_os("ROLLCALL_LONG").is_some() {
        200
    } else {
        8
    };
    let seed = rand::random();
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(directory.path(), OPEN);
    let (mut line, present) = Line::connect(server.mqtt, "subscriber", false);
    assert!(!present);
    subscribe(&mut line, "open/queue");
    assert!(matches!(line.packet(), Some(Packet::SubAck(_))));
    drop(line);
    let (mut next, mut subscriber) = (0, Subscriber::default());
    for kill in 0..kills {
        let place = format!("seed {seed}, kill {kill}");
        // Below the bound of an absent client's queue.
        let acks = chance.random_range(1..600);
        let (acknowledged, after) = publish_until_killed(&mut server, next, acks);
        server.restart();
        if chance.random() && !subscriber.fetch(&mut server, Some(chance.random_range(1..200))) {
            server.restart();
        }
        subscriber.fetch(&mut server, None);
        let got: BTreeSet<_> = subscriber.got.iter().copied().collect();
        let mut queued = acknowledged.iter().filter(|number| !is_retained(**number));
        let lost = queued.find(|number| !got.contains(number));
        assert_eq!(lost, None, "{place}: acknowledged and lost");
        let once = subscriber
            .got
            .iter()
            .filter(|number| qos(**number) == QoS::ExactlyOnce);
        let mut seen = BTreeSet::new();
        let twice = once.copied().find(|number| !seen.insert(*number));
        assert_eq!(twice, None, "{place}: of QoS 2, and came twice");
        if let Some(last) = acknowledged.iter().rfind(|number| is_retained(**number)) {
            assert!(
                retained(server.mqtt) >= *last,
                "{place}: {last} was to be retained"
            );
        }
        next = after;
    }
}
