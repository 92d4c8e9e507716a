//! Strict codec for MQTT 3.1.1 and 5.0, both directions.
//!
//! [`header`] finds the end of a packet in received bytes, [`Packet::decode`] takes it apart without copying, and
//! [`Packet::encode`] writes it. Invariant: nothing here allocates in proportion to a length that was announced but not
//! received, and no input panics.

mod ack;
mod connect;
mod error;
mod frame;
mod packet;
mod properties;
mod publish;
mod reader;
mod reason;
mod session_end;
mod subscribe;
#[cfg(test)]
mod tests;
pub mod topic;
mod types;

pub use ack::Ack;
pub use connect::{ConnAck, Connect, Will};
pub use error::{DecodeError, EncodeError};
pub use frame::{Header, MAX_REMAINING_LENGTH, header};
pub use packet::Packet;
pub use properties::{Properties, PropertiesBuilder, PropertyId, PropertyPlace, Value};
pub use publish::Publish;
pub(crate) use publish::PublishHead;
pub use reason::ReasonCode;
pub use session_end::{Auth, Disconnect};
pub use subscribe::{
    RetainHandling, SubAck, Subscribe, SubscribeOptions, Subscription, UnsubAck, Unsubscribe,
};
pub use types::{PacketType, ProtocolVersion, QoS};
