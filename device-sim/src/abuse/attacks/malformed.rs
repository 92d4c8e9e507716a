//! Packets that break the rules, each in one way. The only good answer is the end of the connection, with a word before
//! it where the version has one.
//!
//! Half of what is malformed is taken by most brokers and libraries (`docs/device-sim.md`).

mod connect;
mod v4;
mod v5;

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, Version};
use crate::abuse::peer::{Ending, Heard, Peer};

pub(super) const CONNECT: Attack = Attack {
    name: "malformed-connect",
    what: "sends first packets that are no good CONNECT",
    needs: Needs::Listener,
    run: |arena| Box::pin(before_connect(arena)),
};

pub(super) const V4: Attack = Attack {
    name: "malformed-3.1.1",
    what: "sends malformed packets of MQTT 3.1.1 after CONNECT",
    needs: Needs::Client,
    run: |arena| Box::pin(after_connect(arena, Version::V4, v4::PACKETS)),
};

pub(super) const V5: Attack = Attack {
    name: "malformed-5.0",
    what: "sends malformed packets of MQTT 5.0 after CONNECT",
    needs: Needs::Client,
    run: |arena| Box::pin(after_connect(arena, Version::V5, v5::PACKETS)),
};

/// What is wrong, and the bytes.
type Malformed = (&'static str, &'static [u8]);

/// Connections at one time.
const AT_ONCE: usize = 16;

const COUNTERS: &[&str] = &[
    "malformed_packet",
    "protocol_error",
    "packet_too_large",
    "receive_maximum_exceeded",
];

async fn after_connect(
    arena: Arc<Arena>,
    version: Version,
    packets: &'static [Malformed],
) -> Result<Findings, Fault> {
    let at_once = arena.attackers(AT_ONCE);
    let taken = each(packets, at_once, |(what, bytes)| {
        let arena = arena.clone();
        async move {
            let mut peer = arena.client(version).await?;
            judge(&mut peer, what, bytes).await
        }
    })
    .await?;
    conclude(packets.len(), &taken, COUNTERS)
}

async fn before_connect(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let packets = connect::PACKETS;
    let taken = each(packets, AT_ONCE, |(what, bytes)| {
        let arena = arena.clone();
        async move {
            let mut peer = arena.silent(Version::V5).await?;
            let _ = peer.send(bytes).await;
            match peer.hear().await? {
                Heard::Packet(Incoming::ConnAck { code: 0, .. }) => Ok(Some(what)),
                Heard::Packet(_) => judge(&mut peer, what, &[]).await,
                Heard::Closed => Ok(None),
                Heard::Silence => Err(Fault::new(format!("silence after {what}"))),
            }
        }
    })
    .await?;
    let counters = &[
        "connect_malformed",
        "client_id_refused",
        "connect_refused",
        "will_refused",
    ];
    conclude(packets.len(), &taken, counters)
}

/// Sends it, and a question that only a living connection answers; what was wrong if it is taken.
async fn judge(
    peer: &mut Peer,
    what: &'static str,
    bytes: &[u8],
) -> Result<Option<&'static str>, Fault> {
    // In one go, and the server may end the connection before it has read all of it.
    let _ = peer.send(&[bytes, &packet::PING].concat()).await;
    match peer.until_closed().await? {
        Ending::Closed(_) => Ok(None),
        Ending::GoesOn => Ok(Some(what)),
        Ending::Hangs => Err(Fault::new(format!("the connection hangs after {what}"))),
    }
}

/// Does it with every packet, several at a time; what of it was taken.
async fn each<F>(
    packets: &'static [Malformed],
    at_once: usize,
    work: impl Fn(Malformed) -> F,
) -> Result<Vec<&'static str>, Fault>
where
    F: Future<Output = Result<Option<&'static str>, Fault>> + Send + 'static,
{
    let mut taken = Vec::new();
    for some in packets.chunks(at_once) {
        let mut tasks: JoinSet<_> = some.iter().map(|packet| work(*packet)).collect();
        while let Some(judged) = tasks.join_next().await {
            taken.extend(judged.unwrap_or_else(|error| Err(Fault::new(error.to_string())))?);
        }
    }
    Ok(taken)
}

fn conclude(
    count: usize,
    taken: &[&str],
    counters: &'static [&'static str],
) -> Result<Findings, Fault> {
    if taken.is_empty() {
        return Ok(
            Findings::said(format!("ended all {count} connections")).counted(counters, count)
        );
    }
    Err(Fault::new(format!(
        "{} of {count} malformed packets are taken: {}",
        taken.len(),
        taken.join("; ")
    )))
}
