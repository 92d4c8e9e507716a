//! Good packets with a few bytes that are not, and noise. Whatever comes of it, it ends with the connection.

use std::sync::Arc;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::{self, PUBREL, QOS1, QOS2, VERSIONS, Version};
use crate::abuse::peer::Ending;

pub(super) const ATTACK: Attack = Attack {
    name: "mutations",
    what: "sends mutated packets and random bytes, by the seed",
    needs: Needs::Client,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let mut random = ChaCha8Rng::seed_from_u64(arena.seed);
    let (mut ended, mut lived) = (0, 0);
    for round in 0..arena.effort.connections * 2 {
        let version = VERSIONS[round % 2];
        let mut bytes = match round % 3 {
            // Before CONNECT.
            0 => arena.attacker(version).encode(),
            1 => good(version, &arena.topic("m")),
            _ => {
                let mut noise = vec![0; random.random_range(1..400)];
                random.fill_bytes(&mut noise);
                noise
            }
        };
        for _ in 0..random.random_range(1..5) {
            let at = random.random_range(0..bytes.len());
            match random.random_range(0..3) {
                0 => bytes[at] = random.random(),
                1 => bytes.insert(at, random.random()),
                _ if bytes.len() > 1 => {
                    bytes.remove(at);
                }
                _ => {}
            }
        }
        let mut peer = match round % 3 {
            0 => arena.silent(version).await?,
            _ => arena.client(version).await?,
        };
        // It may end the connection before all is sent.
        let _ = peer.send(&bytes).await;
        let _ = peer.send(&packet::PING).await;
        // What became a packet that is not complete is waited for in vain, and rightly.
        match peer.glance().await? {
            Ending::Closed(_) => ended += 1,
            Ending::GoesOn | Ending::Hangs => lived += 1,
        }
    }
    Ok(Findings::said(format!(
        "ended {ended} connections, lived with {lived}"
    )))
}

fn good(version: Version, topic: &str) -> Vec<u8> {
    [
        packet::publish(version, QOS1, topic, 1, b"payload"),
        packet::subscribe(version, 2, &[topic, "a/+/#"], 2),
        packet::publish(version, QOS2, topic, 3, b"payload"),
        packet::ack(PUBREL, 3),
        packet::unsubscribe(version, 4, &[topic]),
    ]
    .concat()
}
