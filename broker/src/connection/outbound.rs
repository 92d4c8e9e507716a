//! QoS 1 and 2 messages sent to a client and not finished; part of the session, so that they can be sent again.

use crate::codec::{QoS, ReasonCode};
use crate::message::Delivery;
use crate::storage::{Mark, SessionJournal};
use std::collections::VecDeque;
use std::num::NonZeroU64;

/// Flights that an idle session keeps allocated; more is given back.
const KEPT_CAPACITY: usize = 8;

/// Messages in flight, in the order in which they were first sent.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    flights: VecDeque<Flight>,
    last_id: u16,
    /// Flights that count against the client's receive maximum on this connection.
    counted: u16,
    /// Flights that this connection has not seen yet.
    unsent: usize,
    /// Those among them that an earlier connection began: nothing newer may overtake them.
    behind: usize,
}

#[derive(Debug)]
struct Flight {
    packet_id: u16,
    stage: Stage,
    /// On this connection.
    sent: bool,
    /// On an earlier one.
    behind: bool,
    /// Whether any connection may have sent it.
    repeated: bool,
    counted: bool,
    /// May be sent once this is durable.
    awaits: Mark,
}

/// How far a flight has come.
#[derive(Debug)]
enum Stage {
    /// Waits for PUBACK.
    Unacknowledged(Delivery),
    /// Waits for PUBREC.
    Unreceived(Delivery),
    /// Waits for PUBCOMP; the message itself is no longer needed.
    Released {
        /// The delivery's number in a session that is stored.
        sequence: Option<NonZeroU64>,
    },
}

/// Something that waited: for a new connection, or to be durable.
#[derive(Debug)]
pub(crate) enum Resend {
    Publish {
        packet_id: u16,
        delivery: Delivery,
        dup: bool,
    },
    Release {
        packet_id: u16,
    },
}

/// What a PUBREC meets.
#[derive(Debug)]
pub(crate) enum Received {
    /// The delivery that is released by it; `None` if it was before.
    Release(Option<Delivery>),
    Refused(Delivery),
    Unknown,
}

/// The client answered with the packet of another quality of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WrongAnswer;

impl Outbound {
    /// Whether another message may be sent now. Everything unfinished counts, also what a client released on an earlier
    /// connection and never completed: otherwise reconnecting would grow the session without bound.
    pub(crate) fn has_room(&self, window: u16) -> bool {
        self.behind == 0 && self.flights.len() < usize::from(window)
    }

    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Takes a QoS 1 or 2 message into flight under a free identifier. It may be sent at once unless it has to wait
    /// until `awaits` is durable.
    pub(crate) fn start(&mut self, delivery: Delivery, packet_id: u16, awaits: Mark, stored: Mark) {
        let sent = awaits <= stored;
        self.last_id = packet_id;
        self.counted += 1;
        self.unsent += usize::from(!sent);
        self.flights.push_back(Flight {
            packet_id,
            stage: Stage::of(delivery),
            sent,
            behind: false,
            repeated: sent,
            counted: true,
            awaits,
        });
    }

    /// A packet identifier that no flight has.
    pub(crate) fn free_id(&self) -> u16 {
        let mut id = self.last_id;
        loop {
            id = id.checked_add(1).unwrap_or(1);
            if !self.flights.iter().any(|flight| flight.packet_id == id) {
                return id;
            }
        }
    }

    /// The connection ended: nothing is on the wire, and what must not outlive it is dropped.
    pub(crate) fn rest(&mut self) {
        self.flights.retain(|flight| match &flight.stage {
            Stage::Unacknowledged(delivery) | Stage::Unreceived(delivery) => !delivery.transient,
            Stage::Released { .. } => true,
        });
        for flight in &mut self.flights {
            flight.sent = false;
            flight.behind = true;
            flight.counted = false;
        }
        self.counted = 0;
        self.unsent = self.flights.len();
        self.behind = self.flights.len();
    }

    /// Takes over a flight that was stored. Whether it was ever sent is not known, so it counts as repeated.
    pub(crate) fn restore(&mut self, packet_id: u16, flight: Result<Delivery, NonZeroU64>) {
        self.last_id = packet_id;
        self.unsent += 1;
        self.behind += 1;
        self.flights.push_back(Flight {
            packet_id,
            stage: match flight {
                Ok(delivery) => Stage::of(delivery),
                Err(sequence) => Stage::Released {
                    sequence: Some(sequence),
                },
            },
            sent: false,
            behind: true,
            repeated: true,
            counted: false,
            awaits: 0,
        });
    }

    /// The session ends: its rows do too.
    pub(crate) fn end(&self, journal: &SessionJournal) {
        for flight in &self.flights {
            match &flight.stage {
                Stage::Unacknowledged(delivery) | Stage::Unreceived(delivery) => {
                    journal.finished(delivery);
                }
                Stage::Released { sequence } => {
                    if let Some(sequence) = sequence {
                        journal.completed(*sequence);
                    }
                }
            }
        }
    }

    /// The next thing that waited and may be sent now, within the client's window.
    pub(crate) fn resend(&mut self, window: u16, stored: Mark) -> Option<Resend> {
        if self.unsent == 0 {
            return None;
        }
        let flight = self.flights.iter_mut().find(|flight| !flight.sent)?;
        if flight.awaits > stored {
            return None;
        }
        let packet_id = flight.packet_id;
        let resend = match &flight.stage {
            Stage::Unacknowledged(delivery) | Stage::Unreceived(delivery) => {
                if !flight.counted {
                    if self.counted >= window {
                        return None;
                    }
                    self.counted += 1;
                    flight.counted = true;
                }
                Resend::Publish {
                    packet_id,
                    delivery: delivery.clone(),
                    dup: std::mem::replace(&mut flight.repeated, true),
                }
            }
            Stage::Released { .. } => Resend::Release { packet_id },
        };
        self.unsent -= 1;
        self.behind -= usize::from(flight.behind);
        flight.sent = true;
        Some(resend)
    }

    /// A message that cannot be sent is treated as if it had been (MQTT-3.1.2-25).
    pub(crate) fn give_up(&mut self, packet_id: u16) {
        if let Some(position) = self.position(packet_id) {
            self.remove(position);
        }
    }

    /// What the first unsent flight waits for, if it waits for storage.
    pub(crate) fn awaits(&self, stored: Mark) -> Option<Mark> {
        if self.unsent == 0 {
            return None;
        }
        let flight = self.flights.iter().find(|flight| !flight.sent)?;
        (flight.awaits > stored).then_some(flight.awaits)
    }

    /// PUBACK; the delivery that it ends. An unknown identifier has no effect.
    pub(crate) fn acknowledged(&mut self, packet_id: u16) -> Result<Option<Delivery>, WrongAnswer> {
        let Some(position) = self.position(packet_id) else {
            return Ok(None);
        };
        match self.flights[position].stage {
            Stage::Unacknowledged(_) => Ok(self.remove(position)),
            Stage::Unreceived(_) | Stage::Released { .. } => Err(WrongAnswer),
        }
    }

    /// PUBREC.
    pub(crate) fn received(
        &mut self,
        packet_id: u16,
        code: ReasonCode,
    ) -> Result<Received, WrongAnswer> {
        let Some(position) = self.position(packet_id) else {
            return Ok(Received::Unknown);
        };
        let flight = &mut self.flights[position];
        match &flight.stage {
            Stage::Unacknowledged(_) => return Err(WrongAnswer),
            Stage::Unreceived(_) if code.is_error() => {
                let refused = self.remove(position).map(Received::Refused);
                return Ok(refused.unwrap_or(Received::Unknown));
            }
            Stage::Unreceived(_) | Stage::Released { .. } => {}
        }
        if !flight.sent {
            flight.sent = true;
            self.unsent -= 1;
            self.behind -= usize::from(flight.behind);
        }
        let Stage::Unreceived(delivery) = &flight.stage else {
            return Ok(Received::Release(None));
        };
        let released = Stage::Released {
            sequence: delivery.sequence,
        };
        Ok(Received::Release(
            std::mem::replace(&mut flight.stage, released).into_delivery(),
        ))
    }

    /// PUBCOMP; the number of the delivery that it ends. An unknown identifier has no effect.
    pub(crate) fn completed(&mut self, packet_id: u16) -> Result<Option<NonZeroU64>, WrongAnswer> {
        let Some(position) = self.position(packet_id) else {
            return Ok(None);
        };
        match self.flights[position].stage {
            Stage::Released { sequence } => {
                self.remove(position);
                Ok(sequence)
            }
            Stage::Unacknowledged(_) | Stage::Unreceived(_) => Err(WrongAnswer),
        }
    }

    /// QoS 1 messages without PUBACK, of a session that has ended.
    pub(crate) fn unacknowledged(self) -> impl Iterator<Item = Delivery> {
        self.flights
            .into_iter()
            .filter_map(|flight| match flight.stage {
                Stage::Unacknowledged(delivery) => Some(delivery),
                Stage::Unreceived(_) | Stage::Released { .. } => None,
            })
    }

    fn position(&self, packet_id: u16) -> Option<usize> {
        self.flights
            .iter()
            .position(|flight| flight.packet_id == packet_id)
    }

    fn remove(&mut self, position: usize) -> Option<Delivery> {
        let flight = self.flights.remove(position)?;
        self.counted -= u16::from(flight.counted);
        self.unsent -= usize::from(!flight.sent);
        self.behind -= usize::from(!flight.sent && flight.behind);
        if self.flights.is_empty() && self.flights.capacity() > KEPT_CAPACITY {
            self.flights = VecDeque::new();
        }
        flight.stage.into_delivery()
    }
}

impl Stage {
    fn of(delivery: Delivery) -> Self {
        if delivery.qos == QoS::ExactlyOnce {
            Self::Unreceived(delivery)
        } else {
            Self::Unacknowledged(delivery)
        }
    }

    fn into_delivery(self) -> Option<Delivery> {
        match self {
            Self::Unacknowledged(delivery) | Self::Unreceived(delivery) => Some(delivery),
            Self::Released { .. } => None,
        }
    }
}
