//! Why an Astarte payload is refused.

use super::DOCUMENT_MAX;

/// A payload that is not as its interface says. Refusing it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Refused unread.
    #[error("payload of {0} bytes exceeds {DOCUMENT_MAX}")]
    TooLarge(usize),
    /// Not a BSON document, or one whose lengths lie.
    #[error("payload is not valid bson: {0}")]
    Malformed(String),
    /// A key that the interface does not have.
    #[error("key {0:?} is not known")]
    UnknownKey(String),
    /// A key given twice.
    #[error("key {0:?} is given twice")]
    RepeatedKey(String),
    /// A key without which the message means nothing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Another BSON type than the interface's.
    #[error("{0} has the wrong type")]
    WrongType(&'static str),
    /// Longer than allowed.
    #[error("{field} is longer than {max} bytes")]
    TooLong {
        /// The key.
        field: &'static str,
        /// Its limit in bytes.
        max: usize,
    },
    /// Not one of the field's values.
    #[error("{0} is not valid")]
    Invalid(&'static str),
    /// Progress outside 0 to 100.
    #[error("statusProgress is {0}, outside 0 to 100")]
    ProgressOutOfRange(i32),
}
