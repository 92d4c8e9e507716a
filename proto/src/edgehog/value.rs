//! Individual values: the properties of `BaseImage`, `SystemInfo` and the other interfaces.

use bson::raw::{RawArray, RawArrayBuf, RawBinaryRef, RawBsonRef};
use bson::spec::BinarySubtype;
use std::collections::BTreeMap;

use super::DecodeError;
use super::document;

/// One value of an Astarte mapping.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A finite floating point number.
    Double(f64),
    /// A 32-bit integer.
    Integer(i32),
    /// A boolean.
    Boolean(bool),
    /// A 64-bit integer.
    LongInteger(i64),
    /// Text.
    String(String),
    /// Bytes.
    BinaryBlob(Vec<u8>),
    /// Milliseconds since 1970.
    DateTime(i64),
    /// Values of one scalar type.
    Array(Vec<Value>),
}

/// What a publish on a property's topic does.
#[derive(Debug, Clone, PartialEq)]
pub enum Property {
    /// Gives the property a value.
    Set(Value),
    /// Removes the property: the payload was empty.
    Unset,
}

/// What a data payload carries: one value, or an object of one level.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// A property, or an individual datastream.
    Individual(Value),
    /// An object datastream.
    Object(BTreeMap<String, Value>),
}

impl Data {
    /// Reads a payload that is not empty, and its time in milliseconds since 1970 of the device's clock if it has one.
    ///
    /// # Errors
    /// The payload is not `{v: value, t?}` with a value of one of Astarte's types or an object of such.
    ///
    /// ```
    /// use rollcall_proto::edgehog::{Data, Property, Value};
    ///
    /// let payload = Property::Set(Value::Integer(7)).encode();
    /// assert_eq!(Data::decode(&payload)?, (Data::Individual(Value::Integer(7)), None));
    /// # Ok::<(), rollcall_proto::edgehog::DecodeError>(())
    /// ```
    pub fn decode(payload: &[u8]) -> Result<(Self, Option<i64>), DecodeError> {
        let envelope = document::open(payload)?;
        let Some(object) = envelope.value.as_document() else {
            let value = Value::from_raw(envelope.value)?;
            return Ok((Self::Individual(value), envelope.timestamp_unix_ms));
        };
        let mut values = BTreeMap::new();
        document::for_each(object, |key, field| {
            let value = Value::from_raw(field)?;
            match values.insert(key.to_owned(), value) {
                None => Ok(()),
                Some(_) => Err(document::repeated(key)),
            }
        })?;
        Ok((Self::Object(values), envelope.timestamp_unix_ms))
    }
}

impl Property {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Set(value) => value.encode(),
            Self::Unset => Vec::new(),
        }
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// The payload is neither empty nor `{v: value}`.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        if payload.is_empty() {
            return Ok(Self::Unset);
        }
        // A property has no time; one that comes all the same is ignored, as in Astarte.
        Value::from_raw(document::open(payload)?.value).map(Self::Set)
    }

    /// Reads a payload of a mapping of type string, such as every one of `BaseImage`.
    ///
    /// # Errors
    /// As [`Property::decode`], or the value is not a string.
    pub fn decode_string(payload: &[u8]) -> Result<Option<String>, DecodeError> {
        match Self::decode(payload)? {
            Self::Unset => Ok(None),
            Self::Set(Value::String(text)) => Ok(Some(text)),
            Self::Set(_) => Err(DecodeError::WrongType("v")),
        }
    }
}

impl Value {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Array(values) => {
                let mut array = RawArrayBuf::new();
                for value in values {
                    array.push(value.scalar());
                }
                document::wrap(RawBsonRef::Array(&array), None)
            }
            scalar => document::wrap(scalar.scalar(), None),
        }
    }

    /// The BSON form of a scalar. Astarte has no arrays of arrays: an inner one becomes null, which
    /// every receiver refuses.
    fn scalar(&self) -> RawBsonRef<'_> {
        match self {
            Self::Double(number) => RawBsonRef::Double(*number),
            Self::Integer(number) => RawBsonRef::Int32(*number),
            Self::Boolean(flag) => RawBsonRef::Boolean(*flag),
            Self::LongInteger(number) => RawBsonRef::Int64(*number),
            Self::String(text) => RawBsonRef::String(text),
            Self::BinaryBlob(bytes) => RawBsonRef::Binary(RawBinaryRef {
                subtype: BinarySubtype::Generic,
                bytes,
            }),
            Self::DateTime(millis) => RawBsonRef::DateTime(bson::DateTime::from_millis(*millis)),
            Self::Array(_) => RawBsonRef::Null,
        }
    }

    fn from_raw(raw: RawBsonRef<'_>) -> Result<Self, DecodeError> {
        match raw {
            RawBsonRef::Array(array) => Self::array(array),
            scalar => Self::from_scalar(scalar),
        }
    }

    fn from_scalar(raw: RawBsonRef<'_>) -> Result<Self, DecodeError> {
        match raw {
            RawBsonRef::Double(number) if number.is_finite() => Ok(Self::Double(number)),
            RawBsonRef::Double(_) => Err(DecodeError::Invalid("v")),
            RawBsonRef::Int32(number) => Ok(Self::Integer(number)),
            RawBsonRef::Boolean(flag) => Ok(Self::Boolean(flag)),
            RawBsonRef::Int64(number) => Ok(Self::LongInteger(number)),
            RawBsonRef::String(text) => Ok(Self::String(text.to_owned())),
            RawBsonRef::Binary(binary) if binary.subtype == BinarySubtype::Generic => {
                Ok(Self::BinaryBlob(binary.bytes.to_owned()))
            }
            RawBsonRef::DateTime(time) => Ok(Self::DateTime(time.timestamp_millis())),
            _ => Err(DecodeError::WrongType("v")),
        }
    }

    fn array(array: &RawArray) -> Result<Self, DecodeError> {
        let mut values: Vec<Self> = Vec::new();
        for element in array.iter_elements() {
            let raw = element
                .and_then(|e| e.value())
                .map_err(document::malformed)?;
            let value = Self::from_scalar(raw)?;
            if values.first().is_some_and(|first| {
                std::mem::discriminant(first) != std::mem::discriminant(&value)
            }) {
                return Err(DecodeError::WrongType("v"));
            }
            values.push(value);
        }
        Ok(Self::Array(values))
    }
}
