//! Clients that publish and take: `fan-in`, `qos2` and `fan-out`.

use futures_util::future::join_all;
use rollcall_broker::{ReasonCode, Verdict};
use serde_json::Value;

use crate::servers::{intake, open, robots_server, stalling};
use crate::{bench, measured, positive, refused};

#[tokio::test(flavor = "multi_thread")]
async fn fan_in_delivers_what_it_publishes_at_every_qos_on_both_versions() {
    let each = async |version, qos| {
        // Of its own, since clients of all have the same names.
        let server = open(None).await;
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
            "2s",
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
    };
    let (each, qos) = (&each, ["0", "1", "2"]);
    let old = qos.map(|qos| each("3.1.1", qos));
    let new = qos.map(|qos| each("5", qos));
    join_all(old.into_iter().chain(new)).await;
}

/// Messages are due by the clock, whatever the server does: those that were due while it did not answer have waited, and
/// are not to be left out (coordinated omission).
#[tokio::test(flavor = "multi_thread")]
async fn latency_counts_from_when_a_message_was_due() {
    // One of two publishers gets no answer, while the other has twenty, and so about twenty of its messages become due.
    let (server, stalled) = stalling(100, 20).await;
    let report = measured(&[
        "fan-in",
        "--broker",
        &server.url,
        "--publishers",
        "2",
        "--subscribers",
        "0",
        "--window",
        "1",
        "--rate",
        "100",
        "--duration",
        "5s",
        "--warm-up",
        "0s",
    ])
    .await;
    let stalled_ms = stalled.await.unwrap().as_secs_f64() * 1e3;
    let p99_ms = report["ack_latency"]["p99_ms"].as_f64().unwrap();
    // Of the one that was kept alone, a p99 of 500 messages would show nothing.
    assert!(p99_ms >= stalled_ms / 2.0, "{stalled_ms}: {report}");
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
        "2s",
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
        "2s",
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
            "2s",
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
        "2s",
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
async fn intervals_are_told_as_they_come_and_add_up() {
    let server = open(None).await;
    let words = ["fan-in", "--broker", &server.url, "--publishers", "3"];
    let more = ["--rate", "200", "--duration", "600ms", "--warm-up", "100ms"];
    let every = ["--every", "200ms", "--json"];
    let output = bench(&[&words[..], &more[..], &every[..]].concat()).await;
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (report, intervals) = lines.split_last().unwrap();
    assert!(!intervals.is_empty(), "{text}");
    let measured = |line: &Value| line["ack_latency"]["count"].as_u64().unwrap();
    let parts: u64 = intervals.iter().map(measured).sum();
    assert!(0 < parts && parts <= measured(report), "{text}");
    let totals: Vec<_> = lines
        .iter()
        .map(|line| line["acknowledged"].as_u64().unwrap())
        .collect();
    assert!(totals.is_sorted(), "{totals:?}");
}
