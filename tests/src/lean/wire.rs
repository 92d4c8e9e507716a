//! The few packets that a lean robot sends and reads, MQTT 3.1.1.

use bytes::{Buf, Bytes, BytesMut};
use rollcall_broker::codec::{
    Ack, Connect, EncodeError, Packet, Properties, Publish, RetainHandling, Subscribe,
    SubscribeOptions, Subscription, header,
};
use rollcall_broker::{ProtocolVersion, QoS, ReasonCode};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const V4: ProtocolVersion = ProtocolVersion::V4;

/// Longest packet that a server sends to a robot.
const MAX_PACKET: usize = 16 * 1024;

/// A connection with what is to be written and what was read.
pub(super) struct Wire {
    stream: TcpStream,
    out: Vec<u8>,
    input: BytesMut,
}

impl Wire {
    pub(super) const fn new(stream: TcpStream, out: Vec<u8>, input: BytesMut) -> Self {
        Self { stream, out, input }
    }

    pub(super) fn connect(&mut self, client_id: &str, secret: &str) -> io::Result<()> {
        self.put(&Packet::Connect(Box::new(Connect {
            version: V4,
            clean_start: true,
            keep_alive: 0,
            client_id: client_id.into(),
            will: None,
            username: Some(client_id.into()),
            password: Some(Bytes::copy_from_slice(secret.as_bytes())),
            properties: Properties::none(),
        })))
    }

    pub(super) fn subscribe(&mut self, filter: String) -> io::Result<()> {
        let options = SubscribeOptions {
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        };
        let subscriptions = vec![Subscription {
            filter: filter.into(),
            options,
        }];
        self.put(&Packet::Subscribe(Subscribe {
            packet_id: u16::MAX,
            properties: Properties::none(),
            subscriptions,
        }))
    }

    pub(super) fn publish(
        &mut self,
        topic: &str,
        payload: &Bytes,
        qos: QoS,
        packet_id: u16,
    ) -> io::Result<()> {
        self.put(&Packet::Publish(Publish {
            dup: false,
            qos,
            retain: false,
            topic: topic.into(),
            packet_id,
            properties: Properties::none(),
            payload: payload.clone(),
        }))
    }

    pub(super) fn puback(&mut self, packet_id: u16) -> io::Result<()> {
        self.put(&Packet::PubAck(ack(packet_id)))
    }

    pub(super) fn pubrel(&mut self, packet_id: u16) -> io::Result<()> {
        self.put(&Packet::PubRel(ack(packet_id)))
    }

    fn put(&mut self, packet: &Packet) -> io::Result<()> {
        packet
            .encode(V4, &mut self.out)
            .map_err(|error: EncodeError| io::Error::other(error))
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await?;
            self.out.clear();
        }
        Ok(())
    }

    /// Waits for bytes.
    pub(super) async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The next packet that has been read whole.
    pub(super) fn next(&mut self) -> io::Result<Option<Packet>> {
        let Some(found) = header(&self.input, MAX_PACKET).map_err(io::Error::other)? else {
            return Ok(None);
        };
        if self.input.len() < found.total() {
            return Ok(None);
        }
        let mut packet = self.input.split_to(found.total());
        packet.advance(found.header_len);
        Packet::decode(V4, found.first, packet.freeze())
            .map(Some)
            .map_err(io::Error::other)
    }
}

fn ack(packet_id: u16) -> Ack {
    Ack {
        packet_id,
        code: ReasonCode::Success,
        properties: Properties::none(),
    }
}
