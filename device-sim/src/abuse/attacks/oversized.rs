//! Packets that announce up to 256 MiB and go on and on.

use std::sync::Arc;

use tokio::time::Instant;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::{self, Version};
use crate::abuse::peer::{Ending, Peer};

pub(super) const ATTACK: Attack = Attack {
    name: "oversized",
    what: "announces packets of up to 256 MiB, before and after CONNECT, and streams them",
    needs: Needs::Client,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let mut sent = 0;
    let count = arena.attackers(20);
    for index in 0..count {
        let first = [0x30, 0x82, 0x32, 0xa2][index % 4];
        let mut peer = arena.client(Version::V5).await?;
        sent += stream(&arena, &mut peer, first).await?;
    }
    for _ in 0..count {
        let mut peer = arena.silent(Version::V5).await?;
        sent += stream(&arena, &mut peer, 0x10).await?;
    }
    Ok(Findings::said(format!(
        "ended {} after {} MB in all",
        2 * count,
        sent.div_ceil(1_000_000)
    ))
    .counted(&["packet_too_large"], count)
    .counted(&["connect_malformed"], count))
}

/// Streams one packet, to which the server must put an end; after how many bytes it did.
async fn stream(arena: &Arena, peer: &mut Peer, first: u8) -> Result<usize, Fault> {
    /// What is streamed at most on one connection.
    const ENOUGH: usize = 16 << 20;
    let mut bytes = vec![first];
    packet::length(&mut bytes, 268_435_455);
    bytes.resize(64 * 1024, b'a');
    let deadline = Instant::now() + arena.effort.time;
    let mut sent = 0;
    while sent < ENOUGH && Instant::now() < deadline {
        if !peer.offer(&bytes).await.goes_on()? {
            return Ok(sent);
        }
        sent += bytes.len();
        if sent == bytes.len() {
            // The header alone has said enough.
            if matches!(peer.glance().await?, Ending::Closed(_)) {
                return Ok(sent);
            }
            bytes.fill(b'a');
        }
    }
    match peer.until_closed().await? {
        Ending::Closed(_) => Ok(sent),
        Ending::GoesOn | Ending::Hangs => Err(Fault::new(format!(
            "{sent} bytes of a packet of 256 MiB are taken and the connection goes on: bound the size of packets"
        ))),
    }
}
