//! One connection that says exactly what an attack wants.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::attack::Fault;
use super::incoming::{self, Incoming};
use super::packet::Version;
use super::target::Target;

/// How long a server may think about what may be half of a packet. It proves nothing either way.
const GLANCE: Duration = Duration::from_millis(50);

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection.
#[derive(Debug)]
pub(super) struct Peer {
    stream: Stream,
    buffer: BytesMut,
    version: Version,
    patience: Duration,
}

/// What became of bytes for a server that may have ended the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Done,
    /// The server has ended the connection.
    Closed,
    /// The server neither reads nor ends it.
    Stalled,
}

impl Sent {
    /// Whether the connection goes on. A server that does neither is at fault.
    pub(super) fn goes_on(self) -> Result<bool, Fault> {
        match self {
            Self::Done => Ok(true),
            Self::Closed => Ok(false),
            Self::Stalled => Err(Fault::new(
                "the server neither reads what is sent nor ends the connection",
            )),
        }
    }
}

/// What came, or that nothing will any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    Packet(Incoming),
    /// The server ended the connection.
    Closed,
    /// Nothing came in time.
    Silence,
}

impl Peer {
    /// Connects, and over TLS does the handshake.
    pub(super) async fn open(target: &Target, version: Version) -> io::Result<Self> {
        let patience = target.patience;
        let stream = in_time(patience, target.tcp()).await?;
        let stream = match &target.tls {
            None => Stream::Plain(stream),
            Some(config) => {
                let name = ServerName::try_from(target.host.clone())
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
                let handshake = TlsConnector::from(config.clone()).connect(name, stream);
                Stream::Tls(Box::new(in_time(patience, handshake).await?))
            }
        };
        Ok(Self {
            stream,
            buffer: BytesMut::new(),
            version,
            patience,
        })
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Sends to a server that may end the connection, which is no fault of its own.
    pub(super) async fn offer(&mut self, bytes: &[u8]) -> Sent {
        self.offer_within(self.patience, bytes).await
    }

    /// The same with another patience. After [`Sent::Stalled`] a part of it may have been sent.
    pub(super) async fn offer_within(&mut self, patience: Duration, bytes: &[u8]) -> Sent {
        match timeout(patience, self.send(bytes)).await {
            Ok(Ok(())) => Sent::Done,
            Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Sent::Stalled,
            Ok(Err(_)) => Sent::Closed,
            Err(_) => Sent::Stalled,
        }
    }

    /// Sends all of it, which takes longer than patience only if the server does not read.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let patience = self.patience;
        in_time(patience, async {
            match &mut self.stream {
                Stream::Plain(stream) => stream.write_all(bytes).await,
                Stream::Tls(stream) => {
                    stream.write_all(bytes).await?;
                    stream.flush().await
                }
            }
        })
        .await
    }

    /// The next packet. What is no packet counts as an error of the server's.
    pub(super) async fn hear(&mut self) -> io::Result<Heard> {
        self.hear_within(self.patience).await
    }

    pub(super) async fn hear_within(&mut self, patience: Duration) -> io::Result<Heard> {
        let version = self.version;
        let heard = timeout(patience, async {
            loop {
                let taken = incoming::take(&mut self.buffer, version)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                if let Some(packet) = taken {
                    return Ok(Heard::Packet(packet));
                }
                let read = match &mut self.stream {
                    Stream::Plain(stream) => stream.read_buf(&mut self.buffer).await,
                    Stream::Tls(stream) => stream.read_buf(&mut self.buffer).await,
                };
                // However it was ended: by FIN, by RST, or without TLS's goodbye.
                if matches!(read, Ok(0) | Err(_)) {
                    return Ok(Heard::Closed);
                }
            }
        });
        heard.await.unwrap_or(Ok(Heard::Silence))
    }

    /// Raw bytes, for what speaks something else than MQTT; empty when the server has ended the connection.
    pub(super) async fn raw(&mut self) -> io::Result<Bytes> {
        let patience = self.patience;
        in_time(patience, async {
            let read = match &mut self.stream {
                Stream::Plain(stream) => stream.read_buf(&mut self.buffer).await,
                Stream::Tls(stream) => stream.read_buf(&mut self.buffer).await,
            };
            Ok(match read {
                Ok(_) => self.buffer.split().freeze(),
                Err(_) => Bytes::new(),
            })
        })
        .await
    }

    /// Reads until the server ends the connection: whether it did in time, and the code of its DISCONNECT.
    pub(super) async fn until_closed(&mut self) -> io::Result<Ending> {
        let mut code = None;
        loop {
            match self.hear().await? {
                Heard::Packet(Incoming::Disconnect { code: said }) => code = Some(said),
                Heard::Packet(Incoming::Pong) => return Ok(Ending::GoesOn),
                Heard::Packet(_) => {}
                Heard::Closed => return Ok(Ending::Closed(code)),
                // Who has said goodbye may leave it to the client to hang up.
                Heard::Silence => {
                    return Ok(code.map_or(Ending::Hangs, |code| Ending::Closed(Some(code))));
                }
            }
        }
    }

    /// Reads for a moment: what became of the connection so far.
    pub(super) async fn glance(&mut self) -> io::Result<Ending> {
        let patience = std::mem::replace(&mut self.patience, GLANCE);
        let ending = self.until_closed().await;
        self.patience = patience;
        ending
    }

    /// Whether the server ends the connection by then, whatever else it says.
    pub(super) async fn is_gone_by(&mut self, deadline: Instant) -> bool {
        match &mut self.stream {
            Stream::Plain(stream) => is_gone_by(stream, deadline).await,
            Stream::Tls(stream) => is_gone_by(stream, deadline).await,
        }
    }

    /// Makes the end of this connection a TCP reset.
    pub(super) fn reset(self) {
        let socket = match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        // If that fails it ends with FIN, which is another attack but none less.
        let _ = socket.set_zero_linger();
    }
}

/// What became of a connection that deserved to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Closed(Option<u8>),
    /// It answers as if nothing had been.
    GoesOn,
    /// It neither answers nor ends.
    Hangs,
}

/// Whether the server ends a connection by then, whatever else it says: by FIN, by RST, or without TLS's goodbye.
pub(super) async fn is_gone_by(stream: &mut (impl AsyncRead + Unpin), deadline: Instant) -> bool {
    let end = async {
        let mut ignored = [0; 1_024];
        while stream.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
    };
    timeout_at(deadline, end).await.is_ok()
}

async fn in_time<T>(
    patience: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    timeout(patience, work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
