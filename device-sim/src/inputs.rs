//! What a command line names, looked at: realms, files of robots and files of authorities.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use crate::driver::{Trust, TrustError};
use crate::fleet::{self, CredentialsError, Member, Origin};

/// Why something that a command line names cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The realm is not of Astarte's grammar.
    #[error("realm {0:?} is not [a-z][a-z0-9]{{0,47}}")]
    BadRealm(String),
    /// The credentials file cannot be opened.
    #[error("open credentials {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The credentials file cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The file of authorities cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// TLS, and nobody to trust.
    #[error("{0} is reached over TLS: give --ca FILE, the certificate of its authority")]
    NoTrust(String),
}

pub(crate) fn check_realm(realm: &str) -> Result<(), InputError> {
    if rollcall_proto::ident::is_realm(realm) {
        Ok(())
    } else {
        Err(InputError::BadRealm(realm.to_owned()))
    }
}

/// The robots of a credentials file.
pub(crate) fn robots(path: &Path, origin: Origin) -> Result<Vec<Member>, InputError> {
    let file = File::open(path).map_err(|source| InputError::Open {
        path: path.to_owned(),
        source,
    })?;
    Ok(fleet::read_credentials(BufReader::new(file), origin)?)
}

/// The authorities of a file, or nobody.
pub(crate) fn trust(ca: Option<&Path>) -> Result<Trust, InputError> {
    Ok(match ca {
        Some(path) => Trust::load(path)?,
        None => Trust::nobody(),
    })
}
