//! From arguments to what clients need: addresses, trust, names, and enough open files.

use std::io;
use std::net::ToSocketAddrs;
use std::sync::Arc;

use rollcall_proto::topic::Base;
use rustls::pki_types::ServerName;

use super::args::{ServerArgs, TargetArgs};
use super::client::{Address, Target, Who};
use super::process::{Process, ProcessError};
use crate::driver::{self, LimitError};
use crate::fleet::{self, Member, Origin, ProtocolChoice};
use crate::inputs::{self, InputError};
use crate::model::Protocol;

/// Why a measurement cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Something that the command line names cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// TLS cannot be set up.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// A host has no address.
    #[error("find the address of {host}: check --broker")]
    Resolve {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The credentials file has too few robots.
    #[error(
        "{needed} robots are needed, and the credentials file has {found}: register more, or ask for fewer"
    )]
    TooFewRobots {
        /// How many are needed.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// A robot that this program cannot play here.
    #[error("robot {0} speaks Edgehog's protocol; bench plays native robots only")]
    NotNative(String),
    /// Robots may publish below their own names only.
    #[error("robots from --credentials may publish OTAEvents only: add --payload ota-events")]
    RobotsSayEvents,
    /// A robot gets messages from the server only.
    #[error(
        "robots from --credentials get messages from the server only: add --by-server, and launch a rollout"
    )]
    RobotsHearTheServer,
    /// The server's process cannot be looked at.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Too few file descriptors.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

impl SetupError {
    /// Whether the command line is wrong, and not the server or the machine.
    pub(super) const fn is_usage(&self) -> bool {
        match self {
            Self::Input(_)
            | Self::TooFewRobots { .. }
            | Self::NotNative(_)
            | Self::RobotsSayEvents
            | Self::RobotsHearTheServer
            | Self::Process(_) => true,
            Self::Tls(_) | Self::Resolve { .. } | Self::Limit(_) => false,
        }
    }
}

/// Where clients connect, from the arguments.
pub(super) fn target(args: &TargetArgs) -> Result<Target, SetupError> {
    let trust = inputs::trust(args.ca.as_deref())?;
    let mut addresses = Vec::new();
    for broker in &args.broker {
        if broker.tls && trust.is_nobody() {
            return Err(InputError::NoTrust(broker.host.clone()).into());
        }
        let unresolved = |source| SetupError::Resolve {
            host: broker.host.clone(),
            source,
        };
        let found = (broker.host.as_str(), broker.port).to_socket_addrs();
        let socket = found.map_err(unresolved)?.next();
        let socket = socket.ok_or_else(|| unresolved(io::ErrorKind::NotFound.into()))?;
        let name = ServerName::try_from(broker.host.clone());
        let name = name.map_err(|error| unresolved(io::Error::other(error)))?;
        addresses.push(Address {
            socket,
            name: broker.tls.then_some(name),
        });
    }
    Ok(Target {
        addresses,
        tls: Arc::new(driver::client_config(&trust)?),
        version: args.mqtt,
    })
}

/// The server's process, if it is to be looked at.
pub(super) fn server(args: &ServerArgs) -> Result<Option<Process>, SetupError> {
    Ok(args.server_pid.map(Process::find).transpose()?)
}

/// Clients that connect and nothing else: robots where there are credentials.
pub(super) fn clients(args: &TargetArgs, count: usize) -> Result<Vec<Who>, SetupError> {
    if args.credentials.is_some() {
        let robots = robots(args, count, 1)?;
        return Ok(robots
            .iter()
            .map(|robot| robot_login(args, robot))
            .collect());
    }
    Ok((0..count)
        .map(|number| plain(args, "bench", number))
        .collect())
}

/// A client that is no robot.
pub(super) fn plain(args: &TargetArgs, kind: &str, number: usize) -> Who {
    let login = args.user.clone().zip(args.password.clone());
    Who {
        id: format!("{kind}-{:05}", number + 1),
        login,
    }
}

/// Robots from the credentials file, or those that a server with `--dev` takes.
pub(super) fn robots(
    args: &TargetArgs,
    count: usize,
    ecus: usize,
) -> Result<Vec<Member>, SetupError> {
    inputs::check_realm(&args.realm)?;
    // As in a run: the number of a robot's first start must rise from one to the next.
    let origin = Origin {
        seed: 1,
        first_boot: crate::cli::seconds_since_1970(),
    };
    let Some(path) = &args.credentials else {
        return Ok(fleet::generate(count, ecus, ProtocolChoice::Native, origin));
    };
    let mut found = inputs::robots(path, origin)?;
    if found.len() < count {
        return Err(SetupError::TooFewRobots {
            needed: count,
            found: found.len(),
        });
    }
    found.truncate(count);
    let stranger = found
        .iter()
        .find(|member| member.config.protocol != Protocol::Native);
    match stranger {
        Some(member) => Err(SetupError::NotNative(member.config.id.clone())),
        None => Ok(found),
    }
}

/// How a robot connects.
pub(super) fn robot_login(args: &TargetArgs, robot: &Member) -> Who {
    let base = Base {
        realm: &args.realm,
        robot: &robot.config.id,
    };
    let id = base.to_string();
    Who {
        login: Some((id.clone(), robot.secret.clone())),
        id,
    }
}

/// Raises the limit of open files for so many connections.
pub(super) fn files(connections: usize) -> Result<(), SetupError> {
    Ok(driver::raise_open_files(connections, 0)?)
}
