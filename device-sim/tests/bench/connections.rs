//! Clients that connect: `connect`, `idle`, `churn` and `storm`.

use crate::servers::open;
use crate::{measured, positive, refused};

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
    assert_eq!(code, Some(2));
    assert!(said.contains("--server-pid"), "{said}");
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
        "2s",
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
async fn churn_at_a_rate_makes_no_more_visits_than_are_due() {
    let server = open(None).await;
    let words = ["churn", "--broker", &server.url, "--clients", "5"];
    let report = measured(&[&words[..], &["--rate", "20", "--duration", "1s"]].concat()).await;
    let visits = report["visits"].as_f64().unwrap();
    // Each client may come at the very beginning.
    let due = 20.0 * report["seconds"].as_f64().unwrap() + 5.0;
    assert!((1.0..=due).contains(&visits), "{report}");
}
