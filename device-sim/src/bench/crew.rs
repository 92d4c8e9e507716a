//! Threads with clients, and what they count.
//!
//! Every thread has a runtime of its own, so that its clients share without locks and none of them moves to another
//! core. A coordinator outside looks at the counts and says when the next phase begins.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};

use super::client::{Connection, Target, Trouble, Who};
use super::report::LatencyReport;

/// Longest latency that is told apart, in microseconds.
const LATENCY_MAX: u64 = 600_000_000;

/// Between two looks of the coordinator.
const LOOK: Duration = Duration::from_millis(1);

/// Most reasons for failures that are told apart.
const REASONS_MAX: usize = 32;

/// What clients are to do now. Phases only go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Connect,
    Go,
    End,
}

/// What the clients of one thread have seen.
#[derive(Debug)]
pub(super) struct Tally {
    /// Connections that were accepted.
    pub(super) connected: AtomicU64,
    /// Attempts to connect that failed.
    pub(super) failed: AtomicU64,
    /// Clients that are ready for what is measured.
    pub(super) ready: AtomicU64,
    /// Messages that are due by the rate that is asked for.
    pub(super) due: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    /// Acknowledgements that refuse.
    pub(super) refused: AtomicU64,
    pub(super) delivered: AtomicU64,
    /// Connections that ended by themselves.
    pub(super) lost: AtomicU64,
    /// Nothing only if the constants that bound it did not fit.
    latency: Mutex<Option<Histogram<u64>>>,
    troubles: Mutex<BTreeMap<String, u64>>,
    last: Mutex<Option<Instant>>,
}

impl Tally {
    fn new() -> Self {
        let zero = || AtomicU64::new(0);
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX, 3).ok();
        Self {
            connected: zero(),
            failed: zero(),
            ready: zero(),
            due: zero(),
            sent: zero(),
            acknowledged: zero(),
            refused: zero(),
            delivered: zero(),
            lost: zero(),
            latency: Mutex::new(latency),
            troubles: Mutex::default(),
            last: Mutex::default(),
        }
    }

    /// Something that took so long has happened now.
    pub(super) fn took(&self, took: Duration) {
        self.all_took(&[micros(took)]);
        *self.last.lock() = Some(Instant::now());
    }

    /// The same for several, in microseconds, without noting when.
    pub(super) fn all_took(&self, took: &[u64]) {
        if took.is_empty() {
            return;
        }
        if let Some(latency) = self.latency.lock().as_mut() {
            for micros in took {
                latency.saturating_record((*micros).clamp(1, LATENCY_MAX));
            }
        }
    }

    pub(super) fn trouble(&self, trouble: &Trouble) {
        let mut troubles = self.troubles.lock();
        let reason = trouble.to_string();
        let known = troubles.len() < REASONS_MAX || troubles.contains_key(&reason);
        let reason = if known { reason } else { "other".to_owned() };
        *troubles.entry(reason).or_default() += 1;
    }

    /// A connection has ended.
    pub(super) fn lost(&self, trouble: &Trouble) {
        self.lost.fetch_add(1, Relaxed);
        self.trouble(trouble);
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What one thread works with.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) index: usize,
    pub(super) threads: usize,
    pub(super) tally: Arc<Tally>,
    /// Those of all threads.
    all: Arc<[Arc<Tally>]>,
    phase: watch::Receiver<Phase>,
}

impl Desk {
    /// Waits until `phase` has begun, or nobody is there any more to say so.
    pub(super) async fn wait_for(&self, phase: Phase) {
        let mut now = self.phase.clone();
        let _ = now.wait_for(|now| *now >= phase).await;
    }

    pub(super) fn is_over(&self) -> bool {
        *self.phase.borrow() == Phase::End
    }

    /// Which of `count` clients are this thread's.
    pub(super) fn share(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        (self.index..count).step_by(self.threads)
    }

    /// The same desk for work that the first thread has no part in, if there are others. Nothing for the first.
    pub(super) fn without_first(&self) -> Option<Self> {
        if self.threads == 1 {
            return Some(self.clone());
        }
        let index = self.index.checked_sub(1)?;
        Some(Self {
            index,
            threads: self.threads - 1,
            ..self.clone()
        })
    }

    /// All threads' sum of a count.
    pub(super) fn sum(&self, of: impl Fn(&Tally) -> &AtomicU64) -> u64 {
        sum(&self.all, of)
    }

    /// This thread's part of what may be under way at one time.
    pub(super) fn part_of(&self, at_once: usize) -> usize {
        at_once.div_ceil(self.threads).max(1)
    }

    /// Connects this thread's share of the clients, so many at a time, and lets `after` have each.
    pub(super) async fn connect<F, Fut>(
        &self,
        target: &Rc<Target>,
        clients: &Arc<Vec<Who>>,
        at_once: usize,
        after: F,
    ) where
        F: Fn(usize, Connection) -> Fut + Clone + 'static,
        Fut: Future<Output = ()>,
    {
        let numbers = Rc::new(RefCell::new(self.share(clients.len())));
        let slots: Vec<_> = (0..self.part_of(at_once))
            .map(|_| {
                let (numbers, target, clients) = (numbers.clone(), target.clone(), clients.clone());
                let (tally, after) = (self.tally.clone(), after.clone());
                spawn_local(async move {
                    loop {
                        let number = numbers.borrow_mut().next();
                        let Some(number) = number else { return };
                        let began = Instant::now();
                        match Connection::open(&target, &clients[number], number).await {
                            Ok(connection) => {
                                tally.took(began.elapsed());
                                tally.connected.fetch_add(1, Relaxed);
                                after(number, connection).await;
                            }
                            Err(trouble) => {
                                tally.trouble(&trouble);
                                tally.failed.fetch_add(1, Relaxed);
                            }
                        }
                    }
                })
            })
            .collect();
        for slot in slots {
            // A client that panicked is missed in the counts.
            let _ = slot.await;
        }
    }

    /// Connects this thread's share of the clients and holds their connections.
    pub(super) async fn hold(
        &self,
        target: &Rc<Target>,
        clients: &Arc<Vec<Who>>,
        at_once: usize,
    ) -> Held {
        let held = Held::default();
        let keep = held.clone();
        let keep = move |number, connection| {
            keep.borrow_mut().push((number, connection));
            std::future::ready(())
        };
        self.connect(target, clients, at_once, keep).await;
        held
    }
}

/// Connections that are held.
pub(super) type Held = Rc<RefCell<Vec<(usize, Connection)>>>;

/// All threads.
#[derive(Debug)]
pub(super) struct Crew {
    threads: Vec<JoinHandle<io::Result<()>>>,
    tallies: Arc<[Arc<Tally>]>,
    phase: watch::Sender<Phase>,
}

impl Crew {
    /// Starts `threads`, each of which does `work`.
    pub(super) fn start<F, Fut>(threads: usize, work: F) -> Self
    where
        F: Fn(Desk) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = ()>,
    {
        let (phase, phases) = watch::channel(Phase::Connect);
        let mut crew = Self {
            threads: Vec::new(),
            tallies: (0..threads).map(|_| Arc::new(Tally::new())).collect(),
            phase,
        };
        for index in 0..threads {
            let (all, tally) = (crew.tallies.clone(), crew.tallies[index].clone());
            let (work, phase) = (work.clone(), phases.clone());
            crew.threads.push(std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                let desk = Desk {
                    index,
                    threads,
                    tally,
                    all,
                    phase,
                };
                LocalSet::new().block_on(&runtime, work(desk));
                Ok(())
            }));
        }
        crew
    }

    pub(super) fn begin(&self, phase: Phase) {
        // Threads that have ended need not know.
        self.phase.send_replace(phase);
    }

    /// All threads' sum of a count.
    pub(super) fn sum(&self, of: impl Fn(&Tally) -> &AtomicU64) -> u64 {
        sum(&self.tallies, of)
    }

    /// The distribution of all latencies since it was taken last, as a report.
    pub(super) fn take_latency(&self) -> LatencyReport {
        let taken = self.take_latencies();
        taken.as_ref().map(LatencyReport::of).unwrap_or_default()
    }

    /// The distribution of all latencies since it was taken last; nothing as in [`Tally`].
    pub(super) fn take_latencies(&self) -> Option<Histogram<u64>> {
        let mut all: Option<Histogram<u64>> = None;
        for tally in &*self.tallies {
            if let Some(latency) = tally.latency.lock().as_mut() {
                match &mut all {
                    None => all = Some(latency.clone()),
                    // All have the same bounds, so that nothing is left out.
                    Some(all) => drop(all.add(&*latency)),
                }
                latency.reset();
            }
        }
        all
    }

    /// When the last thing with a latency happened.
    pub(super) fn last(&self) -> Option<Instant> {
        let lasts = self.tallies.iter().filter_map(|tally| *tally.last.lock());
        lasts.max()
    }

    pub(super) fn troubles(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for tally in &*self.tallies {
            for (reason, count) in &*tally.troubles.lock() {
                *all.entry(reason.clone()).or_default() += count;
            }
        }
        all
    }

    /// Looks until `done` or the time is over; returns whether it was done.
    pub(super) fn look(&self, patience: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        while !done(self) {
            if Instant::now() > deadline || self.threads.iter().all(JoinHandle::is_finished) {
                return done(self);
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    /// Ends all threads.
    pub(super) fn end(self) -> io::Result<()> {
        self.begin(Phase::End);
        for thread in self.threads {
            let ended = thread.join();
            ended
                .map_err(|_| io::Error::other("a thread of the load generator has panicked"))??;
        }
        Ok(())
    }
}

fn sum(tallies: &[Arc<Tally>], of: impl Fn(&Tally) -> &AtomicU64) -> u64 {
    tallies.iter().map(|tally| of(tally).load(Relaxed)).sum()
}

/// Something that is woken by others of the same thread.
#[derive(Debug, Default)]
pub(super) struct Bell(RefCell<Option<std::task::Waker>>);

impl Bell {
    /// Wakes whoever waits.
    pub(super) fn ring(&self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }

    /// Notes who waits.
    pub(super) fn wait(&self, cx: &std::task::Context<'_>) {
        let mut waiting = self.0.borrow_mut();
        match &mut *waiting {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waiting = Some(cx.waker().clone()),
        }
    }
}
