//! One life of the server, as the script has it.

use super::good::{self, introduction, qos};
use super::link::{Link, World};
use super::rules::{Disk, Rules};
use super::{CLIENTS, QUIET, Rows, Script, limits};
use bytes::Bytes;
use rollcall_broker::{
    Broker, BrokerHandle, Config, Event, ProtocolVersion, QoS, ReasonCode, StoredRow, StoredTable,
    Ticket, Verdict,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Steps of time, seconds: within every deadline, beyond a keep-alive, beyond expiries of messages and delays of wills, and
/// beyond every session.
const PASSING_S: [u64; 4] = [1, 16, 60, 2_000];

/// One life of the server.
pub(super) struct Life {
    pub(super) handle: BrokerHandle,
    _broker: Broker,
    events: mpsc::Receiver<Event>,
    pub(super) tickets: Vec<Held>,
    pub(super) rows: Rows,
    pub(super) links: [Option<Link>; CLIENTS],
    pub(super) world: World,
}

pub(super) struct Held {
    ticket: Ticket,
    pub(super) tag: u64,
    pub(super) qos: QoS,
}

impl Life {
    /// Begins with what was stored, in the world that the life before it has left.
    pub(super) fn begin(rows: Rows, before: World) -> Self {
        let (sender, events) = mpsc::channel(8);
        let stored = rows.iter().map(|((table, key), value)| StoredRow {
            table: *table,
            key: *key,
            value: value.clone(),
        });
        // Each may hold one.
        let sessions = rows
            .keys()
            .filter(|(table, _)| *table == StoredTable::Sessions);
        let wills = sessions.count() as u64;
        let config = Config { limits: limits() };
        let broker = Broker::restore(config, Arc::new(Rules), sender, Arc::new(Disk), stored)
            .expect("what was stored is understood");
        Self {
            handle: broker.handle(),
            _broker: broker,
            events,
            tickets: Vec::new(),
            rows,
            links: [const { None }; CLIENTS],
            world: World {
                accounts: BTreeMap::new(),
                wills,
                ..before
            },
        }
    }

    /// Plays until the script ends or asks for a restart; whether it does.
    pub(super) async fn play(&mut self, script: &mut Script<'_>) -> bool {
        while let Some(step) = script.byte() {
            let client = usize::from(step >> 4) % CLIENTS;
            match step & 0x0f {
                0..=2 => {
                    let count = script.byte().unwrap_or(0);
                    let bytes = script.bytes(count).to_vec();
                    self.say(client, &bytes).await;
                }
                3..=4 => {
                    let how = script.byte().unwrap_or(0);
                    self.links[client] = Some(Link::open(&self.handle, self.world.now));
                    self.settle_down().await;
                    self.say(client, &introduction(how)).await;
                }
                5..=6 => {
                    let what = script.byte().unwrap_or(0);
                    self.say_well(client, what, script.byte().unwrap_or(0))
                        .await;
                }
                7 => self.acknowledge(client).await,
                8 => self.links[client] = None,
                9 => self.judge(script.byte().unwrap_or(0), Verdict::Accepted),
                10 => {
                    let (code, why) = (ReasonCode::QuotaExceeded, "no".into());
                    self.judge(script.byte().unwrap_or(0), Verdict::Refused { code, why });
                }
                11 => {
                    let (code, why) = (ReasonCode::NotAuthorized, "out".into());
                    let which = script.byte().unwrap_or(0);
                    self.judge(which, Verdict::Disconnect { code, why });
                }
                12 => {
                    self.store();
                }
                13 => {
                    if script.byte().unwrap_or(0) & 1 == 0 {
                        self.store();
                    }
                    return true;
                }
                14 => {
                    let qos = qos(script.byte().unwrap_or(0));
                    let payload = Bytes::from_static(b"by the owner");
                    let _ = self.handle.publish("t", payload, qos, step & 0x10 > 0);
                }
                _ if step >= 0xc0 => {
                    let seconds = PASSING_S[usize::from(step >> 4) % PASSING_S.len()];
                    self.pass(seconds).await;
                }
                _ => {
                    if let Some(link) = &mut self.links[client] {
                        link.reads = !link.reads;
                    }
                }
            }
            self.settle_down().await;
        }
        false
    }

    /// Sends bytes of a client, which the server takes when it wants.
    pub(super) async fn say(&mut self, client: usize, bytes: &[u8]) {
        if self.links[client].is_none() {
            self.links[client] = Some(Link::open(&self.handle, self.world.now));
        }
        if let Some(link) = &mut self.links[client] {
            link.unsent.extend(bytes);
        }
        self.settle_down().await;
    }

    /// Sends a good packet.
    async fn say_well(&mut self, client: usize, what: u8, which: u8) {
        let Some(version) = self.links[client].as_ref().and_then(|link| link.version) else {
            return;
        };
        let bytes = good::packet(version, what, which, self.world.now);
        self.say(client, &bytes).await;
    }

    /// Answers everything that the server waits for.
    async fn acknowledge(&mut self, client: usize) {
        let Some(link) = &mut self.links[client] else {
            return;
        };
        let mut bytes = Vec::new();
        for answer in link.owed.drain(..) {
            let version = link.version.unwrap_or(ProtocolVersion::V4);
            answer.encode(version, &mut bytes).expect("a good packet");
        }
        self.say(client, &bytes).await;
    }

    pub(super) fn judge(&mut self, which: u8, verdict: Verdict) {
        if !self.tickets.is_empty() {
            let held = self.tickets.remove(usize::from(which) % self.tickets.len());
            self.handle.settle(held.ticket, verdict);
        }
    }

    /// Makes durable what is not; whether there was anything.
    pub(super) fn store(&mut self) -> bool {
        if let Some(unstored) = self.handle.unstored() {
            for change in &unstored.changes {
                let key = (change.table, change.key);
                match &change.value {
                    Some(value) => self.rows.insert(key, value.clone()),
                    None => self.rows.remove(&key),
                };
            }
            self.handle.stored(&unstored);
            return true;
        }
        false
    }

    /// Lets everybody do what can be done.
    pub(super) async fn settle_down(&mut self) {
        let mut quiet = 0;
        while quiet < QUIET {
            quiet += 1;
            while let Ok(event) = self.events.try_recv() {
                quiet = 0;
                if let Event::Publish {
                    ticket, tag, qos, ..
                } = event
                {
                    self.tickets.push(Held { ticket, tag, qos });
                }
            }
            for link in self.links.iter_mut().flatten() {
                if link.move_bytes(&mut self.world).await {
                    quiet = 0;
                }
            }
            tokio::task::yield_now().await;
        }
        self.check();
    }
}
