//! Sessions that outlive their connections, for clients that never come back.

use std::sync::Arc;

use crate::abuse::arena::{Arena, Entry};
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::{self, VERSIONS};

pub(super) const ATTACK: Attack = Attack {
    name: "session-flood",
    what: "leaves a session with a subscription behind under every client id",
    needs: Needs::Routing,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let (mut left, mut refused) = (Vec::new(), 0);
    for index in 0..arena.effort.connections * 2 {
        let connect = arena.attacker(VERSIONS[index % 2]).kept();
        match arena.enter(&connect).await? {
            Entry::Accepted(mut peer) => {
                let topic = arena.topic(&format!("session/{index}"));
                let bytes = packet::subscribe(connect.version, 1, &[&topic], 1);
                peer.send(&bytes).await?;
                peer.hear().await?;
                left.push(connect);
            }
            Entry::Refused(_) | Entry::Closed => refused += 1,
        }
    }
    let count = left.len();
    for mut connect in left {
        connect.clean = true;
        connect.properties.clear();
        if let Entry::Accepted(mut peer) = arena.enter(&connect).await? {
            peer.send(&packet::GOODBYE).await?;
        }
    }
    Ok(
        Findings::said(format!("kept {count} sessions, refused {refused}"))
            .counted(&["session_limit"], refused),
    )
}
