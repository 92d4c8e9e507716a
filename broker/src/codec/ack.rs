//! PUBACK, PUBREC, PUBREL and PUBCOMP, which share one shape.

use super::error::{DecodeError, EncodeError};
use super::frame::{put_variable, variable_len};
use super::properties::{Properties, PropertyPlace};
use super::reader::Reader;
use super::reason::ReasonCode;
use super::types::{PacketType, ProtocolVersion};
use bytes::Bytes;

/// A step of a QoS 1 or 2 exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Names the exchange.
    pub packet_id: u16,
    /// Always `Success` on MQTT 3.1.1.
    pub code: ReasonCode,
    /// Always empty on MQTT 3.1.1.
    pub properties: Properties,
}

impl Ack {
    /// A plain success.
    #[must_use]
    pub const fn success(packet_id: u16) -> Self {
        Self {
            packet_id,
            code: ReasonCode::Success,
            properties: Properties::none(),
        }
    }

    pub(super) fn decode(
        kind: PacketType,
        version: ProtocolVersion,
        body: Bytes,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut ack = Self::success(reader.packet_id()?);
        if version.is_v5() && !reader.is_empty() {
            ack.code = reason(kind, reader.byte()?)?;
            if !reader.is_empty() {
                ack.properties = Properties::decode(&mut reader, PropertyPlace::Packet(kind))?;
            }
        }
        reader.finish()?;
        Ok(ack)
    }

    pub(crate) fn encode(
        &self,
        kind: PacketType,
        version: ProtocolVersion,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let [high, low] = self.packet_id.to_be_bytes();
        if !version.is_v5() || (self.code == ReasonCode::Success && self.properties.is_empty()) {
            out.extend_from_slice(&[kind.first_byte(), 2, high, low]);
        } else if self.properties.is_empty() {
            out.extend_from_slice(&[kind.first_byte(), 3, high, low, self.code.byte()]);
        } else {
            out.push(kind.first_byte());
            put_variable(out, 3 + self.properties.encoded_len())?;
            out.extend_from_slice(&[high, low, self.code.byte()]);
            self.properties.encode(out)?;
        }
        Ok(())
    }

    /// Length of the encoded MQTT 5 packet, bytes.
    pub(crate) fn encoded_len_v5(&self) -> usize {
        let body = 3 + self.properties.encoded_len();
        1 + variable_len(body) + body
    }
}

pub(super) fn reason(kind: PacketType, byte: u8) -> Result<ReasonCode, DecodeError> {
    ReasonCode::from_byte(byte)
        .filter(|code| code.allowed_in(kind))
        .ok_or(DecodeError::ReasonCode(byte))
}
