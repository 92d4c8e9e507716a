//! Publishes from the client: taken once, and answered in MQTT's order when they are settled and what they promise is
//! durable.

use super::close::{Close, reason_string};
use super::inbound::{Answer, Arrival, Release, fingerprint};
use super::{Arrived, Connection, Request, aliases, unexpected};
use crate::codec::{
    Ack, Packet, PacketType, Properties, PropertyId, Publish, QoS, ReasonCode, topic,
};
use crate::event::Verdict;
use crate::storage::Mark;
use std::sync::Arc;

impl Connection {
    pub(super) fn publish(
        &mut self,
        mut publish: Publish,
        out: &mut Vec<u8>,
    ) -> Result<Request, Close> {
        self.check_publish(&mut publish)?;
        let exactly_once = publish.qos == QoS::ExactlyOnce;
        let mut arrived = Arrived {
            publish,
            fingerprint: 0,
        };
        if exactly_once {
            let publish = &arrived.publish;
            arrived.fingerprint = fingerprint(&publish.topic, &publish.payload);
            let packet_id = publish.packet_id;
            match self.session.inbound.arrival(packet_id, arrived.fingerprint) {
                Arrival::New { stale } => {
                    if stale {
                        self.journal.forgotten(packet_id);
                    }
                }
                Arrival::Pending { ticket } => {
                    self.tally.duplicates += 1;
                    if !self.acks.contains(ticket) {
                        self.acks.push(ticket, packet_id, true, None, 0);
                    }
                    return Ok(Request::None);
                }
                Arrival::Received => {
                    self.tally.duplicates += 1;
                    self.ack(PacketType::PubRec, &Ack::success(packet_id), out)?;
                    return Ok(Request::None);
                }
            }
        }
        if arrived.publish.qos != QoS::AtMostOnce {
            self.check_receive_maximum()?;
        }
        Ok(Request::Publish(arrived))
    }

    fn check_publish(&mut self, publish: &mut Publish) -> Result<(), Close> {
        if self.terms.version.is_v5() && !publish.properties.is_empty() {
            let properties = &publish.properties;
            if properties.get(PropertyId::SubscriptionIdentifier).is_some() {
                return Err(unexpected("a subscription identifier from a client"));
            }
            aliases::resolve(
                &mut self.known_aliases,
                publish,
                self.terms.known_aliases,
                self.terms.alias_bytes,
            )?;
        }
        if topic::levels(&publish.topic) > self.terms.max_topic_levels {
            return Err(Close::violation(
                ReasonCode::TopicNameInvalid,
                "topic has too many levels",
            ));
        }
        Ok(())
    }

    fn check_receive_maximum(&self) -> Result<(), Close> {
        let maximum = usize::from(self.terms.receive_maximum);
        let unreleased = self.session.inbound.unreleased();
        if self.acks.len() + unreleased < maximum
            || self.acks.at_least_once() + unreleased < maximum
        {
            return Ok(());
        }
        Err(Close::violation(
            ReasonCode::ReceiveMaximumExceeded,
            "more unfinished publishes than the receive maximum",
        ))
    }

    /// The publish was routed, and noted if somebody it went to is stored; durable once `awaits` is.
    pub(crate) fn publish_done(
        &mut self,
        arrived: &Arrived,
        awaits: Mark,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        self.answer(arrived, Answer::SUCCESS, awaits, out)
    }

    /// Notes that the publish is taken, if its repetition would be recognised after a restart.
    pub(crate) fn note_received(&self, arrived: &Arrived) -> Mark {
        match arrived.publish.qos {
            QoS::ExactlyOnce => self
                .journal
                .received(arrived.publish.packet_id, arrived.fingerprint),
            QoS::AtMostOnce | QoS::AtLeastOnce => 0,
        }
    }

    /// The publish was refused. MQTT 5 is told; on 3.1.1, which has no words for it, robots are disconnected and
    /// other clients get a plain acknowledgement (MQTT-3.3.5-2 allows both).
    pub(crate) fn publish_denied(
        &mut self,
        arrived: &Arrived,
        why: &str,
        is_robot: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        if self.terms.version.is_v5() {
            let answer = Answer {
                code: ReasonCode::NotAuthorized,
                why: Some(why.into()),
            };
            self.answer(arrived, answer, 0, out)
        } else if is_robot {
            Err(Close::denied(why.to_owned()))
        } else {
            self.answer(arrived, Answer::SUCCESS, 0, out)
        }
    }

    /// The publish was handed over and waits for its verdict under the returned ticket (0 for QoS 0).
    pub(crate) fn publish_held(&mut self, arrived: &Arrived) -> u64 {
        let Publish { qos, packet_id, .. } = arrived.publish;
        if qos == QoS::AtMostOnce {
            return 0;
        }
        let ticket = self.session.inbound.next_ticket();
        let exactly_once = qos == QoS::ExactlyOnce;
        if exactly_once {
            self.session
                .inbound
                .pend(packet_id, arrived.fingerprint, ticket, false);
        }
        self.acks.push(ticket, packet_id, exactly_once, None, 0);
        ticket
    }

    /// A publish under this ticket never reached the owner.
    pub(crate) fn publish_lost(&mut self, ticket: u64) {
        self.session.inbound.forget(ticket);
    }

    fn answer(
        &mut self,
        arrived: &Arrived,
        answer: Answer,
        awaits: Mark,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        let Publish { qos, packet_id, .. } = arrived.publish;
        if qos == QoS::AtMostOnce {
            return Ok(());
        }
        let ticket = self.session.inbound.next_ticket();
        let exactly_once = qos == QoS::ExactlyOnce;
        if exactly_once {
            self.session
                .inbound
                .pend(packet_id, arrived.fingerprint, ticket, self.journal.keeps());
        }
        self.acks
            .push(ticket, packet_id, exactly_once, Some(answer), awaits);
        self.release(out)
    }

    /// The owner's verdict on a publish of this session.
    pub(crate) fn settle(
        &mut self,
        ticket: u64,
        verdict: Verdict,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        if !self.acks.contains(ticket) {
            self.session.inbound.settle_unasked(ticket, &verdict);
            return Ok(());
        }
        let answer = match verdict {
            Verdict::Accepted => {
                self.tally.accepted += 1;
                Answer::SUCCESS
            }
            Verdict::Refused { code, why } => {
                self.tally.refused += 1;
                self.refusal(code, why)
            }
            Verdict::Disconnect { code, why } => {
                self.tally.refused += 1;
                self.session.inbound.forget(ticket);
                return Err(Close::by_server(code, why.to_string()));
            }
        };
        self.acks.settle(ticket, answer);
        self.release(out)
    }

    fn refusal(&self, code: ReasonCode, why: Arc<str>) -> Answer {
        if !self.terms.version.is_v5() {
            return Answer::SUCCESS;
        }
        let fits = code.is_error() && code.allowed_in(PacketType::PubAck);
        Answer {
            code: if fits {
                code
            } else {
                ReasonCode::UnspecifiedError
            },
            why: Some(why),
        }
    }

    pub(super) fn release(&mut self, out: &mut Vec<u8>) -> Result<(), Close> {
        while let Some(released) = self.acks.release(self.seen, &mut self.session.inbound) {
            let kind = if released.exactly_once {
                PacketType::PubRec
            } else {
                PacketType::PubAck
            };
            let mut ack = Ack::success(released.packet_id);
            ack.code = released.answer.code;
            if self.terms.problem_information
                && let Some(why) = &released.answer.why
            {
                ack.properties = reason_string(why).unwrap_or_default();
                if ack.encoded_len_v5() > self.terms.max_packet {
                    ack.properties = Properties::none();
                }
            }
            self.ack(kind, &ack, out)?;
        }
        Ok(())
    }

    pub(super) fn pubrel(&mut self, ack: &Ack, out: &mut Vec<u8>) -> Result<(), Close> {
        let mut complete = Ack::success(ack.packet_id);
        let mut awaits = 0;
        match self.session.inbound.release(ack.packet_id) {
            // Remembered after a crash, the identifier would swallow the next message that uses it.
            Release::Done { stored: true } => awaits = self.journal.forgotten(ack.packet_id),
            Release::Done { stored: false } => {}
            Release::Unknown => complete.code = ReasonCode::PacketIdentifierNotFound,
            Release::TooEarly => return Err(unexpected("pubrel before pubrec")),
        }
        self.send_after(awaits, ack.packet_id, &Packet::PubComp(complete), out)
    }
}
