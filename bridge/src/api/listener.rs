//! A bounded HTTP/1.1 listener, plain or with TLS: so many connections at one time, and none that says nothing for ever.
//!
//! A TLS handshake is a part of its connection, not of accepting: whoever stalls in it delays nobody, and is given up.
//!
//! **Invariant**: a slot is held only by a request under way, or for [`Patience::header`] by a client that owes one.

use super::stream::Stream;
use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::response::Response;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Connections of one HTTP listener. Below the usual 20,000 files of a process together with the robots'.
pub const MAX_CONNECTIONS: usize = 2_048;

/// The TLS settings to use for a connection that begins now.
pub type TlsSettings = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// How long a connection may take for what it owes.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// While a request is under way: the longest silence of both sides. Uploads and downloads that move go on.
    idle: Duration,
    /// From a request's end, or from accept, to the end of the next request's header, however busily it drips.
    header: Duration,
    /// From accept to the first bytes of a request when there is a handshake in between.
    handshake: Duration,
}

const PATIENCE: Patience = Patience {
    idle: Duration::from_secs(90),
    header: Duration::from_secs(10),
    handshake: Duration::from_secs(10),
};

/// Serves `router` on `listener` until `shutdown` resolves and the requests under way are answered.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    Bounded::new(listener, MAX_CONNECTIONS, PATIENCE)
        .serve(router, shutdown)
        .await;
}

/// The same with TLS.
pub async fn serve_tls(
    listener: TcpListener,
    tls: TlsSettings,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    Bounded::new(listener, MAX_CONNECTIONS, PATIENCE)
        .with_tls(tls)
        .serve(router, shutdown)
        .await;
}

/// Lets a connection end with this answer. An idle connection of each robot of a fleet would take others' places.
pub(crate) async fn close(mut response: Response) -> Response {
    let value = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, value);
    response
}

/// A listener with a bound on connections and on their silence.
struct Bounded {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    patience: Patience,
    tls: Option<TlsSettings>,
}

impl Bounded {
    /// Accepts at most `connections` at one time; more wait in the kernel's queue.
    fn new(listener: TcpListener, connections: usize, patience: Patience) -> Self {
        Self {
            listener,
            slots: Arc::new(Semaphore::new(connections)),
            patience,
            tls: None,
        }
    }

    /// Speaks TLS.
    fn with_tls(mut self, tls: TlsSettings) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Only HTTP/1.1 is spoken, whatever else other dependencies bring hyper to know: with HTTP/2 one connection would
    /// be many, past every bound here. axum's own server speaks both, and waits for a header for ever.
    async fn serve(mut self, router: Router, shutdown: impl Future<Output = ()>) {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.patience.header);
        let service = TowerToHyperService::new(router);
        let graceful = GracefulShutdown::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let stream = tokio::select! {
                stream = self.accept() => stream,
                () = &mut shutdown => break,
            };
            let connection = http.serve_connection(TokioIo::new(stream), service.clone());
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::trace!(%error, "an HTTP connection has ended");
                }
            });
        }
        drop(self);
        graceful.shutdown().await;
    }

    async fn accept(&mut self) -> Guarded {
        let slot = loop {
            // The semaphore is never closed; if it were, nothing could be accepted any more.
            if let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await {
                break slot;
            }
        };
        // axum's own accept rests and tries again when files run out.
        let (stream, _) = Listener::accept(&mut self.listener).await;
        let Patience {
            idle, handshake, ..
        } = self.patience;
        let (stream, patience) = match &self.tls {
            None => (Stream::Plain(stream), idle),
            Some(tls) => (Stream::accept(stream, tls()), handshake),
        };
        Guarded {
            stream,
            idle,
            timer: Box::pin(tokio::time::sleep(patience)),
            _slot: slot,
        }
    }
}

/// A connection that holds a slot and ends when it falls silent.
#[derive(Debug)]
struct Guarded {
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
        // Flushing nothing is no progress of a handshake.
        if progress.is_ready() && !self.stream.is_handshaking() {
            let deadline = Instant::now() + self.idle;
            self.timer.as_mut().reset(deadline);
        }
        if progress.is_ready() {
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
    use axum::routing::get;
    use std::future::pending;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;

    const SOON: Duration = Duration::from_millis(50);
    const LATE: Duration = Duration::from_secs(3_600);
    const GIVEN_UP: Duration = Duration::from_secs(30);
    const PATIENT: Patience = Patience {
        idle: LATE,
        header: LATE,
        handshake: LATE,
    };

    async fn bounded(connections: usize, patience: Patience) -> (Bounded, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Bounded::new(listener, connections, patience), address)
    }

    async fn served(patience: Patience) -> (JoinHandle<()>, SocketAddr) {
        let (bounded, address) = bounded(1, patience).await;
        let router = Router::new().route("/", get(async || "here"));
        (tokio::spawn(bounded.serve(router, pending())), address)
    }

    /// The server closes the connection; a server that does not is given up.
    async fn ends(stream: &mut TcpStream) {
        let mut byte = [0; 1];
        let read = tokio::time::timeout(GIVEN_UP, stream.read(&mut byte));
        assert_eq!(read.await.unwrap().unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_or_stops_in_the_middle_is_closed() {
        for patience in [
            Patience {
                idle: SOON,
                ..PATIENT
            },
            Patience {
                header: SOON,
                ..PATIENT
            },
        ] {
            let (server, address) = served(patience).await;
            let mut silent = TcpStream::connect(address).await.unwrap();
            let mut half = TcpStream::connect(address).await.unwrap();
            ends(&mut silent).await;
            half.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
            ends(&mut half).await;
            server.abort();
        }
    }

    #[tokio::test]
    async fn a_header_that_never_ends_is_cut_off_although_bytes_keep_coming() {
        let patience = Patience {
            header: SOON,
            ..PATIENT
        };
        let (server, address) = served(patience).await;
        let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
        let drip = tokio::spawn(async move {
            let mut pace = tokio::time::interval(SOON / 25);
            let mut said = write.write_all(b"GET / HTTP/1.1\r\nhost: ").await;
            while said.is_ok() {
                pace.tick().await;
                said = write.write_all(b"x").await;
            }
        });
        let mut answer = Vec::new();
        // Closed or reset: bytes may have been on their way.
        let end = tokio::time::timeout(GIVEN_UP, read.read_to_end(&mut answer)).await;
        assert!(end.is_ok(), "the slot is held for ever");
        drip.await.unwrap();
        server.abort();
    }

    #[tokio::test]
    async fn a_connection_kept_alive_without_a_next_request_is_closed() {
        let patience = Patience {
            header: SOON,
            ..PATIENT
        };
        let (server, address) = served(patience).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        let all = tokio::time::timeout(GIVEN_UP, stream.read_to_string(&mut answer));
        all.await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("here"), "{answer}");
        server.abort();
    }

    #[tokio::test]
    async fn http_2_is_not_spoken() {
        let (server, address) = served(PATIENT).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The preface and an empty SETTINGS frame, which a server that speaks HTTP/2 answers with its own.
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await
            .unwrap();
        let mut answer = Vec::new();
        let end = tokio::time::timeout(GIVEN_UP, stream.read_to_end(&mut answer)).await;
        assert!(end.is_ok(), "the connection goes on");
        assert!(answer.is_empty(), "{answer:?}");
        server.abort();
    }

    #[tokio::test]
    async fn a_shutdown_ends_idle_connections_and_waits_for_requests_under_way() {
        let (bounded, address) = bounded(2, PATIENT).await;
        let (reached, mut begun) = tokio::sync::mpsc::channel(1);
        let finish = Arc::new(tokio::sync::Notify::new());
        let held = Arc::clone(&finish);
        let router = Router::new().route(
            "/",
            get(async move || {
                reached.send(()).await.unwrap();
                held.notified().await;
                "done"
            }),
        );
        let stop = Arc::new(tokio::sync::Notify::new());
        let stopped = Arc::clone(&stop);
        let server = tokio::spawn(bounded.serve(router, async move { stopped.notified().await }));
        let mut idle = TcpStream::connect(address).await.unwrap();
        let mut busy = TcpStream::connect(address).await.unwrap();
        busy.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        begun.recv().await.unwrap();
        stop.notify_one();
        ends(&mut idle).await;
        assert!(!server.is_finished());
        finish.notify_one();
        let mut answer = String::new();
        let all = tokio::time::timeout(GIVEN_UP, busy.read_to_string(&mut answer));
        all.await.unwrap().unwrap();
        assert!(answer.ends_with("done"), "{answer}");
        server.await.unwrap();
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
        let patience = Patience {
            handshake: SOON,
            ..PATIENT
        };
        let (bounded, address) = bounded(2, patience).await;
        let bounded = bounded.with_tls(Arc::new(move || Arc::clone(&https)));
        let server = tokio::spawn(bounded.serve(Router::new(), pending()));
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(&[0x16, 0x03, 0x01, 0x02]).await.unwrap();
        ends(&mut silent).await;
        ends(&mut half).await;
        server.abort();
    }

    #[tokio::test]
    async fn no_more_connections_are_accepted_than_there_are_slots() {
        let (mut bounded, address) = bounded(1, PATIENT).await;
        let _first = TcpStream::connect(address).await.unwrap();
        let _second = TcpStream::connect(address).await.unwrap();
        let held = bounded.accept().await;
        assert!(
            tokio::time::timeout(SOON, bounded.accept()).await.is_err(),
            "the only slot is taken"
        );
        drop(held);
        bounded.accept().await;
    }
}
