//! A broker on a free port, and a client made of the broker's own codec that says exactly what a test wants.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "tests fail by panicking, and each file of them uses a part of this"
)]

pub mod conformance;
pub mod forger;
pub mod pki;
pub mod shelf;
pub mod websocket;

use bytes::{Buf, Bytes, BytesMut};
use rollcall_broker::codec::{
    Ack, ConnAck, Connect, Disconnect, Packet, Properties, Publish, RetainHandling, Subscribe,
    SubscribeOptions, Subscription, Will, header,
};
use rollcall_broker::{
    Access, Broker, BrokerHandle, Config, ConnectRefusal, ConnectRequest, Count, Event, Limits,
    Principal, ProtocolVersion, PublishAccess, QoS, ReasonCode, SessionPolicy, SubscribeAccess,
    Ticket, Tls, Verdict,
};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Long enough for two slow cores; reached only by a test that fails.
pub const PATIENCE: Duration = Duration::from_secs(150);

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen"),
    }
}

/// Client ids that begin with `robot` have a tag, those that begin with `clean` too and keep no session. Topics below
/// `intake/` are taken in, below `deny/` refused, everything else is routed.
///
/// Filters below `once/` are denied to who connects with [`CHANGED`] as password.
#[derive(Debug, Default)]
pub struct Rules;

/// A password that takes the right to `once/` away.
pub const CHANGED: &[u8] = b"changed";

pub fn tag_of(client_id: &str) -> u64 {
    if client_id.starts_with("robot") || client_id.starts_with("clean") {
        1 + client_id.bytes().map(u64::from).sum::<u64>()
    } else {
        0
    }
}

/// Who connects as `certified` is named after the size of the certificate, so that a test can see it.
fn certified(certificate: Option<&[u8]>) -> Principal {
    let name = certificate.map_or("no certificate".into(), |der| {
        format!("certificate of {} bytes", der.len())
    });
    Principal {
        client_id: name.into(),
        tag: 0,
        sessions: SessionPolicy::Persistent,
    }
}

impl Access for Rules {
    fn authenticate(&self, connect: &ConnectRequest<'_>) -> Result<Principal, ConnectRefusal> {
        if connect.password == Some(b"wrong") {
            return Err(ConnectRefusal {
                code: ReasonCode::BadUserNameOrPassword,
                why: "the password is wrong".into(),
            });
        }
        let id = connect.proposed_id.unwrap_or(connect.client_id);
        if id == "certified" {
            return Ok(certified(connect.certificate));
        }
        Ok(Principal {
            client_id: id.into(),
            tag: if connect.password == Some(CHANGED) {
                u64::MAX
            } else {
                tag_of(id)
            },
            sessions: if id.starts_with("clean") {
                SessionPolicy::AlwaysClean
            } else {
                SessionPolicy::Persistent
            },
        })
    }

    fn publish(&self, _: &Principal, topic: &str, _: QoS, _: bool) -> PublishAccess {
        if topic.starts_with("deny/") {
            PublishAccess::Deny {
                why: "nobody publishes below deny/".into(),
            }
        } else if topic.starts_with("intake/") {
            PublishAccess::Intake
        } else {
            PublishAccess::Route
        }
    }

    fn subscribe(&self, principal: &Principal, filter: &str) -> SubscribeAccess {
        let changed = principal.tag == u64::MAX && filter.starts_with("once/");
        if changed || filter.starts_with("deny/") {
            SubscribeAccess::Deny {
                why: "nobody subscribes below deny/".into(),
            }
        } else if filter.starts_with("low/") {
            SubscribeAccess::Grant {
                max_qos: QoS::AtMostOnce,
            }
        } else {
            SubscribeAccess::Grant {
                max_qos: QoS::ExactlyOnce,
            }
        }
    }
}

pub struct Server {
    pub addr: SocketAddr,
    pub handle: BrokerHandle,
    pub events: mpsc::Receiver<Event>,
    broker: Broker,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(Limits::default(), 1_024).await
    }

    pub async fn with(limits: Limits, event_capacity: usize) -> Self {
        let (sender, events) = mpsc::channel(event_capacity);
        let broker = Broker::new(Config { limits }, Arc::new(Rules), sender);
        let addr = Self::add_listener(&broker).await;
        Self {
            addr,
            handle: broker.handle(),
            events,
            broker,
        }
    }

    async fn add_listener(broker: &Broker) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        broker.listen(listener);
        addr
    }

    pub async fn another_listener(&self) -> SocketAddr {
        Self::add_listener(&self.broker).await
    }

    pub async fn tls_listener(&self, tls: Tls) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        self.broker.listen_tls(listener, tls);
        addr
    }

    pub async fn websocket_listener(&self, tls: Option<Tls>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        self.broker.listen_websocket(listener, tls);
        addr
    }

    /// Waits until a counter has this value.
    pub async fn counts(&self, count: Count, value: u64) {
        soon(count.name(), async {
            while self.handle.metrics().count(count) < value {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(
            self.handle.metrics().count(count),
            value,
            "{}",
            count.name()
        );
    }

    pub async fn event(&mut self) -> Event {
        soon("an event", self.events.recv())
            .await
            .expect("broker keeps the channel open")
    }

    /// The next event, which must be a PUBLISH: its ticket and payload.
    pub async fn publish(&mut self) -> (Ticket, Bytes) {
        match self.event().await {
            Event::Publish {
                ticket, payload, ..
            } => (ticket, payload),
            other => panic!("a publish was expected, not {other:?}"),
        }
    }

    /// Skips events until a PUBLISH.
    pub async fn next_publish(&mut self) -> (Ticket, Bytes) {
        loop {
            if let Event::Publish {
                ticket, payload, ..
            } = self.event().await
            {
                return (ticket, payload);
            }
        }
    }

    pub fn accept(&self, ticket: Ticket) {
        self.handle.settle(ticket, Verdict::Accepted);
    }
}

pub fn connect(version: ProtocolVersion, client_id: &str) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive: 0,
        client_id: client_id.into(),
        will: None,
        username: None,
        password: None,
        properties: Properties::none(),
    }
}

pub fn will(topic: &str, payload: &'static [u8]) -> Will {
    Will {
        topic: topic.into(),
        payload: Bytes::from_static(payload),
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: Properties::none(),
    }
}

pub fn publish(topic: &str, payload: &[u8], qos: QoS, packet_id: u16) -> Publish {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: topic.into(),
        packet_id,
        properties: Properties::none(),
        payload: Bytes::copy_from_slice(payload),
    }
}

pub const ANY: SubscribeOptions = SubscribeOptions {
    qos: QoS::ExactlyOnce,
    no_local: false,
    retain_as_published: false,
    retain_handling: RetainHandling::Send,
};

pub struct Client<S = TcpStream> {
    pub stream: S,
    /// How reading failed, if the stream did not just end.
    pub broken: Option<io::ErrorKind>,
    buffer: BytesMut,
    version: ProtocolVersion,
}

impl Client {
    pub async fn raw(addr: SocketAddr, version: ProtocolVersion) -> Self {
        Self::over(TcpStream::connect(addr).await.unwrap(), version)
    }

    /// Connects and returns the CONNACK too.
    pub async fn try_open(addr: SocketAddr, connect: Connect) -> (Self, ConnAck) {
        let mut client = Self::raw(addr, connect.version).await;
        let connack = client.introduce(connect).await;
        (client, connack)
    }

    pub async fn open(addr: SocketAddr, connect: Connect) -> Self {
        let (client, connack) = Self::try_open(addr, connect).await;
        assert_eq!(connack.code, ReasonCode::Success);
        client
    }

    pub async fn v4(addr: SocketAddr, client_id: &str) -> Self {
        Self::open(addr, connect(ProtocolVersion::V4, client_id)).await
    }

    pub async fn v5(addr: SocketAddr, client_id: &str) -> Self {
        Self::open(addr, connect(ProtocolVersion::V5, client_id)).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub fn over(stream: S, version: ProtocolVersion) -> Self {
        Self {
            stream,
            broken: None,
            buffer: BytesMut::new(),
            version,
        }
    }

    /// Sends CONNECT and returns the CONNACK.
    pub async fn introduce(&mut self, connect: Connect) -> ConnAck {
        self.send(Packet::Connect(Box::new(connect))).await;
        match self.recv().await {
            Packet::ConnAck(connack) => connack,
            other => panic!("connack was expected, not {other:?}"),
        }
    }

    pub async fn send(&mut self, packet: Packet) {
        let mut out = Vec::new();
        packet.encode(self.version, &mut out).unwrap();
        self.send_bytes(&out).await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub async fn publish(&mut self, publish: Publish) {
        self.send(Packet::Publish(publish)).await;
    }

    /// The next packet, or `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Packet> {
        soon("a packet", async {
            loop {
                if let Some(found) = header(&self.buffer, 1 << 28).unwrap()
                    && self.buffer.len() >= found.total()
                {
                    let mut packet = self.buffer.split_to(found.total());
                    packet.advance(found.header_len);
                    let packet = Packet::decode(self.version, found.first, packet.freeze());
                    return Some(conformance::from_server(packet.unwrap()));
                }
                match self.stream.read_buf(&mut self.buffer).await {
                    Ok(0) => return None,
                    Ok(_) => {}
                    Err(error) => {
                        self.broken = Some(error.kind());
                        return None;
                    }
                }
            }
        })
        .await
    }

    pub async fn recv(&mut self) -> Packet {
        self.next().await.expect("connection stays open")
    }

    /// Asserts that the server ends the connection with this DISCONNECT (`None`: without one).
    pub async fn ends_with(&mut self, code: Option<ReasonCode>) {
        let mut last = None;
        while let Some(packet) = self.next().await {
            last = Some(packet);
        }
        match (last, code) {
            (Some(Packet::Disconnect(Disconnect { code: found, .. })), Some(code)) => {
                assert_eq!(found, code);
            }
            (None, None) => {}
            (last, code) => panic!("{code:?} was expected, not {last:?}"),
        }
    }

    pub async fn subscribe(&mut self, filter: &str, options: SubscribeOptions) -> ReasonCode {
        self.send(subscription(9_999, filter, options)).await;
        match self.recv().await {
            Packet::SubAck(suback) => suback.codes[0],
            other => panic!("suback was expected, not {other:?}"),
        }
    }

    /// Everything that the server had to say before it answers a ping.
    pub async fn until_pong(&mut self) -> Vec<Packet> {
        self.send(Packet::PingReq).await;
        let mut packets = Vec::new();
        loop {
            match self.recv().await {
                Packet::PingResp => return packets,
                packet => packets.push(packet),
            }
        }
    }

    pub async fn expect(&mut self, expected: Packet) {
        assert_eq!(self.recv().await, expected);
    }

    /// The next PUBLISH, acknowledged as its QoS asks for.
    pub async fn message(&mut self) -> Publish {
        let publish = match self.recv().await {
            Packet::Publish(publish) => publish,
            other => panic!("a publish was expected, not {other:?}"),
        };
        match publish.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.send(Packet::PubAck(ack(publish.packet_id))).await,
            QoS::ExactlyOnce => {
                self.send(Packet::PubRec(ack(publish.packet_id))).await;
                self.expect(Packet::PubRel(ack(publish.packet_id))).await;
                self.send(Packet::PubComp(ack(publish.packet_id))).await;
            }
        }
        publish
    }
}

pub fn subscription(packet_id: u16, filter: &str, options: SubscribeOptions) -> Packet {
    Packet::Subscribe(Subscribe {
        packet_id,
        properties: Properties::none(),
        subscriptions: vec![Subscription {
            filter: filter.into(),
            options,
        }],
    })
}

pub const fn ack(packet_id: u16) -> Ack {
    Ack::success(packet_id)
}

pub use ProtocolVersion::{V4, V5};
