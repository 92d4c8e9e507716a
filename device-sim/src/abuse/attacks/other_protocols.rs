//! Who has the wrong port: browsers, TLS clients, SSH, databases.

use std::sync::Arc;

use super::gone::all_gone;
use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::Version;
use crate::abuse::peer::Ending;

pub(super) const ATTACK: Attack = Attack {
    name: "other-protocols",
    what: "speaks HTTP, TLS, SSH and others to the listener",
    needs: Needs::Listener,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let beginnings = [
        &b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"AMQP\x00\x00\x09\x01",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
        b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a",
    ];
    let mut ended = 0;
    let mut held = Vec::new();
    for beginning in beginnings {
        let mut peer = arena.silent(Version::V4).await?;
        peer.offer(beginning).await.goes_on()?;
        match peer.glance().await {
            Ok(Ending::Closed(_)) => ended += 1,
            // Perhaps it says in another protocol that it does not speak that; it has to hang up as well.
            Ok(Ending::Hangs) | Err(_) => held.push(peer),
            Ok(Ending::GoesOn) => return Err(Fault::new("MQTT is answered that was never spoken")),
        }
    }
    let waited = held.len();
    let (_, judged) = all_gone(&arena, held, "speaks another protocol").await?;
    Ok(Findings::said(format!(
        "ended {ended} at once, waited for more from {waited}{judged}"
    ))
    .counted(
        &["connect_malformed", "connect_abandoned", "connect_timeout"],
        ended + waited,
    ))
}
