//! The promise, against SIGKILL: nothing acknowledged is lost, caps hold as the robots see it, no robot gets two
//! operations at once, and the rollout ends with the outcomes that the robots really had.
//!
//! `ROLLCALL_LONG=1` kills 200 times instead of 20.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod process;

use process::{PATIENCE, ServerProcess};
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rollcall::history::{Entry, Record};
use rollcall::records;
use rollcall::store::{Options, RedbStore};
use rollcall_engine::{RobotKey, RolloutId, TargetState};
use rollcall_proto::native::OtaEvent;
use rollcall_proto::topic::Uplink;
use rollcall_tests::lean::{Fleet, Life, Script, live};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const ROBOTS: usize = 120;
const CAP: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_under_load_lose_nothing_that_was_acknowledged() {
    let long = std::env::var_os("ROLLCALL_LONG").is_some();
    let kills = if long { 200 } else { 20 };
    let seed = rand::random();
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(directory.path(), "");
    // Two motors of one hardware id, so that the order on a robot is under test too.
    let identities = server.register(
        ROBOTS,
        &[
            ("main", "compute"),
            ("motor-1", "motor"),
            ("motor-2", "motor"),
        ],
    );
    server.add_image("compute-os", "compute");
    server.add_image("motor-os", "motor");

    let fleet = Arc::new(Fleet::default());
    let stop = CancellationToken::new();
    let script = Arc::new(script(kills));
    let mut robots = JoinSet::new();
    for identity in identities {
        robots.spawn(live(
            identity,
            Arc::clone(&script),
            server.mqtt,
            Arc::clone(&fleet),
            stop.clone(),
        ));
    }
    until(|| fleet.online.load(SeqCst) == ROBOTS as u64).await;
    let spec = json!({
        "name": "crash test", "target": {"hardware": "compute"},
        "images": [{"hardware_id": "compute", "image": "compute-os@2.0.0"}, {"hardware_id": "motor", "image": "motor-os@2.0.0"}],
        "mechanism": {"max_in_progress": CAP},
    });
    let id = server.post("/v1/rollouts", &spec)["id"].as_u64().unwrap();
    server.post(
        &format!("/v1/rollouts/{id}/launch"),
        &json!({"accept_drift": true}),
    );

    let all = (ROBOTS * 3 * script.steps.len()) as u64;
    for kill in 1..=kills {
        // Some way into the next part of the work, at whatever the server is doing then.
        let goal = all * kill / (kills + 2) + chance.random_range(0..20);
        until(|| fleet.acknowledged.load(SeqCst) >= goal.min(all * 9 / 10)).await;
        tokio::time::sleep(Duration::from_micros(chance.random_range(0..8_000))).await;
        server.kill();
        server.restart();
    }
    until(|| fleet.ended.load(SeqCst) == (ROBOTS * 3) as u64).await;
    until(|| server.get(&format!("/v1/rollouts/{id}"))["status"] == "completed").await;
    stop.cancel();
    let lives = robots.join_all().await;
    server.kill();

    let violations = fleet.violations.lock().clone();
    assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
    let most = fleet.most_running.load(SeqCst);
    assert!(
        most <= CAP,
        "seed {seed}: {most} robots were under way at one instant, the cap is {CAP}"
    );
    assert!(most >= CAP / 2, "the cap was never tried: {most}");
    verify(server.data_dir(), &lives, seed);
}

fn script(kills: u64) -> Script {
    let mut script = Script::chatty();
    // Enough events to be killed in the middle of, slow enough that a kill finds some under way.
    script.steps.truncate(if kills > 20 { 200 } else { 40 });
    Script {
        fail_every: 11,
        keep_log: true,
        window: 4,
        pause: Duration::from_millis(1),
        ..script
    }
}

async fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE * 5;
    while !done() {
        assert!(Instant::now() < deadline, "it did not happen");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Compares what the database holds with what the robots lived through.
fn verify(data_dir: &Path, lives: &[Life], seed: u64) {
    let (store, recovered) = RedbStore::open(data_dir, Options::default()).unwrap();
    let (state, _) = records::load(&store, &recovered).unwrap();
    let history = recorded_events(&store, recovered.next_history);
    let rollout = state.rollout(RolloutId(1)).unwrap();
    for life in lives {
        let key = state.robot_key(&life.id).unwrap();
        let recorded = history.get(&key).cloned().unwrap_or_default();
        let lost: Vec<_> = life
            .acknowledged
            .iter()
            .filter(|event| !recorded.contains(event))
            .collect();
        assert!(
            lost.is_empty(),
            "seed {seed}: {} lost acknowledged events {lost:?}",
            life.id
        );
        let robot = state.robot(key).unwrap();
        for target in &rollout.members[&key].targets {
            let ecu = &robot.ecus[usize::from(target.ecu)];
            let updated = life.versions[ecu.name.as_str()] == "2.0.0";
            let (_, real) = life
                .operations
                .values()
                .find(|(name, _)| *name == ecu.name.as_str())
                .unwrap();
            assert_eq!(*real, Some(updated));
            let believed = matches!(target.state, TargetState::Succeeded { .. });
            let failed = matches!(target.state, TargetState::Failed { .. });
            assert!(
                believed == updated && failed != updated,
                "seed {seed}: {} {} {target:?}",
                life.id,
                ecu.name
            );
        }
    }
}

/// Boot and counter of every OTAEvent in the history, by robot.
fn recorded_events(store: &RedbStore, end: u64) -> BTreeMap<RobotKey, BTreeSet<(u64, u64)>> {
    let history = store.history();
    let mut events: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for seq in 1..end {
        let record = Record::decode(seq, history.read(seq).unwrap().unwrap().into()).unwrap();
        let (Entry::Publish { topic, payload }, Some((robot, _))) = (record.entry, record.robot)
        else {
            continue;
        };
        if let Ok((_, Uplink::OtaEvent { .. })) = Uplink::parse(&topic) {
            let event = OtaEvent::decode(&payload).unwrap();
            let new = events
                .entry(robot)
                .or_default()
                .insert((event.boot, event.counter));
            assert!(new, "an event was taken twice: {robot:?} {event:?}");
        }
    }
    events
}
