//! One client's socket with as little memory as possible: an idle connection owns no buffer.
//!
//! Bytes are read into a block that all connections of a worker thread share; packets are slices of it. Only what is
//! left of an incomplete packet is copied into a buffer of the connection's own. Writes try the socket at once, and
//! only what it does not take is kept.

use crate::codec::{DecodeError, header};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

/// Size of the blocks that a worker's connections share, bytes.
const BLOCK: usize = 64 * 1024;
/// A new block is begun when less than this is left, bytes.
const MIN_READ: usize = 4 * 1024;
/// Most that one read takes, bytes; bounds what a paused connection keeps.
const MAX_READ: usize = 16 * 1024;
/// How long a client may take to notice that it was disconnected.
const LINGER: Duration = Duration::from_secs(1);

thread_local! {
    static SHARED: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(BLOCK));
}

#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    inbox: BytesMut,
    /// Whether `inbox` lies in a shared block.
    borrowed: bool,
    unsent: Vec<u8>,
    sent: usize,
    /// Bytes written since the last look.
    pub(super) written: u64,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            inbox: BytesMut::new(),
            borrowed: false,
            unsent: Vec::new(),
            sent: 0,
            written: 0,
        }
    }

    /// Whether the client may have something to read.
    pub(super) fn has_written(&self) -> bool {
        self.written > 0 || self.backlog() > 0
    }

    /// Bytes that wait for the client to read.
    pub(super) fn backlog(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// The next complete packet: first byte and body.
    pub(super) fn packet(&mut self, max_body: usize) -> Result<Option<(u8, Bytes)>, DecodeError> {
        let Some(found) = header(&self.inbox, max_body)? else {
            return Ok(None);
        };
        if self.inbox.len() < found.total() {
            return Ok(None);
        }
        let mut packet = self.inbox.split_to(found.total());
        packet.advance(found.header_len);
        Ok(Some((found.first, packet.freeze())))
    }

    /// Lets go of the shared block. To be called before waiting.
    pub(super) fn settle_down(&mut self) {
        if self.inbox.is_empty() {
            self.inbox = BytesMut::new();
        } else if self.borrowed {
            self.inbox = BytesMut::from(&self.inbox[..]);
        }
        self.borrowed = false;
    }

    /// Reads once; the number of bytes, 0 at the end of the stream.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        max_body: usize,
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        if !self.inbox.is_empty() {
            let missing = match header(&self.inbox, max_body) {
                Ok(Some(found)) => found.total().saturating_sub(self.inbox.len()),
                Ok(None) | Err(_) => 1,
            };
            self.inbox.reserve(missing.clamp(1, MAX_READ));
            return poll_read_buf(stream, cx, &mut (&mut self.inbox).limit(MAX_READ));
        }
        SHARED.with_borrow_mut(|shared| {
            shared.reserve(MIN_READ);
            let read = poll_read_buf(stream, cx, &mut (&mut *shared).limit(MAX_READ));
            if let Poll::Ready(Ok(_)) = read {
                self.inbox = shared.split();
                self.borrowed = true;
            }
            read
        })
    }

    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(cx)
    }

    /// Writes what waits and then `out`; keeps what the socket does not take now.
    pub(super) fn write(&mut self, out: &[u8]) -> io::Result<()> {
        if self.backlog() > 0 {
            self.unsent.extend_from_slice(out);
            return self.flush();
        }
        let taken = self.try_write(out)?;
        if taken < out.len() {
            self.unsent.extend_from_slice(&out[taken..]);
        }
        Ok(())
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let unsent = std::mem::take(&mut self.unsent);
        let taken = self.try_write(&unsent[self.sent..]);
        self.unsent = unsent;
        self.sent += taken?;
        if self.backlog() == 0 {
            self.unsent = Vec::new();
            self.sent = 0;
        } else if self.sent >= BLOCK {
            self.unsent.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.stream.try_write(&bytes[taken..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => taken += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.written += u64::try_from(taken).unwrap_or(u64::MAX);
        Ok(taken)
    }

    /// Ends the stream so that the client still gets what was written: closing a socket with unread input resets it.
    pub(super) async fn linger(mut self) {
        let drain = async {
            if self.stream.shutdown().await.is_err() {
                return;
            }
            loop {
                self.inbox.clear();
                let read = std::future::poll_fn(|cx| {
                    SHARED.with_borrow_mut(|shared| {
                        shared.reserve(MIN_READ);
                        let read = poll_read_buf(
                            Pin::new(&mut self.stream),
                            cx,
                            &mut (&mut *shared).limit(MAX_READ),
                        );
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
