//! The broker that is attacked, and who may enter it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::net::TcpStream;

use super::packet::{Connect, Version};

/// Where a broker listens.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// How long a server may take for anything.
    pub(super) patience: Duration,
}

impl Target {
    pub(super) async fn tcp(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// A robot of Rollcall's with its own password.
#[derive(Debug, Clone)]
pub(super) struct Robot {
    /// `<realm>/<robot id>`: user name, client id and first levels of its topics.
    pub(super) base: String,
    pub(super) secret: String,
    /// What it says when it connects.
    pub(super) manifest: Vec<u8>,
}

impl Robot {
    pub(super) fn connect(&self, version: Version) -> Connect {
        Connect {
            version,
            client_id: self.base.clone(),
            username: Some(self.base.clone()),
            password: Some(self.secret.clone()),
            clean: true,
            keep_alive: 0,
            will: None,
            properties: Vec::new(),
        }
    }
}

/// How clients that are no robots are let in, and what they may call themselves and their topics.
#[derive(Debug, Clone)]
pub(super) struct Guests {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) client_prefix: String,
    pub(super) topic_prefix: String,
    /// Tells this run's clients and messages from those of another.
    pub(super) run: String,
}

impl Guests {
    pub(super) fn connect(&self, version: Version, name: &str) -> Connect {
        Connect {
            version,
            client_id: format!("{}{}-{name}", self.client_prefix, self.run),
            username: self.username.clone(),
            password: self.password.clone(),
            clean: true,
            keep_alive: 0,
            will: None,
            properties: Vec::new(),
        }
    }

    pub(super) fn topic(&self, name: &str) -> String {
        format!("{}{}/{name}", self.topic_prefix, self.run)
    }
}
