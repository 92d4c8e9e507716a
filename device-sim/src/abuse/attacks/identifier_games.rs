//! Acknowledgements of what was never sent, releases before their time, one identifier for everything.

use std::sync::Arc;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::{
    self, DUP, PUBACK, PUBCOMP, PUBREC, PUBREL, QOS1, QOS2, VERSIONS, Version,
};
use crate::abuse::peer::Ending;

pub(super) const ATTACK: Attack = Attack {
    name: "identifier-games",
    what: "acknowledges, releases and repeats packet identifiers in wrong ways",
    needs: Needs::Client,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let (mut lived, mut ended) = (0, 0);
    for version in VERSIONS {
        for (what, bytes) in games(version, &arena.topic("game")) {
            let mut peer = arena.client(version).await?;
            let _ = peer.send(&[bytes, packet::PING.to_vec()].concat()).await;
            match peer.until_closed().await? {
                Ending::GoesOn => lived += 1,
                Ending::Closed(_) => ended += 1,
                Ending::Hangs => {
                    return Err(Fault::new(format!(
                        "the connection hangs after {what} in MQTT {}",
                        version.name()
                    )));
                }
            }
        }
    }
    Ok(Findings::said(format!("lived with {lived}, ended {ended}")))
}

fn games(version: Version, topic: &str) -> Vec<(&'static str, Vec<u8>)> {
    let publish = |flags, id, payload: &[u8]| packet::publish(version, flags, topic, id, payload);
    let release = packet::ack(PUBREL, 7);
    vec![
        ("PUBACK of nothing", packet::ack(PUBACK, 7)),
        ("PUBREC of nothing", packet::ack(PUBREC, 7)),
        ("PUBREL of nothing", release.clone()),
        ("PUBCOMP of nothing", packet::ack(PUBCOMP, 7)),
        (
            "every PUBREC there is",
            (1..=u16::MAX)
                .step_by(7)
                .flat_map(|id| packet::ack(PUBREC, id))
                .collect(),
        ),
        (
            "PUBREL together with its PUBLISH",
            [publish(QOS2, 7, b"x"), release.clone()].concat(),
        ),
        (
            "PUBREL twice",
            [publish(QOS2, 7, b"x"), release.clone(), release.clone()].concat(),
        ),
        (
            "one QoS 2 message many times",
            [
                publish(QOS2, 7, b"x"),
                publish(QOS2 | DUP, 7, b"x").repeat(200),
            ]
            .concat(),
        ),
        (
            "many QoS 2 messages under one identifier",
            (0..200_u8)
                .flat_map(|number| publish(QOS2, 7, &[number]))
                .collect(),
        ),
        (
            "many QoS 1 messages under one identifier",
            (0..200_u8)
                .flat_map(|number| publish(QOS1, 7, &[number]))
                .collect(),
        ),
        (
            "QoS 1 and 2 under one identifier",
            [
                publish(QOS1, 7, b"x"),
                publish(QOS2, 7, b"x"),
                release.clone(),
            ]
            .concat(),
        ),
        (
            "PUBACK of one's own QoS 2 message",
            [
                publish(QOS2, 7, b"x"),
                packet::ack(PUBACK, 7),
                packet::ack(PUBCOMP, 7),
            ]
            .concat(),
        ),
        (
            "SUBSCRIBE under an identifier in use",
            [
                publish(QOS2, 7, b"x"),
                packet::subscribe(version, 7, &[topic], 2),
                release,
            ]
            .concat(),
        ),
        (
            "PUBCOMP before PUBREC of what the server sends",
            [
                packet::subscribe(version, 1, &[topic], 2),
                publish(QOS2, 7, b"x"),
                packet::ack(PUBREL, 7),
                packet::ack(PUBCOMP, 1),
                packet::ack(PUBREC, 1),
            ]
            .concat(),
        ),
    ]
}
