//! Certificates: the authority (CA), the server's own certificate, and those of robots.
//!
//! Files of the data directory's `tls` folder, all of them readable by their owner only: `ca.key`, `ca.pem`, `server.key`,
//! `server.pem`. Configuration can name others; those are read and never written.
//!
//! **Invariant**: what a robot's certificate says is decided here; from its request comes nothing but the public key.

mod authority;
mod csr;
mod files;
mod names;
mod robot;
mod server_certificate;
mod tls;

pub use authority::Issued;
pub use csr::CsrError;
pub use names::server_names;
pub(crate) use names::{host_name, host_of, is_name};
pub use robot::{CertificateFault, RobotCertificate, Serial};

use crate::hex;
use crate::writer::wall_clock;
use authority::Authority;
use files::Source;
use parking_lot::{Mutex, RwLock};
use rustls::ServerConfig;
use server_certificate::ServerCertificate;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use time::OffsetDateTime;

/// The folder of certificates and keys within the data directory.
pub const TLS_FOLDER: &str = "tls";

/// An end that is nearer than this is warned about, milliseconds.
pub const WARN_BEFORE_MS: u64 = 30 * 24 * 3_600 * 1_000;

/// Where a certificate and its key lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate; the server's may be followed by its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// How certificates are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The authority's files, if it is not the server's own.
    pub authority: Option<CertificateFiles>,
    /// The server's files, if it does not make its certificate itself.
    pub server: Option<CertificateFiles>,
    /// What the server's certificate is for, if it makes it itself.
    pub names: BTreeSet<String>,
    /// How long a robot's certificate is valid, milliseconds.
    pub robot_lifetime_ms: u64,
}

/// Why there are no certificates. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{} cannot be used", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not what it should be. Nothing was changed.
    #[error(
        "{} cannot be used: {why}; put it back from a backup, or correct it. (A CA of the server's own is made anew when \
         both ca.pem and ca.key are gone, but then every robot must be given the new CA and pair again)",
        .path.display()
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate cannot be made.
    #[error("a certificate cannot be made")]
    Make(#[from] rcgen::Error),
    /// The listeners cannot be set up with these certificates.
    #[error("TLS cannot be set up with these certificates")]
    Tls(#[from] rustls::Error),
    /// The MQTTS listener cannot be set up with them.
    #[error(transparent)]
    Listener(#[from] rollcall_broker::TlsConfigError),
}

impl Error {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    fn damaged(path: &Path, why: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            why: why.into(),
        }
    }

    /// The file that it is about.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. } | Self::Damaged { path, .. } => Some(path),
            Self::Make(_) | Self::Tls(_) | Self::Listener(_) => None,
        }
    }
}

/// Looks whether the files that configuration names can be used. Writes nothing.
///
/// # Errors
/// Names the file that cannot.
pub fn check(
    authority: Option<&CertificateFiles>,
    server: Option<&CertificateFiles>,
) -> Result<(), Error> {
    if let Some(files) = authority {
        load_authority(files)?;
    }
    if let Some(files) = server {
        load_server(files)?;
    }
    Ok(())
}

/// Why a robot gets no certificate.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// What it sent.
    #[error(transparent)]
    Request(#[from] CsrError),
    /// The server's own fault.
    #[error(transparent)]
    Signing(#[from] Error),
}

/// What there is to know of the certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The authority's subject.
    pub authority: String,
    /// SHA-256 of the authority's certificate.
    pub fingerprint: String,
    /// The authority's certificate, PEM.
    pub pem: String,
    /// When the authority's certificate ends, milliseconds since the Unix epoch.
    pub authority_not_after_ms: u64,
    /// When the server's certificate ends, milliseconds since the Unix epoch.
    pub server_not_after_ms: u64,
    /// What the server's certificate is for.
    pub names: BTreeSet<String>,
}

/// Everything that changes together.
#[derive(Debug)]
struct Material {
    authority: Authority,
    server: ServerCertificate,
    mqtts: Arc<ServerConfig>,
    https: Arc<ServerConfig>,
}

/// Is told when the certificates have changed.
type Listener = Box<dyn Fn(&Pki) + Send + Sync>;

/// The certificates in force; shared by everything that needs them.
pub struct Pki {
    directory: PathBuf,
    settings: Settings,
    material: RwLock<Arc<Material>>,
    /// One renewal at a time.
    renewing: Mutex<()>,
    listener: Mutex<Option<Listener>>,
}

impl fmt::Debug for Pki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pki")
            .field("directory", &self.directory)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Pki {
    /// Reads what there is and makes what is missing, in the data directory's `tls` folder.
    ///
    /// # Errors
    /// Names the file that cannot be used. Nothing that is damaged is replaced, except the server's own certificate,
    /// which can be made anew without anybody noticing.
    pub fn open(data_dir: &Path, settings: Settings, now_ms: u64) -> Result<Self, Error> {
        let directory = data_dir.join(TLS_FOLDER);
        std::fs::create_dir_all(&directory).map_err(|source| Error::io(&directory, source))?;
        let material = load(&directory, &settings, now_ms)?;
        let pki = Self {
            directory,
            settings,
            material: RwLock::new(Arc::new(material)),
            renewing: Mutex::new(()),
            listener: Mutex::new(None),
        };
        pki.warn(now_ms);
        Ok(pki)
    }

    /// Reads all files again, and renews the server's certificate if it is the server's own and due. New handshakes use
    /// what is found; connections go on. Returns whether anything has changed.
    ///
    /// # Errors
    /// What was in force stays in force.
    pub fn reload(&self, now_ms: u64) -> Result<bool, Error> {
        let _one = self.renewing.lock();
        let material = load(&self.directory, &self.settings, now_ms)?;
        let before = self.current();
        let changed = material.authority.der != before.authority.der
            || material.server.chain != before.server.chain;
        if changed {
            *self.material.write() = Arc::new(material);
            if let Some(listener) = &*self.listener.lock() {
                listener(self);
            }
            tracing::info!("certificates have changed; new connections use the new ones");
        }
        self.warn(now_ms);
        Ok(changed)
    }

    fn current(&self) -> Arc<Material> {
        Arc::clone(&self.material.read())
    }

    fn warn(&self, now_ms: u64) {
        let summary = self.summary();
        for (what, not_after_ms) in [
            ("CA", summary.authority_not_after_ms),
            ("server", summary.server_not_after_ms),
        ] {
            let left = not_after_ms.saturating_sub(now_ms);
            if left == 0 {
                tracing::error!(
                    certificate = what,
                    "a certificate has expired; robots refuse it; `rollcall ca show`"
                );
            } else if left < WARN_BEFORE_MS {
                let days = left / (24 * 3_600 * 1_000);
                tracing::warn!(
                    certificate = what,
                    days,
                    "a certificate ends soon; `rollcall ca show`"
                );
            }
        }
    }

    /// The same on a thread that may wait for the disk, with the time that it is.
    ///
    /// # Errors
    /// See [`Pki::reload`].
    pub async fn reload_in_background(self: &Arc<Self>) -> Result<bool, Error> {
        let pki = Arc::clone(self);
        let reload = move || pki.reload(wall_clock().0);
        match tokio::task::spawn_blocking(reload).await {
            Ok(result) => result,
            // Only a shutdown ends such a thread early; then nothing matters any more.
            Err(_) => Ok(false),
        }
    }

    /// `listener` hears of every change from now on.
    pub fn on_change(&self, listener: impl Fn(&Self) + Send + Sync + 'static) {
        *self.listener.lock() = Some(Box::new(listener));
    }

    /// The settings of the MQTTS listener now.
    #[must_use]
    pub fn mqtts(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current().mqtts)
    }

    /// The settings of the HTTPS listener now.
    #[must_use]
    pub fn https(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current().https)
    }

    /// Signs a certificate for the robot `name` (`<realm>/<robot>`) and the key of its request.
    ///
    /// # Errors
    /// The request is not one that can be signed; or the authority cannot sign.
    pub fn issue(&self, csr: &str, name: &str, now_ms: u64) -> Result<Issued, IssueError> {
        let lifetime = self.settings.robot_lifetime_ms;
        self.current().authority.issue(csr, name, now_ms, lifetime)
    }

    /// What a robot's certificate says, if the authority in force has signed it. Its time is not looked at.
    ///
    /// # Errors
    /// Why it is none of this authority's.
    pub fn verify(&self, pem: &str) -> Result<RobotCertificate, CertificateFault> {
        self.current().authority.verify(pem)
    }

    /// What there is to know.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let material = self.current();
        let authority = &material.authority;
        Summary {
            authority: authority.subject.clone(),
            fingerprint: hex::encode(&Sha256::digest(&authority.der)),
            pem: authority.pem.clone(),
            authority_not_after_ms: authority.not_after_ms,
            server_not_after_ms: material.server.not_after_ms,
            names: material.server.names.clone(),
        }
    }
}

fn load(directory: &Path, settings: &Settings, now_ms: u64) -> Result<Material, Error> {
    let authority = match &settings.authority {
        None => Authority::open_or_create(directory, now_ms)?,
        Some(files) => load_authority(files)?,
    };
    let server = match &settings.server {
        None => ServerCertificate::open_or_make(directory, &authority, &settings.names, now_ms)?,
        Some(files) => load_server(files)?,
    };
    Ok(Material {
        mqtts: tls::mqtts(&authority, &server)?,
        https: tls::https(&server)?,
        authority,
        server,
    })
}

fn load_authority(files: &CertificateFiles) -> Result<Authority, Error> {
    let CertificateFiles { certificate, key } = files;
    let pem = files::read_configured(certificate)?;
    let key_pem = files::read_configured(key)?;
    Authority::load(Source::new(certificate, &pem), Source::new(key, &key_pem))
}

fn load_server(files: &CertificateFiles) -> Result<ServerCertificate, Error> {
    let CertificateFiles { certificate, key } = files;
    let pem = files::read_configured(certificate)?;
    let key_pem = files::read_configured(key)?;
    ServerCertificate::load(Source::new(certificate, &pem), Source::new(key, &key_pem))
}

/// A moment as certificates count it, in whole seconds.
fn moment(ms: u64) -> OffsetDateTime {
    let seconds = i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
    // Beyond the year 9999 there is nothing that a certificate could say.
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
