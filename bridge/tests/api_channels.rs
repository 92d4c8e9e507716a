//! Channels over HTTP (device-contract 4.1): what they own, whom they mean, and why.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod api_support;

use api_support::Served;
use serde_json::json;

/// `r1` and `r2` are listed in `a`, `r2` runs in `s` by its tag, `r3` is in neither.
fn served() -> Served {
    let served = Served::new();
    for id in ["r1", "r2", "r3"] {
        served.robot(id, "hw");
    }
    let edit = json!({ "add_tags": ["canary"] });
    served.call("PATCH", "/v1/robots/r2", edit).ok();
    let listed = json!({ "name": "a", "robots": ["r1", "r2"] });
    served.post("/v1/groups", listed).ok();
    let selected = json!({ "name": "s", "selector": r#""canary" in tags"# });
    served.post("/v1/groups", selected).ok();
    served
}

#[test]
fn a_channel_is_made_shown_changed_and_removed() {
    let served = served();
    let made = json!({ "name": "nightly", "groups": ["s", "a"] });
    let channel = served.post("/v1/channels", made.clone()).ok();
    assert_eq!(channel["groups"], json!(["a", "s"]));
    assert_eq!(channel["robot_count"], 2);
    let again = served.post("/v1/channels", made);
    assert_eq!(again.refusal(), (409, "channel_exists".to_owned()));
    assert_eq!(served.get("/v1/groups/a").ok()["channel"], "nightly");

    let shown = served.get("/v1/channels/nightly").ok();
    let robots = json!([
        { "robot": "r1", "groups": ["a"] },
        { "robot": "r2", "groups": ["a", "s"] },
    ]);
    assert_eq!((&shown["robots"], &shown["next"]), (&robots, &json!(null)));
    let first = served.get("/v1/channels/nightly?limit=1").ok();
    assert_eq!(
        (&first["robots"][0]["robot"], &first["robot_count"]),
        (&json!("r1"), &json!(2))
    );
    let next = first["next"].as_str().unwrap();
    let second = served.get(&format!("/v1/channels/nightly?limit=1&after={next}"));
    let second = second.ok();
    assert_eq!(second["robots"][0]["robot"], "r2");
    assert_eq!(second["next"], json!(null));

    let change = json!({ "remove_groups": ["a"] });
    let path = "/v1/channels/nightly";
    let changed = served.call("PATCH", path, change).ok();
    assert_eq!(
        (&changed["groups"], &changed["robot_count"]),
        (&json!(["s"]), &json!(1))
    );
    let last = served.call("PATCH", path, json!({ "remove_groups": ["s"] }));
    assert_eq!(last.refusal(), (409, "last_group".to_owned()));
    let all = served.call("PATCH", path, json!({ "groups": [] })).ok();
    assert_eq!(
        (&all["groups"], &all["robot_count"]),
        (&json!([]), &json!(3))
    );
    assert_eq!(served.get("/v1/groups/s").ok()["channel"], json!(null));

    served
        .post("/v1/channels", json!({ "name": "canary" }))
        .ok();
    let listed = served.get("/v1/channels?limit=1").ok();
    assert_eq!(listed["items"][0]["name"], "canary");
    assert_eq!(listed["items"][0]["robot_count"], json!(null));
    let rest = served.get("/v1/channels?limit=1&after=canary").ok();
    assert_eq!(rest["items"][0]["name"], "nightly");
    // G1: there from the start.
    let last = served.get("/v1/channels?limit=1&after=nightly").ok();
    assert_eq!(last["items"][0]["name"], "production");
    assert_eq!(last["next"], json!(null));

    let removed = served.call("DELETE", path, json!(null)).ok();
    assert_eq!(removed, json!({ "removed": "nightly" }));
    assert_eq!(
        served.get(path).refusal(),
        (404, "unknown_channel".to_owned())
    );
}

#[test]
fn a_group_has_one_channel_and_is_not_removed_under_it() {
    let served = served();
    served
        .post("/v1/channels", json!({ "name": "one", "groups": ["a"] }))
        .ok();
    let taken = served.post("/v1/channels", json!({ "name": "two", "groups": ["a"] }));
    assert_eq!(taken.refusal(), (409, "group_has_channel".to_owned()));
    let removed = served.call("DELETE", "/v1/groups/a", json!(null));
    assert_eq!(removed.refusal(), (409, "group_in_use".to_owned()));
    assert_eq!(served.get("/v1/groups/a").ok()["robot_count"], 2);
}

#[test]
fn what_a_channel_means_is_explained_group_by_group() {
    let served = served();
    let made = json!({ "name": "nightly", "groups": ["a", "s"] });
    served.post("/v1/channels", made).ok();
    let why = |robot: &str| {
        let path = format!("/v1/channels/nightly/robots/{robot}");
        served.get(&path).ok()
    };
    let r1 = why("r1");
    assert_eq!((&r1["member"], &r1["robot"]), (&json!(true), &json!("r1")));
    let a = &r1["groups"][0];
    assert_eq!(
        (&a["group"], &a["member"], &a["selector"]),
        (&json!("a"), &json!(true), &json!(null))
    );
    let s = &r1["groups"][1];
    assert_eq!((&s["group"], &s["member"]), (&json!("s"), &json!(false)));
    assert_eq!(s["decided_by"][0]["filter"], r#""canary" in tags"#);
    assert_eq!(why("r3")["member"], json!(false));
    served.post("/v1/channels", json!({ "name": "all" })).ok();
    let everyone = served.get("/v1/channels/all/robots/r3").ok();
    assert_eq!(
        (&everyone["member"], &everyone["groups"]),
        (&json!(true), &json!([]))
    );
    let nobody = served.get("/v1/channels/all/robots/r9");
    assert_eq!(nobody.refusal(), (404, "unknown_robot".to_owned()));
}

#[test]
fn what_is_no_channel_is_refused() {
    let served = served();
    let long = "x".repeat(65);
    for (body, code) in [
        (json!({ "name": "Production" }), "invalid_value"),
        (json!({ "name": "" }), "invalid_value"),
        (json!({ "name": long }), "invalid_value"),
        (json!({ "name": "c", "groups": ["A B"] }), "invalid_value"),
        (json!({ "name": "c", "groups": "a" }), "invalid_value"),
        (json!({ "name": "c", "group": ["a"] }), "invalid_value"),
        (json!({ "groups": ["a"] }), "invalid_value"),
        (json!({ "name": "c", "groups": ["none"] }), "unknown_group"),
    ] {
        let refused = served.post("/v1/channels", body.clone());
        assert_eq!(refused.refusal(), (422, code.to_owned()), "{body}");
    }
    served.post("/v1/channels", json!({ "name": "c" })).ok();
    let both = json!({ "groups": ["a"], "add_groups": ["s"] });
    let refused = served.call("PATCH", "/v1/channels/c", both);
    assert_eq!(refused.refusal(), (422, "invalid_value".to_owned()));
    for path in ["/v1/channels/none", "/v1/channels/No%20Name"] {
        let unknown = (404, "unknown_channel".to_owned());
        assert_eq!(served.get(path).refusal(), unknown);
        let change = json!({ "add_groups": ["a"] });
        assert_eq!(served.call("PATCH", path, change).refusal(), unknown);
        assert_eq!(served.call("DELETE", path, json!(null)).refusal(), unknown);
    }
}
