//! What robots do over TLS: MQTT 5 with or without a certificate, and one HTTP request.

use bytes::{Buf, Bytes, BytesMut};
use rcgen::KeyPair;
use rollcall_broker::codec::{
    Connect, Packet, Properties, PropertyId, Publish, Value as Property, header,
};
use rollcall_broker::{ProtocolVersion, QoS, ReasonCode};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

const V5: ProtocolVersion = ProtocolVersion::V5;
/// Longest wait for anything; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(300);

pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Trusts `ca` and shows a certificate, if there is one.
pub fn client_config(ca: &str, identity: Option<(&str, &KeyPair)>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            config
                .with_client_auth_cert(vec![certificate], key)
                .unwrap()
        }
    })
}

/// A finished handshake, as far as the client can tell.
pub fn handshake(to: SocketAddr, host: &str, config: &Arc<ClientConfig>) -> io::Result<Tls> {
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    let stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut tls = StreamOwned::new(connection, stream);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    Ok(tls)
}

/// The certificate that the server has shown.
pub fn shown(tls: &Tls) -> Vec<u8> {
    tls.conn.peer_certificates().unwrap()[0].to_vec()
}

/// Sends a whole HTTP request and returns the whole answer.
pub fn http(mut tls: Tls, request: &str) -> String {
    tls.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    tls.read_to_string(&mut answer).unwrap();
    answer
}

pub struct Mqtt {
    pub tls: Tls,
    input: BytesMut,
    next_id: u16,
}

/// What CONNACK says: code, reason, and the client id that was given.
#[derive(Debug)]
pub struct Welcome {
    pub code: ReasonCode,
    pub reason: String,
    pub assigned: String,
}

impl Mqtt {
    /// Connects; an error is one of TLS.
    pub fn connect(
        to: SocketAddr,
        config: &Arc<ClientConfig>,
        client_id: &str,
        login: Option<(&str, &str)>,
    ) -> io::Result<(Self, Welcome)> {
        let mut client = Self {
            tls: handshake(to, "localhost", config)?,
            input: BytesMut::new(),
            next_id: 0,
        };
        client.send(&Packet::Connect(Box::new(Connect {
            version: V5,
            clean_start: true,
            keep_alive: 0,
            client_id: client_id.into(),
            will: None,
            username: login.map(|(name, _)| name.into()),
            password: login.map(|(_, secret)| Bytes::copy_from_slice(secret.as_bytes())),
            properties: Properties::none(),
        })))?;
        // With TLS 1.3 a client hears only now that its certificate was not good.
        match client.packet()? {
            Some(Packet::ConnAck(connack)) => {
                let welcome = Welcome {
                    code: connack.code,
                    reason: text(&connack.properties, PropertyId::ReasonString),
                    assigned: text(&connack.properties, PropertyId::AssignedClientIdentifier),
                };
                Ok((client, welcome))
            }
            Some(other) => panic!("{other:?}"),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Connects and is let in.
    pub fn online(to: SocketAddr, config: &Arc<ClientConfig>, client_id: &str) -> Self {
        let (client, welcome) = Self::connect(to, config, client_id, None).unwrap();
        assert_eq!(welcome.code, ReasonCode::Success, "{welcome:?}");
        client
    }

    /// Connects, and is refused by the server for a reason that it says.
    pub fn refused(to: SocketAddr, config: &Arc<ClientConfig>, client_id: &str) -> String {
        let (_, welcome) = Self::connect(to, config, client_id, None).unwrap();
        assert_eq!(welcome.code, ReasonCode::NotAuthorized, "{welcome:?}");
        welcome.reason
    }

    /// Publishes with QoS 1 and returns what PUBACK says.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) -> ReasonCode {
        self.next_id += 1;
        self.send(&Packet::Publish(Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: topic.into(),
            packet_id: self.next_id,
            properties: Properties::none(),
            payload: Bytes::copy_from_slice(payload),
        }))
        .unwrap();
        match self.packet().unwrap() {
            Some(Packet::PubAck(ack)) => ack.code,
            other => panic!("{other:?}"),
        }
    }

    /// Whether the server answers a ping.
    pub fn is_alive(&mut self) -> bool {
        self.send(&Packet::PingReq).is_ok() && matches!(self.packet(), Ok(Some(Packet::PingResp)))
    }

    /// The DISCONNECT that ends the connection, and its reason.
    pub fn disconnected(&mut self) -> (ReasonCode, String) {
        match self.packet().unwrap() {
            Some(Packet::Disconnect(end)) => {
                (end.code, text(&end.properties, PropertyId::ReasonString))
            }
            other => panic!("{other:?}"),
        }
    }

    fn send(&mut self, packet: &Packet) -> io::Result<()> {
        let mut out = Vec::new();
        packet.encode(V5, &mut out).unwrap();
        self.tls.write_all(&out)?;
        self.tls.flush()
    }

    /// The next packet; `None` at the end of the connection.
    fn packet(&mut self) -> io::Result<Option<Packet>> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(found) = header(&self.input, 1 << 20)
                .unwrap()
                .filter(|h| self.input.len() >= h.total())
            {
                let mut packet = self.input.split_to(found.total());
                packet.advance(found.header_len);
                return Ok(Some(
                    Packet::decode(V5, found.first, packet.freeze()).unwrap(),
                ));
            }
            match self.tls.read(&mut chunk)? {
                0 => return Ok(None),
                read => self.input.extend_from_slice(&chunk[..read]),
            }
        }
    }
}

fn text(properties: &Properties, wanted: PropertyId) -> String {
    let found = properties.iter().find_map(|(id, value)| match value {
        Property::Text(text) if id == wanted => Some(text.to_string()),
        _ => None,
    });
    found.unwrap_or_default()
}
