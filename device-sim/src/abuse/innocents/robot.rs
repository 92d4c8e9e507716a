//! A robot of Rollcall's: what it says is acknowledged, after its commit, in order and without a refusal.

use tokio::time::Instant;

use super::Innocent;
use crate::abuse::attack::{Fault, ensure};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, PUBACK, PUBCOMP, PUBREC, PUBREL, QOS1, QOS2, Version};
use crate::abuse::peer::Peer;

pub(super) async fn run(innocent: Innocent) -> Result<(), Fault> {
    let Some(robot) = innocent.arena.robots.first().cloned() else {
        return Ok(());
    };
    let topic = format!("{}/rollcall.v1.Manifest", robot.base);
    let mut peer = innocent.arena.accepted(&robot.connect(Version::V5)).await?;
    while !innocent.stopped() {
        let began = Instant::now();
        // Several at once, since the order of their acknowledgements is a promise too.
        let ids = [1, 2, 3];
        let mut bytes = Vec::new();
        for id in ids {
            let payload = &robot.manifest;
            bytes.extend(packet::publish(Version::V5, QOS1, &topic, id, payload));
        }
        bytes.extend(packet::publish(
            Version::V5,
            QOS2,
            &topic,
            4,
            &robot.manifest,
        ));
        peer.send(&bytes).await?;
        for id in ids {
            expect(&innocent, &mut peer, PUBACK, id).await?;
        }
        expect(&innocent, &mut peer, PUBREC, 4).await?;
        peer.send(&packet::ack(PUBREL, 4)).await?;
        expect(&innocent, &mut peer, PUBCOMP, 4).await?;
        innocent.beat(began);
        innocent.pause().await;
    }
    peer.send(&packet::GOODBYE).await?;
    Ok(())
}

async fn expect(
    innocent: &Innocent,
    peer: &mut Peer,
    expected: u8,
    expected_id: u16,
) -> Result<(), Fault> {
    loop {
        match innocent.hear(peer, "acknowledgement").await? {
            Incoming::Ack { first, id, code } => {
                return ensure(
                    first == expected && id == expected_id && code < 0x80,
                    || {
                        format!(
                            "acknowledgement 0x{first:02x} of {id} with code 0x{code:02x}, 0x{expected:02x} of {expected_id} was due"
                        )
                    },
                );
            }
            // A rollout may be under way; it is of no interest here.
            Incoming::Publish { .. } => {}
            other => {
                return Err(Fault::new(format!(
                    "{other:?} instead of an acknowledgement"
                )));
            }
        }
    }
}
