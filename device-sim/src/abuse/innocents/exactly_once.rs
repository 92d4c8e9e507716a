//! A client (5.0) that sends messages of QoS 2 to itself: each comes once, and the right one.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::Innocent;
use crate::abuse::arena::subscribed;
use crate::abuse::attack::{Fault, ensure};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, PUBCOMP, PUBREC, PUBREL, QOS2, Version};
use crate::abuse::peer::Peer;

pub(super) async fn run(innocent: Innocent) -> Result<(), Fault> {
    let number = innocent.arena.number();
    let guests = &innocent.arena.guests;
    let topic = guests.topic(&format!("exactly-once-{number}"));
    let connect = guests.connect(Version::V5, &format!("exactly-once-{number}"));
    let mut peer = innocent.arena.accepted(&connect).await?;
    subscribed(&mut peer, &topic, 2).await?;
    let mut sent = 0_u64;
    while !innocent.stopped() {
        sent += 1;
        let began = Instant::now();
        exchange(&innocent, &mut peer, &topic, sent).await?;
        innocent.beat(began);
        innocent.pause().await;
    }
    peer.send(&packet::GOODBYE).await?;
    Ok(())
}

/// One message there and back again, with everything that both sides owe each other.
async fn exchange(
    innocent: &Innocent,
    peer: &mut Peer,
    topic: &str,
    sent: u64,
) -> Result<(), Fault> {
    let mine = u16::try_from(sent % 60_000).unwrap_or(0) + 1;
    let bytes = packet::publish(Version::V5, QOS2, topic, mine, &sent.to_be_bytes());
    peer.send(&bytes).await?;
    let (mut completed, mut arrived, mut released) = (false, BTreeSet::new(), false);
    while !(completed && released) {
        match innocent.hear(peer, "end of a QoS 2 exchange").await? {
            Incoming::Ack { first, id, code } if first == PUBREC && id == mine && code < 0x80 => {
                peer.send(&packet::ack(PUBREL, mine)).await?;
            }
            Incoming::Ack { first, id, code: 0 } if first == PUBCOMP && id == mine => {
                completed = true;
            }
            Incoming::Publish { payload, id, .. } => {
                let number = payload.as_ref().try_into().map_or(0, u64::from_be_bytes);
                ensure(number == sent && arrived.is_empty(), || {
                    format!("message {number} came, {sent} was due once")
                })?;
                arrived.insert(id);
                peer.send(&packet::ack(PUBREC, id)).await?;
            }
            Incoming::Ack { first, id, code: 0 } if first == PUBREL && arrived.contains(&id) => {
                released = true;
                peer.send(&packet::ack(PUBCOMP, id)).await?;
            }
            other => {
                return Err(Fault::new(format!(
                    "{other:?} in the middle of the QoS 2 exchange of message {sent}"
                )));
            }
        }
    }
    Ok(())
}
