//! A connection between CONNACK and its end.

use super::task::{Line, Room, Wake, Want, with_output};
use crate::access::{Principal, PublishAccess, SubscribeAccess};
use crate::codec::{
    Packet, PropertyId, QoS, ReasonCode, Subscribe, Subscription, Unsubscribe, topic,
};
use crate::connection::{Arrived, Close, Connection, Request, Tally};
use crate::event::{DisconnectReason, Event, Ticket};
use crate::message::{Delivery, Message};
use crate::metrics::Count;
use crate::routing::{SessionKey, Testament};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;

/// A client whose CONNECT was accepted.
pub(super) struct Served {
    connection: Connection,
    key: SessionKey,
    principal: Principal,
    will: Option<Testament>,
    /// How long the session outlives the connection; DISCONNECT may change it.
    keep: Duration,
    /// Events for which the channel had no room. While there are any, nothing is read.
    unreported: VecDeque<Event>,
    room: Option<Room>,
    /// Retained messages that a SUBSCRIBE asked for; they come before anything newer.
    retained: VecDeque<Delivery>,
    /// Whether the socket was left unread for the owner's sake.
    rests: bool,
}

impl Served {
    pub(super) fn new(
        connection: Connection,
        key: SessionKey,
        principal: Principal,
        will: Option<Testament>,
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
            rests: false,
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

    fn report(&mut self, line: &Line, event: Event) {
        if !self.unreported.is_empty() {
            self.unreported.push_back(event);
            return;
        }
        if let Err(TrySendError::Full(event)) = line.hub.events.try_send(event) {
            self.unreported.push_back(event);
            self.wait_for_room(line);
        }
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
        with_output(|out| {
            let done = self
                .packets(line, out)
                .and_then(|()| self.messages(line, out));
            let written = write(line, out);
            done.and(written)
        })
    }

    /// Handles the packets that have arrived, as long as the owner keeps up and the client reads its answers.
    fn packets(&mut self, line: &mut Line, out: &mut Vec<u8>) -> Result<(), Close> {
        let now = Instant::now();
        if self.rests && !self.must_rest() {
            self.connection.touch(now);
        }
        let (mut packets, mut publishes) = (0, 0);
        let mut result = Ok(());
        while !self.must_rest() && line.socket.backlog() + out.len() < line.hub.limits.send_buffer {
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
        let packet = Packet::decode(self.connection.version(), first, body)?;
        let is_publish = matches!(packet, Packet::Publish(_));
        match self.connection.handle(packet, now, out)? {
            Request::None => {}
            Request::Publish(arrived) => self.publish(line, arrived, now, out)?,
            Request::Subscribe(subscribe) => self.subscribe(line, &subscribe, out)?,
            Request::Unsubscribe(unsubscribe) => self.unsubscribe(line, &unsubscribe, out)?,
            Request::Disconnect { close, expiry } => {
                if let Some(seconds) = expiry {
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
                line.hub
                    .publish(Some(self.key), &message, publish.qos, publish.retain);
                self.connection.publish_done(&arrived, out)
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
        tracing::info!(
            client_id = %self.principal.client_id,
            topic = %arrived.publish.topic,
            why,
            "publish denied"
        );
        let is_robot = self.principal.tag != 0;
        self.connection.publish_denied(arrived, why, is_robot, out)
    }

    fn subscribe(
        &mut self,
        line: &Line,
        subscribe: &Subscribe,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        let identifier = subscribe
            .properties
            .number(PropertyId::SubscriptionIdentifier);
        let mut codes = Vec::with_capacity(subscribe.subscriptions.len());
        let mut first_why = None;
        for subscription in &subscribe.subscriptions {
            codes.push(match self.grant(line, subscription, identifier) {
                Ok(granted) => match granted {
                    QoS::AtMostOnce => ReasonCode::Success,
                    QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
                    QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
                },
                Err(refused) => {
                    line.hub.metrics.one(refused.count);
                    tracing::info!(
                        client_id = %self.principal.client_id,
                        filter = %subscription.filter,
                        why = %refused.why,
                        "subscription refused"
                    );
                    first_why.get_or_insert(refused.why);
                    refused.code
                }
            });
        }
        self.connection
            .subscribed(subscribe.packet_id, codes, first_why.as_deref(), out)?;
        if self.retained.len() > line.hub.limits.max_retained_messages {
            // Asks again and again for what it does not read.
            return Err(Close::because(DisconnectReason::QueueFull));
        }
        Ok(())
    }

    fn grant(
        &mut self,
        line: &Line,
        subscription: &Subscription,
        identifier: Option<u32>,
    ) -> Result<QoS, Refused> {
        let filter = &*subscription.filter;
        if filter.starts_with(topic::SHARED_PREFIX) {
            return Err(Refused {
                count: Count::SharedSubscriptionRefused,
                code: ReasonCode::SharedSubscriptionsNotSupported,
                why: "shared subscriptions are not supported".into(),
            });
        }
        if topic::levels(filter) > line.hub.limits.max_topic_levels {
            return Err(Refused {
                count: Count::TopicTooDeep,
                code: ReasonCode::TopicFilterInvalid,
                why: "filter has too many levels".into(),
            });
        }
        let max_qos = match line.hub.access.subscribe(&self.principal, filter) {
            SubscribeAccess::Grant { max_qos } => max_qos,
            SubscribeAccess::Deny { why } => {
                return Err(Refused {
                    count: Count::SubscribeDenied,
                    code: ReasonCode::NotAuthorized,
                    why: why.into(),
                });
            }
        };
        let mut options = subscription.options;
        options.qos = options.qos.min(max_qos);
        let retained = line
            .hub
            .subscribe(self.key, filter, options, identifier)
            .map_err(|code| Refused {
                count: Count::SubscriptionLimit,
                code,
                why: "too many subscriptions".into(),
            })?;
        self.retained.extend(retained);
        line.mailbox.subscribed(filter, options.qos);
        if self.principal.tag != 0 {
            let event = Event::Subscribed {
                connection: line.mailbox.id(),
                tag: self.principal.tag,
                filter: filter.to_owned(),
                granted: options.qos,
            };
            self.report(line, event);
        }
        Ok(options.qos)
    }

    fn unsubscribe(
        &mut self,
        line: &Line,
        unsubscribe: &Unsubscribe,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        let mut codes = Vec::with_capacity(unsubscribe.filters.len());
        for filter in &unsubscribe.filters {
            let existed = line.hub.unsubscribe(self.key, filter);
            line.mailbox.unsubscribed(filter);
            if existed && self.principal.tag != 0 {
                let event = Event::Unsubscribed {
                    connection: line.mailbox.id(),
                    tag: self.principal.tag,
                    filter: filter.to_string(),
                };
                self.report(line, event);
            }
            codes.push(if existed {
                ReasonCode::Success
            } else {
                ReasonCode::NoSubscriptionExisted
            });
        }
        self.connection
            .unsubscribed(unsubscribe.packet_id, codes, out)
    }

    /// Sends what waits for the client, as far as its window and its reading allow.
    fn messages(&mut self, line: &mut Line, out: &mut Vec<u8>) -> Result<(), Close> {
        let now = Instant::now();
        loop {
            self.connection.resend(now, out)?;
            while self.connection.has_room() && out.len() < line.hub.limits.send_buffer {
                let Some(delivery) = self.retained.pop_front().or_else(|| line.mailbox.pop())
                else {
                    return Ok(());
                };
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

    fn count(&mut self, line: &mut Line) {
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
        metrics.add(Count::BytesOut, std::mem::take(&mut line.socket.written));
    }
}

/// Why a filter is refused, and what counts it.
struct Refused {
    count: Count,
    code: ReasonCode,
    why: String,
}

fn write(line: &mut Line, out: &mut Vec<u8>) -> Result<(), Close> {
    let written = if out.is_empty() && line.socket.backlog() == 0 {
        Ok(())
    } else {
        line.socket.write(out)
    };
    out.clear();
    written.map_err(|_| Close::because(DisconnectReason::ConnectionLost))
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
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            line.hub.metrics.add(Count::BytesIn, count);
            Ok(())
        }
        Wake::Read(_) => Err(lost()),
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
    let now = Instant::now();
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

/// Ends a connection; whether its socket should linger.
pub(super) async fn finish(line: &mut Line, mut served: Served, close: Close) -> bool {
    let hub = Arc::clone(&line.hub);
    line.set_timer(None);
    with_output(|out| {
        served.connection.farewell(&close, out);
        // Best effort: the connection ends either way.
        let _ = write(line, out);
    });
    served.count(line);
    count_end(line, &close);
    tracing::debug!(
        client_id = %served.principal.client_id,
        peer = %line.peer,
        reason = %close.reason,
        why = %close.why,
        "connection ended"
    );
    for event in &served.unreported {
        if let Event::Publish { ticket, .. } = event {
            served.connection.publish_lost(ticket.sequence);
        }
    }
    served.room = None;
    if served.principal.tag != 0 {
        let event = Event::Disconnected {
            connection: line.mailbox.id(),
            tag: served.principal.tag,
            reason: close.reason,
        };
        // A dropped receiver has chosen not to hear.
        let _ = hub.events.send(event).await;
    }
    let will = served
        .will
        .filter(|_| close.reason != DisconnectReason::ByClient);
    hub.close(
        served.key,
        &line.mailbox,
        served.connection,
        served.keep,
        will,
    );
    hub.established.fetch_sub(1, Ordering::Relaxed);
    hub.metrics.one(Count::ConnectionsClosed);
    close.is_told()
}

fn count_end(line: &Line, close: &Close) {
    let count = match close.reason {
        DisconnectReason::ByClient | DisconnectReason::ByClientWithWill => return,
        DisconnectReason::ConnectionLost => Count::ConnectionLost,
        DisconnectReason::KeepAliveTimeout => Count::KeepAliveTimeout,
        DisconnectReason::TakenOver => Count::TakenOver,
        DisconnectReason::ProtocolViolation(code) => match code {
            ReasonCode::PacketTooLarge => Count::PacketTooLarge,
            ReasonCode::MalformedPacket => Count::MalformedPacket,
            ReasonCode::ReceiveMaximumExceeded => Count::ReceiveMaximumExceeded,
            _ => Count::ProtocolError,
        },
        // Counted where the publish was denied.
        DisconnectReason::NotAuthorized => return,
        DisconnectReason::QueueFull => Count::QueueFull,
        DisconnectReason::ByServer(_) | DisconnectReason::ServerShutdown => Count::ClosedByServer,
    };
    line.hub.metrics.one(count);
}
