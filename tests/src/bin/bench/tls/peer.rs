//! The servers under test, each a process of its own on a free port.

use super::pki::{Files, Pki};
use crate::procfs::{Cpu, Memory};
use crate::server::{LOOK, PATIENCE, free_address};
use anyhow::{Context, Result, bail, ensure};
use rollcall_broker::{
    Access, Broker, ClientCertificates, Config, ConnectRefusal, ConnectRequest, Principal,
    PublishAccess, QoS, SessionPolicy, SubscribeAccess, Tls, server_config,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The broker with nothing behind it.
    Rollcall,
    Mosquitto,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rollcall => "rollcall",
            Self::Mosquitto => "mosquitto",
        }
    }

    pub(crate) fn is_installed(self) -> bool {
        match self {
            Self::Rollcall => true,
            Self::Mosquitto => Command::new("mosquitto")
                .arg("-h")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok(),
        }
    }
}

/// A server process.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    address: SocketAddr,
}

impl Peer {
    /// Starts one and waits until it takes connections.
    pub(crate) fn start(kind: Kind, pki: &Pki) -> Result<Self> {
        let address = free_address()?;
        let mut command = match kind {
            Kind::Rollcall => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("--serve-tls").arg(address.to_string());
                command.arg("--certificates").arg(pki.directory());
                command
            }
            Kind::Mosquitto => {
                let config = pki.directory().join("mosquitto.conf");
                std::fs::write(&config, mosquitto_config(pki, address))?;
                let mut command = Command::new("mosquitto");
                command.arg("-c").arg(config);
                command
            }
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("{} does not start", kind.name()))?;
        let mut peer = Self { child, address };
        peer.wait_until_ready()?;
        Ok(peer)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server has ended early ({status})");
            }
            ensure!(Instant::now() < deadline, "the server does not listen");
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn cpu(&self) -> Result<Cpu> {
        Cpu::of(&self.child.id().to_string())
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        Memory::of(self.child.id())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As it comes, with mutual TLS in which the certificate names the client.
fn mosquitto_config(pki: &Pki, address: SocketAddr) -> String {
    let Files {
        ca,
        certificate,
        key,
    } = Files::within(pki.directory());
    let (port, ip) = (address.port(), address.ip());
    let (ca, certificate, key) = (ca.display(), certificate.display(), key.display());
    format!(
        "listener {port} {ip}\ncafile {ca}\ncertfile {certificate}\nkeyfile {key}\nrequire_certificate true\n\
         use_identity_as_username true\nlog_type none\nuser root\n"
    )
}

/// Serves as the bare broker until the process is killed.
pub(crate) fn serve(address: SocketAddr, certificates: &Path) -> Result<()> {
    let files = Files::within(certificates);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(files.ca)?)?;
    let config = server_config(
        vec![CertificateDer::from_pem_file(files.certificate)?],
        PrivateKeyDer::from_pem_file(files.key)?,
        ClientCertificates::Required(roots),
    )?;
    let runtime = tokio::runtime::Runtime::new().context("no runtime for the server")?;
    runtime.block_on(async {
        let (events, _none) = mpsc::channel(1);
        let broker = Broker::new(Config::default(), Arc::new(Anybody), events);
        broker.listen_tls(TcpListener::bind(address).await?, Tls::new(config));
        std::future::pending::<Result<()>>().await
    })
}

/// Lets everybody in who has a certificate.
#[derive(Debug)]
struct Anybody;

impl Access for Anybody {
    fn authenticate(&self, connect: &ConnectRequest<'_>) -> Result<Principal, ConnectRefusal> {
        Ok(Principal {
            client_id: connect.client_id.into(),
            tag: 0,
            sessions: SessionPolicy::Persistent,
        })
    }

    fn publish(&self, _: &Principal, _: &str, _: QoS, _: bool) -> PublishAccess {
        PublishAccess::Route
    }

    fn subscribe(&self, _: &Principal, _: &str) -> SubscribeAccess {
        SubscribeAccess::Grant {
            max_qos: QoS::ExactlyOnce,
        }
    }
}
