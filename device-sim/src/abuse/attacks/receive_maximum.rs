//! QoS 2 messages that are never released: the server has to remember each.

use std::sync::Arc;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, QOS2, Version};
use crate::abuse::peer::Heard;

pub(super) const ATTACK: Attack = Attack {
    name: "receive-maximum",
    what: "sends QoS 2 messages under ever new identifiers and releases none",
    needs: Needs::Client,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    /// What MQTT 5 tells whoever has more unfinished messages than was agreed.
    const EXCEEDED: u8 = 0x93;
    let (mut received, mut exceeded, mut ended) = (0, 0, 0);
    let clients = arena.attackers(4);
    'client: for _ in 0..clients {
        let mut peer = arena.client(Version::V5).await?;
        let mut ids = 1..=u16::try_from(arena.effort.things).unwrap_or(u16::MAX);
        while !ids.is_empty() {
            let bytes: Vec<_> = ids
                .by_ref()
                .take(50)
                .map(|id| packet::publish(Version::V5, QOS2, &arena.topic("x"), id, &[7; 200]))
                .collect();
            let _ = peer.send(&bytes.concat()).await;
            for _ in &bytes {
                match peer.hear().await? {
                    Heard::Packet(Incoming::Ack { .. }) => received += 1,
                    Heard::Packet(Incoming::Disconnect { code }) => {
                        exceeded += usize::from(code == EXCEEDED);
                        ended += 1;
                        continue 'client;
                    }
                    Heard::Closed => {
                        ended += 1;
                        continue 'client;
                    }
                    other => return Err(Fault::new(format!("{other:?} instead of a PUBREC"))),
                }
            }
        }
    }
    Ok(Findings::said(format!(
        "received {received} of {clients} clients, disconnected {ended} of them"
    ))
    .counted(&["receive_maximum_exceeded"], exceeded))
}
