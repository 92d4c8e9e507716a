//! Many publishes of one client, with what became of them.

use crate::abuse::attack::Fault;
use crate::abuse::incoming::Incoming;
use crate::abuse::packet;
use crate::abuse::peer::{Heard, Peer};

/// Publishes that are under way at one time.
const BATCH: u16 = 50;

/// What became of them.
#[derive(Debug, Default)]
pub(super) struct Flood {
    pub(super) acknowledged: usize,
    /// Numbers of those that were acknowledged, in order.
    pub(super) numbers: Vec<u32>,
    /// Answered with an error.
    pub(super) refused: usize,
    /// Whether the server hung up.
    pub(super) closed: bool,
}

/// Publishes so many messages at QoS 1 (`flags` may add RETAIN). `make` fills in a payload and gives the topic.
pub(super) async fn publish(
    peer: &mut Peer,
    flags: u8,
    count: usize,
    mut make: impl FnMut(u32, &mut Vec<u8>) -> String,
) -> Result<Flood, Fault> {
    let mut flood = Flood::default();
    let mut number = 0_u32;
    let mut left = count;
    while left > 0 {
        let batch = usize::from(BATCH).min(left);
        let mut bytes = Vec::new();
        let first = number;
        for id in (1..=BATCH).take(batch) {
            let mut payload = Vec::new();
            let topic = make(number, &mut payload);
            bytes.extend(packet::publish(peer.version(), flags, &topic, id, &payload));
            number += 1;
        }
        left -= batch;
        if !peer.offer(&bytes).await.goes_on()? {
            flood.closed = true;
            return Ok(flood);
        }
        for _ in 0..batch {
            match peer.hear().await? {
                Heard::Packet(Incoming::Ack { id, code, .. }) if code < 0x80 => {
                    flood.acknowledged += 1;
                    flood.numbers.push(first + u32::from(id.saturating_sub(1)));
                }
                Heard::Packet(Incoming::Ack { .. }) => flood.refused += 1,
                Heard::Packet(Incoming::Disconnect { .. }) | Heard::Closed => {
                    flood.closed = true;
                    return Ok(flood);
                }
                Heard::Packet(other) => {
                    return Err(Fault::new(format!("{other:?} instead of a PUBACK")));
                }
                Heard::Silence => {
                    return Err(Fault::new(format!(
                        "no PUBACK after {} messages",
                        flood.acknowledged
                    )));
                }
            }
        }
    }
    Ok(flood)
}
