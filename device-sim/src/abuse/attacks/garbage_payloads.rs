//! A robot that says nonsense on its own topics: the server behind the broker has to read it.

use std::sync::Arc;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, QOS1, QOS2, Version};
use crate::abuse::peer::Heard;

pub(super) const ATTACK: Attack = Attack {
    name: "garbage-payloads",
    what: "publishes noise, huge and truncated payloads on a robot's own topics",
    needs: Needs::Robots,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let Some(robot) = arena.robots.get(1) else {
        return Err(Fault::new("two robots are needed"));
    };
    let mut random = ChaCha8Rng::seed_from_u64(arena.seed);
    let (mut taken, mut refused) = (0, 0);
    let mut peer = arena.accepted(&robot.connect(Version::V5)).await?;
    for round in 0..arena.effort.things / 4 {
        let topic = format!(
            "{}/rollcall.v1.{}",
            robot.base,
            ["Manifest", "BaseImage/main", "OTAEvent/main", "State"][round % 4]
        );
        let mut payload = match round % 3 {
            0 => robot.manifest.clone(),
            1 => vec![0xff; random.random_range(0..40_000)],
            _ => vec![0; random.random_range(1..400)],
        };
        if round % 3 == 2 {
            random.fill_bytes(&mut payload);
        }
        let end = random.random_range(0..=payload.len());
        payload.truncate(end);
        let flags = [QOS1, QOS2][round % 2];
        // Refused at QoS 2, the exchange ends with PUBREC; taken, the identifier is released by the next one's.
        let id = u16::try_from(round % 1_000).unwrap_or(0) + 1;
        peer.send(&packet::publish(Version::V5, flags, &topic, id, &payload))
            .await?;
        match peer.hear().await? {
            Heard::Packet(Incoming::Ack { code, .. }) if code >= 0x80 => refused += 1,
            Heard::Packet(Incoming::Ack { first, .. }) => {
                taken += 1;
                if first == packet::PUBREC {
                    peer.send(&packet::ack(packet::PUBREL, id)).await?;
                    peer.hear().await?;
                }
            }
            Heard::Packet(Incoming::Publish { .. }) => {}
            Heard::Packet(_) | Heard::Closed => {
                peer = arena.accepted(&robot.connect(Version::V5)).await?
            }
            Heard::Silence => return Err(Fault::new("no answer to a robot's payload")),
        }
    }
    Ok(Findings::said(format!("took {taken}, refused {refused}"))
        .counted(&["intake_refused", "publish_denied"], refused))
}
