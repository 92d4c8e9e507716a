//! Random courses of publishing, commits, cut connections and crashes, against what MQTT promises: nothing that was
//! acknowledged is lost, QoS 2 comes exactly once and in order, and in the end no row is left over.
//!
//! Each course follows from its seed alone: the clients read everything there is before the next step. `ROLLCALL_LONG=1`
//! runs fifty times as many.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rollcall_broker::codec::{Packet, Publish};
use rollcall_broker::{Pipe, QoS, ReasonCode, StoredTable};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use support::shelf::{Shelf, Stored};
use support::{ANY, Client, V4, ack, connect, publish, subscription};

const STEPS: usize = 120;

/// A publisher that keeps its promises, and its state through every crash of the server.
#[derive(Default)]
struct Publisher {
    line: Option<Client<Pipe>>,
    /// Unfinished publishes in their order.
    unfinished: BTreeMap<u16, Publish>,
    /// Those of QoS 2 that have their PUBREC.
    received: BTreeSet<u16>,
    next: u16,
    acknowledged: Vec<(QoS, u16)>,
}

/// A subscriber, likewise.
#[derive(Default)]
struct Subscriber {
    line: Option<Client<Pipe>>,
    /// Identifiers of QoS 2 whose PUBREL has not come.
    held: BTreeSet<u16>,
    got: Vec<(QoS, u16)>,
}

struct World {
    server: Stored,
    publisher: Publisher,
    subscriber: Subscriber,
}

/// CONNECT with a session that lasts, commits made where they are asked for.
async fn connected(server: &Stored, id: &str) -> Client<Pipe> {
    let mut lasting = connect(V4, id);
    lasting.clean_start = false;
    let mut client = Client::over(server.handle.pipe(), V4);
    let connack = server.committing(client.introduce(lasting)).await;
    assert_eq!(connack.code, ReasonCode::Success);
    client
}

impl Publisher {
    async fn connect(&mut self, server: &Stored) {
        let mut line = connected(server, "pub").await;
        for (id, message) in &self.unfinished {
            let again = Publish {
                dup: true,
                ..message.clone()
            };
            line.publish(again).await;
            if self.received.contains(id) {
                unreachable!("a received message is released, not repeated");
            }
        }
        for id in &self.received {
            line.send(Packet::PubRel(ack(*id))).await;
        }
        self.line = Some(line);
    }

    async fn publish(&mut self, qos: QoS) {
        // Numbers are payloads and identifiers at once, so that all is seen in a trace.
        self.next += 1;
        let number = self.next;
        let message = publish("t", number.to_string().as_bytes(), qos, number);
        self.unfinished.insert(number, message.clone());
        if let Some(line) = &mut self.line {
            line.publish(message).await;
        }
    }

    async fn read(&mut self) {
        let Some(line) = &mut self.line else { return };
        for packet in line.until_pong().await {
            match packet {
                Packet::PubAck(ack) => {
                    let done = self.unfinished.remove(&ack.packet_id);
                    assert!(done.is_some(), "PUBACK {} twice", ack.packet_id);
                    self.acknowledged.push((QoS::AtLeastOnce, ack.packet_id));
                }
                Packet::PubRec(rec) => {
                    if self.unfinished.remove(&rec.packet_id).is_some() {
                        self.acknowledged.push((QoS::ExactlyOnce, rec.packet_id));
                        self.received.insert(rec.packet_id);
                    }
                    line.send(Packet::PubRel(ack(rec.packet_id))).await;
                }
                Packet::PubComp(comp) => {
                    self.received.remove(&comp.packet_id);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

impl Subscriber {
    async fn connect(&mut self, server: &Stored) {
        let mut line = connected(server, "sub").await;
        if self.got.is_empty() {
            line.send(subscription(1, "t", ANY)).await;
        }
        self.line = Some(line);
    }

    /// Reads everything; answers as far as `answers` says.
    async fn read(&mut self, answers: bool) {
        let Some(line) = &mut self.line else { return };
        for packet in line.until_pong().await {
            match packet {
                Packet::Publish(message) => {
                    let id = message.packet_id;
                    let number = std::str::from_utf8(&message.payload)
                        .unwrap()
                        .parse()
                        .unwrap();
                    // QoS 2 that comes again before its PUBREL is the same message.
                    let is_new = message.qos == QoS::AtLeastOnce || self.held.insert(id);
                    if is_new {
                        self.got.push((message.qos, number));
                    }
                    if answers {
                        line.send(match message.qos {
                            QoS::AtLeastOnce => Packet::PubAck(ack(id)),
                            QoS::AtMostOnce | QoS::ExactlyOnce => Packet::PubRec(ack(id)),
                        })
                        .await;
                    }
                }
                Packet::PubRel(release) => {
                    self.held.remove(&release.packet_id);
                    if answers {
                        line.send(Packet::PubComp(ack(release.packet_id))).await;
                    }
                }
                Packet::SubAck(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

impl World {
    async fn start(shelf: &Arc<Shelf>) -> Self {
        let mut world = Self {
            server: Stored::start(shelf),
            publisher: Publisher::default(),
            subscriber: Subscriber::default(),
        };
        world.subscriber.connect(&world.server).await;
        world.server.commit();
        world.subscriber.read(true).await;
        world.publisher.connect(&world.server).await;
        world
    }

    async fn step(&mut self, chance: &mut ChaCha8Rng) {
        match chance.random_range(0..16) {
            0..=4 => {
                let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][chance.random_range(0..2)];
                self.publisher.publish(qos).await;
                self.publisher.read().await;
            }
            5..=7 => {
                self.server.commit();
                self.publisher.read().await;
            }
            8..=10 => self.subscriber.read(chance.random_range(0..4) > 0).await,
            11 => self.publisher.line = None,
            12 => self.subscriber.line = None,
            13 if self.publisher.line.is_none() => self.publisher.connect(&self.server).await,
            14 if self.subscriber.line.is_none() => self.subscriber.connect(&self.server).await,
            13 | 14 => {}
            _ => {
                if chance.random() {
                    self.server.shelf.commit_untold(&self.server.handle);
                }
                self.server = Stored::start(&self.server.shelf);
                self.publisher.line = None;
                self.subscriber.line = None;
            }
        }
    }

    /// Everybody is there and does his duty until nothing is left to do.
    async fn finish(&mut self) {
        self.publisher.line = None;
        self.subscriber.line = None;
        self.publisher.connect(&self.server).await;
        self.subscriber.connect(&self.server).await;
        let mut quiet = 0;
        while quiet < 4 {
            let before = (self.subscriber.got.len(), self.publisher.acknowledged.len());
            self.publisher.read().await;
            self.subscriber.read(true).await;
            self.server.commit();
            let after = (self.subscriber.got.len(), self.publisher.acknowledged.len());
            quiet = if before == after { quiet + 1 } else { 0 };
        }
        self.publisher.read().await;
        self.server.commit();
    }

    fn judge(&self, seed: u64) {
        let (sent, got) = (&self.publisher.acknowledged, &self.subscriber.got);
        assert!(self.publisher.unfinished.is_empty(), "seed {seed}");
        for message in sent {
            assert!(
                got.contains(message),
                "seed {seed}: {message:?} was acknowledged and lost"
            );
        }
        let once: Vec<_> = got
            .iter()
            .filter(|(qos, _)| *qos == QoS::ExactlyOnce)
            .collect();
        for pair in once.windows(2) {
            assert!(
                pair[0].1 < pair[1].1,
                "seed {seed}: {pair:?} twice or out of order"
            );
        }
        let shelf = &self.server.shelf;
        assert_eq!(shelf.count(StoredTable::Sessions), 2, "seed {seed}");
        assert_eq!(shelf.rows().len(), 2, "seed {seed}: {:?}", shelf.rows());
    }
}

#[tokio::test]
async fn no_crash_loses_or_doubles_what_was_acknowledged() {
    let long = std::env::var_os("ROLLCALL_LONG").is_some();
    let seeds = if long { 2_000 } else { 40 };
    for seed in 0..seeds {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let mut world = World::start(&Arc::default()).await;
        for _ in 0..STEPS {
            world.step(&mut chance).await;
        }
        world.finish().await;
        world.judge(seed);
    }
}
