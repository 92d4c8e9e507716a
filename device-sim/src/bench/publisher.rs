//! One client that publishes, and one that takes everything.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Instant;

use super::client::{Connection, Trouble};
use super::crew::{Bell, Tally, micros};
use super::packet::{self, Frame, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Version};
use super::robot::{Robot, Saying};

/// What a publisher says.
#[derive(Debug)]
pub(super) enum Source {
    /// The same bytes always.
    Plain { topic: String, payload: Rc<[u8]> },
    /// What a robot says.
    Robot(Box<Robot>),
}

impl Source {
    pub(super) fn has_something(&self) -> bool {
        match self {
            Self::Plain { .. } => true,
            Self::Robot(robot) => robot.is_busy(),
        }
    }

    /// Writes the next message; returns whether it counts, or nothing if there is none.
    fn write(&mut self, out: &mut Vec<u8>, version: Version, qos: u8, id: u16) -> Option<bool> {
        let mut put = |topic: &str, payload: &[u8]| {
            packet::publish(out, version, qos, id, topic, payload);
        };
        match self {
            Self::Plain { topic, payload } => put(topic, payload),
            Self::Robot(robot) => match robot.say()? {
                Saying::Event { topic, payload } => put(topic, &payload),
                Saying::Report { topic, payload } => {
                    put(&topic, &payload);
                    return Some(false);
                }
            },
        }
        Some(true)
    }
}

/// What all publishers of a thread are told.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// As fast as it goes.
    pub(super) free: Cell<bool>,
    /// Too many messages have been acknowledged and not delivered.
    pub(super) braked: Cell<bool>,
}

/// What a publisher shares with the clock of its thread.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// When each message that may be sent was due; not used when it goes as fast as it can.
    pub(super) due: RefCell<VecDeque<Instant>>,
    pub(super) bell: Bell,
    /// The connection is gone.
    pub(super) dead: Cell<bool>,
}

/// A publish that is to be acknowledged.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    id: u16,
    at: Instant,
    counts: bool,
}

/// A client that publishes.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) source: Source,
    pub(super) qos: u8,
    pub(super) window: usize,
    pub(super) line: Rc<Line>,
    pub(super) pace: Rc<Pace>,
    pub(super) tally: Arc<Tally>,
    state: State,
}

/// What changes with every packet.
#[derive(Debug, Default)]
struct State {
    in_flight: VecDeque<InFlight>,
    next_id: u16,
    /// Latencies of one read, in microseconds.
    done: Vec<u64>,
    acknowledged: u64,
    refused: u64,
}

impl Publisher {
    pub(super) fn new(
        source: Source,
        qos: u8,
        window: usize,
        (line, pace): (Rc<Line>, Rc<Pace>),
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            source,
            qos,
            window,
            line,
            pace,
            tally,
            state: State::default(),
        }
    }

    /// Subscribes, introduces itself and waits until everything that it said is acknowledged; nothing to do for
    /// clients that are no robots.
    pub(super) async fn introduce(&mut self, connection: &mut Connection) -> Result<(), Trouble> {
        let Source::Robot(robot) = &self.source else {
            return Ok(());
        };
        connection.subscribe(&robot.filter(), 1).await?;
        for (topic, payload) in robot.introduction() {
            let id = self.state.next();
            packet::publish(
                &mut connection.out,
                connection.version,
                1,
                id,
                &topic,
                &payload,
            );
            self.state.in_flight.push_back(InFlight {
                id,
                at: Instant::now(),
                counts: false,
            });
        }
        while !self.state.in_flight.is_empty() {
            connection.flush().await?;
            self.read(connection).await?;
        }
        Ok(())
    }

    /// Waits until there is something to say.
    pub(super) async fn wait_for_work(
        &mut self,
        connection: &mut Connection,
    ) -> Result<(), Trouble> {
        while !self.source.has_something() {
            connection.flush().await?;
            self.read(connection).await?;
        }
        connection.flush().await
    }

    async fn read(&mut self, connection: &mut Connection) -> Result<(), Trouble> {
        let (source, state) = (&mut self.source, &mut self.state);
        connection
            .read(|frame, version, out| state.take(source, frame, version, out))
            .await
    }

    /// Publishes until the connection ends.
    pub(super) async fn publish(mut self, mut connection: Connection) -> Trouble {
        self.window = self
            .window
            .min(usize::from(connection.receive_maximum))
            .max(1);
        loop {
            self.fill(&mut connection);
            if let Err(trouble) = connection.flush().await {
                return trouble;
            }
            if self.qos == 0 {
                // Nothing is waited for: the others shall have their turn too.
                tokio::task::yield_now().await;
            }
            if let Err(trouble) = self.wait(&mut connection).await {
                return trouble;
            }
            self.settle();
        }
    }

    /// Messages that may be written now.
    fn room(&self) -> usize {
        let room = self.window.saturating_sub(self.state.in_flight.len());
        if self.pace.free.get() {
            return if self.pace.braked.get() { 0 } else { room };
        }
        room.min(self.line.due.borrow().len())
    }

    fn fill(&mut self, connection: &mut Connection) {
        let (room, free) = (self.room(), self.pace.free.get());
        if room == 0 {
            return;
        }
        let (now, mut due) = (Instant::now(), self.line.due.borrow_mut());
        let mut counted = 0;
        for _ in 0..room {
            let id = self.state.next();
            let (out, version) = (&mut connection.out, connection.version);
            let Some(counts) = self.source.write(out, version, self.qos, id) else {
                break;
            };
            let at = if free || !counts {
                Some(now)
            } else {
                due.pop_front()
            };
            let at = at.unwrap_or(now);
            counted += u64::from(counts);
            if self.qos > 0 {
                self.state.in_flight.push_back(InFlight { id, at, counts });
            } else if counts {
                self.state.acknowledged += 1;
                self.state
                    .done
                    .push(micros(now.saturating_duration_since(at)));
            }
        }
        self.tally.sent.fetch_add(counted, Relaxed);
    }

    /// Waits for a packet, or for something that may be sent.
    async fn wait(&mut self, connection: &mut Connection) -> Result<(), Trouble> {
        std::future::poll_fn(|cx| {
            let (source, state) = (&mut self.source, &mut self.state);
            let mut take = |frame: Frame<'_>, version, out: &mut Vec<u8>| {
                state.take(source, frame, version, out)
            };
            if let Poll::Ready(read) = connection.poll_read(cx, &mut take) {
                return Poll::Ready(read);
            }
            self.line.bell.wait(cx);
            if self.room() > 0 && self.source.has_something() {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        })
        .await
    }

    /// Counts what a read has brought.
    fn settle(&mut self) {
        let State {
            done,
            acknowledged,
            refused,
            ..
        } = &mut self.state;
        self.tally.all_took(done);
        done.clear();
        for (count, tally) in [
            (acknowledged, &self.tally.acknowledged),
            (refused, &self.tally.refused),
        ] {
            tally.fetch_add(std::mem::take(count), Relaxed);
        }
    }
}

impl State {
    /// A packet identifier. Windows are far below 65,535, so those of long ago are free again.
    fn next(&mut self) -> u16 {
        self.next_id = self.next_id % 60_000 + 1;
        self.next_id
    }

    fn take(
        &mut self,
        source: &mut Source,
        frame: Frame<'_>,
        version: Version,
        out: &mut Vec<u8>,
    ) -> Result<(), Trouble> {
        match frame.kind() {
            PUBACK | PUBCOMP => {
                let (id, refused) = frame.acknowledges()?;
                self.acknowledged(id, refused)
            }
            PUBREC => match frame.acknowledges()? {
                (id, true) => self.acknowledged(id, true),
                (id, false) => {
                    packet::acknowledge(out, PUBREL, id);
                    Ok(())
                }
            },
            PUBLISH => {
                let (topic, id, payload) = frame.publish(version)?;
                if let Source::Robot(robot) = source {
                    robot.hear(topic, payload);
                }
                if frame.qos() > 0 {
                    packet::acknowledge(out, PUBACK, id);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn acknowledged(&mut self, id: u16, refused: bool) -> Result<(), Trouble> {
        let place = self.in_flight.iter().position(|sent| sent.id == id);
        let sent = place.and_then(|place| self.in_flight.remove(place));
        let sent = sent.ok_or(Trouble::Stray)?;
        if refused {
            self.refused += 1;
        } else if sent.counts {
            self.acknowledged += 1;
            self.done.push(micros(sent.at.elapsed()));
        }
        Ok(())
    }
}

/// Takes every message and acknowledges it, until the connection ends.
pub(super) async fn take_everything(mut connection: Connection, tally: &Tally) -> Trouble {
    loop {
        let mut delivered = 0;
        let read = connection
            .read(|frame, version, out| {
                delivered += u64::from(frame.kind() == PUBLISH);
                answer(frame, version, out)
            })
            .await;
        tally.delivered.fetch_add(delivered, Relaxed);
        if let Err(trouble) = read {
            return trouble;
        }
        if let Err(trouble) = connection.flush().await {
            return trouble;
        }
    }
}

/// What a subscriber has to say to a packet.
pub(super) fn answer(frame: Frame<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), Trouble> {
    match (frame.kind(), frame.qos()) {
        (PUBLISH, 1) => packet::acknowledge(out, PUBACK, frame.publish(version)?.1),
        (PUBLISH, 2) => packet::acknowledge(out, PUBREC, frame.publish(version)?.1),
        (PUBREL, _) => packet::acknowledge(out, PUBCOMP, frame.acknowledges()?.0),
        _ => {}
    }
    Ok(())
}
