//! Fixed header: where a packet ends, known before its body has arrived.

use super::error::{DecodeError, EncodeError};
use super::types::PacketType;

/// The largest remaining length that four bytes can express.
pub const MAX_REMAINING_LENGTH: usize = 268_435_455;

/// The fixed header at the front of received bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Type and flags.
    pub first: u8,
    /// Length of the fixed header itself, bytes.
    pub header_len: usize,
    /// Length of the rest, bytes.
    pub body_len: usize,
}

impl Header {
    /// Length of the whole packet, bytes.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.header_len + self.body_len
    }
}

/// Reads the fixed header; `None` while it is incomplete.
///
/// # Errors
/// A type, flags or length that no acceptable packet has, judged as early as the bytes allow.
pub fn header(bytes: &[u8], max_body: usize) -> Result<Option<Header>, DecodeError> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    check_first_byte(first)?;
    let Some((body_len, length_bytes)) = variable_byte_integer(rest)? else {
        return Ok(None);
    };
    if body_len > max_body {
        return Err(DecodeError::PacketTooLarge {
            length: body_len,
            maximum: max_body,
        });
    }
    Ok(Some(Header {
        first,
        header_len: 1 + length_bytes,
        body_len,
    }))
}

pub(super) fn check_first_byte(first: u8) -> Result<PacketType, DecodeError> {
    let kind =
        PacketType::from_first_byte(first).ok_or(DecodeError::ReservedPacketType(first >> 4))?;
    if kind == PacketType::Publish {
        let qos = (first >> 1) & 3;
        if qos == 3 {
            return Err(DecodeError::ReservedQoS);
        }
        if qos == 0 && first & 0b1000 != 0 {
            return Err(DecodeError::DupOnQoS0);
        }
    } else if first & 0x0f != kind.fixed_flags() {
        return Err(DecodeError::WrongFlags(kind));
    }
    Ok(kind)
}

/// Value and length in bytes of the variable byte integer at the front; `None` while it is incomplete.
pub(super) fn variable_byte_integer(bytes: &[u8]) -> Result<Option<(usize, usize)>, DecodeError> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if byte == 0 && index > 0 {
                return Err(DecodeError::VariableByteInteger);
            }
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() >= 4 {
        return Err(DecodeError::VariableByteInteger);
    }
    Ok(None)
}

/// Bytes that the variable byte integer of a length takes.
pub(super) const fn variable_len(value: usize) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

pub(super) fn put_variable(out: &mut Vec<u8>, value: usize) -> Result<(), EncodeError> {
    if value > MAX_REMAINING_LENGTH {
        return Err(EncodeError::PacketTooLong);
    }
    let mut rest = value;
    loop {
        let low = (rest & 0x7f).to_le_bytes()[0];
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            return Ok(());
        }
        out.push(low | 0x80);
    }
}

pub(super) fn put_field(out: &mut Vec<u8>, field: &[u8]) -> Result<(), EncodeError> {
    let length = u16::try_from(field.len()).map_err(|_| EncodeError::FieldTooLong)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(field);
    Ok(())
}

/// Writes a whole packet whose body is written by `body`, used where speed does not matter.
pub(super) fn put_packet(
    out: &mut Vec<u8>,
    first: u8,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let mut bytes = Vec::with_capacity(64);
    body(&mut bytes)?;
    if bytes.len() > MAX_REMAINING_LENGTH {
        return Err(EncodeError::PacketTooLong);
    }
    out.push(first);
    put_variable(out, bytes.len())?;
    out.extend_from_slice(&bytes);
    Ok(())
}
