//! Selectors over HTTP: groups made of them, tried out, explained, and refused with the place of the mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod api_support;

use api_support::Served;
use serde_json::{Value, json};

/// `r1` in Kiel with a tag, `r2` in Berlin, `r3` nowhere.
fn trio() -> Served {
    let served = Served::new();
    for id in ["r1", "r2", "r3"] {
        served.robot(id, "hw");
    }
    let edit = json!({ "add_tags": ["canary"], "set_labels": { "site": "kiel" } });
    served.call("PATCH", "/v1/robots/r1", edit).ok();
    let edit = json!({ "set_labels": { "site": "berlin" } });
    served.call("PATCH", "/v1/robots/r2", edit).ok();
    served
}

fn add(served: &Served, name: &str, selector: &str) -> Value {
    let body = json!({ "name": name, "selector": selector });
    served.post("/v1/groups", body).ok()
}

#[test]
fn tags_and_labels_are_changed_one_by_one() {
    let served = trio();
    let robot = served.get("/v1/robots/r1").ok();
    assert_eq!(robot["tags"], json!(["canary"]));
    assert_eq!(robot["labels"], json!({ "site": "kiel" }));
    let edit = json!({ "remove_tags": ["canary", "never"], "add_tags": ["a", "b"], "remove_labels": ["site"] });
    let robot = served.call("PATCH", "/v1/robots/r1", edit).ok();
    assert_eq!(robot["tags"], json!(["a", "b"]));
    assert_eq!(robot["labels"], json!({}));
    for (body, code) in [
        (json!({ "add_tags": ["a b"] }), "invalid_value"),
        (json!({ "tags": ["a"] }), "invalid_value"),
        (
            json!({ "set_labels": { "k": "x".repeat(300) } }),
            "too_long",
        ),
    ] {
        let refused = served.call("PATCH", "/v1/robots/r1", body);
        assert_eq!(refused.refusal(), (422, code.to_owned()));
    }
    let nobody = served.call("PATCH", "/v1/robots/nobody", json!({}));
    assert_eq!(nobody.refusal(), (404, "unknown_robot".to_owned()));
    let history = served.get("/v1/robots/r1/history").ok();
    let text = history["items"][0]["text"].as_str().unwrap();
    assert_eq!(
        text,
        "edit robot r1: tags -canary -never +a +b; labels -site"
    );
}

#[test]
fn a_group_with_a_selector_is_made_shown_changed_and_removed() {
    let served = trio();
    let group = add(&served, "kiel", r#"label["site"]=="kiel""#);
    assert_eq!(group["robot_count"], 1);
    assert_eq!(group["selector"], r#"label["site"]=="kiel""#);
    let listed = served.get("/v1/groups").ok();
    assert_eq!(listed["items"][0]["robot_count"], Value::Null);
    let shown = served.get("/v1/groups/kiel").ok();
    assert_eq!(
        (&shown["robots"], &shown["robot_count"]),
        (&json!(["r1"]), &json!(1))
    );
    assert_eq!(served.get("/v1/robots/r1").ok()["groups"], json!(["kiel"]));
    assert_eq!(served.get("/v1/robots/r2").ok()["groups"], json!([]));

    let edit = json!({ "selector": r#"label["site"] != "kiel""# });
    let edited = served.call("PATCH", "/v1/groups/kiel", edit).ok();
    assert_eq!(edited["robot_count"], 2);
    let page = served.get("/v1/groups/kiel?limit=1").ok();
    assert_eq!(
        (&page["robots"], &page["next"]),
        (&json!(["r2"]), &json!("2"))
    );
    let rest = served.get("/v1/groups/kiel?limit=1&after=2").ok();
    assert_eq!(
        (&rest["robots"], &rest["next"]),
        (&json!(["r3"]), &Value::Null)
    );
    assert_eq!(
        rest["robot_count"], 2,
        "the count is of the whole group on every page"
    );

    for (method, path, body, refusal) in [
        (
            "POST",
            "/v1/groups",
            json!({ "name": "kiel", "robots": ["r1"] }),
            (409, "group_has_selector"),
        ),
        (
            "POST",
            "/v1/groups",
            json!({ "name": "kiel", "selector": "online == true" }),
            (409, "group_exists"),
        ),
        (
            "POST",
            "/v1/groups",
            json!({ "name": "x", "robots": ["r1"], "selector": "online == true" }),
            (422, "invalid_value"),
        ),
        (
            "PATCH",
            "/v1/groups/none",
            json!({ "selector": "online == true" }),
            (404, "unknown_group"),
        ),
        (
            "PATCH",
            "/v1/groups/kiel",
            json!({ "selector": "online" }),
            (422, "invalid_selector"),
        ),
    ] {
        let answer = served.call(method, path, body);
        assert_eq!(
            answer.refusal(),
            (refusal.0, refusal.1.to_owned()),
            "{method} {path}"
        );
    }
    served.post("/v1/groups", json!({ "name": "listed" })).ok();
    let edit = served.call(
        "PATCH",
        "/v1/groups/listed",
        json!({ "selector": "online == true" }),
    );
    assert_eq!(edit.refusal(), (409, "group_lists_robots".to_owned()));
    served.call("DELETE", "/v1/groups/kiel", json!(null)).ok();
    assert_eq!(served.get("/v1/groups/kiel").status, 404);
}

#[test]
fn membership_is_explained() {
    let served = trio();
    add(
        &served,
        "kiel",
        r#""canary" in tags and label["site"] == "kiel""#,
    );
    let inside = served.get("/v1/groups/kiel/robots/r1").ok();
    assert_eq!(inside["member"], true);
    let outside = served.get("/v1/groups/kiel/robots/r2").ok();
    assert_eq!(
        outside,
        json!({
            "robot": "r2",
            "member": false,
            "selector": r#""canary" in tags and label["site"] == "kiel""#,
            "decided_by": [
                { "filter": r#""canary" in tags"#, "holds": false, "found": [], "more": 0 },
                { "filter": r#"label["site"] == "kiel""#, "holds": false, "found": ["berlin"], "more": 0 },
            ],
        })
    );
    served
        .post("/v1/groups", json!({ "name": "l", "robots": ["r2"] }))
        .ok();
    let listed = served.get("/v1/groups/l/robots/r2").ok();
    assert_eq!(
        listed,
        json!({ "robot": "r2", "member": true, "selector": null, "decided_by": [] })
    );
    for (path, code) in [
        ("/v1/groups/none/robots/r1", "unknown_group"),
        ("/v1/groups/l/robots/nobody", "unknown_robot"),
    ] {
        assert_eq!(served.get(path).refusal(), (404, code.to_owned()));
    }
}

#[test]
fn a_selector_is_tried_out_before_it_is_used() {
    let served = trio();
    let check = |body: Value| served.post("/v1/selectors/check", body);
    let checked =
        check(json!({ "selector": r#"( label["site"]=="kiel" ) OR id == "r3""#, "robot": "r2" }))
            .ok();
    assert_eq!(
        checked["selector"],
        r#"label["site"] == "kiel" or id == "r3""#
    );
    assert_eq!(
        (&checked["robot_count"], &checked["items"]),
        (&json!(2), &json!(["r1", "r3"]))
    );
    assert_eq!(checked["robot"]["member"], false);
    let everybody = json!({ "selector": "online == false" });
    let page = served.post("/v1/selectors/check?limit=2", everybody).ok();
    assert_eq!(
        (&page["items"], &page["next"]),
        (&json!(["r1", "r2"]), &json!("2"))
    );

    let refused = check(json!({ "selector": "online == true\nand nobody == 1" }));
    assert_eq!(refused.refusal(), (422, "invalid_selector".to_owned()));
    let error = &serde_json::from_str::<Value>(&refused.text()).unwrap()["error"];
    assert_eq!(
        error["detail"],
        json!({ "offset": 19, "line": 2, "column": 5 })
    );
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with("selector not understood at line 2, column 5: `nobody` is nothing"),
        "{message}"
    );
    // Hostile selectors are answered like others.
    for selector in [
        "(".repeat(4_000),
        "x".repeat(100_000),
        "\u{0}".to_owned(),
        "not ".repeat(900),
    ] {
        let refused = check(json!({ "selector": selector }));
        assert_eq!(refused.refusal(), (422, "invalid_selector".to_owned()));
        assert!(refused.text().len() < 1_000);
    }
    let nobody = check(json!({ "selector": "online == true", "robot": "nobody" }));
    assert_eq!(nobody.refusal(), (404, "unknown_robot".to_owned()));
}

#[test]
fn a_rollout_takes_a_selector_for_its_target() {
    let served = trio();
    let sha256 = "00".repeat(32);
    let image = json!({ "image": "fw@1.0.0", "hardware_ids": ["hw"], "url": "http://x/y", "size": 1, "sha256": sha256 });
    assert_eq!(served.post("/v1/images", image).status, 201);
    let rollout = |selector: &str| {
        json!({
            "name": "spring",
            "target": { "selector": selector },
            "images": [{ "hardware_id": "hw", "image": "fw@1.0.0" }],
        })
    };
    let preview = served
        .post("/v1/rollouts/preview", rollout(r#""canary" in tags"#))
        .ok();
    assert_eq!(
        (&preview["robots"], &preview["items"][0]["robot"]),
        (&json!(1), &json!("r1"))
    );
    let created = served.post("/v1/rollouts", rollout(r#""canary" in tags"#));
    assert_eq!(created.status, 201);
    let nobody = served.post("/v1/rollouts", rollout(r#""nobody" in tags"#));
    assert_eq!(nobody.refusal(), (422, "affects_nobody".to_owned()));
    let bad = served.post("/v1/rollouts", rollout("canary"));
    assert_eq!(bad.refusal(), (422, "invalid_value".to_owned()));
    assert!(bad.text().contains("column 1"), "{}", bad.text());
    // X4: who joins after the preview is named at the launch.
    served
        .call("PATCH", "/v1/robots/r3", json!({ "add_tags": ["canary"] }))
        .ok();
    let drifted = served.post("/v1/rollouts/1/launch", json!({}));
    assert_eq!(drifted.refusal(), (409, "drifted".to_owned()));
    let detail = &serde_json::from_str::<Value>(&drifted.text()).unwrap()["error"]["detail"];
    assert_eq!(detail["joined"]["robots"], json!(["r3"]));
}
