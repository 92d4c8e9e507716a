//! The topics on which a robot publishes.

use super::{Base, is_interface_name};
use crate::edgehog::INTERFACE_PREFIX;
use crate::edgehog::interface::{Interface, Owner};
use crate::ident;

/// Longest topic in bytes that a robot may publish on.
pub const TOPIC_MAX: usize = 1024;

/// What a publish of a robot is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uplink<'a> {
    /// Native: who the robot is.
    Manifest,
    /// Native: what an ECU runs.
    BaseImage {
        /// The ECU.
        ecu: &'a str,
    },
    /// Native: a step of an operation.
    OtaEvent {
        /// The ECU.
        ecu: &'a str,
    },
    /// Native: what the robot is doing.
    State,
    /// Astarte: the list of interfaces.
    Introspection,
    /// Astarte: the device has no server-owned properties.
    EmptyCache,
    /// Astarte: the device-owned properties that exist.
    ProducerProperties,
    /// Astarte: what else the device's SDK can do. Nothing depends on it.
    Capabilities,
    /// Edgehog: a step of an operation.
    EdgehogOtaEvent,
    /// Edgehog: a property of the installed image.
    EdgehogBaseImage {
        /// `name`, `version`, `buildId` or `fingerprint`.
        property: &'a str,
    },
    /// Any other interface.
    OtherInterface {
        /// Its name.
        interface: &'a str,
        /// What follows, without a leading `/`.
        path: &'a str,
    },
}

/// Why a topic is not one on which a robot may publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// Longer than [`TOPIC_MAX`].
    #[error("topic of {0} bytes is too long")]
    TooLong(usize),
    /// Does not begin with realm and robot.
    #[error("topic does not begin with realm and robot")]
    BadBase,
    /// Below `control/`, and not one of Astarte's.
    #[error("control topic is not known")]
    UnknownControl,
    /// Not an interface name.
    #[error("topic names no interface")]
    BadInterface,
    /// An interface of `rollcall.` that version 1 does not have.
    #[error("rollcall interface is not known")]
    UnknownRollcallInterface,
    /// Only the server publishes there.
    #[error("topic belongs to the server")]
    ServerOwned,
    /// The path is not the interface's.
    #[error("path is not one of the interface's")]
    BadPath,
}

impl<'a> Uplink<'a> {
    /// Reads a topic name.
    ///
    /// # Errors
    /// The robot may not publish there, and why.
    pub fn parse(topic: &'a str) -> Result<(Base<'a>, Self), TopicError> {
        if topic.len() > TOPIC_MAX {
            return Err(TopicError::TooLong(topic.len()));
        }
        let (base, rest) = Base::split(topic)?;
        let uplink = match rest {
            None => Self::Introspection,
            Some(rest) => match rest.split_once('/') {
                None => Self::of_interface(rest, "")?,
                Some(("control", path)) => Self::control(path)?,
                Some((_, "")) => return Err(TopicError::BadPath),
                Some((interface, path)) => Self::of_interface(interface, path)?,
            },
        };
        Ok((base, uplink))
    }

    /// The interface and the path (without a leading `/`) of a publish on one of Astarte's.
    #[must_use]
    pub const fn interface(&self) -> Option<(&'a str, &'a str)> {
        match *self {
            Self::EdgehogOtaEvent => Some(("io.edgehog.devicemanager.OTAEvent", "event")),
            Self::EdgehogBaseImage { property } => {
                Some(("io.edgehog.devicemanager.BaseImage", property))
            }
            Self::OtherInterface { interface, path } => Some((interface, path)),
            Self::Manifest
            | Self::BaseImage { .. }
            | Self::OtaEvent { .. }
            | Self::State
            | Self::Introspection
            | Self::EmptyCache
            | Self::ProducerProperties
            | Self::Capabilities => None,
        }
    }

    fn control(path: &str) -> Result<Self, TopicError> {
        match path {
            "emptyCache" => Ok(Self::EmptyCache),
            "producer/properties" => Ok(Self::ProducerProperties),
            "consumer/properties" => Err(TopicError::ServerOwned),
            _ => Err(TopicError::UnknownControl),
        }
    }

    fn of_interface(interface: &'a str, path: &'a str) -> Result<Self, TopicError> {
        if let Some(name) = interface.strip_prefix("rollcall.") {
            return Self::rollcall(name, path);
        }
        if !is_interface_name(interface) {
            return Err(TopicError::BadInterface);
        }
        if let Some(name) = interface.strip_prefix(INTERFACE_PREFIX) {
            return Self::edgehog(interface, name, path);
        }
        match (interface, path) {
            ("capabilities", "") => Ok(Self::Capabilities),
            ("control", "") => Err(TopicError::UnknownControl),
            _ => Self::other(interface, path),
        }
    }

    fn rollcall(name: &str, path: &'a str) -> Result<Self, TopicError> {
        let ecu = || {
            if ident::is_ecu_name(path) {
                Ok(path)
            } else {
                Err(TopicError::BadPath)
            }
        };
        let alone = |uplink| {
            if path.is_empty() {
                Ok(uplink)
            } else {
                Err(TopicError::BadPath)
            }
        };
        match name {
            "v1.Manifest" => alone(Self::Manifest),
            "v1.State" => alone(Self::State),
            "v1.BaseImage" => Ok(Self::BaseImage { ecu: ecu()? }),
            "v1.OTAEvent" => Ok(Self::OtaEvent { ecu: ecu()? }),
            "v1.OTARequest" | "v1.Ack" => Err(TopicError::ServerOwned),
            _ => Err(TopicError::UnknownRollcallInterface),
        }
    }

    fn edgehog(interface: &'a str, name: &str, path: &'a str) -> Result<Self, TopicError> {
        match (name, path) {
            ("OTAEvent", "event") => Ok(Self::EdgehogOtaEvent),
            ("BaseImage", "name" | "version" | "buildId" | "fingerprint") => {
                Ok(Self::EdgehogBaseImage { property: path })
            }
            _ if Interface::known(interface).is_some_and(|known| known.owner == Owner::Server) => {
                Err(TopicError::ServerOwned)
            }
            _ => Self::other(interface, path),
        }
    }

    fn other(interface: &'a str, path: &'a str) -> Result<Self, TopicError> {
        let level = |level: &str| !level.is_empty() && !level.contains(['+', '#', '\0']);
        if path.split('/').all(level) {
            Ok(Self::OtherInterface { interface, path })
        } else {
            Err(TopicError::BadPath)
        }
    }
}

/// Whether what a robot publishes on a topic is looked at: one of its own, and either one on which robots publish, or one
/// of Astarte's, where a mistake is answered as Astarte does.
#[must_use]
pub fn is_device_publishable(robot: &Base<'_>, topic: &str) -> bool {
    match Uplink::parse(topic) {
        Ok((base, _)) => base == *robot,
        Err(
            TopicError::TooLong(_) | TopicError::BadBase | TopicError::UnknownRollcallInterface,
        ) => false,
        Err(_) => Base::split(topic).is_ok_and(|(base, rest)| {
            base == *robot && rest.is_some_and(|rest| !rest.starts_with("rollcall."))
        }),
    }
}
