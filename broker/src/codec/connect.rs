//! CONNECT and CONNACK.

use super::ack::reason;
use super::error::{DecodeError, EncodeError};
use super::frame::{put_field, put_packet};
use super::properties::{Properties, PropertyPlace};
use super::reader::Reader;
use super::reason::ReasonCode;
use super::types::{PacketType, ProtocolVersion, QoS};
use bytes::Bytes;
use bytestring::ByteString;

const CLEAN_START: u8 = 0b0000_0010;
const WILL: u8 = 0b0000_0100;
const WILL_RETAIN: u8 = 0b0010_0000;
const PASSWORD: u8 = 0b0100_0000;
const USERNAME: u8 = 0b1000_0000;

/// A client asks for a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// Protocol level.
    pub version: ProtocolVersion,
    /// Start without the old session (3.1.1: clean session).
    pub clean_start: bool,
    /// Seconds; 0 turns the keep-alive off.
    pub keep_alive: u16,
    /// Empty: the server is to assign one.
    pub client_id: ByteString,
    /// Published if the connection ends without DISCONNECT.
    pub will: Option<Will>,
    /// User name.
    pub username: Option<ByteString>,
    /// Password.
    pub password: Option<Bytes>,
    /// MQTT 5 properties.
    pub properties: Properties,
}

/// The message that a client leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Topic name.
    pub topic: ByteString,
    /// Payload.
    pub payload: Bytes,
    /// Quality of service.
    pub qos: QoS,
    /// Retain flag.
    pub retain: bool,
    /// MQTT 5 will properties.
    pub properties: Properties,
}

impl Connect {
    pub(super) fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let version = protocol(&mut reader)?;
        let flags = reader.byte()?;
        check_flags(flags, version)?;
        let keep_alive = reader.two_bytes()?;
        let properties = if version.is_v5() {
            Properties::decode(&mut reader, PropertyPlace::Packet(PacketType::Connect))?
        } else {
            Properties::none()
        };
        let client_id = reader.string()?;
        let will = if flags & WILL != 0 {
            Some(Will::decode(&mut reader, flags, version)?)
        } else {
            None
        };
        let username = if flags & USERNAME != 0 {
            Some(reader.string()?)
        } else {
            None
        };
        let password = if flags & PASSWORD != 0 {
            Some(reader.binary()?)
        } else {
            None
        };
        reader.finish()?;
        Ok(Self {
            version,
            clean_start: flags & CLEAN_START != 0,
            keep_alive,
            client_id,
            will,
            username,
            password,
            properties,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_packet(out, PacketType::Connect.first_byte(), |body| {
            put_field(body, b"MQTT")?;
            body.push(if self.version.is_v5() { 5 } else { 4 });
            body.push(self.flags());
            body.extend_from_slice(&self.keep_alive.to_be_bytes());
            if self.version.is_v5() {
                self.properties.encode(body)?;
            }
            put_field(body, self.client_id.as_bytes())?;
            if let Some(will) = &self.will {
                if self.version.is_v5() {
                    will.properties.encode(body)?;
                }
                put_field(body, will.topic.as_bytes())?;
                put_field(body, &will.payload)?;
            }
            if let Some(username) = &self.username {
                put_field(body, username.as_bytes())?;
            }
            if let Some(password) = &self.password {
                put_field(body, password)?;
            }
            Ok(())
        })
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        if self.clean_start {
            flags |= CLEAN_START;
        }
        if let Some(will) = &self.will {
            flags |= WILL | will.qos.bits() << 3;
            if will.retain {
                flags |= WILL_RETAIN;
            }
        }
        if self.username.is_some() {
            flags |= USERNAME;
        }
        if self.password.is_some() {
            flags |= PASSWORD;
        }
        flags
    }
}

fn protocol(reader: &mut Reader) -> Result<ProtocolVersion, DecodeError> {
    let name = reader.binary()?;
    let level = reader.byte()?;
    match (&name[..], level) {
        (b"MQTT", 4) => Ok(ProtocolVersion::V4),
        (b"MQTT", 5) => Ok(ProtocolVersion::V5),
        // MQTT 3.1 had another name; its clients deserve to hear that the level is the problem.
        (b"MQTT" | b"MQIsdp", other) => Err(DecodeError::ProtocolLevel(other)),
        _ => Err(DecodeError::ProtocolName),
    }
}

fn check_flags(flags: u8, version: ProtocolVersion) -> Result<(), DecodeError> {
    let reserved = flags & 1 != 0;
    let will_without_flag = flags & WILL == 0 && flags & 0b0011_1000 != 0;
    let password_alone = !version.is_v5() && flags & PASSWORD != 0 && flags & USERNAME == 0;
    if reserved || will_without_flag || password_alone {
        Err(DecodeError::ConnectFlags)
    } else {
        Ok(())
    }
}

impl Will {
    fn decode(
        reader: &mut Reader,
        flags: u8,
        version: ProtocolVersion,
    ) -> Result<Self, DecodeError> {
        let qos = QoS::from_bits(flags >> 3 & 3).ok_or(DecodeError::ReservedQoS)?;
        let properties = if version.is_v5() {
            Properties::decode(reader, PropertyPlace::Will)?
        } else {
            Properties::none()
        };
        let topic = reader.topic_name()?;
        if topic.is_empty() {
            return Err(DecodeError::EmptyTopic);
        }
        Ok(Self {
            topic,
            payload: reader.binary()?,
            qos,
            retain: flags & WILL_RETAIN != 0,
            properties,
        })
    }
}

/// The server's answer to CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnAck {
    /// The server still had the client's session.
    pub session_present: bool,
    /// MQTT 3.1.1 has five of these.
    pub code: ReasonCode,
    /// MQTT 5 properties.
    pub properties: Properties,
}

impl ConnAck {
    pub(super) fn decode(version: ProtocolVersion, body: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let flags = reader.byte()?;
        if flags > 1 {
            return Err(DecodeError::ConnAckFlags);
        }
        let byte = reader.byte()?;
        let (code, properties) = if version.is_v5() {
            let code = reason(PacketType::ConnAck, byte)?;
            let place = PropertyPlace::Packet(PacketType::ConnAck);
            (code, Properties::decode(&mut reader, place)?)
        } else {
            (return_code(byte)?, Properties::none())
        };
        reader.finish()?;
        if flags == 1 && code != ReasonCode::Success {
            return Err(DecodeError::ConnAckFlags);
        }
        Ok(Self {
            session_present: flags == 1,
            code,
            properties,
        })
    }

    pub(super) fn encode(
        &self,
        version: ProtocolVersion,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        put_packet(out, PacketType::ConnAck.first_byte(), |body| {
            body.push(u8::from(self.session_present));
            if version.is_v5() {
                body.push(self.code.byte());
                self.properties.encode(body)
            } else {
                body.push(self.code.connack_v4());
                Ok(())
            }
        })
    }
}

fn return_code(byte: u8) -> Result<ReasonCode, DecodeError> {
    Ok(match byte {
        0 => ReasonCode::Success,
        1 => ReasonCode::UnsupportedProtocolVersion,
        2 => ReasonCode::ClientIdentifierNotValid,
        3 => ReasonCode::ServerUnavailable,
        4 => ReasonCode::BadUserNameOrPassword,
        5 => ReasonCode::NotAuthorized,
        _ => return Err(DecodeError::ReasonCode(byte)),
    })
}
