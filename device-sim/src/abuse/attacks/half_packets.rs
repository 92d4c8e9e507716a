//! Packets of a size that is allowed, of which the last byte never comes: each occupies a buffer.

use std::sync::Arc;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::{self, QOS1, Version};

pub(super) const ATTACK: Attack = Attack {
    name: "half-packets",
    what: "sends all of a large PUBLISH but its end, on many connections",
    needs: Needs::Client,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let publish = packet::publish(Version::V4, QOS1, &arena.topic("x"), 1, &[7; 60_000]);
    let mut held = Vec::new();
    for _ in 0..arena.attackers(arena.effort.connections) {
        let mut peer = arena.client(Version::V4).await?;
        if peer.send(&publish[..publish.len() - 1]).await.is_ok() {
            held.push(peer);
        }
    }
    tokio::time::sleep(arena.effort.time).await;
    let count = held.len();
    Ok(Findings::said(format!(
        "held {count} halves of {} bytes",
        publish.len()
    )))
}
