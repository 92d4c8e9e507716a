//! MQTT's small vocabularies: protocol version, quality of service, packet type.

use std::fmt;

/// The protocol level a client asked for in CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProtocolVersion {
    /// MQTT 3.1.1 (protocol level 4).
    V4,
    /// MQTT 5.0 (protocol level 5).
    V5,
}

impl ProtocolVersion {
    /// True for MQTT 5.0, whose packets carry properties and reason codes.
    #[must_use]
    pub const fn is_v5(self) -> bool {
        matches!(self, Self::V5)
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "3.1.1",
            Self::V5 => "5.0",
        })
    }
}

/// Quality of service of one PUBLISH or the most that a subscription grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum QoS {
    /// Sent once, never acknowledged.
    AtMostOnce = 0,
    /// Acknowledged with PUBACK; may arrive twice.
    AtLeastOnce = 1,
    /// Acknowledged with PUBREC, PUBREL, PUBCOMP; arrives once.
    ExactlyOnce = 2,
}

impl QoS {
    /// The level for its two wire bits, or `None` for the reserved value 3.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// The two wire bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }
}

/// The control packet types, numbered as in the fixed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// Client asks for a connection.
    Connect = 1,
    /// Server answers CONNECT.
    ConnAck = 2,
    /// Application message.
    Publish = 3,
    /// Answer to a QoS 1 PUBLISH.
    PubAck = 4,
    /// First answer to a QoS 2 PUBLISH.
    PubRec = 5,
    /// Sender releases a QoS 2 message.
    PubRel = 6,
    /// Last answer of QoS 2.
    PubComp = 7,
    /// Client asks for subscriptions.
    Subscribe = 8,
    /// Answer to SUBSCRIBE.
    SubAck = 9,
    /// Client drops subscriptions.
    Unsubscribe = 10,
    /// Answer to UNSUBSCRIBE.
    UnsubAck = 11,
    /// Keep-alive request.
    PingReq = 12,
    /// Keep-alive answer.
    PingResp = 13,
    /// Either side ends the connection (3.1.1: only the client).
    Disconnect = 14,
    /// Enhanced authentication, MQTT 5 only.
    Auth = 15,
}

impl PacketType {
    /// The type named by the high nibble of the first byte; 0 is reserved.
    #[must_use]
    pub const fn from_first_byte(first: u8) -> Option<Self> {
        Some(match first >> 4 {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The four flag bits that this type must carry; PUBLISH has its own.
    #[must_use]
    pub const fn fixed_flags(self) -> u8 {
        match self {
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        }
    }

    /// The first byte of a packet of this type (PUBLISH adds its flags).
    #[must_use]
    pub const fn first_byte(self) -> u8 {
        (self as u8) << 4 | self.fixed_flags()
    }
}
