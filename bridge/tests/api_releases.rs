//! Releases over HTTP (requirements G1 to G28): publish, stop, resume, raise, and every bad word.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod api_support;

use api_support::{Answer, Served};
use serde_json::{Value, json};

/// Ten robots that are not there, and two images for them.
fn served() -> Served {
    let served = Served::new();
    for n in 0..10 {
        served.robot(&format!("r{n}"), "hw");
    }
    served.image("fw@1", "hw");
    served.image("fw@2", "hw");
    served
}

fn release(percentage: Value) -> Value {
    json!({ "channel": "production", "image": "fw@1", "percentage": percentage })
}

fn publish(served: &Served, body: Value) -> Answer {
    served.post("/v1/releases", body)
}

fn act(served: &Served, id: u32, action: &str, body: Value) -> Answer {
    served.post(&format!("/v1/releases/{id}/{action}"), body)
}

#[test]
fn g10_a_release_is_published_raised_stopped_and_resumed() {
    let served = served();
    let made = publish(&served, release(json!(20)));
    assert_eq!(made.status, 201);
    let made = made.ok();
    for (field, value) in [
        ("id", json!(1)),
        ("channel", json!("production")),
        ("image", json!("fw@1")),
        ("status", json!("LIVE")),
        ("percentage", json!(20)),
        ("pool", json!(10)),
        ("replaced_by", json!(null)),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    assert_eq!(made["robots"]["chosen"], 2);
    assert!(made["published"].as_str().unwrap().ends_with('Z'));
    let raised = act(&served, 1, "raise", json!({ "percentage": 50 })).ok();
    assert_eq!(
        (&raised["percentage"], &raised["first_percentage"]),
        (&json!(50), &json!(20))
    );
    assert_eq!(raised["robots"]["chosen"], 5);
    assert_eq!(raised["tranches"].as_array().unwrap().len(), 2);
    let found = served.get("/v1/releases/1/stop").ok();
    assert_eq!(
        (&found["status"], &found["waiting"]),
        (&json!("LIVE"), &json!(5))
    );
    let stopped = act(&served, 1, "stop", json!(null)).ok();
    assert_eq!(stopped["status"], "INACTIVE");
    assert_eq!(stopped["inactive"]["why"], "stopped");
    let resumed = act(&served, 1, "resume", json!({})).ok();
    assert_eq!(
        (&resumed["status"], &resumed["percentage"]),
        (&json!("LIVE"), &json!(50))
    );
    let texts: Vec<_> = resumed["acts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|act| act["text"].clone())
        .collect();
    let expected = [
        "published it at 20 %",
        "raised it to 50 %",
        "stopped it",
        "resumed it",
    ];
    assert_eq!(texts, expected.map(Value::from));
}

#[test]
fn g4_every_percentage_that_is_none_is_refused_with_what_one_is() {
    let served = served();
    for bad in [
        json!(0),
        json!(101),
        json!(12.5),
        json!(""),
        json!("ten"),
        json!(-1),
        json!(true),
        json!([]),
    ] {
        for answer in [
            publish(&served, release(bad.clone())),
            served.post("/v1/releases/preview", release(bad.clone())),
        ] {
            assert!(
                matches!(answer.status, 400 | 422),
                "{bad}: {}",
                answer.status
            );
            assert!(
                answer.text().contains("whole number from 1 to 100"),
                "{bad}: {}",
                answer.text()
            );
        }
    }
    assert_eq!(
        publish(&served, release(json!(null))).refusal(),
        (422, "no_percentage".to_owned())
    );
    assert_eq!(served.get("/v1/releases").ok()["items"], json!([]));
    publish(&served, release(json!(50))).ok();
    for bad in [json!(0), json!(101), json!(50.5), json!("60")] {
        let answer = act(&served, 1, "raise", json!({ "percentage": bad }));
        assert!(
            answer.text().contains("whole number from 1 to 100"),
            "{bad}: {}",
            answer.text()
        );
    }
    let lower = act(&served, 1, "raise", json!({ "percentage": 49 }));
    assert_eq!(lower.refusal(), (409, "lower_percentage".to_owned()));
    assert_eq!(lower.json()["error"]["detail"]["current"], 50);
    // X11
    let equal = act(&served, 1, "raise", json!({ "percentage": 50 })).ok();
    assert_eq!(equal["tranches"].as_array().unwrap().len(), 1);
}

#[test]
fn what_cannot_be_published_is_refused_and_leaves_nothing() {
    let served = served();
    let with = |field: &str, value: Value| {
        let mut body = release(json!(50));
        body[field] = value;
        body
    };
    for (body, refusal) in [
        (with("channel", json!("none")), (422, "unknown_channel")),
        (with("image", json!("fw@9")), (422, "unknown_image")),
        (with("image", json!("fw")), (422, "invalid_value")),
        (with("set", json!("same")), (409, "no_former_set")),
        (
            with("mechanism", json!({ "dynamic": true })),
            (422, "release_is_sampled"),
        ),
        (
            with("mechanism", json!({ "max_in_progress": 0 })),
            (422, "out_of_range"),
        ),
    ] {
        let answer = publish(&served, body.clone());
        assert_eq!(
            answer.refusal(),
            (refusal.0, refusal.1.to_owned()),
            "{body}"
        );
    }
    for body in [
        with("channel", json!("no name!")),
        with("unknown", json!(1)),
        with("set", json!("old")),
    ] {
        assert!(matches!(publish(&served, body).status, 400 | 422));
    }
    assert_eq!(served.get("/v1/releases").ok()["items"], json!([]));
    assert_eq!(served.get("/v1/rollouts").ok()["items"], json!([]));
    for (path, method) in [
        ("/v1/releases/1", "GET"),
        ("/v1/releases/x/stop", "POST"),
        ("/v1/releases/1/stop", "GET"),
    ] {
        let answer = served.call(method, path, json!(null));
        assert_eq!(
            answer.refusal(),
            (404, "unknown_release".to_owned()),
            "{path}"
        );
    }
}

#[test]
fn g18_g22_a_live_channel_takes_nothing_and_an_inactive_one_wants_to_know_for_whom() {
    let served = served();
    publish(&served, release(json!(30))).ok();
    let live = publish(&served, release(json!(30)));
    assert_eq!(live.refusal(), (409, "channel_is_live".to_owned()));
    let remove = served.call("DELETE", "/v1/channels/production", json!(null));
    assert_eq!(remove.refusal(), (409, "channel_stays".to_owned()));
    act(&served, 1, "stop", json!(null)).ok();
    let again = act(&served, 1, "stop", json!(null));
    assert_eq!(again.refusal(), (409, "release_is_inactive".to_owned()));
    let unsaid = publish(&served, release(json!(30)));
    assert_eq!(unsaid.refusal(), (409, "choose_set".to_owned()));
    let same = json!({ "channel": "production", "image": "fw@2", "set": "same" });
    let fixed = publish(
        &served,
        json!({ "channel": "production", "image": "fw@2", "set": "same", "percentage": 30 }),
    );
    assert_eq!(fixed.refusal(), (422, "percentage_is_fixed".to_owned()));
    let made = publish(&served, same).ok();
    assert_eq!(
        (&made["percentage"], &made["robots"]["chosen"]),
        (&json!(30), &json!(3))
    );
    act(&served, 2, "stop", json!(null)).ok();
    let new = json!({ "new": { "away_from_former": true } });
    let made = publish(
        &served,
        json!({ "channel": "production", "image": "fw@1", "percentage": 100, "set": new }),
    );
    assert_eq!(made.ok()["pool"], 7);
    let old = act(&served, 1, "resume", json!(null));
    assert_eq!(old.refusal(), (409, "release_is_replaced".to_owned()));
}

#[test]
fn the_list_has_pages_and_a_robot_is_told_whether_it_is_in() {
    let served = served();
    publish(&served, release(json!(100))).ok();
    act(&served, 1, "stop", json!(null)).ok();
    publish(
        &served,
        json!({ "channel": "production", "image": "fw@2", "set": "same" }),
    )
    .ok();
    let first = served.get("/v1/releases?limit=1").ok();
    assert_eq!(
        (&first["items"][0]["id"], &first["next"]),
        (&json!(1), &json!("1"))
    );
    let second = served.get("/v1/releases?limit=1&after=1").ok();
    assert_eq!(
        (&second["items"][0]["id"], &second["next"]),
        (&json!(2), &json!(null))
    );
    let place = served.get("/v1/releases/2/robots/r3").ok();
    assert_eq!(place["chosen"], true);
    assert!((1..=10).contains(&place["place"].as_u64().unwrap()));
    served.robot("late", "hw");
    let place = served.get("/v1/releases/2/robots/late").ok();
    assert_eq!(
        (&place["chosen"], &place["place"]),
        (&json!(false), &json!(null))
    );
    assert_eq!(served.get("/v1/releases/2/robots/nobody").refusal().0, 404);
}

/// G1, G14: what was stopped stays stopped, what is live stays live, whatever happens to the server.
#[test]
fn releases_survive_a_restart_with_set_and_percentage() {
    let served = served();
    publish(&served, release(json!(40))).ok();
    let before = served.get("/v1/releases/1").ok();
    let members = served.get("/v1/rollouts/1/robots").ok();
    let served = Served::in_directory(served.stop(), |_| ());
    assert_eq!(served.get("/v1/releases/1").ok(), before);
    act(&served, 1, "stop", json!(null)).ok();
    let served = Served::in_directory(served.stop(), |_| ());
    let stopped = served.get("/v1/releases/1").ok();
    assert_eq!(stopped["status"], "INACTIVE");
    act(&served, 1, "resume", json!(null)).ok();
    let names = |page: &Value| -> Vec<Value> {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|member| member["robot"].clone()).collect()
    };
    let after = served.get("/v1/rollouts/1/robots").ok();
    assert_eq!(names(&after), names(&members));
    let raised = act(&served, 1, "raise", json!({ "percentage": 90 })).ok();
    assert_eq!(raised["robots"]["chosen"], 9);
    let channels = served.get("/v1/channels").ok();
    assert_eq!(channels["items"].as_array().unwrap().len(), 1);
}

#[test]
fn only_operators_release() {
    let served = served();
    let bearer = format!("Bearer {}", served.token("viewer"));
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let body = || release(json!(50)).to_string().into_bytes();
    let refused = served.bare("POST", "/v1/releases", &headers, body());
    assert_eq!(refused.status, 403);
    let preview = served
        .bare("POST", "/v1/releases/preview", &headers, body())
        .ok();
    assert_eq!(
        (&preview["pool"], &preview["chosen"]),
        (&json!(10), &json!(5))
    );
    assert_eq!(
        served
            .bare("GET", "/v1/releases", &headers, Vec::new())
            .status,
        200
    );
}
