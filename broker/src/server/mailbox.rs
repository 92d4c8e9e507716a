//! What others leave for one connection: verdicts, messages, an order to leave.
//!
//! Anybody may write, only the connection's task reads. The task leaves its waker when it finds nothing; the first who
//! writes takes the waker away with him, so a batch of a thousand verdicts wakes the task once.

use crate::codec::{QoS, topic};
use crate::config::Limits;
use crate::connection::Close;
use crate::event::{ConnectionId, DisconnectReason, Verdict};
use crate::message::{Delivery, Queued};
use crate::routing::SessionKey;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::OnceLock;
use std::task::{Context, Waker};
use tokio::sync::oneshot;

/// Shared between a connection's task and everybody who has something for it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    id: ConnectionId,
    /// Set once the CONNECT was accepted.
    session: OnceLock<SessionRef>,
    content: Mutex<Content>,
}

/// Which session the connection serves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionRef {
    pub(crate) key: SessionKey,
    pub(crate) number: u64,
}

#[derive(Debug, Default)]
struct Content {
    waker: Option<Waker>,
    /// Nothing is taken in any more.
    closed: bool,
    order: Option<Close>,
    verdicts: Vec<(u64, Verdict)>,
    /// Something that the connection waits for is stored.
    nudged: bool,
    queue: VecDeque<Delivery>,
    queued_bytes: usize,
    /// Whether the task wants to hear of the queue now.
    wants_messages: bool,
    filters: Vec<(Box<str>, QoS)>,
    waiters: Vec<oneshot::Sender<()>>,
}

/// What a task finds.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    pub(crate) order: Option<Close>,
    pub(crate) verdicts: Vec<(u64, Verdict)>,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    Closed,
    NotSubscribed,
    Full,
}

impl Content {
    fn has_room(&self, delivery: &Delivery, limits: &Limits) -> bool {
        let bytes = self.queued_bytes + delivery.message.size();
        self.queue.len() < limits.queue_messages && bytes <= limits.queue_bytes
    }

    /// Gives back what is not taken.
    fn push(&mut self, delivery: Delivery, limits: &Limits) -> Result<(), (Rejected, Delivery)> {
        if self.closed {
            return Err((Rejected::Closed, delivery));
        }
        if !self.has_room(&delivery, limits) {
            self.order
                .get_or_insert(Close::because(DisconnectReason::QueueFull));
            wake(self.waker.take());
            return Err((Rejected::Full, delivery));
        }
        self.queued_bytes += delivery.message.size();
        self.queue.push_back(delivery);
        if self.wants_messages {
            wake(self.waker.take());
        }
        Ok(())
    }
}

impl Mailbox {
    pub(crate) fn new(id: ConnectionId) -> Self {
        Self {
            id,
            session: OnceLock::new(),
            content: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    pub(crate) fn session(&self) -> Option<SessionRef> {
        self.session.get().copied()
    }

    pub(crate) fn serve(&self, session: SessionRef) {
        self.session.get_or_init(|| session);
    }

    /// Leaves a verdict; gives it back if the connection has ended.
    pub(crate) fn settle(&self, ticket: u64, verdict: Verdict) -> Result<(), Verdict> {
        let mut content = self.content.lock();
        if content.closed {
            return Err(verdict);
        }
        content.verdicts.push((ticket, verdict));
        let waker = content.waker.take();
        drop(content);
        wake(waker);
        Ok(())
    }

    /// Wakes the connection, since something that it waits for is stored.
    pub(crate) fn nudge(&self) {
        let mut content = self.content.lock();
        content.nudged = true;
        let waker = content.waker.take();
        drop(content);
        wake(waker);
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.content.lock().closed
    }

    /// Whether the connection is ordered to end; if not, the waker is left for whoever orders it.
    pub(crate) fn is_ordered_to_end(&self, cx: &Context<'_>) -> bool {
        let mut content = self.content.lock();
        if content.order.is_none() {
            content.waker = Some(cx.waker().clone());
        }
        content.order.is_some()
    }

    /// Takes out what no subscription asks for any more.
    pub(crate) fn take_unwanted(&self) -> Vec<Delivery> {
        let mut content = self.content.lock();
        let filters = std::mem::take(&mut content.filters);
        let is_wanted = |delivery: &Delivery| {
            let topic = &delivery.message.topic;
            let mut filters = filters.iter();
            filters.any(|(filter, _)| topic::matches(topic::unshared(filter), topic))
        };
        let queue = std::mem::take(&mut content.queue);
        let (wanted, unwanted): (Vec<_>, Vec<_>) = queue.into_iter().partition(is_wanted);
        let sizes = unwanted.iter().map(|delivery| delivery.message.size());
        content.queued_bytes -= sizes.sum::<usize>();
        content.queue = wanted.into();
        content.filters = filters;
        unwanted
    }

    /// Orders the connection to end. The first order counts.
    pub(crate) fn order(&self, close: Close) {
        let mut content = self.content.lock();
        if content.closed {
            return;
        }
        content.order.get_or_insert(close);
        let waker = content.waker.take();
        drop(content);
        wake(waker);
    }

    /// Queues a message. A client whose queue is full is ordered to leave; only the first overflow says so.
    /// What is not taken is given back.
    pub(crate) fn push(&self, delivery: Delivery, limits: &Limits) -> Result<(), Delivery> {
        let pushed = self.content.lock().push(delivery, limits);
        pushed.map_err(|(_, delivery)| delivery)
    }

    /// Queues a message that somebody else can take as well; gives it back if there is no room.
    pub(crate) fn offer(&self, delivery: Delivery, limits: &Limits) -> Result<(), Delivery> {
        let mut content = self.content.lock();
        if content.closed || !content.has_room(&delivery, limits) {
            return Err(delivery);
        }
        // There is room, as was just seen.
        let _ = content.push(delivery, limits);
        Ok(())
    }

    /// Queues a message for this connection only, if it has subscribed to the topic.
    pub(crate) fn push_if_subscribed(
        &self,
        mut delivery: Delivery,
        limits: &Limits,
    ) -> Result<(), Rejected> {
        let mut content = self.content.lock();
        let granted = content
            .filters
            .iter()
            .filter(|(filter, _)| topic::matches(topic::unshared(filter), &delivery.message.topic))
            .map(|(_, granted)| *granted)
            .max();
        let Some(granted) = granted else {
            return Err(if content.closed {
                Rejected::Closed
            } else {
                Rejected::NotSubscribed
            });
        };
        delivery.qos = delivery.qos.min(granted);
        content
            .push(delivery, limits)
            .map_err(|(rejected, _)| rejected)
    }

    /// Puts a resumed session's waiting messages in front.
    pub(crate) fn preload(&self, queue: VecDeque<Delivery>) {
        let mut content = self.content.lock();
        for delivery in queue.into_iter().rev() {
            content.queued_bytes += delivery.message.size();
            content.queue.push_front(delivery);
        }
    }

    /// Looks for mail, and leaves the waker if there is none. `wants_messages`: queued messages count as mail.
    pub(crate) fn poll(&self, cx: &Context<'_>, wants_messages: bool) -> Option<Mail> {
        let mut content = self.content.lock();
        content.wants_messages = wants_messages;
        let has_messages = wants_messages && !content.queue.is_empty();
        let has_mail = content.order.is_some() || !content.verdicts.is_empty() || content.nudged;
        if !has_mail && !has_messages {
            let current = content
                .waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()));
            if !current {
                content.waker = Some(cx.waker().clone());
            }
            return None;
        }
        content.nudged = false;
        Some(Mail {
            order: content.order.clone(),
            verdicts: std::mem::take(&mut content.verdicts),
        })
    }

    /// The next message that waits.
    pub(crate) fn pop(&self) -> Option<Delivery> {
        let mut content = self.content.lock();
        let delivery = content.queue.pop_front()?;
        content.queued_bytes -= delivery.message.size();
        if content.queue.is_empty() && content.queue.capacity() > KEPT_CAPACITY {
            content.queue = VecDeque::new();
        }
        Some(delivery)
    }

    /// Messages that wait.
    pub(crate) fn waiting(&self) -> Queued {
        let content = self.content.lock();
        Queued {
            messages: content.queue.len(),
            bytes: content.queued_bytes,
        }
    }

    /// Notes a granted subscription, for `push_if_subscribed`.
    pub(crate) fn subscribed(&self, filter: &str, granted: QoS) {
        let mut content = self.content.lock();
        let known = content
            .filters
            .iter_mut()
            .find(|(known, _)| **known == *filter);
        match known {
            Some((_, qos)) => *qos = granted,
            None => {
                content.filters.reserve_exact(1);
                content.filters.push((filter.into(), granted));
            }
        }
    }

    /// Notes an ended subscription.
    pub(crate) fn unsubscribed(&self, filter: &str) {
        self.content
            .lock()
            .filters
            .retain(|(known, _)| **known != *filter);
    }

    /// Resolves (with an error) when the connection has ended and its session is free.
    pub(crate) fn ended(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut content = self.content.lock();
        if !content.closed {
            content.waiters.push(sender);
        }
        receiver
    }

    /// Takes nothing in any more; what is left belongs to the caller. Whoever waits for the end learns of it when the
    /// returned waiters are dropped.
    pub(crate) fn close(&self) -> Remains {
        let mut content = self.content.lock();
        content.closed = true;
        content.waker = None;
        content.filters = Vec::new();
        content.queued_bytes = 0;
        Remains {
            verdicts: std::mem::take(&mut content.verdicts),
            queue: std::mem::take(&mut content.queue),
            waiters: std::mem::take(&mut content.waiters),
        }
    }
}

/// What a closed mailbox held.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(crate) verdicts: Vec<(u64, Verdict)>,
    pub(crate) queue: VecDeque<Delivery>,
    pub(crate) waiters: Vec<oneshot::Sender<()>>,
}

/// Queue slots that an idle connection keeps allocated.
const KEPT_CAPACITY: usize = 8;

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
