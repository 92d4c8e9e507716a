//! The server's own certificate: made and renewed here, or given by configuration.
//!
//! The key is made once and written before the certificate, and a renewal writes the certificate alone, so the two on
//! disk always belong together.

use super::Error;
use super::authority::{self, Authority};
use super::files::{self, Source};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

const CERTIFICATE_FILE: &str = "server.pem";
const KEY_FILE: &str = "server.key";

const DAY_MS: u64 = 24 * 3_600 * 1_000;
/// What browsers and libraries accept at most of a server is 398 days; a year is inside every rule.
const LIFETIME_MS: u64 = 365 * DAY_MS;
/// Renewed this long before its end: time to notice when that does not work.
const RENEW_BEFORE_MS: u64 = 120 * DAY_MS;

/// Certificate chain and key of the server.
#[derive(Debug)]
pub(super) struct ServerCertificate {
    /// The server's own certificate first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) not_after_ms: u64,
    /// What it says it is for, sorted.
    pub(super) names: BTreeSet<String>,
}

impl ServerCertificate {
    /// Reads the certificate of `directory`; makes it if there is none, or if it is no longer what it should be.
    pub(super) fn open_or_make(
        directory: &Path,
        authority: &Authority,
        names: &BTreeSet<String>,
        now_ms: u64,
    ) -> Result<Self, Error> {
        let (path, key_path) = (directory.join(CERTIFICATE_FILE), directory.join(KEY_FILE));
        let key_pem = match files::read(&key_path)? {
            Some(pem) if KeyPair::from_pem(&pem).is_ok() => pem,
            found => {
                if found.is_some() {
                    tracing::warn!(path = %key_path.display(), "the server's key cannot be read; making another");
                }
                let pem = KeyPair::generate()?.serialize_pem();
                files::write(&key_path, &pem)?;
                pem
            }
        };
        let key = Source::new(&key_path, &key_pem);
        if let Some(pem) = files::read(&path)? {
            match Self::load(Source::new(&path, &pem), key) {
                Ok(found) if found.serves(authority, names, now_ms) => return Ok(found),
                Ok(_) => tracing::info!(
                    "making another server certificate: names, CA or time have changed"
                ),
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "making another server certificate"
                    );
                }
            }
        }
        let pem = sign(authority, &KeyPair::from_pem(&key_pem)?, names, now_ms)?;
        files::write(&path, &pem)?;
        Self::load(Source::new(&path, &pem), key)
    }

    /// Puts a chain and its key together, if they belong together.
    pub(super) fn load(chain: Source<'_>, key: Source<'_>) -> Result<Self, Error> {
        let certificates = chain.certificates()?;
        let unusable = |why: String| Error::damaged(key.path, why);
        let der = PrivateKeyDer::from_pem_slice(key.text.as_bytes())
            .map_err(|error| unusable(format!("its key cannot be read: {error}")))?;
        let signing = any_supported_type(&der)
            .map_err(|error| unusable(format!("its key cannot be used: {error}")))?;
        let (not_after_ms, names) = read(&chain, &certificates[0])?;
        let certified = CertifiedKey::new(certificates, signing);
        match certified.keys_match() {
            // Not every kind of key can say.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => {
                return Err(unusable(
                    "it does not belong to the server's certificate".to_owned(),
                ));
            }
        }
        Ok(Self {
            chain: certified.cert,
            key: der,
            not_after_ms,
            names,
        })
    }

    /// Whether it can stay: signed by this authority, for these names, and not about to end.
    fn serves(&self, authority: &Authority, names: &BTreeSet<String>, now_ms: u64) -> bool {
        let signed = || {
            let (_, own) = X509Certificate::from_der(self.chain.first()?).ok()?;
            let (_, ca) = X509Certificate::from_der(&authority.der).ok()?;
            own.verify_signature(Some(ca.public_key())).ok()
        };
        // As much as the authority's own end allows.
        let due = RENEW_BEFORE_MS.min(authority.not_after_ms.saturating_sub(now_ms) / 2);
        self.names == *names && self.not_after_ms.saturating_sub(now_ms) > due && signed().is_some()
    }
}

fn sign(
    authority: &Authority,
    key: &KeyPair,
    names: &BTreeSet<String>,
    now_ms: u64,
) -> Result<String, Error> {
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "Rollcall server");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let (pem, _) = authority.sign(params, key, authority::serial(), now_ms, LIFETIME_MS)?;
    Ok(pem)
}

/// When the certificate ends, and its names.
fn read(source: &Source<'_>, der: &CertificateDer<'_>) -> Result<(u64, BTreeSet<String>), Error> {
    let (_, certificate) = X509Certificate::from_der(der)
        .map_err(|_| Error::damaged(source.path, "its certificate cannot be read"))?;
    let mut names = BTreeSet::new();
    if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
        for name in &alternative.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.extend([(*name).to_owned()]),
                GeneralName::IPAddress(bytes) => names.extend(address(bytes)),
                _ => {}
            }
        }
    }
    let seconds = certificate.validity().not_after.timestamp();
    Ok((
        u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000),
        names,
    ))
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let address = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
    address.ok().map(|address| address.to_string())
}
