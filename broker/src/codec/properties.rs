//! MQTT 5 properties: one table says type, place and repeatability; a packet keeps them as one validated slice.

use super::error::{DecodeError, EncodeError};
use super::frame::{put_field, put_variable, variable_len};
use super::reader::Reader;
use super::topic;
use super::types::PacketType;
use bytes::{Buf, Bytes};
use std::fmt;

/// Where properties stand: in a packet, or in the will part of CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyPlace {
    /// The properties of a packet.
    Packet(PacketType),
    /// The properties of a will.
    Will,
}

impl PropertyPlace {
    const fn bit(self) -> u16 {
        match self {
            Self::Will => WILL,
            Self::Packet(kind) => 1 << kind as u16,
        }
    }
}

const WILL: u16 = 1;
const CONNECT: u16 = 1 << PacketType::Connect as u16;
const CONNACK: u16 = 1 << PacketType::ConnAck as u16;
const PUBLISH: u16 = 1 << PacketType::Publish as u16;
const SUBSCRIBE: u16 = 1 << PacketType::Subscribe as u16;
const DISCONNECT: u16 = 1 << PacketType::Disconnect as u16;
const AUTH: u16 = 1 << PacketType::Auth as u16;
const ANSWERS: u16 = CONNACK
    | 1 << PacketType::PubAck as u16
    | 1 << PacketType::PubRec as u16
    | 1 << PacketType::PubRel as u16
    | 1 << PacketType::PubComp as u16
    | 1 << PacketType::SubAck as u16
    | 1 << PacketType::UnsubAck as u16
    | DISCONNECT
    | AUTH;
const EVERYWHERE: u16 =
    ANSWERS | WILL | CONNECT | PUBLISH | SUBSCRIBE | 1 << PacketType::Unsubscribe as u16;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Byte,
    Two,
    Four,
    Variable,
    Text,
    Binary,
    Pair,
}

#[derive(Debug, Clone, Copy)]
enum Rule {
    Any,
    ZeroOrOne,
    NotZero,
    TopicName,
}

struct Spec {
    id: PropertyId,
    kind: Kind,
    places: u16,
    /// Places where the property may come more than once.
    repeatable: u16,
    rule: Rule,
}

macro_rules! properties {
    ($($name:ident = $id:literal, $kind:ident, $places:expr, $repeatable:expr, $rule:ident;)*) => {
        /// The properties of MQTT 5 by their names in the standard.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum PropertyId {
            $($name = $id,)*
        }

        static TABLE: &[Spec] = &[
            $(Spec {
                id: PropertyId::$name,
                kind: Kind::$kind,
                places: $places,
                repeatable: $repeatable,
                rule: Rule::$rule,
            },)*
        ];
    };
}

properties! {
    PayloadFormatIndicator = 1, Byte, PUBLISH | WILL, 0, ZeroOrOne;
    MessageExpiryInterval = 2, Four, PUBLISH | WILL, 0, Any;
    ContentType = 3, Text, PUBLISH | WILL, 0, Any;
    ResponseTopic = 8, Text, PUBLISH | WILL, 0, TopicName;
    CorrelationData = 9, Binary, PUBLISH | WILL, 0, Any;
    SubscriptionIdentifier = 11, Variable, PUBLISH | SUBSCRIBE, PUBLISH, NotZero;
    SessionExpiryInterval = 17, Four, CONNECT | CONNACK | DISCONNECT, 0, Any;
    AssignedClientIdentifier = 18, Text, CONNACK, 0, Any;
    ServerKeepAlive = 19, Two, CONNACK, 0, Any;
    AuthenticationMethod = 21, Text, CONNECT | CONNACK | AUTH, 0, Any;
    AuthenticationData = 22, Binary, CONNECT | CONNACK | AUTH, 0, Any;
    RequestProblemInformation = 23, Byte, CONNECT, 0, ZeroOrOne;
    WillDelayInterval = 24, Four, WILL, 0, Any;
    RequestResponseInformation = 25, Byte, CONNECT, 0, ZeroOrOne;
    ResponseInformation = 26, Text, CONNACK, 0, Any;
    ServerReference = 28, Text, CONNACK | DISCONNECT, 0, Any;
    ReasonString = 31, Text, ANSWERS, 0, Any;
    ReceiveMaximum = 33, Two, CONNECT | CONNACK, 0, NotZero;
    TopicAliasMaximum = 34, Two, CONNECT | CONNACK, 0, Any;
    TopicAlias = 35, Two, PUBLISH, 0, Any;
    MaximumQoS = 36, Byte, CONNACK, 0, ZeroOrOne;
    RetainAvailable = 37, Byte, CONNACK, 0, ZeroOrOne;
    UserProperty = 38, Pair, EVERYWHERE, EVERYWHERE, Any;
    MaximumPacketSize = 39, Four, CONNECT | CONNACK, 0, NotZero;
    WildcardSubscriptionAvailable = 40, Byte, CONNACK, 0, ZeroOrOne;
    SubscriptionIdentifierAvailable = 41, Byte, CONNACK, 0, ZeroOrOne;
    SharedSubscriptionAvailable = 42, Byte, CONNACK, 0, ZeroOrOne;
}

/// The value of one property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// One byte, two bytes, four bytes or a variable byte integer.
    Number(u32),
    /// A string.
    Text(bytestring::ByteString),
    /// Binary data.
    Binary(Bytes),
    /// A user property: name and value.
    Pair(bytestring::ByteString, bytestring::ByteString),
}

/// Properties as they stand in a packet, without the leading length. Decoded ones are valid for their place.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(Bytes);

impl Properties {
    /// No properties.
    #[must_use]
    pub const fn none() -> Self {
        Self(Bytes::new())
    }

    /// Starts a new set.
    #[must_use]
    pub fn builder() -> PropertiesBuilder {
        PropertiesBuilder::default()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The encoded properties, without their length.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// All properties in the order of the packet.
    pub fn iter(&self) -> impl Iterator<Item = (PropertyId, Value)> + use<> {
        let mut reader = Reader::new(self.0.clone());
        std::iter::from_fn(move || {
            if reader.is_empty() {
                return None;
            }
            let (spec, value) = read(&mut reader).ok()?;
            Some((spec.id, value))
        })
    }

    /// The first value of a property.
    #[must_use]
    pub fn get(&self, id: PropertyId) -> Option<Value> {
        if self.is_empty() {
            return None;
        }
        self.iter()
            .find_map(|(found, value)| (found == id).then_some(value))
    }

    /// The value of a numeric property.
    #[must_use]
    pub fn number(&self, id: PropertyId) -> Option<u32> {
        match self.get(id) {
            Some(Value::Number(number)) => Some(number),
            _ => None,
        }
    }

    /// The value of a string property.
    #[must_use]
    pub fn text(&self, id: PropertyId) -> Option<bytestring::ByteString> {
        match self.get(id) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// These properties without the given ones; shares the bytes if nothing has to go.
    #[must_use]
    pub fn without(&self, ids: &[PropertyId]) -> Self {
        if self.is_empty() || !self.iter().any(|(id, _)| ids.contains(&id)) {
            return self.clone();
        }
        let mut kept = Vec::with_capacity(self.0.len());
        let mut reader = Reader::new(self.0.clone());
        let mut rest = self.0.clone();
        while !rest.is_empty() {
            let Ok((spec, _)) = read(&mut reader) else {
                break;
            };
            let Some(length) = rest.len().checked_sub(reader.remaining()) else {
                break;
            };
            if !ids.contains(&spec.id) {
                kept.extend_from_slice(&rest[..length]);
            }
            rest.advance(length);
        }
        Self(kept.into())
    }

    /// The same properties in another buffer, which must hold equal bytes.
    pub(crate) fn with_bytes(self, bytes: Bytes) -> Self {
        debug_assert_eq!(self.0, bytes, "a copy of the properties");
        Self(bytes)
    }

    pub(super) fn decode(reader: &mut Reader, place: PropertyPlace) -> Result<Self, DecodeError> {
        let length = reader.variable()?;
        Self::check(reader.take(length)?, place)
    }

    /// Properties of a PUBLISH that were kept somewhere.
    pub(crate) fn of_publish(bytes: Bytes) -> Result<Self, DecodeError> {
        Self::check(bytes, PropertyPlace::Packet(PacketType::Publish))
    }

    fn check(bytes: Bytes, place: PropertyPlace) -> Result<Self, DecodeError> {
        let mut fields = Reader::new(bytes.clone());
        let mut seen = 0_u64;
        while !fields.is_empty() {
            let (spec, value) = read(&mut fields)?;
            let bit = 1_u64 << (spec.id as u8);
            if spec.places & place.bit() == 0 {
                return Err(DecodeError::MisplacedProperty(spec.id as u8));
            }
            if seen & bit != 0 && spec.repeatable & place.bit() == 0 {
                return Err(DecodeError::RepeatedProperty(spec.id as u8));
            }
            seen |= bit;
            check_value(spec, &value)?;
        }
        let method = 1_u64 << PropertyId::AuthenticationMethod as u8;
        let data = 1_u64 << PropertyId::AuthenticationData as u8;
        if seen & data != 0 && seen & method == 0 {
            return Err(DecodeError::PropertyValue(
                PropertyId::AuthenticationData as u8,
            ));
        }
        Ok(Self(bytes))
    }

    /// Bytes that these take in a packet, their length included.
    pub(super) fn encoded_len(&self) -> usize {
        variable_len(self.0.len()) + self.0.len()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_variable(out, self.0.len())?;
        out.extend_from_slice(&self.0);
        Ok(())
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

fn read(reader: &mut Reader) -> Result<(&'static Spec, Value), DecodeError> {
    let id = reader.variable()?;
    let spec = TABLE
        .iter()
        .find(|spec| usize::from(spec.id as u8) == id)
        .ok_or(DecodeError::UnknownProperty(
            u32::try_from(id).unwrap_or(u32::MAX),
        ))?;
    let value = match spec.kind {
        Kind::Byte => Value::Number(u32::from(reader.byte()?)),
        Kind::Two => Value::Number(u32::from(reader.two_bytes()?)),
        Kind::Four => Value::Number(reader.four_bytes()?),
        Kind::Variable => Value::Number(
            u32::try_from(reader.variable()?).map_err(|_| DecodeError::VariableByteInteger)?,
        ),
        Kind::Text => Value::Text(reader.string()?),
        Kind::Binary => Value::Binary(reader.binary()?),
        Kind::Pair => Value::Pair(reader.string()?, reader.string()?),
    };
    Ok((spec, value))
}

fn kind(id: PropertyId) -> Kind {
    TABLE
        .iter()
        .find(|spec| spec.id == id)
        .map_or(Kind::Binary, |spec| spec.kind)
}

fn check_value(spec: &Spec, value: &Value) -> Result<(), DecodeError> {
    let fine = match (spec.rule, value) {
        (Rule::ZeroOrOne, Value::Number(number)) => *number <= 1,
        (Rule::NotZero, Value::Number(number)) => *number != 0,
        (Rule::TopicName, Value::Text(text)) => topic::is_name(text),
        _ => true,
    };
    if fine {
        Ok(())
    } else {
        Err(DecodeError::PropertyValue(spec.id as u8))
    }
}

/// Builds properties in order. The place is not checked: that is the receiver's business, and tests need bad ones.
#[derive(Debug, Default)]
pub struct PropertiesBuilder {
    out: Vec<u8>,
    failed: Option<EncodeError>,
}

impl PropertiesBuilder {
    /// Adds a numeric property; a value too large for the property's width fails the build.
    #[must_use]
    pub fn number(mut self, id: PropertyId, value: u32) -> Self {
        let too_long = |_| EncodeError::FieldTooLong;
        self.out.push(id as u8);
        let done = match kind(id) {
            Kind::Byte => u8::try_from(value)
                .map(|value| self.out.push(value))
                .map_err(too_long),
            Kind::Two => u16::try_from(value)
                .map(|value| self.out.extend_from_slice(&value.to_be_bytes()))
                .map_err(too_long),
            Kind::Four => {
                self.out.extend_from_slice(&value.to_be_bytes());
                Ok(())
            }
            Kind::Variable => usize::try_from(value)
                .map_err(too_long)
                .and_then(|value| put_variable(&mut self.out, value)),
            Kind::Text | Kind::Binary | Kind::Pair => Err(EncodeError::PropertyType),
        };
        self.note(done)
    }

    /// Adds a string property.
    #[must_use]
    pub fn text(self, id: PropertyId, value: &str) -> Self {
        self.binary(id, value.as_bytes())
    }

    /// Adds a binary property.
    #[must_use]
    pub fn binary(mut self, id: PropertyId, value: &[u8]) -> Self {
        self.out.push(id as u8);
        let done = match kind(id) {
            Kind::Text | Kind::Binary => put_field(&mut self.out, value),
            _ => Err(EncodeError::PropertyType),
        };
        self.note(done)
    }

    /// Adds a user property.
    #[must_use]
    pub fn user(mut self, name: &str, value: &str) -> Self {
        self.out.push(PropertyId::UserProperty as u8);
        let done = put_field(&mut self.out, name.as_bytes())
            .and_then(|()| put_field(&mut self.out, value.as_bytes()));
        self.note(done)
    }

    /// Adds properties that are encoded already.
    #[must_use]
    pub fn append(mut self, other: &Properties) -> Self {
        self.out.extend_from_slice(&other.0);
        self
    }

    /// The finished set.
    ///
    /// # Errors
    /// A value did not fit into its property, by size or type.
    pub fn build(self) -> Result<Properties, EncodeError> {
        match self.failed {
            Some(error) => Err(error),
            None => Ok(Properties(self.out.into())),
        }
    }

    fn note(mut self, done: Result<(), EncodeError>) -> Self {
        if let Err(error) = done {
            self.failed.get_or_insert(error);
        }
        self
    }
}
