//! The log of a server that follows one robot, or one rollout (`docs/operators-guide.md`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod process;

use process::{Client, PATIENCE, ServerProcess};
use rollcall_proto::Status;
use rollcall_proto::native::OtaEvent;
use serde_json::json;
use std::time::Instant;

const ECUS: [(&str, &str); 2] = [("main", "compute"), ("motor-1", "motor")];

/// Two robots, a rollout to each, and an event of each; the log once `last` is in it.
fn log(filter: &str, last: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_logging(directory.path(), filter);
    let robots = server.register(2, &ECUS);
    server.add_image("motor-os", "motor");
    let mut clients = Vec::new();
    for identity in &robots {
        let mut client = Client::introduced(server.mqtt, identity, 1);
        let name = format!("motors-of-{}", identity.id);
        let spec = json!({
            "name": name, "target": {"robots": [identity.id]},
            "images": [{"hardware_id": "motor", "image": "motor-os@2.0.0"}],
        });
        let id = server.post("/v1/rollouts", &spec)["id"].as_u64().unwrap();
        server.post(&format!("/v1/rollouts/{id}/launch"), &json!({}));
        let operation = client.request().operation;
        let event = OtaEvent {
            boot: 1,
            counter: 1,
            operation,
            status: Status::Acknowledged,
            progress: 0,
            code: None,
            message: String::new(),
        };
        client.event("motor-1", &event).unwrap();
        clients.push(client);
    }
    server.post("/v1/rollouts/1/pause", &json!({}));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = server.log();
        if text.contains(last) {
            for identity in &robots {
                assert!(!text.contains(&identity.secret), "{text}");
            }
            return text;
        }
        assert!(Instant::now() < deadline, "{last:?} is not in\n{text}");
        std::thread::yield_now();
    }
}

/// Lines of the log that are more than INFO.
fn details(text: &str) -> Vec<&str> {
    let lines = text.lines();
    lines.filter(|line| line.contains("TRACE")).collect()
}

#[test]
fn one_robot_can_be_followed_through_broker_and_rollout() {
    let filter = "info,[connection{client_id=fleet/r-0}]=trace,[robot{robot_id=r-0}]=trace";
    let text = log(filter, "was=\"running\" now=\"paused\"");
    let lines = details(&text);
    for said in [
        "connection{client_id=\"fleet/r-0\"",
        "publish topic=\"fleet/r-0/rollcall.v1.Manifest\"",
        "link event=Connected",
        "robot{robot_id=\"r-0\"}",
        "request kind=Update ecu=motor-1",
        "publish topic=\"fleet/r-0/rollcall.v1.OTAEvent/motor-1\"",
        "Acknowledged",
    ] {
        let found = lines.iter().any(|line| line.contains(said));
        assert!(found, "{said:?} is not in\n{text}");
    }
    let of_the_other = |line: &&str| line.contains("\"r-1\"") || line.contains("fleet/r-1");
    assert!(!lines.iter().any(of_the_other), "{text}");
}

#[test]
fn one_rollout_can_be_followed_and_where_each_is_is_always_said() {
    let text = log(
        "info,[rollout{rollout_id=2}]=trace",
        "was=\"running\" now=\"paused\"",
    );
    let lines = details(&text);
    assert!(!lines.is_empty(), "{text}");
    for line in &lines {
        assert!(line.contains("rollout{rollout_id=2}"), "{line}");
        assert!(line.contains("robot_id=\"r-1\""), "{line}");
    }
    for said in [
        "rollout_id=1 name=motors-of-r-0 robots=0 now=\"prepared\"",
        "rollout_id=1 name=motors-of-r-0 robots=1 was=\"prepared\" now=\"running\"",
        "rollout_id=2 name=motors-of-r-1 robots=1 was=\"prepared\" now=\"running\"",
        "rollout_id=1 name=motors-of-r-0 robots=1 was=\"running\" now=\"paused\" why=Operator",
    ] {
        assert!(text.contains(said), "{said:?} is not in\n{text}");
    }
}
