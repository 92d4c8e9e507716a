//! Topics of tens of thousands of levels.

use std::sync::Arc;

use crate::abuse::arena::{Arena, Entry};
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::{self, QOS1, VERSIONS};
use crate::abuse::peer::Ending;

pub(super) const ATTACK: Attack = Attack {
    name: "deep-topics",
    what: "publishes and subscribes to topics and wills of up to 65,000 levels",
    needs: Needs::Client,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let (mut taken, mut ended) = (0, 0);
    for version in VERSIONS {
        for levels in [200, 10_000, 65_000] {
            let topic = arena.topic("d");
            let topic = format!("{topic}{}", "/".repeat(levels - topic.len().min(levels)));
            let wild = format!("{}#", "+/".repeat(levels / 2));
            for bytes in [
                packet::publish(version, QOS1, &topic, 1, b"deep"),
                packet::subscribe(version, 1, &[&topic], 0),
                packet::subscribe(version, 1, &[&wild], 0),
                packet::unsubscribe(version, 1, &[&wild]),
            ] {
                let mut peer = arena.client(version).await?;
                let _ = peer.send(&[&bytes[..], &packet::PING].concat()).await;
                match peer.until_closed().await? {
                    Ending::GoesOn => taken += 1,
                    Ending::Closed(_) => ended += 1,
                    Ending::Hangs => return Err(Fault::new("silence after a deep topic")),
                }
            }
            let connect = arena.attacker(version).will(&topic, 1);
            match arena.enter(&connect).await? {
                Entry::Accepted(peer) => {
                    peer.reset();
                    taken += 1;
                }
                Entry::Refused(_) | Entry::Closed => ended += 1,
            }
        }
    }
    Ok(Findings::said(format!(
        "lived with {taken}, refused {ended}"
    )))
}
