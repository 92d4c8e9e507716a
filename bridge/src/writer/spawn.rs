//! Starting the writer: recover what the database holds, tell the engine that time has passed, run.

use super::batch::Pending;
use super::clock::Clock;
use super::dev::Newcomers;
use super::handle::CONTROL_QUEUE;
use super::outbox::Outbox;
use super::run::{Retention, Writer, WriterError};
use super::trail::Trail;
use super::{Bridge, SessionStorage, Settings, Status};
use crate::artifacts::Artifacts;
use crate::history::Entry;
use crate::records::{self, LoadError};
use crate::registry::Registry;
use crate::store::space::Space;
use crate::store::{Recovered, RedbStore, Store};
use rollcall_broker::{BrokerHandle, Event};
use rollcall_engine::{Input, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// What a writer is made of.
#[derive(Debug)]
pub struct Setup {
    /// The opened database.
    pub store: RedbStore,
    /// What opening it found.
    pub recovered: Recovered,
    /// The realm that is served.
    pub realm: String,
    /// Where artifacts' URLs come from.
    pub artifacts: Arc<Artifacts>,
    /// How much disk is left.
    pub space: Box<dyn Space>,
    /// Settings.
    pub settings: Settings,
    /// What the broker reports; it must be this writer's own.
    pub events: mpsc::Receiver<Event>,
    /// The broker, once it runs.
    pub broker: Arc<OnceLock<BrokerHandle>>,
}

/// A writer at work.
#[derive(Debug)]
pub struct Running {
    /// The way to speak to it.
    pub bridge: Bridge,
    /// Who may connect.
    pub(crate) registry: Registry,
    /// Where its broker says that there is something to store.
    pub(crate) sessions: Arc<SessionStorage>,
    /// Resolves when it has stopped.
    pub stopped: oneshot::Receiver<Result<(), WriterError>>,
}

/// Why a writer could not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The stored rows cannot be put together.
    #[error("database cannot be loaded")]
    Load(#[from] LoadError),
    /// Its first commit or its thread failed.
    #[error(transparent)]
    Writer(#[from] WriterError),
}

/// Loads the state and starts the writer's thread.
///
/// # Errors
/// When the database cannot be understood, or the first commit fails.
pub fn spawn(setup: Setup) -> Result<Running, SpawnError> {
    let (state, chains) = records::load(&setup.store, &setup.recovered)?;
    let registry = Registry::default();
    for robot in state.robots(None) {
        registry.update(robot);
    }
    for token in state.pairing_tokens() {
        registry.update_token(token.key, Some(token));
    }
    let status = Arc::new(Status::default());
    let sessions = Arc::new(SessionStorage::default());
    let (control, controls) = mpsc::channel(CONTROL_QUEUE);
    let bridge = Bridge::new(control, setup.store.history(), Arc::clone(&status));
    let mut writer = Writer {
        store: setup.store,
        trail: Trail::of(&state),
        state,
        chains,
        telemetry: BTreeMap::new(),
        streams: super::Streams::default(),
        refusals: BTreeMap::new(),
        next_history: setup.recovered.next_history,
        registry: registry.clone(),
        newcomers: Newcomers::default(),
        outbox: Outbox::new(&setup.realm, setup.artifacts, setup.broker),
        status,
        sessions: Arc::clone(&sessions),
        settings: setup.settings,
        space: setup.space,
        clock: Clock::from(Timestamp(setup.recovered.at_ms)),
        last_commit: None,
        last_housekeeping: Instant::now(),
    };
    writer.look_at_disk();
    writer.started()?;
    let stopped = run(writer, setup.events, controls)?;
    Ok(Running {
        bridge,
        registry,
        sessions,
        stopped,
    })
}

impl<S: Store + Retention> Writer<S> {
    /// Tells the engine that the server was away, or that it begins.
    fn started(&mut self) -> Result<(), WriterError> {
        let mut pending = Pending::default();
        let down_since = self.state.now();
        let base = Some(self.outbox.base_url().to_owned());
        let input = Input::Started {
            down_since,
            base: base.clone(),
        };
        let outcome = self.apply(self.clock.now(), input);
        // A start is never refused.
        let _ = self.record(
            None,
            Entry::Started { down_since, base },
            outcome,
            &mut pending,
        );
        // Even with intake stopped: the reserve is there for this.
        self.commit(&mut pending)
    }
}

fn run(
    writer: Writer<RedbStore>,
    events: mpsc::Receiver<Event>,
    controls: mpsc::Receiver<super::Control>,
) -> Result<oneshot::Receiver<Result<(), WriterError>>, WriterError> {
    // A runtime of its own, for waiting only: the thread blocks in fsync for most of its life.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(WriterError::Start)?;
    let (report, stopped) = oneshot::channel();
    let body = move || {
        let result = runtime.block_on(writer.run(events, controls));
        // Nobody may be listening any more at the end of a shutdown.
        let _ = report.send(result);
    };
    std::thread::Builder::new()
        .name("writer".to_owned())
        .spawn(body)
        .map_err(WriterError::Start)?;
    Ok(stopped)
}
