//! Publishes that a client has sent and not seen finished.
//!
//! Two structures with two lives. [`Inbound`] belongs to the session: the packet identifiers of QoS 2 publishes until
//! PUBREL, so that a repeated PUBLISH is recognised after a reconnect too. [`AckQueue`] belongs to the connection:
//! PUBACK and PUBREC leave it in the order in which the PUBLISHes came (MQTT-4.6.0-2, -3), so only the answered front is
//! released.

use crate::codec::ReasonCode;
use crate::event::Verdict;
use crate::storage::{Mark, SessionJournal};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Slots that an idle connection keeps allocated; more is given back.
const KEPT_CAPACITY: usize = 8;

/// QoS 2 publishes that are not released, and the numbering of tickets.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    unreleased: BTreeMap<u16, Unreleased>,
    last_ticket: u64,
}

#[derive(Debug)]
struct Unreleased {
    fingerprint: u64,
    stage: Stage,
    /// Whether the identifier has a row of its own.
    stored: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its commit is pending: silence.
    Pending { ticket: u64 },
    /// PUBREC was sent: a duplicate gets it again.
    Received,
}

/// What a QoS 2 PUBLISH is, by its identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    New {
        /// The identifier has a row that stands for something else.
        stale: bool,
    },
    /// Known and pending under this ticket.
    Pending { ticket: u64 },
    /// Known and answered.
    Received,
}

/// Tells two publishes under one packet identifier apart: a client that lost its memory starts counting anew, and its
/// new message must not be taken for the old one. FNV-1a, which will be the same after an update of the server, since
/// fingerprints are stored; a client that makes two of its own messages collide loses one of them, nobody else does.
pub(crate) fn fingerprint(topic: &str, payload: &[u8]) -> u64 {
    let bytes = topic.bytes().chain([0]).chain(payload.iter().copied());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Inbound {
    pub(crate) fn unreleased(&self) -> usize {
        self.unreleased.len()
    }

    pub(crate) fn next_ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }

    pub(crate) fn arrival(&mut self, packet_id: u16, fingerprint: u64) -> Arrival {
        match self.unreleased.get(&packet_id) {
            Some(known) if known.fingerprint == fingerprint => match known.stage {
                Stage::Pending { ticket } => Arrival::Pending { ticket },
                Stage::Received => Arrival::Received,
            },
            Some(known) => {
                let stale = known.stored;
                self.unreleased.remove(&packet_id);
                Arrival::New { stale }
            }
            None => Arrival::New { stale: false },
        }
    }

    pub(crate) fn pend(&mut self, packet_id: u16, fingerprint: u64, ticket: u64, stored: bool) {
        self.unreleased.insert(
            packet_id,
            Unreleased {
                fingerprint,
                stage: Stage::Pending { ticket },
                stored,
            },
        );
    }

    /// Takes over an identifier that was stored.
    pub(crate) fn restore(&mut self, packet_id: u16, fingerprint: u64) {
        self.unreleased.insert(
            packet_id,
            Unreleased {
                fingerprint,
                stage: Stage::Received,
                stored: true,
            },
        );
    }

    /// The session ends: its rows do too.
    pub(crate) fn end(&self, journal: &SessionJournal) {
        for (packet_id, known) in &self.unreleased {
            if known.stored {
                journal.forgotten(*packet_id);
            }
        }
    }

    /// The PUBREC for this ticket goes out.
    fn answered(&mut self, packet_id: u16, ticket: u64, code: ReasonCode) {
        if let Some(known) = self.unreleased.get_mut(&packet_id)
            && known.stage == (Stage::Pending { ticket })
        {
            if code.is_error() {
                self.unreleased.remove(&packet_id);
            } else {
                known.stage = Stage::Received;
            }
        }
    }

    /// A verdict for a publish that was not repeated on this connection yet. One that was not accepted is forgotten,
    /// so that its repetition is judged anew.
    pub(crate) fn settle_unasked(&mut self, ticket: u64, verdict: &Verdict) {
        let Some(packet_id) = self.pending_id(ticket) else {
            return;
        };
        if *verdict == Verdict::Accepted {
            self.answered(packet_id, ticket, ReasonCode::Success);
        } else {
            self.unreleased.remove(&packet_id);
        }
    }

    /// A publish that never reached the owner: its repetition must.
    pub(crate) fn forget(&mut self, ticket: u64) {
        if let Some(packet_id) = self.pending_id(ticket) {
            self.unreleased.remove(&packet_id);
        }
    }

    fn pending_id(&self, ticket: u64) -> Option<u16> {
        self.unreleased
            .iter()
            .find(|(_, known)| known.stage == (Stage::Pending { ticket }))
            .map(|(id, _)| *id)
    }

    pub(crate) fn release(&mut self, packet_id: u16) -> Release {
        match self.unreleased.get(&packet_id) {
            Some(known) if known.stage == Stage::Received => {
                let stored = known.stored;
                self.unreleased.remove(&packet_id);
                Release::Done { stored }
            }
            Some(_) => Release::TooEarly,
            None => Release::Unknown,
        }
    }
}

/// What a PUBREL meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    Done {
        /// Whether the identifier has a row.
        stored: bool,
    },
    Unknown,
    /// PUBREL before PUBREC.
    TooEarly,
}

/// Answers owed on one connection, in the order of their PUBLISHes.
#[derive(Debug, Default)]
pub(crate) struct AckQueue {
    slots: VecDeque<Slot>,
}

#[derive(Debug)]
struct Slot {
    ticket: u64,
    packet_id: u16,
    exactly_once: bool,
    answer: Option<Answer>,
    /// The answer promises what is durable from here on.
    awaits: Mark,
}

/// What PUBACK or PUBREC will say.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) code: ReasonCode,
    pub(crate) why: Option<Arc<str>>,
}

impl Answer {
    pub(crate) const SUCCESS: Self = Self {
        code: ReasonCode::Success,
        why: None,
    };
}

/// An answer that leaves now.
#[derive(Debug)]
pub(crate) struct Released {
    pub(crate) packet_id: u16,
    pub(crate) exactly_once: bool,
    pub(crate) answer: Answer,
}

impl AckQueue {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn at_least_once(&self) -> usize {
        self.slots.iter().filter(|slot| !slot.exactly_once).count()
    }

    pub(crate) fn contains(&self, ticket: u64) -> bool {
        self.position(ticket).is_some()
    }

    pub(crate) fn push(
        &mut self,
        ticket: u64,
        packet_id: u16,
        exactly_once: bool,
        answer: Option<Answer>,
        awaits: Mark,
    ) {
        self.slots.push_back(Slot {
            ticket,
            packet_id,
            exactly_once,
            answer,
            awaits,
        });
    }

    /// What the front waits for, if it is answered and waits for storage only.
    pub(crate) fn awaits(&self, stored: Mark) -> Option<Mark> {
        let front = self.slots.front().filter(|slot| slot.answer.is_some())?;
        (front.awaits > stored).then_some(front.awaits)
    }

    /// False if the ticket is not (or no longer) waiting here.
    pub(crate) fn settle(&mut self, ticket: u64, answer: Answer) -> bool {
        let Some(position) = self.position(ticket) else {
            return false;
        };
        self.slots[position].answer.get_or_insert(answer);
        true
    }

    /// Takes the front if it is answered and what it promises is durable.
    pub(crate) fn release(&mut self, stored: Mark, inbound: &mut Inbound) -> Option<Released> {
        let front = self.slots.front().filter(|slot| slot.awaits <= stored)?;
        front.answer.as_ref()?;
        let slot = self.slots.pop_front()?;
        let answer = slot.answer?;
        if slot.exactly_once {
            inbound.answered(slot.packet_id, slot.ticket, answer.code);
        }
        if self.slots.is_empty() && self.slots.capacity() > KEPT_CAPACITY {
            self.slots = VecDeque::new();
        }
        Some(Released {
            packet_id: slot.packet_id,
            exactly_once: slot.exactly_once,
            answer,
        })
    }

    /// The connection ends: answers that wait behind unanswered ones are remembered, since no verdict comes twice.
    pub(crate) fn abandon(self, inbound: &mut Inbound) {
        for slot in self.slots {
            if let Some(answer) = slot.answer
                && slot.exactly_once
            {
                inbound.answered(slot.packet_id, slot.ticket, answer.code);
            }
        }
    }

    /// Tickets rise by one along the queue, except where a resumed session repeats an old publish.
    fn position(&self, ticket: u64) -> Option<usize> {
        let first = self.slots.front()?.ticket;
        let guess = ticket
            .checked_sub(first)
            .and_then(|distance| usize::try_from(distance).ok());
        if let Some(guess) = guess
            && self
                .slots
                .get(guess)
                .is_some_and(|slot| slot.ticket == ticket)
        {
            return Some(guess);
        }
        self.slots.iter().position(|slot| slot.ticket == ticket)
    }
}
