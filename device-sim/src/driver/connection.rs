//! One connection of one robot: what waits to be sent, and which publish an acknowledgement is for.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::trouble::Trouble;
use super::wire::{Target, Wire, WireEvent};
use crate::model::PublishId;

/// Most requests that wait. More than a robot's whole outbox: only a broker that makes the robot talk
/// and does not read gets there.
const WAITING_MAX: usize = 1024;

/// Something that waits for room in rumqttc.
#[derive(Debug)]
enum Request {
    Publish {
        id: PublishId,
        topic: String,
        qos: u8,
        payload: Vec<u8>,
    },
    Subscribe(Vec<(String, u8)>),
}

/// What a connection tells the robot's task.
#[derive(Debug)]
pub(super) enum Happening {
    Connected {
        session_present: bool,
    },
    Message {
        topic: String,
        payload: bytes::Bytes,
    },
    /// A publish was acknowledged after this time.
    Acknowledged {
        id: PublishId,
        after: std::time::Duration,
        refused: bool,
    },
    Nothing,
}

pub(super) struct Connection {
    wire: Wire,
    waiting: VecDeque<Request>,
    /// Publishes inside rumqttc that have not got their packet identifier yet.
    handed_over: VecDeque<(PublishId, Instant)>,
    /// Publishes with their packet identifier, until the acknowledgement.
    in_flight: Vec<(u16, PublishId, Instant)>,
}

impl Connection {
    pub(super) fn open(target: Target) -> Self {
        Self {
            wire: Wire::open(target),
            waiting: VecDeque::new(),
            handed_over: VecDeque::new(),
            in_flight: Vec::new(),
        }
    }

    pub(super) fn publish(&mut self, id: PublishId, topic: String, qos: u8, payload: Vec<u8>) {
        self.waiting.push_back(Request::Publish {
            id,
            topic,
            qos,
            payload,
        });
    }

    pub(super) fn subscribe(&mut self, filters: Vec<(String, u8)>) {
        self.waiting.push_back(Request::Subscribe(filters));
    }

    /// Hands over what there is room for, in order.
    pub(super) fn pump(&mut self) {
        while let Some(request) = self.waiting.front() {
            let taken = match request {
                Request::Publish {
                    topic,
                    qos,
                    payload,
                    ..
                } => self.wire.publish(topic, *qos, payload),
                Request::Subscribe(filters) => self.wire.subscribe(filters),
            };
            if !taken {
                return;
            }
            if let Some(Request::Publish { id, .. }) = self.waiting.pop_front() {
                self.handed_over.push_back((id, Instant::now()));
            }
        }
    }

    /// Waits for the next happening. An error ends the connection.
    pub(super) async fn next(&mut self) -> Result<Happening, Trouble> {
        if self.waiting.len() > WAITING_MAX {
            return Err(Trouble::new("broker does not read what it is sent"));
        }
        let event = self.wire.next().await?;
        Ok(self.observe(event))
    }

    fn observe(&mut self, event: WireEvent) -> Happening {
        match event {
            WireEvent::Connected { session_present } => Happening::Connected { session_present },
            WireEvent::Message { topic, payload } => Happening::Message { topic, payload },
            WireEvent::Sent(packet) => {
                if let Some((id, at)) = self.handed_over.pop_front()
                    && packet != 0
                {
                    self.in_flight.push((packet, id, at));
                }
                Happening::Nothing
            }
            WireEvent::Acknowledged { packet, refused } => {
                let sent = self
                    .in_flight
                    .iter()
                    .position(|(sent, _, _)| *sent == packet);
                sent.map_or(Happening::Nothing, |index| {
                    let (_, id, at) = self.in_flight.remove(index);
                    Happening::Acknowledged {
                        id,
                        after: at.elapsed(),
                        refused,
                    }
                })
            }
            WireEvent::SaidGoodbye | WireEvent::Other => Happening::Nothing,
        }
    }

    /// Sends what waits, then DISCONNECT. Ends early when the connection does.
    pub(super) async fn close(mut self) {
        let mut said = false;
        loop {
            self.pump();
            if self.waiting.is_empty() && !said {
                said = self.wire.say_goodbye();
            }
            match self.wire.next().await {
                Err(_) | Ok(WireEvent::SaidGoodbye) => return,
                Ok(event) => {
                    self.observe(event);
                }
            }
        }
    }
}
