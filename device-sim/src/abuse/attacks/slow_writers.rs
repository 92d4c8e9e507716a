//! Clients that send a byte, wait, and send another one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::gone::all_gone;
use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, QOS1, Version};
use crate::abuse::peer::{Heard, Peer};

pub(super) const ATTACK: Attack = Attack {
    name: "slow-writers",
    what: "sends CONNECT and PUBLISH byte by byte; the patient ones must be served",
    needs: Needs::Client,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    // A byte a second: they never come to their end.
    let mut endless = Vec::new();
    for _ in 0..arena.effort.connections / 4 {
        endless.push((
            arena.silent(Version::V4).await?,
            arena.attacker(Version::V4).encode(),
        ));
    }
    let patient = byte_by_byte(&arena).await?;
    let count = endless.len();
    for at in 0..arena.effort.time.as_secs().max(1) {
        let at = usize::try_from(at).unwrap_or(0);
        let mut rest = Vec::new();
        for (mut peer, bytes) in endless {
            let byte = bytes.get(at..=at).unwrap_or(&[]);
            if peer.offer(byte).await.goes_on()? {
                rest.push((peer, bytes));
            }
        }
        endless = rest;
        sleep(Duration::from_secs(1).min(arena.effort.time)).await;
    }
    let ended = count - endless.len();
    let held = endless.into_iter().map(|(peer, _)| peer).collect();
    let (later, judged) = all_gone(&arena, held, "sent a byte a second of its CONNECT").await?;
    Ok(Findings::said(format!(
        "served {patient} patient ones; hung up on {} of {count} that send a byte a second{judged}",
        ended + later
    )))
}

/// Clients whose every byte is a segment of its own, quickly enough for any server.
async fn byte_by_byte(arena: &Arena) -> Result<usize, Fault> {
    let mut peers = Vec::new();
    for _ in 0..arena.attackers(10) {
        let connect = arena.attacker(Version::V5).encode();
        peers.push((arena.silent(Version::V5).await?, connect));
    }
    let publish = packet::publish(Version::V5, QOS1, &arena.topic("slow"), 1, b"slow");
    let longest = peers
        .iter()
        .map(|(_, bytes)| bytes.len())
        .max()
        .unwrap_or(0);
    for at in 0..longest {
        for (peer, bytes) in &mut peers {
            peer.send(bytes.get(at..=at).unwrap_or(&[])).await?;
        }
    }
    for (peer, _) in &mut peers {
        expect(peer, "CONNACK", |packet| {
            matches!(packet, Incoming::ConnAck { code: 0, .. })
        })
        .await?;
        for at in 0..publish.len() {
            peer.send(&publish[at..=at]).await?;
        }
        expect(peer, "PUBACK", |packet| {
            matches!(packet, Incoming::Ack { id: 1, .. })
        })
        .await?;
    }
    Ok(peers.len())
}

async fn expect(peer: &mut Peer, what: &str, is_it: fn(&Incoming) -> bool) -> Result<(), Fault> {
    match peer.hear().await? {
        Heard::Packet(packet) if is_it(&packet) => Ok(()),
        other => Err(Fault::new(format!(
            "{other:?} instead of a {what} for a slow writer"
        ))),
    }
}
