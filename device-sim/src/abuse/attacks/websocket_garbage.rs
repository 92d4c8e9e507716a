//! HTTP requests that are no handshake, frames that are none, and MQTT where a frame belongs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs, ensure};
use crate::abuse::packet::Version;
use crate::abuse::peer::Peer;

pub(super) const ATTACK: Attack = Attack {
    name: "websocket-garbage",
    what: "sends broken handshakes and frames to a listener for WebSocket",
    needs: Needs::WebSocket,
    run: |arena| Box::pin(run(arena)),
};

/// How long a server may wait for the rest of what might become a request.
const MOMENT: Duration = Duration::from_millis(300);

const REQUESTS: &[&str] = &[
    "websocket_request_malformed",
    "websocket_request_too_large",
    "websocket_not_asked",
    "websocket_version_refused",
    "websocket_subprotocol_refused",
    "connect_abandoned",
    "connect_timeout",
];

const FRAMES: &[&str] = &[
    "websocket_unmasked",
    "websocket_not_binary",
    "websocket_frame_too_large",
    "websocket_malformed",
    "connect_malformed",
    "connect_abandoned",
];

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let Some(target) = &arena.websocket else {
        return Err(Fault::new("no listener for WebSocket"));
    };
    let (mut requests, mut waited) = (0, 0);
    for request in [
        &b"GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"POST /mqtt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        b"GET /elsewhere HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
        b"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: short\r\n\r\n",
        b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01a",
        b"\r\n\r\n\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let mut peer = Peer::open(target, Version::V4).await?;
        let _ = peer.send(request).await;
        let (answer, ended) = answer(&mut peer, MOMENT).await;
        ensure(!answer.starts_with("HTTP/1.1 101"), || {
            format!("a handshake is accepted that is none: {request:?}")
        })?;
        requests += 1;
        waited += usize::from(!ended);
    }
    // A header that never ends.
    let mut peer = Peer::open(target, Version::V4).await?;
    let _ = peer.send(b"GET /mqtt HTTP/1.1\r\n").await;
    let mut lines = 0;
    while peer
        .offer(b"X-More: and more and more and more and more\r\n")
        .await
        .goes_on()?
    {
        lines += 1;
        ensure(lines < 1_000_000, || {
            "a header without an end is read on and on".to_owned()
        })?;
    }
    requests += 1;
    let frames = [
        &b"\x82\x02ab"[..],                                  // not masked
        b"\x81\x82\0\0\0\0ab",                               // text
        b"\xf2\x82\0\0\0\0ab",                               // reserved bits
        b"\x83\x80\0\0\0\0",                                 // an opcode that does not exist
        b"\x09\x80\0\0\0\0",                                 // a ping in fragments
        b"\x89\xfe\x01\x00\0\0\0\0",                         // a ping of 256 bytes
        b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", // 8 EiB
        b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", // the sign bit
        b"\x00\x82\0\0\0\0ab",                               // a continuation of nothing
        b"\x88\x81\0\0\0\0x",                                // half a close code
        b"\x82\x88\0\0\0\0GET / HT",                         // no MQTT within
    ];
    for frame in frames {
        let mut peer = upgraded(&arena).await?;
        let _ = peer.send(frame).await;
        let (_, ended) = answer(&mut peer, target.patience).await;
        ensure(ended, || {
            format!("the connection hangs after a frame of {frame:?}")
        })?;
    }
    let said = format!(
        "refused {requests} requests ({waited} of them not at once) and {} frames",
        frames.len()
    );
    Ok(Findings::said(said)
        .counted(REQUESTS, requests)
        .counted(FRAMES, frames.len()))
}

/// A connection whose handshake was good.
async fn upgraded(arena: &Arena) -> Result<Peer, Fault> {
    let target = arena.websocket.as_ref().unwrap_or(&arena.target);
    let mut peer = Peer::open(target, Version::V4).await?;
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: {}:{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: mqtt\r\n\r\n",
        target.host, target.port
    );
    peer.send(request.as_bytes()).await?;
    let answer = peer.raw().await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    ensure(answer.starts_with("HTTP/1.1 101"), || {
        let line = answer.lines().next().unwrap_or_default().to_owned();
        format!("a good handshake is answered with {line:?}")
    })?;
    Ok(peer)
}

/// All that comes until the server ends the connection, and whether it did before it was silent for so long.
async fn answer(peer: &mut Peer, patience: Duration) -> (String, bool) {
    let mut answer = String::new();
    loop {
        match timeout(patience, peer.raw()).await {
            Ok(Ok(bytes)) if bytes.is_empty() => return (answer, true),
            Ok(Ok(bytes)) => answer.push_str(&String::from_utf8_lossy(&bytes)),
            Ok(Err(_)) | Err(_) => return (answer, false),
        }
    }
}
