//! What watches the process: health, status, metrics.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod api_support;

use api_support::Served;
use serde_json::json;

#[test]
fn a_server_that_takes_nothing_in_is_alive_but_not_ready_and_says_why() {
    // No disk has so much room, so intake is stopped from the start.
    let served = Served::with(|config| config.store.reserve = u64::MAX);
    let body =
        json!({ "id": "r", "ecus": [{ "name": "main", "hardware_id": "hw", "primary": true }] });
    assert_eq!(
        served.post("/v1/robots", body).refusal(),
        (503, "intake_stopped".to_owned())
    );
    assert_eq!(served.bare("GET", "/healthz", &[], Vec::new()).status, 200);
    let ready = served.bare("GET", "/readyz", &[], Vec::new());
    assert_eq!(ready.refusal(), (503, "intake_stopped".to_owned()));
    assert_eq!(ready.header("retry-after"), "1");
    assert!(served.get("/v1/status").ok()["writer"]["intake_stopped"].is_string());
    assert!(
        served
            .get("/metrics")
            .text()
            .contains("rollcall_intake_stopped 1\n")
    );
    assert_eq!(
        served.get("/v1/robots").ok()["items"],
        json!([]),
        "questions are answered all the same"
    );
}

#[test]
fn the_status_counts_what_there_is() {
    let served = Served::new();
    served.robot("r1", "hw");
    served.image("fw@1", "hw");
    served.post("/v1/groups", json!({ "name": "g" })).ok();
    assert_eq!(
        served
            .post("/v1/groups", json!({ "name": "g", "robots": ["x"] }))
            .status,
        422
    );
    let spec = json!({
        "name": "n", "target": { "robots": ["r1"] }, "images": [{ "hardware_id": "hw", "image": "fw@1" }],
    });
    served.post("/v1/rollouts", spec).ok();
    let status = served.get("/v1/status").ok();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["realm"], "fleet");
    assert_eq!(
        status["fleet"],
        json!({
            "robots": 1, "online": 0, "groups": 1, "images": 1,
            "rollouts": {
                "prepared": 1, "running": 0, "paused": 0, "stopped": 0, "ending": 0, "completed": 0,
            },
        })
    );
    assert!(status["writer"]["commits"].as_u64().unwrap() >= 4);
    assert_eq!(
        status["writer"]["refusals"]["unknown_robot"], 1,
        "refusals are counted"
    );
    assert_eq!(status["broker"]["connections"], 0);
    assert_eq!(status["urls"]["api"], format!("http://{}", served.http()));
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let served = Served::new();
    served.robot("r1", "hw");
    let answer = served.get("/metrics");
    assert!(
        answer
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    let text = answer.text();
    assert!(text.contains("\nrollcall_robots 1\n"), "{text}");
    assert!(
        text.contains("rollcall_rollouts{status=\"running\"} 0\n"),
        "{text}"
    );
    for part in [
        "rollcall_commit_seconds_bucket{le=\"0.000500\"} ",
        "rollcall_commit_inputs_bucket{le=\"+Inf\"} ",
        "rollcall_commit_inputs_sum ",
        "rollcall_mqtt_queued_messages 0\n",
        "rollcall_intake_waiting 0\n",
        "rollcall_mqtt_events_total{kind=\"bytes_in\"} ",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let mut families = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            assert!(
                families.insert(family.split(' ').next().unwrap().to_owned()),
                "{line} comes twice"
            );
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let family = name.split('{').next().unwrap();
            let of_histogram = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|part| family.strip_suffix(part))
                .any(|family| families.contains(family));
            let known = families.contains(family) || of_histogram;
            assert!(known, "{line} has no type before it");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}
