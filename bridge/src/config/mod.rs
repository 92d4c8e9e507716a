//! Configuration: a TOML file, overridden by command-line flags, checked once and then only read.
//!
//! **Invariant**: a [`Config`] that exists is valid. Whatever is wrong is reported with file, key, value and remedy.

mod artifacts;
mod check;
mod file;
mod limits;
mod size;
mod tls;
mod websocket;

use crate::pki::CertificateFiles;
use rollcall_broker::Limits;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that `rollcall serve` can be told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The realm that is served; the first level of every robot's topics.
    pub realm: String,
    /// Where database, tokens and artifacts are.
    pub data_dir: PathBuf,
    /// Register unknown robots at their first connection. Every listener is loopback then.
    pub dev: bool,
    /// The MQTT listener.
    pub mqtt: Mqtt,
    /// The MQTT listener with TLS.
    pub mqtts: Mqtts,
    /// The listener for MQTT over WebSocket.
    pub websocket: WebSocket,
    /// The admin API.
    pub http: Http,
    /// What robots fetch over HTTP.
    pub device_http: DeviceHttp,
    /// Where uploaded files are kept, and how robots get them. Bounds on uploads are in `device_http` and `store`.
    pub artifacts: crate::artifacts::Settings,
    /// How long ledgers and the servers of their files may take; the file says nothing of it.
    pub ledger: crate::ledger::Settings,
    /// Certificates.
    pub tls: Tls,
    /// The database.
    pub store: Store,
}

/// The MQTT listener.
#[derive(Debug, Clone)]
pub struct Mqtt {
    /// Where plain MQTT is served.
    pub address: SocketAddr,
    /// Bounds on what clients may use.
    pub limits: Limits,
    /// What clients that are no robots may do.
    pub open: Open,
}

/// The MQTT listener with TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mqtts {
    /// Where it is served, if it is.
    pub address: Option<SocketAddr>,
    /// How robots reach it, with its port; derived when not given.
    pub public_url: Option<String>,
}

/// The listener for MQTT over WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocket {
    /// Where it is served, if it is; always at the path `/mqtt`.
    pub address: Option<SocketAddr>,
    /// Whether it speaks TLS below.
    pub tls: bool,
    /// How clients reach it; derived from the address when not given.
    pub public_url: Option<String>,
}

/// Certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The CA's files, if it is not the server's own.
    pub authority: Option<CertificateFiles>,
    /// The server's files, if it does not make its certificate itself.
    pub server: Option<CertificateFiles>,
    /// Names that the server's certificate carries beside those that follow from addresses and URLs.
    pub names: Vec<String>,
    /// How long a robot's certificate is valid.
    pub robot_certificate_lifetime: Duration,
}

/// An address, or the word `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// There.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

impl Switch {
    const fn address(self) -> Option<SocketAddr> {
        match self {
            Self::At(address) => Some(address),
            Self::Off => None,
        }
    }
}

impl std::str::FromStr for Switch {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            _ => text
                .parse()
                .map(Self::At)
                .map_err(|_| "write an IP address and a port, or off".to_owned()),
        }
    }
}

/// What clients that are no robots may do. The topics of robots are closed to them whatever is written here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Open {
    /// Whether clients that are no robots are let in, under any client id; user name and password are not looked at.
    pub anonymous: bool,
    /// Topic filters that they may publish to.
    pub publish: Vec<String>,
    /// Topic filters that they may subscribe to, or to anything below them.
    pub subscribe: Vec<String>,
}

/// The admin API.
#[derive(Debug, Clone)]
pub struct Http {
    /// Where it is served.
    pub address: SocketAddr,
    /// How people reach it, without a trailing slash; derived from the address when not given.
    pub public_url: Option<String>,
}

/// What robots fetch over HTTP.
#[derive(Debug, Clone)]
pub struct DeviceHttp {
    /// Where it is served.
    pub address: SocketAddr,
    /// Whether it speaks HTTPS.
    pub tls: bool,
    /// How robots reach it, without a trailing slash; derived from the address when not given.
    pub public_url: Option<String>,
    /// Greatest size of an uploaded file, bytes.
    pub max_artifact_size: u64,
    /// Uploads at one time; more are refused.
    pub max_uploads: usize,
}

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    /// redb's page cache, bytes.
    pub cache: usize,
    /// Intake and uploads stop when less than this is free on the disk, bytes.
    pub reserve: u64,
    /// How long history is kept.
    pub retention: Duration,
}

/// What the command line says; it wins over the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--mqtt`
    pub mqtt: Option<SocketAddr>,
    /// `--mqtts`
    pub mqtts: Option<Switch>,
    /// `--websocket`
    pub websocket: Option<Switch>,
    /// `--http`
    pub http: Option<SocketAddr>,
    /// `--device-http`
    pub device_http: Option<SocketAddr>,
    /// `--dev`
    pub dev: bool,
}

/// Why there is no valid configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("configuration {} cannot be read; check --config", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no TOML, has an unknown key, or a value of the wrong type.
    #[error("configuration {} is not valid:\n{why}", .path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Line, key and reason, as the TOML reader says it.
        why: String,
    },
    /// A value is out of the question.
    #[error("{origin}: {key} = {value} is not valid: {remedy}")]
    Value {
        /// The file, or `command line`.
        origin: String,
        /// Which key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What to write instead.
        remedy: String,
    },
}

impl Config {
    /// Reads the file, if there is one, lays the command line over it and checks the result.
    ///
    /// # Errors
    /// Names file, key, value and remedy.
    pub fn load(path: Option<&Path>, overrides: Overrides) -> Result<Self, Error> {
        let Some(path) = path else {
            return file::File::default().check("defaults", overrides);
        };
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path, overrides)
    }

    fn parse(text: &str, path: &Path, overrides: Overrides) -> Result<Self, Error> {
        let file: file::File = toml::from_str(text).map_err(|error| Error::Parse {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        file.check(&path.display().to_string(), overrides)
    }
}

#[cfg(test)]
mod tests;
