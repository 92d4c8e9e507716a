//! Arguments, and what they mean together.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args;

use crate::driver::{Broker, MqttVersion, Pace, Pairing, RunOptions, TimeScale, Until};
use crate::fleet::{self, Origin, ProtocolChoice};
use crate::inputs::{self, InputError};
use crate::profile::{Profile, ProfileError};

/// Run a fleet of simulated robots against an MQTT broker.
///
/// With --pairing-url the robots do what Edgehog devices do: they are registered with --pairing-token,
/// or have their secrets from --credentials; they ask for a certificate, have it verified before every
/// connection, are told the broker's address, and connect over TLS with it.
///
/// Without a credentials file the robots are called sim-00001, sim-00002, … and connect with the
/// password "dev", which a server started with --dev accepts. Their ECUs are: the primary main
/// (hardware id compute), then motor-1 and motor-2 (both of hardware id motor), lidar, arm, gripper,
/// then extra-6 and so on (hardware id extra). Each runs version 1.0.0 of HARDWARE_ID-os.
///
/// Artifacts are really downloaded and their digests checked. An Edgehog request names no image: those
/// robots take it from the artifact's first line, `rollcall-image NAME@VERSION`.
///
/// Exit codes: 0 the run ended as asked, 1 it failed, 2 the command line is wrong.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Address of a broker, mqtt://HOST:PORT or mqtts://HOST:PORT, port 1883 or 8883 if left out.
    /// Several addresses are taken in turn, which allows more connections than one address has ports.
    #[arg(long, value_name = "URL", required_unless_present = "pairing_url", num_args = 1.., value_parser = parse_broker)]
    pub broker: Vec<Broker>,

    /// Certificates of the authorities whose servers are trusted, PEM; for mqtts, https and pairing.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Base of the pairing API, http://HOST:PORT/pairing or https://HOST:PORT/pairing.
    #[arg(long, value_name = "URL", conflicts_with = "broker", requires = "ca", value_parser = parse_pairing)]
    pub pairing_url: Option<String>,

    /// Token that registers generated robots; instead of --credentials.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "DEVICE_SIM_PAIRING_TOKEN",
        hide_env_values = true,
        requires = "pairing_url",
        conflicts_with = "credentials"
    )]
    pub pairing_token: Option<String>,

    /// Folder in which each robot keeps secret, key and certificate, so that the next run goes on
    /// with them. Without it they are forgotten at the end.
    #[arg(long, value_name = "DIR", requires = "pairing_url")]
    pub state_dir: Option<PathBuf>,

    /// How many robots, 1 to 100,000; with a credentials file at most so many of its lines.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub robots: Option<u32>,

    /// ECUs of each generated robot, 1 to 32.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub ecus: u16,

    /// Behaviour, a TOML file; device-sim/profiles/default.toml explains every key.
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,

    /// Seed of everything that is left to chance.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// What generated robots speak.
    #[arg(long, value_enum, default_value_t)]
    pub protocol: ProtocolChoice,

    /// MQTT version of native robots; Edgehog devices speak 3.1.1.
    #[arg(long, value_enum, default_value_t)]
    pub mqtt: MqttVersion,

    /// First level of every topic.
    #[arg(long, value_name = "NAME", default_value = "fleet")]
    pub realm: String,

    /// Robots and their secrets, one JSON object per line as `rollcall robot add --json` prints it.
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,

    /// How many times faster than the wall clock the robots live.
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = parse_scale)]
    pub time_scale: TimeScale,

    /// Attempts to connect per second, all robots together.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub connect_rate: u32,

    /// Attempts to connect at once, pairing included, all robots together.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..))]
    pub connects_at_once: u16,

    /// Number of every robot's first start; must rise from run to run. Default: seconds since 1970.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub first_boot: Option<u64>,

    /// End after this time, such as 60s.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,

    /// End when robots have worked and then all have been idle for three seconds.
    #[arg(long, conflicts_with = "duration")]
    pub stop_when_idle: bool,

    /// End when standard input closes.
    #[arg(long)]
    pub until_stdin_closes: bool,

    /// End with one line of JSON on standard output: figures, and every robot's real outcomes.
    #[arg(long)]
    pub json: bool,

    /// Show no progress.
    #[arg(long)]
    pub quiet: bool,
}

/// How long a fleet must be idle to be done.
const IDLE: Duration = Duration::from_secs(3);

/// Why arguments cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArgsError {
    /// Neither a number of robots nor a credentials file.
    #[error("how many robots? give --robots or --credentials")]
    NoFleet,
    /// Something that they name cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The profile cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

impl RunArgs {
    /// Reads the files that the arguments name and puts everything together.
    ///
    /// # Errors
    /// Says which argument or file cannot be used, and why.
    pub fn options(&self) -> Result<RunOptions, ArgsError> {
        inputs::check_realm(&self.realm)?;
        let profile = match &self.profile {
            Some(path) => Profile::load(path)?,
            None => Profile::default(),
        };
        let first_boot = self.first_boot.unwrap_or_else(seconds_since_1970);
        let origin = Origin {
            seed: self.seed,
            first_boot,
        };
        let robots = self.robots.and_then(|robots| usize::try_from(robots).ok());
        let fleet = match (&self.credentials, robots) {
            (None, None) => return Err(ArgsError::NoFleet),
            (None, Some(robots)) => {
                fleet::generate(robots, usize::from(self.ecus), self.protocol, origin)
            }
            (Some(path), robots) => {
                let mut fleet = inputs::robots(path, origin)?;
                fleet.truncate(robots.unwrap_or(usize::MAX));
                fleet
            }
        };
        let until = match (self.duration, self.stop_when_idle) {
            (Some(duration), _) => Until::Elapsed(duration),
            (None, true) => Until::Idle(IDLE),
            (None, false) => Until::Stopped,
        };
        let trust = inputs::trust(self.ca.as_deref())?;
        let pairing = self.pairing_url.as_ref().map(|url| Pairing {
            url: url.clone(),
            token: self.pairing_token.clone(),
            state_dir: self.state_dir.clone(),
        });
        Ok(RunOptions {
            brokers: self.broker.clone(),
            pairing,
            trust,
            realm: self.realm.clone(),
            fleet,
            profile,
            mqtt: self.mqtt,
            time_scale: self.time_scale,
            pace: Pace {
                per_second: self.connect_rate,
                at_once: self.connects_at_once,
            },
            until,
        })
    }
}

pub(crate) fn seconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(1, |since| since.as_secs().max(1))
}

pub(crate) fn parse_broker(text: &str) -> Result<Broker, String> {
    let (address, tls) = match (text.strip_prefix("mqtt://"), text.strip_prefix("mqtts://")) {
        (Some(address), _) => (address, false),
        (_, Some(address)) => (address, true),
        (None, None) => {
            return Err(
                "a broker is given as mqtt://HOST[:PORT] or mqtts://HOST[:PORT]".to_owned(),
            );
        }
    };
    let usual = if tls { "8883" } else { "1883" };
    let (host, port) = address.rsplit_once(':').unwrap_or((address, usual));
    let port = port
        .parse()
        .map_err(|_| format!("{port:?} is not a port"))?;
    if host.is_empty() || host.contains('/') {
        return Err(format!("{host:?} is not a host"));
    }
    Ok(Broker {
        host: host.to_owned(),
        port,
        tls,
    })
}

fn parse_pairing(text: &str) -> Result<String, String> {
    let wrong = || "the pairing API is given as http://HOST:PORT/pairing or https://…".to_owned();
    let uri: hyper::Uri = text.parse().map_err(|_| wrong())?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.query().is_none() => Ok(text.to_owned()),
        _ => Err(wrong()),
    }
}

fn parse_scale(text: &str) -> Result<TimeScale, String> {
    let factor = text.parse().ok().and_then(TimeScale::new);
    factor.ok_or_else(|| "a factor is above 0 and at most 1,000,000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_urls_with_an_optional_port() {
        let broker = |host: &str, port, tls| {
            let host = host.to_owned();
            Ok(Broker { host, port, tls })
        };
        let plain = broker("127.0.0.1", 2883, false);
        assert_eq!(parse_broker("mqtt://127.0.0.1:2883"), plain);
        let usual = broker("localhost", 1883, false);
        assert_eq!(parse_broker("mqtt://localhost"), usual);
        let secured = broker("localhost", 8883, true);
        assert_eq!(parse_broker("mqtts://localhost"), secured);
        for bad in [
            "127.0.0.1:1883",
            "mqtt://",
            "mqtt://h:99999",
            "wss://h:1",
            "mqtt://h/x:1",
        ] {
            assert!(parse_broker(bad).is_err(), "{bad}");
        }
    }
}
