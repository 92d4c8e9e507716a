//! Clients that only do what MQTT is for, while the broker is attacked. They must notice nothing.

mod exactly_once;
mod ledger;
mod pair;
mod robot;
mod visitor;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::arena::Arena;
use super::attack::Fault;
use super::incoming::Incoming;
use super::peer::{Heard, Peer};
use ledger::Ledger;

pub(super) use ledger::Conduct;
pub use ledger::RoundTrips;

/// Pause between two messages of one client.
const BEAT: Duration = Duration::from_millis(5);
/// Messages of every client before an attack begins, for a measure of its own.
const WARM: u64 = 20;
/// Messages of every client after an attack, which prove that all is as it was.
const PROOF: u64 = 3;
/// How often it is looked whether enough was said.
const LOOK: Duration = Duration::from_millis(5);

/// One innocent client at work.
#[derive(Debug, Clone)]
struct Innocent {
    arena: Arc<Arena>,
    ledger: Arc<Ledger>,
    name: &'static str,
    /// True when it shall come to an end.
    stop: watch::Receiver<bool>,
    stall: Duration,
}

/// All innocent clients.
#[derive(Debug)]
pub(super) struct Innocents {
    ledger: Arc<Ledger>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    names: Vec<&'static str>,
    stall: Duration,
}

impl Innocents {
    /// Sends them to work.
    pub(super) fn start(arena: &Arc<Arena>, stall: Duration) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut innocents = Self {
            ledger: Arc::default(),
            stop,
            tasks: JoinSet::new(),
            names: Vec::new(),
            stall,
        };
        let innocent = |name| Innocent {
            arena: arena.clone(),
            ledger: innocents.ledger.clone(),
            name,
            stop: stopped.clone(),
            stall,
        };
        let (pair, exactly_once) = (innocent("QoS 1 pair"), innocent("QoS 2 client"));
        let (visitor, robot) = (innocent("visitor"), innocent("robot"));
        if arena.open {
            innocents.spawn(pair, pair::run);
            innocents.spawn(exactly_once, exactly_once::run);
            innocents.spawn(visitor, visitor::run);
        }
        if !arena.robots.is_empty() {
            innocents.spawn(robot, robot::run);
        }
        innocents
    }

    fn spawn<F>(&mut self, innocent: Innocent, run: fn(Innocent) -> F)
    where
        F: Future<Output = Result<(), Fault>> + Send + 'static,
    {
        let (name, ledger) = (innocent.name, innocent.ledger.clone());
        self.names.push(name);
        let work = run(innocent);
        self.tasks.spawn(async move {
            if let Err(fault) = work.await {
                ledger.complain(format!("{name}: {fault}"));
            }
        });
    }

    /// Waits until all have a rhythm; whether they got there.
    pub(super) async fn warm(&self) -> bool {
        let warm = self.beats(WARM).await;
        self.ledger.attack_begins();
        warm
    }

    /// Waits until everybody has done so much more; whether they did.
    async fn beats(&self, more: u64) -> bool {
        let goal: Vec<_> = self
            .names
            .iter()
            .map(|name| (*name, self.ledger.beats(name) + more))
            .collect();
        let deadline = Instant::now() + self.stall * 4;
        loop {
            if goal
                .iter()
                .all(|(name, goal)| self.ledger.beats(name) >= *goal)
            {
                return true;
            }
            if self.ledger.has_complaints() || Instant::now() > deadline {
                return false;
            }
            sleep(LOOK).await;
        }
    }

    /// Lets them go on a little, then ends their work; what they have to say.
    pub(super) async fn finish(mut self) -> Conduct {
        if !self.beats(PROOF).await && !self.ledger.has_complaints() {
            let text = "innocent clients make no progress after the attack";
            self.ledger.complain(text.to_owned());
        }
        self.stop.send_replace(true);
        let ended = timeout(self.stall * 2, async {
            while self.tasks.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            let text = "innocent clients cannot finish what they began";
            self.ledger.complain(text.to_owned());
        }
        self.ledger.conduct()
    }
}

impl Innocent {
    fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    async fn pause(&self) {
        sleep(BEAT).await;
    }

    /// The next packet, which has to come before the server counts as stalled.
    async fn hear(&self, peer: &mut Peer, what: &str) -> Result<Incoming, Fault> {
        match peer.hear_within(self.stall).await? {
            Heard::Packet(Incoming::Disconnect { code }) => Err(Fault::new(format!(
                "disconnected with code 0x{code:02x} while waiting for {what}"
            ))),
            Heard::Packet(packet) => Ok(packet),
            Heard::Closed => Err(Fault::new(format!("hung up on while waiting for {what}"))),
            Heard::Silence => Err(Fault::new(format!("no {what} within {:.0?}", self.stall))),
        }
    }

    fn beat(&self, began: Instant) {
        self.ledger.beat(self.name, began.elapsed());
    }
}
