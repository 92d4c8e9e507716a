//! A client id with a slash, which every robot of Astarte's has, is refused by rumqttd 0.20, and the second one kills its listener.

use std::sync::Arc;

use crate::abuse::arena::{Arena, Entry};
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::VERSIONS;

pub(super) const ATTACK: Attack = Attack {
    name: "slash-client-id",
    what: "connects under client ids with slashes, spaces and wildcards",
    needs: Needs::Listener,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let (mut accepted, mut refused) = (0, 0);
    for version in VERSIONS {
        for id in ["realm/device", "/", "a//b", "#", "+", "a b", "$share/x/y"] {
            for _ in 0..3 {
                let mut connect = arena.attacker(version);
                connect.client_id = format!("{}-{id}", connect.client_id);
                match arena.enter(&connect).await? {
                    Entry::Accepted(_) => accepted += 1,
                    Entry::Refused(_) | Entry::Closed => refused += 1,
                }
            }
        }
    }
    Ok(Findings::said(format!(
        "accepted {accepted}, refused {refused}"
    )))
}
