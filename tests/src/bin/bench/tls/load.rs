//! TLS clients that connect, each with its own certificate, and either stay or leave.

use super::pki::{Identity, Pki};
use crate::server::PATIENCE;
use anyhow::{Context, Result, ensure};
use rollcall_broker::ProtocolVersion;
use rollcall_broker::codec::{Connect, Packet, Properties};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Connections that are being made at one time: enough to keep a server busy.
const AT_ONCE: usize = 64;

#[derive(Debug)]
pub(crate) struct Fleet {
    clients: Arc<Vec<Client>>,
    address: SocketAddr,
    runtime: Runtime,
}

/// What one client connects with, made before anything is measured.
#[derive(Debug)]
struct Client {
    config: Arc<ClientConfig>,
    connect: Vec<u8>,
}

impl Client {
    fn new(identity: &Identity, roots: &Arc<RootCertStore>) -> Result<Self> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(Arc::clone(roots))
            .with_client_auth_cert(vec![identity.certificate.clone()], identity.key.clone_key())?;
        config.resumption = Resumption::disabled();
        let packet = Packet::Connect(Box::new(Connect {
            version: ProtocolVersion::V4,
            clean_start: true,
            keep_alive: 0,
            client_id: identity.name.as_str().into(),
            will: None,
            username: None,
            password: None,
            properties: Properties::none(),
        }));
        let mut connect = Vec::new();
        packet.encode(ProtocolVersion::V4, &mut connect)?;
        Ok(Self {
            config: Arc::new(config),
            connect,
        })
    }

    async fn open(&self, address: SocketAddr) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let name = ServerName::IpAddress(address.ip().into());
        let mut stream = connector.connect(name, stream).await?;
        stream.write_all(&self.connect).await?;
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).await?;
        ensure!(connack == [0x20, 2, 0, 0], "refused: {connack:?}");
        Ok(stream)
    }
}

impl Fleet {
    pub(crate) fn new(pki: &Pki, address: SocketAddr) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(pki.ca.clone())?;
        let roots = Arc::new(roots);
        let clients = pki.clients.iter().map(|client| Client::new(client, &roots));
        Ok(Self {
            clients: Arc::new(clients.collect::<Result<_>>()?),
            address,
            runtime: Runtime::new().context("no runtime for the clients")?,
        })
    }

    pub(crate) fn size(&self) -> usize {
        self.clients.len()
    }

    /// Connects all; they stay as long as what is returned.
    pub(crate) fn connect(&self) -> Result<Vec<TlsStream<TcpStream>>> {
        self.run(self.size(), true)
    }

    /// Connects `count`, each of which leaves at once.
    pub(crate) fn come_and_go(&self, count: usize) -> Result<()> {
        self.run(count.min(self.size()), false).map(drop)
    }

    fn run(&self, count: usize, stay: bool) -> Result<Vec<TlsStream<TcpStream>>> {
        let next = Arc::new(AtomicUsize::new(0));
        let work = async {
            let mut workers = JoinSet::new();
            for _ in 0..AT_ONCE {
                let (clients, next) = (Arc::clone(&self.clients), Arc::clone(&next));
                let address = self.address;
                workers.spawn(async move {
                    let mut held = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Relaxed);
                        if number >= count {
                            return anyhow::Ok(held);
                        }
                        let mut stream = clients[number].open(address).await?;
                        if stay {
                            held.push(stream);
                        } else {
                            stream.write_all(&[0xe0, 0]).await?;
                            stream.shutdown().await?;
                        }
                    }
                });
            }
            let mut held = Vec::new();
            while let Some(done) = workers.join_next().await {
                held.extend(done??);
            }
            Ok(held)
        };
        self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, work)
                .await
                .context("the clients were not let in")?
        })
    }
}
