//! A connection between CONNACK and its end.

use super::places::Place;
use super::refusals::cut;
use super::socket::count_breach;
use super::task::{Line, Room, Wake, Want, with_output};
use crate::access::{Principal, PublishAccess};
use crate::clock;
use crate::codec::{MAX_REMAINING_LENGTH, Packet, PacketType, header, topic};
use crate::connection::{Arrived, Close, Connection, Request, Tally};
use crate::event::{DisconnectReason, Event, Ticket};
use crate::message::{Delivery, Message};
use crate::metrics::Count;
use crate::routing::{SessionKey, Testament};
use crate::storage::{Mark, Waiter};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;
use tracing::Level;
use tracing::span::EnteredSpan;

/// A client whose CONNECT was accepted.
pub(super) struct Served {
    pub(super) connection: Connection,
    pub(super) key: SessionKey,
    pub(super) principal: Principal,
    pub(super) will: Option<Testament>,
    /// How long the session outlives the connection; DISCONNECT may change it.
    pub(super) keep: Duration,
    /// Events for which the channel had no room. While there are any, nothing is read.
    pub(super) unreported: VecDeque<Event>,
    pub(super) room: Option<Room>,
    /// Retained messages that a SUBSCRIBE asked for; they come before anything newer.
    pub(super) retained: VecDeque<Delivery>,
    /// What was asked for last.
    asked: Option<Mark>,
    /// Whether the socket was left unread for the owner's sake.
    rests: bool,
    pub(super) place: Place,
}

impl Served {
    pub(super) fn new(
        connection: Connection,
        key: SessionKey,
        principal: Principal,
        will: Option<Testament>,
        place: Place,
    ) -> Self {
        let keep = connection.session_expiry();
        Self {
            connection,
            key,
            principal,
            will,
            keep,
            unreported: VecDeque::new(),
            room: None,
            retained: VecDeque::new(),
            asked: None,
            rests: false,
            place,
        }
    }

    /// Whether the owner has to catch up before this client is read again.
    fn must_rest(&self) -> bool {
        !self.unreported.is_empty() || self.connection.is_window_full()
    }

    fn want(&self, line: &Line) -> Want {
        let can_write = line.socket.backlog() < line.hub.limits.send_buffer;
        Want {
            packets: can_write && !self.must_rest(),
            messages: can_write && self.connection.has_room(),
        }
    }

    pub(super) fn report(&mut self, line: &Line, event: Event) {
        if !self.unreported.is_empty() {
            self.unreported.push_back(event);
            return;
        }
        if let Err(TrySendError::Full(event)) = line.hub.events.try_send(event) {
            self.unreported.push_back(event);
            self.wait_for_room(line);
        }
    }

    /// Asks to be woken when what the connection waits for is stored.
    fn wait_for_storage(&mut self, line: &Line) {
        let awaits = self.connection.awaits();
        if let Some(mark) = awaits.filter(|_| awaits != self.asked)
            && !line
                .hub
                .wait(mark, Waiter::Connection(Arc::clone(&line.mailbox)))
        {
            line.mailbox.nudge();
        }
        self.asked = awaits;
    }

    fn wait_for_room(&mut self, line: &Line) {
        self.room = Some(Box::pin(line.hub.events.clone().reserve_owned()));
    }

    fn take_room(&mut self, line: &Line, wake: Wake) {
        let Wake::Room(Ok(permit)) = wake else {
            // The receiver is gone and hears nothing more.
            self.unreported.clear();
            return;
        };
        if let Some(event) = self.unreported.pop_front() {
            permit.send(event);
        }
        for event in std::mem::take(&mut self.unreported) {
            self.report(line, event);
        }
    }

    /// Does everything that can be done now and writes the result.
    fn work(&mut self, line: &mut Line) -> Result<(), Close> {
        let _connection = self.span(line);
        with_output(|out| {
            let done = self
                .connection
                .send_stored(out)
                .and_then(|()| self.packets(line, out))
                .and_then(|()| self.messages(line, out));
            let written = write(line, out);
            done.and(written)
        })
    }

    /// What is done until it is dropped concerns this client. Made anew each time, if it is wanted at all, so that an idle
    /// connection holds none.
    pub(super) fn span(&self, line: &Line) -> EnteredSpan {
        let client_id = &*self.principal.client_id;
        tracing::trace_span!("connection", client_id, peer = %line.peer).entered()
    }

    /// Handles the packets that have arrived, as long as the owner keeps up and the client reads its answers.
    fn packets(&mut self, line: &mut Line, out: &mut Vec<u8>) -> Result<(), Close> {
        let now = clock::now();
        if self.rests && !self.must_rest() {
            self.connection.touch(now);
        }
        let (mut packets, mut publishes) = (0, 0);
        let mut result = Ok(());
        while !self.must_rest() && has_space(line, out) {
            match self.packet(line, now, out) {
                Ok(Some(is_publish)) => {
                    packets += 1;
                    publishes += u64::from(is_publish);
                }
                Ok(None) => break,
                Err(close) => {
                    result = Err(close);
                    break;
                }
            }
        }
        line.hub.metrics.add(Count::PacketsIn, packets);
        line.hub.metrics.add(Count::PublishesIn, publishes);
        self.rests = self.must_rest();
        result
    }

    /// Handles one packet; whether it was a PUBLISH, `None` if no complete one is there.
    fn packet(
        &mut self,
        line: &mut Line,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<bool>, Close> {
        let Some((first, body)) = line.socket.packet(line.hub.limits.max_packet_size)? else {
            return Ok(None);
        };
        let kind = PacketType::from_first_byte(first);
        tracing::trace!(?kind, bytes = body.len(), "received");
        let packet = Packet::decode(self.connection.version(), first, body)?;
        let is_publish = matches!(packet, Packet::Publish(_));
        match self.connection.handle(packet, now, out)? {
            Request::None => {}
            Request::Publish(arrived) => self.publish(line, arrived, now, out)?,
            Request::Subscribe(subscribe) => self.subscribe(line, &subscribe, out)?,
            Request::Unsubscribe(unsubscribe) => self.unsubscribe(line, &unsubscribe, out)?,
            Request::Disconnect { close, expiry } => {
                if let Some(seconds) = expiry
                    && !self.keep.is_zero()
                {
                    let asked = Duration::from_secs(u64::from(seconds));
                    self.keep = asked.min(line.hub.limits.max_session_expiry);
                }
                return Err(close);
            }
        }
        Ok(Some(is_publish))
    }

    fn publish(
        &mut self,
        line: &Line,
        arrived: Arrived,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        let publish = &arrived.publish;
        tracing::trace!(
            topic = cut(&publish.topic),
            qos = ?publish.qos,
            retain = publish.retain,
            packet_id = publish.packet_id,
            bytes = publish.payload.len(),
            "publish"
        );
        let access = if topic::is_reserved(&publish.topic) {
            PublishAccess::Deny {
                why: "topics that begin with $ belong to the server".into(),
            }
        } else {
            line.hub
                .access
                .publish(&self.principal, &publish.topic, publish.qos, publish.retain)
        };
        match access {
            PublishAccess::Route => {
                let message =
                    Message::copied(&publish.topic, &publish.payload, &publish.properties, now);
                let (qos, retain) = (publish.qos, publish.retain);
                let connection = &self.connection;
                let also = || connection.note_received(&arrived);
                let noted = line
                    .hub
                    .publish(Some(self.key), &message, qos, retain, also);
                self.connection.publish_done(&arrived, noted, out)
            }
            PublishAccess::Intake if self.principal.tag != 0 => {
                self.hand_over(line, arrived);
                Ok(())
            }
            PublishAccess::Intake => self.deny(line, &arrived, "only robots publish here", out),
            PublishAccess::Deny { why } => self.deny(line, &arrived, &why, out),
        }
    }

    fn hand_over(&mut self, line: &Line, arrived: Arrived) {
        let sequence = self.connection.publish_held(&arrived);
        line.hub.metrics.one(Count::IntakeHanded);
        let publish = arrived.publish;
        let event = Event::Publish {
            ticket: Ticket {
                mailbox: Arc::clone(&line.mailbox),
                sequence,
            },
            tag: self.principal.tag,
            topic: publish.topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
        };
        self.report(line, event);
    }

    fn deny(
        &mut self,
        line: &Line,
        arrived: &Arrived,
        why: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        line.hub.metrics.one(Count::PublishDenied);
        let client_id = cut(&self.principal.client_id);
        let (topic, said) = (cut(&arrived.publish.topic), cut(why));
        if let Some(unsaid) = line.hub.denied_publishes.may_log() {
            tracing::info!(client_id, topic, why = said, unsaid, "publish denied");
        } else {
            tracing::debug!(client_id, topic, why = said, "publish denied");
        }
        let is_robot = self.principal.tag != 0;
        self.connection.publish_denied(arrived, why, is_robot, out)
    }

    /// Sends what waits for the client, as far as its window and its reading allow.
    fn messages(&mut self, line: &mut Line, out: &mut Vec<u8>) -> Result<(), Close> {
        let now = clock::now();
        loop {
            self.connection.resend(now, out)?;
            while self.connection.has_room() && out.len() < line.hub.limits.send_buffer {
                let Some(delivery) = self.retained.pop_front().or_else(|| line.mailbox.pop())
                else {
                    return Ok(());
                };
                tracing::trace!(
                    topic = cut(&delivery.message.topic),
                    qos = ?delivery.qos,
                    bytes = delivery.message.payload.len(),
                    "message"
                );
                self.connection.deliver(delivery, now, out)?;
            }
            if !self.connection.has_room() {
                return Ok(());
            }
            write(line, out)?;
            if line.socket.backlog() > 0 {
                return Ok(());
            }
        }
    }

    pub(super) fn count(&mut self, line: &mut Line) {
        let tally = std::mem::take(&mut self.connection.tally);
        let Tally {
            publishes_out,
            expired,
            too_large,
            duplicates,
            accepted,
            refused,
        } = tally;
        let metrics = &line.hub.metrics;
        metrics.add(Count::PublishesOut, publishes_out);
        metrics.add(Count::MessageExpired, expired);
        metrics.add(Count::TooLargeForClient, too_large);
        metrics.add(Count::DuplicatesSuppressed, duplicates);
        metrics.add(Count::IntakeAccepted, accepted);
        metrics.add(Count::IntakeRefused, refused);
        metrics.add(Count::BytesOut, line.socket.take_written());
    }
}

/// Whether another answer may be written; writes early what has gathered, so that packets which have arrived are not left
/// lying although the client reads.
fn has_space(line: &mut Line, out: &mut Vec<u8>) -> bool {
    let limit = line.hub.limits.send_buffer;
    if out.len() >= limit && write(line, out).is_err() {
        // The next read shows the broken socket.
        return false;
    }
    line.socket.backlog() < limit
}

/// Writes what has gathered, in one go.
pub(super) fn write(line: &mut Line, out: &mut Vec<u8>) -> Result<(), Close> {
    say_sent(out);
    let written = if out.is_empty() && line.socket.backlog() == 0 {
        Ok(())
    } else {
        line.socket.write(out)
    };
    out.clear();
    written.map_err(|_| Close::because(DisconnectReason::ConnectionLost))
}

fn say_sent(mut out: &[u8]) {
    if !tracing::enabled!(Level::TRACE) {
        return;
    }
    while let Ok(Some(found)) = header(out, MAX_REMAINING_LENGTH) {
        let kind = PacketType::from_first_byte(found.first);
        tracing::trace!(?kind, bytes = found.body_len, "sent");
        out = out.get(found.total()..).unwrap_or_default();
    }
}

/// Serves a client until its connection ends.
pub(super) async fn serve(line: &mut Line, served: &mut Served) -> Close {
    line.set_timer(served.connection.deadline());
    loop {
        let done = served.work(line);
        served.count(line);
        if let Err(close) = done {
            return close;
        }
        served.wait_for_storage(line);
        let want = served.want(line);
        let wake = line.wake(want, &mut served.room).await;
        if let Err(close) = respond(line, served, wake) {
            return close;
        }
    }
}

fn respond(line: &mut Line, served: &mut Served, wake: Wake) -> Result<(), Close> {
    let lost = || Close::because(DisconnectReason::ConnectionLost);
    match wake {
        Wake::Mail(mail) => {
            let _connection = served.span(line);
            with_output(|out| {
                let mut settled = Ok(());
                for (ticket, verdict) in mail.verdicts {
                    settled = settled.and(served.connection.settle(ticket, verdict, out));
                }
                let written = write(line, out);
                settled.and(written)
            })?;
            mail.order.map_or(Ok(()), Err)
        }
        Wake::Read(Ok(count)) if count > 0 => {
            line.count_in(count);
            Ok(())
        }
        Wake::Read(read) => {
            if let Some(count) = read.err().as_ref().and_then(count_breach) {
                line.hub.metrics.one(count);
            }
            Err(lost())
        }
        Wake::Writable(Ok(())) => line.socket.flush().map_err(|_| lost()),
        Wake::Writable(Err(_)) => Err(lost()),
        wake @ Wake::Room(_) => {
            served.take_room(line, wake);
            Ok(())
        }
        Wake::Timer => keep_alive(line, served),
    }
}

fn keep_alive(line: &mut Line, served: &mut Served) -> Result<(), Close> {
    let now = clock::now();
    if served.must_rest() {
        served.connection.touch(now);
    }
    let deadline = served.connection.deadline();
    if deadline.is_some_and(|deadline| deadline <= now) {
        return Err(Close::because(DisconnectReason::KeepAliveTimeout));
    }
    line.set_timer(deadline);
    Ok(())
}
