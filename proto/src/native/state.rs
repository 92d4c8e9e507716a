//! What a robot is doing, for the moment of an update.

use prost::Message;

use super::DecodeError;
use super::check;
use super::wire::{self, Field, Kind, Wire};

/// What a robot is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationalState {
    /// Powered and without a task.
    Idle,
    /// On its charger, without a task.
    Charging,
    /// Carrying out a task.
    Mission,
    /// Driven by a person.
    Teleoperated,
    /// Taken out of service by a person.
    Maintenance,
    /// Unable to work.
    Fault,
    /// Something else.
    Other,
}

/// A robot's state; the newest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// What the robot is doing.
    pub operational: OperationalState,
    /// Charge in percent, 0 to 100; `None` without a battery.
    pub battery_percent: Option<u8>,
    /// Bytes free for downloads; `None` when unknown.
    pub free_storage_bytes: Option<u64>,
}

impl Wire for wire::State {
    const FIELDS: &'static [Field] = &[
        ("state", Kind::Number),
        ("battery_percent", Kind::Number),
        ("free_storage_bytes", Kind::Number),
    ];
}

impl State {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let state = match self.operational {
            OperationalState::Idle => wire::OperationalState::Idle,
            OperationalState::Charging => wire::OperationalState::Charging,
            OperationalState::Mission => wire::OperationalState::Mission,
            OperationalState::Teleoperated => wire::OperationalState::Teleoperated,
            OperationalState::Maintenance => wire::OperationalState::Maintenance,
            OperationalState::Fault => wire::OperationalState::Fault,
            OperationalState::Other => wire::OperationalState::Other,
        };
        wire::State {
            state: state.into(),
            battery_percent: self.battery_percent.map(u32::from),
            free_storage_bytes: self.free_storage_bytes,
        }
        .encode_to_vec()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// Names the first field that is not as documented.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        wire::decode::<wire::State>(payload)?.try_into()
    }
}

impl TryFrom<wire::State> for State {
    type Error = DecodeError;

    fn try_from(wire: wire::State) -> Result<Self, DecodeError> {
        let operational = match wire::OperationalState::try_from(wire.state) {
            Ok(wire::OperationalState::Idle) => OperationalState::Idle,
            Ok(wire::OperationalState::Charging) => OperationalState::Charging,
            Ok(wire::OperationalState::Mission) => OperationalState::Mission,
            Ok(wire::OperationalState::Teleoperated) => OperationalState::Teleoperated,
            Ok(wire::OperationalState::Maintenance) => OperationalState::Maintenance,
            Ok(wire::OperationalState::Fault) => OperationalState::Fault,
            Ok(wire::OperationalState::Other) => OperationalState::Other,
            Ok(wire::OperationalState::Unspecified) => return Err(DecodeError::Missing("state")),
            Err(_) => return Err(DecodeError::Invalid("state")),
        };
        Ok(Self {
            operational,
            battery_percent: wire
                .battery_percent
                .map(|percent| check::percent("battery_percent", percent))
                .transpose()?,
            free_storage_bytes: wire.free_storage_bytes,
        })
    }
}
