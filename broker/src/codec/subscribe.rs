//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK.

use super::ack::reason;
use super::error::{DecodeError, EncodeError};
use super::frame::{put_field, put_packet, variable_len};
use super::properties::{Properties, PropertyPlace};
use super::reader::Reader;
use super::reason::ReasonCode;
use super::topic::SHARED_PREFIX;
use super::types::{PacketType, ProtocolVersion, QoS};
use bytes::Bytes;
use bytestring::ByteString;

/// When a new subscription gets the retained messages (MQTT 5; always on 3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every SUBSCRIBE.
    Send = 0,
    /// Only if the subscription is new.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

/// How a subscription wants its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubscribeOptions {
    /// The most that the client wants.
    pub qos: QoS,
    /// Nothing that the client published itself.
    pub no_local: bool,
    /// Keep the retain flag as published.
    pub retain_as_published: bool,
    /// When retained messages are wanted.
    pub retain_handling: RetainHandling,
}

impl SubscribeOptions {
    /// MQTT 3.1.1's only option.
    #[must_use]
    pub const fn qos(qos: QoS) -> Self {
        Self {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        }
    }

    fn decode(byte: u8, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let qos = QoS::from_bits(byte & 3).ok_or(DecodeError::ReservedQoS)?;
        let reserved = if version.is_v5() { 0xc0 } else { 0xfc };
        if byte & reserved != 0 {
            return Err(DecodeError::SubscriptionOptions);
        }
        Ok(Self {
            qos,
            no_local: byte & 0b0100 != 0,
            retain_as_published: byte & 0b1000 != 0,
            retain_handling: match byte >> 4 & 3 {
                0 => RetainHandling::Send,
                1 => RetainHandling::SendIfNew,
                2 => RetainHandling::DoNotSend,
                _ => return Err(DecodeError::SubscriptionOptions),
            },
        })
    }

    const fn byte(self, version: ProtocolVersion) -> u8 {
        if version.is_v5() {
            self.qos.bits()
                | (self.no_local as u8) << 2
                | (self.retain_as_published as u8) << 3
                | (self.retain_handling as u8) << 4
        } else {
            self.qos.bits()
        }
    }
}

/// One filter of a SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Topic filter.
    pub filter: ByteString,
    /// Options.
    pub options: SubscribeOptions,
}

/// A client asks for subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Names the request.
    pub packet_id: u16,
    /// MQTT 5 properties.
    pub properties: Properties,
    /// At least one.
    pub subscriptions: Vec<Subscription>,
}

impl Subscribe {
    pub(super) fn decode(version: ProtocolVersion, body: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let properties = packet_properties(&mut reader, version, PacketType::Subscribe)?;
        let mut subscriptions = Vec::new();
        while !reader.is_empty() {
            let filter = reader.topic_filter()?;
            let options = SubscribeOptions::decode(reader.byte()?, version)?;
            if options.no_local && filter.starts_with(SHARED_PREFIX) {
                return Err(DecodeError::NoLocalOnShared);
            }
            subscriptions.push(Subscription { filter, options });
        }
        if subscriptions.is_empty() {
            return Err(DecodeError::EmptyList);
        }
        Ok(Self {
            packet_id,
            properties,
            subscriptions,
        })
    }

    pub(super) fn encode(
        &self,
        version: ProtocolVersion,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        put_packet(out, PacketType::Subscribe.first_byte(), |body| {
            body.extend_from_slice(&self.packet_id.to_be_bytes());
            if version.is_v5() {
                self.properties.encode(body)?;
            }
            for subscription in &self.subscriptions {
                put_field(body, subscription.filter.as_bytes())?;
                body.push(subscription.options.byte(version));
            }
            Ok(())
        })
    }
}

/// The server's answer to SUBSCRIBE, one code per filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubAck {
    /// As in the SUBSCRIBE.
    pub packet_id: u16,
    /// MQTT 5 properties.
    pub properties: Properties,
    /// On MQTT 3.1.1 every error is written as 0x80.
    pub codes: Vec<ReasonCode>,
}

impl SubAck {
    pub(super) fn decode(version: ProtocolVersion, body: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let properties = packet_properties(&mut reader, version, PacketType::SubAck)?;
        let codes = codes(&mut reader, |byte| {
            if version.is_v5() || matches!(byte, 0 | 1 | 2 | 0x80) {
                reason(PacketType::SubAck, byte)
            } else {
                Err(DecodeError::ReasonCode(byte))
            }
        })?;
        Ok(Self {
            packet_id,
            properties,
            codes,
        })
    }

    /// Length of the encoded MQTT 5 packet, bytes.
    pub(crate) fn encoded_len_v5(&self) -> usize {
        let body = 2 + self.properties.encoded_len() + self.codes.len();
        1 + variable_len(body) + body
    }

    pub(super) fn encode(
        &self,
        version: ProtocolVersion,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        put_packet(out, PacketType::SubAck.first_byte(), |body| {
            body.extend_from_slice(&self.packet_id.to_be_bytes());
            if version.is_v5() {
                self.properties.encode(body)?;
            }
            body.extend(self.codes.iter().map(|code| {
                if code.is_error() && !version.is_v5() {
                    ReasonCode::UnspecifiedError.byte()
                } else {
                    code.byte()
                }
            }));
            Ok(())
        })
    }
}

/// A client drops subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Names the request.
    pub packet_id: u16,
    /// MQTT 5 properties.
    pub properties: Properties,
    /// At least one.
    pub filters: Vec<ByteString>,
}

impl Unsubscribe {
    pub(super) fn decode(version: ProtocolVersion, body: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let properties = packet_properties(&mut reader, version, PacketType::Unsubscribe)?;
        let mut filters = Vec::new();
        while !reader.is_empty() {
            filters.push(reader.topic_filter()?);
        }
        if filters.is_empty() {
            return Err(DecodeError::EmptyList);
        }
        Ok(Self {
            packet_id,
            properties,
            filters,
        })
    }

    pub(super) fn encode(
        &self,
        version: ProtocolVersion,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        put_packet(out, PacketType::Unsubscribe.first_byte(), |body| {
            body.extend_from_slice(&self.packet_id.to_be_bytes());
            if version.is_v5() {
                self.properties.encode(body)?;
            }
            for filter in &self.filters {
                put_field(body, filter.as_bytes())?;
            }
            Ok(())
        })
    }
}

/// The server's answer to UNSUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsubAck {
    /// As in the UNSUBSCRIBE.
    pub packet_id: u16,
    /// MQTT 5 properties.
    pub properties: Properties,
    /// One per filter; not written on MQTT 3.1.1.
    pub codes: Vec<ReasonCode>,
}

impl UnsubAck {
    pub(super) fn decode(version: ProtocolVersion, body: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let properties = packet_properties(&mut reader, version, PacketType::UnsubAck)?;
        let codes = if version.is_v5() {
            codes(&mut reader, |byte| reason(PacketType::UnsubAck, byte))?
        } else {
            Vec::new()
        };
        reader.finish()?;
        Ok(Self {
            packet_id,
            properties,
            codes,
        })
    }

    /// Length of the encoded MQTT 5 packet, bytes.
    pub(crate) fn encoded_len_v5(&self) -> usize {
        let body = 2 + self.properties.encoded_len() + self.codes.len();
        1 + variable_len(body) + body
    }

    pub(super) fn encode(
        &self,
        version: ProtocolVersion,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        put_packet(out, PacketType::UnsubAck.first_byte(), |body| {
            body.extend_from_slice(&self.packet_id.to_be_bytes());
            if version.is_v5() {
                self.properties.encode(body)?;
                body.extend(self.codes.iter().map(|code| code.byte()));
            }
            Ok(())
        })
    }
}

fn packet_properties(
    reader: &mut Reader,
    version: ProtocolVersion,
    kind: PacketType,
) -> Result<Properties, DecodeError> {
    if version.is_v5() {
        Properties::decode(reader, PropertyPlace::Packet(kind))
    } else {
        Ok(Properties::none())
    }
}

fn codes(
    reader: &mut Reader,
    parse: impl Fn(u8) -> Result<ReasonCode, DecodeError>,
) -> Result<Vec<ReasonCode>, DecodeError> {
    let mut codes = Vec::new();
    while !reader.is_empty() {
        codes.push(parse(reader.byte()?)?);
    }
    if codes.is_empty() {
        return Err(DecodeError::EmptyList);
    }
    Ok(codes)
}
