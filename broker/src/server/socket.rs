//! One client's socket with as little memory as possible: an idle connection owns no buffer.
//!
//! Bytes are read into a block that all connections of a worker thread share; packets are slices of it. Only what is
//! left of an incomplete packet is copied into a buffer of the connection's own. Writes try the socket at once, and
//! only what it does not take is kept.
//!
//! With TLS, records are read into another shared buffer and their content goes into that block, so an idle connection
//! owns its keys and nothing else.

use super::wire::{Stream, Wire};
use crate::codec::{DecodeError, header};
use crate::tls::Link;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

/// Size of the blocks that a worker's connections share, bytes.
const BLOCK: usize = 64 * 1024;
/// A new block is begun when less than this is left, bytes.
const MIN_READ: usize = 4 * 1024;
/// Most that one read takes, bytes; bounds what a paused connection keeps.
const MAX_READ: usize = 16 * 1024;
/// How long a client may take to notice that it was disconnected.
const LINGER: Duration = Duration::from_secs(1);
/// The most that a worker's buffer of sealed records keeps allocated, bytes.
const SEALED_KEPT: usize = 256 * 1024;

thread_local! {
    static SHARED: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(BLOCK));
    /// Records that have arrived; emptied at once.
    static ARRIVED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Records that are about to be written; emptied at once.
    static SEALED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
pub(super) struct Socket {
    wire: Wire,
    tls: Option<Box<Link>>,
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
    pub(super) fn new(stream: Stream, tls: Option<Box<Link>>) -> Self {
        Self {
            wire: Wire::new(stream),
            tls,
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

    /// Reads once; the number of bytes, 0 at the end of the stream. With TLS they need not make anything readable.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        max_body: usize,
    ) -> Poll<io::Result<usize>> {
        if self.tls.is_some() {
            self.poll_read_sealed(cx)
        } else {
            self.poll_read_plain(cx, max_body)
        }
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
                    return Poll::Ready(Err(violation(error)));
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

    /// Writes what waits and then `out`; keeps what the socket does not take now.
    pub(super) fn write(&mut self, out: &[u8]) -> io::Result<()> {
        let Some(link) = &mut self.tls else {
            return self.wire.write(out);
        };
        with_sealed(|sealed| {
            link.seal(out, sealed).map_err(violation)?;
            self.wire.write(sealed)
        })
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.wire.flush()
    }

    /// Tells a TLS client that nothing more comes. To one that does not read, a cut is the truth.
    pub(super) fn end(&mut self) {
        if self.backlog() > 0 {
            return;
        }
        if let Some(link) = &mut self.tls {
            with_sealed(|sealed| {
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
    with_sealed(|sealed| {
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

/// Lends the worker's buffer for records.
fn with_sealed<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    SEALED.with_borrow_mut(|sealed| {
        sealed.clear();
        let result = work(sealed);
        sealed.clear();
        sealed.shrink_to(SEALED_KEPT);
        result
    })
}

fn violation(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Whether reading or writing failed because the client broke the rules of TLS.
pub(super) fn breaks_tls(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}
