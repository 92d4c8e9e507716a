//! Any control packet.

use super::ack::Ack;
use super::connect::{ConnAck, Connect};
use super::error::{DecodeError, EncodeError};
use super::frame::{check_first_byte, put_packet};
use super::publish::Publish;
use super::session_end::{Auth, Disconnect};
use super::subscribe::{SubAck, Subscribe, UnsubAck, Unsubscribe};
use super::types::{PacketType, ProtocolVersion};
use bytes::Bytes;

/// One control packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    Connect(Box<Connect>),
    ConnAck(ConnAck),
    Publish(Publish),
    PubAck(Ack),
    PubRec(Ack),
    PubRel(Ack),
    PubComp(Ack),
    Subscribe(Subscribe),
    SubAck(SubAck),
    Unsubscribe(Unsubscribe),
    UnsubAck(UnsubAck),
    PingReq,
    PingResp,
    Disconnect(Disconnect),
    Auth(Auth),
}

impl Packet {
    /// Takes a packet apart. `first` and `body` are what [`header`](super::header) delimited; topic, payload and
    /// properties of the result share `body`. CONNECT carries its own version, so `version` does not matter for it.
    ///
    /// # Errors
    /// The first thing that is wrong with the packet.
    pub fn decode(version: ProtocolVersion, first: u8, body: Bytes) -> Result<Self, DecodeError> {
        let kind = check_first_byte(first)?;
        Ok(match kind {
            PacketType::Connect => Self::Connect(Box::new(Connect::decode(body)?)),
            PacketType::ConnAck => Self::ConnAck(ConnAck::decode(version, body)?),
            PacketType::Publish => Self::Publish(Publish::decode(first, version, body)?),
            PacketType::PubAck => Self::PubAck(Ack::decode(kind, version, body)?),
            PacketType::PubRec => Self::PubRec(Ack::decode(kind, version, body)?),
            PacketType::PubRel => Self::PubRel(Ack::decode(kind, version, body)?),
            PacketType::PubComp => Self::PubComp(Ack::decode(kind, version, body)?),
            PacketType::Subscribe => Self::Subscribe(Subscribe::decode(version, body)?),
            PacketType::SubAck => Self::SubAck(SubAck::decode(version, body)?),
            PacketType::Unsubscribe => Self::Unsubscribe(Unsubscribe::decode(version, body)?),
            PacketType::UnsubAck => Self::UnsubAck(UnsubAck::decode(version, body)?),
            PacketType::PingReq => empty(&body, Self::PingReq)?,
            PacketType::PingResp => empty(&body, Self::PingResp)?,
            PacketType::Disconnect => Self::Disconnect(Disconnect::decode(version, body)?),
            PacketType::Auth => Self::Auth(Auth::decode(version, body)?),
        })
    }

    /// Appends the packet to `out`.
    ///
    /// # Errors
    /// The packet cannot be expressed; `out` may then hold a part of it.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Connect(connect) => connect.encode(out),
            Self::ConnAck(connack) => connack.encode(version, out),
            Self::Publish(publish) => publish.encode(version, out),
            Self::PubAck(ack) => ack.encode(PacketType::PubAck, version, out),
            Self::PubRec(ack) => ack.encode(PacketType::PubRec, version, out),
            Self::PubRel(ack) => ack.encode(PacketType::PubRel, version, out),
            Self::PubComp(ack) => ack.encode(PacketType::PubComp, version, out),
            Self::Subscribe(subscribe) => subscribe.encode(version, out),
            Self::SubAck(suback) => suback.encode(version, out),
            Self::Unsubscribe(unsubscribe) => unsubscribe.encode(version, out),
            Self::UnsubAck(unsuback) => unsuback.encode(version, out),
            Self::PingReq => put_packet(out, PacketType::PingReq.first_byte(), |_| Ok(())),
            Self::PingResp => put_packet(out, PacketType::PingResp.first_byte(), |_| Ok(())),
            Self::Disconnect(disconnect) => disconnect.encode(version, out),
            Self::Auth(auth) => auth.encode(version, out),
        }
    }

    /// The packet's type.
    #[must_use]
    pub const fn kind(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }
}

fn empty(body: &Bytes, packet: Packet) -> Result<Packet, DecodeError> {
    if body.is_empty() {
        Ok(packet)
    } else {
        Err(DecodeError::TrailingBytes)
    }
}
