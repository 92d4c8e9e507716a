//! A small SUBSCRIBE that is answered with megabytes, asked again and again by somebody who does not read.

use std::sync::Arc;
use std::time::Duration;

use super::flood::publish;
use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::{self, QOS1, RETAIN, Version};
use crate::abuse::peer::{Peer, Sent};

pub(super) const ATTACK: Attack = Attack {
    name: "retained-replay",
    what: "subscribes again and again to many retained messages without reading them",
    needs: Needs::Routing,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    /// Bytes of each retained message.
    const SIZE: usize = 1_024;
    let messages = arena.effort.things / 4;
    let retained = |number: u32| arena.topic(&format!("replay/{number}"));
    let mut publisher = arena.client(Version::V5).await?;
    publish(
        &mut publisher,
        QOS1 | RETAIN,
        messages,
        |number, payload| {
            payload.resize(SIZE, b'r');
            retained(number)
        },
    )
    .await?;
    let filter = arena.topic("replay/#");
    let ask = packet::subscribe(Version::V5, 1, &[&filter], 1);
    let (mut asked, mut ended) = (0, 0);
    let mut held = vec![greedy(&arena, &filter).await?];
    for _ in 0..arena.effort.connections / 20 {
        let mut peer = arena.client(Version::V5).await?;
        for _ in 0..200 {
            match peer.offer_within(Duration::from_millis(200), &ask).await {
                Sent::Done => asked += 1,
                Sent::Closed => {
                    ended += 1;
                    break;
                }
                // It is not read any more, which is a good answer.
                Sent::Stalled => break,
            }
        }
        held.push(peer);
    }
    tokio::time::sleep(arena.effort.time).await;
    drop(held);
    publish(&mut publisher, QOS1 | RETAIN, messages, |number, _| {
        retained(number)
    })
    .await?;
    Ok(Findings::said(format!(
        "was asked {asked} times for {} kB, hung up {ended} times",
        messages * SIZE / 1_000
    )))
}

/// A client that asks for all of it thousands of times in one packet.
async fn greedy(arena: &Arena, filter: &str) -> Result<Peer, Fault> {
    /// A packet that most servers take.
    const ROOM: usize = 60_000;
    let filters = vec![filter; ROOM / (filter.len() + 3)];
    let mut peer = arena.client(Version::V5).await?;
    // However it is answered, it is not read.
    let _ = peer
        .send(&packet::subscribe(Version::V5, 1, &filters, 1))
        .await;
    Ok(peer)
}
