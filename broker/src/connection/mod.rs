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
mod held;
mod inbound;
mod outbound;
mod receiving;
mod sending;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use close::{Close, reason_string};
pub(crate) use handshake::{Offer, Terms, connack, refuse, refuse_undecodable};
pub(crate) use session::Session;

use crate::codec::{
    Ack, Auth, Disconnect, Packet, PacketType, Properties, PropertyId, ProtocolVersion, Publish,
    ReasonCode, SubAck, Subscribe, UnsubAck, Unsubscribe,
};
use crate::event::DisconnectReason;
use crate::storage::{Mark, SessionJournal};
use aliases::{Assigned, Known};
use held::Held;
use inbound::AckQueue;
use outbound::{Received, WrongAnswer};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Protocol state of a client whose CONNECT was accepted.
#[derive(Debug)]
pub(crate) struct Connection {
    terms: Terms,
    session: Session,
    /// Where changes of the session are noted if it is stored.
    journal: SessionJournal,
    /// What was stored when the task last looked. Everything between two looks goes by it, so that nothing overtakes.
    seen: Mark,
    acks: AckQueue,
    /// Answers other than PUBACK and PUBREC that promise what is not durable yet.
    held: VecDeque<Held>,
    last_packet: Instant,
    known_aliases: Option<Box<Known>>,
    assigned_aliases: Option<Box<Assigned>>,
    /// What happened since the shell last collected it.
    pub(crate) tally: Tally,
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
            seen: journal.stored(),
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
