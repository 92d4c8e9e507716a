//! QoS 1 and 2 messages sent to a client and not finished; part of the session, so that they can be sent again.

use crate::codec::{QoS, ReasonCode};
use crate::message::Delivery;
use std::collections::VecDeque;

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
}

#[derive(Debug)]
struct Flight {
    packet_id: u16,
    stage: Stage,
    sent: bool,
    counted: bool,
}

/// How far a flight has come.
#[derive(Debug)]
enum Stage {
    /// Waits for PUBACK.
    Unacknowledged(Delivery),
    /// Waits for PUBREC.
    Unreceived(Delivery),
    /// Waits for PUBCOMP; the message itself is no longer needed.
    Released,
}

/// Something to send again after a resume.
#[derive(Debug)]
pub(crate) enum Resend {
    Publish { packet_id: u16, delivery: Delivery },
    Release { packet_id: u16 },
}

/// What a PUBREC meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    Release,
    Refused,
    Unknown,
}

/// The client answered with the packet of another quality of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WrongAnswer;

impl Outbound {
    /// Whether another message may be sent now. Everything unfinished counts, also what a client released on an earlier
    /// connection and never completed: otherwise reconnecting would grow the session without bound.
    pub(crate) fn has_room(&self, window: u16) -> bool {
        self.unsent == 0 && self.flights.len() < usize::from(window)
    }

    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Takes a QoS 1 or 2 message into flight; its packet identifier.
    pub(crate) fn start(&mut self, delivery: Delivery) -> u16 {
        let packet_id = self.free_id();
        let stage = if delivery.qos == QoS::ExactlyOnce {
            Stage::Unreceived(delivery)
        } else {
            Stage::Unacknowledged(delivery)
        };
        self.counted += 1;
        self.flights.push_back(Flight {
            packet_id,
            stage,
            sent: true,
            counted: true,
        });
        packet_id
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            let id = self.last_id;
            if !self.flights.iter().any(|flight| flight.packet_id == id) {
                return id;
            }
        }
    }

    /// The connection ended: nothing is on the wire, and what must not outlive it is dropped.
    pub(crate) fn rest(&mut self) {
        self.flights.retain(|flight| match &flight.stage {
            Stage::Unacknowledged(delivery) | Stage::Unreceived(delivery) => !delivery.transient,
            Stage::Released => true,
        });
        for flight in &mut self.flights {
            flight.sent = false;
            flight.counted = false;
        }
        self.counted = 0;
        self.unsent = self.flights.len();
    }

    /// The next thing to repeat on a resumed session, within the client's window.
    pub(crate) fn resend(&mut self, window: u16) -> Option<Resend> {
        if self.unsent == 0 {
            return None;
        }
        let flight = self.flights.iter_mut().find(|flight| !flight.sent)?;
        let packet_id = flight.packet_id;
        let resend = match &flight.stage {
            Stage::Unacknowledged(delivery) | Stage::Unreceived(delivery) => {
                if self.counted >= window {
                    return None;
                }
                self.counted += 1;
                flight.counted = true;
                Resend::Publish {
                    packet_id,
                    delivery: delivery.clone(),
                }
            }
            Stage::Released => Resend::Release { packet_id },
        };
        flight.sent = true;
        self.unsent -= 1;
        Some(resend)
    }

    /// PUBACK. An unknown identifier has no effect.
    pub(crate) fn acknowledged(&mut self, packet_id: u16) -> Result<(), WrongAnswer> {
        let Some(position) = self.position(packet_id) else {
            return Ok(());
        };
        match self.flights[position].stage {
            Stage::Unacknowledged(_) => {
                self.remove(position);
                Ok(())
            }
            Stage::Unreceived(_) | Stage::Released => Err(WrongAnswer),
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
        match flight.stage {
            Stage::Unacknowledged(_) => Err(WrongAnswer),
            Stage::Unreceived(_) if code.is_error() => {
                self.remove(position);
                Ok(Received::Refused)
            }
            Stage::Unreceived(_) | Stage::Released => {
                flight.stage = Stage::Released;
                if !flight.sent {
                    flight.sent = true;
                    self.unsent -= 1;
                }
                Ok(Received::Release)
            }
        }
    }

    /// PUBCOMP. An unknown identifier has no effect.
    pub(crate) fn completed(&mut self, packet_id: u16) -> Result<(), WrongAnswer> {
        let Some(position) = self.position(packet_id) else {
            return Ok(());
        };
        match self.flights[position].stage {
            Stage::Released => {
                self.remove(position);
                Ok(())
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
                Stage::Unreceived(_) | Stage::Released => None,
            })
    }

    fn position(&self, packet_id: u16) -> Option<usize> {
        self.flights
            .iter()
            .position(|flight| flight.packet_id == packet_id)
    }

    fn remove(&mut self, position: usize) {
        if let Some(flight) = self.flights.remove(position) {
            self.counted -= u16::from(flight.counted);
            self.unsent -= usize::from(!flight.sent);
        }
        if self.flights.is_empty() && self.flights.capacity() > KEPT_CAPACITY {
            self.flights = VecDeque::new();
        }
    }
}
