//! A subscriber that reads nothing for a while. rumqttd 0.20 leaves acknowledged messages out and says nothing.

use std::sync::Arc;

use super::flood::{Flood, publish};
use crate::abuse::arena::Arena;
use crate::abuse::attack::{Attack, Fault, Findings, Needs, ensure};
use crate::abuse::incoming::Incoming;
use crate::abuse::packet::{self, PUBACK, QOS1, Version};
use crate::abuse::peer::Heard;

pub(super) const ATTACK: Attack = Attack {
    name: "lagging-reader",
    what: "subscribes and does not read; messages may not be left out without a word",
    needs: Needs::Routing,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let topic = arena.topic("lagging-reader");
    let mut reader = arena.subscriber(Version::V5, &topic, 1).await?;
    let mut publisher = arena.client(Version::V4).await?;
    let count = arena.effort.things.min(20_000);
    let flood = publish(&mut publisher, QOS1, count, |number, payload| {
        payload.extend(number.to_be_bytes());
        payload.resize(4_096, 0);
        topic.clone()
    })
    .await?;
    let Flood {
        acknowledged,
        numbers,
        ..
    } = flood;
    let mut read = 0;
    let end = loop {
        match reader.hear().await? {
            Heard::Packet(Incoming::Publish { payload, id, .. }) => {
                let number = payload
                    .first_chunk()
                    .map_or(0, |first| u32::from_be_bytes(*first));
                let due = numbers.get(read).copied();
                ensure(due == Some(number), || {
                    format!(
                        "the reader gets message {number} instead of {due:?}: acknowledged messages are lost without a word"
                    )
                })?;
                read += 1;
                if !reader.offer(&packet::ack(PUBACK, id)).await.goes_on()? {
                    break "and then hung up on it";
                }
            }
            Heard::Packet(Incoming::Disconnect { .. }) => break "and then disconnected it",
            Heard::Closed => break "and then hung up on it",
            Heard::Packet(_) => {}
            Heard::Silence => {
                return Err(Fault::new(format!(
                    "{read} of {acknowledged} acknowledged messages came, the others are lost without a word"
                )));
            }
        }
        if read == acknowledged {
            break "all there were";
        }
    };
    let findings = Findings::said(format!("gave the reader {read} of {acknowledged}, {end}"));
    Ok(match end {
        "all there were" => findings,
        _ => findings.counted(&["queue_full"], 1),
    })
}
