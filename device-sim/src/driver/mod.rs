//! The shell around the model: real MQTT connections, real downloads, real time.
//!
//! One task per robot and no thread per robot. A task owns its [`crate::model::Robot`] and at most one
//! connection; what the tasks share is counters, the pace of connecting and the HTTP client.

mod approach;
mod clock;
mod connection;
mod fetch;
mod http;
mod limits;
mod pace;
mod pairing;
mod report;
mod robot;
mod stats;
mod tls;
mod trouble;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fleet::Member;
use crate::profile::Profile;

pub use clock::TimeScale;
pub(crate) use http::{Connector, chain, connector};
pub use limits::LimitError;
pub(crate) use limits::raise_open_files;
pub use pace::Pace;
pub use pairing::Pairing;
pub use report::{EcuReport, LatencyReport, Report, RobotReport};
pub use stats::{Snapshot, Stats};
pub(crate) use tls::client_config;
pub use tls::{Trust, TrustError};

/// How long robots get to hang up when the run ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// An MQTT broker's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// Which version of MQTT native robots speak. Edgehog devices speak 3.1.1 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum MqttVersion {
    /// 3.1.1.
    V3,
    /// 5.0.
    V5,
    /// One half each.
    #[default]
    Mixed,
}

/// Everything that a run needs.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Where to connect, taken in turn. Not used by robots that pair: those are told.
    pub brokers: Vec<Broker>,
    /// How robots get certificates; without it they connect with their secrets.
    pub pairing: Option<Pairing>,
    /// Whose servers are trusted, over MQTT and HTTP.
    pub trust: Trust,
    /// First level of every topic.
    pub realm: String,
    /// The robots.
    pub fleet: Vec<Member>,
    /// How they behave.
    pub profile: Profile,
    /// Which MQTT they speak.
    pub mqtt: MqttVersion,
    /// How much faster than the wall clock the robots live.
    pub time_scale: TimeScale,
    /// How fast they connect.
    pub pace: Pace,
    /// When the run ends by itself.
    pub until: Until,
}

/// When a run ends by itself; the stop signal ends it earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Never.
    Stopped,
    /// After this time.
    Elapsed(Duration),
    /// When robots have worked, and then all have been connected, idle and acknowledged this long.
    Idle(Duration),
}

/// Why a run cannot begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No broker.
    #[error("no broker is given")]
    NoBroker,
    /// No robots.
    #[error("the fleet is empty")]
    NoRobots,
    /// TLS, and nobody to trust.
    #[error("{0} is reached over TLS: give --ca FILE, the certificate of its authority")]
    NoTrust(String),
    /// TLS cannot be set up.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// Too few file descriptors.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// What the tasks of a run share.
struct Shared {
    options: RunOptions,
    profile: Arc<Profile>,
    clock: clock::Clock,
    stats: Arc<Stats>,
    gate: pace::Gate,
    http: fetch::Http,
    /// For robots without certificates.
    tls: Arc<ClientConfig>,
    pairing: Option<pairing::Service>,
}

/// Runs robots until the run ends or `stop` turns true, and tells what they did.
///
/// `stats` is filled while the run goes on, for progress bars.
///
/// # Errors
/// The run cannot begin; the message says what is missing. What happens to single robots later is
/// part of the report.
pub async fn run(
    options: RunOptions,
    stats: Arc<Stats>,
    stop: watch::Receiver<bool>,
) -> Result<Report, RunError> {
    check(&options)?;
    let tls = tls::client_config(&options.trust)?;
    let pairing = match &options.pairing {
        Some(pairing) => Some(pairing::Service::new(pairing, &options.trust)?),
        None => None,
    };
    let shared = Arc::new(Shared {
        profile: Arc::new(options.profile.clone()),
        clock: clock::Clock::start(options.time_scale),
        gate: pace::Gate::new(options.pace),
        http: fetch::Http::new(tls.clone()),
        tls: Arc::new(tls),
        pairing,
        stats: stats.clone(),
        options,
    });
    let started = Instant::now();
    let (hang_up, told) = watch::channel(false);
    let mut robots = JoinSet::new();
    for index in 0..shared.options.fleet.len() {
        robots.spawn(robot::live(index, shared.clone(), told.clone()));
    }
    drop(told);
    wait_for_the_end(&shared, stop).await;
    let _ = hang_up.send(true);
    let reports = collect(&mut robots).await;
    Ok(report::assemble(&stats, started.elapsed(), reports))
}

fn check(options: &RunOptions) -> Result<(), RunError> {
    if options.fleet.is_empty() {
        return Err(RunError::NoRobots);
    }
    let secured = match &options.pairing {
        // Whatever the pairing API is reached by, the broker speaks TLS.
        Some(pairing) => Some(format!("the broker of {}", pairing.url)),
        None if options.brokers.is_empty() => return Err(RunError::NoBroker),
        None => {
            let mut secured = options.brokers.iter().filter(|broker| broker.tls);
            secured.next().map(|broker| broker.host.clone())
        }
    };
    if let Some(server) = secured.filter(|_| options.trust.is_nobody()) {
        return Err(RunError::NoTrust(server));
    }
    let pairing = options.pairing.as_ref().map_or(0, |_| options.pace.at_once);
    limits::raise_open_files(options.fleet.len(), pairing)?;
    Ok(())
}

async fn collect(robots: &mut JoinSet<RobotReport>) -> Vec<RobotReport> {
    let mut reports = Vec::new();
    let deadline = Instant::now() + FAREWELL + robot::FAREWELL_MAX;
    while let Ok(Some(joined)) = tokio::time::timeout_at(deadline, robots.join_next()).await {
        match joined {
            Ok(report) => reports.push(report),
            Err(error) => tracing::error!(%error, "robot task failed"),
        }
    }
    robots.abort_all();
    reports.sort_by(|a, b| a.id.cmp(&b.id));
    reports
}

async fn wait_for_the_end(shared: &Shared, mut stop: watch::Receiver<bool>) {
    let told = async {
        // A sender that is gone without a word leaves the run to its own end.
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let own_end = async {
        match shared.options.until {
            Until::Stopped => std::future::pending().await,
            Until::Elapsed(duration) => tokio::time::sleep(duration).await,
            Until::Idle(quiet) => idle(shared, quiet).await,
        }
    };
    tokio::select! {
        () = told => {}
        () = own_end => {}
    }
}

/// Ends when the fleet has been at rest for a while after having worked.
async fn idle(shared: &Shared, quiet: Duration) {
    let mut look = tokio::time::interval(Duration::from_millis(100));
    let mut since: Option<Instant> = None;
    let mut started_then = 0;
    loop {
        look.tick().await;
        let now = shared.stats.snapshot();
        let rest = now.settled == shared.options.fleet.len() as u64
            && now.operations_started > 0
            && now.operations_running() == 0;
        if !rest || now.operations_started != started_then {
            started_then = now.operations_started;
            since = None;
        }
        if rest && since.get_or_insert_with(Instant::now).elapsed() >= quiet {
            return;
        }
    }
}
