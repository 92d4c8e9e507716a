//! One connection's task, from the accepted socket to the end.

use super::ending;
use super::hub::Hub;
use super::mailbox::{Mail, Mailbox};
use super::opening;
use super::places::{Handshaking, Known};
use super::serving::{self, Served};
use super::socket::Socket;
use crate::event::Event;
use crate::metrics::Count;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::mpsc::error::SendError;
use tokio::time::Sleep;

/// Waits for room in the event channel.
pub(super) type Room =
    Pin<Box<dyn Future<Output = Result<OwnedPermit<Event>, SendError<()>>> + Send>>;

/// A connection's ends: its socket, its mailbox, the shared hub and one timer.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) hub: Arc<Hub>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) socket: Socket,
    pub(super) peer: SocketAddr,
    timer: Option<Pin<Box<Sleep>>>,
    _known: Known,
}

/// What a task waits for besides orders, verdicts and its timer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want {
    pub(super) packets: bool,
    pub(super) messages: bool,
}

/// Why a task goes on.
pub(super) enum Wake {
    Mail(Mail),
    Read(io::Result<usize>),
    Writable(io::Result<()>),
    Timer,
    Room(Result<OwnedPermit<Event>, SendError<()>>),
}

impl Line {
    pub(super) fn new(hub: &Arc<Hub>, socket: Socket, peer: SocketAddr) -> Self {
        let mailbox = hub.enter();
        Self {
            hub: Arc::clone(hub),
            _known: Known {
                hub: Arc::clone(hub),
                id: mailbox.id(),
            },
            mailbox,
            socket,
            peer,
            timer: None,
        }
    }

    /// Counts bytes that were read.
    pub(super) fn count_in(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.hub.metrics.add(Count::BytesIn, bytes);
    }

    /// Sets the timer; `None` turns it off.
    pub(super) fn set_timer(&mut self, at: Option<Instant>) {
        match (at, &mut self.timer) {
            (Some(at), Some(timer)) => timer.as_mut().reset(at.into()),
            (Some(at), None) => self.timer = Some(Box::pin(tokio::time::sleep_until(at.into()))),
            (None, _) => self.timer = None,
        }
    }

    /// Waits for the next thing to do.
    pub(super) async fn wake(&mut self, want: Want, room: &mut Option<Room>) -> Wake {
        self.socket.settle_down();
        poll_fn(|cx| self.poll(cx, want, room)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, want: Want, room: &mut Option<Room>) -> Poll<Wake> {
        if let Some(mail) = self.mailbox.poll(cx, want.messages) {
            return Poll::Ready(Wake::Mail(mail));
        }
        if let Some(waiting) = room
            && let Poll::Ready(permit) = waiting.as_mut().poll(cx)
        {
            *room = None;
            return Poll::Ready(Wake::Room(permit));
        }
        if self.socket.backlog() > 0
            && let Poll::Ready(ready) = self.socket.poll_writable(cx)
        {
            return Poll::Ready(Wake::Writable(ready));
        }
        if want.packets
            && let Poll::Ready(read) = self.socket.poll_read(cx, self.hub.limits.max_packet_size)
        {
            return Poll::Ready(Wake::Read(read));
        }
        if let Some(timer) = &mut self.timer
            && timer.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Wake::Timer);
        }
        Poll::Pending
    }
}

thread_local! {
    static OUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The most that the worker's output buffer keeps allocated, bytes.
const OUT_KEPT: usize = 256 * 1024;

/// Lends the worker's output buffer. Whatever a task writes in one go leaves in one write.
pub(super) fn with_output<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    OUT.with_borrow_mut(|out| {
        out.clear();
        let result = work(out);
        out.clear();
        out.shrink_to(OUT_KEPT);
        result
    })
}

/// Runs one connection to its end.
///
/// What happens once at its beginning or end is in boxes of its own, which are gone while it is idle. The block takes its
/// variables where they lie; an `async fn` would keep its arguments and its variables both.
#[expect(
    clippy::manual_async_fn,
    reason = "the task would be larger by its arguments"
)]
pub(super) fn run(mut line: Line, handshaking: Handshaking) -> impl Future<Output = ()> + Send {
    async move {
        let opened = Box::pin(open(&mut line)).await;
        // A refused client counts as handshaking until its socket is closed, so lingering is bounded by the same limit.
        let Some(mut served) = opened else {
            if line.socket.has_written() {
                Box::pin(line.socket.linger()).await;
            }
            return;
        };
        drop(handshaking);
        let close = serving::serve(&mut line, &mut served).await;
        if Box::pin(ending::finish(&mut line, *served, close)).await {
            Box::pin(line.socket.linger()).await;
        } else {
            line.socket.end();
        }
    }
}

async fn open(line: &mut Line) -> Option<Box<Served>> {
    let connect = opening::receive_connect(line).await;
    line.set_timer(None);
    // Opening may wait for an older connection to end, and should not hold a shared block meanwhile.
    line.socket.settle_down();
    opening::open(line, connect?).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<F: Future>(_: impl Fn(Line, Handshaking) -> F) -> usize {
        size_of::<F>()
    }

    /// The task of an idle connection is its largest part, and the mark is 4 KB for the whole.
    #[test]
    fn a_connection_s_task_is_small() {
        let task = size(run);
        assert!(
            task <= 600,
            "{task} bytes; socket {}, line {}",
            size_of::<Socket>(),
            size_of::<Line>()
        );
    }
}
