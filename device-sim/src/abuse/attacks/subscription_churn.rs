//! Subscribing and unsubscribing as fast as it goes: what is gone must leave nothing behind.

use std::sync::Arc;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, VERSIONS};
use crate::abuse::peer::Heard;

pub(super) const ATTACK: Attack = Attack {
    name: "subscription-churn",
    what: "subscribes and unsubscribes without pause, many filters in turn",
    needs: Needs::Client,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let mut done = 0;
    for version in VERSIONS {
        let mut peer = arena.client(version).await?;
        for round in 0..arena.effort.things / 20 {
            let filters: Vec<_> = (0..10)
                .map(|index| arena.topic(&format!("churn/{round}/{index}/#")))
                .collect();
            let filters: Vec<_> = filters.iter().map(String::as_str).collect();
            let on = packet::subscribe(version, 1, &filters, 1);
            let off = packet::unsubscribe(version, 2, &filters);
            peer.send(&[on, off].concat()).await?;
            for _ in 0..2 {
                match peer.hear().await? {
                    Heard::Packet(Incoming::SubAck { .. } | Incoming::UnsubAck) => {}
                    other => return Err(Fault::new(format!("{other:?} after {done} rounds"))),
                }
            }
            done += 1;
        }
    }
    Ok(Findings::said(format!("followed {done} rounds")))
}
