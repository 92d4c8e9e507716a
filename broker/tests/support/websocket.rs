//! Clients over WebSocket: those of another library, and one that writes every byte itself.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "tests fail by panicking, and each file of them uses a part of this"
)]

use super::pki::{self, Ca};
use super::{Client, connect, soon};
use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use rollcall_broker::{ProtocolVersion, ReasonCode};
use rustls::ClientConfig;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::{WebSocketStream, client_async};

/// What a client asks with; the key is that of RFC 6455's example.
pub const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// A stream of bytes over a WebSocket of another library. What is written at once goes as one message.
pub struct Carried<S> {
    pub websocket: WebSocketStream<S>,
    rest: Bytes,
}

/// Asks for MQTT over WebSocket.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> (Carried<S>, Response) {
    let mut request = "ws://localhost/mqtt".into_client_request().unwrap();
    let subprotocol = "mqtt".parse().unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", subprotocol);
    let (websocket, response) = soon("an upgrade", client_async(request, stream))
        .await
        .unwrap();
    let rest = Bytes::new();
    (Carried { websocket, rest }, response)
}

pub type WsClient = Client<Carried<TcpStream>>;
pub type WssClient = Client<Carried<TlsStream<TcpStream>>>;

pub async fn open(addr: SocketAddr, version: ProtocolVersion, id: &str) -> WsClient {
    let (carried, _) = ask(TcpStream::connect(addr).await.unwrap()).await;
    introduced(carried, version, id).await
}

pub async fn open_tls(
    addr: SocketAddr,
    config: &Arc<ClientConfig>,
    version: ProtocolVersion,
    id: &str,
) -> WssClient {
    let (carried, _) = ask(pki::secure(addr, config).await.unwrap()).await;
    introduced(carried, version, id).await
}

async fn introduced<S: AsyncRead + AsyncWrite + Unpin>(
    carried: Carried<S>,
    version: ProtocolVersion,
    id: &str,
) -> Client<Carried<S>> {
    let mut client = Client::over(carried, version);
    let connack = client.introduce(connect(version, id)).await;
    assert_eq!(connack.code, ReasonCode::Success);
    client
}

fn broken(error: tokio_tungstenite::tungstenite::Error) -> io::Error {
    io::Error::other(error)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Carried<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.websocket).poll_next(cx)) {
                None | Some(Ok(Message::Close(_))) => return Poll::Ready(Ok(())),
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("a binary message was expected, not {other:?}"),
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            }
        }
        let count = self.rest.len().min(into.remaining());
        into.put_slice(&self.rest[..count]);
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Carried<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut websocket = Pin::new(&mut self.websocket);
        ready!(websocket.as_mut().poll_ready(cx)).map_err(broken)?;
        let message = Message::Binary(Bytes::copy_from_slice(bytes));
        websocket.as_mut().start_send(message).map_err(broken)?;
        // What is not flushed now goes with the next read.
        let _ = websocket.poll_flush(cx).map_err(broken)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.websocket).poll_flush(cx).map_err(broken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.websocket).poll_close(cx).map_err(broken)
    }
}

/// A client that says in bytes what it has to say.
pub struct Raw {
    pub stream: TcpStream,
}

impl Raw {
    pub async fn new(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// One whose request was granted.
    pub async fn granted(addr: SocketAddr) -> Self {
        let mut raw = Self::new(addr).await;
        raw.send(REQUEST.as_bytes()).await;
        let answer = raw.head().await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        raw
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The server's answer to the request.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        soon("an answer", async {
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.stream.read_u8().await.unwrap());
            }
        })
        .await;
        String::from_utf8(head).unwrap()
    }

    /// The next frame: first byte and content.
    pub async fn frame(&mut self) -> (u8, Vec<u8>) {
        soon("a frame", async {
            let first = self.stream.read_u8().await.unwrap();
            let length = match self.stream.read_u8().await.unwrap() {
                126 => u64::from(self.stream.read_u16().await.unwrap()),
                127 => self.stream.read_u64().await.unwrap(),
                short => u64::from(short),
            };
            let mut content = vec![0; length.try_into().unwrap()];
            self.stream.read_exact(&mut content).await.unwrap();
            (first, content)
        })
        .await
    }

    /// Everything until the end of the stream.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A server that has unread input resets the connection when it closes it.
        let _ = soon("the end", self.stream.read_to_end(&mut rest)).await;
        rest
    }
}

/// A client's frame of up to 65,535 bytes.
pub fn frame(first: u8, content: &[u8]) -> Vec<u8> {
    let mask = [0xa5, 0x5a, 0xff, 0x01];
    let mut bytes = vec![first];
    match u8::try_from(content.len()) {
        Ok(short @ ..126) => bytes.push(0x80 | short),
        _ => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(
        content
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

/// A place with both kinds of listener.
pub async fn secured(server: &super::Server) -> (SocketAddr, Ca) {
    let ca = Ca::new("ca");
    let addr = server.websocket_listener(Some(ca.tls())).await;
    (addr, ca)
}
