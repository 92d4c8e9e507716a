//! The certificate authority: made at the first start, or given by configuration.
//!
//! Its certificate can be made anew from its key at any time: subject and key stay the same, so whoever trusts the old
//! one trusts what the new one signs. The key is therefore written first, and only its loss is a loss.

use super::files::{self, Source};
use super::robot::{CertificateFault, RobotCertificate, Serial};
use super::{Error, csr, moment};
use crate::hex;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::path::Path;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

const CERTIFICATE_FILE: &str = "ca.pem";
const KEY_FILE: &str = "ca.key";

const DAY_MS: u64 = 24 * 3_600 * 1_000;
/// Robots cannot easily be given another anchor, so it outlives them.
const LIFETIME_MS: u64 = 20 * 365 * DAY_MS;
/// Its certificate is made anew this long before its end. It may also have been made when the clock was not set yet.
const RENEW_BEFORE_MS: u64 = 2 * 365 * DAY_MS;
/// Clocks of robots are behind more often than ahead.
pub(super) const BACKDATED_MS: u64 = DAY_MS;

/// The authority.
#[derive(Debug)]
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) der: CertificateDer<'static>,
    pub(super) pem: String,
    pub(super) subject: String,
    pub(super) not_after_ms: u64,
}

/// A certificate that was just signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, exactly one PEM block.
    pub pem: String,
    /// Its number.
    pub serial: Serial,
    /// Not valid after, milliseconds since the Unix epoch.
    pub not_after_ms: u64,
}

/// A new serial number: positive, always 16 bytes long, 126 bits of it random.
pub(super) fn serial() -> Serial {
    let mut serial = rand::random::<Serial>();
    serial[0] = serial[0] & 0x3F | 0x40;
    serial
}

impl Authority {
    /// Reads the authority of `directory`; makes it if there is none.
    pub(super) fn open_or_create(directory: &Path, now_ms: u64) -> Result<Self, Error> {
        let (certificate, key) = (directory.join(CERTIFICATE_FILE), directory.join(KEY_FILE));
        let found = (files::read(&certificate)?, files::read(&key)?);
        match found {
            (Some(pem), Some(key_pem)) => {
                let key = Source::new(&key, &key_pem);
                let found = Self::load(Source::new(&certificate, &pem), key)?;
                if found.not_after_ms.saturating_sub(now_ms) > RENEW_BEFORE_MS {
                    return Ok(found);
                }
                tracing::warn!(
                    "the CA's certificate ends soon and was made anew, with the same key; give it to robots whose TLS \
                     library looks at the end of what it trusts (`rollcall ca export`)"
                );
                Self::certify(&certificate, key_pair(key)?, now_ms)
            }
            (Some(_), None) => Err(Error::damaged(
                &key,
                "it is missing, but the CA's certificate beside it is there",
            )),
            (None, Some(key_pem)) => {
                Self::certify(&certificate, key_pair(Source::new(&key, &key_pem))?, now_ms)
            }
            (None, None) => {
                let pair = KeyPair::generate()?;
                files::write(&key, &pair.serialize_pem())?;
                Self::certify(&certificate, pair, now_ms)
            }
        }
    }

    /// Makes the authority's certificate from its key.
    fn certify(path: &Path, key: KeyPair, now_ms: u64) -> Result<Self, Error> {
        let fingerprint = Sha256::digest(key.subject_public_key_info());
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let name = format!("Rollcall CA {}", hex::encode(&fingerprint[..4]));
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from_slice(&serial()));
        params.not_before = moment(now_ms.saturating_sub(BACKDATED_MS));
        params.not_after = moment(now_ms.saturating_add(LIFETIME_MS));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key)?.pem();
        files::write(path, &pem)?;
        Self::assemble(Source::new(path, &pem), key)
    }

    /// Puts certificate and key together, if they belong together and may sign.
    pub(super) fn load(certificate: Source<'_>, key: Source<'_>) -> Result<Self, Error> {
        let key = key_pair(key)?;
        Self::assemble(certificate, key)
    }

    fn assemble(source: Source<'_>, key: KeyPair) -> Result<Self, Error> {
        let damaged = |why: &str| Error::damaged(source.path, why);
        let der = source.certificates()?;
        let [der] = <[CertificateDer<'static>; 1]>::try_from(der)
            .map_err(|_| damaged("it must hold exactly one certificate, the CA's own"))?;
        let (_, certificate) = X509Certificate::from_der(&der)
            .map_err(|_| damaged("its certificate cannot be read"))?;
        if certificate.public_key().raw != key.subject_public_key_info() {
            return Err(damaged("it does not belong to the CA's key"));
        }
        let signs = certificate
            .key_usage()
            .ok()
            .flatten()
            .is_none_or(|usage| usage.value.key_cert_sign());
        if !certificate.is_ca() || !signs {
            return Err(damaged("it is not the certificate of a CA"));
        }
        let not_after = certificate.validity().not_after.timestamp();
        let subject = certificate.subject().to_string();
        let issuer = Issuer::from_ca_cert_der(&der, key)?;
        Ok(Self {
            issuer,
            not_after_ms: u64::try_from(not_after).unwrap_or(0).saturating_mul(1_000),
            pem: source.text.to_owned(),
            subject,
            der,
        })
    }

    /// Signs what `params` say for `key`, never for longer than the authority itself is valid.
    pub(super) fn sign(
        &self,
        mut params: CertificateParams,
        key: &impl PublicKeyData,
        serial: Serial,
        now_ms: u64,
        lifetime_ms: u64,
    ) -> Result<(String, u64), Error> {
        // X.509 counts seconds.
        let not_after_ms =
            now_ms.saturating_add(lifetime_ms).min(self.not_after_ms) / 1_000 * 1_000;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.not_before = moment(now_ms.saturating_sub(BACKDATED_MS));
        params.not_after = moment(not_after_ms);
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        Ok((params.signed_by(key, &self.issuer)?.pem(), not_after_ms))
    }

    /// Signs a certificate for the robot `name` (`<realm>/<robot>`) and the key of its request.
    pub(super) fn issue(
        &self,
        csr: &str,
        name: &str,
        now_ms: u64,
        lifetime_ms: u64,
    ) -> Result<Issued, super::IssueError> {
        let key = csr::public_key(csr, name)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let serial = serial();
        let (pem, not_after_ms) = self.sign(params, &key, serial, now_ms, lifetime_ms)?;
        Ok(Issued {
            pem,
            serial,
            not_after_ms,
        })
    }

    /// Whether this authority has signed the certificate, for a robot.
    pub(super) fn verify(&self, pem: &str) -> Result<RobotCertificate, CertificateFault> {
        RobotCertificate::verify(pem, &self.der)
    }
}

fn key_pair(source: Source<'_>) -> Result<KeyPair, Error> {
    KeyPair::from_pem(source.text)
        .map_err(|error| Error::damaged(source.path, format!("its key cannot be used: {error}")))
}
