//! One connection: TCP or TLS, CONNECT to CONNACK, and packets read without copying them first.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::packet::{self, CONNACK, Frame, GOODBYE, Hello, PING, PINGRESP, SUBACK, Version};

/// Longest wait for a connection, its handshake and CONNACK. Storms of ten thousands take a while.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one read may bring; one buffer for all connections of a thread.
const READ_MAX: usize = 64 * 1024;

/// Longer than any measurement is quiet.
const KEEP_ALIVE_SECONDS: u16 = 3_600;

/// Why a connection was not made, or has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    #[error("connect: {0}")]
    Connect(io::ErrorKind),
    #[error("TLS handshake: {0}")]
    Tls(io::ErrorKind),
    #[error("the server refused the connection with code {0}")]
    Refused(u8),
    #[error("the server refused a subscription")]
    Subscription,
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silence,
    #[error("the server hung up")]
    HungUp,
    #[error("the connection broke: {0}")]
    Broken(io::ErrorKind),
    #[error("the server acknowledged what was not published")]
    Stray,
    #[error(transparent)]
    Malformed(#[from] packet::Malformed),
}

/// Where clients connect.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Taken in turn.
    pub(super) addresses: Vec<Address>,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) version: Version,
}

/// One address of a server, resolved.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) socket: SocketAddr,
    /// Whose certificate it must show, if it speaks TLS.
    pub(super) name: Option<ServerName<'static>>,
}

/// Who connects.
#[derive(Debug, Clone)]
pub(super) struct Who {
    pub(super) id: String,
    /// User name and password.
    pub(super) login: Option<(String, String)>,
}

/// TCP with or without TLS.
#[derive(Debug)]
enum Link {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

impl Link {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Secured(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Secured(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Secured(stream) => stream.shutdown().await,
        }
    }
}

/// A connection that the server has accepted.
#[derive(Debug)]
pub(super) struct Connection {
    link: Link,
    /// The beginning of a packet whose end has not come.
    rest: Vec<u8>,
    /// What is to be written; kept between uses.
    pub(super) out: Vec<u8>,
    pub(super) version: Version,
    /// Publishes that the server lets be unfinished.
    pub(super) receive_maximum: u16,
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_MAX]);
}

impl Connection {
    /// Connects, as the `number`th of all, and waits for CONNACK.
    pub(super) async fn open(target: &Target, who: &Who, number: usize) -> Result<Self, Trouble> {
        let opening = Self::try_open(target, who, number);
        let opened = tokio::time::timeout(PATIENCE, opening).await;
        opened.unwrap_or(Err(Trouble::Silence))
    }

    async fn try_open(target: &Target, who: &Who, number: usize) -> Result<Self, Trouble> {
        let address = &target.addresses[number % target.addresses.len()];
        let stream = TcpStream::connect(address.socket).await;
        let stream = stream.map_err(|error| Trouble::Connect(error.kind()))?;
        stream
            .set_nodelay(true)
            .map_err(|error| Trouble::Connect(error.kind()))?;
        let link = match &address.name {
            None => Link::Plain(stream),
            Some(name) => {
                let connector = TlsConnector::from(Arc::clone(&target.tls));
                let secured = connector.connect(name.clone(), stream).await;
                Link::Secured(Box::new(
                    secured.map_err(|error| Trouble::Tls(error.kind()))?,
                ))
            }
        };
        let mut connection = Self {
            link,
            rest: Vec::new(),
            out: Vec::new(),
            version: target.version,
            receive_maximum: u16::MAX,
        };
        let login = who.login.as_ref();
        let hello = Hello {
            client_id: &who.id,
            login: login.map(|(user, password)| (user.as_str(), password.as_str())),
            keep_alive_seconds: KEEP_ALIVE_SECONDS,
        };
        packet::connect(&mut connection.out, target.version, hello);
        connection.flush().await?;
        let mut answer = None;
        while answer.is_none() {
            connection
                .read(|frame, version, _| {
                    if frame.kind() == CONNACK && answer.is_none() {
                        answer = Some(frame.connected(version)?);
                    }
                    Ok(())
                })
                .await?;
        }
        match answer {
            Some(Ok(receive_maximum)) => connection.receive_maximum = receive_maximum,
            Some(Err(code)) => return Err(Trouble::Refused(code)),
            None => {}
        }
        Ok(connection)
    }

    /// Subscribes and waits for the answer; what else comes is left out.
    pub(super) async fn subscribe(&mut self, filter: &str, qos: u8) -> Result<(), Trouble> {
        packet::subscribe(&mut self.out, self.version, u16::MAX, filter, qos);
        self.flush().await?;
        let mut granted = None;
        let answer = async {
            while granted.is_none() {
                self.read(|frame, version, _| {
                    if frame.kind() == SUBACK {
                        granted = Some(frame.granted(version)?);
                    }
                    Ok(())
                })
                .await?;
            }
            Ok(())
        };
        match tokio::time::timeout(PATIENCE, answer).await {
            Err(_) => Err(Trouble::Silence),
            Ok(Err(trouble)) => Err(trouble),
            Ok(Ok(())) if granted == Some(true) => Ok(()),
            Ok(Ok(())) => Err(Trouble::Subscription),
        }
    }

    /// Asks whether the server still knows it, and waits for the answer.
    pub(super) async fn ping(&mut self) -> Result<(), Trouble> {
        self.out.extend(PING);
        self.flush().await?;
        let mut answered = false;
        let answer = async {
            while !answered {
                self.read(|frame, _, _| {
                    answered |= frame.kind() == PINGRESP;
                    Ok(())
                })
                .await?;
            }
            Ok(())
        };
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        answer.unwrap_or(Err(Trouble::Silence))
    }

    /// Writes what is to be written.
    pub(super) async fn flush(&mut self) -> Result<(), Trouble> {
        if self.out.is_empty() {
            return Ok(());
        }
        let written = self.link.write_all(&self.out).await;
        self.out.clear();
        written.map_err(|error| Trouble::Broken(error.kind()))
    }

    /// Waits for bytes and hands every packet that is whole to `take`, with what is to be written.
    pub(super) async fn read(
        &mut self,
        mut take: impl FnMut(Frame<'_>, Version, &mut Vec<u8>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        std::future::poll_fn(|cx| self.poll_read(cx, &mut take)).await
    }

    /// The same for those who wait for something else as well.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut impl FnMut(Frame<'_>, Version, &mut Vec<u8>) -> Result<(), Trouble>,
    ) -> Poll<Result<(), Trouble>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut into = ReadBuf::new(scratch);
            if let Err(error) = ready!(self.link.poll_read(cx, &mut into)) {
                return Poll::Ready(Err(Trouble::Broken(error.kind())));
            }
            let read = into.filled();
            if read.is_empty() {
                return Poll::Ready(Err(Trouble::HungUp));
            }
            Poll::Ready(self.take_packets(read, take))
        })
    }

    fn take_packets(
        &mut self,
        read: &[u8],
        take: &mut impl FnMut(Frame<'_>, Version, &mut Vec<u8>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let (version, out) = (self.version, &mut self.out);
        if self.rest.is_empty() {
            let used = take_all(read, |frame| take(frame, version, out))?;
            self.rest.extend_from_slice(&read[used..]);
        } else {
            self.rest.extend_from_slice(read);
            let used = take_all(&self.rest, |frame| take(frame, version, out))?;
            self.rest.drain(..used);
        }
        Ok(())
    }

    /// Says goodbye and waits until the server has hung up, so that the port is free again at once.
    pub(super) async fn close(mut self) -> Result<(), Trouble> {
        self.out.clear();
        self.out.extend(GOODBYE);
        self.flush().await?;
        let closed = async {
            while self.read(|_, _, _| Ok(())).await.is_ok() {}
            // Nobody is there to tell.
            let _ = self.link.shutdown().await;
        };
        let closed = tokio::time::timeout(PATIENCE, closed).await;
        closed.map_err(|_| Trouble::Silence)
    }
}

/// Hands over every whole packet; returns how many bytes they were.
fn take_all(
    bytes: &[u8],
    mut take: impl FnMut(Frame<'_>) -> Result<(), Trouble>,
) -> Result<usize, Trouble> {
    let mut used = 0;
    while let Some((frame, length)) = packet::frame(&bytes[used..])? {
        take(frame)?;
        used += length;
    }
    Ok(used)
}
