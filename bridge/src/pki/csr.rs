//! What a robot asks to have signed: only its public key is taken from it, after these checks.
//!
//! Subject, names and extensions of the request are never copied into a certificate.

use rcgen::SubjectPublicKeyInfo;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::{PublicKey, RSAPublicKey};
use x509_parser::x509::{SubjectPublicKeyInfo as Spki, X509Name};

/// Shorter RSA keys are within reach of an attacker with money; longer ones cost the server time for nothing.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// Smaller exponents have a long history of broken uses.
const LEAST_RSA_EXPONENT: u64 = 65_537;

/// Why a certificate signing request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// It is not one PEM block with a PKCS#10 request in it.
    #[error("the CSR is not one PEM block `CERTIFICATE REQUEST` with a PKCS#10 request in it")]
    Malformed,
    /// Its signature was not made with the key that it names, or with a weak algorithm.
    #[error(
        "the signature of the CSR is not valid; sign it with its own key, with SHA-256 or better"
    )]
    Signature,
    /// Its key is of a kind that is not accepted.
    #[error(
        "the key of the CSR is not accepted; use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits with \
         exponent 65537 or greater"
    )]
    Key,
    /// Its subject is somebody else.
    #[error("the CSR names {found:?}; leave the common name out or make it {expected}")]
    OtherName {
        /// The first 80 characters of its common name.
        found: String,
        /// Who asks.
        expected: String,
    },
}

impl CsrError {
    /// A stable word for counters.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "csr_malformed",
            Self::Signature => "csr_signature",
            Self::Key => "csr_key",
            Self::OtherName { .. } => "csr_other_name",
        }
    }
}

/// The public key of a request by `name`, which proves that it has the private one.
pub(super) fn public_key(pem: &str, name: &str) -> Result<SubjectPublicKeyInfo, CsrError> {
    let mut found = CertificateSigningRequestDer::pem_slice_iter(pem.as_bytes());
    let der = match (found.next(), found.next()) {
        (Some(Ok(der)), None) => der,
        _ => return Err(CsrError::Malformed),
    };
    let (rest, request) =
        X509CertificationRequest::from_der(&der).map_err(|_| CsrError::Malformed)?;
    if !rest.is_empty() {
        return Err(CsrError::Malformed);
    }
    let info = &request.certification_request_info;
    check_name(&info.subject, name)?;
    check_key(&info.subject_pki)?;
    let algorithm = &request.signature_algorithm.algorithm;
    // SHA-1 could be verified too, but proves little.
    let accepted = [
        OID_SIG_ECDSA_WITH_SHA256,
        OID_SIG_ECDSA_WITH_SHA384,
        OID_SIG_ED25519,
        OID_PKCS1_SHA256WITHRSA,
        OID_PKCS1_SHA384WITHRSA,
        OID_PKCS1_SHA512WITHRSA,
    ];
    if !accepted.contains(algorithm) || request.verify_signature().is_err() {
        return Err(CsrError::Signature);
    }
    SubjectPublicKeyInfo::from_der(info.subject_pki.raw).map_err(|_| CsrError::Key)
}

fn check_name(subject: &X509Name<'_>, expected: &str) -> Result<(), CsrError> {
    for name in subject.iter_common_name() {
        let found = name.as_str().unwrap_or("(unreadable)");
        if !found.is_empty() && found != expected {
            return Err(CsrError::OtherName {
                found: found.chars().take(80).collect(),
                expected: expected.to_owned(),
            });
        }
    }
    Ok(())
}

fn check_key(key: &Spki<'_>) -> Result<(), CsrError> {
    let algorithm = &key.algorithm.algorithm;
    let accepted = if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let parameters = key.algorithm.parameters.as_ref();
        let curve = parameters.and_then(|parameters| parameters.as_oid().ok());
        curve.is_some_and(|curve| curve == OID_EC_P256 || curve == OID_NIST_EC_P384)
    } else if *algorithm == OID_PKCS1_RSAENCRYPTION {
        matches!(key.parsed(), Ok(PublicKey::RSA(key)) if is_strong(&key))
    } else {
        *algorithm == OID_SIG_ED25519
    };
    if accepted { Ok(()) } else { Err(CsrError::Key) }
}

fn is_strong(key: &RSAPublicKey<'_>) -> bool {
    let modulus: &[u8] = key.modulus;
    let significant = modulus.iter().position(|byte| *byte != 0);
    let bits = significant.map_or(0, |first| {
        (modulus.len() - first) * 8 - modulus[first].leading_zeros() as usize
    });
    let positive = modulus.first().is_some_and(|first| first & 0x80 == 0);
    positive
        && RSA_BITS.contains(&bits)
        && key
            .try_exponent()
            .is_ok_and(|exponent| exponent >= LEAST_RSA_EXPONENT && exponent % 2 == 1)
}
