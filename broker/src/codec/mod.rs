//! Strict codec for MQTT 3.1.1 and 5.0, both directions.
//!
//! Invariant: nothing here allocates in proportion to a length that was announced but not received.

mod reason;
mod types;

pub use reason::ReasonCode;
pub use types::{PacketType, ProtocolVersion, QoS};
