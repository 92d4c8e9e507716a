//! The servers beside each other, each a fresh process on a free port of loopback.

use crate::fleet;
use crate::server::{LOOK, PATIENCE, Server, free_address};
use crate::tls::pki::{Files, Pki};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

/// Connections that Rollcall is let take: its default is 15,000.
const MAX_CONNECTIONS: usize = 25_000;

/// The servers, ours first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Kind {
    Rollcall,
    Mosquitto,
    Rumqttd,
    Rmqtt,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Rollcall, Self::Mosquitto, Self::Rumqttd, Self::Rmqtt];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rollcall => "Rollcall",
            Self::Mosquitto => "mosquitto",
            Self::Rumqttd => "rumqttd 0.20",
            Self::Rmqtt => "rmqtt 0.24",
        }
    }

    /// The program, and how to get it.
    fn program(self, peers: &Path) -> (PathBuf, &'static str) {
        let build = "cargo build --release --manifest-path tests/peers/Cargo.toml";
        match self {
            Self::Rollcall => (
                PathBuf::from("rollcall"),
                "cargo build --release --bin rollcall",
            ),
            Self::Mosquitto => (PathBuf::from("mosquitto"), "apt-get install mosquitto"),
            Self::Rumqttd => (peers.join("peer-rumqttd"), build),
            Self::Rmqtt => (peers.join("peer-rmqtt"), build),
        }
    }

    /// Nothing if it can be started, else what to do.
    pub(crate) fn missing(self, peers: &Path) -> Option<String> {
        let (program, remedy) = self.program(peers);
        let found = match self {
            Self::Rollcall => true,
            Self::Mosquitto => {
                let mut command = Command::new(&program);
                command
                    .arg("-h")
                    .stdout(Stdio::null())
                    .stderr(Stdio::null());
                command.status().is_ok()
            }
            Self::Rumqttd | Self::Rmqtt => program.is_file(),
        };
        let name = program.display();
        (!found).then(|| format!("{} is left out, {name} is not there: {remedy}", self.name()))
    }
}

/// A server at work. Its process ends when it is dropped.
#[derive(Debug)]
pub(crate) enum Peer {
    Rollcall(Box<Fleet>),
    Other {
        child: Child,
        url: String,
        ca: Option<PathBuf>,
        _directory: TempDir,
    },
}

/// Rollcall with robots that are known to it.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) server: Server,
    pub(crate) credentials: PathBuf,
    url: String,
    ca: Option<PathBuf>,
    _directory: TempDir,
}

/// How many robots Rollcall is to know, and how they come in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs<'a> {
    pub(crate) robots: usize,
    pub(crate) ecus: usize,
    /// Servers speak TLS with these certificates.
    pub(crate) tls: Option<&'a Pki>,
}

impl Peer {
    /// Starts one and waits until it takes connections.
    pub(crate) fn start(
        kind: Kind,
        needs: Needs<'_>,
        rollcall: &Path,
        peers: &Path,
    ) -> Result<Self> {
        if kind == Kind::Rollcall {
            return Fleet::start(needs, rollcall).map(|fleet| Self::Rollcall(Box::new(fleet)));
        }
        let directory = tempfile::tempdir().context("no directory for the server")?;
        let address = free_address()?;
        let (program, _) = kind.program(peers);
        let mut command = Command::new(program);
        if kind == Kind::Mosquitto {
            let config = directory.path().join("mosquitto.conf");
            std::fs::write(&config, mosquitto_config(needs.tls, address))?;
            command.arg("-c").arg(config);
        } else {
            ensure!(
                needs.tls.is_none(),
                "{} is not measured over TLS",
                kind.name()
            );
            command.arg(address.to_string());
        }
        let log = std::fs::File::create(directory.path().join("log"))?;
        let child = command
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} does not start", kind.name()))?;
        let scheme = if needs.tls.is_some() { "mqtts" } else { "mqtt" };
        let mut peer = Self::Other {
            child,
            url: format!("{scheme}://{address}"),
            ca: needs.tls.map(|pki| Files::within(pki.directory()).ca),
            _directory: directory,
        };
        peer.wait_until_ready(address)?;
        Ok(peer)
    }

    fn wait_until_ready(&mut self, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if let Self::Other { child, .. } = self
                && let Some(status) = child.try_wait()?
            {
                bail!("the server has ended early ({status})");
            }
            ensure!(Instant::now() < deadline, "the server does not listen");
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// What every measurement of the generator is told of it.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let (url, pid, ca) = match self {
            Self::Rollcall(fleet) => (&fleet.url, fleet.server.pid(), &fleet.ca),
            Self::Other { child, url, ca, .. } => (url, child.id(), ca),
        };
        let mut arguments = vec!["--broker".to_owned(), url.clone()];
        arguments.extend(["--server-pid".to_owned(), pid.to_string()]);
        if let Some(ca) = ca {
            arguments.extend(["--ca".to_owned(), ca.display().to_string()]);
        }
        if let Self::Rollcall(fleet) = self {
            let file = fleet.credentials.display().to_string();
            arguments.extend(["--credentials".to_owned(), file]);
        }
        arguments
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Self::Other { child, .. } = self {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Fleet {
    /// The release binary with its default, durable settings; only the number of connections is raised.
    fn start(needs: Needs<'_>, program: &Path) -> Result<Self> {
        let directory = tempfile::tempdir().context("no directory for credentials")?;
        let (device_http, mqtts) = (free_address()?, free_address()?);
        let mut config = format!(
            "[mqtt.limits]\nmax_connections = {MAX_CONNECTIONS}\n[device_http]\naddress = \"{device_http}\"\n"
        );
        let ca = if let Some(pki) = needs.tls {
            let files = Files::within(pki.directory());
            let (certificate, key) = (&files.certificate, &files.key);
            write!(
                config,
                "[mqtts]\naddress = \"{mqtts}\"\n[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n"
            )?;
            Some(files.ca)
        } else {
            config.push_str("[mqtts]\naddress = \"off\"\n");
            None
        };
        let mut server = Server::start_with(program, &config)?;
        let identities = fleet::register_with(&server, needs.ecus, needs.robots, needs.robots)?;
        let credentials = directory.path().join("robots.jsonl");
        fleet::write_credentials(&credentials, &identities)?;
        // Memory that the registration needed must not be there for connections to grow into.
        server.terminate()?;
        server.respawn()?;
        server.wait_until_ready()?;
        let url = match needs.tls {
            Some(_) => format!("mqtts://{mqtts}"),
            None => format!("mqtt://{}", server.mqtt),
        };
        Ok(Self {
            server,
            credentials,
            url,
            ca,
            _directory: directory,
        })
    }

    /// Prepares a rollout to all robots with a cap that lets all be under way. Returns its number.
    pub(crate) fn prepare_rollout(&self, needs: Needs<'_>) -> Result<u64> {
        self.server
            .prepare_rollout(&fleet::hardware_ids_of(needs.ecus), needs.robots)
    }
}

/// As it comes, with nothing stored, and with queues for its subscriber that do not overflow in a moment's delay, as
/// its default of 1,000 messages would.
fn mosquitto_config(tls: Option<&Pki>, address: SocketAddr) -> String {
    let (port, ip) = (address.port(), address.ip());
    let tls = tls.map_or_else(String::new, |pki| {
        let files = Files::within(pki.directory());
        let (certificate, key) = (files.certificate.display(), files.key.display());
        format!("certfile {certificate}\nkeyfile {key}\n")
    });
    format!(
        "listener {port} {ip}\n{tls}allow_anonymous true\npersistence false\nset_tcp_nodelay true\n\
         max_inflight_messages 0\nmax_queued_messages 1000000\nlog_type none\nuser root\n"
    )
}
