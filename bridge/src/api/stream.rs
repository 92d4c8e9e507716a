//! One HTTP connection's bytes: plain, or through TLS.

use rustls::ServerConfig;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// ```text
/// Plain          Handshaking ── first read or write ──► Secure
///                     └──────── refused ──────────────► Refused
/// ```
pub(super) enum Stream {
    Plain(TcpStream),
    Handshaking(Box<Accept<TcpStream>>),
    Secure(Box<TlsStream<TcpStream>>),
    /// The client has been told why, as far as TLS can say it.
    Refused,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Handshaking(_) => "Handshaking",
            Self::Secure(_) => "Secure",
            Self::Refused => "Refused",
        })
    }
}

impl Stream {
    pub(super) fn accept(stream: TcpStream, config: Arc<ServerConfig>) -> Self {
        Self::Handshaking(Box::new(TlsAcceptor::from(config).accept(stream)))
    }

    pub(super) const fn is_handshaking(&self) -> bool {
        matches!(self, Self::Handshaking(_))
    }

    /// Goes on with the handshake until it is over.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self::Handshaking(accept) = self else {
            return Poll::Ready(Ok(()));
        };
        let (next, result) = match ready!(Pin::new(accept).poll(context)) {
            Ok(stream) => (Self::Secure(Box::new(stream)), Ok(())),
            Err(error) => (Self::Refused, Err(error)),
        };
        *self = next;
        Poll::Ready(result)
    }
}

fn refused<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_ready(context))?;
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Secure(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Handshaking(_) | Self::Refused => refused(),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_ready(context))?;
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Secure(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Handshaking(_) | Self::Refused => refused(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_ready(context))?;
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Self::Secure(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Self::Handshaking(_) | Self::Refused => refused(),
        }
    }

    fn is_write_vectored(&self) -> bool {
        // rustls copies in any case, and gathers small pieces into one record when it gets them together.
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Secure(stream) => Pin::new(stream).poll_flush(context),
            Self::Handshaking(_) | Self::Refused => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Secure(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Handshaking(_) | Self::Refused => Poll::Ready(Ok(())),
        }
    }
}
