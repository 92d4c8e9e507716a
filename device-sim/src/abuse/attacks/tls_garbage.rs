//! Noise, plain MQTT and broken records where TLS is spoken.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::gone::all_gone;
use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::Version;
use crate::abuse::peer::is_gone_by;

pub(super) const ATTACK: Attack = Attack {
    name: "tls-garbage",
    what: "sends plain MQTT, noise and broken records to a TLS listener, and resets handshakes",
    needs: Needs::Tls,
    run: |arena| Box::pin(run(arena)),
};

/// How long a server may take before others come.
const GLANCE: Duration = Duration::from_millis(300);

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let plain = arena.attacker(Version::V4).encode();
    let beginnings = [
        &plain[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
        b"\x16\x03\x01\xff\xff",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x17\x03\x03\x00\x05hello",
        b"\x14\x03\x03\x00\x01\x01",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
    ];
    let (mut ended, mut waited) = (0, 0);
    let mut held = Vec::new();
    for round in 0..arena.effort.connections / 4 {
        let mut stream = arena.target.tcp().await?;
        stream
            .write_all(beginnings[round % beginnings.len()])
            .await?;
        if round % 3 == 2 {
            // If that fails it ends with FIN, which is another attack but none less.
            let _ = stream.set_zero_linger();
            waited += 1;
            continue;
        }
        if is_gone_by(&mut stream, Instant::now() + GLANCE).await {
            ended += 1;
        } else {
            waited += 1;
            held.push(stream);
        }
    }
    let (later, judged) = all_gone(&arena, held, "sent what is no TLS").await?;
    ended += later;
    // A handshake that is good, and then no connection.
    for _ in 0..10 {
        arena.silent(Version::V4).await?.reset();
    }
    Ok(Findings::said(format!(
        "ended {ended}, waited for more from {waited}{judged}"
    ))
    .counted(
        &[
            "tls_not_spoken",
            "tls_malformed",
            "tls_incompatible",
            "tls_refused_by_client",
            "connect_abandoned",
            "connect_timeout",
        ],
        ended,
    ))
}
