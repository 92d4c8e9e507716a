//! Registration, list and removal of robots.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod api_support;

use api_support::Served;
use serde_json::{Value, json};

fn new(id: &str) -> Value {
    json!({ "id": id, "ecus": [{ "name": "main", "hardware_id": "hw", "primary": true }] })
}

#[test]
fn a_robot_gets_its_credentials_once_and_nothing_on_disk_holds_them() {
    let served = Served::new();
    let body = json!({
        "id": "r1", "name": "Robbie", "model": "mk2", "labels": { "site": "a" },
        "ecus": [{ "name": "main", "hardware_id": "hw-a", "primary": true }, { "name": "arm", "hardware_id": "hw-b" }],
    });
    let answer = served.post("/v1/robots", body);
    assert_eq!(answer.status, 201);
    let robot = answer.json();
    assert_eq!(
        (&robot["id"], &robot["number"], &robot["name"]),
        (&json!("r1"), &json!(1), &json!("Robbie"))
    );
    assert_eq!(
        (&robot["client_id"], &robot["username"]),
        (&json!("fleet/r1"), &json!("fleet/r1"))
    );
    let secret = robot["credentials_secret"].as_str().unwrap().to_owned();
    assert_eq!(secret.len(), 43);

    let shown = served.get("/v1/robots/r1").ok();
    assert!(!shown.to_string().contains(&secret));
    assert_eq!(shown["labels"], json!({ "site": "a" }));
    assert_eq!(shown["name"], "Robbie");
    assert_eq!(shown["model"], "mk2");
    assert_eq!(shown["online"], json!(false));
    assert_eq!(
        shown["ecus"][0]["name"], "arm",
        "in the order of installation: the primary last"
    );
    assert_eq!(shown["ecus"][1]["primary"], json!(true));
    assert!(!served.get("/v1/robots/r1/history").text().contains(&secret));

    let data = served.data();
    let directory = served.stop();
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds the secret", path.display());
        }
    }
    let served = Served::in_directory(directory, |_| ());
    assert_eq!(served.get("/v1/robots/r1").ok(), shown, "it was durable");
}

#[test]
fn two_robots_never_share_a_secret() {
    let served = Served::new();
    let secret = |id| served.robot(id, "hw")["credentials_secret"].clone();
    assert_ne!(secret("r1"), secret("r2"));
}

#[test]
fn registrations_that_make_no_sense_are_refused_by_their_reason() {
    let served = Served::new();
    served.robot("taken", "hw");
    let ecu = |name: &str, primary: bool| json!({ "name": name, "hardware_id": "hw", "primary": primary });
    let cases = [
        (new("taken"), 409, "robot_exists"),
        (new("a/b"), 422, "invalid_value"),
        (new(""), 422, "invalid_value"),
        (new("+"), 422, "invalid_value"),
        (
            json!({ "id": "r", "ecus": [ecu("a", false)] }),
            422,
            "primary_count",
        ),
        (
            json!({ "id": "r", "ecus": [ecu("a", true), ecu("b", true)] }),
            422,
            "primary_count",
        ),
        (
            json!({ "id": "r", "ecus": [ecu("a", true), ecu("a", false)] }),
            422,
            "duplicate_ecu",
        ),
        (
            json!({ "id": "r", "ecus": vec![ecu("a", true); 33] }),
            422,
            "ecu_count",
        ),
        (
            json!({ "id": "r", "ecus": [{ "name": "a", "hardware_id": "h/w", "primary": true }] }),
            422,
            "invalid_value",
        ),
        (
            json!({ "id": "r", "model": "a b", "ecus": [ecu("a", true)] }),
            422,
            "invalid_value",
        ),
        (
            json!({ "id": "r", "name": "n".repeat(300), "ecus": [ecu("a", true)] }),
            422,
            "too_long",
        ),
        (
            json!({ "id": "r", "ecus": [ecu("a", true)], "secret": "mine" }),
            422,
            "invalid_value",
        ),
        (json!({ "ecus": [ecu("a", true)] }), 422, "invalid_value"),
    ];
    for (body, status, code) in cases {
        assert_eq!(
            served.post("/v1/robots", body.clone()).refusal(),
            (status, code.to_owned()),
            "{body}"
        );
    }
    assert_eq!(
        served.get("/v1/robots").ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn many_robots_are_registered_at_once_in_order_and_answered_one_by_one() {
    let served = Served::new();
    let mut robots: Vec<_> = (0..3_000).map(|n| new(&format!("robot-{n}"))).collect();
    robots[10] = new("not valid");
    robots[20] = new("robot-3");
    let answer = served.post("/v1/robots", json!({ "robots": robots })).ok();
    assert_eq!(
        (&answer["registered"], &answer["refused"]),
        (&json!(2_998), &json!(2))
    );
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 3_000);
    assert_eq!(results[10]["error"]["code"], "invalid_value");
    assert_eq!(results[20]["error"]["code"], "robot_exists");
    let registered: Vec<_> = results
        .iter()
        .filter_map(|result| result["robot"]["number"].as_u64())
        .collect();
    assert!(
        registered.iter().copied().eq(1..=2_998),
        "numbered in their order"
    );
    let commits = served.get("/v1/status").ok()["writer"]["commits"]
        .as_u64()
        .unwrap();
    assert!(commits < 1_500, "registrations share commits: {commits}");
}

#[test]
fn more_robots_than_fit_one_request_are_refused_whole() {
    let served = Served::new();
    let robots: Vec<_> = (0..10_001).map(|n| new(&format!("robot-{n}"))).collect();
    let answer = served.post("/v1/robots", json!({ "robots": robots }));
    assert_eq!(answer.refusal(), (413, "too_many_robots".to_owned()));
    assert_eq!(served.get("/v1/robots").ok()["items"], json!([]));
    let mixed = json!({ "id": "r", "ecus": [], "robots": [] });
    assert_eq!(
        served.post("/v1/robots", mixed).refusal(),
        (422, "invalid_value".to_owned())
    );
}

#[test]
fn pages_show_every_robot_once_even_where_some_were_removed() {
    let served = Served::new();
    let robots: Vec<_> = (0..25).map(|n| new(&format!("robot-{n:02}"))).collect();
    served.post("/v1/robots", json!({ "robots": robots })).ok();
    for n in [0, 9, 10, 24] {
        let removed = served
            .call("DELETE", &format!("/v1/robots/robot-{n:02}"), json!(null))
            .ok();
        assert_eq!(removed, json!({ "removed": format!("robot-{n:02}") }));
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = served.get(&format!("/v1/robots?limit=4{after}")).ok();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 4);
        seen.extend(
            items
                .iter()
                .map(|robot| robot["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else {
            break;
        };
        after = format!("&after={next}");
    }
    let left = (0..25).filter(|n| ![0, 9, 10, 24].contains(n));
    assert_eq!(
        seen,
        left.map(|n| format!("robot-{n:02}")).collect::<Vec<_>>()
    );
}

#[test]
fn a_removed_robot_is_gone_and_its_id_is_free() {
    let served = Served::new();
    served.robot("r1", "hw");
    served.call("DELETE", "/v1/robots/r1", json!(null)).ok();
    assert_eq!(served.get("/v1/robots/r1").status, 404);
    assert_eq!(
        served.call("DELETE", "/v1/robots/r1", json!(null)).status,
        404
    );
    assert_eq!(served.robot("r1", "hw")["number"], 2);
}

#[test]
fn groups_are_made_filled_listed_and_removed() {
    let served = Served::new();
    for id in ["r1", "r2", "r3"] {
        served.robot(id, "hw");
    }
    assert_eq!(
        served.post("/v1/groups", json!({ "name": "b" })).ok()["robot_count"],
        0
    );
    served
        .post(
            "/v1/groups",
            json!({ "name": "a", "robots": ["r3", "r1", "r3"] }),
        )
        .ok();
    let group = served
        .post("/v1/groups", json!({ "name": "a", "robots": ["r2"] }))
        .ok();
    assert_eq!(group["robot_count"], 3);
    let page = served.get("/v1/groups/a?limit=2").ok();
    assert_eq!(page["robots"], json!(["r1", "r2"]));
    let rest = served
        .get(&format!(
            "/v1/groups/a?after={}",
            page["next"].as_str().unwrap()
        ))
        .ok();
    assert_eq!(
        (&rest["robots"], &rest["next"]),
        (&json!(["r3"]), &json!(null))
    );
    let first = served.get("/v1/groups?limit=1").ok();
    assert_eq!(
        (&first["items"][0]["name"], &first["next"]),
        (&json!("a"), &json!("a"))
    );
    assert_eq!(
        served.get("/v1/groups?after=a").ok()["items"][0]["name"],
        "b"
    );
    assert_eq!(served.get("/v1/robots/r1").ok()["groups"], json!(["a"]));

    let unknown = served.post(
        "/v1/groups",
        json!({ "name": "c", "robots": ["r1", "nobody"] }),
    );
    assert_eq!(unknown.refusal(), (422, "unknown_robot".to_owned()));
    assert!(unknown.text().contains("nobody"));
    assert_eq!(
        served.get("/v1/groups/c").status,
        404,
        "nothing has changed"
    );
    assert_eq!(
        served
            .post("/v1/groups", json!({ "name": "Not A Slug" }))
            .refusal()
            .0,
        422
    );
    served.call("DELETE", "/v1/groups/a", json!(null)).ok();
    assert_eq!(served.get("/v1/robots/r1").ok()["groups"], json!([]));
}
