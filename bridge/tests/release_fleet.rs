//! A release over real MQTT: 10 %, 50 %, stopped in the middle, the server killed, resumed, 100 %. At no time does a robot
//! outside the set get a message (requirements G5, G14, G19, G23 to G25).
//!
//! `ROLLCALL_LONG=1` does it with 10,000 robots instead of 200.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod process;

use process::{PATIENCE, ServerProcess};
use rollcall_tests::lean::{Fleet, Script, live};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Robots that begin to connect at once: fewer than the server allows in handshake.
const CONNECTED_AT_ONCE: usize = 500;

struct Stage {
    server: ServerProcess,
    fleet: Arc<Fleet>,
    robots: usize,
}

impl Stage {
    fn told(&self) -> BTreeSet<String> {
        self.fleet.told.lock().clone()
    }

    fn release(&self) -> Value {
        self.server.get("/v1/releases/1")
    }

    fn rollouts(&self) -> Vec<u64> {
        let release = self.release();
        let tranches = release["tranches"].as_array().unwrap().iter();
        tranches.filter_map(|one| one["rollout"].as_u64()).collect()
    }

    /// The robots of the release, as its rollouts list them.
    fn set(&self) -> BTreeSet<String> {
        let mut set = BTreeSet::new();
        for rollout in self.rollouts() {
            self.items(&format!("/v1/rollouts/{rollout}/robots"), |robot| {
                set.insert(robot["robot"].as_str().unwrap().to_owned())
            });
        }
        set
    }

    /// How many entries of all pages of a list are like this.
    fn items(&self, path: &str, mut is: impl FnMut(&Value) -> bool) -> usize {
        let (mut count, mut after) = (0, String::new());
        loop {
            let page = self.server.get(&format!("{path}?limit=1000{after}"));
            let items = page["items"].as_array().unwrap().iter();
            count += items.filter(|item| is(item)).count();
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return count,
            }
        }
    }

    async fn until_done(&self) {
        let done = || {
            let release = self.release();
            release["robots"]["open"] == 0
        };
        until(done).await;
    }

    /// Every robot has the server's ear again, and the server has heard from every robot.
    async fn until_all_are_back(&self) {
        until(|| self.fleet.online.load(SeqCst) == self.robots as u64).await;
        until(|| self.items("/v1/robots", |robot| robot["ready"] == true) == self.robots).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_robot_outside_the_set_ever_gets_a_message() {
    let long = std::env::var_os("ROLLCALL_LONG").is_some();
    let robots = if long { 10_000 } else { 200 };
    let directory = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(directory.path(), "");
    let identities = server.register(robots, &[("main", "compute")]);
    server.add_image("compute-os", "compute");
    let mut stage = Stage {
        server,
        fleet: Arc::new(Fleet::default()),
        robots,
    };
    let stop = CancellationToken::new();
    // Slow enough to be stopped in the middle.
    let script = Arc::new(Script {
        pause: Duration::from_millis(5),
        ..Script::typical()
    });
    let mut lives = JoinSet::new();
    for (index, identity) in identities.into_iter().enumerate() {
        if index % CONNECTED_AT_ONCE == 0 {
            until(|| stage.fleet.online.load(SeqCst) >= index as u64).await;
        }
        let (script, fleet) = (Arc::clone(&script), Arc::clone(&stage.fleet));
        lives.spawn(live(
            identity,
            script,
            stage.server.mqtt,
            fleet,
            stop.clone(),
        ));
    }
    stage.until_all_are_back().await;

    // 10 %
    let spec = json!({
        "channel": "production", "image": "compute-os@2.0.0", "percentage": 10,
        "mechanism": {"max_in_progress": robots / 20},
    });
    let release = stage.server.post("/v1/releases", &spec);
    assert_eq!(release["pool"], robots);
    stage.until_done().await;
    let tenth = stage.set();
    assert_eq!(tenth.len(), robots / 10);
    assert_eq!(stage.told(), tenth);

    // 50 %, and stopped while robots are under way.
    stage
        .server
        .post("/v1/releases/1/raise", &json!({"percentage": 50}));
    let half = stage.set();
    assert!(half.is_superset(&tenth) && half.len() == robots / 2);
    let some = (robots * 15 / 100) as u64;
    until(|| stage.fleet.begun.load(SeqCst) >= some).await;
    let stopped = stage.server.post("/v1/releases/1/stop", &json!({}));
    assert_eq!(stopped["status"], "INACTIVE");
    until(|| stage.release()["robots"]["in_progress"] == 0).await;
    let told = stage.told();
    assert!(told.is_subset(&half));
    assert!(told.len() < half.len(), "it was not stopped in the middle");

    // Nobody more gets it: not those that wait, not those that come back, not after a restart.
    stage.server.kill();
    until(|| stage.fleet.online.load(SeqCst) == 0).await;
    stage.server.restart();
    stage.until_all_are_back().await;
    assert_eq!(stage.release()["status"], "INACTIVE");
    assert_eq!(stage.told(), told);
    assert_eq!(stage.set(), half);

    // With the initial set, at the percentage that it had.
    let resumed = stage.server.post("/v1/releases/1/resume", &json!({}));
    assert_eq!(
        (&resumed["status"], &resumed["percentage"]),
        (&json!("LIVE"), &json!(50))
    );
    stage.until_done().await;
    assert_eq!(stage.told(), half);

    // Everybody.
    stage
        .server
        .post("/v1/releases/1/raise", &json!({"percentage": 100}));
    stage.until_done().await;
    assert_eq!(stage.told().len(), robots);
    assert_eq!(stage.release()["robots"]["succeeded"], robots);

    stop.cancel();
    for life in lives.join_all().await {
        assert_eq!(life.versions["main"], "2.0.0", "{}", life.id);
    }
    let violations = stage.fleet.violations.lock().clone();
    assert!(violations.is_empty(), "{violations:#?}");
}

async fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE * 5;
    while !done() {
        assert!(Instant::now() < deadline, "it did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
