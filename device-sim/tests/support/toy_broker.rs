//! A small MQTT broker with a flaw. Filters match only topics of the same name, which is all that innocent
//! clients need, and `#` matches all but reserved ones.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test's support, which fails by panicking"
)]

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use rollcall_broker::codec::{Ack, ConnAck, Packet, Properties, Publish, SubAck, UnsubAck, header};
use rollcall_broker::{ProtocolVersion, QoS, ReasonCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// Publishes of a client before a flaw that shows once does.
const SOUND_FOR: u64 = 30;

/// How long a client may take for its CONNECT.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    RefusesEverybody,
    DiesAtNonAsciiTopic,
    ForgetsAcknowledgements,
    LosesMessages,
    DeliversTwice,
    Disconnects,
    TakesMalformed,
    HangsAtMalformed,
    ReleasesTheWrongMessage,
    Hoards,
    WaitsForConnectForever,
    /// Wildcards reach topics that begin with $.
    LeaksReservedTopics,
    /// Wills to $SYS reach who subscribed to $SYS/#.
    SendsReservedWills,
    /// A client id may be in use twice.
    IgnoresTakeOvers,
    /// Neither reads what is malformed nor ends the connection.
    StallsAtMalformed,
}

#[derive(Debug)]
pub struct Toy {
    pub address: SocketAddr,
    _alive: watch::Sender<bool>,
}

#[derive(Debug)]
struct Shared {
    flaw: Flaw,
    shown: AtomicBool,
    next: AtomicU64,
    dead: watch::Sender<bool>,
    /// By filter, then by connection.
    subscribers: Mutex<BTreeMap<String, HashMap<u64, Subscriber>>>,
    owners: Mutex<HashMap<String, mpsc::UnboundedSender<Mail>>>,
    hoard: Mutex<Vec<Vec<u8>>>,
}

type Subscriber = (QoS, mpsc::UnboundedSender<Mail>);

#[derive(Debug, Clone)]
enum Mail {
    Message(String, Bytes, QoS),
    TakenOver,
}

impl Toy {
    pub async fn start(flaw: Flaw) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (dead, _) = watch::channel(false);
        let shared = Arc::new(Shared {
            flaw,
            shown: AtomicBool::new(false),
            next: AtomicU64::new(0),
            dead: dead.clone(),
            subscribers: Mutex::default(),
            owners: Mutex::default(),
            hoard: Mutex::default(),
        });
        let mut death = dead.subscribe();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (stream, _) = accepted.unwrap();
                        tokio::spawn(serve(shared.clone(), stream));
                    }
                    _ = death.wait_for(|dead| *dead) => return,
                }
            }
        });
        Self {
            address,
            _alive: dead,
        }
    }
}

struct Client {
    shared: Arc<Shared>,
    number: u64,
    stream: TcpStream,
    buffer: BytesMut,
    version: ProtocolVersion,
    mail: mpsc::UnboundedReceiver<Mail>,
    post: mpsc::UnboundedSender<Mail>,
    published: u64,
    last_id: u16,
    /// QoS 2 messages that wait for PUBREL.
    held: BTreeMap<u16, Publish>,
    hangs: bool,
    /// Sent unless the client says goodbye.
    will: Option<Publish>,
    connected: bool,
    since: tokio::time::Instant,
}

async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let mut death = shared.dead.subscribe();
    let (post, mail) = mpsc::unbounded_channel();
    let number = shared.next.fetch_add(1, Ordering::SeqCst);
    let mut client = Client {
        shared: shared.clone(),
        number,
        stream,
        buffer: BytesMut::new(),
        version: ProtocolVersion::V5,
        mail,
        post,
        published: 0,
        last_id: 0,
        held: BTreeMap::new(),
        hangs: false,
        will: None,
        connected: false,
        since: tokio::time::Instant::now(),
    };
    tokio::select! {
        _ = client.run() => {}
        _ = death.wait_for(|dead| *dead) => {}
    }
    if let Some(will) = client.will.take() {
        client.route(&will, 1);
    }
    for subscribers in shared.subscribers.lock().values_mut() {
        subscribers.remove(&number);
    }
}

impl Client {
    async fn run(&mut self) -> Option<()> {
        loop {
            while let Some(packet) = self.take()? {
                self.handle(packet).await?;
            }
            if self.hangs && self.shared.flaw == Flaw::StallsAtMalformed {
                std::future::pending::<()>().await;
            }
            let patient =
                self.connected || self.shared.flaw == Flaw::WaitsForConnectForever || self.hangs;
            tokio::select! {
                // Whoever is taken over is so before it says another word.
                biased;
                mail = self.mail.recv() => self.deliver(mail?).await?,
                () = tokio::time::sleep_until(self.since + CONNECT_TIMEOUT), if !patient => return None,
                read = self.stream.read_buf(&mut self.buffer) => {
                    if read.ok()? == 0 {
                        return None;
                    }
                }
            }
        }
    }

    /// The next packet, if it is complete; `None` outside: the end.
    fn take(&mut self) -> Option<Option<Packet>> {
        if self.hangs {
            self.buffer.clear();
            return Some(None);
        }
        let found = match header(&self.buffer, 1 << 20) {
            Ok(Some(found)) if self.buffer.len() >= found.total() => found,
            Ok(_) => return Some(None),
            // Nobody knows where the next packet begins.
            Err(_) if self.shared.flaw == Flaw::TakesMalformed => return None,
            Err(_) => return self.malformed(),
        };
        let mut bytes = self.buffer.split_to(found.total());
        bytes.advance(found.header_len);
        match Packet::decode(self.version, found.first, bytes.freeze()) {
            Ok(packet) => Some(Some(packet)),
            Err(_) => self.malformed(),
        }
    }

    fn malformed(&mut self) -> Option<Option<Packet>> {
        match self.shared.flaw {
            Flaw::TakesMalformed => self.take(),
            Flaw::HangsAtMalformed | Flaw::StallsAtMalformed => {
                self.hangs = true;
                Some(None)
            }
            _ => None,
        }
    }

    async fn handle(&mut self, packet: Packet) -> Option<()> {
        match packet {
            Packet::Connect(connect) if !std::mem::replace(&mut self.connected, true) => {
                self.version = connect.version;
                let mut code = ReasonCode::Success;
                if self.shared.flaw == Flaw::RefusesEverybody {
                    code = ReasonCode::NotAuthorized;
                }
                if self.shared.flaw == Flaw::Hoards {
                    self.shared.hoard.lock().push(vec![1; 2 << 20]);
                }
                self.will = connect.will.map(|will| Publish {
                    dup: false,
                    qos: will.qos,
                    retain: false,
                    topic: will.topic,
                    packet_id: 0,
                    properties: Properties::none(),
                    payload: will.payload,
                });
                let id = connect.client_id.to_string();
                let former = self.shared.owners.lock().insert(id, self.post.clone());
                if let Some(former) = former.filter(|_| self.shared.flaw != Flaw::IgnoresTakeOvers)
                {
                    let _ = former.send(Mail::TakenOver);
                }
                self.send(Packet::ConnAck(ConnAck {
                    session_present: false,
                    code,
                    properties: Properties::none(),
                }))
                .await
            }
            Packet::Subscribe(subscribe) => {
                let mut codes = Vec::new();
                for subscription in subscribe.subscriptions {
                    let mut subscribers = self.shared.subscribers.lock();
                    let subscribers = subscribers
                        .entry(subscription.filter.to_string())
                        .or_default();
                    let entry = (subscription.options.qos, self.post.clone());
                    subscribers.insert(self.number, entry);
                    codes.push(match subscription.options.qos {
                        QoS::AtMostOnce => ReasonCode::Success,
                        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
                        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
                    });
                }
                self.send(Packet::SubAck(SubAck {
                    packet_id: subscribe.packet_id,
                    properties: Properties::none(),
                    codes,
                }))
                .await
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.send(Packet::UnsubAck(UnsubAck {
                    packet_id: unsubscribe.packet_id,
                    properties: Properties::none(),
                    codes: vec![ReasonCode::Success; unsubscribe.filters.len()],
                }))
                .await
            }
            Packet::Publish(publish) => self.publish(publish).await,
            Packet::PubRel(ack) => {
                let released = match self.shared.flaw {
                    Flaw::ReleasesTheWrongMessage if self.held.len() > 1 => {
                        self.held.pop_last().map(|(_, publish)| publish)
                    }
                    _ => self.held.remove(&ack.packet_id),
                };
                if let Some(publish) = released {
                    self.route(&publish, 1);
                }
                self.send(Packet::PubComp(Ack::success(ack.packet_id)))
                    .await
            }
            Packet::PubRec(ack) => self.send(Packet::PubRel(Ack::success(ack.packet_id))).await,
            Packet::PingReq => self.send(Packet::PingResp).await,
            Packet::PubAck(_) | Packet::PubComp(_) => Some(()),
            Packet::Disconnect(_) => {
                self.will = None;
                None
            }
            _ if self.shared.flaw == Flaw::TakesMalformed => Some(()),
            _ => self.malformed().map(|_| ()),
        }
    }

    async fn publish(&mut self, publish: Publish) -> Option<()> {
        self.published += 1;
        let flaw = self.shared.flaw;
        if flaw == Flaw::DiesAtNonAsciiTopic && !publish.topic.starts_with(|c: char| c.is_ascii()) {
            self.shared.dead.send_replace(true);
            return None;
        }
        let is_due = self.published > SOUND_FOR && publish.qos == QoS::AtLeastOnce;
        let shows = |flaw_wanted| {
            flaw == flaw_wanted && is_due && !self.shared.shown.swap(true, Ordering::SeqCst)
        };
        if shows(Flaw::Disconnects) {
            return None;
        }
        let copies = if shows(Flaw::LosesMessages) {
            0
        } else if shows(Flaw::DeliversTwice) {
            2
        } else {
            1
        };
        let silent = shows(Flaw::ForgetsAcknowledgements);
        let ack = Ack::success(publish.packet_id);
        match publish.qos {
            QoS::AtMostOnce => self.route(&publish, copies),
            QoS::AtLeastOnce => {
                self.route(&publish, copies);
                if !silent {
                    self.send(Packet::PubAck(ack)).await?;
                }
            }
            QoS::ExactlyOnce => {
                self.held.insert(publish.packet_id, publish);
                self.send(Packet::PubRec(ack)).await?;
            }
        }
        Some(())
    }

    fn route(&self, publish: &Publish, copies: usize) {
        let subscribers = self.shared.subscribers.lock();
        let reserved = publish.topic.starts_with('$');
        let wild = !reserved || self.shared.flaw == Flaw::LeaksReservedTopics;
        let named = subscribers.get(&*publish.topic);
        let wild = subscribers.get("#").filter(|_| wild);
        let system =
            publish.topic.starts_with("$SYS/") && self.shared.flaw == Flaw::SendsReservedWills;
        let system = subscribers.get("$SYS/#").filter(|_| system);
        let chosen = named.into_iter().chain(wild).chain(system);
        for (qos, post) in chosen.flat_map(HashMap::values) {
            for _ in 0..copies {
                let topic = publish.topic.to_string();
                let qos = publish.qos.min(*qos);
                let _ = post.send(Mail::Message(topic, publish.payload.clone(), qos));
            }
        }
    }

    async fn deliver(&mut self, mail: Mail) -> Option<()> {
        let Mail::Message(topic, payload, qos) = mail else {
            return None;
        };
        self.last_id = self.last_id % 60_000 + 1;
        let packet_id = if qos == QoS::AtMostOnce {
            0
        } else {
            self.last_id
        };
        self.send(Packet::Publish(Publish {
            dup: false,
            qos,
            retain: false,
            topic: topic.into(),
            packet_id,
            properties: Properties::none(),
            payload,
        }))
        .await
    }

    async fn send(&mut self, packet: Packet) -> Option<()> {
        let mut out = Vec::new();
        packet.encode(self.version, &mut out).ok()?;
        self.stream.write_all(&out).await.ok()
    }
}
