//! Topics that begin with $ are the server's own, and wildcards do not reach them (MQTT-4.7.2-1).

use std::sync::Arc;

use crate::abuse::arena::{Arena, subscribed};
use crate::abuse::attack::{Attack, Fault, Findings, Needs, ensure};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, QOS1, RETAIN, VERSIONS, Version};
use crate::abuse::peer::{Ending, Heard, Peer};

pub(super) const ATTACK: Attack = Attack {
    name: "reserved-topics",
    what: "publishes below $SYS, $share and $; neither who subscribed to # nor to $SYS/# may get it",
    needs: Needs::Routing,
    run: |arena| Box::pin(run(arena)),
};

const TOPICS: [&str; 5] = ["$SYS/broker/version", "$SYS/x", "$share/group/x", "$", "$x"];

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let mark = arena.topic("reserved");
    let control = arena.topic("reserved-control");
    let mut observer = arena.client(Version::V5).await?;
    subscribed(&mut observer, &control, 0).await?;
    // A broker may refuse these; then there is less to see.
    let wild = packet::subscribe(Version::V5, 2, &["$SYS/#", "#"], 0);
    observer.send(&wild).await?;
    until(&mut observer, |packet| {
        matches!(packet, Incoming::SubAck { .. })
    })
    .await?;
    let (mut refused, mut ended) = (0, 0);
    for version in VERSIONS {
        for topic in TOPICS {
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
    let seen = observed(&arena, &mut observer, &mark, &control).await;
    for topic in TOPICS {
        let mut peer = arena.client(Version::V5).await?;
        let bytes = packet::publish(Version::V5, QOS1 | RETAIN, topic, 1, b"");
        // Who refused to keep it has nothing to remove, and refuses this too.
        if peer.offer(&bytes).await.goes_on()? {
            peer.hear().await?;
        }
    }
    seen?;
    observer.send(&packet::GOODBYE).await?;
    let _: Ending = observer.until_closed().await?;
    Ok(
        Findings::said(format!("refused {refused}, hung up {ended} times"))
            .counted(&["publish_denied"], refused),
    )
}

/// Publishes to a topic like any other, and reads until that arrives: what was sent before it is here too.
async fn observed(
    arena: &Arena,
    observer: &mut Peer,
    mark: &str,
    control: &str,
) -> Result<(), Fault> {
    let mut peer = arena.client(Version::V5).await?;
    let bytes = packet::publish(Version::V5, QOS1, control, 1, b"control");
    peer.send(&bytes).await?;
    let mut forged = None;
    until(observer, |packet| {
        if let Incoming::Publish { topic, payload, .. } = packet
            && topic.starts_with('$')
            && payload.as_ref() == mark.as_bytes()
        {
            forged = Some(topic.clone());
        }
        matches!(packet, Incoming::Publish { topic, .. } if topic == control)
    })
    .await?;
    ensure(forged.is_none(), || {
        let topic = forged.unwrap_or_default();
        format!("what a client publishes to {topic} reaches a wildcard subscriber (MQTT-4.7.2-1)")
    })
}

/// Reads until this packet has come.
async fn until(observer: &mut Peer, mut is_it: impl FnMut(&Incoming) -> bool) -> Result<(), Fault> {
    loop {
        match observer.hear().await? {
            Heard::Packet(packet) if is_it(&packet) => return Ok(()),
            Heard::Packet(_) => {}
            Heard::Closed | Heard::Silence => {
                return Err(Fault::new("the observer of $SYS/# and # is not served"));
            }
        }
    }
}
