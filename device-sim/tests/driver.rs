//! The driver against a real broker and a real HTTP server, all on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use device_sim::driver::{
    Broker as Address, MqttVersion, Pace, Report, RunOptions, Stats, TimeScale, Until, run,
};
use device_sim::fleet::{Origin, ProtocolChoice, generate};
use device_sim::model::RealOutcome;
use device_sim::profile::{Percent, Profile};
use parking_lot::Mutex;
use rollcall_broker::{
    Access, Broker, Config, ConnectRefusal, ConnectRequest, ConnectionId, Event, Limits, Principal,
    PublishAccess, QoS, SessionPolicy, SubscribeAccess, Verdict,
};
use rollcall_proto::Code;
use rollcall_proto::topic::{Base, is_device_publishable};
use sha2::{Digest, Sha256};
use support::{Belief, MiniServer, Offer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Robots;

impl Access for Robots {
    fn authenticate(&self, connect: &ConnectRequest<'_>) -> Result<Principal, ConnectRefusal> {
        let named = connect.username == Some(connect.client_id);
        if !named || connect.password != Some(b"dev") || Base::parse(connect.client_id).is_err() {
            return Err(ConnectRefusal {
                code: rollcall_broker::ReasonCode::BadUserNameOrPassword,
                why: "not a robot".into(),
            });
        }
        let number = connect
            .client_id
            .rsplit('-')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let sessions = SessionPolicy::AlwaysClean;
        Ok(Principal {
            client_id: connect.client_id.into(),
            tag: number,
            sessions,
        })
    }

    fn publish(&self, who: &Principal, topic: &str, _: QoS, _: bool) -> PublishAccess {
        if is_device_publishable(&Base::parse(&who.client_id).unwrap(), topic) {
            PublishAccess::Intake
        } else {
            PublishAccess::Deny {
                why: "not its own".into(),
            }
        }
    }

    fn subscribe(&self, who: &Principal, filter: &str) -> SubscribeAccess {
        if Base::parse(&who.client_id).unwrap().may_subscribe(filter) {
            SubscribeAccess::Grant {
                max_qos: QoS::ExactlyOnce,
            }
        } else {
            SubscribeAccess::Deny {
                why: "not its own".into(),
            }
        }
    }
}

/// A broker with the miniature server behind it.
struct Site {
    address: Address,
    server: Arc<Mutex<MiniServer>>,
    _broker: Broker,
}

impl Site {
    async fn open(offer: Offer) -> Self {
        let (sender, mut events) = mpsc::channel(1_024);
        let broker = Broker::new(
            Config {
                limits: Limits::default(),
            },
            Arc::new(Robots),
            sender,
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        broker.listen(listener);
        let handle = broker.handle();
        let server = Arc::new(Mutex::new(MiniServer::new(offer)));
        let behind = server.clone();
        tokio::spawn(async move {
            let mut live: HashMap<u64, ConnectionId> = HashMap::new();
            while let Some(event) = events.recv().await {
                match event {
                    Event::Connected {
                        connection, tag, ..
                    } => {
                        live.insert(tag, connection);
                    }
                    Event::Publish {
                        ticket,
                        tag,
                        topic,
                        payload,
                        ..
                    } => {
                        let down = behind.lock().uplink(&topic, &payload);
                        handle.settle(ticket, Verdict::Accepted);
                        for message in down {
                            // A robot that has just gone asks again when it is back.
                            let _ = handle.send(
                                live[&tag],
                                &message.topic,
                                message.payload.into(),
                                QoS::AtLeastOnce,
                            );
                        }
                    }
                    _ => {}
                }
            }
        });
        Self {
            address: Address {
                host: "127.0.0.1".to_owned(),
                port,
            },
            server,
            _broker: broker,
        }
    }
}

/// Serves one artifact, whatever is asked for.
async fn serve(artifact: Vec<u8>) -> (Offer, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/artifact", listener.local_addr().unwrap());
    let (size, sha256) = (artifact.len() as u64, Sha256::digest(&artifact).into());
    let artifact = Arc::new(artifact);
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let artifact = artifact.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let length = artifact.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.write_all(&artifact).await;
            });
        }
    });
    (Offer { url, size, sha256 }, task)
}

fn options(address: Address, robots: usize, ecus: usize, profile: Profile) -> RunOptions {
    let origin = Origin {
        seed: 7,
        first_boot: 1,
    };
    RunOptions {
        brokers: vec![address],
        realm: support::REALM.to_owned(),
        fleet: generate(robots, ecus, ProtocolChoice::Native, origin),
        profile,
        mqtt: MqttVersion::Mixed,
        time_scale: TimeScale::new(500.0).unwrap(),
        pace: Pace::default(),
        until: Until::Idle(Duration::from_millis(300)),
    }
}

async fn run_to_the_end(options: RunOptions) -> Report {
    let (_stop, stopped) = watch::channel(false);
    let run = run(options, Arc::new(Stats::default()), stopped);
    tokio::time::timeout(PATIENCE, run)
        .await
        .expect("the fleet comes to rest")
        .unwrap()
}

fn agree(report: &Report, server: &MiniServer) {
    for robot in &report.fleet {
        for record in &robot.operations {
            let belief = server.robots[&robot.id].beliefs[&record.operation];
            let agrees = match record.outcome.expect("over") {
                RealOutcome::Installed => belief == Belief::Installed,
                RealOutcome::Failed(code) => belief == Belief::Failed(Some(code)),
                RealOutcome::RolledBack => belief == Belief::Failed(Some(Code::SystemRollback)),
                other => panic!("{other:?} was not in the profile"),
            };
            assert!(agrees, "{record:?} is believed to be {belief:?}");
        }
    }
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
    agree(&report, &site.server.lock());
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
    options.until = Until::Elapsed(Duration::from_secs(3));
    let report = run_to_the_end(options).await;
    assert!(report.totals.connects > 10, "robots came back");
    assert!(report.totals.operations_ended > report.totals.operations_installed);
    assert_eq!(report.totals.violations, 0);
    let ended = report
        .fleet
        .iter()
        .flat_map(|r| &r.operations)
        .filter(|o| o.outcome.is_some());
    assert!(ended.count() > 10);
}

#[tokio::test]
async fn an_artifact_of_another_digest_is_never_installed() {
    let (mut offer, _http) = serve(vec![42; 5_000]).await;
    offer.sha256[0] ^= 1;
    let site = Site::open(offer).await;
    let report = run_to_the_end(options(site.address.clone(), 2, 2, Profile::default())).await;
    agree(&report, &site.server.lock());
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
    let watcher = stats.clone();
    let running = tokio::spawn(run(options, stats, stopped));
    let tried_twice = async {
        while watcher.snapshot().connect_failures < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, tried_twice)
        .await
        .expect("the robot tries again");
    assert!(watcher.last_error().is_some());
    stop.send(true).unwrap();
    let report = tokio::time::timeout(PATIENCE, running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!((report.totals.connects, report.robots), (0, 1));
}
