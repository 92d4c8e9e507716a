//! TLS as Astarte's SDK uses it: TLS 1.2 and 1.3, the server's certificate and name always checked,
//! no session resumed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};

/// The authorities whose servers are trusted. Those of the operating system are not among them.
#[derive(Debug, Clone)]
pub struct Trust(Arc<RootCertStore>);

/// Why a file of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The file cannot be read, or is not PEM.
    #[error("read certificates {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate in it cannot be an authority's.
    #[error("certificates {path} cannot be used")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The file has none.
    #[error("{path} holds no certificate")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl Trust {
    /// Trusts nobody, which is enough for plain MQTT and plain HTTP.
    #[must_use]
    pub fn nobody() -> Self {
        Self(Arc::new(RootCertStore::empty()))
    }

    /// Trusts the authorities of a PEM file.
    ///
    /// # Errors
    /// The file cannot be used, and why.
    pub fn load(path: &Path) -> Result<Self, TrustError> {
        let file = || path.to_owned();
        let read = |source| {
            let path = file();
            TrustError::Read { path, source }
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(read)? {
            let added = roots.add(certificate.map_err(read)?);
            added.map_err(|source| TrustError::Unusable {
                path: file(),
                source,
            })?;
        }
        if roots.is_empty() {
            return Err(TrustError::Empty { path: file() });
        }
        Ok(Self(Arc::new(roots)))
    }

    /// Whether no server at all is trusted.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        self.0.is_empty()
    }
}

/// The settings of a client without a certificate. What all robots have in common is shared by all
/// that are made of it.
pub(crate) fn client_config(trust: &Trust) -> Result<ClientConfig, rustls::Error> {
    // Named here because the process may have no default, or that of another library.
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trust.0.clone())
        .with_no_client_auth();
    // A device makes new settings for every connection and so never resumes a session. Here a session
    // would even be resumed by another robot, with the first one's identity.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The same settings with a robot's certificate.
pub(super) fn with_identity(base: &ClientConfig, identity: Arc<CertifiedKey>) -> Arc<ClientConfig> {
    let mut config = base.clone();
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(identity));
    Arc::new(config)
}
