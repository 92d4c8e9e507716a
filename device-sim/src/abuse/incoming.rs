//! What a server says, as far as a judge needs it.

use bytes::{Buf, Bytes, BytesMut};

use super::packet::Version;

/// A packet of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Incoming {
    ConnAck {
        session_present: bool,
        code: u8,
    },
    Publish {
        topic: String,
        payload: Bytes,
        qos: u8,
        id: u16,
    },
    /// PUBACK, PUBREC, PUBREL or PUBCOMP, by its first byte.
    Ack {
        first: u8,
        id: u16,
        code: u8,
    },
    SubAck {
        codes: Vec<u8>,
    },
    UnsubAck,
    Pong,
    Disconnect {
        code: u8,
    },
    Other(u8),
}

/// The server sent what is no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server sends what is no packet of MQTT")]
pub(super) struct NoPacket;

/// Takes the packet at the front of `buffer`; `None` while it is incomplete.
pub(super) fn take(buffer: &mut BytesMut, version: Version) -> Result<Option<Incoming>, NoPacket> {
    let Some(&first) = buffer.first() else {
        return Ok(None);
    };
    let mut length = 0_usize;
    for (index, &byte) in buffer[1..].iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 != 0 {
            continue;
        }
        let header = index + 2;
        if buffer.len() < header + length {
            return Ok(None);
        }
        let mut packet = buffer.split_to(header + length);
        packet.advance(header);
        return read(first, packet.freeze(), version)
            .map(Some)
            .ok_or(NoPacket);
    }
    if buffer.len() >= 5 {
        Err(NoPacket)
    } else {
        Ok(None)
    }
}

fn read(first: u8, mut body: Bytes, version: Version) -> Option<Incoming> {
    Some(match first >> 4 {
        2 => Incoming::ConnAck {
            session_present: body.try_get_u8().ok()? & 1 == 1,
            code: body.try_get_u8().ok()?,
        },
        3 => {
            let length = usize::from(body.try_get_u16().ok()?);
            let topic = take_bytes(&mut body, length)?;
            let qos = first >> 1 & 3;
            let id = if qos > 0 { body.try_get_u16().ok()? } else { 0 };
            skip_properties(&mut body, version)?;
            Incoming::Publish {
                topic: String::from_utf8(topic.to_vec()).ok()?,
                payload: body,
                qos,
                id,
            }
        }
        4..=7 => Incoming::Ack {
            first,
            id: body.try_get_u16().ok()?,
            code: body.try_get_u8().unwrap_or(0),
        },
        9 => {
            body.try_get_u16().ok()?;
            skip_properties(&mut body, version)?;
            Incoming::SubAck {
                codes: body.to_vec(),
            }
        }
        11 => Incoming::UnsubAck,
        13 => Incoming::Pong,
        14 => Incoming::Disconnect {
            code: body.try_get_u8().unwrap_or(0),
        },
        _ => Incoming::Other(first),
    })
}

fn take_bytes(body: &mut Bytes, length: usize) -> Option<Bytes> {
    (body.len() >= length).then(|| body.split_to(length))
}

fn skip_properties(body: &mut Bytes, version: Version) -> Option<()> {
    if !version.is_v5() {
        return Some(());
    }
    let mut length = 0_usize;
    for shift in [0, 7, 14, 21] {
        let byte = body.try_get_u8().ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            take_bytes(body, length)?;
            return Some(());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abuse::packet::{self, QOS1};

    #[test]
    fn what_is_written_is_read_and_half_of_it_waits() {
        for version in packet::VERSIONS {
            let bytes = packet::publish(version, QOS1, "a/b", 7, b"hello");
            for end in 0..bytes.len() {
                let mut buffer = BytesMut::from(&bytes[..end]);
                assert_eq!(take(&mut buffer, version), Ok(None));
            }
            let mut buffer = BytesMut::from(&bytes[..]);
            let expected = Incoming::Publish {
                topic: "a/b".to_owned(),
                payload: Bytes::from_static(b"hello"),
                qos: 1,
                id: 7,
            };
            assert_eq!(take(&mut buffer, version), Ok(Some(expected)));
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn a_server_that_talks_nonsense_is_found_out() {
        for bytes in [
            &b"\x30\xff\xff\xff\xff\x01"[..],
            b"\x30\x02\0\x05",
            b"\x20\x00",
        ] {
            let mut buffer = BytesMut::from(bytes);
            assert_eq!(take(&mut buffer, Version::V5), Err(NoPacket));
        }
    }
}
