//! `rollcall serve`: what it needs to start, and how it says what is wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod cli_support;

use cli_support::{ANY, Rollcall, program, serve};
use rcgen::{CertificateParams, KeyPair};
use std::net::TcpListener;
use std::path::Path;

#[test]
fn a_wrong_configuration_ends_with_code_2_and_names_file_key_and_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rollcall.toml");
    for (text, says) in [
        (
            "[mqtt]\naddress = \"0.0.0.0:1883\"",
            &["mqtt.address", "0.0.0.0:1883", "allow_remote_plain"][..],
        ),
        ("[mqtt]\nadress = \"127.0.0.1:1883\"", &["adress", "line 2"]),
        (
            "realm = \"Not A Realm\"",
            &["realm", "Not A Realm", "lower-case"],
        ),
        (
            "[store]\nreserve = \"much\"",
            &["reserve", "256 MB", "line 2"],
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let output = program()
            .arg("serve")
            .arg("--config")
            .arg(&path)
            .current_dir(&directory)
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}: {err}");
        assert!(err.contains("rollcall.toml"), "{err}");
        for part in says {
            assert!(err.contains(part), "{text}: {part:?} is not in {err}");
        }
    }
    assert_eq!(
        std::fs::read_dir(&directory).unwrap().count(),
        1,
        "nothing was begun"
    );
    let flag = program()
        .args(["serve", "--http", "192.0.2.1:80"])
        .current_dir(&directory)
        .output()
        .unwrap();
    assert_eq!(flag.status.code(), Some(2));
    let missing = program()
        .args(["serve", "--config", "/does/not/exist"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn a_data_directory_in_use_is_refused_by_name() {
    let rollcall = Rollcall::new();
    let second = serve(ANY, &rollcall.data()).output().unwrap();
    let err = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{err}");
    assert!(err.contains(rollcall.data().to_str().unwrap()), "{err}");
    rollcall.ok(&["robot", "ls"]);
}

/// Runs `serve` with this configuration, which must be refused as wrong usage before anything was begun.
fn refused(directory: &Path, text: &str) -> String {
    let path = directory.join("rollcall.toml");
    std::fs::write(&path, text).unwrap();
    let mut command = program();
    command.args(["serve", "--mqtt", ANY, "--http", ANY, "--device-http", ANY]);
    command.arg("--data-dir").arg(directory.join("data"));
    command.arg("--config").arg(&path);
    let output = command.current_dir(directory).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}: {err}");
    assert!(output.stdout.is_empty());
    assert!(!directory.join("data").exists(), "nothing was begun");
    err
}

#[test]
fn an_address_in_use_is_refused_with_key_value_and_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    for (section, flag) in [
        ("mqtt", "--mqtt"),
        ("mqtts", "--mqtts"),
        ("websocket", "--websocket"),
        ("http", "--http"),
        ("device_http", "--device-http"),
    ] {
        let text = format!("[{section}]\naddress = \"{address}\"\n");
        // Every other listener is wherever there is a free port.
        let mut command = program();
        let path = directory.path().join("rollcall.toml");
        std::fs::write(&path, text).unwrap();
        command.arg("serve").arg("--config").arg(&path);
        command.arg("--data-dir").arg(directory.path().join("data"));
        for other in ["--mqtt", "--mqtts", "--http", "--device-http"] {
            if other != flag {
                command.args([other, ANY]);
            }
        }
        let output = command.output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{section}: {err}");
        let key = format!("{section}.address = {address}");
        for part in [&*key, flag, "in use"] {
            assert!(err.contains(part), "{section}: {part:?} is not in {err}");
        }
        assert!(!directory.path().join("data").exists(), "nothing was begun");
    }
}

#[test]
fn certificates_that_cannot_be_used_are_refused_with_key_value_and_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let make = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        for (end, text) in [("pem", certificate.pem()), ("key", key.serialize_pem())] {
            std::fs::write(directory.path().join(format!("{name}.{end}")), text).unwrap();
        }
    };
    make("one");
    make("other");
    std::fs::write(directory.path().join("words.pem"), "no certificate").unwrap();
    std::fs::create_dir(directory.path().join("folder.pem")).unwrap();
    for (keys, files, named) in [
        (
            ("certificate", "key"),
            ("gone.pem", "one.key"),
            "certificate",
        ),
        (("certificate", "key"), ("one.pem", "gone.key"), "key"),
        (
            ("certificate", "key"),
            ("words.pem", "one.key"),
            "certificate",
        ),
        (
            ("certificate", "key"),
            ("folder.pem", "one.key"),
            "certificate",
        ),
        (("certificate", "key"), ("one.pem", "one.pem"), "key"),
        (("certificate", "key"), ("one.pem", "other.key"), "key"),
        (
            ("ca_certificate", "ca_key"),
            ("gone.pem", "one.key"),
            "ca_certificate",
        ),
        (
            ("ca_certificate", "ca_key"),
            ("one.pem", "words.pem"),
            "ca_key",
        ),
    ] {
        let at = |file: &str| directory.path().join(file).display().to_string();
        let (certificate, key) = (at(files.0), at(files.1));
        let text = format!(
            "[tls]\n{} = {certificate:?}\n{} = {key:?}\n",
            keys.0, keys.1
        );
        let err = refused(directory.path(), &text);
        // Where both keys name one file, the first is named.
        let (named, path) = match named.ends_with("key") && certificate != key {
            true => (named, &key),
            false => (keys.0, &certificate),
        };
        for part in [&*format!("tls.{named} = {path}"), "name PEM files"] {
            assert!(err.contains(part), "{text}: {part:?} is not in {err}");
        }
    }
}

#[test]
fn listeners_on_one_address_and_impossible_limits_are_refused_with_key_value_and_remedy() {
    let directory = tempfile::tempdir().unwrap();
    for (text, says) in [
        (
            "[websocket]\naddress = \"127.0.0.1:18099\"\n[mqtts]\naddress = \"127.0.0.1:18099\"",
            &[
                "websocket.address = 127.0.0.1:18099",
                "mqtts.address",
                "port of its own",
            ][..],
        ),
        (
            "[mqtt.limits]\nmax_connections = 60000",
            &["mqtt.limits.max_sessions = 50000", "at least", "60000"],
        ),
        (
            "[mqtt.limits]\nqueue_bytes = 1000",
            &["mqtt.limits.queue_bytes = 1000", "66560 to"],
        ),
        (
            "[mqtt.limits]\nsend_window = 0",
            &["mqtt.limits.send_window = 0", "at least 1"],
        ),
        (
            "[websocket]\npath = \"/\"",
            &["path", "line 2", "public_url"],
        ),
    ] {
        let err = refused(directory.path(), text);
        for part in says {
            assert!(err.contains(part), "{text}: {part:?} is not in {err}");
        }
    }
}
