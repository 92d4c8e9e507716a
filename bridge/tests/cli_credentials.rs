//! `rollcall ca`, `rollcall pairing` and `rollcall robot credentials`, as people type them.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod cli_support;

use cli_support::{ANY, Rollcall, serve};
use rcgen::{CertificateParams, KeyPair};
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_key_is_made_here_and_written_beside_its_certificate() {
    let rollcall = Rollcall::new();
    rollcall.ok(&["robot", "add", "r1", "--ecu", "main=hw"]);
    let out = rollcall.path().join("keys");
    std::fs::create_dir(&out).unwrap();
    let issue = [
        "robot",
        "credentials",
        "issue",
        "r1",
        "--out",
        out.to_str().unwrap(),
    ];
    let said = rollcall.ok(&issue);
    assert!(said.contains("r1.key") && said.contains("r1.pem"), "{said}");
    for file in ["r1.key", "r1.pem"] {
        let mode = out.join(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    KeyPair::from_pem(&std::fs::read_to_string(out.join("r1.key")).unwrap()).unwrap();
    let shown = rollcall.ok(&["robot", "show", "r1"]);
    assert!(shown.contains("confirmed, certificate"), "{shown}");
    // A key is never overwritten.
    let again = rollcall.run(&issue);
    assert_eq!(again.status.code(), Some(2));
    let err = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(err.contains("r1.key") && err.contains("--out"), "{err}");
}

#[test]
fn a_request_of_ones_own_is_signed_and_printed() {
    let rollcall = Rollcall::new();
    rollcall.ok(&["robot", "add", "r1", "--ecu", "main=hw"]);
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let request = params
        .serialize_request(&KeyPair::generate().unwrap())
        .unwrap();
    let file = rollcall.file("r1.csr", request.pem().unwrap().as_bytes());
    let certificate = rollcall.ok(&["robot", "credentials", "issue", "r1", "--csr", &file]);
    assert!(
        certificate.starts_with("-----BEGIN CERTIFICATE-----"),
        "{certificate}"
    );
    let bad = rollcall.file("bad.csr", b"garbage");
    let refused = rollcall.run(&["robot", "credentials", "issue", "r1", "--csr", &bad]);
    assert_eq!(refused.status.code(), Some(3));
    let err = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(err.contains("PKCS#10"), "{err}");
}

#[test]
fn a_robot_is_shut_out_let_in_and_given_another_secret() {
    let rollcall = Rollcall::new();
    rollcall.ok(&["robot", "add", "r1", "--ecu", "main=hw"]);
    let unasked = rollcall.run(&["robot", "credentials", "inhibit", "r1"]);
    assert_eq!(
        unasked.status.code(),
        Some(2),
        "there is no terminal to ask on"
    );
    let inhibited = rollcall.ok(&["robot", "credentials", "inhibit", "r1", "--yes"]);
    assert!(inhibited.contains("inhibited since"), "{inhibited}");
    let allowed = rollcall.json(&["robot", "credentials", "allow", "r1"]);
    assert_eq!(allowed["status"], "pending");
    let rotated = rollcall.json(&["robot", "credentials", "rotate", "r1", "--yes"]);
    assert_eq!(rotated["client_id"], "fleet/r1");
    assert_eq!(rotated["credentials_secret"].as_str().unwrap().len(), 43);
    let history = rollcall.ok(&["robot", "history", "r1"]);
    for what in [
        "inhibit the credentials",
        "allow the credentials",
        "replace the secret",
    ] {
        assert!(history.contains(what), "{history}");
    }
    let nobody = rollcall.run(&["robot", "credentials", "allow", "r9"]);
    assert_eq!(nobody.status.code(), Some(4));
}

#[test]
fn pairing_tokens_are_made_listed_and_revoked() {
    let rollcall = Rollcall::new();
    let made = rollcall.ok(&[
        "pairing",
        "token",
        "add",
        "--name",
        "line-1",
        "--expires",
        "30days",
        "--uses",
        "5",
    ]);
    assert!(
        made.contains("line-1") && made.contains("pairing token"),
        "{made}"
    );
    rollcall.json(&["pairing", "token", "add"]);
    let listed = rollcall.ok(&["pairing", "token", "ls"]);
    assert!(
        listed.contains("line-1") && listed.contains("token-"),
        "{listed}"
    );
    rollcall.ok(&["pairing", "token", "rm", "line-1", "--yes"]);
    let gone = rollcall.run(&["pairing", "token", "rm", "line-1", "--yes"]);
    assert_eq!(gone.status.code(), Some(4));
    let never = rollcall.run(&["pairing", "token", "add", "--uses", "0"]);
    assert_eq!(never.status.code(), Some(2));
}

#[test]
fn the_ca_is_shown_and_exported() {
    let rollcall = Rollcall::new();
    let shown = rollcall.ok(&["ca", "show"]);
    assert!(
        shown.contains("Rollcall CA") && shown.contains("localhost"),
        "{shown}"
    );
    let printed = rollcall.ok(&["ca", "export"]);
    let file = rollcall.path().join("ca.pem");
    rollcall.ok(&["ca", "export", "--out", file.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), printed);
    let own = std::fs::read_to_string(rollcall.data().join("tls/ca.pem")).unwrap();
    assert_eq!(printed.trim(), own.trim());
    assert!(!printed.contains("PRIVATE"));
    let reloaded = rollcall.json(&["ca", "reload"]);
    assert_eq!(reloaded["changed"], false);
}

#[test]
fn a_hangup_reads_the_certificates_again() {
    let rollcall = Rollcall::new();
    let before = rollcall.json(&["ca", "show"])["server"].clone();
    std::fs::remove_file(rollcall.data().join("tls/server.pem")).unwrap();
    rollcall.hang_up();
    // It is made anew on another thread; whoever looks for it sees it come.
    while !rollcall.data().join("tls/server.pem").exists() {
        std::thread::yield_now();
    }
    let after = rollcall.json(&["ca", "show"])["server"].clone();
    assert_eq!(before["names"], after["names"]);
}

#[test]
fn a_damaged_ca_is_a_clear_error_at_the_start() {
    let rollcall = Rollcall::new();
    let data = rollcall.path().join("other");
    std::fs::create_dir_all(data.join("tls")).unwrap();
    std::fs::write(data.join("tls/ca.pem"), "garbage").unwrap();
    std::fs::write(data.join("tls/ca.key"), "garbage").unwrap();
    let output = serve(ANY, &data).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("ca.key") && err.contains("backup"), "{err}");
}
