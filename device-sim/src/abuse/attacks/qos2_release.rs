//! PUBRELs in another order than their PUBLISHes: rumqttd 0.20 releases the wrong message.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs, ensure};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, PUBCOMP, PUBREC, PUBREL, QOS2, VERSIONS, Version};
use crate::abuse::peer::{Heard, Peer};

pub(super) const ATTACK: Attack = Attack {
    name: "qos2-release",
    what: "releases QoS 2 messages out of order; the right ones must come, each once",
    needs: Needs::Routing,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    for version in VERSIONS {
        let topic = arena.topic("qos2-release");
        let mut subscriber = arena.subscriber(version, &topic, 2).await?;
        let mut publisher = arena.client(version).await?;
        let ids = [1, 2, 3, 4, 5_u16];
        for id in ids {
            let bytes = packet::publish(version, QOS2, &topic, id, &id.to_be_bytes());
            // Twice, as after a lost answer: the message is still one.
            publisher.send(&bytes).await?;
            answered(&mut publisher, PUBREC, id).await?;
            publisher.send(&repeated(version, &topic, id)).await?;
            answered(&mut publisher, PUBREC, id).await?;
        }
        for id in [3, 5, 1, 4, 2] {
            publisher.send(&packet::ack(PUBREL, id)).await?;
            answered(&mut publisher, PUBCOMP, id).await?;
        }
        receive(&mut subscriber, &ids).await?;
    }
    Ok(Findings::said("the right messages, each once"))
}

fn repeated(version: Version, topic: &str, id: u16) -> Vec<u8> {
    let mut bytes = packet::publish(version, QOS2, topic, id, &id.to_be_bytes());
    bytes[0] |= packet::DUP;
    bytes
}

async fn answered(peer: &mut Peer, expected: u8, expected_id: u16) -> Result<(), Fault> {
    match peer.hear().await? {
        Heard::Packet(Incoming::Ack { first, id, code })
            if first == expected && id == expected_id && code < 0x80 =>
        {
            Ok(())
        }
        other => Err(Fault::new(format!(
            "{other:?} instead of 0x{expected:02x} for {expected_id}"
        ))),
    }
}

/// Takes all messages, then releases them backwards.
async fn receive(peer: &mut Peer, expected: &[u16]) -> Result<(), Fault> {
    let mut seen: BTreeMap<u16, u16> = BTreeMap::new();
    while seen.len() < expected.len() {
        match peer.hear().await? {
            Heard::Packet(Incoming::Publish { payload, id, .. }) => {
                let number = payload.as_ref().try_into().map_or(0, u16::from_be_bytes);
                ensure(expected.contains(&number), || {
                    format!("message {number} was never sent")
                })?;
                ensure(seen.insert(number, id).is_none(), || {
                    format!("message {number} came twice")
                })?;
            }
            other => {
                return Err(Fault::new(format!(
                    "{other:?} after {} of {} messages",
                    seen.len(),
                    expected.len()
                )));
            }
        }
    }
    for id in seen.values().rev() {
        peer.send(&packet::ack(PUBREC, *id)).await?;
        answered(peer, PUBREL, *id).await?;
        peer.send(&packet::ack(PUBCOMP, *id)).await?;
    }
    peer.send(&packet::PING).await?;
    match peer.hear().await? {
        Heard::Packet(Incoming::Pong) => Ok(()),
        other => Err(Fault::new(format!(
            "{other:?} after every message had come"
        ))),
    }
}
