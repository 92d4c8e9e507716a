//! Connections that say nothing. One of them, without a ClientHello, blocks every TLS accept of rumqttd 0.20.

use std::sync::Arc;

use tokio::time::Instant;

use super::gone::wait_until_gone;
use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};

pub(super) const ATTACK: Attack = Attack {
    name: "silent-connections",
    what: "opens connections that never send a ClientHello or a CONNECT, or only half of one",
    needs: Needs::Listener,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let bytes = [
        &b""[..],
        b"\x16",
        b"\x16\x03\x01\x02\x00",
        b"\x10",
        b"\x10\x80\x01\0\x04MQ",
    ];
    let mut held = Vec::new();
    for index in 0..arena.effort.connections {
        let stream = arena.target.tcp().await?;
        let beginning = bytes[index % bytes.len()];
        // A server that is full may have hung up already.
        if stream.writable().await.is_ok() && stream.try_write(beginning).is_ok() {
            held.push(stream);
        }
    }
    let count = held.len();
    let began = Instant::now();
    wait_until_gone(&arena, held, "never said a whole CONNECT").await?;
    Ok(Findings::said(format!(
        "{count} were silent, and gone after {:.1?}",
        began.elapsed()
    ))
    .counted(
        &[
            "connect_abandoned",
            "connect_timeout",
            "connect_malformed",
            "handshake_limit",
            "tls_malformed",
            "tls_not_spoken",
        ],
        count,
    ))
}
