//! Robots' certificates: what one says, and whether this authority said it.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// A certificate's serial number as this server gives them: 16 bytes, the first of them 0x40 to 0x7F.
pub type Serial = [u8; 16];

/// What a robot's certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RobotCertificate {
    /// Its common name, `<realm>/<robot>`.
    pub name: String,
    /// Its number.
    pub serial: Serial,
    /// Not valid before, milliseconds since the Unix epoch.
    pub not_before_ms: u64,
    /// Not valid after, milliseconds since the Unix epoch.
    pub not_after_ms: u64,
}

/// Why a certificate is none of this authority's for a robot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// It is not one PEM block with a certificate in it, or has no name or number that a robot's has.
    #[error("the certificate is not one PEM block `CERTIFICATE` with a robot's certificate in it")]
    Malformed,
    /// Another authority has signed it, or nobody has.
    #[error("the certificate was not signed by this server's CA")]
    OtherIssuer,
    /// It is a certificate of this authority, but not for a client.
    #[error("the certificate is not one for a client")]
    NotForClients,
}

impl RobotCertificate {
    /// Reads a certificate whose signature somebody else has checked.
    ///
    /// # Errors
    /// [`CertificateFault::Malformed`]
    pub fn read(der: &[u8]) -> Result<Self, CertificateFault> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| CertificateFault::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateFault::Malformed);
        }
        Self::of(&certificate)
    }

    fn of(certificate: &X509Certificate<'_>) -> Result<Self, CertificateFault> {
        let mut names = certificate.subject().iter_common_name();
        let name = match (names.next().map(|name| name.as_str()), names.next()) {
            (Some(Ok(name)), None) => name.to_owned(),
            _ => return Err(CertificateFault::Malformed),
        };
        let serial = certificate.raw_serial().try_into();
        let validity = certificate.validity();
        let ms = |seconds: i64| u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000);
        Ok(Self {
            name,
            serial: serial.map_err(|_| CertificateFault::Malformed)?,
            not_before_ms: ms(validity.not_before.timestamp()),
            not_after_ms: ms(validity.not_after.timestamp()),
        })
    }

    /// Reads a certificate from PEM and checks that `authority` (DER) has signed it for a client. Its time is not
    /// looked at.
    pub(super) fn verify(pem: &str, authority: &[u8]) -> Result<Self, CertificateFault> {
        let mut found = CertificateDer::pem_slice_iter(pem.as_bytes());
        let der = match (found.next(), found.next()) {
            (Some(Ok(der)), None) => der,
            _ => return Err(CertificateFault::Malformed),
        };
        let (rest, certificate) =
            X509Certificate::from_der(&der).map_err(|_| CertificateFault::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateFault::Malformed);
        }
        let (_, authority) =
            X509Certificate::from_der(authority).map_err(|_| CertificateFault::OtherIssuer)?;
        if certificate.issuer().as_raw() != authority.subject().as_raw()
            || certificate
                .verify_signature(Some(authority.public_key()))
                .is_err()
        {
            return Err(CertificateFault::OtherIssuer);
        }
        let for_clients = certificate.extended_key_usage().ok().flatten();
        if !for_clients.is_some_and(|usage| usage.value.client_auth) {
            return Err(CertificateFault::NotForClients);
        }
        Self::of(&certificate)
    }
}
