//! The writer's loop: take what has queued up, apply it, commit it once, and only then answer.

use super::batch::Pending;
use super::clock::Clock;
use super::dev::Newcomers;
use super::outbox::Outbox;
use super::trail::Trail;
use super::{Chains, Control, LastRefusal, SessionStorage, Settings, Status, Streams, View};
use crate::records;
use crate::registry::Registry;
use crate::store::space::Space;
use crate::store::{Batch, CommitError, RedbStore, Store};
use rollcall_broker::Event;
use rollcall_engine::{Input, RobotKey, Rollout, State, Timestamp};
use rollcall_proto::native;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Inputs of one commit: enough to share the cost of an fsync, few enough to keep latency bounded.
const MAX_BATCH: usize = 10_000;

/// Timers of one commit, beside its other inputs: under load deadlines come due all the same.
const MAX_TIMERS: usize = 1_000;

/// OTARequests that timers may bring into one commit: the robots of a [burst](rollcall_engine::BURST) are told before the next
/// one is looked at.
const MAX_REQUESTS: usize = rollcall_engine::BURST;

/// Between the starts of two commits under continuous load: tiny commits cost 33 to 72 KB each.
const MIN_COMMIT_INTERVAL: Duration = Duration::from_millis(5);

/// History records removed by one step of retention.
const TRIM_STEP: usize = 2_000;

/// How long retention may keep the writer from its other work, each time.
const TRIM_BUDGET: Duration = Duration::from_millis(50);

/// Why the writer has stopped.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// A commit failed: what it held is not acknowledged, and a restart recovers.
    #[error("commit failed, nothing of it was acknowledged; restart the server to recover")]
    Commit(#[from] CommitError),
    /// The thread has panicked; what it had not committed was not acknowledged.
    #[error(
        "writer thread has died, nothing uncommitted was acknowledged; restart the server to recover"
    )]
    Died,
    /// The thread could not begin.
    #[error("writer thread cannot start")]
    Start(#[source] std::io::Error),
}

/// Everything that the writer's thread owns.
pub(crate) struct Writer<S> {
    pub(super) store: S,
    pub(super) state: State,
    pub(super) chains: Chains,
    pub(super) telemetry: BTreeMap<RobotKey, native::State>,
    pub(super) streams: Streams,
    pub(super) refusals: BTreeMap<RobotKey, LastRefusal>,
    pub(super) next_history: u64,
    pub(super) registry: Registry,
    pub(super) newcomers: Newcomers,
    pub(super) outbox: Outbox,
    pub(super) trail: Trail,
    pub(super) status: Arc<Status>,
    pub(super) sessions: Arc<SessionStorage>,
    pub(super) settings: Settings,
    pub(super) space: Box<dyn Space>,
    pub(super) clock: Clock,
    pub(super) last_commit: Option<Instant>,
    pub(super) last_housekeeping: Instant,
}

/// What the loop woke up for.
enum Wake {
    Event(Event),
    Control(Control),
    /// Somebody waits for a session to be stored.
    Sessions,
    Timer,
    Closed,
}

impl<S: Store + Retention> Writer<S> {
    /// Runs until it is told to stop, or a commit fails.
    pub(crate) async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        mut control: mpsc::Receiver<Control>,
    ) -> Result<(), WriterError> {
        loop {
            let wake = self.wait(&mut events, &mut control).await;
            self.pace(&wake).await;
            let mut pending = Pending::default();
            let mut stop = false;
            match wake {
                Wake::Event(event) => self.take_event(event, &mut pending),
                Wake::Control(item) => stop |= self.take_control(item, &mut pending),
                Wake::Sessions | Wake::Timer => {}
                Wake::Closed => stop = true,
            }
            // What is queued at a stop was never answered; robots will say it again.
            while !stop && pending.inputs < MAX_BATCH {
                if let Ok(item) = control.try_recv() {
                    stop = self.take_control(item, &mut pending);
                } else if self.intake_open()
                    && let Ok(event) = events.try_recv()
                {
                    self.take_event(event, &mut pending);
                } else {
                    break;
                }
            }
            if self.intake_open() {
                self.take_due_timers(&mut pending);
                pending.sessions = self.outbox.unstored_sessions();
            }
            self.commit(&mut pending)?;
            self.publish(pending);
            self.housekeeping()?;
            if stop {
                return self.heartbeat();
            }
        }
    }

    async fn wait(
        &self,
        events: &mut mpsc::Receiver<Event>,
        control: &mut mpsc::Receiver<Control>,
    ) -> Wake {
        let open = self.intake_open();
        // A broker that is gone has nothing more to say, and would say so without end.
        let ended = events.is_closed() && events.is_empty();
        let until_timer = self
            .state
            .next_timer()
            .filter(|_| open)
            .map(|(at, _)| at.since(self.clock.now()));
        let sleep = until_timer.map_or(self.settings.housekeeping, |span| {
            Duration::from_millis(span).min(self.settings.housekeeping)
        });
        tokio::select! {
            biased;
            item = control.recv() => item.map_or(Wake::Closed, Wake::Control),
            event = events.recv(), if open && !ended => event.map_or(Wake::Timer, Wake::Event),
            () = self.sessions.is_wanted(), if open => Wake::Sessions,
            () = tokio::time::sleep(sleep) => Wake::Timer,
        }
    }

    /// Commits at once after idleness; under continuous load lets a batch gather.
    async fn pace(&self, wake: &Wake) {
        let Some(last) = self
            .last_commit
            .filter(|_| matches!(wake, Wake::Event(_) | Wake::Control(_) | Wake::Sessions))
        else {
            return;
        };
        let wait = MIN_COMMIT_INTERVAL.saturating_sub(last.elapsed());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn take_due_timers(&mut self, pending: &mut Pending) {
        let mut fired = 0;
        let now = self.clock.now();
        let most = pending.requests + MAX_REQUESTS;
        while let Some((at, timer)) = self.state.next_timer().filter(|(at, _)| *at <= now) {
            if fired == MAX_TIMERS || pending.requests >= most {
                return;
            }
            fired += 1;
            self.apply_timer(now.max(at), timer, pending);
        }
    }

    /// Makes everything in `pending` durable.
    pub(super) fn commit(&mut self, pending: &mut Pending) -> Result<(), WriterError> {
        if pending.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let batch = pending.batch(&self.state, &self.chains);
        let stats = self.store.commit(batch)?;
        self.last_commit = Some(started);
        let status = &self.status;
        status.commits.fetch_add(1, Relaxed);
        status
            .inputs_committed
            .fetch_add(pending.inputs as u64, Relaxed);
        status
            .events_committed
            .fetch_add(pending.events as u64, Relaxed);
        status
            .largest_batch
            .fetch_max(pending.inputs as u64, Relaxed);
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        status.commit_micros.add(micros);
        status.commit_inputs.add(pending.inputs as u64);
        tracing::trace!(commit = stats.commit, inputs = pending.inputs, "committed");
        Ok(())
    }

    /// Lets the world know what is durable now: connections, acknowledgements, requests, answers.
    fn publish(&mut self, pending: Pending) {
        self.trail.follow(&self.state, pending.rollouts());
        for key in &pending.robots {
            if let Some(robot) = self.state.robot(*key) {
                self.registry.update(robot);
            }
        }
        for key in &pending.tokens {
            self.registry
                .update_token(*key, self.state.pairing_token(*key));
        }
        if let Some(collected) = &pending.sessions {
            self.outbox.sessions_stored(collected);
        }
        self.outbox.settle(pending.settlements);
        self.outbox.perform(&self.state, pending.effects);
        let view = View {
            state: &self.state,
            chains: &self.chains,
            telemetry: &self.telemetry,
            streams: &self.streams,
            refusals: &self.refusals,
        };
        for answer in pending.answers {
            answer(&view);
        }
    }

    pub(super) fn intake_open(&self) -> bool {
        self.status.intake_stopped().is_none()
    }

    fn housekeeping(&mut self) -> Result<(), WriterError> {
        if self.last_housekeeping.elapsed() < self.settings.housekeeping {
            return Ok(());
        }
        self.last_housekeeping = Instant::now();
        self.look_at_disk();
        if !self.intake_open() {
            return Ok(());
        }
        self.heartbeat()?;
        let oldest_kept = self
            .clock
            .now()
            .0
            .saturating_sub(self.settings.retention_ms);
        let begun = Instant::now();
        while self.store.retain(Timestamp(oldest_kept), TRIM_STEP)? && begun.elapsed() < TRIM_BUDGET
        {
        }
        Ok(())
    }

    /// While rollouts run, the engine's time is made durable now and then: what passes without a commit would
    /// otherwise count as downtime and extend deadlines.
    fn heartbeat(&mut self) -> Result<(), WriterError> {
        if self.state.rollouts().any(Rollout::is_launched) {
            self.state.advance_clock(self.clock.now());
            let beat = Batch {
                at_ms: self.state.now().0,
                counters: records::encode_counters(self.state.counters()),
                ..Batch::default()
            };
            self.store.commit(beat)?;
        }
        Ok(())
    }

    /// Stops intake before the disk is full, and starts it again with some room to spare.
    pub(super) fn look_at_disk(&mut self) {
        let reserve = self.settings.disk_reserve_bytes;
        let available = match self.space.available() {
            Ok(available) => available,
            Err(error) => {
                tracing::warn!(%error, "free space of the data directory cannot be read");
                return;
            }
        };
        let stopped = !self.intake_open();
        if !stopped && available < reserve {
            let why = format!(
                "the disk has {available} bytes left, less than the reserve of {reserve}; free some space, intake \
                 then starts again by itself"
            );
            tracing::warn!(
                available,
                reserve,
                "intake stopped: the disk is nearly full"
            );
            self.status.set_intake_stopped(Some(why));
        } else if stopped && available >= reserve.saturating_add(reserve / 16) {
            tracing::info!(available, "intake started again: the disk has room");
            self.status.set_intake_stopped(None);
        }
    }

    pub(super) fn apply(&mut self, at: Timestamp, input: Input) -> rollcall_engine::Outcome {
        self.state.apply(at, input)
    }
}

/// A store that can forget old history.
pub(crate) trait Retention {
    /// Removes `step` history records if all of them are older than `before`; returns whether it did.
    fn retain(&mut self, before: Timestamp, step: usize) -> Result<bool, CommitError>;
}

impl Retention for RedbStore {
    fn retain(&mut self, before: Timestamp, step: usize) -> Result<bool, CommitError> {
        let history = self.history();
        let Ok(Some(oldest)) = history.oldest() else {
            return Ok(false);
        };
        let last = oldest + step as u64 - 1;
        // If the last record of the step is old enough, so are those before it.
        let Ok(Some(bytes)) = history.read(last) else {
            return Ok(false);
        };
        let old = crate::history::Record::decode(last, bytes.into())
            .is_ok_and(|record| record.at < before);
        if old {
            self.trim_history(last + 1, step)?;
        }
        Ok(old)
    }
}
