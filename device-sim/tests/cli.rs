//! The program as people and scripts meet it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use std::io::Write;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::authority::{Authority, TOKEN};
use support::site::{Site, serve};
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(300);

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_device-sim"));
    command
        .arg("run")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.kill_on_drop(true);
    command
}

async fn finish(command: &mut Command) -> Output {
    let output = command.spawn().unwrap().wait_with_output();
    tokio::time::timeout(PATIENCE, output)
        .await
        .expect("the program ends")
        .unwrap()
}

fn json(output: &Output) -> Value {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "one line of JSON and nothing else");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn json_report_tells_every_robots_real_outcomes() {
    let (offer, _http) = serve(vec![1; 1_000]).await;
    let site = Site::open(offer).await;
    let broker = format!("mqtt://127.0.0.1:{}", site.address.port);
    let mut command = program();
    command.args([
        "--broker",
        &broker,
        "--robots",
        "3",
        "--ecus",
        "2",
        "--time-scale",
        "1000",
    ]);
    let report = json(&finish(command.args(["--stop-when-idle", "--json"])).await);
    assert_eq!(report["robots"], 3);
    assert_eq!(report["totals"]["operations_installed"], 6);
    assert_eq!(report["request_latency"]["count"], 6);
    for robot in report["fleet"].as_array().unwrap() {
        assert_eq!(robot["settled"], true);
        for operation in robot["operations"].as_array().unwrap() {
            assert_eq!(operation["outcome"], "installed");
            assert!(
                operation["operation"]
                    .as_str()
                    .unwrap()
                    .parse::<uuid::Uuid>()
                    .is_ok()
            );
        }
        for ecu in robot["ecus"].as_array().unwrap() {
            assert_eq!(ecu["image"]["version"], "2.0.0");
            assert_eq!(ecu["image"]["digest"].as_str().unwrap().len(), 64);
        }
    }
}

#[tokio::test]
async fn report_comes_when_standard_input_closes() {
    let site = Site::open(support::world::offer()).await;
    let broker = format!("mqtt://127.0.0.1:{}", site.address.port);
    let mut command = program();
    command.args(["--broker", &broker, "--robots", "1", "--until-stdin-closes"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    drop(child.stdin.take());
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.expect("the program ends").unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("connect to CONNACK") && text.contains("violations by the server"));
}

#[tokio::test]
async fn robots_come_from_a_credentials_file() {
    let (offer, _http) = serve(vec![1; 1_000]).await;
    let site = Site::open(offer).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let ecu = r#"{"name":"main","hardware_id":"hw-a","primary":true}"#;
    for number in 1..=2 {
        let line = format!(r#"{{"id":"bot-{number}","credentials_secret":"dev","ecus":[{ecu}]}}"#);
        writeln!(file, "{line}").unwrap();
    }
    let broker = format!("mqtt://127.0.0.1:{}", site.address.port);
    let mut command = program();
    command.args([
        "--broker",
        &broker,
        "--time-scale",
        "1000",
        "--stop-when-idle",
        "--json",
    ]);
    let report = json(&finish(command.arg("--credentials").arg(file.path())).await);
    let ids: Vec<_> = report["fleet"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["id"])
        .collect();
    assert_eq!(ids, ["bot-1", "bot-2"]);
    assert_eq!(report["fleet"][0]["ecus"][0]["image"]["name"], "hw-a-os");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_pairs_and_the_report_counts_what_that_took() {
    let authority = Authority::new();
    let base = authority.serve().await;
    let mut offer = support::world::offer();
    offer.url = format!("{base}/artifact");
    let site = Site::open_tls(offer, authority.tls()).await;
    authority.broker(site.address.port);
    let folder = tempfile::tempdir().unwrap();
    let ca = authority.file(folder.path());
    let pairing_url = format!("{base}/pairing");
    let ran = |more: &[&str]| {
        let mut command = program();
        command.args(["--robots", "3", "--protocol", "edgehog"]);
        command.args(["--time-scale", "1000", "--pairing-url", &pairing_url]);
        command
            .env("DEVICE_SIM_PAIRING_TOKEN", TOKEN)
            .arg("--ca")
            .arg(&ca);
        command.arg("--state-dir").arg(folder.path());
        command.args(more);
        command
    };
    let report = json(&finish(&mut ran(&["--stop-when-idle", "--json"])).await);
    assert_eq!(report["totals"]["pairing_credentials"], 3);
    assert_eq!(report["totals"]["operations_installed"], 3);
    // Each came, and came again after its reboot; on a slow machine the update may begin before it is heard out.
    let arrivals = report["arrival_latency"]["count"].as_u64().unwrap();
    assert!((3..=6).contains(&arrivals), "{report}");
    assert_eq!(report["refusals"], serde_json::json!({}));
    // The second run finds secrets and certificates, and a broker of somebody else.
    let stranger = Authority::new();
    let elsewhere = Site::open_tls(support::world::offer(), stranger.tls()).await;
    authority.broker(elsewhere.address.port);
    let output = finish(&mut ran(&["--duration", "3s"])).await;
    let text = String::from_utf8(output.stdout).unwrap();
    for row in [
        "certificates verified",
        "TLS handshakes",
        "tls: server is not trusted",
    ] {
        assert!(text.contains(row), "{row} is not in {text}");
    }
}

#[tokio::test]
async fn wrong_use_is_explained_with_an_exit_code() {
    for (arguments, code, hint) in [
        (vec!["--robots", "1"], 2, "--broker"),
        (
            vec!["--broker", "tcp://h:1", "--robots", "1"],
            2,
            "mqtt://HOST",
        ),
        (vec![], 2, "how many robots"),
        (vec!["--robots", "0"], 2, "1..=100000"),
        (vec!["--robots", "1", "--realm", "Fleet"], 2, "realm"),
        (
            vec!["--robots", "1", "--profile", "/does/not/exist"],
            2,
            "/does/not/exist",
        ),
        (vec!["--robots", "1", "--time-scale", "0"], 2, "above 0"),
        (
            vec!["--robots", "1", "--ca", "/does/not/exist"],
            2,
            "read certificates /does/not/exist",
        ),
        (
            vec!["--robots", "1", "--broker", "mqtts://h:1"],
            2,
            "give --ca FILE",
        ),
        (
            vec!["--robots", "1", "--pairing-url", "http://h/pairing"],
            2,
            "--ca",
        ),
        (
            vec!["--robots", "1", "--pairing-url", "ftp://h", "--ca", "f"],
            2,
            "pairing API is given as",
        ),
    ] {
        let mut command = program();
        let says_where = |argument: &&str| ["--broker", "--pairing-url"].contains(argument);
        if hint != "--broker" && !arguments.iter().any(says_where) {
            command.args(["--broker", "mqtt://127.0.0.1:1"]);
        }
        let output = finish(command.args(&arguments)).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(hint), "{arguments:?}: {text}");
        assert!(output.stdout.is_empty());
    }
}
