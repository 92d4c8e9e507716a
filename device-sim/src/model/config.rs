//! Who a simulated robot is.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Image;

/// Which protocol a robot speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Rollcall's own, any number of ECUs.
    #[default]
    Native,
    /// Edgehog's, one ECU.
    Edgehog,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Edgehog => "edgehog",
        })
    }
}

/// Everything that makes a robot.
#[derive(Debug, Clone)]
pub struct RobotConfig {
    /// Its id.
    pub id: String,
    /// Its number, which selects its stream of randomness.
    pub index: u64,
    /// Seed of the simulation.
    pub seed: u64,
    /// Which protocol it speaks.
    pub protocol: Protocol,
    /// Number of its first start, at least 1. A robot that a server knows already must start above
    /// its last number.
    pub first_boot: u64,
    /// Its ECUs; exactly one is primary. An Edgehog robot has one.
    pub ecus: Vec<EcuConfig>,
}

/// One ECU.
#[derive(Debug, Clone)]
pub struct EcuConfig {
    /// Its name.
    pub name: String,
    /// What the board is.
    pub hardware_id: String,
    /// Whether it runs the MQTT client.
    pub primary: bool,
    /// What it runs at first.
    pub image: Image,
}

/// Names and hardware ids of generated ECUs after the primary. The motors share a hardware id.
const SECONDARIES: [(&str, &str); 5] = [
    ("motor-1", "motor"),
    ("motor-2", "motor"),
    ("lidar", "lidar"),
    ("arm", "arm"),
    ("gripper", "gripper"),
];

impl EcuConfig {
    /// The ECU of a place in a generated robot: `main` on `compute`, then `motor-1`, `motor-2`,
    /// `lidar`, `arm`, `gripper`, then `extra-6`, `extra-7`, … on `extra`. Each runs version 1.0.0 of
    /// the image `<hardware id>-os`.
    #[must_use]
    pub fn generated(place: usize) -> Self {
        let extra = format!("extra-{place}");
        let (name, hardware_id) = match place.checked_sub(1) {
            None => ("main", "compute"),
            Some(index) => SECONDARIES.get(index).copied().unwrap_or((&extra, "extra")),
        };
        Self {
            name: name.to_owned(),
            hardware_id: hardware_id.to_owned(),
            primary: place == 0,
            image: Image::initial(hardware_id),
        }
    }
}

impl Image {
    /// What an ECU of a hardware id runs when nothing else is said.
    #[must_use]
    pub fn initial(hardware_id: &str) -> Self {
        // A hardware id may be as long as an image name; the suffix must not make it longer.
        let stem: String = hardware_id.chars().take(61).collect();
        Self {
            name: format!("{stem}-os"),
            version: "1.0.0".to_owned(),
            build_id: None,
            digest: None,
        }
    }
}
