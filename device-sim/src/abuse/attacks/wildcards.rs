//! Subscriptions that all match, in as many ways as a filter can.

use std::sync::Arc;

use super::flood::publish;
use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, QOS1, Version};
use crate::abuse::peer::Heard;

pub(super) const ATTACK: Attack = Attack {
    name: "wildcards",
    what: "subscribes with every mixture of + and #, then publishes to what matches all",
    needs: Needs::Routing,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    /// Levels below the prefix; two to the power of this are the filters.
    const LEVELS: u32 = 8;
    let mut readers = Vec::new();
    let (mut granted, mut refused) = (0, 0);
    for client in 0..4 {
        let mut peer = arena.client(Version::V5).await?;
        for mask in 0..2_u32.pow(LEVELS) {
            let levels: Vec<_> = (0..LEVELS)
                .map(|level| if mask >> level & 1 == 1 { "+" } else { "a" })
                .collect();
            let filter = arena.topic(&format!(
                "wild/{}{}",
                levels.join("/"),
                ["", "/#"][client % 2]
            ));
            let bytes = packet::subscribe(Version::V5, 1, &[&filter], 0);
            peer.send(&bytes).await?;
            match peer.hear().await? {
                Heard::Packet(Incoming::SubAck { codes })
                    if codes.iter().all(|code| *code < 0x80) =>
                {
                    granted += 1
                }
                Heard::Packet(Incoming::SubAck { .. }) => refused += 1,
                other => return Err(Fault::new(format!("{other:?} instead of a SUBACK"))),
            }
        }
        readers.push(peer);
    }
    let topic = arena.topic(&format!("wild/{}", ["a"; LEVELS as usize].join("/")));
    let mut publisher = arena.client(Version::V4).await?;
    let count = arena.effort.things / 10;
    let flood = publish(&mut publisher, QOS1, count, |_, _| topic.clone()).await?;
    Ok(Findings::said(format!(
        "granted {granted}, refused {refused}, acknowledged {} that match all",
        flood.acknowledged
    )))
}
