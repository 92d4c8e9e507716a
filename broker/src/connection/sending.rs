//! Messages to the client: within its window, within its packet size, before they expire.

use super::Connection;
use super::close::Close;
use super::outbound::Resend;
use crate::codec::{Ack, PacketType, Properties, PropertyId, PublishHead, QoS, ReasonCode};
use crate::message::Delivery;
use std::time::Instant;

impl Connection {
    /// Whether the client's window takes another message.
    pub(crate) fn has_room(&self) -> bool {
        self.session.outbound.has_room(self.terms.send_window)
    }

    /// Repeats what an earlier connection left unfinished, as far as the client's window allows.
    pub(crate) fn resend(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), Close> {
        while let Some(resend) = self.session.outbound.resend(self.terms.send_window) {
            match resend {
                Resend::Publish {
                    packet_id,
                    delivery,
                } => self.write_publish(&delivery, packet_id, true, now, out)?,
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
            return Ok(());
        }
        if self
            .head(&delivery, 1, false, &extra(&delivery, now))
            .encoded_len(self.terms.version, delivery.message.payload.len())
            > self.terms.max_packet
        {
            self.tally.too_large += 1;
            return Ok(());
        }
        let packet_id = if delivery.qos == QoS::AtMostOnce {
            0
        } else {
            self.session.outbound.start(delivery.clone())
        };
        self.write_publish(&delivery, packet_id, false, now, out)
    }

    fn head<'a>(
        &self,
        delivery: &'a Delivery,
        packet_id: u16,
        dup: bool,
        extra: &'a [u8],
    ) -> PublishHead<'a> {
        PublishHead {
            dup,
            qos: delivery.qos,
            retain: delivery.retain,
            topic: &delivery.message.topic,
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
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        self.tally.publishes_out += 1;
        let extra = extra(delivery, now);
        self.head(delivery, packet_id, dup, &extra)
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
        let left = expires.saturating_duration_since(now).as_secs();
        properties = properties.number(
            PropertyId::MessageExpiryInterval,
            u32::try_from(left).unwrap_or(u32::MAX),
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
