//! The codec: nothing panics, what is read can be written, and means the same when it is read again.

use bytes::Bytes;
use rollcall_broker::ProtocolVersion;
use rollcall_broker::codec::{Packet, header, topic};

/// Largest packet body that is taken, bytes.
const MAX_BODY: usize = 1 << 20;

/// A byte for the version, then the packet's first byte and its body.
pub fn packet(data: &[u8]) {
    let [version, first, body @ ..] = data else {
        return;
    };
    let version = match version & 1 {
        0 => ProtocolVersion::V4,
        _ => ProtocolVersion::V5,
    };
    if let Ok(packet) = Packet::decode(version, *first, Bytes::copy_from_slice(body)) {
        assert_survives(version, &packet);
    }
}

fn assert_survives(version: ProtocolVersion, packet: &Packet) {
    let version = match packet {
        Packet::Connect(connect) => connect.version,
        _ => version,
    };
    let mut bytes = Vec::new();
    packet
        .encode(version, &mut bytes)
        .expect("what was read can be written");
    let found = header(&bytes, usize::MAX)
        .expect("a good header")
        .expect("a whole header");
    assert_eq!(found.total(), bytes.len(), "the length is what it says");
    let body = Bytes::copy_from_slice(&bytes[found.header_len..]);
    let again = Packet::decode(version, found.first, body).expect("what was written can be read");
    assert_eq!(&again, packet, "and means the same");
}

/// A byte for the version, then packets one after the other. Judged early: what has begun well does not become
/// malformed by what was there already.
pub fn stream(data: &[u8]) {
    let Some((version, mut rest)) = data.split_first() else {
        return;
    };
    let version = match version & 1 {
        0 => ProtocolVersion::V4,
        _ => ProtocolVersion::V5,
    };
    while let Ok(Some(found)) = header(rest, MAX_BODY) {
        for end in 0..found.header_len {
            let early = header(&rest[..end], MAX_BODY);
            assert_eq!(early, Ok(None), "half a header is waited for");
        }
        assert!(found.body_len <= MAX_BODY && found.header_len <= 5);
        if rest.len() < found.total() {
            return;
        }
        let body = Bytes::copy_from_slice(&rest[found.header_len..found.total()]);
        match Packet::decode(version, found.first, body) {
            Ok(packet) => assert_survives(version, &packet),
            Err(error) => {
                let code = error.reason_code();
                assert!(code.is_error(), "{error} has no reason code");
                return;
            }
        }
        rest = &rest[found.total()..];
    }
}

/// A filter and a topic name, with a line break between them.
pub fn filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (filter, name) = text.split_once('\n').unwrap_or((text, text));
    let _ = topic::shared(filter);
    assert!(topic::levels(filter) >= 1);
    if !topic::is_filter(filter) {
        return;
    }
    if let topic::Shared::Yes { group, filter } = topic::shared(filter) {
        assert!(!group.is_empty() && topic::is_filter(filter));
    }
    if topic::is_name(name) {
        let filter: Vec<_> = filter.split('/').collect();
        let name_levels: Vec<_> = name.split('/').collect();
        let wild = name.starts_with('$') && matches!(filter[0], "+" | "#");
        assert_eq!(
            topic::matches(&filter.join("/"), name),
            !wild && naive(&filter, &name_levels)
        );
    }
}

fn naive(filter: &[&str], name: &[&str]) -> bool {
    match (filter, name) {
        (["#"], _) => true,
        ([], []) => true,
        (["+", filter @ ..], [_, name @ ..]) => naive(filter, name),
        ([level, filter @ ..], [found, name @ ..]) => level == found && naive(filter, name),
        _ => false,
    }
}
