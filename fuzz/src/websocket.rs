//! WebSocket: nothing panics, nothing depends on how the bytes arrive, and what is answered is WebSocket or HTTP.

use rollcall_broker::websocket::{Frames, Violation, examine};

/// A client's frame has a mask; any will do.
const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];
/// Requests are cut at every place; longer ones are only looked at whole.
const CUT_MAX: usize = 1_024;

/// What a client's bytes lead to.
struct Heard {
    content: Vec<u8>,
    said: Vec<u8>,
    is_over: bool,
    violation: Option<Violation>,
}

fn hear(bytes: &[u8], piece: usize) -> Heard {
    let mut frames = Frames::default();
    frames.open();
    let (mut content, mut said, mut violation) = (Vec::new(), Vec::new(), None);
    for piece in bytes.chunks(piece) {
        let mut piece = piece.to_vec();
        match frames.receive(&mut piece, &mut said) {
            Ok(kept) => content.extend_from_slice(&piece[..kept]),
            Err(found) => {
                violation = Some(found);
                break;
            }
        }
    }
    Heard {
        content,
        said,
        is_over: frames.is_over(),
        violation,
    }
}

/// A byte for the pieces in which the rest arrives.
pub fn frames(data: &[u8]) {
    let Some((how, bytes)) = data.split_first() else {
        return;
    };
    let whole = hear(bytes, usize::MAX);
    assert!(whole.content.len() <= bytes.len());
    check_said(&whole);
    for piece in [1, 2 + usize::from(*how)] {
        let pieces = hear(bytes, piece);
        check_said(&pieces);
        assert_eq!(pieces.violation, whole.violation, "in pieces of {piece}");
        assert_eq!(pieces.is_over, whole.is_over, "in pieces of {piece}");
        // What came before a violation in the same piece is not handed on.
        if whole.violation.is_none() {
            assert_eq!(pieces.content, whole.content, "in pieces of {piece}");
        }
    }
    comes_back(bytes, *how);
}

/// What the server says: pongs, and at most one close, which is the last.
fn check_said(heard: &Heard) {
    let mut rest = &heard.said[..];
    let mut code = None;
    while let [first, length, after @ ..] = rest {
        assert!(code.is_none(), "nothing follows a close");
        assert!(*length <= 125 && after.len() >= usize::from(*length));
        let (content, after) = after.split_at(usize::from(*length));
        match first {
            0x8a => {}
            0x88 => code = content.try_into().ok().map(u16::from_be_bytes),
            other => panic!("{other:#x} is neither pong nor close"),
        }
        rest = after;
    }
    assert!(rest.is_empty(), "half a frame");
    assert_eq!(code.is_some(), heard.is_over);
    if heard.violation.is_some() {
        assert!(matches!(code, Some(1002 | 1003 | 1009)), "{code:?}");
    }
}

/// What is put into frames comes out of them.
fn comes_back(content: &[u8], how: u8) {
    let mut sender = Frames::default();
    sender.open();
    let mut bytes = Vec::new();
    for part in content.chunks(1 + 40 * usize::from(how)) {
        let start = bytes.len();
        sender.wrap(part, &mut bytes);
        let header = bytes.len() - part.len();
        bytes[start + 1] |= 0x80;
        for (byte, mask) in bytes[header..].iter_mut().zip(MASK.iter().cycle()) {
            *byte ^= mask;
        }
        bytes.splice(header..header, MASK);
    }
    let heard = hear(&bytes, 1 + usize::from(how));
    assert!(heard.violation.is_none() && !heard.is_over);
    assert_eq!(heard.content, content);
}

/// A request for WebSocket, or for anything.
pub fn head(data: &[u8]) {
    match examine(data) {
        Ok(Some(granted)) => {
            assert!(granted.length <= data.len());
            let answer = std::str::from_utf8(&granted.answer).expect("text");
            assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\n"));
            for end in 0..granted.length {
                let early = examine(&data[..end]);
                assert!(matches!(early, Ok(None)), "half a request is waited for");
            }
        }
        Ok(None) => {}
        Err(refusal) => {
            let answer = refusal.answer();
            let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
            assert!(head.starts_with("HTTP/1.1 4") || head.starts_with("HTTP/1.1 5"));
            assert!(head.contains(&format!("Content-Length: {}", body.len())));
            for end in 0..data.len().min(CUT_MAX) {
                let early = examine(&data[..end]);
                assert!(!matches!(early, Ok(Some(_))), "granted too early");
            }
        }
    }
}
