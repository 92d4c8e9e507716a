//! A bounded HTTP listener, plain or with TLS: so many connections at one time, and none that says nothing for ever.
//!
//! A TLS handshake is a part of its connection, not of accepting: whoever stalls in it delays nobody, and is given up.

use super::stream::Stream;
use axum::Router;
use axum::serve::Listener;
use rustls::ServerConfig;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Connections of one HTTP listener. Below the usual 20,000 files of a process together with the robots'.
const MAX_CONNECTIONS: usize = 2_048;
/// A connection on which neither side gets a byte through for so long is closed.
const IDLE: Duration = Duration::from_secs(90);

/// From accept to the first bytes of a request when there is a handshake in between.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The TLS settings to use for a connection that begins now.
pub type TlsSettings = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// Serves `router` on `listener` until `shutdown` resolves and the requests under way are answered.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let listener = Bounded::new(listener, MAX_CONNECTIONS, IDLE);
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown)
        .await
}

/// The same with TLS.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve_tls(
    listener: TcpListener,
    tls: TlsSettings,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let listener = Bounded::new(listener, MAX_CONNECTIONS, IDLE).with_tls(tls, HANDSHAKE);
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown)
        .await
}

/// A listener with a bound on connections and on their silence.
pub struct Bounded {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    idle: Duration,
    tls: Option<(TlsSettings, Duration)>,
}

impl fmt::Debug for Bounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounded")
            .field("listener", &self.listener)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

impl Bounded {
    /// Accepts at most `connections` at one time; more wait in the kernel's queue.
    #[must_use]
    pub fn new(listener: TcpListener, connections: usize, idle: Duration) -> Self {
        Self {
            listener,
            slots: Arc::new(Semaphore::new(connections)),
            idle,
            tls: None,
        }
    }

    /// Speaks TLS; a client has `handshake` for it and for the first bytes of a request.
    #[must_use]
    pub fn with_tls(mut self, tls: TlsSettings, handshake: Duration) -> Self {
        self.tls = Some((tls, handshake));
        self
    }
}

impl Listener for Bounded {
    type Io = Guarded;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guarded, SocketAddr) {
        let slot = loop {
            // The semaphore is never closed; if it were, nothing could be accepted any more.
            if let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await {
                break slot;
            }
        };
        // axum's own accept rests and tries again when files run out.
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let (stream, patience) = match &self.tls {
            None => (Stream::Plain(stream), self.idle),
            Some((tls, handshake)) => (Stream::accept(stream, tls()), *handshake),
        };
        let guarded = Guarded {
            stream,
            idle: self.idle,
            timer: Box::pin(tokio::time::sleep(patience)),
            _slot: slot,
        };
        (guarded, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that holds a slot and ends when it falls silent.
#[derive(Debug)]
pub struct Guarded {
    stream: Stream,
    idle: Duration,
    timer: Pin<Box<Sleep>>,
    _slot: OwnedSemaphorePermit,
}

impl Guarded {
    /// Counts the silence anew after progress, and ends it when it has lasted too long.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        progress: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            let deadline = Instant::now() + self.idle;
            self.timer.as_mut().reset(deadline);
            return progress;
        }
        ready!(self.timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watch(context, read)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    const SOON: Duration = Duration::from_millis(50);
    const LATE: Duration = Duration::from_secs(3_600);
    const GIVEN_UP: Duration = Duration::from_secs(30);

    async fn bounded(connections: usize, idle: Duration) -> (Bounded, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Bounded::new(listener, connections, idle), address)
    }

    /// The server closes the connection; a server that does not is given up.
    async fn ends(stream: &mut TcpStream) {
        let mut byte = [0; 1];
        let read = tokio::time::timeout(GIVEN_UP, stream.read(&mut byte));
        assert_eq!(read.await.unwrap().unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_or_stops_in_the_middle_is_closed() {
        let (bounded, address) = bounded(1, SOON).await;
        let server = tokio::spawn(axum::serve(bounded, Router::new()).into_future());
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut half = TcpStream::connect(address).await.unwrap();
        ends(&mut silent).await;
        half.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
        ends(&mut half).await;
        server.abort();
    }

    #[tokio::test]
    async fn a_tls_handshake_that_stalls_is_given_up_sooner_than_a_silent_connection() {
        let data = tempfile::tempdir().unwrap();
        let settings = crate::pki::Settings {
            authority: None,
            server: None,
            names: crate::pki::server_names([], [], &[]),
            robot_lifetime_ms: 1,
        };
        let now = crate::writer::wall_clock().0;
        let https = crate::pki::Pki::open(data.path(), settings, now)
            .unwrap()
            .https();
        let (bounded, address) = bounded(2, LATE).await;
        let bounded = bounded.with_tls(Arc::new(move || Arc::clone(&https)), SOON);
        let server = tokio::spawn(axum::serve(bounded, Router::new()).into_future());
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(&[0x16, 0x03, 0x01, 0x02]).await.unwrap();
        ends(&mut silent).await;
        ends(&mut half).await;
        server.abort();
    }

    #[tokio::test]
    async fn no_more_connections_are_accepted_than_there_are_slots() {
        let (mut bounded, address) = bounded(1, LATE).await;
        let _first = TcpStream::connect(address).await.unwrap();
        let _second = TcpStream::connect(address).await.unwrap();
        let (held, _) = bounded.accept().await;
        assert!(
            tokio::time::timeout(SOON, bounded.accept()).await.is_err(),
            "the only slot is taken"
        );
        drop(held);
        bounded.accept().await;
    }
}
