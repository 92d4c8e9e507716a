//! One robot of a great fleet: it remembers nothing but the operation under way, and owns no buffer while it waits.

use super::{Crowd, Door};
use bytes::Bytes;
use rollcall_broker::codec::{
    Ack, Connect, Packet, Properties, Publish, RetainHandling, Subscribe, SubscribeOptions,
    Subscription, header,
};
use rollcall_broker::{Pipe, ProtocolVersion, QoS, ReasonCode};
use rollcall_proto::Status;
use rollcall_proto::native::{
    BaseImage, EcuDescription, Manifest, OtaEvent, OtaRequest, PROTOCOL_VERSION, RequestKind,
};
use rollcall_proto::topic::Base;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::either::Either;
use uuid::Uuid;

/// The name and hardware id of each robot's only ECU, and the image that it runs at first.
pub(super) const ECU: &str = "main";
pub(super) const HARDWARE: &str = "board";
pub(super) const IMAGE: &str = "board-os";

const V4: ProtocolVersion = ProtocolVersion::V4;
/// Longest packet that a server sends to a robot.
const MAX_PACKET: usize = 16 * 1024;

/// What a robot says of an uneventful update before it reports its image.
const STEPS: [(Status, u8); 7] = [
    (Status::Acknowledged, 0),
    (Status::Downloading, 0),
    (Status::Downloading, 50),
    (Status::Downloading, 100),
    (Status::Deploying, 0),
    (Status::Deploying, 50),
    (Status::Deployed, 0),
];

pub(super) fn id(number: usize) -> String {
    format!("robot-{number}")
}

/// The address that a robot has. With one for all of them, the kernel searches longer and longer for a free port once half of
/// its ports are taken (14,000).
fn from(number: usize) -> SocketAddr {
    let last = [1, 2, 3, 4][number % 4];
    SocketAddr::from(([127, 0, 0, last], 0))
}

/// Lives until its runtime ends; that its connection ends is a fault.
pub(super) async fn live(crowd: Arc<Crowd>, number: usize) {
    let Err(error) = serve(&crowd, number).await;
    crowd.fault(format!("robot-{number}: {error}"));
}

async fn serve(crowd: &Crowd, number: usize) -> io::Result<std::convert::Infallible> {
    let mut robot = {
        // Never closed.
        let _turn = crowd.turns.acquire().await;
        let mut robot = Robot::connect(crowd, number).await?;
        robot.introduce().await?;
        crowd.online.fetch_add(1, SeqCst);
        robot
    };
    loop {
        let request = robot.request().await?;
        robot.update(&request).await?;
        crowd.done.fetch_add(1, SeqCst);
    }
}

struct Robot {
    stream: Either<TcpStream, Pipe>,
    /// The beginning of a packet; empty while nothing is under way.
    input: Vec<u8>,
    number: usize,
    events: u64,
}

impl Robot {
    async fn connect(crowd: &Crowd, number: usize) -> io::Result<Self> {
        let stream = match &crowd.door {
            Door::Socket(address) => {
                let socket = TcpSocket::new_v4()?;
                socket.bind(from(number))?;
                let stream = socket.connect(*address).await?;
                stream.set_nodelay(true)?;
                Either::Left(stream)
            }
            Door::Pipe(broker) => {
                let _server = crowd.server.enter();
                Either::Right(broker.pipe())
            }
        };
        let mut robot = Self {
            stream,
            input: Vec::new(),
            number,
            events: 0,
        };
        let id = robot.base(|base| base.to_string());
        let secret = crowd.secret(number);
        robot
            .say(&[Packet::Connect(Box::new(Connect {
                version: V4,
                clean_start: true,
                keep_alive: 0,
                client_id: id.as_str().into(),
                will: None,
                username: Some(id.as_str().into()),
                password: Some(Bytes::copy_from_slice(secret.as_bytes())),
                properties: Properties::none(),
            }))])
            .await?;
        match robot.hear().await? {
            Packet::ConnAck(connack) if connack.code == ReasonCode::Success => Ok(robot),
            other => Err(unexpected(&other)),
        }
    }

    /// Subscribes and says what it is and runs; returns when all of it was acknowledged.
    async fn introduce(&mut self) -> io::Result<()> {
        let manifest = Manifest {
            protocol: PROTOCOL_VERSION,
            boot: 1,
            wants_ack: false,
            ecus: vec![EcuDescription {
                name: ECU.to_owned(),
                hardware_id: HARDWARE.to_owned(),
                primary: true,
            }],
        };
        let image = BaseImage {
            name: IMAGE.to_owned(),
            version: "1.0.0".to_owned(),
            build_id: None,
            digest: None,
            operation: None,
        };
        let packets = self.base(|base| {
            [
                subscribe(base.ota_request_filter()),
                publish(1, base.manifest(), manifest.encode()),
                publish(2, base.base_image(ECU), image.encode()),
            ]
        });
        self.say(&packets).await?;
        match self.hear().await? {
            Packet::SubAck(_) => {}
            other => return Err(unexpected(&other)),
        }
        self.acknowledged(1).await?;
        self.acknowledged(2).await
    }

    /// The next request to update.
    async fn request(&mut self) -> io::Result<Box<OtaRequest>> {
        let publish = match self.hear().await? {
            Packet::Publish(publish) => publish,
            other => return Err(unexpected(&other)),
        };
        self.say(&[Packet::PubAck(Ack::success(publish.packet_id))])
            .await?;
        let request = OtaRequest::decode(&publish.payload).map_err(io::Error::other)?;
        if request.kind != RequestKind::Update || request.hardware_id != HARDWARE {
            return Err(io::Error::other(format!("not for this robot: {request:?}")));
        }
        Ok(Box::new(request))
    }

    /// Every step waits for the acknowledgement of the one before.
    async fn update(&mut self, request: &OtaRequest) -> io::Result<()> {
        for (status, progress) in STEPS {
            self.events += 1;
            let event = event(self.events, request.operation, status, progress);
            let packet = self.base(|base| publish(3, base.ota_event(ECU), event.encode()));
            self.say(&[packet]).await?;
            self.acknowledged(3).await?;
        }
        let image = BaseImage {
            name: request.image_name.clone(),
            version: request.image_version.clone(),
            build_id: None,
            digest: Some(request.sha256),
            operation: Some(request.operation),
        };
        let packet = self.base(|base| publish(4, base.base_image(ECU), image.encode()));
        self.say(&[packet]).await?;
        self.acknowledged(4).await
    }

    fn base<T>(&self, work: impl FnOnce(&Base<'_>) -> T) -> T {
        work(&Base {
            realm: "fleet",
            robot: &id(self.number),
        })
    }

    async fn say(&mut self, packets: &[Packet]) -> io::Result<()> {
        let mut out = Vec::new();
        for packet in packets {
            packet.encode(V4, &mut out).map_err(io::Error::other)?;
        }
        self.stream.write_all(&out).await
    }

    async fn acknowledged(&mut self, packet_id: u16) -> io::Result<()> {
        match self.hear().await? {
            Packet::PubAck(ack) if ack.packet_id == packet_id => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn hear(&mut self) -> io::Result<Packet> {
        loop {
            if let Some(packet) = self.next()? {
                return Ok(packet);
            }
            poll_fn(|cx| self.poll_fill(cx)).await?;
        }
    }

    fn next(&mut self) -> io::Result<Option<Packet>> {
        let Some(found) = header(&self.input, MAX_PACKET).map_err(io::Error::other)? else {
            return Ok(None);
        };
        if self.input.len() < found.total() {
            return Ok(None);
        }
        let body = Bytes::copy_from_slice(&self.input[found.header_len..found.total()]);
        self.input.drain(..found.total());
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        Packet::decode(V4, found.first, body)
            .map(Some)
            .map_err(io::Error::other)
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; 1024];
        let mut read = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        if read.filled().is_empty() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.input.extend_from_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

fn unexpected(packet: &Packet) -> io::Error {
    io::Error::other(format!("something else was expected than {packet:?}"))
}

fn event(counter: u64, operation: Uuid, status: Status, progress: u8) -> OtaEvent {
    OtaEvent {
        boot: 1,
        counter,
        operation,
        status,
        progress,
        code: None,
        message: String::new(),
    }
}

fn publish(packet_id: u16, topic: String, payload: Vec<u8>) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: topic.into(),
        packet_id,
        properties: Properties::none(),
        payload: payload.into(),
    })
}

fn subscribe(filter: String) -> Packet {
    Packet::Subscribe(Subscribe {
        packet_id: 5,
        properties: Properties::none(),
        subscriptions: vec![Subscription {
            filter: filter.into(),
            options: SubscribeOptions {
                qos: QoS::AtLeastOnce,
                no_local: false,
                retain_as_published: false,
                retain_handling: RetainHandling::Send,
            },
        }],
    })
}
