//! Why a native payload is refused.

use super::PAYLOAD_MAX;

/// A payload that is not a valid message. Refusing it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Refused unread.
    #[error("payload of {0} bytes exceeds {PAYLOAD_MAX}")]
    TooLarge(usize),
    /// Ends within a field.
    #[error("payload is truncated")]
    Truncated,
    /// Not protobuf, or text that is not UTF-8.
    #[error("payload is not valid protobuf: {0}")]
    Malformed(String),
    /// A field number that version 1 does not have.
    #[error("field number {0} is not known")]
    UnknownField(u32),
    /// Another wire type than the field's.
    #[error("{0} has the wrong type")]
    WrongType(&'static str),
    /// A singular field given twice.
    #[error("{0} is given twice")]
    Repeated(&'static str),
    /// A required field is absent, empty or zero.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Longer than allowed.
    #[error("{field} is longer than {max} bytes")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Its limit in bytes.
        max: usize,
    },
    /// Not of the field's grammar, length or set of values.
    #[error("{0} is not valid")]
    Invalid(&'static str),
    /// A percentage above 100.
    #[error("{field} is {value}, above 100")]
    AboveHundred {
        /// The field.
        field: &'static str,
        /// What it says.
        value: u32,
    },
    /// A protocol version this crate does not speak.
    #[error("protocol version {0} is not supported")]
    UnsupportedProtocol(u32),
    /// More ECUs than allowed.
    #[error("manifest lists {0} ecus, more than allowed")]
    TooManyEcus(usize),
    /// Two ECUs of one name.
    #[error("ecu {0} is listed twice")]
    DuplicateEcu(String),
    /// Not exactly one primary ECU.
    #[error("manifest marks {0} ecus as primary instead of one")]
    PrimaryCount(usize),
}
