use super::*;

const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

/// A client's frame.
fn frame(first: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_frame(first & 0x0f, content, &mut bytes);
    let header = bytes.len() - content.len();
    bytes[0] = first;
    bytes[1] |= MASKED;
    unmask(&mut bytes[header..], &mut { MASK });
    bytes.splice(header..header, MASK);
    bytes
}

fn open() -> Frames {
    let mut frames = Frames::default();
    frames.open();
    frames
}

/// What comes out when the bytes arrive in pieces of this size: the content, what is sent, and how it went.
fn received(bytes: &[u8], size: usize) -> (Vec<u8>, Vec<u8>, Result<(), Violation>) {
    let mut frames = open();
    let (mut content, mut out) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(size) {
        let mut piece = piece.to_vec();
        match frames.receive(&mut piece, &mut out) {
            Ok(kept) => content.extend_from_slice(&piece[..kept]),
            Err(violation) => return (content, out, Err(violation)),
        }
    }
    (content, out, Ok(()))
}

#[test]
fn content_is_the_same_in_whatever_pieces_frames_and_bytes_come() {
    let content: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let mut bytes = Vec::new();
    let cuts = [0, 1, 4, 4, 130, 256, 66_000, 70_000];
    for (index, ends) in cuts.windows(2).enumerate() {
        let first = match index {
            0 => BINARY,
            6 => FINAL | CONTINUATION,
            _ => CONTINUATION,
        };
        bytes.extend(frame(first, &content[ends[0]..ends[1]]));
        bytes.extend(frame(FINAL | PONG, b"nobody asked"));
    }
    for size in [1, 2, 3, 5, 7, 16, 1_000, usize::MAX] {
        assert_eq!(received(&bytes, size), (content.clone(), vec![], Ok(())));
    }
}

#[test]
fn what_is_wrapped_has_the_shortest_length_and_no_mask() {
    for (length, header) in [
        (0, &[0x82, 0][..]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0, 126]),
        (65_535, &[0x82, 126, 0xff, 0xff]),
        (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let mut out = Vec::new();
        open().wrap(&vec![7; length], &mut out);
        assert!(out.starts_with(header), "{length}");
        assert_eq!(out.len(), header.len() + length);
    }
}

#[test]
fn pings_are_answered_the_last_of_several_only() {
    let mut bytes = frame(FINAL | PING, b"one");
    bytes.extend(frame(FINAL | PING, b"two"));
    bytes.extend(frame(FINAL | BINARY, b"x"));
    let (content, out, done) = received(&bytes, usize::MAX);
    assert_eq!((content, done), (b"x".to_vec(), Ok(())));
    assert_eq!(out, b"\x8a\x03two");
    let (_, out, _) = received(&bytes, 1);
    assert_eq!(out, b"\x8a\x03one\x8a\x03two");
}

#[test]
fn a_close_is_answered_and_nothing_after_it_is_heard_or_said() {
    let mut frames = open();
    let mut bytes = frame(FINAL | BINARY, b"last");
    bytes.extend(frame(FINAL | CLOSE, b"\x03\xe9bye"));
    bytes.extend(frame(FINAL | BINARY, b"too late"));
    let mut out = Vec::new();
    assert_eq!(frames.receive(&mut bytes, &mut out), Ok(4));
    assert_eq!(&bytes[..4], b"last");
    assert_eq!(out, b"\x88\x02\x03\xe9");
    assert!(frames.is_over());
    frames.wrap(b"x", &mut out);
    frames.end(&mut out);
    assert_eq!(out, b"\x88\x02\x03\xe9");
    assert_eq!(
        received(&frame(FINAL | CLOSE, b""), 1).1,
        b"\x88\x02\x03\xe8"
    );
}

#[test]
fn every_broken_rule_ends_the_connection_with_its_code() {
    use Violation::{Malformed, NotBinary, TooLarge, Unmasked};
    let long = |length: u64| {
        let mut bytes = vec![FINAL | BINARY, MASKED | 127];
        bytes.extend(length.to_be_bytes());
        bytes
    };
    let continued = [frame(BINARY, b"x"), frame(FINAL | BINARY, b"y")].concat();
    let cases: &[(&[u8], Violation)] = &[
        (&[FINAL | BINARY, 1, 0], Unmasked),
        (&[FINAL | PING, 0], Unmasked),
        (&frame(FINAL | TEXT, b"hello"), NotBinary),
        (&frame(TEXT, b""), NotBinary),
        (&long(FRAME_MAX + 1), TooLarge),
        (&long(u64::MAX >> 1), TooLarge),
        (&long(u64::MAX), Malformed),
        (&long(65_535), Malformed),
        (&[FINAL | BINARY, MASKED | 126, 0, 125], Malformed),
        (&frame(FINAL | 0x40 | BINARY, b""), Malformed),
        (&frame(FINAL | 0x20 | BINARY, b""), Malformed),
        (&frame(FINAL | 0x10 | BINARY, b""), Malformed),
        (&frame(FINAL | 3, b""), Malformed),
        (&frame(FINAL | 7, b""), Malformed),
        (&frame(FINAL | 11, b""), Malformed),
        (&frame(FINAL | 15, b""), Malformed),
        (&frame(FINAL | CONTINUATION, b""), Malformed),
        (&continued, Malformed),
        (&frame(PING, b"in parts"), Malformed),
        (&frame(CLOSE, b""), Malformed),
        (&frame(FINAL | PING, &[0; 126]), Malformed),
        (&frame(FINAL | CLOSE, b"\x03"), Malformed),
        (&frame(FINAL | CLOSE, b"\x03\xed"), Malformed),
        (&frame(FINAL | CLOSE, b"\x03\xe8\xff"), Malformed),
    ];
    for (bytes, violation) in cases {
        for size in [1, usize::MAX] {
            let (_, out, done) = received(bytes, size);
            assert_eq!(done, Err(*violation), "{bytes:x?}");
            let [high, low] = violation.code().to_be_bytes();
            assert_eq!(out, [0x88, 2, high, low], "{bytes:x?}");
        }
    }
}

#[test]
fn the_longest_frame_is_taken_piece_by_piece_and_nothing_of_it_is_kept() {
    let mut frames = open();
    let mut bytes = vec![FINAL | BINARY, MASKED | 127];
    bytes.extend(FRAME_MAX.to_be_bytes());
    bytes.extend(MASK);
    assert_eq!(frames.receive(&mut bytes, &mut Vec::new()), Ok(0));
    for _ in 0..FRAME_MAX >> 14 {
        let taken = frames.receive(&mut [0; 1 << 14], &mut Vec::new());
        assert_eq!(taken, Ok(1 << 14));
    }
    assert!(frames.frame.is_none());
    assert_eq!(frames.control.capacity(), 0);
}
