//! Reading and writing certificates and keys.

use super::Error;
use crate::private_file;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io;
use std::path::Path;

/// Greatest file that is read; a chain has a few kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// The text of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl<'a> Source<'a> {
    pub(super) const fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text }
    }

    /// Every certificate in it, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let found: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(self.text.as_bytes()).collect();
        let found =
            found.map_err(|error| Error::damaged(self.path, format!("it is not PEM: {error}")))?;
        if found.is_empty() {
            return Err(Error::damaged(self.path, "it holds no certificate"));
        }
        Ok(found)
    }
}

/// The text of a file; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_BYTES => {
            return Err(Error::damaged(
                path,
                "it is larger than any certificate or key",
            ));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::io(path, source)),
    }
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(Error::damaged(path, "it is not PEM text"))
        }
        Err(source) => Err(Error::io(path, source)),
    }
}

/// The text of a file that configuration names.
pub(super) fn read_configured(path: &Path) -> Result<String, Error> {
    read(path)?.ok_or_else(|| Error::io(path, io::ErrorKind::NotFound.into()))
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), Error> {
    private_file::write(path, text.as_bytes()).map_err(|source| Error::io(path, source))
}
