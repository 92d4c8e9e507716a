//! One client's protocol state, without sockets, tasks and clocks: packets in; bytes and questions out.
//!
//! The shell decodes packets and passes each to [`Connection::handle`]. What the connection can do alone it has done
//! when that returns; what needs the rest of the broker comes back as a [`Request`], and the shell calls the method
//! that answers it before it passes the next packet. Verdicts and messages for the client come in through
//! [`Connection::settle`] and [`Connection::deliver`]. Everything that is to be written is appended to `out`.
//!
//! Invariant: memory is bounded by `Limits::intake_window`, `receive_maximum`, `send_window` and `topic_alias_bytes`.

mod aliases;
mod close;
mod handshake;
mod inbound;
mod outbound;
mod sending;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use close::{Close, reason_string};
pub(crate) use handshake::{Offer, Terms, connack, refuse, refuse_undecodable};
pub(crate) use session::Session;

use crate::codec::{
    Ack, Auth, Disconnect, Packet, PacketType, Properties, PropertyId, ProtocolVersion, Publish,
    QoS, ReasonCode, SubAck, Subscribe, UnsubAck, Unsubscribe, topic,
};
use crate::event::{DisconnectReason, Verdict};
use crate::storage::{Mark, SessionJournal};
use aliases::{Assigned, Known};
use inbound::{AckQueue, Answer, Arrival, Release, fingerprint};
use outbound::{Received, WrongAnswer};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Protocol state of a client whose CONNECT was accepted.
#[derive(Debug)]
pub(crate) struct Connection {
    terms: Terms,
    session: Session,
    /// Where changes of the session are noted if it is stored.
    journal: SessionJournal,
    acks: AckQueue,
    /// Answers other than PUBACK and PUBREC that promise what is not durable yet.
    held: VecDeque<Held>,
    last_packet: Instant,
    known_aliases: Option<Box<Known>>,
    assigned_aliases: Option<Box<Assigned>>,
    /// What happened since the shell last collected it.
    pub(crate) tally: Tally,
}

#[derive(Debug)]
struct Held {
    awaits: Mark,
    kind: PacketType,
    packet_id: u16,
    bytes: Vec<u8>,
}

/// Things to count.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) publishes_out: u64,
    pub(crate) expired: u64,
    pub(crate) too_large: u64,
    pub(crate) duplicates: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
}

/// What a packet asks of the rest of the broker.
#[derive(Debug)]
pub(crate) enum Request {
    /// Nothing more.
    None,
    /// To be answered with `publish_done`, `publish_denied` or `publish_held`.
    Publish(Arrived),
    /// To be answered with `subscribed`.
    Subscribe(Subscribe),
    /// To be answered with `unsubscribed`.
    Unsubscribe(Unsubscribe),
    /// The client leaves.
    Disconnect {
        close: Close,
        /// A new session expiry interval, seconds.
        expiry: Option<u32>,
    },
}

/// A PUBLISH that is not a repetition.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) publish: Publish,
    fingerprint: u64,
}

impl Connection {
    pub(crate) fn new(
        terms: Terms,
        mut session: Session,
        journal: SessionJournal,
        now: Instant,
    ) -> Self {
        session.outbound.rest();
        Self {
            terms,
            session,
            journal,
            acks: AckQueue::default(),
            held: VecDeque::new(),
            last_packet: now,
            known_aliases: None,
            assigned_aliases: None,
            tally: Tally::default(),
        }
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Ends the connection's part of the session.
    pub(crate) fn into_session(mut self) -> Session {
        self.acks.abandon(&mut self.session.inbound);
        self.session.outbound.rest();
        self.session
    }

    /// Whether no further packet may be taken, because too many answers wait for their commit.
    pub(crate) fn is_window_full(&self) -> bool {
        self.acks.len() + self.held.len() >= self.terms.intake_window
    }

    /// The first change that something to be sent waits for.
    pub(crate) fn awaits(&self) -> Option<Mark> {
        let stored = self.journal.stored();
        let held = self.held.front().map(|held| held.awaits);
        [
            self.acks.awaits(stored),
            self.session.outbound.awaits(stored),
            held,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Sends what waited for changes that are durable now.
    pub(crate) fn stored(&mut self, out: &mut Vec<u8>) -> Result<(), Close> {
        let stored = self.journal.stored();
        while let Some(held) = self.held.pop_front_if(|held| held.awaits <= stored) {
            out.extend_from_slice(&held.bytes);
        }
        self.release(out)
    }

    /// Sends a packet once what it promises is durable. A client that asks twice meanwhile is answered once.
    fn send_after(
        &mut self,
        awaits: Mark,
        packet_id: u16,
        packet: &Packet,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        if self.held.is_empty() && awaits <= self.journal.stored() {
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

    /// When silence becomes a timeout; `None` without keep-alive.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.last_packet.checked_add(self.terms.patience()?)
    }

    /// Starts the client's time anew, after a pause in which it was not read.
    pub(crate) fn touch(&mut self, now: Instant) {
        self.last_packet = now;
    }

    /// Takes one packet.
    pub(crate) fn handle(
        &mut self,
        packet: Packet,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Request, Close> {
        self.last_packet = now;
        match packet {
            Packet::Publish(publish) => return self.publish(publish, out),
            Packet::PubAck(ack) => {
                if let Some(delivery) = self.session.outbound.acknowledged(ack.packet_id)? {
                    self.journal.finished(&delivery);
                }
            }
            Packet::PubRec(ack) => self.pubrec(&ack, out)?,
            Packet::PubRel(ack) => self.pubrel(&ack, out)?,
            Packet::PubComp(ack) => {
                if let Some(sequence) = self.session.outbound.completed(ack.packet_id)? {
                    self.journal.completed(sequence);
                }
            }
            Packet::Subscribe(subscribe) => return Ok(Request::Subscribe(subscribe)),
            Packet::Unsubscribe(unsubscribe) => return Ok(Request::Unsubscribe(unsubscribe)),
            Packet::PingReq => self.write(&Packet::PingResp, out)?,
            Packet::Disconnect(disconnect) => return self.disconnect(&disconnect),
            Packet::Connect(_) => return Err(unexpected("a second connect")),
            Packet::Auth(Auth { .. }) => {
                return Err(unexpected("auth without an authentication method"));
            }
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                return Err(unexpected("a packet that only servers send"));
            }
        }
        Ok(Request::None)
    }

    fn publish(&mut self, mut publish: Publish, out: &mut Vec<u8>) -> Result<Request, Close> {
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

    fn release(&mut self, out: &mut Vec<u8>) -> Result<(), Close> {
        let stored = self.journal.stored();
        while let Some(released) = self.acks.release(stored, &mut self.session.inbound) {
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

    fn pubrec(&mut self, ack: &Ack, out: &mut Vec<u8>) -> Result<(), Close> {
        let mut release = Ack::success(ack.packet_id);
        let mut awaits = 0;
        match self.session.outbound.received(ack.packet_id, ack.code)? {
            // Sent again after a crash, the message would be a new one to a client that has seen PUBREL.
            Received::Release(Some(delivery)) => {
                awaits = self.journal.released(&delivery, ack.packet_id);
            }
            Received::Release(None) => {}
            Received::Refused(delivery) => {
                self.journal.finished(&delivery);
                return Ok(());
            }
            Received::Unknown if ack.code.is_error() => return Ok(()),
            Received::Unknown => release.code = ReasonCode::PacketIdentifierNotFound,
        }
        self.send_after(awaits, ack.packet_id, &Packet::PubRel(release), out)
    }

    fn pubrel(&mut self, ack: &Ack, out: &mut Vec<u8>) -> Result<(), Close> {
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

    fn disconnect(&self, disconnect: &Disconnect) -> Result<Request, Close> {
        let expiry = disconnect
            .properties
            .number(PropertyId::SessionExpiryInterval);
        if !self.terms.asked_to_keep && expiry.is_some_and(|seconds| seconds > 0) {
            return Err(unexpected("a session expiry after connecting without one"));
        }
        let reason = if disconnect.code == ReasonCode::Success {
            DisconnectReason::ByClient
        } else {
            DisconnectReason::ByClientWithWill
        };
        Ok(Request::Disconnect {
            close: Close::because(reason),
            expiry,
        })
    }

    /// Answers a SUBSCRIBE once it is durable.
    pub(crate) fn subscribed(
        &mut self,
        packet_id: u16,
        codes: Vec<ReasonCode>,
        why: Option<&str>,
        awaits: Mark,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        let mut suback = SubAck {
            packet_id,
            properties: self.explanation(why),
            codes,
        };
        if suback.encoded_len_v5() > self.terms.max_packet {
            suback.properties = Properties::none();
        }
        if suback.encoded_len_v5() > self.terms.max_packet {
            return Err(too_many_filters());
        }
        self.send_after(awaits, packet_id, &Packet::SubAck(suback), out)
    }

    /// Answers an UNSUBSCRIBE once it is durable.
    pub(crate) fn unsubscribed(
        &mut self,
        packet_id: u16,
        codes: Vec<ReasonCode>,
        awaits: Mark,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        let unsuback = UnsubAck {
            packet_id,
            properties: Properties::none(),
            codes,
        };
        if unsuback.encoded_len_v5() > self.terms.max_packet {
            return Err(too_many_filters());
        }
        self.send_after(awaits, packet_id, &Packet::UnsubAck(unsuback), out)
    }

    fn explanation(&self, why: Option<&str>) -> Properties {
        if self.terms.version.is_v5() && self.terms.problem_information {
            why.and_then(reason_string).unwrap_or_default()
        } else {
            Properties::none()
        }
    }

    fn ack(&self, kind: PacketType, ack: &Ack, out: &mut Vec<u8>) -> Result<(), Close> {
        ack.encode(kind, self.terms.version, out)
            .map_err(|error| Close::by_server(ReasonCode::UnspecifiedError, error.to_string()))
    }

    fn write(&self, packet: &Packet, out: &mut Vec<u8>) -> Result<(), Close> {
        packet
            .encode(self.terms.version, out)
            .map_err(|error| Close::by_server(ReasonCode::UnspecifiedError, error.to_string()))
    }

    /// The bytes that tell the client why the server ends the connection.
    pub(crate) fn farewell(&self, close: &Close, out: &mut Vec<u8>) {
        close.farewell(self.terms.version, self.terms.max_packet, out);
    }

    pub(crate) fn version(&self) -> ProtocolVersion {
        self.terms.version
    }

    /// How long the session outlives the connection.
    pub(crate) fn session_expiry(&self) -> Duration {
        self.terms.session_expiry
    }
}

/// An answer that the client does not take, and that cannot be left out either (MQTT-3.1.2-24).
fn too_many_filters() -> Close {
    Close::violation(
        ReasonCode::PacketTooLarge,
        "the client's maximum packet size has no room for the answer to so many filters",
    )
}

fn unexpected(what: &'static str) -> Close {
    Close::violation(ReasonCode::ProtocolError, what)
}

impl From<WrongAnswer> for Close {
    fn from(_: WrongAnswer) -> Self {
        unexpected("an acknowledgement of another quality of service")
    }
}
