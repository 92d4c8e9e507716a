//! Reading and writing the BSON envelope `{v: …, t?}` without building a tree.

use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf, cstr};

use super::{DOCUMENT_MAX, DecodeError};

/// The envelope of every data payload.
pub(super) struct Envelope<'a> {
    pub(super) value: RawBsonRef<'a>,
    /// Milliseconds since 1970, as the device believes.
    pub(super) timestamp_unix_ms: Option<i64>,
}

pub(super) fn open(payload: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    if payload.len() > DOCUMENT_MAX {
        return Err(DecodeError::TooLarge(payload.len()));
    }
    let document = RawDocument::from_bytes(payload).map_err(malformed)?;
    let (mut value, mut timestamp) = (None, None);
    for_each(document, |key, field| match key {
        "v" => once(key, &mut value, field),
        "t" => {
            let time = field.as_datetime().ok_or(DecodeError::WrongType("t"))?;
            once(key, &mut timestamp, time.timestamp_millis())
        }
        other => Err(unknown(other)),
    })?;
    let value = value.ok_or(DecodeError::Missing("v"))?;
    Ok(Envelope {
        value,
        timestamp_unix_ms: timestamp,
    })
}

/// Whether every element can be read.
pub(super) fn is_valid(payload: &[u8]) -> bool {
    RawDocument::from_bytes(payload)
        .is_ok_and(|document| document.iter().all(|element| element.is_ok()))
}

pub(super) fn for_each<'a>(
    document: &'a RawDocument,
    mut visit: impl FnMut(&'a str, RawBsonRef<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    for element in document.iter_elements() {
        let element = element.map_err(malformed)?;
        let value = element.value().map_err(malformed)?;
        visit(element.key().as_str(), value)?;
    }
    Ok(())
}

/// Keeps the first value of a key and refuses a second.
pub(super) fn once<T>(key: &str, slot: &mut Option<T>, value: T) -> Result<(), DecodeError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(repeated(key)),
    }
}

pub(super) fn text<'a>(
    field: &'static str,
    value: RawBsonRef<'a>,
    max: usize,
) -> Result<&'a str, DecodeError> {
    let text = value.as_str().ok_or(DecodeError::WrongType(field))?;
    if text.len() > max {
        Err(DecodeError::TooLong { field, max })
    } else {
        Ok(text)
    }
}

pub(super) fn malformed(error: bson::error::Error) -> DecodeError {
    DecodeError::Malformed(error.to_string())
}

pub(super) fn repeated(key: &str) -> DecodeError {
    DecodeError::RepeatedKey(shorten(key))
}

pub(super) fn unknown(key: &str) -> DecodeError {
    DecodeError::UnknownKey(shorten(key))
}

/// Keys come from outside: an error message repeats no more than a line of them.
fn shorten(key: &str) -> String {
    key.chars().take(64).collect()
}

pub(super) fn wrap(value: RawBsonRef<'_>, timestamp_unix_ms: Option<i64>) -> Vec<u8> {
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("v"), value);
    if let Some(timestamp) = timestamp_unix_ms {
        document.append(cstr!("t"), bson::DateTime::from_millis(timestamp));
    }
    document.into_bytes()
}
