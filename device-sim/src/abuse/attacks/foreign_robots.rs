//! A robot that speaks for another one, or listens to what is meant for it.

use std::sync::Arc;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs, ensure};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, QOS1, VERSIONS};
use crate::abuse::peer::Heard;

pub(super) const ATTACK: Attack = Attack {
    name: "foreign-robots",
    what: "publishes and subscribes as one robot to topics of another",
    needs: Needs::Robots,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let [victim, attacker, ..] = &arena.robots[..] else {
        return Err(Fault::new("two robots are needed"));
    };
    let (mut denied, mut unheard) = (0, 0);
    for version in VERSIONS {
        for last in [
            "rollcall.v1.Manifest",
            "rollcall.v1.OTAEvent/main",
            "rollcall.v1.OTARequest/main",
            "x",
        ] {
            let topic = format!("{}/{last}", victim.base);
            let mut peer = arena.accepted(&attacker.connect(version)).await?;
            peer.send(&packet::publish(version, QOS1, &topic, 1, &victim.manifest))
                .await?;
            match peer.hear().await? {
                Heard::Packet(Incoming::Ack { code, .. }) => ensure(code >= 0x80, || {
                    format!("{} publishes to {topic}", attacker.base)
                })?,
                Heard::Packet(_) | Heard::Closed => {}
                Heard::Silence => {
                    return Err(Fault::new(format!("silence after a publish to {topic}")));
                }
            }
            denied += 1;
        }
        for filter in [
            format!("{}/#", victim.base),
            format!("{}/rollcall.v1.OTARequest/#", victim.base),
            "#".to_owned(),
            "+/+/#".to_owned(),
        ] {
            let mut peer = arena.accepted(&attacker.connect(version)).await?;
            peer.send(&packet::subscribe(version, 1, &[&filter], 1))
                .await?;
            match peer.hear().await? {
                Heard::Packet(Incoming::SubAck { codes }) => {
                    ensure(codes.iter().all(|code| *code >= 0x80), || {
                        format!("{} subscribes to {filter}", attacker.base)
                    })?
                }
                Heard::Packet(_) | Heard::Closed => {}
                Heard::Silence => {
                    return Err(Fault::new(format!(
                        "silence after a subscription to {filter}"
                    )));
                }
            }
            unheard += 1;
        }
    }
    Ok(Findings::said(format!(
        "denied {denied} publishes and {unheard} subscriptions"
    ))
    .counted(&["publish_denied"], denied)
    .counted(&["subscribe_denied"], unheard))
}
