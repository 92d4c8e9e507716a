//! Messages for somebody who is away. They may be kept or dropped, but not without bound.

use std::sync::Arc;

use super::flood::publish;
use crate::abuse::arena::{Arena, subscribed};
use crate::abuse::attack::{Attack, Fault, Findings, Needs, ensure};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, PUBACK, QOS1, Version};
use crate::abuse::peer::{Heard, Peer};

pub(super) const ATTACK: Attack = Attack {
    name: "absent-queue",
    what: "floods a session whose client is away, then comes back for it",
    needs: Needs::Routing,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let topic = arena.topic("absent-queue");
    let connect = arena.attacker(Version::V5).kept();
    let mut away = arena.accepted(&connect).await?;
    subscribed(&mut away, &topic, 1).await?;
    away.send(&packet::GOODBYE).await?;
    away.until_closed().await?;
    let mut publisher = arena.client(Version::V4).await?;
    let flood = publish(
        &mut publisher,
        QOS1,
        arena.effort.things,
        |number, payload| {
            payload.extend(number.to_be_bytes());
            payload.resize(1_024, 0);
            topic.clone()
        },
    )
    .await?;
    let mut back = arena.accepted(&connect).await?;
    let kept = read(&mut back, flood.acknowledged).await?;
    let mut end = connect;
    end.clean = true;
    end.properties.clear();
    arena.accepted(&end).await?;
    let dropped = flood.acknowledged.saturating_sub(kept);
    Ok(Findings::said(format!(
        "kept {kept} of {} messages for the absent client",
        flood.acknowledged
    ))
    .counted(&["message_dropped"], dropped))
}

/// Reads what was kept, which must be in order; how many there were.
async fn read(peer: &mut Peer, sent: usize) -> Result<usize, Fault> {
    let (mut kept, mut due) = (0, 0);
    while kept < sent {
        peer.send(&packet::PING).await?;
        let mut news = false;
        loop {
            match peer.hear().await? {
                Heard::Packet(Incoming::Publish { payload, id, .. }) => {
                    let number = payload
                        .first_chunk()
                        .map_or(0, |first| u32::from_be_bytes(*first));
                    ensure(number >= due, || format!("message {number} after {due}"))?;
                    due = number + 1;
                    kept += 1;
                    news = true;
                    peer.send(&packet::ack(PUBACK, id)).await?;
                }
                Heard::Packet(Incoming::Pong) => break,
                Heard::Packet(_) => {}
                Heard::Closed | Heard::Silence => {
                    return Err(Fault::new("no answer to a client that has come back"));
                }
            }
        }
        if !news {
            break;
        }
    }
    Ok(kept)
}
