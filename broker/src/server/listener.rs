//! Accepting sockets, and the one timer of the router.

use super::hub::Hub;
use super::pipe::Pipe;
use super::places::Handshaking;
use super::socket::Socket;
use super::task::{self, Line};
use super::wire::Stream;
use crate::metrics::Count;
use crate::tls::{Link, Tls};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Pause after an accept that failed for want of files or memory: retrying at once would fail again and spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The address of clients that have none, since they are in this process.
const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// What a listener's clients speak below MQTT.
#[derive(Debug, Clone, Default)]
pub(super) struct Layers {
    pub(super) tls: Option<Tls>,
    pub(super) websocket: bool,
}

/// Accepts until the broker stops.
pub(super) async fn accept(hub: Arc<Hub>, listener: TcpListener, layers: Layers) {
    let handshaking = Arc::default();
    loop {
        let stop = hub.changed.notified();
        if hub.is_stopping() {
            return;
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => admit(&hub, &handshaking, stream, peer, &layers),
                Err(error) => {
                    hub.metrics.one(Count::AcceptErrors);
                    if is_about_one_peer(&error) {
                        tracing::debug!(%error, "a peer left before it was accepted");
                    } else {
                        tracing::warn!(%error, "cannot accept connections");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            },
            () = stop => {}
        }
    }
}

fn is_about_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
    )
}

fn admit(
    hub: &Arc<Hub>,
    handshaking: &Arc<AtomicUsize>,
    stream: TcpStream,
    peer: SocketAddr,
    layers: &Layers,
) {
    hub.metrics.one(Count::SocketsAccepted);
    let Some(handshaking) = Handshaking::begin(hub, handshaking) else {
        hub.metrics.one(Count::HandshakeLimit);
        return;
    };
    // Without this every acknowledgement could wait 40 ms for the peer's delayed one. A failure costs only that.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot turn off delayed sending");
    }
    let link = match layers
        .tls
        .as_ref()
        .map(|tls| Link::new(tls.config()))
        .transpose()
    {
        Ok(link) => link.map(Box::new),
        Err(error) => {
            hub.metrics.one(Count::TlsMalformed);
            tracing::warn!(%peer, %error, "cannot begin tls; check the listener's configuration");
            return;
        }
    };
    let frames = layers.websocket.then(Box::default);
    let socket = Socket::new(Stream::Tcp(stream), link, frames);
    begin(hub, socket, peer, handshaking);
}

/// Serves a client of this process; `handshaking` counts those that are not accepted yet.
pub(super) fn admit_pipe(hub: &Arc<Hub>, handshaking: &Arc<AtomicUsize>, pipe: Pipe) {
    hub.metrics.one(Count::SocketsAccepted);
    let Some(handshaking) = Handshaking::begin(hub, handshaking) else {
        hub.metrics.one(Count::HandshakeLimit);
        return;
    };
    let socket = Socket::new(Stream::Pipe(pipe), None, None);
    begin(hub, socket, NOWHERE, handshaking);
}

fn begin(hub: &Arc<Hub>, socket: Socket, peer: SocketAddr, handshaking: Handshaking) {
    tokio::spawn(task::run(Line::new(hub, socket, peer), handshaking));
}

/// Publishes delayed wills and ends sessions at their time.
pub(super) async fn keep_time(hub: Arc<Hub>) {
    while !hub.is_stopping() {
        let stop = hub.changed.notified();
        let earlier = hub.deadlines.notified();
        match hub.tick() {
            Some(at) => tokio::select! {
                () = tokio::time::sleep_until(at.into()) => {}
                () = earlier => {}
                () = stop => {}
            },
            None => tokio::select! {
                () = earlier => {}
                () = stop => {}
            },
        }
    }
}
