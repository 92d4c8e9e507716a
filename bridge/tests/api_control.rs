//! A launched rollout in an operator's hands: pause, resume, stop, cancel, approve, edit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod api_support;

use api_support::{Answer, Served};
use serde_json::{Value, json};

/// A rollout on two robots that are not there, launched.
fn launched(mechanism: Value) -> Served {
    let served = prepared(mechanism);
    served.post("/v1/rollouts/1/launch", json!(null)).ok();
    served
}

fn prepared(mechanism: Value) -> Served {
    let served = Served::new();
    served.robot("one", "hw");
    served.robot("two", "hw");
    served.image("fw@1", "hw");
    let spec = json!({
        "name": "spring",
        "target": { "hardware": "hw" },
        "images": [{ "hardware_id": "hw", "image": "fw@1" }],
        "mechanism": mechanism,
    });
    served.post("/v1/rollouts", spec).ok();
    served
}

fn act(served: &Served, action: &str) -> Answer {
    served.post(&format!("/v1/rollouts/1/{action}"), json!(null))
}

#[test]
fn a_rollout_is_paused_resumed_stopped_and_cancelled() {
    let served = launched(json!({}));
    for (action, status) in [
        ("pause", "paused"),
        ("resume", "running"),
        ("stop", "stopped"),
        ("resume", "running"),
        ("pause", "paused"),
        ("stop", "stopped"),
        // Nobody installs, so it is over at once.
        ("cancel", "completed"),
    ] {
        let rollout = act(&served, action).ok();
        assert_eq!(rollout["status"], status, "{action}");
    }
    let rollout = served.get("/v1/rollouts/1").ok();
    assert_eq!(rollout["outcome"], "cancelled");
    let history = served.get("/v1/rollouts/1/history").ok();
    assert_eq!(history["items"][0]["text"], "cancel rollout 1");
}

#[test]
fn what_makes_no_sense_now_is_refused_with_the_way_out() {
    let served = prepared(json!({}));
    for action in ["pause", "resume", "stop", "cancel"] {
        assert_eq!(
            act(&served, action).refusal(),
            (409, "not_launched".to_owned()),
            "{action} of a prepared rollout"
        );
    }
    served.post("/v1/rollouts/1/launch", json!(null)).ok();
    let refused = act(&served, "resume");
    assert_eq!(refused.refusal(), (409, "not_now".to_owned()));
    assert_eq!(
        refused.json()["error"]["message"],
        "rollout 1 is running and cannot be resumed; pause or stop it first"
    );
    act(&served, "pause").ok();
    assert_eq!(act(&served, "pause").refusal(), (409, "not_now".to_owned()));
    assert_eq!(
        act(&served, "approve").refusal(),
        (409, "nothing_to_approve".to_owned())
    );
    act(&served, "cancel").ok();
    for action in ["pause", "resume", "stop", "cancel"] {
        assert_eq!(
            act(&served, action).refusal(),
            (409, "not_launched".to_owned()),
            "{action} of a completed rollout"
        );
    }
    assert_eq!(
        act(&served, "approve").refusal(),
        (409, "nothing_to_approve".to_owned())
    );
    let nowhere = served.post("/v1/rollouts/9/pause", json!(null));
    assert_eq!(nowhere.refusal(), (404, "unknown_rollout".to_owned()));
}

#[test]
fn a_body_that_says_more_than_it_can_is_refused() {
    let served = launched(json!({}));
    for (action, body) in [
        ("pause", json!({ "why": "lunch" })),
        ("stop", json!("now")),
        ("approve", json!({ "phase": 0 })),
        ("approve", json!({ "phase": -1 })),
        ("approve", json!({ "phase": 65_536 })),
        ("approve", json!({ "phase": "1" })),
        ("approve", json!({ "phases": 1 })),
    ] {
        let answer = served.post(&format!("/v1/rollouts/1/{action}"), body.clone());
        assert_eq!(
            answer.refusal(),
            (422, "invalid_value".to_owned()),
            "{action} {body}"
        );
    }
    let rollout = served.get("/v1/rollouts/1").ok();
    assert_eq!(rollout["status"], "running", "nothing was changed");
}

/// X18: the numbers that a person wants to see before a stop.
#[test]
fn the_question_what_a_stop_would_find_is_answered_before_it() {
    let served = launched(json!({}));
    let found = served.get("/v1/rollouts/1/stop").ok();
    assert_eq!(
        found,
        json!({
            "rollout": 1, "status": "running", "updated": 0, "installing": 0, "told": 0, "waiting": 2,
            "not_updated": 0,
        })
    );
    act(&served, "cancel").ok();
    let found = served.get("/v1/rollouts/1/stop").ok();
    assert_eq!(
        (&found["waiting"], &found["not_updated"]),
        (&json!(0), &json!(2))
    );
}

/// E19 to E21: with the robot's id typed, by an admin, past the versions but not past the board.
#[test]
fn a_robot_is_updated_by_hand_and_the_wish_is_checked() {
    let served = Served::new();
    served.robot("one", "hw");
    served.image("fw@1", "hw");
    served.image("small@1", "small");
    let update = |body: Value| served.post("/v1/robots/one/update", body);
    let with = |change: Value| {
        let mut body = json!({ "image": "fw@1", "confirm": "one" });
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        body
    };
    for (change, code) in [
        (json!({ "confirm": "" }), "not_typed"),
        (json!({ "confirm": "yes" }), "not_typed"),
        (json!({ "ecu": "left" }), "no_such_ecu"),
        (json!({ "image": "small@1" }), "incompatible_image"),
        (json!({ "image": "fw@2" }), "unknown_image"),
        (json!({ "image": "fw" }), "invalid_value"),
        (json!({ "force": true }), "invalid_value"),
        (json!({ "deadline": 0 }), "out_of_range"),
    ] {
        let refusal = update(with(change.clone())).refusal();
        assert_eq!(refusal, (422, code.to_owned()), "{change}");
    }
    let nobody = served.post("/v1/robots/nobody/update", with(json!({})));
    assert_eq!(nobody.refusal(), (404, "unknown_robot".to_owned()));
    assert_eq!(served.get("/v1/rollouts").ok()["items"], json!([]));

    let answer = update(with(json!({ "offline": "wait" })));
    assert_eq!(answer.status, 201);
    let rollout = answer.json();
    assert_eq!(
        (
            &rollout["manual"],
            &rollout["status"],
            &rollout["created_by"]
        ),
        (&json!(true), &json!("running"), &json!("admin"))
    );
}
