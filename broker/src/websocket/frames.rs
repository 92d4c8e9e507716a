//! One connection's frames: envelopes are taken off where the bytes lie, and nothing is kept but a header or a control
//! frame that has not arrived whole.

use crate::config::PACKET_SIZE_CEILING;
use crate::metrics::Count;
use std::fmt;

/// Longest data frame, bytes. A frame is never kept, so this only refuses nonsense: twice the largest packet.
const FRAME_MAX: u64 = 2 * PACKET_SIZE_CEILING as u64;
/// Longest content of a control frame, bytes (RFC 6455 section 5.5).
const CONTROL_MAX: u64 = 125;
/// Longest header of a frame, bytes.
const HEADER_MAX: usize = 14;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// Why a connection is closed.
const NORMAL: u16 = 1000;

/// A broken rule of WebSocket, or of MQTT about its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// Clients mask what they send.
    Unmasked,
    /// MQTT is spoken in binary frames only (MQTT-6.0.0-1).
    NotBinary,
    /// A frame is longer than any packet.
    TooLarge,
    /// It is no frame of a client, or not where it may be.
    Malformed,
}

impl Violation {
    /// What counts it.
    #[must_use]
    pub const fn count(self) -> Count {
        match self {
            Self::Unmasked => Count::WebSocketUnmasked,
            Self::NotBinary => Count::WebSocketNotBinary,
            Self::TooLarge => Count::WebSocketFrameTooLarge,
            Self::Malformed => Count::WebSocketMalformed,
        }
    }

    /// The status code that the client is told.
    fn code(self) -> u16 {
        match self {
            Self::Unmasked | Self::Malformed => 1002,
            Self::NotBinary => 1003,
            Self::TooLarge => 1009,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.count().name())
    }
}

impl std::error::Error for Violation {}

/// The frames of one connection.
#[derive(Debug, Default)]
pub struct Frames {
    phase: Phase,
    /// Within a message of several frames.
    in_message: bool,
    frame: Option<Frame>,
    /// The beginning of a header.
    header: [u8; HEADER_MAX],
    header_length: usize,
    /// The content of a control frame, as far as it has arrived.
    control: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The request has not been answered yet.
    #[default]
    Asked,
    Open,
    /// Nothing more is sent but the end, and nothing that comes is looked at.
    Over,
}

/// A frame whose header has arrived.
#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: u8,
    is_final: bool,
    mask: [u8; 4],
    /// Bytes of its content that have not arrived.
    left: u64,
}

impl Frames {
    /// Begins, after the request was granted.
    pub fn open(&mut self) {
        self.phase = Phase::Open;
    }

    /// Gives up, after the request was refused.
    pub fn give_up(&mut self) {
        self.phase = Phase::Over;
    }

    /// Whether the request has not been answered yet.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.phase == Phase::Asked
    }

    /// Whether nothing more is taken from the client.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Takes the envelopes off what has arrived, so that the content is at its beginning; how long it is. Appends to `out`
    /// what is to be sent in answer, also when it fails.
    ///
    /// # Errors
    /// The first rule that is broken; the connection is over then.
    pub fn receive(&mut self, arrived: &mut [u8], out: &mut Vec<u8>) -> Result<usize, Violation> {
        let received = self.unwrap(arrived, out);
        if let Err(violation) = received {
            self.end_with(violation.code(), out);
        }
        received
    }

    fn unwrap(&mut self, arrived: &mut [u8], out: &mut Vec<u8>) -> Result<usize, Violation> {
        let (mut read, mut kept) = (0, 0);
        // One answer to the last of several pings is enough (RFC 6455 section 5.5.3), and keeps a flood of them cheap.
        let mut answer = Vec::new();
        while read < arrived.len() && self.phase == Phase::Open {
            let Some(frame) = &mut self.frame else {
                read += self.read_header(&arrived[read..])?;
                self.finish(&mut answer, out)?;
                continue;
            };
            let left = usize::try_from(frame.left).unwrap_or(usize::MAX);
            let end = read + left.min(arrived.len() - read);
            let content = &mut arrived[read..end];
            frame.left -= content.len() as u64;
            unmask(content, &mut frame.mask);
            if is_control(frame.opcode) {
                self.control.extend_from_slice(content);
            } else {
                arrived.copy_within(read..end, kept);
                kept += end - read;
            }
            read = end;
            self.finish(&mut answer, out)?;
        }
        if self.phase == Phase::Open {
            out.append(&mut answer);
        }
        Ok(kept)
    }

    /// Goes on with a header; how many bytes of it were taken.
    fn read_header(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let known = self.header_length;
        let count = bytes.len().min(HEADER_MAX - known);
        self.header[known..known + count].copy_from_slice(&bytes[..count]);
        let parsed = parse(&self.header[..known + count], self.in_message)?;
        match parsed {
            Some((frame, length)) => {
                self.header_length = 0;
                self.frame = Some(frame);
                Ok(length - known)
            }
            None => {
                self.header_length += count;
                Ok(count)
            }
        }
    }

    /// Ends the frame if it is whole.
    fn finish(&mut self, answer: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), Violation> {
        let Some(frame) = self.frame.take_if(|frame| frame.left == 0) else {
            return Ok(());
        };
        if !is_control(frame.opcode) {
            self.in_message = !frame.is_final;
            return Ok(());
        }
        let content = std::mem::take(&mut self.control);
        match frame.opcode {
            PING => {
                answer.clear();
                put_frame(PONG, &content, answer);
            }
            CLOSE => {
                let code = check_close(&content)?;
                self.end_with(code, out);
            }
            _ => {}
        }
        Ok(())
    }

    /// Appends one frame with this content.
    pub fn wrap(&mut self, content: &[u8], out: &mut Vec<u8>) {
        if self.phase == Phase::Open {
            put_frame(BINARY, content, out);
        }
    }

    /// Appends the frame that says that nothing more comes.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.end_with(NORMAL, out);
    }

    fn end_with(&mut self, code: u16, out: &mut Vec<u8>) {
        if self.phase == Phase::Open {
            put_frame(CLOSE, &code.to_be_bytes(), out);
        }
        self.phase = Phase::Over;
        self.control = Vec::new();
    }
}

fn is_control(opcode: u8) -> bool {
    opcode >= CLOSE
}

/// A header and how long it is, if it is whole. What is wrong is found as early as it can be.
fn parse(bytes: &[u8], in_message: bool) -> Result<Option<(Frame, usize)>, Violation> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    let (opcode, is_final) = (first & 0x0f, first & FINAL != 0);
    let short = u64::from(second & !MASKED);
    if first & RESERVED != 0 {
        return Err(Violation::Malformed);
    }
    if second & MASKED == 0 {
        return Err(Violation::Unmasked);
    }
    match opcode {
        TEXT => return Err(Violation::NotBinary),
        BINARY if !in_message => {}
        CONTINUATION if in_message => {}
        CLOSE | PING | PONG if is_final && short <= CONTROL_MAX => {}
        _ => return Err(Violation::Malformed),
    }
    let (length, rest) = match short {
        126 => {
            let Some((long, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            (u64::from(u16::from_be_bytes(*long)), rest)
        }
        127 => {
            let Some((long, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            (u64::from_be_bytes(*long), rest)
        }
        short => (short, rest),
    };
    // The shortest form of a length is the only one (RFC 6455 section 5.2).
    let least = match short {
        126 => 126,
        127 => 1 << 16,
        _ => 0,
    };
    if length < least || length >> 63 != 0 {
        return Err(Violation::Malformed);
    }
    if length > FRAME_MAX {
        return Err(Violation::TooLarge);
    }
    let Some((mask, rest)) = rest.split_first_chunk() else {
        return Ok(None);
    };
    let frame = Frame {
        opcode,
        is_final,
        mask: *mask,
        left: length,
    };
    Ok(Some((frame, bytes.len() - rest.len())))
}

/// Unmasks the next bytes of a frame, and turns the mask to where they end.
fn unmask(content: &mut [u8], mask: &mut [u8; 4]) {
    let whole = u32::from_ne_bytes(*mask);
    let (words, rest) = content.as_chunks_mut();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ whole).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(*mask) {
        *byte ^= mask;
    }
    mask.rotate_left(rest.len());
}

/// The code that answers a client's close frame: its own, or that of an ordinary end.
fn check_close(content: &[u8]) -> Result<u16, Violation> {
    let Some((code, why)) = content.split_first_chunk() else {
        return if content.is_empty() {
            Ok(NORMAL)
        } else {
            Err(Violation::Malformed)
        };
    };
    let code = u16::from_be_bytes(*code);
    let is_known = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if !is_known || std::str::from_utf8(why).is_err() {
        return Err(Violation::Malformed);
    }
    Ok(code)
}

fn put_frame(opcode: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(FINAL | opcode);
    if let Ok(short @ ..126) = u8::try_from(content.len()) {
        out.push(short);
    } else if let Ok(long) = u16::try_from(content.len()) {
        out.push(126);
        out.extend_from_slice(&long.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&(content.len() as u64).to_be_bytes());
    }
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests;
