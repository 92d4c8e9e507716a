//! The application-level acknowledgement.

use prost::Message;

use super::DecodeError;
use super::check;
use super::wire::{self, Field, Kind, Wire};

/// Every event up to and including (boot, counter) is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ack {
    /// Boot of the newest durable event, at least 1.
    pub boot: u64,
    /// Its counter, at least 1.
    pub counter: u64,
}

impl Wire for wire::Ack {
    const FIELDS: &'static [Field] = &[("boot", Kind::Number), ("counter", Kind::Number)];
}

impl Ack {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::Ack {
            boot: self.boot,
            counter: self.counter,
        }
        .encode_to_vec()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// Names the first field that is not as documented.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        wire::decode::<wire::Ack>(payload)?.try_into()
    }
}

impl TryFrom<wire::Ack> for Ack {
    type Error = DecodeError;

    fn try_from(wire: wire::Ack) -> Result<Self, DecodeError> {
        Ok(Self {
            boot: check::at_least_one("boot", wire.boot)?,
            counter: check::at_least_one("counter", wire.counter)?,
        })
    }
}
