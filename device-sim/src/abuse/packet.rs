//! Packets as bytes. Nothing is checked: wrong ones are what this is for.

/// Protocol level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V5,
}

pub(super) const VERSIONS: [Version; 2] = [Version::V4, Version::V5];

impl Version {
    const fn level(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V5 => 5,
        }
    }

    pub(super) const fn is_v5(self) -> bool {
        matches!(self, Self::V5)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::V4 => "3.1.1",
            Self::V5 => "5.0",
        }
    }
}

pub(super) const PING: [u8; 2] = [0xc0, 0];
pub(super) const GOODBYE: [u8; 2] = [0xe0, 0];

/// First bytes of the four packets of an acknowledgement.
pub(super) const PUBACK: u8 = 0x40;
pub(super) const PUBREC: u8 = 0x50;
pub(super) const PUBREL: u8 = 0x62;
pub(super) const PUBCOMP: u8 = 0x70;

/// A will.
#[derive(Debug, Clone)]
pub(super) struct Will {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) qos: u8,
}

/// A CONNECT.
#[derive(Debug, Clone)]
pub(super) struct Connect {
    pub(super) version: Version,
    pub(super) client_id: String,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) clean: bool,
    /// Seconds; 0 is none.
    pub(super) keep_alive: u16,
    pub(super) will: Option<Will>,
    /// Properties of MQTT 5, at most 127 bytes.
    pub(super) properties: Vec<u8>,
}

impl Connect {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = b"\0\x04MQTT".to_vec();
        let mut flags = u8::from(self.clean) << 1;
        if let Some(will) = &self.will {
            flags |= 0x04 | will.qos << 3;
        }
        flags |= u8::from(self.password.is_some()) << 6;
        flags |= u8::from(self.username.is_some()) << 7;
        body.extend([self.version.level(), flags]);
        body.extend(self.keep_alive.to_be_bytes());
        if self.version.is_v5() {
            body.push(self.properties.len().to_le_bytes()[0]);
            body.extend(&self.properties);
        }
        field(&mut body, self.client_id.as_bytes());
        if let Some(will) = &self.will {
            if self.version.is_v5() {
                body.push(0);
            }
            field(&mut body, will.topic.as_bytes());
            field(&mut body, &will.payload);
        }
        for part in [&self.username, &self.password].into_iter().flatten() {
            field(&mut body, part.as_bytes());
        }
        packet(0x10, &body)
    }
}

impl Connect {
    /// The session shall outlive the connection by a minute, or by what MQTT 3.1.1 gives.
    pub(super) fn kept(mut self) -> Self {
        self.clean = false;
        self.properties = vec![0x11, 0, 0, 0, 60];
        self
    }

    /// At most so many messages under way to this client (MQTT 5).
    pub(super) fn receive_maximum(mut self, maximum: u16) -> Self {
        let [high, low] = maximum.to_be_bytes();
        self.properties.extend([0x21, high, low]);
        self
    }

    pub(super) fn will(mut self, topic: &str, qos: u8) -> Self {
        self.will = Some(Will {
            topic: topic.to_owned(),
            payload: b"will".to_vec(),
            qos,
        });
        self
    }
}

/// A PUBLISH; `flags` are DUP (8), the quality of service (0, 2, 4) and RETAIN (1).
pub(super) fn publish(
    version: Version,
    flags: u8,
    topic: &str,
    id: u16,
    payload: &[u8],
) -> Vec<u8> {
    let mut body = Vec::with_capacity(topic.len() + payload.len() + 8);
    field(&mut body, topic.as_bytes());
    if flags & 6 != 0 {
        body.extend(id.to_be_bytes());
    }
    if version.is_v5() {
        body.push(0);
    }
    body.extend(payload);
    packet(0x30 | flags, &body)
}

pub(super) const RETAIN: u8 = 1;
pub(super) const QOS1: u8 = 2;
pub(super) const QOS2: u8 = 4;
pub(super) const DUP: u8 = 8;

pub(super) fn subscribe(version: Version, id: u16, filters: &[&str], qos: u8) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if version.is_v5() {
        body.push(0);
    }
    for filter in filters {
        field(&mut body, filter.as_bytes());
        body.push(qos);
    }
    packet(0x82, &body)
}

pub(super) fn unsubscribe(version: Version, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if version.is_v5() {
        body.push(0);
    }
    for filter in filters {
        field(&mut body, filter.as_bytes());
    }
    packet(0xa2, &body)
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
pub(super) fn ack(first: u8, id: u16) -> Vec<u8> {
    packet(first, &id.to_be_bytes())
}

/// Any packet.
pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 5);
    out.push(first);
    length(&mut out, body.len());
    out.extend(body);
    out
}

/// A remaining length of up to 268,435,455.
pub(super) fn length(out: &mut Vec<u8>, length: usize) {
    let mut rest = length;
    loop {
        let low = (rest & 0x7f).to_le_bytes()[0];
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// A string or binary field; what exceeds 65,535 bytes is left out.
pub(super) fn field(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend(length.to_be_bytes());
    out.extend(&bytes[..usize::from(length)]);
}
