//! `device-sim bench` as people and scripts meet it, against small brokers of this process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rollcall_broker::{
    Access, Broker, Config, ConnectRefusal, ConnectRequest, Principal, PublishAccess, QoS,
    ReasonCode, SessionPolicy, SubscribeAccess, Verdict,
};
use serde_json::Value;
use support::Offer;
use support::site::Site;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(300);

/// Lets in whoever has the password, if there is one, and routes everything.
#[derive(Debug)]
struct Open {
    password: Option<&'static [u8]>,
}

impl Access for Open {
    fn authenticate(&self, connect: &ConnectRequest<'_>) -> Result<Principal, ConnectRefusal> {
        if self.password.is_some() && connect.password != self.password {
            return Err(ConnectRefusal {
                code: ReasonCode::BadUserNameOrPassword,
                why: "wrong password".into(),
            });
        }
        Ok(Principal {
            client_id: connect.client_id.into(),
            tag: 0,
            sessions: SessionPolicy::AlwaysClean,
        })
    }

    fn publish(&self, _: &Principal, _: &str, _: QoS, _: bool) -> PublishAccess {
        PublishAccess::Route
    }

    fn subscribe(&self, _: &Principal, _: &str) -> SubscribeAccess {
        SubscribeAccess::Grant {
            max_qos: QoS::ExactlyOnce,
        }
    }
}

struct Server {
    url: String,
    _broker: Broker,
}

async fn open(password: Option<&'static [u8]>) -> Server {
    let (events, mut incoming) = mpsc::channel(64);
    tokio::spawn(async move { while incoming.recv().await.is_some() {} });
    let broker = Broker::new(Config::default(), Arc::new(Open { password }), events);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    broker.listen(listener);
    Server {
        url,
        _broker: broker,
    }
}

/// The miniature server, which sends each robot a request as soon as it knows it.
async fn robots_server() -> (Site, String) {
    let offer = Offer {
        url: "http://127.0.0.1:9/none".to_owned(),
        size: 1,
        sha256: [0; 32],
    };
    let site = Site::open(offer).await;
    let url = format!("mqtt://127.0.0.1:{}", site.address.port);
    (site, url)
}

async fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_device-sim"));
    command
        .arg("bench")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let output = command.spawn().unwrap().wait_with_output();
    let output = tokio::time::timeout(PATIENCE, output).await;
    output.expect("the program ends").unwrap()
}

async fn measured(arguments: &[&str]) -> Value {
    let output = bench(&[arguments, &["--json"]].concat()).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "one line of JSON and nothing else");
    serde_json::from_str(&text).unwrap()
}

/// The exit code, and what was said.
async fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = bench(arguments).await;
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}

fn positive(report: &Value, field: &str) {
    let value = report[field].as_f64();
    assert!(value.is_some_and(|value| value > 0.0), "{field}: {report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_counts_every_client_on_both_versions() {
    let server = open(None).await;
    for version in ["3.1.1", "5"] {
        let report = measured(&[
            "connect",
            "--broker",
            &server.url,
            "--clients",
            "30",
            "--at-once",
            "4",
            "--threads",
            "2",
            "--mqtt",
            version,
        ])
        .await;
        assert_eq!(report["connected"], 30);
        assert_eq!(report["failed"], 0);
        assert_eq!(report["connect_latency"]["count"], 30);
        positive(&report, "connects_per_second");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_reads_the_memory_of_the_process_that_is_named() {
    let server = open(None).await;
    let own = std::process::id().to_string();
    let arguments = [
        "idle",
        "--broker",
        &server.url,
        "--clients",
        "20",
        "--rest",
        "10ms",
    ];
    let report = measured(&[&arguments[..], &["--server-pid", &own]].concat()).await;
    assert_eq!(report["connect"]["connected"], 20);
    assert_eq!(report["alive"], 20);
    positive(&report, "resident_before_bytes");
    let (code, said) = refused(&arguments).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("--server-pid"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fan_in_delivers_what_it_publishes_at_every_qos_on_both_versions() {
    let server = open(None).await;
    for version in ["3.1.1", "5"] {
        for qos in ["0", "1", "2"] {
            let report = measured(&[
                "fan-in",
                "--broker",
                &server.url,
                "--publishers",
                "3",
                "--qos",
                qos,
                "--window",
                "4",
                "--size",
                "20",
                "--rate",
                "300",
                "--duration",
                "500ms",
                "--warm-up",
                "100ms",
                "--mqtt",
                version,
            ])
            .await;
            positive(&report, "acknowledged_per_second");
            positive(&report, "delivered_per_second");
            assert_eq!(report["undelivered"], 0, "{report}");
            assert_eq!(report["lost"], 0, "{report}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn qos2_counts_completed_handshakes() {
    let server = open(None).await;
    let report = measured(&[
        "qos2",
        "--broker",
        &server.url,
        "--publishers",
        "2",
        "--window",
        "2",
        "--duration",
        "300ms",
        "--warm-up",
        "0s",
        "--server-pid",
        &std::process::id().to_string(),
    ])
    .await;
    assert_eq!(report["qos"], 2);
    assert_eq!(report["undelivered"], 0, "{report}");
    positive(&report, "acknowledged_per_second");
    assert!(report["server_cpu_us_per_message"].is_f64());
}

#[tokio::test(flavor = "multi_thread")]
async fn find_peak_tells_every_rate_that_it_tried() {
    let server = open(None).await;
    let report = measured(&[
        "fan-in",
        "--broker",
        &server.url,
        "--publishers",
        "2",
        "--window",
        "1",
        "--duration",
        "300ms",
        "--warm-up",
        "0s",
        "--find-peak",
        "--hold",
        "200ms",
    ])
    .await;
    let tries = report["peak"]["tries"].as_array().unwrap();
    assert!(!tries.is_empty(), "{report}");
    assert!(tries.iter().all(|one| one["rate"].as_u64() > Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_no_acknowledgements_and_no_rate_is_held_with_them() {
    let refuse = || Verdict::Refused {
        code: ReasonCode::QuotaExceeded,
        why: "full".into(),
    };
    let arguments = |url| {
        [
            "fan-in",
            "--broker",
            url,
            "--mqtt",
            "5",
            "--publishers",
            "2",
            "--subscribers",
            "0",
            "--window",
            "4",
            "--duration",
            "1s",
            "--find-peak",
            "--hold",
            "100ms",
        ]
    };
    // One of a hundred: the acknowledged ones alone would be enough of every rate.
    let server = intake(move |number| {
        if number % 100 == 7 {
            refuse()
        } else {
            Verdict::Accepted
        }
    })
    .await;
    let report = measured(&arguments(&server.url)).await;
    positive(&report, "refused");
    positive(&report, "acknowledged");
    assert!(report["peak"]["held_per_second"].is_null(), "{report}");
    let server = intake(move |_| refuse()).await;
    let (code, said) = refused(&arguments(&server.url)).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("refused every publish"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn robots_answer_their_requests_with_events() {
    let (site, url) = robots_server().await;
    let report = measured(&[
        "fan-in",
        "--broker",
        &url,
        "--publishers",
        "3",
        "--payload",
        "ota-events",
        "--ecus",
        "2",
        "--rate",
        "200",
        "--duration",
        "500ms",
        "--warm-up",
        "0s",
        "--size",
        "100",
    ])
    .await;
    assert_eq!(
        (&report["subscribers"], &report["lost"]),
        (&0.into(), &0.into())
    );
    positive(&report, "acknowledged_per_second");
    let server = site.server.lock();
    assert_eq!(server.robots.len(), 3);
    assert!(server.robots.values().all(|robot| !robot.events.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn robots_without_requests_say_what_is_missing() {
    // It takes what robots publish, and never sends a request.
    let server = intake(|_| Verdict::Accepted).await;
    let (code, said) = refused(&[
        "fan-in",
        "--broker",
        &server.url,
        "--publishers",
        "2",
        "--payload",
        "ota-events",
        "--patience",
        "200ms",
    ])
    .await;
    assert_eq!(code, Some(1));
    assert!(said.contains("launch a rollout"), "{said}");
}

/// A server that takes in what is published, and answers with what `verdict` says to the message of this number.
async fn intake(verdict: impl Fn(u64) -> Verdict + Send + 'static) -> Server {
    let (events, mut incoming) = mpsc::channel(64);
    let broker = Broker::new(Config::default(), Arc::new(Intake), events);
    let handle = broker.handle();
    tokio::spawn(async move {
        let mut number = 0;
        while let Some(event) = incoming.recv().await {
            if let rollcall_broker::Event::Publish { ticket, .. } = event {
                handle.settle(ticket, verdict(number));
                number += 1;
            }
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    broker.listen(listener);
    Server {
        url,
        _broker: broker,
    }
}

/// Takes everything in.
#[derive(Debug)]
struct Intake;

impl Access for Intake {
    fn authenticate(&self, connect: &ConnectRequest<'_>) -> Result<Principal, ConnectRefusal> {
        Ok(Principal {
            client_id: connect.client_id.into(),
            tag: 1,
            sessions: SessionPolicy::AlwaysClean,
        })
    }

    fn publish(&self, _: &Principal, _: &str, _: QoS, _: bool) -> PublishAccess {
        PublishAccess::Intake
    }

    fn subscribe(&self, _: &Principal, _: &str) -> SubscribeAccess {
        SubscribeAccess::Grant {
            max_qos: QoS::ExactlyOnce,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fan_out_reaches_every_client() {
    let server = open(None).await;
    for qos in ["0", "1", "2"] {
        let report = measured(&[
            "fan-out",
            "--broker",
            &server.url,
            "--clients",
            "40",
            "--qos",
            qos,
            "--window",
            "7",
            "--threads",
            "2",
        ])
        .await;
        assert_eq!(report["delivered"], 40);
        assert_eq!(report["delivery_latency"]["count"], 40);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fan_out_by_the_server_counts_the_first_request_of_each_robot() {
    let (_site, url) = robots_server().await;
    let report = measured(&[
        "fan-out",
        "--broker",
        &url,
        "--clients",
        "5",
        "--by-server",
        "--ecus",
        "2",
    ])
    .await;
    assert_eq!(report["delivered"], 5);
    let (first, last) = (
        &report["first_delivery_unix_us"],
        &report["last_delivery_unix_us"],
    );
    assert!(first.as_u64().unwrap() <= last.as_u64().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn churn_counts_whole_visits() {
    let server = open(None).await;
    let report = measured(&[
        "churn",
        "--broker",
        &server.url,
        "--clients",
        "3",
        "--duration",
        "300ms",
    ])
    .await;
    positive(&report, "visits");
    assert_eq!(report["failed"], 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn storm_brings_everybody_back() {
    let server = open(None).await;
    let report = measured(&["storm", "--broker", &server.url, "--clients", "50"]).await;
    assert_eq!(
        (&report["clients"], &report["back"]),
        (&50.into(), &50.into())
    );
    assert_eq!(report["back_latency"]["count"], 50);
}

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
    let failures: [(&[&str], &str); 7] = [
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
    for (arguments, hint) in failures {
        let (code, said) = refused(&[arguments, &broker[..]].concat()).await;
        assert_eq!(code, Some(1), "{arguments:?}");
        assert!(said.contains(hint), "{arguments:?}: {said}");
    }
    let (code, said) = refused(&["connect", "--broker", "mqtts://127.0.0.1:9"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("--ca FILE"), "{said}");
}
