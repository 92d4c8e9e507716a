//! A subscriber that takes messages and acknowledges none. It may have as many under way as it said, and no more.

use std::sync::Arc;

use super::flood::publish;
use crate::abuse::arena::{Arena, subscribed};
use crate::abuse::attack::{Attack, Fault, Findings, Needs, ensure};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, QOS1, Version};
use crate::abuse::peer::Heard;

pub(super) const ATTACK: Attack = Attack {
    name: "never-acknowledges",
    what: "subscribes at QoS 1 and 2 and never acknowledges; the window must hold",
    needs: Needs::Routing,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    /// What the subscriber says that it takes at one time.
    const WINDOW: u16 = 5;
    let topic = arena.topic("never-acknowledges");
    let mut readers = Vec::new();
    for qos in [1, 2, 1, 2] {
        let connect = arena.attacker(Version::V5).receive_maximum(WINDOW);
        let mut reader = arena.accepted(&connect).await?;
        subscribed(&mut reader, &topic, qos).await?;
        readers.push(reader);
    }
    let mut publisher = arena.client(Version::V5).await?;
    let flood = publish(&mut publisher, QOS1, arena.effort.things, |_, payload| {
        payload.resize(200, b'n');
        topic.clone()
    })
    .await?;
    let mut ended = 0;
    for reader in &mut readers {
        let mut under_way = 0;
        let _ = reader.send(&packet::PING).await;
        loop {
            match reader.hear().await? {
                Heard::Packet(Incoming::Publish { qos: 1.., .. }) => under_way += 1,
                Heard::Packet(Incoming::Pong) => break,
                Heard::Packet(_) => {}
                Heard::Closed => {
                    ended += 1;
                    break;
                }
                Heard::Silence => {
                    return Err(Fault::new(
                        "no answer to a client that does not acknowledge",
                    ));
                }
            }
        }
        ensure(under_way <= WINDOW, || {
            format!("{under_way} messages are under way to a client that takes {WINDOW}")
        })?;
    }
    Ok(Findings::said(format!(
        "acknowledged {}, kept to the window, ended {ended} of 4",
        flood.acknowledged
    ))
    .counted(&["queue_full"], ended))
}
