//! A robot's key and certificate, with the checks that Astarte's SDK makes (device-contract 2).

use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::parse_x509_certificate;

/// A new private key (PKCS#8) and the request for its certificate (PEM). The subject is the name
/// alone.
pub(super) struct KeyRequest {
    pub(super) key: Vec<u8>,
    pub(super) csr: String,
}

impl KeyRequest {
    pub(super) fn new(common_name: &str) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        Ok(Self {
            csr: params.serialize_request(&key)?.pem()?,
            key: key.serialize_der(),
        })
    }
}

/// A certificate that can be shown.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    /// As the server gave it.
    pub(super) pem: String,
    pub(super) identity: Arc<CertifiedKey>,
}

impl Certificate {
    /// Puts certificate and key together. Expiry is the server's business.
    ///
    /// The error says what the certificate is not.
    pub(super) fn new(pem: String, key: Vec<u8>, common_name: &str) -> Result<Self, String> {
        let mut all = CertificateDer::pem_slice_iter(pem.as_bytes());
        let certificate = match (all.next(), all.next()) {
            (Some(Ok(certificate)), None) => certificate,
            (_, Some(_)) => return Err("holds more than one certificate".to_owned()),
            _ => return Err("holds no certificate".to_owned()),
        };
        let named = name(&certificate);
        if named.as_deref() != Some(common_name) {
            return Err(format!("is named {named:?} instead of {common_name:?}"));
        }
        let key = PrivatePkcs8KeyDer::from(key).into();
        let identity = CertifiedKey::from_der(vec![certificate], key, &ring::default_provider());
        let identity = identity.map_err(|error| format!("does not fit its key: {error}"))?;
        Ok(Self {
            pem,
            identity: Arc::new(identity),
        })
    }
}

fn name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer;

    const NAME: &str = "fleet/r1";

    fn certificate(name: &str, key: &KeyPair) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.self_signed(key).unwrap().pem()
    }

    #[test]
    fn contract_2_the_request_is_for_p256_and_names_the_robot_alone() {
        let request = KeyRequest::new(NAME).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(request.csr.as_bytes()).unwrap();
        assert_eq!(pem.label, "CERTIFICATE REQUEST");
        let (_, csr) = X509CertificationRequest::from_der(&pem.contents).unwrap();
        csr.verify_signature().unwrap();
        assert_eq!(
            csr.certification_request_info.subject.to_string(),
            format!("CN={NAME}")
        );
        assert!(csr.requested_extensions().is_none());
    }

    #[test]
    fn contract_2_a_certificate_is_taken_alone_under_its_name_and_for_its_key() {
        let key = KeyPair::generate().unwrap();
        let good = certificate(NAME, &key);
        assert!(Certificate::new(good.clone(), key.serialize_der(), NAME).is_ok());
        let other_key = KeyPair::generate().unwrap();
        for (pem, key, hint) in [
            (String::new(), &key, "no certificate"),
            ("-----BEGIN NONSENSE".to_owned(), &key, "no certificate"),
            (format!("{good}{good}"), &key, "more than one"),
            (certificate("fleet/r2", &key), &key, "is named"),
            (good.clone(), &other_key, "does not fit"),
        ] {
            let refused = Certificate::new(pem, key.serialize_der(), NAME).unwrap_err();
            assert!(refused.contains(hint), "{refused}");
        }
    }
}
