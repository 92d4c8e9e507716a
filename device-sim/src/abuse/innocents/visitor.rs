//! A client (3.1.1) that connects, sends itself a message and leaves, again and again.

use tokio::time::Instant;

use super::Innocent;
use crate::abuse::arena::subscribed;
use crate::abuse::attack::{Fault, ensure};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, PUBACK, QOS1, Version};

pub(super) async fn run(innocent: Innocent) -> Result<(), Fault> {
    let number = innocent.arena.number();
    let guests = &innocent.arena.guests;
    let topic = guests.topic(&format!("visitor-{number}"));
    let connect = guests.connect(Version::V4, &format!("visitor-{number}"));
    let mut visit = 0_u64;
    while !innocent.stopped() {
        visit += 1;
        let began = Instant::now();
        let visited = tokio::time::timeout(innocent.stall, async {
            let mut peer = innocent.arena.accepted(&connect).await?;
            subscribed(&mut peer, &topic, 1).await?;
            let payload = visit.to_be_bytes();
            peer.send(&packet::publish(Version::V4, QOS1, &topic, 1, &payload))
                .await?;
            let (mut acknowledged, mut arrived) = (false, false);
            while !(acknowledged && arrived) {
                match innocent.hear(&mut peer, "PUBACK and message").await? {
                    Incoming::Ack { first: PUBACK, .. } if !acknowledged => acknowledged = true,
                    Incoming::Publish {
                        payload: came, id, ..
                    } if !arrived => {
                        ensure(came.as_ref() == payload, || {
                            format!("another message than its own at visit {visit}")
                        })?;
                        arrived = true;
                        peer.send(&packet::ack(PUBACK, id)).await?;
                    }
                    other => return Err(Fault::new(format!("{other:?} at visit {visit}"))),
                }
            }
            peer.send(&packet::GOODBYE).await?;
            Ok(())
        });
        match visited.await {
            Ok(visited) => visited?,
            Err(_) => {
                return Err(Fault::new(format!(
                    "visit {visit} took longer than {:.0?}",
                    innocent.stall
                )));
            }
        }
        innocent.beat(began);
        innocent.pause().await;
    }
    Ok(())
}
