//! Pairing as Astarte's SDK does it before every connection (device-contract 1.6 and 2).
//!
//! ```text
//! no secret -> register -> (secret) -> certificate? -- yes -> verify -- valid ----> broker's address
//!                                          |                     | not valid          known in this
//!                                          +-- no --> new key <--+                     process, or
//!                                                     and CSR ----------------------> device info
//! ```
//!
//! Whatever goes wrong is an attempt that failed, and is made again after the model's wait.

mod api;
mod certificate;
mod error;
mod folder;
mod identity;

use std::path::PathBuf;

use rustls::ClientConfig;

use super::http::{Connector, connector};
use super::tls::{self, Trust};

pub(super) use error::PairingError;
pub(super) use identity::{Identity, Paired};

/// Where and how robots get their certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairing {
    /// Base of the pairing API, `http://…/pairing` or `https://…/pairing`.
    pub url: String,
    /// Registers robots that have no secret.
    pub token: Option<String>,
    /// Folder in which every robot has a folder of its own for secret, key and certificate. Without
    /// it they live as long as the run.
    pub state_dir: Option<PathBuf>,
}

/// What the pairings of a run share.
pub(super) struct Service {
    url: String,
    token: Option<String>,
    state_dir: Option<PathBuf>,
    connector: Connector,
    /// The base of every robot's settings for MQTT.
    tls: ClientConfig,
}

impl Service {
    pub(super) fn new(pairing: &Pairing, trust: &Trust) -> Result<Self, rustls::Error> {
        let tls = tls::client_config(trust)?;
        Ok(Self {
            url: pairing.url.trim_end_matches('/').to_owned(),
            token: pairing.token.clone(),
            state_dir: pairing.state_dir.clone(),
            connector: connector(tls.clone()),
            tls,
        })
    }
}
