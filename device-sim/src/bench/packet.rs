//! The few packets that a load generator sends and reads, MQTT 3.1.1 and 5.
//!
//! By hand and without copies: the generator shares its cores with the server that it measures, so what it costs per
//! message is taken from the server. What comes in is only checked as far as is needed to read it safely.

/// Which MQTT is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Version {
    /// 3.1.1.
    #[default]
    #[value(name = "3.1.1")]
    V4,
    /// 5.0.
    #[value(name = "5")]
    V5,
}

/// First bytes of the packets that are acknowledgements or answered by some.
pub(super) const CONNACK: u8 = 0x20;
pub(super) const PUBLISH: u8 = 0x30;
pub(super) const PUBACK: u8 = 0x40;
pub(super) const PUBREC: u8 = 0x50;
pub(super) const PUBREL: u8 = 0x62;
pub(super) const PUBCOMP: u8 = 0x70;
pub(super) const SUBACK: u8 = 0x90;
pub(super) const DISCONNECT: u8 = 0xe0;

pub(super) const PINGRESP: u8 = 0xd0;

/// Is anybody there? The same in both versions.
pub(super) const PING: [u8; 2] = [0xc0, 0];

/// A clean goodbye, the same in both versions.
pub(super) const GOODBYE: [u8; 2] = [DISCONNECT, 0];

/// From this reason code on, something was refused.
const FAILURE: u8 = 0x80;

/// Largest packet that is read: servers send back what was published, and a little more.
const PACKET_MAX: usize = 1 << 20;

/// MQTT 5 property: publishes that may be unfinished.
const RECEIVE_MAXIMUM: u8 = 0x21;

/// What a server sent cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server sent something that is not MQTT, or a packet above 1 MiB")]
pub(super) struct Malformed;

/// One packet, without its length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) first: u8,
    pub(super) body: &'a [u8],
}

/// The first packet of `input` and its whole length, once all of it is there.
pub(super) fn frame(input: &[u8]) -> Result<Option<(Frame<'_>, usize)>, Malformed> {
    let Some((&first, rest)) = input.split_first() else {
        return Ok(None);
    };
    let mut length = 0_usize;
    for (index, byte) in rest.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if length > PACKET_MAX {
                return Err(Malformed);
            }
            let start = index + 2;
            let body = input.get(start..start + length);
            return Ok(body.map(|body| (Frame { first, body }, start + length)));
        }
    }
    if rest.len() < 4 {
        Ok(None)
    } else {
        Err(Malformed)
    }
}

impl<'a> Frame<'a> {
    /// What kind of packet it is: its first byte without flags, except that PUBREL keeps its own.
    pub(super) fn kind(self) -> u8 {
        match self.first & 0xf0 {
            0x60 => PUBREL,
            kind => kind,
        }
    }

    /// Packet identifier of an acknowledgement, and whether it refuses.
    pub(super) fn acknowledges(self) -> Result<(u16, bool), Malformed> {
        let id = number(self.body)?;
        let refused = self.body.get(2).is_some_and(|code| *code >= FAILURE);
        Ok((id, refused))
    }

    /// Topic, packet identifier (0 at QoS 0) and payload of a PUBLISH.
    pub(super) fn publish(self, version: Version) -> Result<(&'a [u8], u16, &'a [u8]), Malformed> {
        let length = usize::from(number(self.body)?);
        let topic = self.body.get(2..2 + length).ok_or(Malformed)?;
        let mut rest = self.body.get(2 + length..).ok_or(Malformed)?;
        let mut id = 0;
        if self.qos() > 0 {
            id = number(rest)?;
            rest = &rest[2..];
        }
        if version == Version::V5 {
            rest = after_properties(rest)?.1;
        }
        Ok((topic, id, rest))
    }

    /// Quality of service of a PUBLISH.
    pub(super) fn qos(self) -> u8 {
        (self.first >> 1) & 3
    }

    /// Whether every filter of a SUBSCRIBE was granted.
    pub(super) fn granted(self, version: Version) -> Result<bool, Malformed> {
        let mut rest = self.body.get(2..).ok_or(Malformed)?;
        if version == Version::V5 {
            rest = after_properties(rest)?.1;
        }
        Ok(!rest.is_empty() && rest.iter().all(|code| *code < FAILURE))
    }

    /// Of a CONNACK: how many publishes the server lets be unfinished, or the code of its refusal.
    pub(super) fn connected(self, version: Version) -> Result<Result<u16, u8>, Malformed> {
        let code = *self.body.get(1).ok_or(Malformed)?;
        if code != 0 {
            return Ok(Err(code));
        }
        if version == Version::V4 {
            return Ok(Ok(u16::MAX));
        }
        let (properties, _) = after_properties(&self.body[2..])?;
        Ok(Ok(receive_maximum(properties)))
    }
}

fn number(bytes: &[u8]) -> Result<u16, Malformed> {
    let bytes = bytes.first_chunk::<2>().ok_or(Malformed)?;
    Ok(u16::from_be_bytes(*bytes))
}

/// Splits properties from what follows them.
fn after_properties(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut length = 0_usize;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return bytes[index + 1..].split_at_checked(length).ok_or(Malformed);
        }
    }
    Err(Malformed)
}

/// Looks through the properties of a CONNACK; what cannot be read has no receive maximum.
fn receive_maximum(mut properties: &[u8]) -> u16 {
    while let Some((&id, rest)) = properties.split_first() {
        let length = match id {
            RECEIVE_MAXIMUM => return number(rest).unwrap_or(u16::MAX),
            // One byte: maximum QoS, retain, wildcards, subscription identifiers, shared subscriptions.
            0x24 | 0x25 | 0x28 | 0x29 | 0x2a => 1,
            // Two: keep-alive, topic aliases.
            0x13 | 0x22 => 2,
            // Four: session expiry, packet size.
            0x11 | 0x27 => 4,
            // Strings and binary: assigned id, response information, server reference, reason, authentication.
            0x12 | 0x1a | 0x1c | 0x1f | 0x15 | 0x16 => 2 + usize::from(number(rest).unwrap_or(0)),
            // User property: two strings.
            0x26 => {
                let first = 2 + usize::from(number(rest).unwrap_or(0));
                let second = rest.get(first..).and_then(|rest| number(rest).ok());
                first + 2 + usize::from(second.unwrap_or(0))
            }
            _ => return u16::MAX,
        };
        properties = rest.get(length..).unwrap_or_default();
    }
    u16::MAX
}

/// What a client says first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hello<'a> {
    pub(super) client_id: &'a str,
    /// User name and password.
    pub(super) login: Option<(&'a str, &'a str)>,
    pub(super) keep_alive_seconds: u16,
}

/// CONNECT with a clean session.
pub(super) fn connect(out: &mut Vec<u8>, version: Version, hello: Hello<'_>) {
    let mut body = Vec::with_capacity(64);
    text(&mut body, b"MQTT");
    let flags = if hello.login.is_some() { 0xc2 } else { 0x02 };
    let level = if version == Version::V4 { 4 } else { 5 };
    body.extend([level, flags]);
    body.extend(hello.keep_alive_seconds.to_be_bytes());
    no_properties(&mut body, version);
    text(&mut body, hello.client_id.as_bytes());
    if let Some((user, password)) = hello.login {
        text(&mut body, user.as_bytes());
        text(&mut body, password.as_bytes());
    }
    out.push(0x10);
    remaining(out, body.len());
    out.extend(body);
}

/// SUBSCRIBE to one filter.
pub(super) fn subscribe(out: &mut Vec<u8>, version: Version, id: u16, filter: &str, qos: u8) {
    let properties = usize::from(version == Version::V5);
    out.push(0x82);
    remaining(out, 2 + properties + 2 + filter.len() + 1);
    out.extend(id.to_be_bytes());
    no_properties(out, version);
    text(out, filter.as_bytes());
    out.push(qos);
}

/// PUBLISH; `id` is not written at QoS 0.
pub(super) fn publish(
    out: &mut Vec<u8>,
    version: Version,
    qos: u8,
    id: u16,
    topic: &str,
    payload: &[u8],
) {
    let numbered = if qos == 0 { 0 } else { 2 };
    let properties = usize::from(version == Version::V5);
    out.push(PUBLISH | qos << 1);
    remaining(out, 2 + topic.len() + numbered + properties + payload.len());
    text(out, topic.as_bytes());
    if qos != 0 {
        out.extend(id.to_be_bytes());
    }
    no_properties(out, version);
    out.extend_from_slice(payload);
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP, as the first byte says.
pub(super) fn acknowledge(out: &mut Vec<u8>, first: u8, id: u16) {
    out.extend([first, 2]);
    out.extend(id.to_be_bytes());
}

fn no_properties(out: &mut Vec<u8>, version: Version) {
    if version == Version::V5 {
        out.push(0);
    }
}

fn remaining(out: &mut Vec<u8>, mut length: usize) {
    loop {
        let byte = u8::try_from(length & 0x7f).unwrap_or(0);
        length >>= 7;
        if length == 0 {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

/// A string; the arguments bound every one far below 65,535 bytes.
fn text(out: &mut Vec<u8>, text: &[u8]) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend(length.to_be_bytes());
    out.extend_from_slice(&text[..usize::from(length)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_is_read_as_it_was_written_in_both_versions() {
        for version in [Version::V4, Version::V5] {
            for qos in 0..=2 {
                let mut out = Vec::new();
                publish(&mut out, version, qos, 7, "a/b", &[9; 200]);
                for cut in 0..out.len() {
                    assert!(frame(&out[..cut]).unwrap().is_none(), "{cut}");
                }
                let (read, length) = frame(&out).unwrap().unwrap();
                assert_eq!((read.kind(), read.qos(), length), (PUBLISH, qos, out.len()));
                let id = if qos == 0 { 0 } else { 7 };
                let expected: (&[u8], u16, &[u8]) = (b"a/b", id, &[9; 200]);
                assert_eq!(read.publish(version).unwrap(), expected);
            }
        }
    }

    #[test]
    fn the_receive_maximum_is_found_among_other_properties() {
        let read = |body: &[u8]| {
            Frame {
                first: CONNACK,
                body,
            }
            .connected(Version::V5)
        };
        assert_eq!(read(&[0, 0, 0]), Ok(Ok(u16::MAX)));
        let among = [
            0, 0, 12, 0x24, 1, 0x1f, 0, 2, b'n', b'o', 0x21, 4, 0, 0x22, 0,
        ];
        assert_eq!(read(&among), Ok(Ok(1_024)));
        assert_eq!(read(&[0, 0x87, 0]), Ok(Err(0x87)));
        assert_eq!(read(&[0]), Err(Malformed));
        assert_eq!(read(&[0, 0, 9, 1]), Err(Malformed));
    }

    #[test]
    fn what_is_no_mqtt_is_refused_and_not_waited_for() {
        assert_eq!(
            frame(&[0x30, 0xff, 0xff, 0xff, 0xff]).unwrap_err(),
            Malformed
        );
        // 2 MiB are announced.
        assert_eq!(frame(&[0x30, 0x80, 0x80, 0x80, 1]).unwrap_err(), Malformed);
        let short = Frame {
            first: 0x32,
            body: &[0, 9, b'a'],
        };
        assert_eq!(short.publish(Version::V4).unwrap_err(), Malformed);
        assert_eq!(short.granted(Version::V5).unwrap_err(), Malformed);
    }
}
