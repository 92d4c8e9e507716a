//! Who a robot is and which ECUs it has.

use std::collections::BTreeSet;

use prost::Message;

use super::check;
use super::wire::{self, Field, Kind, Wire};
use super::{DecodeError, PROTOCOL_VERSION};
use crate::ident;

/// Most ECUs of one robot.
pub const ECUS_MAX: usize = 32;

/// A robot's description of itself, first message on every connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Version of the protocol, [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// Number of this start of the robot's software, at least 1.
    pub boot: u64,
    /// Whether the robot waits for [`super::Ack`].
    pub wants_ack: bool,
    /// The ECUs, 1 to [`ECUS_MAX`], unique names, exactly one primary.
    pub ecus: Vec<EcuDescription>,
}

/// One ECU of a robot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcuDescription {
    /// Name within the robot.
    pub name: String,
    /// What the board is.
    pub hardware_id: String,
    /// Whether it runs the MQTT client.
    pub primary: bool,
}

const ECU_FIELDS: &[Field] = &[
    ("ecus.name", Kind::Bytes),
    ("ecus.hardware_id", Kind::Bytes),
    ("ecus.primary", Kind::Number),
];

impl Wire for wire::Manifest {
    const FIELDS: &'static [Field] = &[
        ("protocol", Kind::Number),
        ("boot", Kind::Number),
        ("wants_ack", Kind::Number),
        ("ecus", Kind::Messages(ECU_FIELDS)),
    ];
}

impl Manifest {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let ecus = self.ecus.iter().map(|ecu| wire::EcuDescription {
            name: ecu.name.clone(),
            hardware_id: ecu.hardware_id.clone(),
            primary: ecu.primary,
        });
        wire::Manifest {
            protocol: self.protocol,
            boot: self.boot,
            wants_ack: self.wants_ack,
            ecus: ecus.collect(),
        }
        .encode_to_vec()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// Names the first field that is not as documented.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        wire::decode::<wire::Manifest>(payload)?.try_into()
    }
}

impl TryFrom<wire::Manifest> for Manifest {
    type Error = DecodeError;

    fn try_from(wire: wire::Manifest) -> Result<Self, DecodeError> {
        let protocol = check::at_least_one("protocol", wire.protocol)?;
        if protocol != PROTOCOL_VERSION {
            return Err(DecodeError::UnsupportedProtocol(protocol));
        }
        let boot = check::at_least_one("boot", wire.boot)?;
        Ok(Self {
            protocol,
            boot,
            wants_ack: wire.wants_ack,
            ecus: ecus(wire.ecus)?,
        })
    }
}

fn ecus(wire: Vec<wire::EcuDescription>) -> Result<Vec<EcuDescription>, DecodeError> {
    if wire.is_empty() {
        return Err(DecodeError::Missing("ecus"));
    }
    if wire.len() > ECUS_MAX {
        return Err(DecodeError::TooManyEcus(wire.len()));
    }
    let ecus = wire
        .into_iter()
        .map(EcuDescription::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    let mut names = BTreeSet::new();
    if let Some(twice) = ecus.iter().find(|ecu| !names.insert(ecu.name.as_str())) {
        return Err(DecodeError::DuplicateEcu(twice.name.clone()));
    }
    match ecus.iter().filter(|ecu| ecu.primary).count() {
        1 => Ok(ecus),
        count => Err(DecodeError::PrimaryCount(count)),
    }
}

impl TryFrom<wire::EcuDescription> for EcuDescription {
    type Error = DecodeError;

    fn try_from(wire: wire::EcuDescription) -> Result<Self, DecodeError> {
        let hardware_id = wire.hardware_id;
        let (name_max, hardware_max) = (ident::ECU_NAME_MAX, ident::HARDWARE_ID_MAX);
        Ok(Self {
            name: check::text("ecus.name", wire.name, name_max, ident::is_ecu_name)?,
            hardware_id: check::text(
                "ecus.hardware_id",
                hardware_id,
                hardware_max,
                ident::is_hardware_id,
            )?,
            primary: wire.primary,
        })
    }
}
