//! Issue 3, "Bad input": requests and certificates that must not pass; and how files come, stay and are renewed.
//!
//! The requests in `requests/` are OpenSSL's, since no library here makes weak ones. All but the last two name
//! `fleet/r1`.

use super::*;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

const NOW: u64 = 1_800_000_000_000;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const NAME: &str = "fleet/r1";

macro_rules! request {
    ($name:literal) => {
        include_str!(concat!("requests/", $name, ".pem"))
    };
}

fn settings() -> Settings {
    Settings {
        authority: None,
        server: None,
        names: server_names([], [], &[]),
        robot_lifetime_ms: 2_190 * HOUR,
    }
}

fn open(directory: &TempDir) -> Pki {
    Pki::open(directory.path(), settings(), NOW).unwrap()
}

fn fresh() -> (TempDir, Pki) {
    let directory = tempfile::tempdir().unwrap();
    let pki = open(&directory);
    (directory, pki)
}

fn request(name: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let request = params.serialize_request(&KeyPair::generate().unwrap());
    request.unwrap().pem().unwrap()
}

fn der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    let der = rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes());
    der.unwrap().to_vec()
}

#[test]
fn a_request_gets_one_certificate_with_the_name_that_the_server_gives() {
    let (_directory, pki) = fresh();
    for csr in [request(NAME), request!("no-name").to_owned()] {
        let issued = pki.issue(&csr, NAME, NOW).unwrap();
        assert_eq!(issued.pem.matches("BEGIN CERTIFICATE").count(), 1);
        assert_eq!(issued.not_after_ms, NOW + 2_190 * HOUR);
        let said = pki.verify(&issued.pem).unwrap();
        assert_eq!(said.name, NAME);
        assert_eq!(said.serial, issued.serial);
        assert_eq!(said.not_after_ms, issued.not_after_ms);
        assert!(said.not_before_ms < NOW, "clocks of robots are behind");
        assert_eq!(RobotCertificate::read(&der(&issued.pem)).unwrap(), said);
    }
}

#[test]
fn nothing_but_the_key_comes_from_a_request() {
    let (_directory, pki) = fresh();
    let issued = pki.issue(request!("asks-too-much"), NAME, NOW).unwrap();
    let der = der(&issued.pem);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    assert!(!certificate.is_ca());
    assert!(certificate.subject_alternative_name().unwrap().is_none());
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
}

#[test]
fn every_certificate_has_another_number_of_the_same_length() {
    let (_directory, pki) = fresh();
    let csr = request(NAME);
    let mut serials = std::collections::HashSet::new();
    for _ in 0..50 {
        let issued = pki.issue(&csr, NAME, NOW).unwrap();
        assert!((0x40..0x80).contains(&issued.serial[0]));
        assert!(serials.insert(issued.serial));
    }
}

#[test]
fn accepted_keys_are_signed() {
    let (_directory, pki) = fresh();
    for csr in [
        request!("prime256v1"),
        request!("secp384r1"),
        request!("ed25519"),
        request!("rsa2048"),
        request!("rsa3072"),
    ] {
        let issued = pki.issue(csr, NAME, NOW).unwrap();
        pki.verify(&issued.pem).unwrap();
    }
}

#[test]
fn weak_and_broken_requests_are_refused_each_with_its_reason() {
    let (_directory, pki) = fresh();
    let good = request!("prime256v1");
    let tampered = tamper(good);
    for (csr, why) in [
        (request!("rsa1024"), "csr_key"),
        (request!("rsa2048-e3"), "csr_key"),
        (request!("secp224r1"), "csr_key"),
        (request!("secp256k1"), "csr_key"),
        (request!("secp521r1"), "csr_key"),
        (request!("rsa2048-sha1"), "csr_signature"),
        (request!("rsa2048-pss"), "csr_signature"),
        (request!("prime256v1-sha1"), "csr_signature"),
        (tampered.as_str(), "csr_signature"),
        (request!("two-names"), "csr_other_name"),
        ("", "csr_malformed"),
        ("nonsense", "csr_malformed"),
        (&good[..good.len() / 2], "csr_malformed"),
        (&format!("{good}{good}"), "csr_malformed"),
        (&good.replace(" REQUEST", ""), "csr_malformed"),
        (
            "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n",
            "csr_malformed",
        ),
    ] {
        match pki.issue(csr, NAME, NOW) {
            Err(IssueError::Request(error)) => assert_eq!(error.code(), why, "{csr}"),
            other => panic!("{csr}: {other:?}"),
        }
    }
    let other = pki.issue(good, "fleet/r2", NOW).unwrap_err().to_string();
    assert!(
        other.contains("fleet/r1") && other.contains("fleet/r2"),
        "{other}"
    );
}

/// The same request with one bit of its signature turned.
fn tamper(csr: &str) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let body: String = csr.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = STANDARD.decode(body).unwrap();
    *der.last_mut().unwrap() ^= 1;
    format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        STANDARD.encode(der)
    )
}

#[test]
fn a_request_cut_or_changed_anywhere_never_panics_and_never_gets_another_name() {
    let (_directory, pki) = fresh();
    let csr = request!("prime256v1");
    for at in 0..csr.len() {
        let _ = pki.issue(&csr[..at], NAME, NOW);
        let mut bytes = csr.as_bytes().to_vec();
        bytes[at] = b'A';
        if let Ok(issued) = pki.issue(std::str::from_utf8(&bytes).unwrap(), NAME, NOW) {
            assert_eq!(pki.verify(&issued.pem).unwrap().name, NAME);
        }
    }
}

#[test]
fn a_certificate_of_another_ca_or_of_the_server_itself_is_no_robots() {
    let (directory, pki) = fresh();
    let (_other_directory, other) = fresh();
    let strange = other.issue(&request(NAME), NAME, NOW).unwrap();
    assert_eq!(pki.verify(&strange.pem), Err(CertificateFault::OtherIssuer));
    let server = std::fs::read_to_string(directory.path().join("tls/server.pem")).unwrap();
    assert_eq!(pki.verify(&server), Err(CertificateFault::NotForClients));
    assert_eq!(
        pki.verify(&pki.summary().pem),
        Err(CertificateFault::NotForClients)
    );
    let own = pki.issue(&request(NAME), NAME, NOW).unwrap().pem;
    for garbage in [
        "",
        "x",
        &own[..own.len() - 60],
        &format!("{own}{own}"),
        &own.replace('M', "N"),
    ] {
        assert!(pki.verify(garbage).is_err(), "{garbage}");
    }
}

#[test]
fn a_certificate_that_names_this_ca_but_was_not_signed_by_it_is_no_robots() {
    let (_directory, pki) = fresh();
    let subject = pki.summary().authority;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let name = subject.strip_prefix("CN=").unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let forger = rcgen::Issuer::new(params, KeyPair::generate().unwrap());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, NAME);
    params.serial_number = Some(vec![0x40; 16].into());
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let forged = params.signed_by(&KeyPair::generate().unwrap(), &forger);
    let forged = forged.unwrap().pem();
    assert_eq!(pki.verify(&forged), Err(CertificateFault::OtherIssuer));
}

#[test]
fn a_certificate_ends_no_later_than_its_ca() {
    let (_directory, pki) = fresh();
    let ends = pki.summary().authority_not_after_ms;
    let issued = pki.issue(&request(NAME), NAME, ends - DAY).unwrap();
    assert!(issued.not_after_ms <= ends);
}

#[test]
fn what_the_first_start_made_is_there_at_the_next_and_private() {
    let (directory, pki) = fresh();
    let before = pki.summary();
    drop(pki);
    let folder = directory.path().join(TLS_FOLDER);
    for file in ["ca.pem", "ca.key", "server.pem", "server.key"] {
        let mode = folder.join(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(open(&directory).summary(), before);
}

#[test]
fn a_first_start_that_was_interrupted_goes_on_with_the_same_key() {
    let (directory, pki) = fresh();
    let issued = pki.issue(&request(NAME), NAME, NOW).unwrap();
    std::fs::remove_file(directory.path().join("tls/ca.pem")).unwrap();
    // Whatever the old certificate's key has signed is still this authority's.
    assert!(open(&directory).verify(&issued.pem).is_ok());
}

#[test]
fn a_ca_that_ends_soon_is_made_anew_from_its_key_and_its_certificates_stay_good() {
    // As on a machine whose clock was not set at the first start.
    let directory = tempfile::tempdir().unwrap();
    let early = Pki::open(directory.path(), settings(), DAY).unwrap();
    let issued = early.issue(&request(NAME), NAME, DAY).unwrap();
    let before = early.summary();
    assert!(before.authority_not_after_ms < NOW);
    let pki = open(&directory);
    let after = pki.summary();
    assert_eq!(after.authority, before.authority, "the subject");
    assert!(after.authority_not_after_ms > NOW && after.server_not_after_ms > NOW);
    assert!(pki.verify(&issued.pem).is_ok());
    assert_eq!(open(&directory).summary(), after, "once is enough");
}

#[test]
fn a_damaged_ca_is_named_and_never_replaced() {
    for (file, text) in [
        ("ca.pem", "garbage"),
        ("ca.pem", ""),
        ("ca.key", "garbage"),
        ("ca.key", ""),
    ] {
        let (directory, _) = fresh();
        let path = directory.path().join("tls").join(file);
        std::fs::write(&path, text).unwrap();
        let error = Pki::open(directory.path(), settings(), NOW)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(path.to_str().unwrap()) && error.contains("backup"),
            "{error}"
        );
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            text,
            "left as it was"
        );
    }
    let (directory, _) = fresh();
    let key = directory.path().join("tls/ca.key");
    std::fs::remove_file(&key).unwrap();
    let error = Pki::open(directory.path(), settings(), NOW)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("ca.key") && error.contains("missing"),
        "{error}"
    );
    std::fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let error = Pki::open(directory.path(), settings(), NOW)
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not belong"), "{error}");
}

#[test]
fn the_servers_certificate_is_made_anew_when_due_damaged_renamed_or_of_another_ca() {
    let (directory, pki) = fresh();
    let path = directory.path().join("tls/server.pem");
    let read = || std::fs::read_to_string(&path).unwrap();
    let first = read();
    assert!(
        !pki.reload(NOW + 200 * DAY).unwrap(),
        "it has half a year left"
    );
    assert!(pki.reload(NOW + 300 * DAY).unwrap());
    assert_ne!(read(), first);
    assert!(pki.summary().server_not_after_ms > NOW + 600 * DAY);

    std::fs::write(&path, "garbage").unwrap();
    assert!(pki.reload(NOW).unwrap());
    let names = server_names([], ["https://updates.example.org"], &[]);
    let renamed = Settings {
        names: names.clone(),
        ..settings()
    };
    let pki = Pki::open(directory.path(), renamed, NOW).unwrap();
    assert_eq!(pki.summary().names, names);

    let before = read();
    for file in ["ca.pem", "ca.key"] {
        std::fs::remove_file(directory.path().join("tls").join(file)).unwrap();
    }
    assert!(pki.reload(NOW).unwrap());
    assert_ne!(
        read(),
        before,
        "a certificate of the former CA helps nobody"
    );
    std::fs::write(directory.path().join("tls/server.key"), "garbage").unwrap();
    assert!(pki.reload(NOW).unwrap());
}

#[test]
fn a_reload_that_fails_leaves_in_force_what_was() {
    let (directory, pki) = fresh();
    let before = pki.summary();
    std::fs::write(directory.path().join("tls/ca.pem"), "garbage").unwrap();
    assert!(pki.reload(NOW).is_err());
    assert_eq!(pki.summary(), before);
    assert!(pki.issue(&request(NAME), NAME, NOW).is_ok());
}

#[test]
fn files_that_configuration_names_are_used_and_never_written() {
    let (made, own) = fresh();
    let folder = made.path().join(TLS_FOLDER);
    let files = |name: &str| CertificateFiles {
        certificate: folder.join(format!("{name}.pem")),
        key: folder.join(format!("{name}.key")),
    };
    let settings = Settings {
        authority: Some(files("ca")),
        server: Some(files("server")),
        names: BTreeSet::new(),
        ..settings()
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let pki = Pki::open(elsewhere.path(), settings.clone(), NOW).unwrap();
    assert_eq!(pki.summary(), own.summary());
    assert!(
        !pki.reload(NOW + 400 * DAY).unwrap(),
        "it is not ours to renew"
    );
    assert_eq!(
        std::fs::read_dir(elsewhere.path().join(TLS_FOLDER))
            .unwrap()
            .count(),
        0
    );
    let swapped = Settings {
        server: Some(CertificateFiles {
            key: folder.join("ca.key"),
            ..files("server")
        }),
        ..settings.clone()
    };
    let error = Pki::open(elsewhere.path(), swapped, NOW)
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not belong"), "{error}");
    let missing = Settings {
        authority: Some(files("none")),
        ..settings
    };
    let error = Pki::open(elsewhere.path(), missing, NOW)
        .unwrap_err()
        .to_string();
    assert!(error.contains("none.pem"), "{error}");
}
