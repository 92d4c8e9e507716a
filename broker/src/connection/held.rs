//! What waits until the changes that it promises are durable.

use super::{Close, Connection};
use crate::codec::{Packet, PacketType};
use crate::storage::Mark;

/// An answer other than PUBACK and PUBREC, which have their own order.
#[derive(Debug)]
pub(super) struct Held {
    awaits: Mark,
    kind: PacketType,
    packet_id: u16,
    bytes: Vec<u8>,
}

impl Connection {
    /// The first change that something to be sent waits for.
    pub(crate) fn awaits(&self) -> Option<Mark> {
        let held = self.held.front().map(|held| held.awaits);
        [
            self.acks.awaits(self.seen),
            self.session.outbound.awaits(self.seen),
            held,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Looks what is durable by now, and sends the answers that waited for it.
    pub(crate) fn send_stored(&mut self, out: &mut Vec<u8>) -> Result<(), Close> {
        self.seen = self.journal.stored();
        let seen = self.seen;
        while let Some(held) = self.held.pop_front_if(|held| held.awaits <= seen) {
            out.extend_from_slice(&held.bytes);
        }
        self.release(out)
    }

    /// Sends a packet once what it promises is durable. A client that asks twice meanwhile is answered once.
    pub(super) fn send_after(
        &mut self,
        awaits: Mark,
        packet_id: u16,
        packet: &Packet,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        if self.held.is_empty() && awaits <= self.seen {
            return self.write(packet, out);
        }
        let kind = packet.kind();
        let is_same = |held: &Held| held.kind == kind && held.packet_id == packet_id;
        if !self.held.iter().any(is_same) {
            let mut bytes = Vec::new();
            self.write(packet, &mut bytes)?;
            self.held.push_back(Held {
                awaits,
                kind,
                packet_id,
                bytes,
            });
        }
        Ok(())
    }
}
