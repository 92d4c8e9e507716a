//! Topics that begin with $ are the server's own.

use std::sync::Arc;

use crate::abuse::arena::{Arena, subscribed};
use crate::abuse::attack::{Attack, Fault, Findings, Needs, ensure};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, QOS1, RETAIN, VERSIONS, Version};
use crate::abuse::peer::{Ending, Heard};

pub(super) const ATTACK: Attack = Attack {
    name: "reserved-topics",
    what: "publishes below $SYS and $share; nobody may get it",
    needs: Needs::Routing,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let mark = arena.topic("reserved");
    let mut observer = arena.client(Version::V5).await?;
    // A broker may refuse these; then there is less to see.
    for filter in ["$SYS/#", "#"] {
        let _ = subscribed(&mut observer, filter, 0).await;
    }
    let (mut refused, mut ended) = (0, 0);
    for version in VERSIONS {
        for topic in ["$SYS/broker/version", "$SYS/x", "$share/group/x", "$", "$x"] {
            let mut peer = arena.client(version).await?;
            let bytes = packet::publish(version, QOS1 | RETAIN, topic, 1, mark.as_bytes());
            peer.send(&bytes).await?;
            match peer.hear().await? {
                Heard::Packet(Incoming::Ack { code, .. }) => refused += usize::from(code >= 0x80),
                Heard::Packet(_) | Heard::Closed => ended += 1,
                Heard::Silence => {
                    return Err(Fault::new(format!("silence after a publish to {topic}")));
                }
            }
        }
    }
    observer.send(&packet::PING).await?;
    loop {
        match observer.hear().await? {
            Heard::Packet(Incoming::Publish { topic, payload, .. }) => {
                let forged = topic.starts_with("$SYS/") && payload.as_ref() == mark.as_bytes();
                ensure(!forged, || {
                    format!("a client can publish to {topic} in the server's name")
                })?;
            }
            Heard::Packet(Incoming::Pong) => break,
            Heard::Packet(_) => {}
            Heard::Closed | Heard::Silence => {
                return Err(Fault::new("the observer of $SYS is not served"));
            }
        }
    }
    observer.send(&packet::GOODBYE).await?;
    let _: Ending = observer.until_closed().await?;
    Ok(
        Findings::said(format!("refused {refused}, hung up {ended} times"))
            .counted(&["publish_denied"], refused),
    )
}
