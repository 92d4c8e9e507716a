//! What can be wrong with received bytes, and the MQTT 5 reason code for each.

use super::reason::ReasonCode;
use super::types::PacketType;
use thiserror::Error;

/// Received bytes that are not a packet we accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum DecodeError {
    /// Packet type 0, or AUTH before MQTT 5.
    #[error("packet type {0} is reserved")]
    ReservedPacketType(u8),
    /// The low nibble of the first byte is not what the type requires.
    #[error("wrong fixed-header flags on {0:?}")]
    WrongFlags(PacketType),
    /// A variable byte integer with more than four bytes or with superfluous ones.
    #[error("variable byte integer is not encoded minimally in four bytes")]
    VariableByteInteger,
    /// The announced length exceeds the receiver's maximum.
    #[error("packet of {length} bytes exceeds the maximum of {maximum}")]
    PacketTooLarge {
        /// Announced remaining length, bytes.
        length: usize,
        /// Accepted remaining length, bytes.
        maximum: usize,
    },
    /// A field reaches beyond the packet's end.
    #[error("packet ends within a field")]
    Truncated,
    /// Bytes are left after the last field.
    #[error("packet has bytes after its last field")]
    TrailingBytes,
    /// A string is not UTF-8.
    #[error("string is not valid utf-8")]
    InvalidUtf8,
    /// A string holds U+0000.
    #[error("string contains u+0000")]
    NulInString,
    /// QoS bits are 3.
    #[error("qos 3 does not exist")]
    ReservedQoS,
    /// DUP set on a QoS 0 PUBLISH.
    #[error("dup flag on a qos 0 publish")]
    DupOnQoS0,
    /// Packet identifier 0.
    #[error("packet identifier is zero")]
    PacketIdZero,
    /// A PUBLISH or will without topic.
    #[error("topic name is empty")]
    EmptyTopic,
    /// `#` or `+` in a topic name.
    #[error("topic name contains a wildcard")]
    WildcardInTopic,
    /// A wildcard at a wrong place in a filter, or an empty filter.
    #[error("topic filter is not well formed")]
    TopicFilter,
    /// CONNECT names another protocol.
    #[error("protocol name is not MQTT")]
    ProtocolName,
    /// CONNECT asks for a level other than 4 and 5.
    #[error("protocol level {0} is not supported")]
    ProtocolLevel(u8),
    /// Reserved or contradictory CONNECT flags.
    #[error("connect flags contradict each other")]
    ConnectFlags,
    /// Reserved CONNACK flags.
    #[error("connack flags are reserved")]
    ConnAckFlags,
    /// A property that MQTT 5 does not define.
    #[error("property 0x{0:02x} does not exist")]
    UnknownProperty(u32),
    /// A property that does not belong into the packet.
    #[error("property 0x{0:02x} is not allowed in this packet")]
    MisplacedProperty(u8),
    /// A property that may come once came again.
    #[error("property 0x{0:02x} is repeated")]
    RepeatedProperty(u8),
    /// A property with a value that is not allowed.
    #[error("property 0x{0:02x} has a value that is not allowed")]
    PropertyValue(u8),
    /// SUBSCRIBE or UNSUBSCRIBE without filters, or their answer without codes.
    #[error("packet lists nothing")]
    EmptyList,
    /// Reserved bits or values in subscription options.
    #[error("subscription options are reserved values")]
    SubscriptionOptions,
    /// No Local on a shared subscription.
    #[error("no local is not allowed on a shared subscription")]
    NoLocalOnShared,
    /// A reason code that is not defined for the packet.
    #[error("reason code 0x{0:02x} is not allowed in this packet")]
    ReasonCode(u8),
}

impl DecodeError {
    /// The MQTT 5 reason code that tells the sender.
    #[must_use]
    pub const fn reason_code(self) -> ReasonCode {
        match self {
            Self::PacketTooLarge { .. } => ReasonCode::PacketTooLarge,
            Self::ProtocolName | Self::ProtocolLevel(_) => ReasonCode::UnsupportedProtocolVersion,
            Self::WildcardInTopic => ReasonCode::TopicNameInvalid,
            Self::TopicFilter => ReasonCode::TopicFilterInvalid,
            Self::EmptyTopic
            | Self::RepeatedProperty(_)
            | Self::PropertyValue(_)
            | Self::MisplacedProperty(_)
            | Self::EmptyList
            | Self::NoLocalOnShared => ReasonCode::ProtocolError,
            Self::ReservedPacketType(_)
            | Self::WrongFlags(_)
            | Self::VariableByteInteger
            | Self::Truncated
            | Self::TrailingBytes
            | Self::InvalidUtf8
            | Self::NulInString
            | Self::ReservedQoS
            | Self::DupOnQoS0
            | Self::PacketIdZero
            | Self::ConnectFlags
            | Self::ConnAckFlags
            | Self::UnknownProperty(_)
            | Self::SubscriptionOptions
            | Self::ReasonCode(_) => ReasonCode::MalformedPacket,
        }
    }
}

/// A packet that cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum EncodeError {
    /// A string or binary field longer than 65,535 bytes.
    #[error("field exceeds 65535 bytes")]
    FieldTooLong,
    /// The whole exceeds 268,435,455 bytes.
    #[error("packet exceeds 268435455 bytes")]
    PacketTooLong,
    /// A property was given a value of another type.
    #[error("property does not hold such a value")]
    PropertyType,
    /// AUTH does not exist in MQTT 3.1.1.
    #[error("auth does not exist in mqtt 3.1.1")]
    NotInVersion,
}
