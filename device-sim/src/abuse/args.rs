//! `device-sim abuse`: arguments, and what they mean together.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use hyper::Uri;
use rollcall_proto::native::{EcuDescription, Manifest, PROTOCOL_VERSION};

use super::arena::{Arena, Effort};
use super::attack::{Attack, Fault};
use super::attacks;
use super::metrics::{Metrics, MetricsError};
use super::report::Report;
use super::suite::{Suite, Welcome, survey};
use super::target::{Guests, Robot, Target};
use crate::cli::parse_broker;
use crate::driver::{Broker, LimitError, client_config, raise_open_files};
use crate::fleet::{Member, Origin};
use crate::inputs::{self, InputError};

/// Attack an MQTT broker, and see whether it and its other clients survive.
///
/// Every attack is one idea. While it runs, innocent clients publish, subscribe and reconnect: a pair at
/// QoS 1, a client of QoS 2, a visitor that comes again and again, and with --credentials a robot of
/// Rollcall's. They must notice nothing. Clients need a user name and password, or a broker that lets
/// anybody in; with --credentials alone, robots attack as far as robots can.
///
/// Attack brokers of your own only. Messages that are retained, and sessions, are removed again where
/// the broker lets that happen.
///
/// Exit codes: 0 everything was survived, 1 something was not, 2 the command line is wrong.
#[derive(Debug, Clone, Args)]
pub struct AbuseArgs {
    /// Address of the broker, mqtt://HOST:PORT or mqtts://HOST:PORT, port 1883 or 8883 if left out.
    #[arg(long, value_name = "URL", required_unless_present = "list", value_parser = parse_broker)]
    pub broker: Option<Broker>,

    /// Attack its listener for WebSocket too, ws://HOST:PORT; the path is /mqtt.
    #[arg(long, value_name = "URL", value_parser = parse_websocket)]
    pub websocket: Option<Broker>,

    /// Certificates of the authorities that are trusted, PEM; for mqtts and https.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Only these attacks.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub only: Vec<String>,

    /// Say which attacks there are, and do nothing.
    #[arg(long)]
    pub list: bool,

    /// Little of everything: about a minute in all, for a test in between.
    #[arg(long)]
    pub short: bool,

    /// User name of clients.
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,

    /// Their password.
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "DEVICE_SIM_PASSWORD",
        hide_env_values = true,
        requires = "username"
    )]
    pub password: Option<String>,

    /// How their client ids begin.
    #[arg(long, value_name = "TEXT", default_value = "abuse-")]
    pub client_prefix: String,

    /// How the topics begin that they use.
    #[arg(long, value_name = "TEXT", default_value = "abuse/")]
    pub topic_prefix: String,

    /// Robots of Rollcall's and their secrets, one JSON object per line as `rollcall robot add --json`
    /// prints it: the first is innocent, the others attack.
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,

    /// Realm of these robots.
    #[arg(long, value_name = "NAME", default_value = "fleet")]
    pub realm: String,

    /// Process of the server on this machine, whose memory is watched.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,

    /// Megabytes by which the server may grow during one attack.
    #[arg(long, value_name = "MB", default_value_t = 256)]
    pub memory_limit: u32,

    /// Megabytes by which it may be larger after an attack than before the first.
    #[arg(long, value_name = "MB", default_value_t = 512)]
    pub total_memory_limit: u32,

    /// Rollcall's counters, http://HOST:PORT/metrics: each refusal must be among them.
    #[arg(long, value_name = "URL")]
    pub metrics: Option<Uri>,

    /// Token for the counters, of a viewer or more.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "ROLLCALL_TOKEN",
        hide_env_values = true,
        requires = "metrics"
    )]
    pub token: Option<String>,

    /// Longest time that an innocent client may wait for anything.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    pub stall_limit: Duration,

    /// Longest time in which a server must answer or end a connection of an attacker. Above the time that it gives to
    /// a CONNECT, which is 10 s in Rollcall.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = humantime::parse_duration)]
    pub patience: Duration,

    /// Longest time for one attack.
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = humantime::parse_duration)]
    pub attack_limit: Duration,

    /// Seed of everything that is left to chance.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// End with one line of JSON on standard output instead of a table.
    #[arg(long)]
    pub json: bool,

    /// Show no progress.
    #[arg(long)]
    pub quiet: bool,
}

/// Why a suite cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AbuseError {
    /// `--only` names something else.
    #[error("there is no attack {0:?}; --list says which there are")]
    NoSuchAttack(String),
    /// Neither a broker nor `--list`.
    #[error("which broker? give --broker")]
    NoBroker,
    /// Something that the command line names cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// TLS cannot be set up.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// Too few open files.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// There is no such process, or no `/proc`.
    #[error(
        "cannot see the memory of process {0}; is --server-pid right, and is it on this machine?"
    )]
    NoProcess(u32),
    /// The broker is not there, or makes no sense already.
    #[error("the broker does not serve before any attack: {0}")]
    NotServing(String),
    /// Nobody is let in.
    #[error(
        "the broker lets nobody in ({0}): give --username and --password, or --credentials, or open it to anybody; \
         --client-prefix and --topic-prefix say where"
    )]
    NotWelcome(String),
    /// The counters cannot be read.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The report could not be written.
    #[error("write the report")]
    Write(#[from] io::Error),
    /// The report could not be put into JSON.
    #[error("encode the report")]
    Encode(#[from] serde_json::Error),
}

impl AbuseError {
    /// Whether the command line is wrong, and not the broker or the machine.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NoSuchAttack(_) | Self::NoBroker | Self::Input(_) | Self::NoProcess(_)
        )
    }
}

/// Runs the suite and writes its report to `out`, progress to standard error.
///
/// # Errors
/// See [`AbuseError`]. A broker that fails is no error; [`Report::has_failures`] tells.
pub async fn execute(
    args: &AbuseArgs,
    out: &mut (impl Write + Send),
) -> Result<Report, AbuseError> {
    let chosen = chosen(&args.only)?;
    if args.list {
        for attack in &chosen {
            writeln!(out, "{:24} {}", attack.name, attack.what)?;
        }
        let (seed, attacks) = (args.seed, Vec::new());
        return Ok(Report { seed, attacks });
    }
    let suite = suite(args).await?;
    let mut progress = io::stderr();
    let report = suite
        .run(&chosen, |attack| {
            if !args.quiet {
                // Who does not listen to progress misses nothing.
                let _ = writeln!(progress, "{:24} {}", attack.attack, attack.verdict.words());
            }
        })
        .await?;
    if args.json {
        serde_json::to_writer(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", report.table())?;
    }
    out.flush()?;
    Ok(report)
}

fn chosen(only: &[String]) -> Result<Vec<Attack>, AbuseError> {
    let all = attacks::all();
    if let Some(wrong) = only
        .iter()
        .find(|name| all.iter().all(|attack| attack.name != **name))
    {
        return Err(AbuseError::NoSuchAttack(wrong.clone()));
    }
    let wanted = |attack: &&Attack| only.is_empty() || only.iter().any(|name| name == attack.name);
    Ok(all.iter().filter(wanted).copied().collect())
}

async fn suite(args: &AbuseArgs) -> Result<Suite, AbuseError> {
    let broker = args.broker.as_ref().ok_or(AbuseError::NoBroker)?;
    let trust = inputs::trust(args.ca.as_deref())?;
    if broker.tls && trust.is_nobody() {
        return Err(InputError::NoTrust(broker.host.clone()).into());
    }
    if let Some(url) = &args.metrics
        && url.scheme_str() == Some("https")
        && trust.is_nobody()
    {
        return Err(InputError::NoTrust(url.to_string()).into());
    }
    let tls = Arc::new(client_config(&trust)?);
    let target = |broker: &Broker| Target {
        host: broker.host.clone(),
        port: broker.port,
        tls: broker.tls.then(|| tls.clone()),
        patience: args.patience,
    };
    let effort = if args.short {
        Effort::SHORT
    } else {
        Effort::FULL
    };
    raise_open_files(effort.connections, 0)?;
    if let Some(pid) = args.server_pid {
        super::memory::resident(pid).ok_or(AbuseError::NoProcess(pid))?;
    }
    let guests = Guests {
        username: args.username.clone(),
        password: args.password.clone(),
        client_prefix: args.client_prefix.clone(),
        topic_prefix: args.topic_prefix.clone(),
        run: format!("{:x}", millis_since_1970()),
    };
    let websocket = args.websocket.as_ref().map(target);
    let robots = robots(args)?;
    let mut arena = Arena::new(target(broker), websocket, guests, robots, effort, args.seed);
    arena.open = is_open(&arena).await?;
    Ok(Suite {
        arena: Arc::new(arena),
        metrics: args.metrics.clone().map(|url| {
            let tls = tls.as_ref().clone();
            Metrics::new(url, args.token.clone(), tls)
        }),
        server_pid: args.server_pid,
        memory_limit: u64::from(args.memory_limit) * 1_000_000,
        total_memory_limit: u64::from(args.total_memory_limit) * 1_000_000,
        stall_limit: args.stall_limit,
        attack_limit: args.attack_limit,
    })
}

/// Whether clients that are no robots are let in; an error if nobody is.
async fn is_open(arena: &Arena) -> Result<bool, AbuseError> {
    let not_serving = |Fault(why)| AbuseError::NotServing(why);
    match survey(arena).await.map_err(not_serving)? {
        Welcome::Open => Ok(true),
        _ if !arena.robots.is_empty() => Ok(false),
        Welcome::Closed => Err(AbuseError::NotWelcome(format!(
            "clients may not use topics below {}",
            arena.guests.topic_prefix
        ))),
        Welcome::Refused(Some(code)) => {
            Err(AbuseError::NotWelcome(format!("CONNACK 0x{code:02x}")))
        }
        Welcome::Refused(None) => Err(AbuseError::NotWelcome("it hangs up".to_owned())),
    }
}

fn robots(args: &AbuseArgs) -> Result<Vec<Robot>, AbuseError> {
    let Some(path) = &args.credentials else {
        return Ok(Vec::new());
    };
    let origin = Origin {
        seed: args.seed,
        first_boot: millis_since_1970() / 1_000,
    };
    Ok(inputs::robots(path, origin)?
        .into_iter()
        .map(|member| robot(&args.realm, member))
        .collect())
}

fn robot(realm: &str, Member { config, secret }: Member) -> Robot {
    let ecus = config.ecus.iter().map(|ecu| EcuDescription {
        name: ecu.name.clone(),
        hardware_id: ecu.hardware_id.clone(),
        primary: ecu.primary,
    });
    let manifest = Manifest {
        protocol: PROTOCOL_VERSION,
        boot: config.first_boot,
        wants_ack: false,
        ecus: ecus.collect(),
    };
    Robot {
        base: format!("{realm}/{}", config.id),
        secret,
        manifest: manifest.encode(),
    }
}

fn millis_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(1, |since| u64::try_from(since.as_millis()).unwrap_or(1))
}

fn parse_websocket(text: &str) -> Result<Broker, String> {
    let address = text
        .strip_prefix("ws://")
        .map(|rest| rest.split('/').next());
    let wrong = || "a listener for WebSocket is given as ws://HOST:PORT".to_owned();
    let (host, port) = address
        .flatten()
        .and_then(|address| address.rsplit_once(':'))
        .ok_or_else(wrong)?;
    Ok(Broker {
        host: host.to_owned(),
        port: port.parse().map_err(|_| wrong())?,
        tls: false,
    })
}
