//! A storm: the server was killed and starts again, and every device of the fleet comes back at once. Each has its
//! certificate verified, makes a full mutual TLS handshake, subscribes, introduces itself and says its properties again.

use super::{Site, count, seconds};
use crate::fleet::until;
use crate::procfs::{Cpu, Memory, machine};
use crate::report::Figure;
use crate::server::{PATIENCE, Server};
use crate::{Bench, note};
use anyhow::{Context, Result, ensure};
use device_sim::driver::{
    MqttVersion, Pace, Pairing, Report, RunOptions, Snapshot, Stats, TimeScale, Trust, Until, run,
};
use device_sim::fleet::{Origin, ProtocolChoice, generate};
use device_sim::profile::Profile;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const ROBOTS: usize = 10_000;

/// Between two looks at the server's list of robots, which costs it something.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let robots = bench.connected(ROBOTS);
    let mut figures = Vec::new();
    for (secured, name) in [(true, "storm"), (false, "storm.plain_pairing")] {
        note(&format!("{name}: {robots} robots"));
        figures.extend(one(bench, robots, secured, name)?);
    }
    Ok(figures)
}

fn one(bench: &Bench, robots: usize, secured: bool, name: &str) -> Result<Vec<Figure>> {
    let mut site = Site::open(&bench.server, secured)?;
    let devices = Devices::start(&site, robots)?;
    let first = Instant::now();
    devices.wait_until_heard(robots)?;
    let first = first.elapsed();
    wait_until_ready(&site.server, robots)?;

    let before = devices.stats.snapshot();
    site.server.kill()?;
    until("every device to notice the end", || {
        devices.stats.snapshot().connected == 0
    })?;
    let (own, all) = (Cpu::of("self")?, machine()?);
    site.server.respawn()?;
    let began = site.server.wait_until_ready()?;
    devices.wait_until_heard(robots)?;
    let heard = began.elapsed();
    let used = site.server.cpu()?.total;
    let own = Cpu::of("self")?.since(&own).total;
    let others = machine()?.saturating_sub(all + used + own);
    let peak = site.server.peak_memory()?;
    let device = Memory::of(std::process::id())?.resident / robots as u64;
    wait_until_ready(&site.server, robots)?;
    let ready = began.elapsed();
    let after = devices.stats.snapshot();
    let report = devices.stop()?;
    check(&before, &after, &report, robots)?;

    let each = |time: Duration| time.as_secs_f64() * 1e3 / count(robots as u64);
    let again = after.connect_failures - before.connect_failures;
    let way = if secured { "https" } else { "http" };
    Ok(vec![
        seconds(name, heard).under(format!(
            "{robots} devices with certificates, pairing over {way}: from the server's readiness after a kill until all \
             of their properties are acknowledged"
        )),
        seconds(&format!("{name}.ready"), ready)
            .under("until all may be sent requests: property windows of 10 s of quiet included"),
        Figure::new(format!("{name}.cpu"), each(used), "ms")
            .under("server CPU per device, start of the process included"),
        Figure::new(format!("{name}.load"), each(own), "ms").under(format!(
            "CPU of the devices, each, on the same cores; other processes used {:.2} cores",
            others.as_secs_f64() / heard.as_secs_f64()
        )),
        Figure::new(format!("{name}.peak_rss"), count(peak) / 1e6, "MB").under("of the server"),
        Figure::new(format!("{name}.device_rss"), count(device) / 1e3, "KB")
            .under("of this program, per device"),
        Figure::new(format!("{name}.attempts"), count(again), "")
            .under("attempts that failed since the kill, also those while there was no server"),
        Figure::new(format!("{name}.pairing_p99"), report.pairing_latency.p99_ms, "ms")
            .under("pairing before a connection, first arrival included"),
        Figure::new(format!("{name}.connect_p99"), report.connect_latency.p99_ms, "ms")
            .under("TLS handshake to CONNACK, first arrival included"),
        seconds(&format!("{name}.first_time"), first)
            .under("the same fleet's first arrival: registered, certificates issued"),
    ])
}

/// What must have happened, and what must not.
fn check(before: &Snapshot, after: &Snapshot, report: &Report, robots: usize) -> Result<()> {
    let robots = robots as u64;
    let verified = after.pairing_verifications - before.pairing_verifications;
    ensure!(
        verified >= robots,
        "only {verified} certificates were verified"
    );
    ensure!(
        after.pairing_credentials == robots && after.pairing_registrations == robots,
        "certificates were issued again: {after:?}"
    );
    ensure!(
        after.tls_handshakes >= 2 * robots,
        "no handshakes: {after:?}"
    );
    let violations: u64 = after.violations;
    ensure!(
        violations == 0,
        "the server broke its word {violations} times"
    );
    ensure!(
        report.robots as u64 == robots,
        "only {} devices gave an account of themselves",
        report.robots
    );
    Ok(())
}

/// The fleet, in threads of this process.
#[derive(Debug)]
struct Devices {
    stats: Arc<Stats>,
    stop: watch::Sender<bool>,
    run: JoinHandle<Result<Report>>,
    runtime: Runtime,
}

impl Devices {
    fn start(site: &Site, robots: usize) -> Result<Self> {
        let origin = Origin {
            seed: 1,
            first_boot: 1,
        };
        let options = RunOptions {
            brokers: Vec::new(),
            pairing: Some(Pairing {
                url: site.pairing_url(),
                token: Some(site.token.clone()),
                state_dir: None,
            }),
            trust: Trust::load(&site.authority())?,
            realm: "fleet".to_owned(),
            fleet: generate(robots, 1, ProtocolChoice::Edgehog, origin),
            profile: Profile::default(),
            mqtt: MqttVersion::V3,
            time_scale: TimeScale::REAL,
            // Nobody holds a real fleet back. This much is what one process can usefully have under way.
            pace: Pace {
                per_second: 1_000_000,
                at_once: 1_000,
            },
            until: Until::Stopped,
        };
        let runtime = Runtime::new().context("no runtime for the devices")?;
        let (stop, stopped) = watch::channel(false);
        let stats = Arc::new(Stats::default());
        let running = run(options, Arc::clone(&stats), stopped);
        let run = runtime.spawn(async move { Ok(running.await?) });
        Ok(Self {
            stats,
            stop,
            run,
            runtime,
        })
    }

    /// Waits until everything that the devices had to say is acknowledged.
    fn wait_until_heard(&self, robots: usize) -> Result<()> {
        let heard = until("all devices to be heard", || {
            self.stats.snapshot().settled == robots as u64
        });
        heard.with_context(|| format!("{:?}, {:?}", self.stats.last_error(), self.stats.refusals()))
    }

    fn stop(self) -> Result<Report> {
        self.stop
            .send(true)
            .context("the devices have ended early")?;
        self.runtime.block_on(self.run)?
    }
}

/// Waits until the server would send a request to every device.
fn wait_until_ready(server: &Server, robots: usize) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ready = server.ready_robots()?;
        if ready == robots {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "only {ready} of {robots} devices are ready"
        );
        std::thread::sleep(LOOK);
    }
}
