//! Certificates, and TLS clients that use them.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "tests fail by panicking, and each file of them uses a part of this"
)]

use super::{Client, connect, soon};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rollcall_broker::{ClientCertificates, ProtocolVersion, ReasonCode, Tls, server_config};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A certificate authority.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    pub key: PrivateKeyDer<'static>,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(["localhost", "127.0.0.1"].map(str::to_owned)).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Ca {
    pub fn new(name: &str) -> Self {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    pub fn issue(&self, name: &str) -> Identity {
        self.issue_for_years(name, 1975..4096)
    }

    /// Valid from the first day of the first year to that of the last.
    pub fn issue_for_years(&self, name: &str, years: std::ops::Range<i32>) -> Identity {
        let mut params = params(name);
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().unwrap();
        Identity {
            certificate: params.signed_by(&key, &self.issuer).unwrap().into(),
            key: key.into(),
        }
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    /// A server's configuration with a new certificate; clients may show one of this authority.
    pub fn server(&self) -> Arc<ServerConfig> {
        let Identity { certificate, key } = self.issue("server");
        let clients = ClientCertificates::Optional(self.roots());
        server_config(vec![certificate], key, clients).unwrap()
    }

    pub fn strict_server(&self) -> Arc<ServerConfig> {
        let Identity { certificate, key } = self.issue("server");
        let clients = ClientCertificates::Required(self.roots());
        server_config(vec![certificate], key, clients).unwrap()
    }

    pub fn tls(&self) -> Tls {
        Tls::new(self.server())
    }

    /// A client that trusts this authority.
    pub fn client(&self, identity: Option<Identity>) -> Arc<ClientConfig> {
        self.client_of(identity, rustls::ALL_VERSIONS)
    }

    pub fn client_of(
        &self,
        identity: Option<Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots());
        Arc::new(match identity {
            Some(Identity { certificate, key }) => builder
                .with_client_auth_cert(vec![certificate], key)
                .unwrap(),
            None => builder.with_no_client_auth(),
        })
    }
}

pub fn self_signed(name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    Identity {
        certificate: params(name).self_signed(&key).unwrap().into(),
        key: key.into(),
    }
}

pub type TlsClient = Client<TlsStream<TcpStream>>;

pub fn localhost() -> ServerName<'static> {
    "localhost".try_into().unwrap()
}

/// Completes the client's side of the handshake.
pub async fn secure(
    addr: SocketAddr,
    config: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(addr).await?;
    // Otherwise a server that acknowledges late delays every second small write.
    stream.set_nodelay(true)?;
    let connector = TlsConnector::from(Arc::clone(config));
    soon("a handshake", connector.connect(localhost(), stream)).await
}

pub async fn raw(
    addr: SocketAddr,
    config: &Arc<ClientConfig>,
    version: ProtocolVersion,
) -> TlsClient {
    Client::over(secure(addr, config).await.unwrap(), version)
}

pub async fn open(
    addr: SocketAddr,
    config: &Arc<ClientConfig>,
    version: ProtocolVersion,
    client_id: &str,
) -> TlsClient {
    let mut client = raw(addr, config, version).await;
    let connack = client.introduce(connect(version, client_id)).await;
    assert_eq!(connack.code, ReasonCode::Success);
    client
}
