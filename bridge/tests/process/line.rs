//! A client's end of one plain connection: packets out, packets in.

use bytes::{Buf, BytesMut};
use rollcall_broker::ProtocolVersion;
use rollcall_broker::codec::{Connect, Packet, Properties, header};
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};

pub struct Line {
    stream: TcpStream,
    input: BytesMut,
    version: ProtocolVersion,
}

impl Line {
    pub fn open(mqtt: SocketAddr, version: ProtocolVersion) -> Self {
        let stream = TcpStream::connect(mqtt).unwrap();
        stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
        Self {
            stream,
            input: BytesMut::new(),
            version,
        }
    }

    /// A client of MQTT 3.1.1 whose session lasts unless it is `clean`, and whether there was one.
    pub fn connect(mqtt: SocketAddr, client_id: &str, clean: bool) -> (Self, bool) {
        let mut line = Self::open(mqtt, ProtocolVersion::V4);
        let connect = Packet::Connect(Box::new(Connect {
            version: ProtocolVersion::V4,
            clean_start: clean,
            keep_alive: 0,
            client_id: client_id.into(),
            will: None,
            username: None,
            password: None,
            properties: Properties::none(),
        }));
        line.send(&connect).unwrap();
        match line.packet() {
            Some(Packet::ConnAck(connack)) => (line, connack.session_present),
            other => panic!("{other:?} instead of CONNACK"),
        }
    }

    /// Fails when the server has closed the connection.
    pub fn send(&mut self, packet: &Packet) -> Result<()> {
        let mut out = Vec::new();
        packet.encode(self.version, &mut out).unwrap();
        self.send_bytes(&out)
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next packet; `None` at the end of the connection. A server that is only silent ends the test.
    pub fn packet(&mut self) -> Option<Packet> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(found) = header(&self.input, 1 << 20)
                .unwrap()
                .filter(|h| self.input.len() >= h.total())
            {
                let mut packet = self.input.split_to(found.total());
                packet.advance(found.header_len);
                return Some(Packet::decode(self.version, found.first, packet.freeze()).unwrap());
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(read) => self.input.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
