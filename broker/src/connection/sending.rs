//! Messages to the client: within its window, within its packet size, before they expire.

#[cfg(test)]
mod tests;

use super::Connection;
use super::aliases::Naming;
use super::close::Close;
use super::outbound::Resend;
use crate::codec::{Ack, PacketType, Properties, PropertyId, PublishHead, QoS, ReasonCode};
use crate::message::Delivery;
use std::time::Instant;

/// Bytes by which a new alias may lengthen a PUBLISH: the property, and its effect on two lengths.
const ALIAS_ROOM: usize = 5;

impl Connection {
    /// Whether the client's window takes another message.
    pub(crate) fn has_room(&self) -> bool {
        self.session.outbound.has_room(self.terms.send_window)
    }

    /// Sends what an earlier connection left unfinished, and what had to be durable first, as far as the client's
    /// window allows.
    pub(crate) fn resend(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), Close> {
        let (window, stored) = (self.terms.send_window, self.seen);
        while let Some(resend) = self.session.outbound.resend(window, stored) {
            match resend {
                Resend::Publish {
                    packet_id,
                    delivery,
                    dup,
                } => {
                    let extra = extra(&delivery, now);
                    if self.length(&delivery, &extra) > self.terms.max_packet {
                        // This connection takes less than the one before.
                        self.tally.too_large += 1;
                        self.session.outbound.give_up(packet_id);
                        self.journal.finished(&delivery);
                        continue;
                    }
                    self.write_publish(&delivery, packet_id, dup, Naming::Name, extra, out)?;
                }
                Resend::Release { packet_id } => {
                    self.ack(PacketType::PubRel, &Ack::success(packet_id), out)?;
                }
            }
        }
        Ok(())
    }

    /// Sends a message. Only to be called while `has_room`.
    pub(crate) fn deliver(
        &mut self,
        delivery: Delivery,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        if delivery.message.is_expired(now) {
            self.tally.expired += 1;
            self.journal.finished(&delivery);
            return Ok(());
        }
        let extra = extra(&delivery, now);
        let length = self.length(&delivery, &extra);
        if length > self.terms.max_packet {
            self.tally.too_large += 1;
            self.journal.finished(&delivery);
            return Ok(());
        }
        if delivery.qos == QoS::AtMostOnce {
            let naming = self.naming(&delivery.message.topic, length);
            return self.write_publish(&delivery, 0, false, naming, extra, out);
        }
        let packet_id = self.session.outbound.free_id();
        let mut awaits = 0;
        if delivery.sequence.is_some() {
            let noted = self.journal.sent(&delivery, packet_id);
            if delivery.qos == QoS::ExactlyOnce {
                // Under another identifier after a crash it would be another message to the client.
                awaits = noted;
            }
        }
        let stored = self.seen;
        let outbound = &mut self.session.outbound;
        outbound.start(delivery.clone(), packet_id, awaits, stored);
        if awaits > stored {
            return Ok(());
        }
        let naming = self.naming(&delivery.message.topic, length);
        self.write_publish(&delivery, packet_id, false, naming, extra, out)
    }

    /// Bytes of the packet with the topic's name and without alias.
    fn length(&self, delivery: &Delivery, extra: &[u8]) -> usize {
        self.head(delivery, 1, false, Naming::Name, extra)
            .encoded_len(self.terms.version, delivery.message.payload.len())
    }

    /// How the topic of a message is written that takes `length` bytes with its name alone.
    fn naming(&mut self, topic: &str, length: usize) -> Naming {
        if self.terms.assigned_aliases == 0 {
            return Naming::Name;
        }
        let assigned = self.assigned_aliases.get_or_insert_default();
        if let Some(alias) = assigned.known(topic) {
            return Naming::Alias(alias);
        }
        if length + ALIAS_ROOM > self.terms.max_packet {
            return Naming::Name;
        }
        let (maximum, bytes) = (self.terms.assigned_aliases, self.terms.alias_bytes);
        assigned.consider(topic, maximum, bytes)
    }

    fn head<'a>(
        &self,
        delivery: &'a Delivery,
        packet_id: u16,
        dup: bool,
        naming: Naming,
        extra: &'a [u8],
    ) -> PublishHead<'a> {
        PublishHead {
            dup,
            qos: delivery.qos,
            retain: delivery.retain,
            topic: match naming {
                Naming::Name | Naming::NameAndAlias(_) => &delivery.message.topic,
                Naming::Alias(_) => "",
            },
            packet_id,
            extra,
            properties: &delivery.message.properties,
        }
    }

    fn write_publish(
        &mut self,
        delivery: &Delivery,
        packet_id: u16,
        dup: bool,
        naming: Naming,
        mut extra: Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        self.tally.publishes_out += 1;
        if let Some(alias) = naming.alias() {
            extra.push(PropertyId::TopicAlias as u8);
            extra.extend_from_slice(&alias.to_be_bytes());
        }
        self.head(delivery, packet_id, dup, naming, &extra)
            .encode(self.terms.version, &delivery.message.payload, out)
            .map_err(|error| Close::by_server(ReasonCode::UnspecifiedError, error.to_string()))
    }
}

/// Properties of this one delivery: what is left of the expiry, and the matching subscriptions.
fn extra(delivery: &Delivery, now: Instant) -> Vec<u8> {
    if delivery.message.expires.is_none() && delivery.subscription_ids.is_none() {
        return Vec::new();
    }
    let mut properties = Properties::builder();
    if let Some(expires) = delivery.message.expires {
        // What was published less the whole seconds that it has waited (MQTT-3.3.2-6).
        let left = expires.saturating_duration_since(now);
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        properties = properties.number(
            PropertyId::MessageExpiryInterval,
            u32::try_from(seconds).unwrap_or(u32::MAX),
        );
    }
    for id in delivery.subscription_ids.iter().flatten() {
        properties = properties.number(PropertyId::SubscriptionIdentifier, *id);
    }
    properties
        .build()
        .map(|properties| properties.as_bytes().to_vec())
        .unwrap_or_default()
}
