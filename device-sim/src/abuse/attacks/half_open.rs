//! Clients that connect with a keep-alive and are never heard of again, as behind a router that was switched off.

use std::sync::Arc;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::VERSIONS;
use crate::abuse::peer::Ending;

pub(super) const ATTACK: Attack = Attack {
    name: "half-open",
    what: "connects with a keep-alive of one second and goes silent; must be disconnected",
    needs: Needs::Client,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let mut gone = Vec::new();
    for index in 0..arena.attackers(arena.effort.connections / 4) {
        let mut connect = arena.attacker(VERSIONS[index % 2]);
        connect.keep_alive = 1;
        gone.push(arena.accepted(&connect).await?);
    }
    let count = gone.len();
    for peer in &mut gone {
        match peer.until_closed().await? {
            Ending::Closed(_) => {}
            Ending::GoesOn | Ending::Hangs => {
                return Err(Fault::new("a silent client is kept beyond its keep-alive"));
            }
        }
    }
    Ok(Findings::said(format!("disconnected all {count}")).counted(&["keep_alive_timeout"], count))
}
