//! As many connections as possible at once, most of which leave at once.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::abuse::arena::{Arena, Entry};
use crate::abuse::attack::{Attack, Fault, Findings, Needs, ensure};
use crate::abuse::packet::VERSIONS;

pub(super) const ATTACK: Attack = Attack {
    name: "connect-flood",
    what: "connects many clients at once, with and without waiting for CONNACK",
    needs: Needs::Listener,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let mut tasks = JoinSet::new();
    for index in 0..arena.effort.connections {
        let arena = arena.clone();
        tasks.spawn(async move {
            let connect = arena.attacker(VERSIONS[index % 2]);
            // A full queue of the listener's is the system's answer to a flood, and no fault of the server's.
            let Ok(mut peer) = arena.silent(connect.version).await else {
                return Ok(Some(Entry::Closed));
            };
            if index % 4 == 0 {
                peer.offer(&connect.encode()).await.goes_on()?;
                return Ok(None);
            }
            arena.enter_on(peer, &connect).await.map(Some)
        });
    }
    let (mut accepted, mut refused, mut ignored) = (Vec::new(), 0, 0);
    while let Some(entered) = tasks.join_next().await {
        match entered.unwrap_or_else(|error| Err(Fault::new(error.to_string())))? {
            Some(Entry::Accepted(peer)) => accepted.push(peer),
            Some(Entry::Refused(_) | Entry::Closed) => refused += 1,
            None => ignored += 1,
        }
    }
    ensure(!accepted.is_empty(), || {
        format!("of {refused} clients nobody is let in")
    })?;
    Ok(Findings::said(format!(
        "accepted {}, refused {refused}, and {ignored} did not wait",
        accepted.len()
    )))
}
