//! DISCONNECT and AUTH.

use super::ack::reason;
use super::error::{DecodeError, EncodeError};
use super::frame::put_packet;
use super::properties::{Properties, PropertyPlace};
use super::reader::Reader;
use super::reason::ReasonCode;
use super::types::{PacketType, ProtocolVersion};
use bytes::Bytes;

/// One side ends the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// Always `Success` on MQTT 3.1.1.
    pub code: ReasonCode,
    /// MQTT 5 properties.
    pub properties: Properties,
}

/// A step of enhanced authentication (MQTT 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// `Success`, `ContinueAuthentication` or `ReAuthenticate`.
    pub code: ReasonCode,
    /// MQTT 5 properties.
    pub properties: Properties,
}

impl Disconnect {
    pub(super) fn decode(version: ProtocolVersion, body: Bytes) -> Result<Self, DecodeError> {
        let (code, properties) = decode(PacketType::Disconnect, version, body)?;
        Ok(Self { code, properties })
    }

    pub(super) fn encode(
        &self,
        version: ProtocolVersion,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if version.is_v5() {
            encode(PacketType::Disconnect, self.code, &self.properties, out)
        } else {
            put_packet(out, PacketType::Disconnect.first_byte(), |_| Ok(()))
        }
    }
}

impl Auth {
    pub(super) fn decode(version: ProtocolVersion, body: Bytes) -> Result<Self, DecodeError> {
        if !version.is_v5() {
            return Err(DecodeError::ReservedPacketType(15));
        }
        let (code, properties) = decode(PacketType::Auth, version, body)?;
        Ok(Self { code, properties })
    }

    pub(super) fn encode(
        &self,
        version: ProtocolVersion,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if version.is_v5() {
            encode(PacketType::Auth, self.code, &self.properties, out)
        } else {
            Err(EncodeError::NotInVersion)
        }
    }
}

fn decode(
    kind: PacketType,
    version: ProtocolVersion,
    body: Bytes,
) -> Result<(ReasonCode, Properties), DecodeError> {
    let mut reader = Reader::new(body);
    let mut code = ReasonCode::Success;
    let mut properties = Properties::none();
    if version.is_v5() && !reader.is_empty() {
        code = reason(kind, reader.byte()?)?;
        if !reader.is_empty() {
            properties = Properties::decode(&mut reader, PropertyPlace::Packet(kind))?;
        }
    }
    reader.finish()?;
    Ok((code, properties))
}

fn encode(
    kind: PacketType,
    code: ReasonCode,
    properties: &Properties,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    put_packet(out, kind.first_byte(), |body| {
        if code != ReasonCode::Success || !properties.is_empty() {
            body.push(code.byte());
        }
        if !properties.is_empty() {
            properties.encode(body)?;
        }
        Ok(())
    })
}
