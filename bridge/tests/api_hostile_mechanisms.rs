//! Mechanisms, edits and approvals that make no sense, or mean harm: the right status, the reason, the way out, and
//! nothing changed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod api_support;

use api_support::Served;
use serde_json::{Value, json};

fn fleet() -> Served {
    let served = Served::new();
    served.robot("one", "hw");
    served.robot("two", "hw");
    served.image("fw@1", "hw");
    served
}

fn spec(mechanism: &Value) -> Value {
    json!({
        "name": "spring",
        "target": { "hardware": "hw" },
        "images": [{ "hardware_id": "hw", "image": "fw@1" }],
        "mechanism": mechanism,
    })
}

/// The mechanism, the code, and what the message must contain: the way out.
fn bad_mechanisms() -> Vec<(Value, &'static str, &'static str)> {
    let phase = |size: Value| json!({ "size": size });
    let percentage = |percentage: Value| json!({ "max_failure_percentage": percentage });
    let rate = |rate: Value| json!({ "rate": rate });
    let growth = |factor: Value| {
        rate(json!({
            "per_minute": 5,
            "growth": { "factor": factor, "every": 10, "counting": "succeeded", "max_per_minute": 50 },
        }))
    };
    let abort = |percentage: Value, min_tried: Value| {
        let rule = json!({ "kind": "all", "percentage": percentage, "min_tried": min_tried });
        json!({ "abort": [rule] })
    };
    let retry = |times: Value| json!({ "retries": [{ "class": "network", "times": times }] });
    let windows = |windows: Value| json!({ "windows": { "windows": windows } });
    let hundred = "use 0 to 100 with at most two decimals";
    vec![
        (percentage(json!(101)), "invalid_value", hundred),
        (percentage(json!(-1)), "invalid_value", hundred),
        (percentage(json!(12.345)), "invalid_value", hundred),
        (percentage(json!(1e300)), "invalid_value", hundred),
        (percentage(json!("10")), "invalid_value", "expected f64"),
        (abort(json!(0), json!(1)), "out_of_range", "from 1 to 10000"),
        (abort(json!(10), json!(0)), "out_of_range", "from 1 to"),
        (abort(json!(10), json!(-1)), "invalid_value", "u32"),
        (
            json!({ "abort": vec![json!({ "kind": "all", "percentage": 1, "min_tried": 1 }); 17] }),
            "too_many",
            "use fewer",
        ),
        (
            json!({ "abort": [{ "kind": "sad", "percentage": 1, "min_tried": 1 }] }),
            "invalid_value",
            "timed_out",
        ),
        (
            json!({ "phases": [phase(json!({ "percentage": 50 })), phase(json!({ "percentage": 49.99 }))] }),
            "phases_do_not_add_up",
            "add up to 100 %",
        ),
        (
            json!({ "phases": [phase(json!({ "percentage": 60 })), phase(json!({ "percentage": 60 }))] }),
            "phases_do_not_add_up",
            "120.00 %",
        ),
        (
            json!({ "phases": [phase(json!({ "percentage": 0 })), phase(json!("rest"))] }),
            "out_of_range",
            "from 1 to 10000",
        ),
        (
            json!({ "phases": [phase(json!("rest")), phase(json!({ "robots": 1 }))] }),
            "rest_before_the_end",
            "only the last",
        ),
        (
            json!({ "phases": [phase(json!({ "robots": 1 }))] }),
            "phases_do_not_add_up",
            "make the last phase `rest`",
        ),
        (
            json!({ "phases": [phase(json!({ "robots": 0 })), phase(json!("rest"))] }),
            "out_of_range",
            "from 1 to",
        ),
        (
            json!({ "phases": vec![phase(json!({ "percentage": 0.5 })); 200] }),
            "too_many",
            "use fewer",
        ),
        (
            json!({ "phases": [{ "size": "rest", "success_threshold": 100.01 }] }),
            "invalid_value",
            hundred,
        ),
        (
            json!({ "phases": [{ "size": "rest", "soak": u64::MAX }] }),
            "out_of_range",
            "soak time",
        ),
        (
            json!({ "phases": [{ "size": "rest", "speed": 1 }] }),
            "invalid_value",
            "unknown field `speed`",
        ),
        (
            json!({ "retries": [{ "class": "network", "times": 1 }, { "class": "network", "times": 2 }] }),
            "retried_twice",
            "give one",
        ),
        (retry(json!(0)), "out_of_range", "from 1 to 10"),
        (retry(json!(11)), "out_of_range", "from 1 to 10"),
        (retry(json!(256)), "invalid_value", "u8"),
        (
            json!({ "retries": [{ "class": "network", "times": 1, "backoff": 10, "max_backoff": 9 }] }),
            "out_of_range",
            "longest retry backoff",
        ),
        (
            json!({ "retries": [{ "class": "luck", "times": 1 }] }),
            "invalid_value",
            "network",
        ),
        (
            rate(json!({ "per_minute": 0 })),
            "out_of_range",
            "from 1 to",
        ),
        (
            rate(json!({ "per_minute": 4_294_967_296_u64 })),
            "invalid_value",
            "u32",
        ),
        (rate(json!({ "per_minute": -5 })), "invalid_value", "u32"),
        (growth(json!(1.0)), "out_of_range", "from 11 to 50"),
        (growth(json!(9.9)), "out_of_range", "from 11 to 50"),
        (
            growth(json!(1.25)),
            "invalid_value",
            "use 1.1 to 5 with one decimal",
        ),
        (growth(json!(-1.5)), "invalid_value", "one decimal"),
        (growth(json!(1e18)), "invalid_value", "one decimal"),
        (
            json!({ "offline": { "fail": { "grace": -1 } } }),
            "invalid_value",
            "u64",
        ),
        (
            json!({ "offline": { "fail": {} } }),
            "invalid_value",
            "missing field `grace`",
        ),
        (json!({ "offline": "panic" }), "invalid_value", "wait"),
        (
            json!({ "request_resends": 101 }),
            "out_of_range",
            "from 0 to 100",
        ),
        (json!({ "max_in_progress": -1 }), "invalid_value", "u32"),
        (
            json!({ "deadline": u64::MAX }),
            "out_of_range",
            "deadline in milliseconds",
        ),
        (json!({ "deadline": 1e10 }), "invalid_value", "u64"),
        (
            json!({ "schedule": { "start": "2020-01-01T00:00:00Z" } }),
            "in_the_past",
            "give a later one",
        ),
        (
            json!({ "schedule": { "end": 1_000 } }),
            "in_the_past",
            "give a later one",
        ),
        (
            json!({ "schedule": { "start": "2999-01-01T00:00:00Z" } }),
            "too_far_ahead",
            "two years",
        ),
        (
            json!({ "schedule": { "start": "tomorrow" } }),
            "invalid_value",
            "2026-11-22T01:00:00Z",
        ),
        (windows(json!([])), "no_windows", "leave the windows out"),
        (
            windows(json!([{ "opens": "0 0 30 2 *", "minutes": 60 }])),
            "window_never_opens",
            "choose an earlier day",
        ),
        (
            windows(json!([{ "opens": "0 0 * * *", "minutes": 0 }])),
            "window_minutes",
            "1 to 1430",
        ),
        (
            windows(json!([{ "opens": "0 24 * * *", "minutes": 60 }])),
            "invalid_value",
            "column 3",
        ),
        (
            windows(json!([{ "opens": "* * * * *".repeat(1_000), "minutes": 60 }])),
            "invalid_value",
            "256",
        ),
        (
            json!({ "windows": { "windows": [{ "opens": "0 0 * * *", "minutes": 60 }], "zone": "Kiel" } }),
            "invalid_value",
            "time zone",
        ),
        // In 2,000 milliseconds from now on a window of one minute a year will not open.
        (
            json!({
                "deadline": 2_000,
                "windows": { "windows": [{ "opens": "0 0 29 2 *", "minutes": 1 }] },
            }),
            "windows_never_open",
            "longer deadline",
        ),
        (
            json!({ "schedule": { "begin": 1 } }),
            "invalid_value",
            "unknown field `begin`",
        ),
    ]
}

#[test]
fn a_mechanism_that_makes_no_sense_is_refused_by_preview_create_and_edit_alike() {
    let served = fleet();
    served.post("/v1/rollouts", spec(&json!({}))).ok();
    let before = served.get("/v1/rollouts/1").ok();
    for (mechanism, code, way_out) in bad_mechanisms() {
        let edit = json!({ "mechanism": mechanism.clone() });
        for answer in [
            served.post("/v1/rollouts/preview", spec(&mechanism)),
            served.post("/v1/rollouts", spec(&mechanism)),
            served.call("PATCH", "/v1/rollouts/1", edit),
        ] {
            assert_eq!(
                answer.refusal(),
                (422, code.to_owned()),
                "{mechanism} {}",
                answer.text()
            );
            let message = answer.json()["error"]["message"]
                .as_str()
                .unwrap()
                .to_owned();
            assert!(message.contains(way_out), "{mechanism}: {message}");
        }
    }
    assert_eq!(served.get("/v1/rollouts/1").ok(), before);
    assert_eq!(served.get("/v1/rollouts/2").status, 404);
}

#[test]
fn an_edit_of_a_launched_rollout_changes_its_pace_and_nothing_else() {
    let served = fleet();
    served.post("/v1/rollouts", spec(&json!({}))).ok();
    served.post("/v1/rollouts/1/launch", json!(null)).ok();
    let pace = json!({
        "revision": 1, "name": "summer", "max_in_progress": 7, "rate": { "per_minute": 5 }, "deadline": 7_200_000,
    });
    let edited = served.call("PATCH", "/v1/rollouts/1", pace).ok();
    let launched = edited["launched_ms"].as_u64().unwrap();
    assert_eq!(edited["deadline_ms"], launched + 7_200_000);
    assert_eq!(
        (
            &edited["name"],
            &edited["revision"],
            &edited["rate_now"]["per_minute"]
        ),
        (&json!("summer"), &json!(2), &json!(5))
    );
    for (edit, status, code) in [
        (
            json!({ "target": { "robots": ["one"] } }),
            409,
            "fixed_at_launch",
        ),
        (json!({ "images": [] }), 409, "fixed_at_launch"),
        (json!({ "mechanism": {} }), 409, "fixed_at_launch"),
        (json!({ "force_downgrade": "all" }), 409, "fixed_at_launch"),
        (
            json!({ "revision": 1, "max_in_progress": 8 }),
            409,
            "other_revision",
        ),
        (json!({ "max_in_progress": 0 }), 422, "out_of_range"),
        (json!({ "rate": { "per_minute": 0 } }), 422, "out_of_range"),
        (json!({ "rate": 5 }), 422, "invalid_value"),
        (json!({ "deadline": 0 }), 422, "out_of_range"),
        (json!({ "deadline": "5m" }), 422, "invalid_value"),
        (json!({ "speed": 1 }), 422, "invalid_value"),
    ] {
        let answer = served.call("PATCH", "/v1/rollouts/1", edit.clone());
        assert_eq!(answer.refusal(), (status, code.to_owned()), "{edit}");
    }
    assert_eq!(served.get("/v1/rollouts/1").ok(), edited, "nothing changed");
    let free = served
        .call("PATCH", "/v1/rollouts/1", json!({ "rate": null }))
        .ok();
    assert_eq!(
        (&free["rate_now"], &free["mechanism"]["rate"]),
        (&json!(null), &json!(null))
    );
    let unnamed = served
        .call("PATCH", "/v1/rollouts/1", json!({ "name": "" }))
        .refusal();
    assert_eq!(unnamed, (422, "invalid_value".to_owned()));
    served.post("/v1/rollouts/1/cancel", json!(null)).ok();
    let late = served.call("PATCH", "/v1/rollouts/1", json!({ "max_in_progress": 9 }));
    assert_eq!(late.refusal(), (409, "not_prepared".to_owned()));
}

/// Both looked at revision 1; the second is told, with both revisions for its program.
#[test]
fn two_operators_with_one_revision_do_not_overwrite_each_other() {
    let served = fleet();
    served.post("/v1/rollouts", spec(&json!({}))).ok();
    served.post("/v1/rollouts/1/launch", json!(null)).ok();
    let edit = |cap: u32| {
        let body = json!({ "revision": 1, "max_in_progress": cap });
        served.call("PATCH", "/v1/rollouts/1", body)
    };
    edit(5).ok();
    let second = edit(9);
    assert_eq!(second.refusal(), (409, "other_revision".to_owned()));
    let error = &second.json()["error"];
    assert_eq!(error["detail"], json!({ "current": 2, "found": 1 }));
    assert!(error["hint"].as_str().unwrap().contains("revision"));
    let rollout = served.get("/v1/rollouts/1").ok();
    assert_eq!(rollout["mechanism"]["max_in_progress"], 5);
}

#[test]
fn a_body_above_a_mebibyte_is_refused_by_every_route_that_takes_one() {
    let served = fleet();
    served.post("/v1/rollouts", spec(&json!({}))).ok();
    let before = served.get("/v1/rollouts/1").ok();
    let huge = json!({ "name": "x".repeat(1 << 20) });
    for (method, path) in [
        ("POST", "/v1/rollouts"),
        ("POST", "/v1/rollouts/preview"),
        ("PATCH", "/v1/rollouts/1"),
        ("POST", "/v1/rollouts/1/launch"),
        ("POST", "/v1/rollouts/1/pause"),
        ("POST", "/v1/rollouts/1/resume"),
        ("POST", "/v1/rollouts/1/stop"),
        ("POST", "/v1/rollouts/1/cancel"),
        ("POST", "/v1/rollouts/1/approve"),
    ] {
        let answer = served.call(method, path, huge.clone());
        assert_eq!(
            answer.refusal(),
            (413, "body_too_large".to_owned()),
            "{method} {path}"
        );
    }
    // Just below: the name is what is wrong then.
    let long = json!({ "name": "x".repeat((1 << 20) - 100) });
    let answer = served.call("PATCH", "/v1/rollouts/1", long);
    assert_eq!(answer.refusal(), (422, "invalid_value".to_owned()));
    assert!(answer.bytes.len() < 4_096, "the name is not repeated whole");
    assert_eq!(served.get("/v1/rollouts/1").ok(), before);
}
