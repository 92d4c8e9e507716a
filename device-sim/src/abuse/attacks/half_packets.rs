//! Packets of a size that is allowed, of which the last byte never comes: each occupies a buffer.

use std::sync::Arc;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, QOS1, Version};
use crate::abuse::peer::Heard;

pub(super) const ATTACK: Attack = Attack {
    name: "half-packets",
    what: "sends all of a large PUBLISH but its end, on many connections, and the end much later",
    needs: Needs::Client,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let publish = packet::publish(Version::V4, QOS1, &arena.topic("x"), 1, &[7; 60_000]);
    let (half, rest) = publish.split_at(publish.len() - 1);
    let mut held = Vec::new();
    for _ in 0..arena.attackers(arena.effort.connections) {
        let mut peer = arena.client(Version::V4).await?;
        if peer.offer(half).await.goes_on()? {
            held.push(peer);
        }
    }
    tokio::time::sleep(arena.effort.time).await;
    let count = held.len();
    let (mut taken, mut ended) = (0, 0);
    for peer in &mut held {
        peer.offer(rest).await.goes_on()?;
        match peer.hear().await? {
            Heard::Packet(Incoming::Ack { .. }) => taken += 1,
            Heard::Packet(Incoming::Disconnect { .. }) | Heard::Closed => ended += 1,
            other => {
                return Err(Fault::new(format!(
                    "{other:?} instead of a PUBACK after the last byte of a packet"
                )));
            }
        }
    }
    Ok(Findings::said(format!(
        "held {count} halves of {} bytes, then took {taken} and hung up on {ended}",
        publish.len()
    )))
}
