//! A whole broker and its clients, driven by a script of bytes.
//!
//! Clients are pipes within the process, the owner is here: it judges publishes in any order, collects what is to be
//! stored, loses everything else and starts again. After every step everybody does what can be done at once. Asserted
//! is what holds whatever clients send:
//!
//! - the server speaks MQTT, and in the version that was agreed on;
//! - no acknowledgement without a verdict, and PUBACKs in the order of their PUBLISHes;
//! - no packet identifier twice under way to a client, and no more of them than its window;
//! - what is malformed ends its connection, and who is not ended is answered;
//! - tables keep to their bounds, and a client who has done nothing wrong is served at the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rollcall_broker::codec::{
    Ack, Connect, Packet, Properties, PropertyId, Publish, RetainHandling, Subscribe,
    SubscribeOptions, Subscription, Will, header,
};
use rollcall_broker::{
    Access, Broker, BrokerHandle, Config, ConnectRefusal, ConnectRequest, Event, Limits, Pipe,
    Principal, ProtocolVersion, PublishAccess, QoS, ReasonCode, SessionPolicy, Storage, StoredKey,
    StoredRow, StoredTable, SubscribeAccess, Ticket, Verdict,
};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::sync::mpsc;

/// Clients at one time.
const CLIENTS: usize = 3;
/// Rounds in which nobody has anything to say before a step is over.
const QUIET: u32 = 5;
/// Longest script, bytes: what follows is ignored.
const SCRIPT_MAX: usize = 2_048;
const SEND_WINDOW: u16 = 4;

fn limits() -> Limits {
    Limits {
        max_packet_size: 512,
        max_connections: 16,
        max_handshaking: 64,
        intake_window: 4,
        receive_maximum: 8,
        send_window: SEND_WINDOW,
        queue_messages: 8,
        queue_bytes: 2_048,
        max_subscriptions: 4,
        max_retained_messages: 8,
        max_retained_bytes: 1_024,
        max_sessions: 1_024,
        max_topic_levels: 8,
        send_buffer: 1_024,
        // Time does not pass here.
        connect_timeout: Duration::from_secs(3_600),
        ..Limits::default()
    }
}

/// `r…` are robots, whose topics `i…` are taken in. Nobody may use `d…`.
#[derive(Debug)]
struct Rules;

fn tag(client_id: &str) -> u64 {
    if client_id.starts_with('r') {
        1 + client_id.bytes().map(u64::from).sum::<u64>()
    } else {
        0
    }
}

impl Access for Rules {
    fn authenticate(&self, connect: &ConnectRequest<'_>) -> Result<Principal, ConnectRefusal> {
        if connect.username == Some("wrong") {
            return Err(ConnectRefusal {
                code: ReasonCode::BadUserNameOrPassword,
                why: "the fuzzer said so".into(),
            });
        }
        let id = connect.proposed_id.unwrap_or(connect.client_id);
        Ok(Principal {
            client_id: id.into(),
            tag: tag(id),
            sessions: if id.starts_with("rc") {
                SessionPolicy::AlwaysClean
            } else {
                SessionPolicy::Persistent
            },
        })
    }

    fn publish(&self, _: &Principal, topic: &str, _: QoS, _: bool) -> PublishAccess {
        match topic.as_bytes().first() {
            Some(b'i') => PublishAccess::Intake,
            Some(b'd') => PublishAccess::Deny {
                why: "denied".into(),
            },
            _ => PublishAccess::Route,
        }
    }

    fn subscribe(&self, _: &Principal, filter: &str) -> SubscribeAccess {
        match filter.as_bytes().first() {
            Some(b'd') => SubscribeAccess::Deny {
                why: "denied".into(),
            },
            _ => SubscribeAccess::Grant {
                max_qos: QoS::ExactlyOnce,
            },
        }
    }
}

#[derive(Debug)]
struct Disk;

impl Storage for Disk {
    fn wanted(&self) {}
}

/// The rest of the script.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: u8) -> &[u8] {
        let (bytes, rest) = self.0.split_at(usize::from(count).min(self.0.len()));
        self.0 = rest;
        bytes
    }
}

/// Plays a script.
pub fn script(data: &[u8]) {
    let mut script = Script(&data[..data.len().min(SCRIPT_MAX)]);
    let mut rows = BTreeMap::new();
    let mut more = true;
    while more {
        // Everything that lives dies with its runtime, as with a process.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        more = runtime.block_on(async {
            let mut life = Life::begin(rows.clone());
            let restart = life.play(&mut script).await;
            if !restart {
                life.end().await;
            }
            rows = std::mem::take(&mut life.rows);
            restart
        });
    }
}

type Rows = BTreeMap<(StoredTable, StoredKey), Vec<u8>>;

/// One life of the server.
struct Life {
    handle: BrokerHandle,
    _broker: Broker,
    events: mpsc::Receiver<Event>,
    tickets: Vec<Held>,
    rows: Rows,
    links: [Option<Link>; CLIENTS],
    /// Of each robot, by tag.
    accounts: BTreeMap<u64, Account>,
}

struct Held {
    ticket: Ticket,
    tag: u64,
    qos: QoS,
}

/// Publishes of a robot that are to be acknowledged, and acknowledgements that it got.
#[derive(Debug, Default)]
struct Account {
    published: usize,
    acknowledged: usize,
}

impl Life {
    fn begin(rows: Rows) -> Self {
        let (sender, events) = mpsc::channel(8);
        let stored = rows.iter().map(|((table, key), value)| StoredRow {
            table: *table,
            key: *key,
            value: value.clone(),
        });
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
            accounts: BTreeMap::new(),
        }
    }

    /// Plays until the script ends or asks for a restart; whether it does.
    async fn play(&mut self, script: &mut Script<'_>) -> bool {
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
                    self.links[client] = Some(Link::open(&self.handle));
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
    async fn say(&mut self, client: usize, bytes: &[u8]) {
        if self.links[client].is_none() {
            self.links[client] = Some(Link::open(&self.handle));
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
        let topic = ["t", "i", "a/b", "d"][usize::from(which) % 4];
        let id = u16::from(which >> 2 & 3) + 1;
        let packet = match what % 8 {
            0..=3 => {
                let qos = qos(what);
                Packet::Publish(Publish {
                    dup: what & 0x40 > 0 && qos != QoS::AtMostOnce,
                    qos,
                    retain: what & 0x80 > 0,
                    topic: topic.into(),
                    packet_id: if qos == QoS::AtMostOnce { 0 } else { id },
                    properties: Properties::none(),
                    payload: Bytes::copy_from_slice(&[which; 40][..usize::from(what >> 4) * 2]),
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

    fn judge(&mut self, which: u8, verdict: Verdict) {
        if !self.tickets.is_empty() {
            let held = self.tickets.remove(usize::from(which) % self.tickets.len());
            self.handle.settle(held.ticket, verdict);
        }
    }

    /// Makes durable what is not; whether there was anything.
    fn store(&mut self) -> bool {
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
    async fn settle_down(&mut self) {
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
                if link.move_bytes(&mut self.accounts).await {
                    quiet = 0;
                }
            }
            tokio::task::yield_now().await;
        }
        self.check();
    }

    fn check(&self) {
        for (tag, account) in &self.accounts {
            let waits = |held: &&Held| held.tag == *tag && held.qos != QoS::AtMostOnce;
            let waiting = self.tickets.iter().filter(waits).count();
            assert!(
                account.acknowledged + waiting <= account.published,
                "acknowledged without a verdict: {account:?}, {waiting} wait"
            );
        }
        let (metrics, limits) = (self.handle.metrics(), limits());
        // Who waits for an older connection of its client, or for the disk, counts too, also when it has left meanwhile.
        assert!(metrics.connections <= limits.max_connections);
        assert!(metrics.retained_messages <= limits.max_retained_messages);
        assert!(metrics.retained_bytes <= limits.max_retained_bytes);
        assert!(metrics.subscriptions <= metrics.sessions * limits.max_subscriptions);
    }

    /// Settles everything; then who was malformed is gone, and who was not is answered.
    async fn end(&mut self) {
        for link in self.links.iter_mut().flatten() {
            link.reads = true;
        }
        let mut more = true;
        while more {
            self.settle_down().await;
            more = !self.tickets.is_empty();
            while !self.tickets.is_empty() {
                self.judge(0, Verdict::Accepted);
            }
            more |= self.store();
        }
        for client in 0..CLIENTS {
            let Some(link) = &self.links[client] else {
                continue;
            };
            if link.is_malformed {
                assert!(link.ended, "what is malformed ends the connection");
            }
            if link.ended || !link.accepted || !link.said.is_empty() || !link.unsent.is_empty() {
                continue;
            }
            let pongs = link.pongs;
            self.say(client, &[0xc0, 0]).await;
            let link = self.links[client].as_ref().expect("still there");
            assert!(link.ended || link.pongs > pongs, "a client is not answered");
        }
        self.witness().await;
        let alive = self.links.iter().flatten();
        let alive = alive.filter(|link| link.accepted && !link.ended).count();
        let metrics = self.handle.metrics();
        let counts: Vec<_> = metrics.counts().filter(|(_, count)| *count > 0).collect();
        assert_eq!(metrics.connections, alive, "{metrics:?} {counts:?}");
    }

    /// A client that does nothing wrong is served.
    async fn witness(&mut self) {
        self.links[0] = None;
        self.settle_down().await;
        self.links[0] = Some(Link::open(&self.handle));
        self.say(0, &introduction(0xff)).await;
        while self.store() {
            self.settle_down().await;
        }
        let link = self.links[0].as_ref().expect("just opened");
        assert!(link.accepted && !link.ended, "the witness is let in");
        // A subscription of QoS 0 to `w`, a publish of QoS 1 to it.
        self.say(0, b"\x82\x07\0\x01\0\0\x01w\0\x32\x07\0\x01w\0\x07\0w")
            .await;
        while self.store() {
            self.settle_down().await;
        }
        let link = self.links[0].as_ref().expect("just opened");
        assert!(link.witnessed > 0, "the witness gets its message");
        assert_eq!(link.acknowledged, 1, "and its acknowledgement");
    }
}

/// A CONNECT by the bits of a byte; all of them are the witness.
fn introduction(how: u8) -> Vec<u8> {
    let witness = how == 0xff;
    let version = match how & 1 {
        0 => ProtocolVersion::V4,
        _ => ProtocolVersion::V5,
    };
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
        properties: Properties::none(),
    });
    let ids = ["r1", "r2", "a", "rc"];
    let connect = Packet::Connect(Box::new(Connect {
        version,
        clean_start: how & 2 == 0 || witness,
        keep_alive: 0,
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

fn qos(bits: u8) -> QoS {
    QoS::from_bits(bits & 3).unwrap_or(QoS::AtLeastOnce)
}

/// A client's end of a connection, and what was seen on it.
struct Link {
    pipe: Pipe,
    reads: bool,
    /// What the server has not taken yet.
    unsent: VecDeque<u8>,
    /// What was sent and is no whole packet yet.
    said: BytesMut,
    heard: BytesMut,
    version: Option<ProtocolVersion>,
    tag: u64,
    is_malformed: bool,
    accepted: bool,
    ended: bool,
    /// QoS 1 publishes that were sent, in their order.
    published: VecDeque<u16>,
    under_way: BTreeSet<u16>,
    window: u16,
    owed: Vec<Packet>,
    pongs: usize,
    witnessed: usize,
    acknowledged: usize,
}

impl Link {
    fn open(handle: &BrokerHandle) -> Self {
        Self {
            pipe: handle.pipe(),
            reads: true,
            unsent: VecDeque::new(),
            said: BytesMut::new(),
            heard: BytesMut::new(),
            version: None,
            tag: 0,
            is_malformed: false,
            accepted: false,
            ended: false,
            published: VecDeque::new(),
            under_way: BTreeSet::new(),
            window: SEND_WINDOW,
            owed: Vec::new(),
            pongs: 0,
            witnessed: 0,
            acknowledged: 0,
        }
    }

    /// Writes and reads what can be at once; whether anything could.
    async fn move_bytes(&mut self, accounts: &mut BTreeMap<u64, Account>) -> bool {
        let mut moved = false;
        if !self.unsent.is_empty() {
            moved = true;
            let bytes: Vec<_> = self.unsent.drain(..).collect();
            // A pipe takes more than a whole script.
            if self.pipe.write_all(&bytes).await.is_ok() {
                self.said.extend_from_slice(&bytes);
                self.overhear(accounts);
            }
        }
        if self.reads {
            let mut space = [0; 4_096];
            let mut buffer = ReadBuf::new(&mut space);
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(read) =
                std::pin::pin!(&mut self.pipe).poll_read(&mut cx, &mut buffer)
                && !self.ended
            {
                moved = true;
                self.ended = read.is_err() || buffer.filled().is_empty();
                self.heard.extend_from_slice(buffer.filled());
                self.hear(accounts);
            }
        }
        moved
    }

    /// Follows what the client says.
    fn overhear(&mut self, accounts: &mut BTreeMap<u64, Account>) {
        while !self.is_malformed {
            let version = self.version.unwrap_or(ProtocolVersion::V5);
            let packet = match cut(&mut self.said, 512) {
                Ok(Some((first, body))) => Packet::decode(version, first, body),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            match packet {
                Ok(packet) => self.said_well(packet, accounts),
                Err(_) => self.is_malformed = true,
            }
        }
    }

    fn said_well(&mut self, packet: Packet, accounts: &mut BTreeMap<u64, Account>) {
        match packet {
            Packet::Connect(connect) if self.version.is_none() => {
                self.version = Some(connect.version);
                self.tag = tag(&connect.client_id);
                let maximum = connect.properties.number(PropertyId::ReceiveMaximum);
                let maximum = maximum.and_then(|maximum| u16::try_from(maximum).ok());
                self.window = maximum.unwrap_or(u16::MAX).min(SEND_WINDOW);
            }
            // The first packet has to be a CONNECT, and there is only one.
            _ if self.version.is_none() => self.is_malformed = true,
            Packet::Connect(_) => self.is_malformed = true,
            Packet::Publish(publish) if publish.qos != QoS::AtMostOnce => {
                accounts.entry(self.tag).or_default().published += 1;
                if publish.qos == QoS::AtLeastOnce {
                    self.published.push_back(publish.packet_id);
                }
            }
            Packet::PubAck(ack) | Packet::PubComp(ack) => {
                self.under_way.remove(&ack.packet_id);
            }
            Packet::PubRec(ack) if ack.code.is_error() => {
                self.under_way.remove(&ack.packet_id);
            }
            _ => {}
        }
    }

    /// Judges what the server says.
    fn hear(&mut self, accounts: &mut BTreeMap<u64, Account>) {
        loop {
            let cut = cut(&mut self.heard, usize::MAX).expect("the server speaks MQTT");
            let Some((first, body)) = cut else {
                return;
            };
            let version = self.version.unwrap_or(ProtocolVersion::V4);
            // Who spoke an unknown version is answered in one that the server chose.
            let packet = match Packet::decode(version, first, body.clone()) {
                Err(_) if !self.accepted => {
                    Packet::decode(ProtocolVersion::V5, first, body).expect("a good packet")
                }
                packet => packet.expect("a good packet"),
            };
            self.judge(packet, accounts);
        }
    }

    fn judge(&mut self, packet: Packet, accounts: &mut BTreeMap<u64, Account>) {
        match packet {
            Packet::ConnAck(connack) => {
                assert!(!self.accepted, "a second CONNACK");
                self.accepted = connack.code == ReasonCode::Success;
            }
            _ if !self.accepted => panic!("{packet:?} before CONNACK"),
            Packet::Publish(publish) => {
                self.witnessed += usize::from(publish.topic == "w" && publish.payload == "w");
                if publish.qos == QoS::AtMostOnce {
                    return;
                }
                let id = publish.packet_id;
                assert!(self.under_way.insert(id), "identifier {id} is in use");
                let window = usize::from(self.window);
                assert!(self.under_way.len() <= window, "beyond the window");
                self.owed.push(match publish.qos {
                    QoS::ExactlyOnce => Packet::PubRec(Ack::success(id)),
                    _ => Packet::PubAck(Ack::success(id)),
                });
            }
            Packet::PubAck(ack) => {
                self.acknowledged += 1;
                accounts.entry(self.tag).or_default().acknowledged += 1;
                while let Some(id) = self.published.pop_front() {
                    if id == ack.packet_id {
                        return;
                    }
                }
                panic!("PUBACK of {} is out of order", ack.packet_id);
            }
            Packet::PubRec(_) => accounts.entry(self.tag).or_default().acknowledged += 1,
            Packet::PubRel(ack) => self.owed.push(Packet::PubComp(Ack::success(ack.packet_id))),
            Packet::PingResp => self.pongs += 1,
            Packet::PubComp(_) | Packet::SubAck(_) | Packet::UnsubAck(_) => {}
            Packet::Disconnect(_) => {
                assert_eq!(self.version, Some(ProtocolVersion::V5), "3.1.1 has none");
            }
            other => panic!("{other:?} from a server"),
        }
    }
}

/// The packet at the front.
fn cut(
    buffer: &mut BytesMut,
    max_body: usize,
) -> Result<Option<(u8, Bytes)>, rollcall_broker::codec::DecodeError> {
    let Some(found) = header(buffer, max_body)? else {
        return Ok(None);
    };
    if buffer.len() < found.total() {
        return Ok(None);
    }
    let mut packet = buffer.split_to(found.total());
    packet.advance(found.header_len);
    Ok(Some((found.first, packet.freeze())))
}
