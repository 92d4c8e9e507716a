//! A connection within the process: two bounded queues of bytes in place of a socket.
//!
//! What has been read is given back at once, so an idle pipe owns no buffer.

use parking_lot::{Mutex, MutexGuard};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;

/// Most that may lie unread in one direction, bytes: about as much as the system keeps for a socket.
const ROOM: usize = 64 * 1024;

/// One end of a connection within the process, made by [`BrokerHandle::pipe`](super::BrokerHandle::pipe). Dropping it
/// ends the connection.
#[derive(Debug)]
pub struct Pipe {
    lanes: Arc<Mutex<[Lane; 2]>>,
    /// The lane that this end writes to; it reads from the other.
    side: usize,
}

/// One direction.
#[derive(Debug, Default)]
struct Lane {
    bytes: Vec<u8>,
    /// How many of them have been read.
    read: usize,
    /// Nothing more is written.
    ended: bool,
    /// Nobody reads any more.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Lane {
    fn unread(&self) -> usize {
        self.bytes.len() - self.read
    }

    fn take(&mut self, into: &mut ReadBuf<'_>) {
        let count = self.unread().min(into.remaining());
        into.put_slice(&self.bytes[self.read..self.read + count]);
        self.read += count;
        if self.unread() == 0 {
            self.bytes = Vec::new();
            self.read = 0;
        }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.ended || self.abandoned {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = bytes.len().min(ROOM - self.unread());
        if count == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.bytes.drain(..self.read);
        self.read = 0;
        self.bytes.extend_from_slice(&bytes[..count]);
        Ok(count)
    }
}

/// Wakes whoever waits, after the lock is free.
fn wake(lanes: MutexGuard<'_, [Lane; 2]>, waker: Option<Waker>) {
    drop(lanes);
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn leave(place: &mut Option<Waker>, cx: &Context<'_>) {
    let current = place.as_ref().is_some_and(|old| old.will_wake(cx.waker()));
    if !current {
        *place = Some(cx.waker().clone());
    }
}

impl Pipe {
    /// Both ends.
    pub(super) fn pair() -> (Self, Self) {
        let lanes = Arc::default();
        let end = |side| Self {
            lanes: Arc::clone(&lanes),
            side,
        };
        (end(0), end(1))
    }

    /// Writes as much as there is room for, as a socket does.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut lanes = self.lanes.lock();
        let lane = &mut lanes[self.side];
        let count = lane.put(bytes)?;
        let reader = lane.reader.take();
        wake(lanes, reader);
        Ok(count)
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let coop = ready!(coop::poll_proceed(cx));
        let mut lanes = self.lanes.lock();
        let lane = &mut lanes[self.side];
        if !lane.abandoned && lane.unread() >= ROOM {
            leave(&mut lane.writer, cx);
            return Poll::Pending;
        }
        coop.made_progress();
        Poll::Ready(Ok(()))
    }

    fn end(&self) {
        let mut lanes = self.lanes.lock();
        lanes[self.side].ended = true;
        let reader = lanes[self.side].reader.take();
        wake(lanes, reader);
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let coop = ready!(coop::poll_proceed(cx));
        let mut lanes = self.lanes.lock();
        let lane = &mut lanes[1 - self.side];
        if lane.unread() == 0 && !lane.ended {
            leave(&mut lane.reader, cx);
            return Poll::Pending;
        }
        coop.made_progress();
        lane.take(into);
        let writer = lane.writer.take();
        wake(lanes, writer);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_write_ready(cx))?;
        // The only writer of this lane has just found room.
        Poll::Ready(self.try_write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.end();
        let mut lanes = self.lanes.lock();
        let lane = &mut lanes[1 - self.side];
        lane.abandoned = true;
        lane.bytes = Vec::new();
        lane.read = 0;
        let writer = lane.writer.take();
        wake(lanes, writer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_is_written_is_read_in_order_and_an_idle_pipe_owns_nothing() {
        let (mut one, mut other) = Pipe::pair();
        let sent: Vec<u8> = (0..=255).cycle().take(10 * ROOM + 7).collect();
        let expected = sent.clone();
        let writer = tokio::spawn(async move {
            one.write_all(&sent).await.unwrap();
            one
        });
        let mut read = vec![0; expected.len()];
        other.read_exact(&mut read).await.unwrap();
        assert!(read == expected);
        let _one = writer.await.unwrap();
        for lane in &*other.lanes.lock() {
            assert_eq!(lane.bytes.capacity(), 0);
        }
    }

    #[tokio::test]
    async fn nobody_is_made_to_keep_more_than_the_room() {
        let (one, mut other) = Pipe::pair();
        assert_eq!(one.try_write(&[7; 2 * ROOM]).unwrap(), ROOM);
        let full = one.try_write(&[7]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let mut ready = look_for_room(&one);
        assert!(ready.is_pending());
        other.read_exact(&mut [0; 100]).await.unwrap();
        ready = look_for_room(&one);
        assert!(ready.is_ready());
        assert_eq!(one.try_write(&[7; 2 * ROOM]).unwrap(), 100);
    }

    fn look_for_room(pipe: &Pipe) -> Poll<io::Result<()>> {
        pipe.poll_write_ready(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn either_end_may_leave_first() {
        let (mut one, mut other) = Pipe::pair();
        one.write_all(b"last words").await.unwrap();
        drop(one);
        let mut read = Vec::new();
        other.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"last words");
        let gone = other.write_all(b"x").await.unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);

        let (mut one, mut other) = Pipe::pair();
        one.shutdown().await.unwrap();
        assert_eq!(other.read(&mut [0; 8]).await.unwrap(), 0);
        other.write_all(b"still heard").await.unwrap();
        let mut heard = [0; 11];
        one.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"still heard");
    }

    #[tokio::test]
    async fn who_waits_for_room_or_for_bytes_is_woken_by_the_end() {
        let (mut one, other) = Pipe::pair();
        let writer = tokio::spawn(async move { one.write_all(&[7; 2 * ROOM]).await });
        let (mut reading, silent) = Pipe::pair();
        let reader = tokio::spawn(async move { reading.read(&mut [0; 8]).await });
        tokio::task::yield_now().await;
        drop((other, silent));
        assert!(writer.await.unwrap().is_err());
        assert_eq!(reader.await.unwrap().unwrap(), 0);
    }
}
