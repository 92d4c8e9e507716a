//! A stream and what it did not take yet: writes try at once, and only the rest is kept.

use super::pipe::Pipe;
use bytes::BufMut;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

/// Sent bytes that may lie before the unsent ones until these are moved, bytes.
const SENT_KEPT: usize = 64 * 1024;

/// What carries a connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Pipe(Pipe),
}

impl Stream {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut impl BufMut,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => poll_read_buf(Pin::new(stream), cx, into),
            Self::Pipe(pipe) => poll_read_buf(Pin::new(pipe), cx, into),
        }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Pipe(pipe) => pipe.poll_write_ready(cx),
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Pipe(pipe) => pipe.try_write(bytes),
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown().await,
            Self::Pipe(pipe) => pipe.shutdown().await,
        }
    }
}

#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    unsent: Vec<u8>,
    sent: usize,
    /// Bytes written since the last look.
    pub(super) written: u64,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            unsent: Vec::new(),
            sent: 0,
            written: 0,
        }
    }

    /// Bytes that wait for the client to read.
    pub(super) fn backlog(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// Reads once; the number of bytes, 0 at the end of the stream.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut impl BufMut,
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_read(cx, into)
    }

    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_writable(cx)
    }

    /// Writes what waits and then `out`; keeps what the stream does not take now.
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
        } else if self.sent >= SENT_KEPT {
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

    /// Ends the sending direction.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }
}
