//! A TLS client with the right keys that writes whatever records a test wants.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "tests fail by panicking, and each file of them uses a part of this"
)]

use super::pki::{self, Ca};
use super::soon;
use rollcall_broker::ProtocolVersion as Mqtt;
use rustls::crypto::cipher::{
    InboundOpaqueMessage, MessageDecrypter, MessageEncrypter, OutboundPlainMessage,
};
use rustls::{
    ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite,
    SupportedProtocolVersion,
};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Forger {
    pub stream: TcpStream,
    encrypter: Box<dyn MessageEncrypter>,
    decrypter: Box<dyn MessageDecrypter>,
    sent: u64,
    received: u64,
}

impl Forger {
    /// Connects as `client_id`, properly up to CONNACK.
    pub async fn open(
        addr: SocketAddr,
        ca: &Ca,
        version: &'static SupportedProtocolVersion,
        client_id: &str,
    ) -> Self {
        let mut config = (*ca.client_of(None, &[version])).clone();
        config.enable_secret_extraction = true;
        let config = Arc::new(config);
        let client = pki::open(addr, &config, Mqtt::V5, client_id).await;
        Self::take_over(client)
    }

    fn take_over(client: pki::TlsClient) -> Self {
        let (stream, connection) = client.stream.into_inner();
        let suite = connection.negotiated_cipher_suite().unwrap();
        let secrets = connection.dangerous_extract_secrets().unwrap();
        Self {
            stream,
            encrypter: encrypter(suite, secrets.tx.1),
            decrypter: decrypter(suite, secrets.rx.1),
            sent: secrets.tx.0,
            received: secrets.rx.0,
        }
    }

    /// A record, sealed.
    pub fn record(&mut self, typ: ContentType, content: &[u8]) -> Vec<u8> {
        let message = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_2,
            payload: content.into(),
        };
        let sealed = self.encrypter.encrypt(message, self.sent).unwrap();
        self.sent += 1;
        sealed.encode()
    }

    pub async fn send(&mut self, typ: ContentType, content: &[u8]) {
        let record = self.record(typ, content);
        self.stream.write_all(&record).await.unwrap();
    }

    /// The server's next record, opened; `None` at the end of the stream.
    pub async fn recv(&mut self) -> Option<(ContentType, Vec<u8>)> {
        let mut head = [0; 5];
        soon("a record", self.stream.read_exact(&mut head))
            .await
            .ok()?;
        let mut sealed = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        self.stream.read_exact(&mut sealed).await.ok()?;
        let message = InboundOpaqueMessage::new(
            ContentType::from(head[0]),
            ProtocolVersion::TLSv1_2,
            &mut sealed,
        );
        let opened = self.decrypter.decrypt(message, self.received).unwrap();
        self.received += 1;
        Some((opened.typ, opened.payload.to_vec()))
    }

    /// Asserts that the server ends the connection with this fatal alert (`None`: without one).
    pub async fn ends_with_alert(&mut self, expected: Option<u8>) {
        let mut alert = None;
        while let Some((typ, content)) = self.recv().await {
            if typ == ContentType::Alert {
                alert = Some(content[1]);
            }
        }
        assert_eq!(alert, expected);
    }
}

fn encrypter(
    suite: SupportedCipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Box<dyn MessageEncrypter> {
    let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
        panic!("AES-256-GCM comes first");
    };
    match suite {
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
        SupportedCipherSuite::Tls12(suite) => {
            let iv = iv.as_ref();
            suite.aead_alg.encrypter(key, &iv[..4], &iv[4..])
        }
    }
}

fn decrypter(
    suite: SupportedCipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Box<dyn MessageDecrypter> {
    let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
        panic!("AES-256-GCM comes first");
    };
    match suite {
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.decrypter(key, iv),
        SupportedCipherSuite::Tls12(suite) => suite.aead_alg.decrypter(key, &iv.as_ref()[..4]),
    }
}
