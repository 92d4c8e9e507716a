//! What all tasks of one broker share.
//!
//! Lock order: `routing` before a mailbox or the journal, never the other way round; `connections` is held with no other
//! lock.

use super::mailbox::Mailbox;
use super::refusals::Refusals;
use crate::access::Access;
use crate::clock;
use crate::codec::{QoS, ReasonCode, SubscribeOptions};
use crate::config::{Config, Limits};
use crate::connection::{Close, Connection};
use crate::event::{ConnectionId, DisconnectReason, Event, Ticket, Verdict};
use crate::message::{Delivery, Message, Queued};
use crate::metrics::{Count, Metrics, MetricsSnapshot};
use crate::routing::{
    Claim, Handed, Opened, Ready, Routed, Router, SessionKey, Testament, TooManySessions,
};
use crate::storage::{
    self, Journal, Mark, RestoreError, SessionJournal, Storage, StoredRow, Taken, Unstored, Waiter,
};
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

/// Shared by listeners, connection tasks and handles.
pub(crate) struct Hub {
    pub(crate) limits: Arc<Limits>,
    pub(crate) access: Arc<dyn Access>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) metrics: Metrics,
    /// Of all listeners.
    pub(crate) handshaking: Arc<AtomicUsize>,
    pub(crate) established: Arc<AtomicUsize>,
    /// Steps of TLS handshakes that may run at one time: one core always remains for connections that are open.
    pub(crate) handshake_turns: Semaphore,
    /// What strangers, clients and robots may write into the log; each on its own, so that none hushes another.
    pub(crate) refused_handshakes: Refusals,
    pub(crate) refused_connects: Refusals,
    pub(crate) denied_publishes: Refusals,
    pub(crate) refused_subscriptions: Refusals,
    stopping: AtomicBool,
    /// Told when the broker stops and when the last connection has gone.
    pub(crate) changed: Notify,
    /// Told when the router has a new first deadline.
    pub(crate) deadlines: Notify,
    last_connection: AtomicU64,
    connections: RwLock<HashMap<ConnectionId, Arc<Mailbox>>>,
    routing: Mutex<Routing>,
    /// What is to be stored, if anything is.
    journal: Option<Arc<Journal>>,
    random: RandomState,
}

/// Members of a share that are tried before a message is dropped.
const MEMBER_TRIES: usize = 8;

struct Routing {
    router: Router,
    /// Mailboxes of the sessions that are online.
    links: HashMap<SessionKey, Arc<Mailbox>>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

/// How opening a session went.
pub(crate) enum Opening {
    /// Wait for this, then try again.
    Wait(oneshot::Receiver<()>),
    /// The session, and what has to be durable before its client is told.
    Ready(Box<Ready>, Mark),
}

impl Hub {
    pub(crate) fn new(
        config: Config,
        access: Arc<dyn Access>,
        events: mpsc::Sender<Event>,
        journal: Option<Arc<Journal>>,
    ) -> Self {
        let limits = Arc::new(config.limits.clamped());
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            access,
            events,
            metrics: Metrics::default(),
            handshaking: Arc::default(),
            established: Arc::default(),
            handshake_turns: Semaphore::new(cores.saturating_sub(1).max(1)),
            refused_handshakes: Refusals::default(),
            refused_connects: Refusals::default(),
            denied_publishes: Refusals::default(),
            refused_subscriptions: Refusals::default(),
            stopping: AtomicBool::new(false),
            changed: Notify::new(),
            deadlines: Notify::new(),
            last_connection: AtomicU64::new(0),
            connections: RwLock::default(),
            routing: Mutex::new(Routing {
                router: Router::new(Arc::clone(&limits), journal.clone()),
                links: HashMap::new(),
            }),
            journal,
            random: RandomState::new(),
            limits,
        }
    }

    /// A hub that goes on where the stored rows end.
    pub(crate) fn restore(
        config: Config,
        access: Arc<dyn Access>,
        events: mpsc::Sender<Event>,
        storage: Arc<dyn Storage>,
        rows: impl IntoIterator<Item = StoredRow>,
    ) -> Result<Self, RestoreError> {
        let journal = Arc::new(Journal::new(storage));
        let hub = Self::new(config, access, events, Some(Arc::clone(&journal)));
        storage::restore(&mut hub.routing.lock().router, &journal, rows)?;
        Ok(hub)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Tells everybody to end.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.changed.notify_waiters();
        let mailboxes: Vec<_> = self.connections.read().values().cloned().collect();
        for mailbox in mailboxes {
            mailbox.order(Close::because(DisconnectReason::ServerShutdown));
        }
    }

    /// Registers a new connection.
    pub(crate) fn enter(&self) -> Arc<Mailbox> {
        let id = ConnectionId(1 + self.last_connection.fetch_add(1, Ordering::Relaxed));
        let mailbox = Arc::new(Mailbox::new(id));
        self.connections.write().insert(id, Arc::clone(&mailbox));
        // Looked at after the registration, so that either `stop` sees the connection or the connection sees it.
        if self.is_stopping() {
            mailbox.order(Close::because(DisconnectReason::ServerShutdown));
        }
        mailbox
    }

    pub(crate) fn leave(&self, id: ConnectionId) {
        let mut connections = self.connections.write();
        connections.remove(&id);
        let last = connections.is_empty();
        drop(connections);
        if last {
            self.changed.notify_waiters();
        }
    }

    pub(crate) fn has_connections(&self) -> bool {
        !self.connections.read().is_empty()
    }

    pub(crate) fn connection(&self, id: ConnectionId) -> Option<Arc<Mailbox>> {
        self.connections.read().get(&id).cloned()
    }

    /// A client id that nobody uses and nobody can guess.
    pub(crate) fn propose_id(&self) -> String {
        loop {
            let mut hasher = self.random.build_hasher();
            hasher.write_u64(self.last_connection.load(Ordering::Relaxed));
            hasher.write_u64(RandomState::new().build_hasher().finish());
            let id = format!("auto-{:016x}", hasher.finish());
            if !self.routing.lock().router.is_known(&id) {
                return id;
            }
        }
    }

    pub(crate) fn open(
        &self,
        claim: &Claim<'_>,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Opening, TooManySessions> {
        let mut routed = Vec::new();
        let mut guard = self.routing.lock();
        let routing = &mut *guard;
        routing.router.noted = false;
        let opened = routing.router.open(claim, clock::now(), &mut routed);
        self.dispatch(routing, routed);
        self.count(&mut routing.router);
        let noted = self.noted(&mut routing.router);
        match opened? {
            Opened::Busy(owner) => {
                drop(guard);
                let (_, nobody) = oneshot::channel();
                let Some(other) = self.connection(owner) else {
                    return Ok(Opening::Wait(nobody));
                };
                let ended = other.ended();
                other.order(Close::because(DisconnectReason::TakenOver));
                Ok(Opening::Wait(ended))
            }
            Opened::Ready(mut ready) => {
                // Before anything new can come, which goes behind it and counts with it.
                mailbox.preload(std::mem::take(&mut ready.session.queue));
                routing.links.insert(ready.key, Arc::clone(mailbox));
                Ok(Opening::Ready(ready, noted))
            }
        }
    }

    /// Gives the session of an ended connection back; the mailbox takes nothing in from now on.
    pub(crate) fn close(
        &self,
        key: SessionKey,
        mailbox: &Mailbox,
        mut connection: Connection,
        keep: Duration,
        will: Option<Testament>,
        retained: VecDeque<Delivery>,
    ) {
        let now = clock::now();
        let mut routed = Vec::new();
        let mut unwritten = Vec::new();
        let mut guard = self.routing.lock();
        let routing = &mut *guard;
        let remains = mailbox.close();
        for (ticket, verdict) in remains.verdicts {
            // The answer cannot be written any more; what matters is what the session remembers.
            let _ = connection.settle(ticket, verdict, &mut unwritten);
        }
        let mut session = connection.into_session();
        let lasts = |delivery: &Delivery| !delivery.transient && delivery.qos != QoS::AtMostOnce;
        let waiting: Vec<_> = remains.queue.into_iter().filter(lasts).collect();
        let mut retained = retained.into_iter().filter(lasts).peekable();
        // What was gathered for a client that reads is more than what is kept for one that is away.
        let mut room = self.limits.queue_messages.saturating_sub(waiting.len());
        let sizes = waiting.iter().map(|delivery| delivery.message.size());
        let mut bytes = self.limits.queue_bytes.saturating_sub(sizes.sum());
        while let Some(size) = retained.peek().map(|delivery| delivery.message.size())
            && room > 0
            && size <= bytes
        {
            room -= 1;
            bytes -= size;
            session.queue.extend(retained.next());
        }
        session.queue.extend(waiting);
        for delivery in retained {
            routing.router.drop_noted(key, &delivery);
            routing.router.tally.queue_full += 1;
        }
        routing.links.remove(&key);
        routing
            .router
            .close(key, session, keep, will, now, &mut routed);
        self.dispatch(routing, routed);
        self.count(&mut routing.router);
        drop(guard);
        if !keep.is_zero() {
            self.deadlines.notify_one();
        }
        drop(remains.waiters);
    }

    /// Delivers a verdict to its connection, or to the session if the connection is gone.
    pub(crate) fn settle(&self, ticket: &Ticket, verdict: Verdict) {
        if ticket.sequence == 0 {
            return;
        }
        let Err(verdict) = ticket.mailbox.settle(ticket.sequence, verdict) else {
            return;
        };
        self.metrics.one(Count::LateVerdicts);
        let Some(session) = ticket.mailbox.session() else {
            return;
        };
        let mut guard = self.routing.lock();
        let routing = &mut *guard;
        let owner =
            routing
                .router
                .settle_late(session.key, session.number, ticket.sequence, &verdict);
        if let Some(mailbox) = owner.and_then(|key| routing.links.get(&key)) {
            // Closing needs the routing lock, so the session's owner still listens.
            let _ = mailbox.settle(ticket.sequence, verdict);
        }
    }

    /// Notes a session with its subscriptions, if it is stored; what has to be durable before its client is told.
    pub(crate) fn save(&self, key: SessionKey) -> Mark {
        let mut routing = self.routing.lock();
        routing.router.noted = false;
        routing.router.save(key, false);
        self.noted(&mut routing.router)
    }

    pub(crate) fn subscribe(
        &self,
        key: SessionKey,
        filter: &str,
        options: SubscribeOptions,
        identifier: Option<u32>,
    ) -> Result<Vec<Delivery>, ReasonCode> {
        self.routing
            .lock()
            .router
            .subscribe(key, filter, options, identifier, clock::now())
    }

    pub(crate) fn unsubscribe(&self, key: SessionKey, filter: &str) -> bool {
        self.routing.lock().router.unsubscribe(key, filter)
    }

    /// Routes a message to its subscribers. `also` notes what must be stored in one step with it. Returns what has to be
    /// durable before the publisher is told.
    pub(crate) fn publish(
        &self,
        publisher: Option<SessionKey>,
        message: &Arc<Message>,
        qos: QoS,
        retain: bool,
        also: impl FnOnce() -> Mark,
    ) -> Mark {
        let mut routed = Vec::new();
        let mut guard = self.routing.lock();
        let routing = &mut *guard;
        routing.router.noted = false;
        routing
            .router
            .publish(publisher, message, qos, retain, clock::now(), &mut routed);
        self.dispatch(routing, routed);
        self.count(&mut routing.router);
        also().max(self.noted(&mut routing.router))
    }

    /// What has to be durable before anybody is told of what the router has just done.
    fn noted(&self, router: &mut Router) -> Mark {
        match &self.journal {
            Some(journal) if std::mem::take(&mut router.noted) => journal.mark(),
            _ => 0,
        }
    }

    /// The journal as a session's connection writes it.
    pub(crate) fn journal_of(&self, session: Option<NonZeroU64>) -> SessionJournal {
        SessionJournal::new(self.journal.clone(), session)
    }

    /// Lets somebody wait until a mark is stored; false if it is.
    pub(crate) fn wait(&self, mark: Mark, waiter: Waiter) -> bool {
        self.journal
            .as_ref()
            .is_some_and(|journal| journal.wait(mark, waiter))
    }

    /// What is to be stored. Between two of the router's steps, so that each of them is stored whole.
    pub(crate) fn unstored(&self) -> Option<Unstored> {
        let journal = self.journal.as_ref()?;
        if !journal.is_dirty() {
            return None;
        }
        let between = self.routing.lock();
        let taken = journal.take();
        drop(between);
        taken.map(Taken::encode)
    }

    /// What was collected is durable.
    pub(crate) fn stored(&self, mark: Mark) {
        if let Some(journal) = &self.journal {
            journal.store(mark);
        }
    }

    /// Does what is due; the next moment at which something is.
    pub(crate) fn tick(&self) -> Option<Instant> {
        let mut routed = Vec::new();
        let mut guard = self.routing.lock();
        let routing = &mut *guard;
        routing.router.tick(clock::now(), &mut routed);
        self.dispatch(routing, routed);
        self.count(&mut routing.router);
        routing.router.next_deadline()
    }

    fn dispatch(&self, routing: &mut Routing, routed: Vec<Routed>) {
        for Routed { key, delivery } in routed {
            if delivery.share.is_some() {
                self.dispatch_shared(routing, key, delivery);
                continue;
            }
            if let Some(mailbox) = routing.links.get(&key)
                && let Err(dropped) = mailbox.push(delivery, &self.limits)
            {
                self.metrics.one(Count::MessageDropped);
                routing.router.drop_noted(key, &dropped);
            }
        }
    }

    /// A member whose queue is full is passed over, and stays.
    fn dispatch_shared(&self, routing: &mut Routing, mut key: SessionKey, mut delivery: Delivery) {
        let (mut tries, now) = (0, clock::now());
        while let Some(mailbox) = routing.links.get(&key) {
            let Err(back) = mailbox.offer(delivery, &self.limits) else {
                return;
            };
            routing.router.drop_noted(key, &back);
            tries += 1;
            let Some(shared) = back.share.filter(|_| tries < MEMBER_TRIES) else {
                break;
            };
            match routing.router.hand_to_member(&back.message, *shared, now) {
                Handed::Online(next) => (key, delivery) = (next.key, next.delivery),
                Handed::Queued => return,
                Handed::ToNobody => break,
            }
        }
        self.metrics.one(Count::MessageDropped);
    }

    fn count(&self, router: &mut Router) {
        let tally = std::mem::take(&mut router.tally);
        self.metrics.add(Count::MessageDropped, tally.queue_full);
        self.metrics.add(Count::RetainedLimit, tally.retained_limit);
        self.metrics.add(Count::WillsPublished, tally.wills);
        self.metrics
            .add(Count::SessionsExpired, tally.expired_sessions);
        self.metrics
            .add(Count::MessageExpired, tally.expired_messages);
    }

    pub(crate) fn snapshot(&self) -> MetricsSnapshot {
        // Each lock by itself: a look must not stop everybody.
        let mailboxes: Vec<_> = self.connections.read().values().cloned().collect();
        let waiting = mailboxes.iter().map(|mailbox| mailbox.waiting());
        let online = waiting.fold(Queued::default(), Queued::and);
        let routing = self.routing.lock();
        let (retained_messages, retained_bytes) = routing.router.retained();
        let queued = online.and(routing.router.waiting());
        MetricsSnapshot {
            connections: self.established.load(Ordering::Relaxed),
            handshaking: self.handshaking.load(Ordering::Relaxed),
            sessions: routing.router.sessions(),
            subscriptions: routing.router.subscriptions(),
            retained_messages,
            retained_bytes,
            queued_messages: queued.messages,
            queued_bytes: queued.bytes,
            events_waiting: self.events.max_capacity() - self.events.capacity(),
            unstored: self
                .journal
                .as_ref()
                .map_or(0, |journal| journal.unstored()),
            counts: Count::ALL
                .iter()
                .map(|count| self.metrics.get(*count))
                .collect(),
        }
    }
}
