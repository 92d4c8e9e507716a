//! Checks of single fields. Each failure names the field.

use uuid::Uuid;

use super::DecodeError;

/// Required number: zero means absent.
pub(super) fn at_least_one<N: Default + PartialEq>(
    field: &'static str,
    value: N,
) -> Result<N, DecodeError> {
    if value == N::default() {
        Err(DecodeError::Missing(field))
    } else {
        Ok(value)
    }
}

/// Required text of a grammar.
pub(super) fn text(
    field: &'static str,
    value: String,
    max: usize,
    grammar: fn(&str) -> bool,
) -> Result<String, DecodeError> {
    if value.is_empty() {
        return Err(DecodeError::Missing(field));
    }
    at_most(field, &value, max)?;
    if grammar(&value) {
        Ok(value)
    } else {
        Err(DecodeError::Invalid(field))
    }
}

/// Text of a grammar, where absent or empty is allowed.
pub(super) fn text_or_empty(
    field: &'static str,
    value: String,
    max: usize,
    grammar: fn(&str) -> bool,
) -> Result<String, DecodeError> {
    if value.is_empty() {
        Ok(value)
    } else {
        text(field, value, max, grammar)
    }
}

pub(super) fn at_most(field: &'static str, value: &str, max: usize) -> Result<(), DecodeError> {
    if value.len() > max {
        Err(DecodeError::TooLong { field, max })
    } else {
        Ok(())
    }
}

pub(super) fn percent(field: &'static str, value: u32) -> Result<u8, DecodeError> {
    u8::try_from(value)
        .ok()
        .filter(|percent| *percent <= 100)
        .ok_or(DecodeError::AboveHundred { field, value })
}

pub(super) fn uuid(field: &'static str, value: &[u8]) -> Result<Uuid, DecodeError> {
    if value.is_empty() {
        return Err(DecodeError::Missing(field));
    }
    Uuid::from_slice(value).map_err(|_| DecodeError::Invalid(field))
}

pub(super) fn digest(field: &'static str, value: &[u8]) -> Result<[u8; 32], DecodeError> {
    if value.is_empty() {
        return Err(DecodeError::Missing(field));
    }
    value.try_into().map_err(|_| DecodeError::Invalid(field))
}
