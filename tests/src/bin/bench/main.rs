//! The benchmark: what a real `rollcall serve` process does per second, per robot and per megabyte, measured from
//! outside while lean robots load it over loopback TCP; and what the engine costs by itself.
//!
//! **Invariant**: a figure counts only when the checks beside it hold (nothing acknowledged is lost, nothing out of
//! order); a missed mark is told, a failed check fails the run.
//!
//! Exit codes: 0 measured, 1 a measurement or a check failed, 2 the command line is wrong, or names what is not there.

mod cpu;
mod document;
mod edgehog;
mod engine;
mod events;
mod fleet;
mod growth;
mod idle;
mod launch;
mod peers;
mod procfs;
mod report;
mod restart;
mod server;
mod soak;
mod tls;
mod verify;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use report::{Figure, Machine, Report};
use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Measures a `rollcall serve` process, or the engine.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure.
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// The server's binary; default: `rollcall` beside this program.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Robots, instead of what each measurement prescribes (restart: robots in the store, of which at most 2,000
    /// connect; engine: this size only).
    #[arg(long, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    robots: Option<u32>,
    /// Length of the window in which events are counted.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Serves as the TLS server of this benchmark's own, with the files in `--certificates`.
    #[arg(long, hide = true, requires = "certificates")]
    serve_tls: Option<SocketAddr>,
    #[arg(long, hide = true)]
    certificates: Option<PathBuf>,
    /// One JSON object on standard output instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    peers: peers::PeersArgs,
    #[command(flatten)]
    soak: soak::SoakArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Everything below, one after the other.
    All,
    /// Durable OTAEvents per second, QoS 1 and QoS 2.
    Events,
    /// From the launch to the last of the requests.
    Launch,
    /// Memory with idle robots.
    Idle,
    /// Server CPU per completed operation.
    Cpu,
    /// Start after a kill in the middle of a rollout.
    Restart,
    /// TLS handshakes and memory of idle TLS connections, beside mosquitto.
    Tls,
    /// Pairing requests per second.
    Pairing,
    /// Edgehog devices that reconnect at once: verification, TLS, handshake, properties.
    Storm,
    /// The engine without a server: cost of inputs and memory, as the fleet grows.
    Engine,
    /// Rollcall beside mosquitto, rumqttd and rmqtt, as a Markdown table; not part of `all`.
    Peers,
    /// Memory and time per robot as the fleet grows to 500,000, over pipes within this process. Not part of `all`.
    Growth,
    /// The same over sockets, as far as there are files. Not part of `all`.
    Sockets,
    /// An hour at a fixed rate, with robots that come and go, rollouts and hostile clients. Not part of `all`.
    Soak,
}

/// What every measurement needs to know.
#[derive(Debug)]
struct Bench {
    server: PathBuf,
    robots: Option<usize>,
    window: Duration,
}

impl Bench {
    /// Robots that connect: as asked, else `usual`.
    fn connected(&self, usual: usize) -> usize {
        self.robots.unwrap_or(usual).min(MAX_CONNECTED)
    }
}

/// Connections of one run: what a server takes by default. Each is a file here and one there.
const MAX_CONNECTED: usize = 15_000;

/// Files that this program needs beside the robots' connections.
const OTHER_FILES: u64 = 256;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            note(&format!("error: {error:#}"));
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

/// What is wrong with the command line, or with a file that it names.
#[derive(Debug)]
struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Returns whether every check held.
fn run(args: &Args) -> Result<bool> {
    if let (Some(address), Some(certificates)) = (args.serve_tls, &args.certificates) {
        tls::serve(address, certificates)?;
        return Ok(true);
    }
    if args.what == What::Peers {
        let text = if args.peers.from.is_empty() {
            raise_open_files()?;
            let server = program(args.server.clone(), "rollcall", "--server")?;
            peers::measure(&args.peers, server, &Machine::here()?)?
        } else {
            peers::join(&args.peers)?
        };
        write!(std::io::stdout().lock(), "{text}")?;
        return Ok(true);
    }
    if args.what == What::Soak {
        return soak(args);
    }
    let robots = args.robots.map(usize::try_from).transpose()?;
    let mut report = Report::new(Machine::here()?);
    if matches!(args.what, What::All | What::Engine) {
        match engine::measure(robots) {
            Ok(growth) => report.engine = growth,
            Err(error) => report.failures.push(format!("Engine: {error:#}")),
        }
    }
    if args.what != What::Engine {
        let bench = Bench {
            server: program(args.server.clone(), "rollcall", "--server")?,
            robots,
            window: Duration::from_secs(args.seconds),
        };
        measure_server(args.what, &bench, &mut report)?;
    }
    let mut stdout = std::io::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", serde_json::to_string(&report)?)?;
    } else {
        write!(stdout, "{report}")?;
    }
    Ok(report.failures.is_empty())
}

fn soak(args: &Args) -> Result<bool> {
    let settings = args.soak.settings(args.robots)?;
    if let Some(document) = &args.peers.into {
        document::check(document, "soak")?;
    }
    raise_open_files()?;
    let programs = soak::Programs {
        server: program(args.server.clone(), "rollcall", "--server")?,
        generator: program(args.peers.generator.clone(), "device-sim", "--generator")?,
    };
    let report = soak::measure(settings, &programs, Machine::here()?)?;
    let mut stdout = std::io::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", serde_json::to_string(&report)?)?;
    } else {
        write!(stdout, "{}", report.markdown())?;
    }
    if let Some(document) = &args.peers.into {
        document::write_into(document, "soak", &report.markdown())?;
    }
    Ok(report.has_passed())
}

fn measure_server(what: What, bench: &Bench, report: &mut Report) -> Result<()> {
    type Measure = fn(&Bench) -> Result<Vec<Figure>>;
    let all: [(What, Measure); 10] = [
        (What::Events, events::measure),
        (What::Launch, launch::measure),
        (What::Idle, idle::measure),
        (What::Cpu, cpu::measure),
        (What::Restart, restart::measure),
        (What::Tls, tls::measure),
        (What::Pairing, edgehog::pairing::measure),
        (What::Storm, edgehog::storm::measure),
        (What::Growth, growth::pipes),
        (What::Sockets, growth::sockets),
    ];
    raise_open_files()?;
    for (part, measure) in all {
        let in_all = !matches!(part, What::Growth | What::Sockets);
        if what != part && !(what == What::All && in_all) {
            continue;
        }
        match measure(bench) {
            Ok(figures) => report.figures.extend(figures),
            Err(error) => report.failures.push(format!("{part:?}: {error:#}")),
        }
    }
    Ok(())
}

/// The program that the option names, or the one beside this program.
fn program(given: Option<PathBuf>, name: &str, option: &str) -> Result<PathBuf> {
    let path = match given {
        Some(path) => path,
        None => std::env::current_exe()
            .context("this program does not know where it is")?
            .with_file_name(name),
    };
    ensure!(
        path.is_file(),
        Usage(format!(
            "{} is missing; build it with `cargo build --release --bin {name}`, or name another with {option}",
            path.display()
        ))
    );
    Ok(path)
}

/// A robot's connection is an open file.
fn raise_open_files() -> Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let needed = MAX_CONNECTED as u64 + OTHER_FILES;
    let mut limit = getrlimit(Resource::Nofile);
    if let Some(hard) = limit.maximum.filter(|hard| *hard < needed) {
        bail!(
            "{needed} open files are needed, but the hard limit is {hard}: raise it (ulimit -Hn)"
        );
    }
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("the limit of open files cannot be raised")
}

/// Says what goes on; results are on standard output.
fn note(text: &str) {
    // Nobody may be reading any more.
    let _ = writeln!(std::io::stderr(), "{text}");
}
