//! Wills: messages that a server sends in the name of somebody who is gone.

use std::sync::Arc;

use crate::abuse::arena::{Arena, Entry, subscribed};
use crate::abuse::attack::{Attack, Fault, Findings, Needs, ensure};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, VERSIONS, Version};
use crate::abuse::peer::{Heard, Peer};

pub(super) const RESERVED: Attack = Attack {
    name: "reserved-wills",
    what: "leaves wills to $SYS and to topics with wildcards behind",
    needs: Needs::Routing,
    run: |arena| Box::pin(reserved(arena)),
};

pub(super) const STORM: Attack = Attack {
    name: "will-storm",
    what: "takes one client id over again and again, each time with a will that is sent",
    needs: Needs::Routing,
    run: |arena| Box::pin(storm(arena)),
};

pub(super) const FOREIGN: Attack = Attack {
    name: "foreign-wills",
    what: "connects as one robot with a will to topics of another and to its own",
    needs: Needs::Robots,
    run: |arena| Box::pin(foreign(arena)),
};

/// Wills that came to this observer before it is answered.
async fn observed(observer: &mut Peer, is_mark: impl Fn(&str) -> bool) -> Result<usize, Fault> {
    observer.send(&packet::PING).await?;
    let mut seen = 0;
    loop {
        match observer.hear().await? {
            Heard::Packet(Incoming::Publish { topic, .. }) => seen += usize::from(is_mark(&topic)),
            Heard::Packet(Incoming::Pong) => return Ok(seen),
            Heard::Packet(_) => {}
            Heard::Closed | Heard::Silence => {
                return Err(Fault::new("who observes wills is not served any more"));
            }
        }
    }
}

/// Reads until the control will has come; how many came to `name` before it.
async fn until_control(observer: &mut Peer, control: &str, name: &str) -> Result<usize, Fault> {
    let mut seen = 0;
    loop {
        match observer.hear().await? {
            Heard::Packet(Incoming::Publish { topic, .. }) if topic == control => return Ok(seen),
            Heard::Packet(Incoming::Publish { topic, .. }) => seen += usize::from(topic == name),
            Heard::Packet(_) => {}
            Heard::Closed => return Err(Fault::new("who observes wills is hung up on")),
            Heard::Silence => {
                return Err(Fault::new(format!(
                    "the will of a client that was reset is not sent to {control}"
                )));
            }
        }
    }
}

async fn reserved(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let name = format!("$SYS/abuse-{}", arena.number());
    let control = arena.topic("control-will");
    let mut observer = arena.subscriber(Version::V5, &control, 0).await?;
    // A broker may refuse this; then there is less to see.
    let _ = subscribed(&mut observer, "$SYS/#", 0).await;
    let (mut refused, mut accepted) = (0, 0);
    for version in VERSIONS {
        for topic in [&name, "$share/g/x", "$", "+", "a/#", ""] {
            let connect = arena.attacker(version).will(topic, 1);
            match arena.enter(&connect).await? {
                Entry::Accepted(peer) => {
                    ensure(!topic.is_empty() && !topic.contains(['+', '#']), || {
                        format!("a will to {topic:?} is accepted, which is no topic (MQTT-4.7.1-1)")
                    })?;
                    accepted += 1;
                    peer.reset();
                }
                Entry::Refused(_) | Entry::Closed => refused += 1,
            }
        }
    }
    // Wills are sent when the server notices; when this one has come it has noticed the resets before it.
    let last = arena.attacker(Version::V5).will(&control, 1);
    arena.accepted(&last).await?.reset();
    let seen = until_control(&mut observer, &control, &name).await?
        + observed(&mut observer, |topic| *topic == name).await?;
    ensure(seen == 0, || {
        format!("{seen} wills are sent to {name} in the server's name")
    })?;
    Ok(Findings::said(format!(
        "refused {refused}, accepted {accepted} and sent none"
    ))
    .counted(&["will_refused", "connect_malformed"], refused))
}

async fn storm(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let topic = arena.topic("will-storm");
    let mut observer = arena.subscriber(Version::V5, &topic, 0).await?;
    let mut connect = arena.attacker(VERSIONS[0]).will(&topic, 1);
    let mut seen = 0;
    let mut last = None;
    let count = arena.effort.connections;
    for index in 0..count {
        connect.version = VERSIONS[index % 2];
        last = Some(arena.accepted(&connect).await?);
        if index % 50 == 49 {
            seen += observed(&mut observer, |will| will == topic).await?;
        }
    }
    // The last one leaves in peace, and has no will.
    if let Some(mut last) = last {
        last.send(&packet::GOODBYE).await?;
        last.until_closed().await?;
    }
    seen += observed(&mut observer, |will| will == topic).await?;
    ensure(seen < count, || {
        format!("{seen} wills of {count} clients, of which one left in peace")
    })?;
    Ok(
        Findings::said(format!("took {count} clients over, sent {seen} wills"))
            .counted(&["wills_published"], seen)
            .counted(&["taken_over"], count - 1),
    )
}

async fn foreign(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let [victim, attacker, ..] = &arena.robots[..] else {
        return Err(Fault::new("two robots are needed"));
    };
    let mut refused = 0;
    for version in VERSIONS {
        for topic in [
            format!("{}/rollcall.v1.Manifest", victim.base),
            format!("{}/rollcall.v1.OTARequest/main", victim.base),
            format!("{}/rollcall.v1.OTAEvent/main", attacker.base),
        ] {
            let connect = attacker.connect(version).will(&topic, 1);
            match arena.enter(&connect).await? {
                Entry::Accepted(_) => {
                    return Err(Fault::new(format!(
                        "{} may leave a will to {topic}",
                        attacker.base
                    )));
                }
                Entry::Refused(_) | Entry::Closed => refused += 1,
            }
        }
    }
    Ok(Findings::said(format!("refused {refused}")).counted(&["will_refused"], refused))
}
