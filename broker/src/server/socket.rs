//! One client's socket with as little memory as possible: an idle connection owns no buffer.
//!
//! Bytes are read into a block that all connections of a worker thread share; packets are slices of it. Only what is
//! left of an incomplete packet is copied into a buffer of the connection's own. Writes try the socket at once, and
//! only what it does not take is kept.
//!
//! With TLS, records are read into another shared buffer and their content goes into that block, so an idle connection
//! owns its keys and nothing else. With WebSocket, the envelopes are then taken off where the bytes lie.

use super::wire::{Stream, Wire};
use crate::codec::{DecodeError, header};
use crate::metrics::Count;
use crate::tls::Link;
use crate::websocket::{self, Frames, Violation};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::task::{Context, Poll};
use std::thread::LocalKey;
use std::time::Duration;

/// Size of the blocks that a worker's connections share, bytes.
const BLOCK: usize = 64 * 1024;
/// A new block is begun when less than this is left, bytes.
const MIN_READ: usize = 4 * 1024;
/// Most that one read takes, bytes; bounds what a paused connection keeps.
const MAX_READ: usize = 16 * 1024;
/// How long a client may take to notice that it was disconnected.
const LINGER: Duration = Duration::from_secs(1);
/// The most that each of a worker's buffers for writing keeps allocated, bytes.
const WRITING_KEPT: usize = 256 * 1024;

thread_local! {
    static SHARED: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(BLOCK));
    /// Records that have arrived; emptied at once.
    static ARRIVED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Records that are about to be written; emptied at once.
    static SEALED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Frames that are about to be written; emptied at once.
    static FRAMED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
pub(super) struct Socket {
    wire: Wire,
    tls: Option<Box<Link>>,
    websocket: Option<Box<Frames>>,
    inbox: Inbox,
}

/// Plain bytes that no packet has been made of yet.
#[derive(Debug, Default)]
struct Inbox {
    bytes: BytesMut,
    /// Whether they lie in a shared block.
    borrowed: bool,
}

impl Socket {
    pub(super) fn new(
        stream: Stream,
        tls: Option<Box<Link>>,
        websocket: Option<Box<Frames>>,
    ) -> Self {
        Self {
            wire: Wire::new(stream),
            tls,
            websocket,
            inbox: Inbox::default(),
        }
    }

    /// Whether the client may have something to read.
    pub(super) fn has_written(&self) -> bool {
        self.wire.written > 0 || self.backlog() > 0
    }

    /// Bytes written since the last call.
    pub(super) fn take_written(&mut self) -> u64 {
        std::mem::take(&mut self.wire.written)
    }

    /// Bytes that wait for the client to read.
    pub(super) fn backlog(&self) -> usize {
        self.wire.backlog()
    }

    /// The client's own certificate, verified, DER.
    pub(super) fn certificate(&self) -> Option<&[u8]> {
        self.tls.as_ref()?.certificate()
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|link| link.is_handshaking())
    }

    /// The next complete packet: first byte and body.
    pub(super) fn packet(&mut self, max_body: usize) -> Result<Option<(u8, Bytes)>, DecodeError> {
        let inbox = &mut self.inbox.bytes;
        let Some(found) = header(inbox, max_body)? else {
            return Ok(None);
        };
        if inbox.len() < found.total() {
            return Ok(None);
        }
        let mut packet = inbox.split_to(found.total());
        packet.advance(found.header_len);
        Ok(Some((found.first, packet.freeze())))
    }

    /// Lets go of the shared block. To be called before waiting.
    pub(super) fn settle_down(&mut self) {
        let Inbox { bytes, borrowed } = &mut self.inbox;
        if bytes.is_empty() {
            *bytes = BytesMut::new();
        } else if *borrowed {
            *bytes = BytesMut::from(&bytes[..]);
        }
        *borrowed = false;
    }

    /// Reads once; the number of bytes, 0 at the end of the stream. With TLS or WebSocket they need not make anything
    /// readable.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        max_body: usize,
    ) -> Poll<io::Result<usize>> {
        if self
            .websocket
            .as_ref()
            .is_some_and(|frames| frames.is_over())
        {
            return Poll::Ready(Ok(0));
        }
        let known = self.inbox.bytes.len();
        let read = if self.tls.is_some() {
            self.poll_read_sealed(cx)
        } else {
            self.poll_read_plain(cx, max_body)
        };
        if let Poll::Ready(Ok(1..)) = read
            && !self.is_upgrading()
            && let Err(violation) = self.unwrap_frames(known)
        {
            return Poll::Ready(Err(breach(violation)));
        }
        read
    }

    fn poll_read_plain(
        &mut self,
        cx: &mut Context<'_>,
        max_body: usize,
    ) -> Poll<io::Result<usize>> {
        let Inbox { bytes, borrowed } = &mut self.inbox;
        if !bytes.is_empty() {
            let missing = match header(bytes, max_body) {
                Ok(Some(found)) => found.total().saturating_sub(bytes.len()),
                Ok(None) | Err(_) => 1,
            };
            bytes.reserve(missing.clamp(1, MAX_READ));
            return self.wire.poll_read(cx, &mut bytes.limit(MAX_READ));
        }
        SHARED.with_borrow_mut(|shared| {
            shared.reserve(MIN_READ);
            let read = self.wire.poll_read(cx, &mut (&mut *shared).limit(MAX_READ));
            if let Poll::Ready(Ok(_)) = read {
                *bytes = shared.split();
                *borrowed = true;
            }
            read
        })
    }

    /// During the handshake what is read is only kept, since looking at it takes a turn.
    fn poll_read_sealed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(link) = &mut self.tls else {
            return Poll::Ready(Ok(0));
        };
        if link.is_closed() {
            return Poll::Ready(Ok(0));
        }
        ARRIVED.with_borrow_mut(|arrived| {
            arrived.clear();
            arrived.reserve(MAX_READ);
            let read = self
                .wire
                .poll_read(cx, &mut (&mut *arrived).limit(MAX_READ));
            if let Poll::Ready(Ok(1..)) = read {
                if link.is_handshaking() {
                    link.keep(arrived);
                } else if let Err(error) = open(link, arrived, &mut self.inbox, &mut self.wire) {
                    return Poll::Ready(Err(breach(error)));
                }
            }
            read
        })
    }

    /// Goes on with the TLS handshake, with what has been read.
    pub(super) fn shake_hands(&mut self) -> Result<(), rustls::Error> {
        match &mut self.tls {
            Some(link) => open(link, &mut [], &mut self.inbox, &mut self.wire),
            None => Ok(()),
        }
    }

    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_writable(cx)
    }

    /// Whether the client has not been granted its request for WebSocket yet.
    pub(super) fn is_upgrading(&self) -> bool {
        self.websocket
            .as_ref()
            .is_some_and(|frames| frames.is_asked())
    }

    /// Answers the request for WebSocket if it has arrived; whether it has. Refusals are answered too.
    pub(super) fn upgrade(&mut self) -> Result<bool, Count> {
        let Some(frames) = &mut self.websocket else {
            return Ok(true);
        };
        let granted = match websocket::examine(&self.inbox.bytes) {
            Ok(None) => return Ok(false),
            Ok(Some(granted)) => granted,
            Err(refusal) => {
                frames.give_up();
                // The connection ends anyway.
                let _ = put(&mut self.wire, &mut self.tls, refusal.answer().as_bytes());
                return Err(refusal.count());
            }
        };
        frames.open();
        self.inbox.bytes.advance(granted.length);
        // A broken socket shows at the next read.
        let _ = put(&mut self.wire, &mut self.tls, &granted.answer);
        self.unwrap_frames(0).map_err(Violation::count)?;
        Ok(true)
    }

    /// Takes the envelopes off what lies in the inbox behind `known` bytes, and writes what WebSocket itself has to say.
    fn unwrap_frames(&mut self, known: usize) -> Result<(), Violation> {
        let Some(frames) = &mut self.websocket else {
            return Ok(());
        };
        let bytes = &mut self.inbox.bytes;
        with_buffer(&FRAMED, |framed| {
            let received = frames.receive(&mut bytes[known..], framed);
            bytes.truncate(known + received.unwrap_or(0));
            if !framed.is_empty() {
                // A broken socket shows at the next read.
                let _ = put(&mut self.wire, &mut self.tls, framed);
            }
            received.map(drop)
        })
    }

    /// Writes what waits and then `out`; keeps what the socket does not take now.
    pub(super) fn write(&mut self, out: &[u8]) -> io::Result<()> {
        let Some(frames) = &mut self.websocket else {
            return put(&mut self.wire, &mut self.tls, out);
        };
        if out.is_empty() {
            return self.flush();
        }
        with_buffer(&FRAMED, |framed| {
            frames.wrap(out, framed);
            put(&mut self.wire, &mut self.tls, framed)
        })
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.wire.flush()
    }

    /// Tells a client of TLS or WebSocket that nothing more comes. To one that does not read, a cut is the truth.
    pub(super) fn end(&mut self) {
        if self.backlog() > 0 {
            return;
        }
        if let Some(frames) = &mut self.websocket {
            with_buffer(&FRAMED, |framed| {
                frames.end(framed);
                // The connection ends anyway.
                let _ = put(&mut self.wire, &mut self.tls, framed);
            });
        }
        if let Some(link) = &mut self.tls {
            with_buffer(&SEALED, |sealed| {
                link.seal_end(sealed);
                // The connection ends anyway.
                let _ = self.wire.write(sealed);
            });
        }
    }

    /// Ends the stream so that the client still gets what was written: closing a socket with unread input resets it.
    pub(super) async fn linger(mut self) {
        self.end();
        self.inbox = Inbox::default();
        let drain = async {
            if self.wire.shutdown().await.is_err() {
                return;
            }
            loop {
                let read = std::future::poll_fn(|cx| {
                    SHARED.with_borrow_mut(|shared| {
                        shared.reserve(MIN_READ);
                        let read = self.wire.poll_read(cx, &mut (&mut *shared).limit(MAX_READ));
                        shared.clear();
                        read
                    })
                })
                .await;
                if !matches!(read, Ok(1..)) {
                    return;
                }
            }
        };
        // Whoever has not read it by then is not going to.
        let _ = tokio::time::timeout(LINGER, drain).await;
    }
}

/// Opens records into the inbox, and writes what TLS itself has to say.
fn open(
    link: &mut Link,
    arrived: &mut [u8],
    inbox: &mut Inbox,
    wire: &mut Wire,
) -> Result<(), rustls::Error> {
    with_buffer(&SEALED, |sealed| {
        let opened = if inbox.bytes.is_empty() {
            SHARED.with_borrow_mut(|shared| {
                shared.reserve(arrived.len() + link.pending());
                let opened = link.receive(arrived, shared, sealed);
                inbox.bytes = shared.split();
                inbox.borrowed = true;
                opened
            })
        } else {
            link.receive(arrived, &mut inbox.bytes, sealed)
        };
        if !sealed.is_empty() {
            // A broken socket shows at the next read.
            let _ = wire.write(sealed);
        }
        opened
    })
}

/// Writes bytes that WebSocket has nothing to do with any more.
fn put(wire: &mut Wire, tls: &mut Option<Box<Link>>, bytes: &[u8]) -> io::Result<()> {
    let Some(link) = tls else {
        return wire.write(bytes);
    };
    with_buffer(&SEALED, |sealed| {
        link.seal(bytes, sealed).map_err(breach)?;
        wire.write(sealed)
    })
}

/// Lends one of the worker's buffers.
fn with_buffer<T>(
    buffer: &'static LocalKey<RefCell<Vec<u8>>>,
    work: impl FnOnce(&mut Vec<u8>) -> T,
) -> T {
    buffer.with_borrow_mut(|buffer| {
        buffer.clear();
        let result = work(buffer);
        buffer.clear();
        buffer.shrink_to(WRITING_KEPT);
        result
    })
}

fn breach(error: impl Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// What counts a failure to read or write that comes from a broken rule of TLS or WebSocket.
pub(super) fn count_breach(error: &io::Error) -> Option<Count> {
    let cause = error.get_ref()?;
    if cause.is::<rustls::Error>() {
        return Some(Count::TlsViolation);
    }
    cause
        .downcast_ref::<Violation>()
        .map(|violation| violation.count())
}
