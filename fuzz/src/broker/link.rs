//! A client's end of a connection: what it says, what it hears, and what must not be heard.

use super::good::{EXPIRES, EXPIRY_S};
use super::rules::tag;
use super::{CONNECT_S, MAX_PACKET, SEND_WINDOW};
use bytes::{Buf, Bytes, BytesMut};
use rollcall_broker::codec::{Ack, DecodeError, Packet, PropertyId, Publish, header};
use rollcall_broker::{BrokerHandle, Pipe, ProtocolVersion, QoS, ReasonCode};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

/// Publishes of a robot that are to be acknowledged, and acknowledgements that it got.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) published: usize,
    pub(super) acknowledged: usize,
}

/// What all clients have done and seen together.
#[derive(Debug, Default)]
pub(super) struct World {
    /// Of each robot, by tag.
    pub(super) accounts: BTreeMap<u64, Account>,
    /// Wills that may be published.
    pub(super) wills: u64,
    /// Seconds that have passed since the script began.
    pub(super) now: u64,
    /// Whether some packet may have lain somewhere while time passed, so that nobody knows when it expires.
    pub(super) was_held_up: bool,
}

pub(super) struct Link {
    pipe: Pipe,
    pub(super) reads: bool,
    /// What the server has not taken yet.
    pub(super) unsent: VecDeque<u8>,
    /// What was sent and is no whole packet yet.
    pub(super) said: BytesMut,
    heard: BytesMut,
    pub(super) version: Option<ProtocolVersion>,
    tag: u64,
    pub(super) is_malformed: bool,
    pub(super) accepted: bool,
    pub(super) ended: bool,
    /// QoS 1 publishes that were sent, in their order.
    published: VecDeque<u16>,
    under_way: BTreeSet<u16>,
    window: u16,
    pub(super) owed: Vec<Packet>,
    pub(super) pongs: usize,
    pub(super) witnessed: usize,
    pub(super) acknowledged: usize,
    /// Seconds; 0: it may be silent for ever.
    keep_alive: u64,
    /// When it said something last, or was let in, or began.
    pub(super) spoke: u64,
}

impl Link {
    pub(super) fn open(handle: &BrokerHandle, now: u64) -> Self {
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
            keep_alive: 0,
            spoke: now,
        }
    }

    /// Seconds that the server may wait for it: for its CONNECT, then for what CONNECT waits for, then for as long as its
    /// keep-alive allows.
    pub(super) fn patience(&self) -> Option<u64> {
        if self.accepted {
            (self.keep_alive > 0).then_some(self.keep_alive * 3 / 2 + 1)
        } else {
            Some(2 * CONNECT_S)
        }
    }

    /// Writes and reads what can be at once; whether anything could.
    pub(super) async fn move_bytes(&mut self, world: &mut World) -> bool {
        let mut moved = false;
        if !self.unsent.is_empty() {
            moved = true;
            if self.accepted {
                self.spoke = world.now;
            }
            let bytes: Vec<_> = self.unsent.drain(..).collect();
            // A pipe takes more than a whole script.
            if self.pipe.write_all(&bytes).await.is_ok() {
                self.said.extend_from_slice(&bytes);
                self.overhear(world);
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
                self.hear(world);
            }
        }
        moved
    }

    /// Follows what the client says.
    fn overhear(&mut self, world: &mut World) {
        while !self.is_malformed {
            let version = self.version.unwrap_or(ProtocolVersion::V5);
            let packet = match cut(&mut self.said, MAX_PACKET) {
                Ok(Some((first, body))) => Packet::decode(version, first, body),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            match packet {
                Ok(packet) => self.said_well(packet, world),
                Err(_) => self.is_malformed = true,
            }
        }
    }

    fn said_well(&mut self, packet: Packet, world: &mut World) {
        match packet {
            Packet::Connect(connect) if self.version.is_none() => {
                self.version = Some(connect.version);
                self.tag = tag(&connect.client_id);
                let maximum = connect.properties.number(PropertyId::ReceiveMaximum);
                let maximum = maximum.and_then(|maximum| u16::try_from(maximum).ok());
                self.window = maximum.unwrap_or(u16::MAX).min(SEND_WINDOW);
                self.keep_alive = connect.keep_alive.into();
                world.wills += u64::from(connect.will.is_some());
            }
            // The first packet has to be a CONNECT, and there is only one.
            _ if self.version.is_none() => self.is_malformed = true,
            Packet::Connect(_) => self.is_malformed = true,
            Packet::Publish(publish) if publish.qos != QoS::AtMostOnce => {
                world.accounts.entry(self.tag).or_default().published += 1;
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
    fn hear(&mut self, world: &mut World) {
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
            self.judge(packet, world);
        }
    }

    fn judge(&mut self, packet: Packet, world: &mut World) {
        match packet {
            Packet::ConnAck(connack) => {
                assert!(!self.accepted, "a second CONNACK");
                self.accepted = connack.code == ReasonCode::Success;
                self.spoke = world.now;
            }
            _ if !self.accepted => panic!("{packet:?} before CONNACK"),
            Packet::Publish(publish) => {
                self.witnessed += usize::from(publish.topic == "w" && publish.payload == "w");
                assert!(!is_late(&publish, world), "expired: {publish:?}");
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
                world.accounts.entry(self.tag).or_default().acknowledged += 1;
                while let Some(id) = self.published.pop_front() {
                    if id == ack.packet_id {
                        return;
                    }
                }
                panic!("PUBACK of {} is out of order", ack.packet_id);
            }
            Packet::PubRec(_) => world.accounts.entry(self.tag).or_default().acknowledged += 1,
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
fn cut(buffer: &mut BytesMut, max_body: usize) -> Result<Option<(u8, Bytes)>, DecodeError> {
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

/// Whether a message comes for the first time although it must have expired.
fn is_late(publish: &Publish, world: &World) -> bool {
    let born = publish.payload.strip_prefix(EXPIRES);
    let born = born.and_then(|born| born.try_into().ok().map(u64::from_be_bytes));
    let is_old = born.is_some_and(|born| world.now >= born.saturating_add(EXPIRY_S.into()));
    is_old && !publish.dup && !world.was_held_up
}
