//! A rollout's life through the API, and every refusal on its way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod api_support;

use api_support::Served;
use serde_json::{Value, json};

/// Three robots in group `all`: two with board `hw` (one of them with two of those), one with another.
fn fleet() -> Served {
    let served = Served::new();
    let ecu = |name: &str, hardware: &str, primary: bool| json!({ "name": name, "hardware_id": hardware, "primary": primary });
    served.robot("one", "hw");
    let ecus = json!([
        ecu("main", "other", true),
        ecu("left", "hw", false),
        ecu("right", "hw", false)
    ]);
    served
        .post("/v1/robots", json!({ "id": "two", "ecus": ecus }))
        .ok();
    served.robot("three", "other");
    served
        .post(
            "/v1/groups",
            json!({ "name": "all", "robots": ["one", "two", "three"] }),
        )
        .ok();
    served.image("fw@1", "hw");
    served
}

fn spec() -> Value {
    json!({ "name": "spring", "target": { "group": "all" }, "images": [{ "hardware_id": "hw", "image": "fw@1" }] })
}

fn with(change: Value) -> Value {
    let mut spec = spec();
    spec.as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());
    spec
}

#[test]
fn a_preview_names_every_robot_and_stores_nothing() {
    let served = fleet();
    let viewer = format!("Bearer {}", served.token("viewer"));
    let headers = [
        ("content-type", "application/json"),
        ("authorization", viewer.as_str()),
    ];
    let preview = served
        .bare(
            "POST",
            "/v1/rollouts/preview",
            &headers,
            spec().to_string().into(),
        )
        .ok();
    assert_eq!(
        (
            &preview["robots"],
            &preview["affected_robots"],
            &preview["skipped_robots"],
            &preview["ecus"]
        ),
        (&json!(3), &json!(2), &json!(1), &json!(3))
    );
    assert_eq!(
        preview["skipped_by_reason"],
        json!({ "no_compatible_ecu": 1 })
    );
    assert_eq!(preview["items"][1]["robot"], "two");
    let ecus: Vec<_> = preview["items"][1]["ecus"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ecu| &ecu["ecu"])
        .collect();
    assert_eq!(ecus, ["left", "right"], "both ECUs of one hardware id");
    assert_eq!(preview["items"][2]["skipped"], "no_compatible_ecu");
    assert_eq!(served.get("/v1/rollouts").ok()["items"], json!([]));

    let first = served.post("/v1/rollouts/preview?limit=2", spec()).ok();
    assert_eq!(
        (first["items"].as_array().unwrap().len(), &first["robots"]),
        (2, &json!(3))
    );
    let rest = served
        .post(
            &format!(
                "/v1/rollouts/preview?after={}",
                first["next"].as_str().unwrap()
            ),
            spec(),
        )
        .ok();
    assert_eq!(
        (&rest["items"][0]["robot"], &rest["next"]),
        (&json!("three"), &json!(null))
    );
}

#[test]
fn a_prepared_rollout_shows_its_plan_and_can_be_edited() {
    let served = fleet();
    let created = served.post(
        "/v1/rollouts",
        with(json!({ "mechanism": { "max_in_progress": 1 } })),
    );
    assert_eq!(created.status, 201);
    let created = created.json();
    assert_eq!(
        (&created["id"], &created["status"], &created["revision"]),
        (&json!(1), &json!("prepared"), &json!(1))
    );
    assert_eq!(
        created["projections"],
        json!({ "airbotics": "Prepared", "edgehog": { "status": "idle", "outcome": null } })
    );
    let planned = served.get("/v1/rollouts/1/robots").ok();
    assert_eq!(planned["items"][0]["ecus"][0]["waits_for"], "launch");
    assert_eq!(planned["items"][2]["airbotics"], "Skipped");

    let edit = json!({ "revision": 1, "name": "summer", "max_in_progress": 2 });
    let edited = served.call("PATCH", "/v1/rollouts/1", edit.clone()).ok();
    assert_eq!(
        (&edited["name"], &edited["revision"]),
        (&json!("summer"), &json!(2))
    );
    assert_eq!(edited["mechanism"]["max_in_progress"], 2);
    let stale = served.call("PATCH", "/v1/rollouts/1", edit);
    assert_eq!(stale.refusal(), (409, "other_revision".to_owned()));
}

#[test]
fn a_launched_rollout_shows_each_robot_and_what_it_waits_for() {
    let served = fleet();
    served.post("/v1/rollouts", spec()).ok();
    let launched = served.post("/v1/rollouts/1/launch", json!(null)).ok();
    assert_eq!(
        (&launched["status"], &launched["outcome"]),
        (&json!("running"), &json!(null))
    );
    assert_eq!(launched["counts"]["robots"], 3);
    assert_eq!(
        (
            &launched["counts"]["targets"],
            &launched["counts"]["skipped_robots"]
        ),
        (&json!(3), &json!(1))
    );
    assert_eq!(launched["projections"]["airbotics"], "Launched");
    assert_eq!(
        launched["launched_ms"].as_u64().is_some(),
        launched["launched"].is_string()
    );
    let robots = served.get("/v1/rollouts/1/robots?limit=1").ok();
    assert_eq!(robots["items"][0]["ecus"][0]["state"], "pending");
    assert_eq!(robots["items"][0]["ecus"][0]["waits_for"], "offline");
    let rest = served
        .get(&format!(
            "/v1/rollouts/1/robots?after={}",
            robots["next"].as_str().unwrap()
        ))
        .ok();
    assert_eq!(
        (rest["items"].as_array().unwrap().len(), &rest["next"]),
        (2, &json!(null))
    );

    let why = served.get("/v1/rollouts/1/robots/two/why").ok();
    assert_eq!(why["ecus"][0]["waits_for"], json!({ "wait": "offline" }));
    assert!(why["ecus"][0]["until"].is_string() && why["ecus"][0]["remedy"].is_string());
    let skipped = served.get("/v1/rollouts/1/robots/three/why").ok();
    assert_eq!(
        (&skipped["ecus"][0]["state"], &skipped["ecus"][0]["ecu"]),
        (&json!("skipped"), &json!(null))
    );
}

#[test]
fn the_history_of_a_rollout_is_read_newest_first_page_by_page() {
    let served = fleet();
    served.post("/v1/rollouts", spec()).ok();
    let edit = json!({ "name": "summer" });
    served.call("PATCH", "/v1/rollouts/1", edit).ok();
    served.post("/v1/rollouts/1/launch", json!(null)).ok();
    let texts = |path: &str| {
        let items = served.get(path).ok()["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|record| record["text"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        texts("/v1/rollouts/1/history").len(),
        3,
        "create, edit, launch"
    );
    assert_eq!(
        served.get("/v1/robots/two/history").ok()["rollouts"][0]["rollout"],
        1
    );
    let newest = served.get("/v1/rollouts/1/history?limit=1").ok();
    let older = served
        .get(&format!(
            "/v1/rollouts/1/history?limit=5&before={}",
            newest["next"]
        ))
        .ok();
    assert_eq!(
        (older["items"].as_array().unwrap().len(), &older["next"]),
        (2, &json!(null))
    );
}

#[test]
fn a_rollout_that_makes_no_sense_is_refused_by_its_reason() {
    let served = fleet();
    served.image("small@1", "small");
    let image = |hardware: &str, image: &str| json!({ "hardware_id": hardware, "image": image });
    for (change, status, code) in [
        (json!({ "images": [] }), 422, "no_images"),
        (
            json!({ "images": [image("hw", "fw@2")] }),
            422,
            "unknown_image",
        ),
        (
            json!({ "images": [image("hw", "small@1")] }),
            422,
            "incompatible_image",
        ),
        (
            json!({ "images": [image("hw", "fw@1"), image("hw", "fw@1")] }),
            422,
            "hardware_mapped_twice",
        ),
        (
            json!({ "images": [image("hw", "fw")] }),
            422,
            "invalid_value",
        ),
        (
            json!({ "target": { "group": "nope" } }),
            422,
            "unknown_group",
        ),
        (json!({ "target": { "robots": [] } }), 422, "no_robots"),
        (
            json!({ "target": { "robots": ["one", "nobody"] } }),
            422,
            "unknown_robot",
        ),
        (
            json!({ "target": { "robots": ["three"] } }),
            422,
            "affects_nobody",
        ),
        (json!({ "target": { "site": "x" } }), 422, "invalid_value"),
        (json!({ "target": "everybody" }), 422, "invalid_value"),
        (json!({ "name": "" }), 422, "invalid_value"),
        (
            json!({ "mechanism": { "max_in_progress": 0 } }),
            422,
            "out_of_range",
        ),
        (
            json!({ "mechanism": { "deadline": 0 } }),
            422,
            "out_of_range",
        ),
        (json!({ "mechanism": { "speed": 9 } }), 422, "invalid_value"),
        (json!({ "launch": true }), 422, "invalid_value"),
    ] {
        let answer = served.post("/v1/rollouts", with(change.clone()));
        assert_eq!(answer.refusal(), (status, code.to_owned()), "{change}");
    }
    let without = json!({ "name": "n", "images": [] });
    assert_eq!(
        served.post("/v1/rollouts", without).refusal(),
        (422, "invalid_value".to_owned())
    );
    assert_eq!(served.get("/v1/rollouts").ok()["items"], json!([]));
}

#[test]
fn what_was_launched_can_be_neither_launched_again_nor_deleted() {
    let served = fleet();
    served.post("/v1/rollouts", spec()).ok();
    served.post("/v1/rollouts/1/launch", json!({})).ok();
    for (method, path, body) in [
        ("POST", "/v1/rollouts/1/launch", json!({})),
        ("DELETE", "/v1/rollouts/1", json!(null)),
    ] {
        assert_eq!(
            served.call(method, path, body).refusal(),
            (409, "not_prepared".to_owned()),
            "{method} {path}"
        );
    }
    served.post("/v1/rollouts", spec()).ok();
    assert_eq!(
        served.call("DELETE", "/v1/rollouts/2", json!(null)).ok(),
        json!({ "deleted": 2 })
    );
    assert_eq!(served.get("/v1/rollouts/2").status, 404);
    served
        .post(
            "/v1/rollouts",
            with(json!({ "mechanism": { "immutable_on_create": true } })),
        )
        .ok();
    assert_eq!(
        served
            .call("DELETE", "/v1/rollouts/3", json!(null))
            .refusal(),
        (409, "immutable".to_owned())
    );
}

#[test]
fn drift_since_the_preview_is_shown_and_must_be_accepted() {
    let served = fleet();
    served.post("/v1/rollouts", spec()).ok();
    served.robot("four", "hw");
    served
        .post("/v1/groups", json!({ "name": "all", "robots": ["four"] }))
        .ok();
    served.call("DELETE", "/v1/robots/one", json!(null)).ok();
    let refused = served.post("/v1/rollouts/1/launch", json!({ "accept_drift": false }));
    let detail = &refused.json()["error"]["detail"];
    assert_eq!(refused.refusal(), (409, "drifted".to_owned()));
    assert_eq!(detail["joined"], json!({ "count": 1, "robots": ["four"] }));
    assert_eq!(detail["left"], json!({ "count": 1, "robots": ["one"] }));
    assert_eq!(detail["changed"], json!({ "count": 0, "robots": [] }));
    assert_eq!(served.get("/v1/rollouts/1").ok()["status"], "prepared");
    let launched = served
        .post("/v1/rollouts/1/launch", json!({ "accept_drift": true }))
        .ok();
    assert_eq!(launched["status"], "running");
}

#[test]
fn a_preview_names_the_rollouts_that_it_would_meet() {
    let served = fleet();
    served.post("/v1/rollouts", spec()).ok();
    served.post("/v1/rollouts/1/launch", json!(null)).ok();
    let preview = served.post("/v1/rollouts/preview", spec()).ok();
    assert_eq!(
        preview["conflicts"],
        json!([{ "rollout": 1, "name": "spring", "superseded": 3, "in_progress": 0 }])
    );
    served.post("/v1/rollouts", spec()).ok();
    served.post("/v1/rollouts/2/launch", json!(null)).ok();
    let older = served.get("/v1/rollouts/1").ok();
    assert_eq!(
        (&older["status"], &older["counts"]["superseded"]),
        (&json!("completed"), &json!(3))
    );
    let ecu = &served.get("/v1/rollouts/1/robots").ok()["items"][0]["ecus"][0];
    assert_eq!(
        (&ecu["state"], &ecu["by"], &ecu["edgehog_target"]),
        (&json!("superseded"), &json!(2), &json!("failed"))
    );
}

#[test]
fn why_of_a_robot_that_is_not_in_the_rollout_says_so() {
    let served = fleet();
    served
        .post(
            "/v1/rollouts",
            with(json!({ "target": { "robots": ["one"] } })),
        )
        .ok();
    served.post("/v1/rollouts/1/launch", json!(null)).ok();
    let answer = served.get("/v1/rollouts/1/robots/two/why");
    assert_eq!(answer.refusal(), (404, "not_in_rollout".to_owned()));
    assert_eq!(
        served.get("/v1/rollouts/1/robots/nobody/why").refusal(),
        (404, "unknown_robot".to_owned())
    );
}
