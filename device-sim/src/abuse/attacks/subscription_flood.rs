//! Subscriptions without end, of one client and of many.

use std::sync::Arc;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, Version};
use crate::abuse::peer::Heard;

pub(super) const ATTACK: Attack = Attack {
    name: "subscription-flood",
    what: "subscribes to thousands of topics",
    needs: Needs::Client,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let (mut granted, mut refused, mut over, mut ended) = (0, 0, 0, 0);
    let clients = arena.attackers(10);
    let each = arena.effort.things / clients;
    for client in 0..clients {
        let mut peer = arena.client(Version::V5).await?;
        let mut asked = 0;
        while asked < each {
            let filters: Vec<_> = (0..50)
                .map(|index| arena.topic(&format!("subscription/{client}/{}/+/x", asked + index)))
                .collect();
            let filters: Vec<_> = filters.iter().map(String::as_str).collect();
            asked += filters.len();
            let sent = peer
                .send(&packet::subscribe(Version::V5, 1, &filters, 1))
                .await;
            match peer.hear().await? {
                Heard::Packet(Incoming::SubAck { codes }) if sent.is_ok() => {
                    granted += codes.iter().filter(|code| **code < 0x80).count();
                    refused += codes.iter().filter(|code| **code >= 0x80).count();
                    over += codes.iter().filter(|code| **code == 0x97).count();
                }
                Heard::Silence => return Err(Fault::new("no answer to a SUBSCRIBE")),
                Heard::Packet(_) | Heard::Closed => {
                    ended += 1;
                    break;
                }
            }
        }
    }
    Ok(Findings::said(format!(
        "granted {granted}, refused {refused}, hung up {ended} times"
    ))
    .counted(&["subscription_limit"], over))
}
