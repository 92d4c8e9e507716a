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
    let (mut ended, mut sent) = (0, 0);
    let count = arena.attackers(20);
    for index in 0..count {
        let first = [0x30, 0x82, 0x32, 0xa2][index % 4];
        let mut peer = arena.client(Version::V5).await?;
        let streamed = stream(&arena, &mut peer, first).await;
        (ended, sent) = (ended + usize::from(streamed.1), sent + streamed.0);
    }
    let clients = ended;
    for _ in 0..count {
        let mut peer = arena.silent(Version::V5).await?;
        let streamed = stream(&arena, &mut peer, 0x10).await;
        (ended, sent) = (ended + usize::from(streamed.1), sent + streamed.0);
    }
    Ok(Findings::said(format!(
        "ended {ended} of {} after {} MB in all",
        2 * count,
        sent.div_ceil(1_000_000)
    ))
    .counted(&["packet_too_large"], clients)
    .counted(&["connect_malformed"], ended - clients))
}

/// Streams one packet; how many bytes, and whether the server put an end to it.
async fn stream(arena: &Arena, peer: &mut Peer, first: u8) -> (usize, bool) {
    /// What is streamed at most on one connection.
    const ENOUGH: usize = 16 << 20;
    let mut bytes = vec![first];
    packet::length(&mut bytes, 268_435_455);
    bytes.resize(64 * 1024, b'a');
    let deadline = Instant::now() + arena.effort.time;
    let mut sent = 0;
    while sent < ENOUGH && Instant::now() < deadline {
        if peer.send(&bytes).await.is_err() {
            return (sent, true);
        }
        sent += bytes.len();
        if sent == bytes.len() {
            // The header alone has said enough.
            if is_over(peer).await {
                return (sent, true);
            }
            bytes.fill(b'a');
        }
    }
    (sent, is_over(peer).await)
}

async fn is_over(peer: &mut Peer) -> bool {
    !matches!(peer.glance().await, Ok(Ending::GoesOn | Ending::Hangs))
}
