//! Many clients under one client id, each of which ends the one before.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::abuse::arena::{Arena, Entry};
use crate::abuse::attack::{Attack, Fault, Findings, Needs, ensure};
use crate::abuse::packet::{self, VERSIONS};
use crate::abuse::peer::Ending;

pub(super) const ATTACK: Attack = Attack {
    name: "takeover-storm",
    what: "connects again and again under one client id; one connection remains",
    needs: Needs::Client,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let mut connect = arena.attacker(VERSIONS[0]);
    let mut tasks = JoinSet::new();
    for index in 0..arena.effort.connections {
        connect.version = VERSIONS[index % 2];
        let (arena, connect) = (arena.clone(), connect.clone());
        tasks.spawn(async move { arena.enter(&connect).await });
    }
    let mut peers = Vec::new();
    while let Some(entered) = tasks.join_next().await {
        match entered.unwrap_or_else(|error| Err(Fault::new(error.to_string())))? {
            Entry::Accepted(peer) => peers.push(peer),
            // Taken over before its CONNACK.
            Entry::Refused(_) | Entry::Closed => {}
        }
    }
    let accepted = peers.len();
    let mut last = arena.accepted(&connect).await?;
    let mut alive = 0;
    for peer in &mut peers {
        let _ = peer.send(&packet::PING).await;
        match peer.until_closed().await? {
            Ending::Closed(_) => {}
            Ending::GoesOn => alive += 1,
            Ending::Hangs => return Err(Fault::new("a connection that was taken over stays open")),
        }
    }
    ensure(alive == 0, || {
        format!("{alive} connections go on beside the one that took them over")
    })?;
    last.send(&packet::PING).await?;
    ensure(last.until_closed().await? == Ending::GoesOn, || {
        "the last connection of a storm does not work".to_owned()
    })?;
    Ok(
        Findings::said(format!("accepted {accepted}, of which one was left"))
            .counted(&["taken_over"], accepted),
    )
}
