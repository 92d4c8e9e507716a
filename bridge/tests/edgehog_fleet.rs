//! A fleet of simulated Edgehog devices on a real server, as they would come: paired with a token, over mutual TLS, with
//! Astarte's whole handshake, updated while the server is killed (device-contract 0 to 3).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod process;

use device_sim::driver::{
    MqttVersion, Pace, Pairing, Report, RunOptions, Snapshot, Stats, TimeScale, Trust, Until, run,
};
use device_sim::fleet::{Origin, ProtocolChoice, generate};
use device_sim::profile::Profile;
use process::{PATIENCE, ServerProcess};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const ROBOTS: usize = 12;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// The devices, in threads of this process.
struct Devices {
    stats: Arc<Stats>,
    stop: watch::Sender<bool>,
    run: JoinHandle<Report>,
    runtime: Runtime,
}

impl Devices {
    fn start(server: &ServerProcess, token: &str, profile: &str) -> Self {
        let origin = Origin {
            seed: 3,
            first_boot: 1,
        };
        let options = RunOptions {
            brokers: Vec::new(),
            pairing: Some(Pairing {
                url: server.pairing_url(),
                token: Some(token.to_owned()),
                state_dir: None,
            }),
            trust: Trust::load(&server.data_dir().join("tls/ca.pem")).unwrap(),
            realm: "fleet".to_owned(),
            fleet: generate(ROBOTS, 1, ProtocolChoice::Edgehog, origin),
            profile: Profile::parse(profile).unwrap(),
            mqtt: MqttVersion::V3,
            // Ten times as fast: the server's own times, such as the property window, are those of the wall.
            time_scale: TimeScale::new(10.0).unwrap(),
            pace: Pace::default(),
            until: Until::Stopped,
        };
        let runtime = Runtime::new().unwrap();
        let (stop, stopped) = watch::channel(false);
        let stats = Arc::new(Stats::default());
        let running = run(options, Arc::clone(&stats), stopped);
        Self {
            stats,
            stop,
            run: runtime.spawn(async move { running.await.unwrap() }),
            runtime,
        }
    }

    fn until(&self, what: &str, wanted: impl Fn(Snapshot) -> bool) {
        until(what, || wanted(self.stats.snapshot()));
    }

    fn stop(self) -> Report {
        self.stop.send(true).unwrap();
        self.runtime.block_on(self.run).unwrap()
    }
}

fn until(what: &str, mut wanted: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !wanted() {
        assert!(Instant::now() < deadline, "{what}");
        // Looks at the server cost it something.
        std::thread::sleep(LOOK);
    }
}

fn pairing_token(server: &ServerProcess) -> String {
    let made = server.post("/v1/pairing/tokens", &json!({}));
    made["token"].as_str().unwrap().to_owned()
}

/// Adds an image that tells devices what it is.
fn upload(server: &ServerProcess, image: &str) {
    let token = std::fs::read_to_string(server.data_dir().join("admin.token")).unwrap();
    let mut file = format!("rollcall-image {image}\n").into_bytes();
    file.resize(20_000, 0);
    let url = format!("{}/v1/images/{image}/file?hardware=compute", server.api);
    let request = ureq::post(url).header("Authorization", format!("Bearer {}", token.trim()));
    request.send(&file[..]).unwrap();
}

fn robots(server: &ServerProcess) -> Vec<Value> {
    server.get("/v1/robots?limit=100")["items"]
        .as_array()
        .unwrap()
        .clone()
}

#[test]
fn a_paired_fleet_is_updated_through_a_kill_of_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start_tls(directory.path(), "");
    let profile = "[edgehog]\nlate_success = 0\n[failures]\ninstall = 25\n";
    let devices = Devices::start(&server, &pairing_token(&server), profile);
    until("all devices have reported themselves", || {
        robots(&server)
            .iter()
            .filter(|robot| robot["ready"] == json!(true))
            .count()
            == ROBOTS
    });
    for robot in robots(&server) {
        assert_eq!(robot["protocol"], "edgehog", "{robot}");
        assert_eq!(robot["model"], "compute", "its part number: {robot}");
    }

    upload(&server, "compute-os@2.0.0");
    let rollout = json!({
        "name": "spring", "target": {"hardware": "compute"},
        "images": [{"hardware_id": "compute", "image": "compute-os@2.0.0"}],
    });
    let rollout = server.post("/v1/rollouts", &rollout)["id"]
        .as_u64()
        .unwrap();
    let path = format!("/v1/rollouts/{rollout}");
    server.post(&format!("{path}/launch"), &json!({}));
    devices.until("updates are under way", |now| {
        now.operations_started >= 6 && now.downloads > 0
    });
    server.kill();
    server.restart();
    until("the rollout is over", || {
        server.get(&path)["status"] == json!("completed")
    });
    let members = server.get(&format!("{path}/robots?limit=100"));
    let report = devices.stop();

    let totals = report.totals;
    assert_eq!(totals.violations, 0, "{:?}", report.fleet);
    let issued = (totals.pairing_registrations, totals.pairing_credentials);
    assert_eq!(issued, (12, 12), "once each, and kept through the kill");
    assert!(totals.pairing_verifications >= 12, "{totals:?}");
    for robot in &report.fleet {
        let member = members["items"].as_array().unwrap().iter();
        let mut member = member.filter(|member| member["robot"] == json!(robot.id));
        let member = member.next().unwrap();
        let believed = member["ecus"][0]["state"].as_str().unwrap().to_owned();
        let runs_it = robot.ecus[0].image.version == "2.0.0";
        assert_eq!(
            runs_it,
            believed == "succeeded",
            "{} runs {:?}, believed to be {member}",
            robot.id,
            robot.ecus[0].image
        );
    }
}
