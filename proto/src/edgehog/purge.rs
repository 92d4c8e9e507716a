//! Purge lists: the properties that exist, as the compressed text of `/control/…/properties`.
//!
//! Four bytes big-endian length of the text, then the text as a zlib stream. The text is
//! `interface/path;interface/path`. A receiver deletes what is not listed. The announced length
//! is checked before inflating and bounds it, so a small payload cannot become a large text.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::topic::is_interface_name;

/// Longest text of a purge list in bytes. Edgehog's runtime has 26 properties in 1.5 kB.
pub const TEXT_MAX: usize = 64 * 1024;

/// Why a purge list is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PurgeError {
    /// No room for the length.
    #[error("purge list of {0} bytes has no length")]
    TooShort(usize),
    /// Announces more than allowed.
    #[error("purge list of {0} bytes exceeds {TEXT_MAX}")]
    TooLarge(usize),
    /// Not a zlib stream.
    #[error("purge list is not valid zlib")]
    NotZlib,
    /// The text is longer or shorter than announced.
    #[error("purge list is not as long as the announced {announced} bytes")]
    WrongLength {
        /// What the first four bytes say.
        announced: usize,
    },
    /// Bytes follow the zlib stream.
    #[error("purge list has trailing bytes")]
    TrailingBytes,
    /// Not text.
    #[error("purge list is not utf-8")]
    NotText,
    /// An entry that is not an interface and a path.
    #[error("purge list entry {0} is not interface/path")]
    BadEntry(usize),
}

/// Writes a purge list of `interface/path` entries, without a leading `/`.
///
/// The full form is used for an empty list too: devices take the bare length, but Astarte's own
/// SDK never sends it.
#[must_use]
pub fn encode<S: AsRef<str>>(properties: &[S]) -> Vec<u8> {
    let entries: Vec<&str> = properties.iter().map(AsRef::as_ref).collect();
    let text = entries.join(";");
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let mut encoder = ZlibEncoder::new(length.to_be_bytes().to_vec(), Compression::default());
    // Writing to memory cannot fail; a list cut short would be refused by its length.
    let written = encoder
        .write_all(text.as_bytes())
        .and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

/// Reads a purge list.
///
/// # Errors
/// The payload is not a purge list, or lies about its length.
pub fn decode(payload: &[u8]) -> Result<Vec<String>, PurgeError> {
    let (length, stream) = payload
        .split_first_chunk::<4>()
        .ok_or(PurgeError::TooShort(payload.len()))?;
    let announced = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if announced > TEXT_MAX || stream.len() > TEXT_MAX + 1024 {
        return Err(PurgeError::TooLarge(announced.max(stream.len())));
    }
    if announced == 0 && stream.is_empty() {
        return Ok(Vec::new());
    }
    let text = inflate(stream, announced)?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(';')
        .enumerate()
        .map(|(index, entry)| {
            if is_property(entry) {
                Ok(entry.to_owned())
            } else {
                Err(PurgeError::BadEntry(index + 1))
            }
        })
        .collect()
}

fn inflate(stream: &[u8], announced: usize) -> Result<String, PurgeError> {
    let mut decoder = ZlibDecoder::new(stream);
    let mut text = Vec::new();
    // One byte more than announced shows a longer text without inflating all of it.
    let limit = announced as u64 + 1;
    decoder
        .by_ref()
        .take(limit)
        .read_to_end(&mut text)
        .map_err(|_| PurgeError::NotZlib)?;
    if text.len() != announced {
        return Err(PurgeError::WrongLength { announced });
    }
    if decoder.total_in() != stream.len() as u64 {
        return Err(PurgeError::TrailingBytes);
    }
    String::from_utf8(text).map_err(|_| PurgeError::NotText)
}

fn is_property(entry: &str) -> bool {
    entry.split_once('/').is_some_and(|(interface, path)| {
        is_interface_name(interface) && path.split('/').all(|level| !level.is_empty())
    })
}
