//! One connection's TLS, without sockets: records in; plain bytes and records out.
//!
//! It keeps only the beginning of a record that has not arrived whole; everything else lies in buffers of the caller.
//! What rustls has been given once and has not discarded must be given again at every call, and nothing else: it
//! remembers positions in it.

use bytes::BytesMut;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError};
use rustls::{Error, ServerConfig};
use std::fmt;
use std::sync::Arc;

/// Most that may wait for the rest of a record or of a handshake message, bytes. A record has up to 18,437, a
/// handshake's largest message is the certificate chain, which has two or three thousand.
const PENDING_MAX: usize = 20 * 1024;

/// What a record adds to its content, bytes, rounded up.
const OVERHEAD: usize = 64;
/// Most plain bytes in a record.
const CONTENT_MAX: usize = 16 * 1024;

/// TLS of one connection.
pub(crate) struct Link {
    rustls: UnbufferedServerConnection,
    /// Received, but not a whole record or not a whole handshake message yet.
    pending: Vec<u8>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The client sends nothing more.
    ClientClosed,
    /// Nothing more is sent, and nothing that comes is looked at.
    Over,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl Link {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self {
            rustls: UnbufferedServerConnection::new(config)?,
            pending: Vec::new(),
            phase: Phase::Open,
        })
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.rustls.is_handshaking()
    }

    /// Whether the client has said that it sends nothing more.
    pub(crate) fn is_closed(&self) -> bool {
        self.phase != Phase::Open
    }

    /// The client's own certificate, verified, DER.
    pub(crate) fn certificate(&self) -> Option<&[u8]> {
        let chain = self.rustls.peer_certificates()?;
        chain.first().map(AsRef::as_ref)
    }

    /// How many received bytes wait.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Takes received bytes without looking at them.
    pub(crate) fn keep(&mut self, arrived: &[u8]) {
        self.pending.extend_from_slice(arrived);
    }

    /// Looks at what has been kept, and at `arrived`: appends what it says to `plain`, and to `out` what is to be sent
    /// in answer, also when it fails.
    pub(crate) fn receive(
        &mut self,
        arrived: &mut [u8],
        plain: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if self.phase != Phase::Open {
            return Ok(());
        }
        let done = if self.pending.is_empty() {
            let taken = self.process(arrived, plain, out);
            taken.map(|taken| self.pending.extend_from_slice(&arrived[taken..]))
        } else {
            let mut pending = std::mem::take(&mut self.pending);
            pending.extend_from_slice(arrived);
            let taken = self.process(&mut pending, plain, out);
            taken.map(|taken| {
                if taken < pending.len() {
                    pending.drain(..taken);
                    self.pending = pending;
                }
            })
        };
        let done = done.and_then(|()| self.check_pending());
        if done.is_err() {
            self.phase = Phase::Over;
        }
        done
    }

    /// What waits is less than a record unless a client cuts its handshake messages into crumbs.
    fn check_pending(&self) -> Result<(), Error> {
        if self.pending.len() > PENDING_MAX {
            return Err(Error::PeerSentOversizedRecord);
        }
        Ok(())
    }

    /// How much of `input` is done with.
    fn process(
        &mut self,
        input: &mut [u8],
        plain: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        let mut taken = 0;
        loop {
            let status = self.rustls.process_tls_records(&mut input[taken..]);
            let mut discard = status.discard;
            let mut goes_on = true;
            match status.state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, out)?,
                // What is in `out` is as good as sent: it is kept until the socket takes it.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.phase = Phase::ClientClosed,
                Ok(_) => goes_on = false,
                Err(error) => {
                    self.answer_failure(&mut input[taken + discard..], out);
                    return Err(error);
                }
            }
            taken += discard;
            if !goes_on {
                return Ok(taken);
            }
        }
    }

    /// Fetches the alert that says what was wrong.
    fn answer_failure(&mut self, rest: &mut [u8], out: &mut Vec<u8>) {
        while self.rustls.wants_write() {
            let status = self.rustls.process_tls_records(rest);
            let Ok(ConnectionState::EncodeTlsData(data)) = status.state else {
                return;
            };
            if encode(data, out).is_err() {
                return;
            }
        }
    }

    /// Appends records with `plain` in them to `out`.
    pub(crate) fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let records = plain.len().div_ceil(CONTENT_MAX);
        let room = plain.len() + records * OVERHEAD;
        self.transmit(room, out, |traffic, room| traffic.encrypt(plain, room))
    }

    /// Appends the record that says that nothing more comes. The last that may be asked of the link.
    pub(crate) fn seal_end(&mut self, out: &mut Vec<u8>) {
        // There is nobody to tell if it fails.
        let _ = self.transmit(OVERHEAD, out, |traffic, room| {
            traffic.queue_close_notify(room)
        });
        self.phase = Phase::Over;
    }

    fn transmit(
        &mut self,
        mut room: usize,
        out: &mut Vec<u8>,
        mut encrypt: impl FnMut(&mut Traffic<'_>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), Error> {
        if self.phase == Phase::Over {
            return Ok(());
        }
        loop {
            match self.rustls.process_tls_records(&mut self.pending).state? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let start = out.len();
                    out.resize(start + room, 0);
                    let sealed = encrypt(&mut traffic, &mut out[start..]);
                    out.truncate(start + *sealed.as_ref().unwrap_or(&0));
                    match sealed {
                        Ok(_) => return Ok(()),
                        // A key update goes with it.
                        Err(EncryptError::InsufficientSize(more)) => room = more.required_size,
                        Err(EncryptError::EncryptExhausted) => return Err(Error::EncryptError),
                    }
                }
                ConnectionState::EncodeTlsData(data) => encode(data, out)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.phase = Phase::ClientClosed,
                _ => return Err(Error::HandshakeNotComplete),
            }
        }
    }
}

type Traffic<'a> = rustls::unbuffered::WriteTraffic<'a, rustls::server::ServerConnectionData>;

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    let mut room = 0;
    loop {
        out.resize(start + room, 0);
        match data.encode(&mut out[start..]) {
            Ok(written) => {
                out.truncate(start + written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(more)) => room = more.required_size,
            Err(EncodeError::AlreadyEncoded) => return Err(Error::EncryptError),
        }
    }
}
