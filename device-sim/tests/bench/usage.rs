//! What people are told: the table, and what is wrong.

use crate::servers::open;
use crate::{bench, measured, refused};

#[tokio::test(flavor = "multi_thread")]
async fn the_table_has_the_figures_of_the_report() {
    let server = open(None).await;
    let output = bench(&["connect", "--broker", &server.url, "--clients", "3"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("connects per second"), "{text}");
    assert!(text.contains("connect latency: p99 ms"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_is_told_with_its_code() {
    let server = open(Some(b"secret")).await;
    let arguments = [
        "connect",
        "--broker",
        &server.url,
        "--clients",
        "2",
        "--mqtt",
        "5",
    ];
    let (code, said) = refused(&arguments).await;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("refused the connection with code 134 (2 times)"),
        "{said}"
    );
    let login = ["--user", "somebody", "--password", "secret"];
    let report = measured(&[&arguments[..], &login].concat()).await;
    assert_eq!(report["connected"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_is_told_as_such() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    drop(listener);
    for what in ["connect", "fan-in", "fan-out", "storm"] {
        let (code, said) = refused(&[what, "--broker", &url]).await;
        assert_eq!(code, Some(1), "{what}");
        assert!(said.contains("connection refused"), "{what}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_refused_with_a_remedy() {
    let broker = ["--broker", "mqtt://127.0.0.1:9"];
    let usage: [(&[&str], &str); 7] = [
        (&["connect"], "--broker"),
        (&["connect", "--broker", "wss://h:1"], "mqtt://HOST"),
        (&["fan-in", "--qos", "3", "--broker", "mqtt://h"], "0..=2"),
        (
            &["fan-in", "--hold", "3s", "--broker", "mqtt://h"],
            "--find-peak",
        ),
        (&["fan-in", "--rate", "0", "--broker", "mqtt://h"], "--rate"),
        (
            &["connect", "--clients", "0", "--broker", "mqtt://h"],
            "--clients",
        ),
        (
            &["connect", "--user", "u", "--broker", "mqtt://h"],
            "--password",
        ),
    ];
    for (arguments, hint) in usage {
        let (code, said) = refused(arguments).await;
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(said.contains(hint), "{arguments:?}: {said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("robots.jsonl");
    std::fs::write(
        &credentials,
        "{\"id\":\"r1\",\"credentials_secret\":\"s\"}\n",
    )
    .unwrap();
    let file = credentials.to_str().unwrap();
    let usage: [(&[&str], &str); 7] = [
        (
            &["connect", "--credentials", "/none"],
            "open credentials /none",
        ),
        (
            &["connect", "--credentials", file, "--clients", "2"],
            "register more",
        ),
        (
            &["fan-in", "--credentials", file, "--publishers", "1"],
            "--payload ota-events",
        ),
        (
            &["fan-out", "--credentials", file, "--clients", "1"],
            "--by-server",
        ),
        (&["connect", "--server-pid", "4294967295"], "--server-pid"),
        (&["connect", "--ca", "/none"], "read certificates /none"),
        (
            &["fan-in", "--payload", "ota-events", "--realm", "NO"],
            "realm \"NO\"",
        ),
    ];
    for (arguments, hint) in usage {
        let (code, said) = refused(&[arguments, &broker[..]].concat()).await;
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(said.contains(hint), "{arguments:?}: {said}");
    }
    let (code, said) = refused(&["connect", "--broker", "mqtts://127.0.0.1:9"]).await;
    assert_eq!(code, Some(2));
    assert!(said.contains("--ca FILE"), "{said}");
}
