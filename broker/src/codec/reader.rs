//! Takes fields off the front of a packet body without copying them.

use super::error::DecodeError;
use super::frame::variable_byte_integer;
use super::topic;
use bytes::{Buf, Bytes};
use bytestring::ByteString;

#[derive(Debug)]
pub(super) struct Reader {
    rest: Bytes,
}

impl Reader {
    pub(super) fn new(body: Bytes) -> Self {
        Self { rest: body }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn into_rest(self) -> Bytes {
        self.rest
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::TrailingBytes)
        }
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.rest.try_get_u8().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn two_bytes(&mut self) -> Result<u16, DecodeError> {
        self.rest.try_get_u16().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn four_bytes(&mut self) -> Result<u32, DecodeError> {
        self.rest.try_get_u32().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn packet_id(&mut self) -> Result<u16, DecodeError> {
        match self.two_bytes()? {
            0 => Err(DecodeError::PacketIdZero),
            id => Ok(id),
        }
    }

    pub(super) fn variable(&mut self) -> Result<usize, DecodeError> {
        let (value, length) = variable_byte_integer(&self.rest)?.ok_or(DecodeError::Truncated)?;
        self.rest.advance(length);
        Ok(value)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(self.rest.split_to(length))
    }

    pub(super) fn binary(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.two_bytes()?;
        self.take(usize::from(length))
    }

    pub(super) fn string(&mut self) -> Result<ByteString, DecodeError> {
        let bytes = self.binary()?;
        if bytes.contains(&0) {
            return Err(DecodeError::NulInString);
        }
        ByteString::try_from(bytes).map_err(|_| DecodeError::InvalidUtf8)
    }

    /// A topic name; empty is for the caller to judge, because an MQTT 5 alias may stand for it.
    pub(super) fn topic_name(&mut self) -> Result<ByteString, DecodeError> {
        let bytes = self.binary()?;
        for &byte in bytes.iter() {
            match byte {
                0 => return Err(DecodeError::NulInString),
                b'#' | b'+' => return Err(DecodeError::WildcardInTopic),
                _ => {}
            }
        }
        ByteString::try_from(bytes).map_err(|_| DecodeError::InvalidUtf8)
    }

    pub(super) fn topic_filter(&mut self) -> Result<ByteString, DecodeError> {
        let filter = self.string()?;
        if topic::is_filter(&filter) {
            Ok(filter)
        } else {
            Err(DecodeError::TopicFilter)
        }
    }
}
