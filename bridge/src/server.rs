//! The server: database, writer, broker and HTTP listeners, put together and taken apart in the right order.

mod sockets;
mod tls;

use crate::access::FleetAccess;
use crate::api::{self, tokens::Tokens};
use crate::artifacts::{self, Artifacts};
use crate::config::Config;
use crate::ledger::Ledgers;
use crate::pairing;
use crate::pki::{self, Pki};
use crate::records::{self, LoadError};
use crate::store::space::DiskSpace;
use crate::store::{self, RedbStore};
use crate::writer::{self, Bridge, Running, Settings, Setup, SpawnError, WriterError};
use axum::Router;
use rollcall_broker::{Broker, BrokerHandle, RestoreError};
use sockets::Sockets;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Robots' doings that may wait for the writer: more than one batch holds, so that it never waits for the next.
const EVENT_QUEUE: usize = 16_384;

/// How long open HTTP requests, and then connections, may take at a shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// Files that the server needs beside its connections: database, listeners, uploads, downloads.
const OTHER_FILES: u64 = 512;

/// Why the server could not start. The message names what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be made.
    #[error("data directory {} cannot be made; choose another with --data-dir", .path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// The writer cannot start.
    #[error(transparent)]
    Writer(#[from] SpawnError),
    /// The stored MQTT sessions cannot be read.
    #[error("database cannot be loaded")]
    Load(#[from] LoadError),
    /// The stored MQTT sessions cannot be put together.
    #[error("MQTT sessions of the database cannot be loaded")]
    Sessions(#[from] RestoreError),
    /// A listener cannot be bound.
    #[error(
        "{key} = {address}: nobody can listen there; end what does, or choose another address with {flag} ADDR or in the \
         configuration"
    )]
    Bind {
        /// The key of the listener's address.
        key: &'static str,
        /// Where.
        address: SocketAddr,
        /// The flag that changes it.
        flag: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The artifact folder cannot be used.
    #[error(transparent)]
    Artifacts(#[from] artifacts::OpenError),
    /// Leftovers of uploads cannot be looked for.
    #[error("artifact folder cannot be swept")]
    Sweep(#[from] artifacts::SweepError),
    /// A certificate or key that configuration names cannot be used.
    #[error(
        "{key} = {}: this file cannot be used; name PEM files that the server may read, a certificate and the key that \
         belongs to it, or leave both out",
        .path.display()
    )]
    CertificateFile {
        /// The key that names it.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pki::Error,
    },
    /// Certificates cannot be read or made.
    #[error(transparent)]
    Pki(#[from] pki::Error),
    /// The system's certificates cannot be used, with which ledgers are checked.
    #[error("the HTTP client for ledgers cannot be made; look at the system's CA certificates")]
    Ledgers(#[from] reqwest::Error),
    /// The tokens cannot be read or made.
    #[error(transparent)]
    Tokens(#[from] api::tokens::Error),
}

impl StartError {
    /// Whether another configuration would help; then nothing was begun.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Bind { .. } | Self::CertificateFile { .. })
    }
}

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Plain MQTT.
    pub mqtt: SocketAddr,
    /// MQTT with TLS.
    pub mqtts: Option<SocketAddr>,
    /// MQTT over WebSocket.
    pub websocket: Option<SocketAddr>,
    /// The admin API.
    pub http: SocketAddr,
    /// Pairing and artifacts.
    pub device_http: SocketAddr,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub addresses: Addresses,
    /// The way to its writer.
    pub bridge: Bridge,
    /// The files that it hosts.
    pub artifacts: Arc<Artifacts>,
    /// Its certificates.
    pub pki: Arc<Pki>,
    /// Its broker.
    pub broker: BrokerHandle,
    stopped: oneshot::Receiver<Result<(), WriterError>>,
    cancel: CancellationToken,
    http: Vec<JoinHandle<()>>,
}

impl Server {
    /// Opens the data directory, recovers what it holds and begins to listen.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        tls::check(&config.tls)?;
        let sockets = Sockets::bind(&config)?;
        std::fs::create_dir_all(&config.data_dir).map_err(|source| StartError::DataDir {
            path: config.data_dir.clone(),
            source,
        })?;
        let (store, recovered) = open_store(&config)?;
        let addresses = sockets.addresses();
        let urls = tls::urls(&config, addresses);
        let pki = Arc::new(tls::open(&config, addresses)?);
        let artifacts = Arc::new(open_artifacts(&config, &urls.device)?);
        let tokens = Arc::new(Tokens::open_or_create(&config.data_dir)?);
        let sessions = records::mqtt::load(&store)?;
        let broker_slot = Arc::new(OnceLock::new());
        let (event_sender, events) = mpsc::channel(EVENT_QUEUE);
        let Running {
            bridge,
            registry,
            sessions: storage,
            stopped,
        } = writer::spawn(Setup {
            store,
            recovered,
            realm: config.realm.clone(),
            artifacts: Arc::clone(&artifacts),
            space: Box::new(DiskSpace::of(&config.data_dir)),
            settings: settings(&config),
            events,
            broker: Arc::clone(&broker_slot),
        })?;
        artifacts.start(&bridge).await?;
        let access = FleetAccess::new(
            config.realm.clone(),
            config.mqtt.open.clone(),
            config.dev,
            registry.clone(),
            bridge.shared_status(),
        );
        let limits = rollcall_broker::Config {
            limits: config.mqtt.limits.clone(),
        };
        let broker = Broker::restore(limits, Arc::new(access), event_sender, storage, sessions)?;
        // The writer must have the way out before the first robot can say anything.
        let _ = broker_slot.set(broker.handle());
        broker.listen(sockets.mqtt.listen()?);
        let broker_tls = tls::of_broker(&pki);
        if let Some(websocket) = sockets.websocket {
            let tls = config.websocket.tls.then(|| broker_tls.clone());
            broker.listen_websocket(websocket.listen()?, tls);
        }
        if let Some(mqtts) = sockets.mqtts {
            broker.listen_tls(mqtts.listen()?, broker_tls);
        }
        let pairing = pairing::router(pairing::Context {
            bridge: bridge.clone(),
            registry,
            pki: Arc::clone(&pki),
            realm: config.realm.as_str().into(),
            broker_url: Arc::new(tls::broker_url(&config, addresses)),
        });
        let device = artifacts::router(Arc::clone(&artifacts)).merge(pairing);
        let cancel = CancellationToken::new();
        let (ledgers, following) = Ledgers::start(
            bridge.clone(),
            Arc::clone(&artifacts),
            config.ledger,
            cancel.clone(),
        )?;
        let context = api::Context {
            bridge: bridge.clone(),
            tokens,
            artifacts: Arc::clone(&artifacts),
            ledgers,
            pki: Arc::clone(&pki),
            broker: broker.handle(),
            urls: Some(urls),
            realm: config.realm,
            started: writer::wall_clock(),
        };
        let device_tls = config.device_http.tls.then(|| tls::of_http(&pki));
        let http = vec![
            serve_http(
                sockets.http.listen()?,
                None,
                api::admin_router(context),
                &cancel,
            ),
            serve_http(sockets.device_http.listen()?, device_tls, device, &cancel),
            artifacts::check(Arc::clone(&artifacts), cancel.clone()),
            tls::renew(Arc::clone(&pki), cancel.clone()),
            following,
        ];
        Ok(Self {
            addresses,
            bridge,
            artifacts,
            pki,
            broker: broker.handle(),
            stopped,
            cancel,
            http,
        })
    }

    /// Serves until `stop` resolves, then shuts down; returns early when the writer fails.
    ///
    /// # Errors
    /// A commit failed: nothing of it was acknowledged, and a restart recovers.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<(), WriterError> {
        tokio::select! {
            () = stop => self.shut_down().await,
            result = &mut self.stopped => result.unwrap_or(Err(WriterError::Died)),
        }
    }

    /// Ends the listeners, then the connections, then the writer: what was taken in is committed and acknowledged.
    ///
    /// # Errors
    /// The last commit failed.
    pub async fn shut_down(self) -> Result<(), WriterError> {
        self.cancel.cancel();
        for task in self.http {
            let abort = task.abort_handle();
            if tokio::time::timeout(GRACE, task).await.is_err() {
                abort.abort();
            }
        }
        // With intake stopped nobody takes in that connections end; the writer's end then frees them.
        let ended = tokio::time::timeout(GRACE, self.broker.shutdown()).await;
        if ended.is_err() {
            tracing::warn!("connections did not end in time");
        }
        self.bridge.shutdown().await;
        self.stopped.await.unwrap_or(Err(WriterError::Died))
    }
}

fn open_store(config: &Config) -> Result<(RedbStore, store::Recovered), StartError> {
    let options = store::Options {
        cache_bytes: config.store.cache,
        ..store::Options::default()
    };
    Ok(RedbStore::open(&config.data_dir, options)?)
}

fn open_artifacts(config: &Config, url: &str) -> Result<Artifacts, StartError> {
    let settings = artifacts::Settings {
        max_size: config.device_http.max_artifact_size,
        max_uploads: config.device_http.max_uploads,
        reserve: config.store.reserve,
        ..config.artifacts.clone()
    };
    Ok(Artifacts::open(&config.data_dir, url, settings)?)
}

fn settings(config: &Config) -> Settings {
    Settings {
        housekeeping: Settings::default().housekeeping,
        disk_reserve_bytes: config.store.reserve,
        retention_ms: u64::try_from(config.store.retention.as_millis()).unwrap_or(u64::MAX),
    }
}

fn serve_http(
    listener: TcpListener,
    tls: Option<api::TlsSettings>,
    router: Router,
    cancel: &CancellationToken,
) -> JoinHandle<()> {
    let cancelled = cancel.clone().cancelled_owned();
    tokio::spawn(async move {
        match tls {
            None => api::serve(listener, router, cancelled).await,
            Some(tls) => api::serve_tls(listener, tls, router, cancelled).await,
        }
    })
}

/// Raises the limit of open files as far as the system allows, and says clearly when that is not enough.
pub fn raise_open_files(connections: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum;
    limit.current = hard;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let needed = connections as u64 + OTHER_FILES;
    if let Some(hard) = hard.filter(|hard| *hard < needed) {
        tracing::warn!(
            hard,
            needed,
            "the system allows fewer open files than mqtt.limits.max_connections needs; raise the hard limit \
             (ulimit -Hn) or lower the setting"
        );
    }
}
