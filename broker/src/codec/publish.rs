//! PUBLISH, the packet whose decoding and encoding must be fast.

use super::error::{DecodeError, EncodeError};
use super::frame::{MAX_REMAINING_LENGTH, put_field, put_variable, variable_len};
use super::properties::{Properties, PropertyId, PropertyPlace};
use super::reader::Reader;
use super::types::{PacketType, ProtocolVersion, QoS};
use bytes::Bytes;
use bytestring::ByteString;

/// An application message. Topic, payload and properties share the received bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Sent before, on this or an earlier connection.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// Retain flag.
    pub retain: bool,
    /// Topic name; empty only with an MQTT 5 topic alias.
    pub topic: ByteString,
    /// 0 exactly with QoS 0.
    pub packet_id: u16,
    /// MQTT 5 properties.
    pub properties: Properties,
    /// Payload.
    pub payload: Bytes,
}

impl Publish {
    pub(super) fn decode(
        first: u8,
        version: ProtocolVersion,
        body: Bytes,
    ) -> Result<Self, DecodeError> {
        let qos = QoS::from_bits(first >> 1 & 3).ok_or(DecodeError::ReservedQoS)?;
        let mut reader = Reader::new(body);
        let topic = reader.topic_name()?;
        let packet_id = if qos == QoS::AtMostOnce {
            0
        } else {
            reader.packet_id()?
        };
        let properties = if version.is_v5() {
            Properties::decode(&mut reader, PropertyPlace::Packet(PacketType::Publish))?
        } else {
            Properties::none()
        };
        if topic.is_empty() && properties.get(PropertyId::TopicAlias).is_none() {
            return Err(DecodeError::EmptyTopic);
        }
        Ok(Self {
            dup: first & 0b1000 != 0,
            qos,
            retain: first & 1 != 0,
            topic,
            packet_id,
            properties,
            payload: reader.into_rest(),
        })
    }

    pub(super) fn encode(
        &self,
        version: ProtocolVersion,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        PublishHead {
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            packet_id: self.packet_id,
            extra: &[],
            properties: &self.properties,
        }
        .encode(version, &self.payload, out)
    }
}

/// Everything of a PUBLISH but the payload, borrowed, so that one message is written to many clients without copies.
#[derive(Debug)]
pub(crate) struct PublishHead<'a> {
    pub(crate) dup: bool,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) topic: &'a str,
    pub(crate) packet_id: u16,
    /// Encoded properties of this one delivery, written before the message's own.
    pub(crate) extra: &'a [u8],
    pub(crate) properties: &'a Properties,
}

impl PublishHead<'_> {
    fn body_len(&self, version: ProtocolVersion, payload: usize) -> usize {
        let id = if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        let properties = if version.is_v5() {
            let length = self.extra.len() + self.properties.as_bytes().len();
            variable_len(length) + length
        } else {
            0
        };
        2 + self.topic.len() + id + properties + payload
    }

    /// Length of the encoded packet, bytes.
    pub(crate) fn encoded_len(&self, version: ProtocolVersion, payload: usize) -> usize {
        let body = self.body_len(version, payload);
        1 + variable_len(body) + body
    }

    pub(crate) fn encode(
        &self,
        version: ProtocolVersion,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let body = self.body_len(version, payload.len());
        if body > MAX_REMAINING_LENGTH {
            return Err(EncodeError::PacketTooLong);
        }
        if self.topic.len() > usize::from(u16::MAX) {
            return Err(EncodeError::FieldTooLong);
        }
        let flags = u8::from(self.dup) << 3 | self.qos.bits() << 1 | u8::from(self.retain);
        out.reserve(5 + body);
        out.push(PacketType::Publish.first_byte() | flags);
        put_variable(out, body)?;
        put_field(out, self.topic.as_bytes())?;
        if self.qos != QoS::AtMostOnce {
            out.extend_from_slice(&self.packet_id.to_be_bytes());
        }
        if version.is_v5() {
            let own = self.properties.as_bytes();
            put_variable(out, self.extra.len() + own.len())?;
            out.extend_from_slice(self.extra);
            out.extend_from_slice(own);
        }
        out.extend_from_slice(payload);
        Ok(())
    }
}
