//! Pairing, certificates and mutual TLS (device-contract 0.9, 1.6 and 2), against a real broker and an
//! authority in miniature.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use device_sim::driver::{
    MqttVersion, Pace, Pairing, Report, RunOptions, Snapshot, Stats, TimeScale, Trust, Until, run,
};
use device_sim::fleet::{Origin, ProtocolChoice, generate};
use device_sim::model::RealOutcome;
use device_sim::profile::Profile;
use rollcall_proto::Code;
use support::authority::{Authority, Fault, TOKEN, bundle};
use support::site::{PATIENCE, Site, run_to_the_end};
use support::{Offer, REALM};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// An authority, its pairing API, and a broker that wants its certificates.
struct Town {
    authority: Authority,
    pairing_url: String,
    /// Kept open.
    _site: Site,
    folder: TempDir,
}

impl Town {
    /// The artifact that every robot is to get lies at this path of the pairing API's server.
    async fn open(artifact: &str) -> Self {
        let authority = Authority::new();
        let base = authority.serve().await;
        Self::with_base(authority, base, artifact).await
    }

    async fn with_base(authority: Authority, base: String, artifact: &str) -> Self {
        let offer = Offer {
            url: format!("{base}{artifact}"),
            size: bundle().len() as u64,
            sha256: [0; 32],
        };
        let site = Site::open_tls(offer, authority.tls()).await;
        authority.broker(site.address.port);
        Self {
            authority,
            pairing_url: format!("{base}/pairing"),
            _site: site,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn options(&self, robots: usize, profile: &str) -> RunOptions {
        let origin = Origin {
            seed: 7,
            first_boot: 1,
        };
        RunOptions {
            brokers: Vec::new(),
            pairing: Some(Pairing {
                url: self.pairing_url.clone(),
                token: Some(TOKEN.to_owned()),
                state_dir: None,
            }),
            trust: Trust::load(&self.authority.file(self.folder.path())).unwrap(),
            realm: REALM.to_owned(),
            fleet: generate(robots, 1, ProtocolChoice::Edgehog, origin),
            profile: Profile::parse(profile).unwrap(),
            mqtt: MqttVersion::Mixed,
            time_scale: TimeScale::new(500.0).unwrap(),
            pace: Pace::default(),
            until: Until::Idle(Duration::from_millis(300)),
        }
    }
}

/// A run that goes on until it is told to stop.
struct Running {
    stats: Arc<Stats>,
    stop: watch::Sender<bool>,
    run: JoinHandle<Report>,
}

impl Running {
    fn start(mut options: RunOptions) -> Self {
        options.until = Until::Stopped;
        let (stop, stopped) = watch::channel(false);
        let stats = Arc::new(Stats::default());
        let running = run(options, stats.clone(), stopped);
        let run = tokio::spawn(async move { running.await.unwrap() });
        Self { stats, stop, run }
    }

    async fn until(&self, what: &str, wanted: impl Fn(Snapshot) -> bool) {
        let look = async {
            let mut often = tokio::time::interval(Duration::from_millis(5));
            while !wanted(self.stats.snapshot()) {
                often.tick().await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, look).await;
        seen.unwrap_or_else(|_| panic!("{what}: {:?}", self.stats.last_error()));
    }

    async fn stop(self) -> Report {
        self.stop.send(true).unwrap();
        tokio::time::timeout(PATIENCE, self.run)
            .await
            .unwrap()
            .unwrap()
    }
}

#[tokio::test]
async fn contract_1_6_devices_register_get_certificates_and_are_updated_over_tls() {
    let town = Town::open("/artifact").await;
    let report = run_to_the_end(town.options(5, "")).await;
    let totals = report.totals;
    assert_eq!(totals.operations_installed, 5);
    assert_eq!(totals.violations, 0);
    assert_eq!(
        (totals.pairing_registrations, totals.pairing_credentials),
        (5, 5)
    );
    assert_eq!(
        totals.pairing_verifications,
        totals.connects - 5,
        "before every other connection"
    );
    assert_eq!(
        totals.pairing_infos, 10,
        "one per process, and each robot rebooted once"
    );
    assert_eq!(totals.tls_handshakes, totals.connects);
    assert_eq!(report.pairing_latency.count, totals.connects);
    let mut told = town.authority.downloads();
    told.sort();
    let mut asked: Vec<_> = report
        .fleet
        .iter()
        .map(|robot| robot.operations[0].operation.to_string())
        .collect();
    asked.sort();
    assert_eq!(told, asked, "X-Edgehog-OTA-ID names the operation");
}

#[tokio::test]
async fn contract_1_6_a_reconnect_verifies_and_does_not_ask_for_the_broker_again() {
    let town = Town::open("/artifact").await;
    let profile =
        "[link]\noffline_every = \"20s\"\noffline_for = \"1s\"\n[timing]\ninstall = \"24h\"\n";
    let running = Running::start(town.options(3, profile));
    running
        .until("robots reconnect", |now| now.pairing_verifications >= 12)
        .await;
    let totals = running.stop().await.totals;
    assert_eq!((totals.pairing_credentials, totals.pairing_infos), (3, 3));
    assert_eq!(totals.violations, 0);
}

#[tokio::test]
async fn contract_2_a_certificate_that_is_not_valid_any_more_is_replaced() {
    let town = Town::open("/artifact").await;
    let profile =
        "[link]\noffline_every = \"20s\"\noffline_for = \"1s\"\n[timing]\ninstall = \"24h\"\n";
    let running = Running::start(town.options(2, profile));
    running
        .until("robots connect", |now| now.connected == 2)
        .await;
    town.authority.revoke_all();
    running
        .until("robots get new certificates", |now| {
            now.pairing_credentials == 4
        })
        .await;
    running.until("and go on", |now| now.connected == 2).await;
    running.stop().await;
    assert_eq!(town.authority.issued(), 4);
}

#[tokio::test]
async fn contract_2_state_survives_the_run_under_the_sdks_names() {
    let town = Town::open("/artifact").await;
    let state = town.folder.path().join("state");
    let with_state = |mut options: RunOptions| {
        options.pairing.as_mut().unwrap().state_dir = Some(state.clone());
        options
    };
    let first = run_to_the_end(with_state(town.options(2, ""))).await;
    assert_eq!(first.totals.pairing_credentials, 2);
    for file in ["credential", "certificate.pem", "priv-key.der"] {
        let path = state.join("sim-00001").join(file);
        assert!(is_private(&path), "{}", path.display());
    }
    let mut options = with_state(town.options(2, ""));
    options.pairing.as_mut().unwrap().token = Some("spent".to_owned());
    let running = Running::start(options);
    running
        .until("robots connect", |now| now.connected == 2)
        .await;
    let totals = running.stop().await.totals;
    assert_eq!(
        (totals.pairing_registrations, totals.pairing_credentials),
        (0, 0)
    );
    assert_eq!((totals.pairing_verifications, totals.pairing_infos), (2, 2));
}

fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777 == 0o600
}

#[tokio::test]
async fn contract_2_a_known_secret_needs_no_token_and_a_wrong_one_is_counted() {
    let town = Town::open("/artifact").await;
    let first = Running::start(town.options(1, ""));
    first
        .until("it is registered", |now| now.connected == 1)
        .await;
    first.stop().await;
    let mut options = town.options(1, "");
    options.pairing.as_mut().unwrap().token = None;
    options.fleet[0].secret = "secret of sim-00001".to_owned();
    let known = Running::start(options.clone());
    known.until("it connects", |now| now.connected == 1).await;
    known.stop().await;
    options.fleet[0].secret = "guess".to_owned();
    let wrong = Running::start(options);
    wrong
        .until("it tries again", |now| now.connect_failures >= 3)
        .await;
    let report = wrong.stop().await;
    assert_eq!(report.totals.connects, 0);
    let reasons: Vec<_> = report.refusals.keys().map(String::as_str).collect();
    assert_eq!(reasons, ["pairing: credentials 403"]);
}

#[tokio::test]
async fn contract_2_an_answer_that_the_sdk_does_not_take_is_a_failed_attempt() {
    for (fault, reason) in [
        (Fault::Chain, "pairing: credentials answer unusable"),
        (Fault::OtherName, "pairing: credentials answer unusable"),
        (Fault::NoPort, "pairing: device info answer unusable"),
        (Fault::Down, "pairing: register 500"),
        (Fault::NotJson, "pairing: register answer unusable"),
        (Fault::Endless, "pairing: register failed"),
    ] {
        let town = Town::open("/artifact").await;
        town.authority.misbehave(fault);
        let running = Running::start(town.options(1, ""));
        running
            .until("it tries again", |now| now.connect_failures >= 2)
            .await;
        assert!(running.stats.refusals().contains_key(reason), "{fault:?}");
        assert_eq!(running.stats.snapshot().connects, 0);
        town.authority.misbehave(Fault::None);
        running
            .until("nothing is fatal in pairing", |now| now.connected == 1)
            .await;
        running.stop().await;
    }
}

#[tokio::test]
async fn a_broker_of_another_authority_is_not_trusted() {
    let town = Town::open("/artifact").await;
    let stranger = Authority::new();
    let site = Site::open_tls(support::world::offer(), stranger.tls()).await;
    town.authority.broker(site.address.port);
    let running = Running::start(town.options(1, ""));
    running
        .until("it tries again", |now| now.connect_failures >= 2)
        .await;
    let report = running.stop().await;
    assert_eq!(
        (report.totals.connects, report.totals.tls_handshakes),
        (0, 0)
    );
    let reasons: Vec<_> = report.refusals.keys().map(String::as_str).collect();
    assert_eq!(reasons, ["tls: server is not trusted"]);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_by_the_broker() {
    let town = Town::open("/artifact").await;
    // The broker shows the authority's certificate, and takes only those of a stranger.
    let stranger = Authority::new();
    let site = Site::open_tls(support::world::offer(), town.authority.tls_for(&stranger)).await;
    town.authority.broker(site.address.port);
    let running = Running::start(town.options(1, ""));
    // The alert may be overtaken by the end of the connection, but not every time.
    let refused = |reason: &String| reason.starts_with("tls: refused");
    running
        .until("it is told why", |_| {
            running.stats.refusals().keys().any(refused)
        })
        .await;
    assert_eq!(running.stop().await.totals.connects, 0);
}

#[tokio::test]
async fn native_robots_connect_with_certificates_on_both_mqtt_versions() {
    let town = Town::open("/artifact").await;
    let mut options = town.options(4, "");
    let origin = Origin {
        seed: 7,
        first_boot: 1,
    };
    options.fleet = generate(4, 2, ProtocolChoice::Native, origin);
    let running = Running::start(options);
    running
        .until("robots connect", |now| now.connects >= 4)
        .await;
    let totals = running.stop().await.totals;
    assert_eq!(totals.pairing_credentials, 4);
}

#[tokio::test]
async fn robots_with_secrets_connect_over_tls_too() {
    let authority = Authority::new();
    let base = authority.serve().await;
    let town = Town::with_base(authority, base, "/artifact").await;
    let site = Site::open_tls(support::world::offer(), town.authority.open_tls()).await;
    let mut options = town.options(2, "");
    options.pairing = None;
    options.brokers = vec![site.address.clone()];
    options.brokers[0].host = "localhost".to_owned();
    let running = Running::start(options);
    running
        .until("robots connect", |now| now.connected == 2)
        .await;
    let totals = running.stop().await.totals;
    assert_eq!(totals.tls_handshakes, totals.connects);
}

#[tokio::test]
async fn pairing_and_downloads_go_over_https_too() {
    let authority = Authority::new();
    let base = authority.serve_tls().await;
    let town = Town::with_base(authority, base, "/artifact").await;
    let report = run_to_the_end(town.options(2, "")).await;
    assert_eq!(report.totals.operations_installed, 2);
}

#[tokio::test]
async fn contract_3_2_a_redirect_is_followed() {
    let town = Town::open("/moved").await;
    let report = run_to_the_end(town.options(1, "")).await;
    assert_eq!(report.totals.operations_installed, 1);
}

#[tokio::test]
async fn contract_0_10_the_status_of_a_download_is_not_looked_at_but_its_length_is() {
    for (artifact, code) in [
        // A 404 without a body, redirects without end, a body without length: never a bundle.
        ("/nothing", Code::InternalError),
        ("/round", Code::InternalError),
        ("/chunked", Code::InternalError),
        // A refusal with a body is handed to RAUC.
        (
            "/pairing/v1/fleet/devices/none/refused",
            Code::InvalidBaseImage,
        ),
    ] {
        let town = Town::open(artifact).await;
        let running = Running::start(town.options(1, ""));
        running
            .until("it gives up", |now| now.operations_ended == 1)
            .await;
        let report = running.stop().await;
        let outcome = report.fleet[0].operations[0].outcome;
        assert_eq!(outcome, Some(RealOutcome::Failed(code)), "{artifact}");
    }
}

#[tokio::test]
async fn tls_without_anybody_to_trust_is_refused_before_the_run() {
    let town = Town::open("/artifact").await;
    let mut options = town.options(1, "");
    options.trust = Trust::nobody();
    let (_stop, stopped) = watch::channel(false);
    let refused = run(options, Arc::default(), stopped).await.unwrap_err();
    assert!(refused.to_string().contains("give --ca FILE"));
    let empty = town.folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    for path in [empty, town.folder.path().join("missing.pem")] {
        let refused = Trust::load(&path).unwrap_err();
        assert!(
            refused.to_string().contains(path.to_str().unwrap()),
            "{refused}"
        );
    }
}
