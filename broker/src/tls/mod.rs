//! TLS: the settings of a listener, which may be replaced while it runs, and one connection's records.
//!
//! Who a certificate belongs to is the owner's business: a verified one is passed on as
//! [`ConnectRequest::certificate`](crate::ConnectRequest::certificate).

mod link;
mod refusal;

pub(crate) use link::Link;
pub(crate) use refusal::count_refusal;

use parking_lot::RwLock;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::fmt;
use std::sync::Arc;

/// The TLS settings of a listener. Clones are handles of the same settings.
#[derive(Clone)]
pub struct Tls {
    config: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Tls {
    /// Settings that begin with this configuration.
    #[must_use]
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self {
            config: Arc::new(RwLock::new(config)),
        }
    }

    /// Uses another configuration for all handshakes that begin from now on. Connections that are open go on.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        *self.config.write() = config;
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// What is asked of clients in the handshake.
#[derive(Debug, Clone)]
pub enum ClientCertificates {
    /// A client may show a certificate, which must then be good: valid now and issued under one of these roots.
    Optional(RootCertStore),
    /// A client must show a good certificate.
    Required(RootCertStore),
}

/// Why there is no configuration for TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// The roots for client certificates cannot be used.
    #[error("cannot use the roots for client certificates")]
    Roots(#[from] VerifierBuilderError),
    /// Certificate or private key of the server cannot be used, or they do not belong together.
    #[error("cannot use the server's certificate and private key")]
    Certificate(#[from] rustls::Error),
}

/// A configuration for [`Tls`]: TLS 1.2 and 1.3, the server's certificate `chain` (its own first) with its `key`.
///
/// Sessions are never resumed: robots do not ask for it, tickets cost memory, and a resumed session would carry an
/// identity that may have been revoked since.
///
/// # Errors
/// What cannot be used, with the reason as its source.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: ClientCertificates,
) -> Result<Arc<ServerConfig>, TlsConfigError> {
    // Named here because the process may have no default, or that of another library.
    let provider = Arc::new(ring::default_provider());
    let verifier = |roots: RootCertStore| {
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
    };
    let verifier = match clients {
        ClientCertificates::Optional(roots) => verifier(roots).allow_unauthenticated().build()?,
        ClientCertificates::Required(roots) => verifier(roots).build()?,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
