//! Two QoS 2 PUBLISHes with packet identifier 0 make mqtt-protocol-core 0.7.9 panic.

use std::sync::Arc;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::{self, QOS1, QOS2, VERSIONS};
use crate::abuse::peer::Ending;

pub(super) const ATTACK: Attack = Attack {
    name: "packet-identifier-zero",
    what: "publishes twice at QoS 1 and 2 under packet identifier 0",
    needs: Needs::Client,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let mut ended = 0;
    for version in VERSIONS {
        for qos in [QOS1, QOS2] {
            let mut peer = arena.client(version).await?;
            let publish = packet::publish(version, qos, &arena.topic("x"), 0, b"x");
            let bytes = [&publish[..], &publish, &packet::PING].concat();
            // The server may end the connection before it has read all.
            let _ = peer.send(&bytes).await;
            match peer.until_closed().await? {
                Ending::Closed(_) => ended += 1,
                Ending::GoesOn => {
                    return Err(Fault::new(format!(
                        "packet identifier 0 is taken in MQTT {}",
                        version.name()
                    )));
                }
                Ending::Hangs => return Err(Fault::new("silence after packet identifier 0")),
            }
        }
    }
    Ok(Findings::said(format!("ended {ended} connections"))
        .counted(&["malformed_packet", "protocol_error"], ended))
}
