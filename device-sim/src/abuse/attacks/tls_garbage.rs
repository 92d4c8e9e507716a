//! Noise, plain MQTT and broken records where TLS is spoken.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::Version;

pub(super) const ATTACK: Attack = Attack {
    name: "tls-garbage",
    what: "sends plain MQTT, noise and broken records to a TLS listener, and resets handshakes",
    needs: Needs::Tls,
    run: |arena| Box::pin(run(arena)),
};

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
        let mut answer = Vec::new();
        match timeout(arena.effort.time, stream.read_to_end(&mut answer)).await {
            Ok(_) => ended += 1,
            Err(_) => waited += 1,
        }
    }
    // A handshake that is good, and then no connection.
    for _ in 0..10 {
        arena.silent(Version::V4).await?.reset();
    }
    Ok(
        Findings::said(format!("ended {ended}, waited for more from {waited}")).counted(
            &[
                "tls_not_spoken",
                "tls_malformed",
                "tls_incompatible",
                "tls_refused_by_client",
                "connect_abandoned",
                "connect_timeout",
            ],
            ended,
        ),
    )
}
