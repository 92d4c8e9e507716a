//! The driver against a real broker and a real HTTP server, all on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use device_sim::driver::{
    Broker as Address, MqttVersion, Pace, Report, RunOptions, Snapshot, Stats, TimeScale, Trust,
    Until, run,
};
use device_sim::fleet::{Origin, ProtocolChoice, generate};
use device_sim::model::RealOutcome;
use device_sim::profile::{Percent, Profile};
use rollcall_proto::Code;
use support::site::{PATIENCE, Site, run_to_the_end, serve};
use support::{Belief, MiniServer};
use tokio::sync::watch;

fn options(address: Address, robots: usize, ecus: usize, profile: Profile) -> RunOptions {
    let origin = Origin {
        seed: 7,
        first_boot: 1,
    };
    RunOptions {
        brokers: vec![address],
        pairing: None,
        trust: Trust::nobody(),
        realm: support::REALM.to_owned(),
        fleet: generate(robots, ecus, ProtocolChoice::Native, origin),
        profile,
        mqtt: MqttVersion::Mixed,
        time_scale: TimeScale::new(500.0).unwrap(),
        pace: Pace::default(),
        until: Until::Idle(Duration::from_millis(300)),
    }
}

/// Every operation that the server has judged ended as it believes; tells how many those are.
fn agree(report: &Report, server: &MiniServer) -> usize {
    let mut judged = 0;
    for robot in &report.fleet {
        for record in &robot.operations {
            let side = &server.robots[&robot.id];
            let Some(belief) = side.beliefs.get(&record.operation) else {
                continue;
            };
            let agrees = match record.outcome.expect("over") {
                RealOutcome::Installed => *belief == Belief::Installed,
                RealOutcome::Failed(code) => *belief == Belief::Failed(Some(code)),
                RealOutcome::RolledBack => *belief == Belief::Failed(Some(Code::SystemRollback)),
                other => panic!("{other:?} was not in the profile"),
            };
            assert!(agrees, "{record:?} is believed to be {belief:?}");
            judged += 1;
        }
    }
    judged
}

/// Looks at the counters until they are as wanted.
async fn until(what: &str, stats: &Stats, wanted: impl Fn(Snapshot) -> bool) {
    let look = async {
        let mut often = tokio::time::interval(Duration::from_millis(5));
        while !wanted(stats.snapshot()) {
            often.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, look)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn a_fleet_on_both_mqtt_versions_is_updated_and_downloads_for_real() {
    let (offer, _http) = serve(vec![42; 100_000]).await;
    let site = Site::open(offer).await;
    let report = run_to_the_end(options(site.address.clone(), 12, 3, Profile::default())).await;
    assert_eq!(
        (report.robots, report.totals.operations_installed),
        (12, 36)
    );
    assert_eq!(
        (report.totals.downloads, report.totals.downloaded_bytes),
        (36, 3_600_000)
    );
    assert_eq!(report.totals.violations, 0);
    assert!(report.fleet.iter().all(|robot| robot.settled));
    assert!(
        report
            .fleet
            .iter()
            .flat_map(|r| &r.ecus)
            .all(|ecu| ecu.image.version == "2.0.0")
    );
    assert_eq!(report.request_latency.count, 36);
    assert_eq!(agree(&report, &site.server.lock()), 36);
}

#[tokio::test]
async fn edgehog_devices_are_updated_and_their_version_proves_it() {
    let mut artifact = b"rollcall-image os@2.0.0+b7\n".to_vec();
    artifact.resize(20_000, 0);
    let (offer, _http) = serve(artifact).await;
    let site = Site::open(offer).await;
    let mut options = options(site.address.clone(), 5, 1, Profile::default());
    let origin = Origin {
        seed: 7,
        first_boot: 1,
    };
    options.fleet = generate(5, 1, ProtocolChoice::Edgehog, origin);
    let report = run_to_the_end(options).await;
    assert_eq!(report.totals.operations_installed, 5);
    assert_eq!(report.request_latency.count, 5);
    assert_eq!(agree(&report, &site.server.lock()), 5);
    for robot in &report.fleet {
        let image = &robot.ecus[0].image;
        assert_eq!(
            (image.name.as_str(), image.version.as_str()),
            ("os", "2.0.0")
        );
        assert_eq!(image.build_id.as_deref(), Some("b7"));
        assert_eq!(site.server.lock().robots[&robot.id].producer_lists, [0, 0]);
    }
}

#[tokio::test]
async fn failures_links_and_power_cuts_end_as_the_server_believes() {
    let (offer, _http) = serve(vec![1; 10_000]).await;
    let site = Site::open(offer).await;
    let mut profile = Profile::parse(include_str!("../profiles/flaky.toml")).unwrap();
    profile = profile.failing(Percent::new(40.0).unwrap());
    (profile.failures.refuse, profile.failures.busy) = (Percent::NEVER, Percent::NEVER);
    profile.messages.lose_final = Percent::NEVER;
    let mut options = options(site.address.clone(), 10, 3, profile);
    // Whoever is offline again and again is hardly ever at rest together with everybody else.
    options.until = Until::Stopped;
    let (stop, stopped) = watch::channel(false);
    let stats = Arc::new(Stats::default());
    let running = tokio::spawn(run(options, stats.clone(), stopped));
    until("operations fail, robots come back", &stats, |now| {
        now.operations_ended > now.operations_installed + 5 && now.connects > 20
    })
    .await;
    stop.send(true).unwrap();
    let report = tokio::time::timeout(PATIENCE, running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(report.totals.violations, 0);
    assert!(agree(&report, &site.server.lock()) > 5);
}

#[tokio::test]
async fn an_artifact_of_another_digest_is_never_installed() {
    let (mut offer, _http) = serve(vec![42; 5_000]).await;
    offer.sha256[0] ^= 1;
    let site = Site::open(offer).await;
    let report = run_to_the_end(options(site.address.clone(), 2, 2, Profile::default())).await;
    assert_eq!(agree(&report, &site.server.lock()), 4);
    for robot in &report.fleet {
        for record in &robot.operations {
            assert_eq!(
                record.outcome,
                Some(RealOutcome::Failed(Code::DigestMismatch))
            );
        }
        assert!(robot.ecus.iter().all(|ecu| ecu.image.version == "1.0.0"));
    }
}

#[tokio::test]
async fn a_wrong_password_is_reported_and_tried_again() {
    let site = Site::open(support::world::offer()).await;
    let mut options = options(site.address.clone(), 1, 1, Profile::default());
    options.fleet[0].secret = "wrong".to_owned();
    options.until = Until::Stopped;
    let (stop, stopped) = watch::channel(false);
    let stats = Arc::new(Stats::default());
    let running = tokio::spawn(run(options, stats.clone(), stopped));
    until("the robot tries again", &stats, |now| {
        now.connect_failures >= 2
    })
    .await;
    assert!(stats.last_error().is_some());
    stop.send(true).unwrap();
    let report = tokio::time::timeout(PATIENCE, running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!((report.totals.connects, report.robots), (0, 1));
}
