//! A whole fleet of any size and a rollout to all of it, for what each robot costs the server: beyond the limit of open files
//! the robots come over pipes within the server's process, through the same code.
//!
//! **How the server's memory is told from the robots'**: all robots are made first and wait at a gate, which shows what
//! they take. They are tasks of fixed size and own no buffer while they wait, so whatever else the process grows by is the
//! server's; the pipes are counted as the server's too.

mod api;
mod robot;

pub use api::Api;

use anyhow::{Context, Result, ensure};
use api::{LOOK, PATIENCE};
use parking_lot::Mutex;
use rollcall::config::{Config, Overrides, Switch};
use rollcall::server::Server;
use rollcall_broker::BrokerHandle;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;

/// The threads that robots run on.
pub const ROBOT_THREADS: &str = "robots";

/// Robots that connect at one time: fewer than the server allows in handshake.
const CONNECT_AT_ONCE: usize = 500;

/// Where robots come in.
pub enum Door {
    /// The listener of another process.
    Socket(SocketAddr),
    /// A broker of this process.
    Pipe(BrokerHandle),
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socket(_) => "sockets",
            Self::Pipe(_) => "pipes",
        })
    }
}

/// What all robots share.
struct Crowd {
    door: Door,
    /// The server's runtime, if it is in this process.
    server: Handle,
    secrets: String,
    robots: usize,
    turns: Semaphore,
    online: AtomicUsize,
    done: AtomicUsize,
    fault: Mutex<Option<String>>,
}

impl Crowd {
    fn secret(&self, number: usize) -> &str {
        let length = self.secrets.len() / self.robots;
        &self.secrets[number * length..][..length]
    }

    /// The first counts.
    fn fault(&self, text: String) {
        self.fault.lock().get_or_insert(text);
    }

    fn wait(&self, what: &str, reached: impl Fn(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !reached(self) {
            let fault = self.fault.lock().clone();
            ensure!(fault.is_none(), "{}", fault.unwrap_or_default());
            ensure!(Instant::now() < deadline, "waited in vain for {what}");
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

/// How the server is looked at.
pub struct Gauge<'a> {
    /// Bytes in use by the process that the server is in.
    pub memory: &'a dyn Fn() -> Result<u64>,
    /// CPU time that the server has used.
    pub cpu: &'a dyn Fn() -> Result<Duration>,
    /// Whether the robots are in that process too.
    pub is_shared: bool,
}

impl fmt::Debug for Gauge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauge").finish_non_exhaustive()
    }
}

/// One stage in a fleet's life.
#[derive(Debug, Clone)]
pub struct Stage {
    /// What happened.
    pub what: &'static str,
    /// How long it took.
    pub wall: Duration,
    /// CPU time of the server.
    pub cpu: Duration,
    /// What the server had taken at its end since it started, bytes.
    pub memory: u64,
}

/// Watches stage after stage.
struct Watch<'a> {
    gauge: &'a Gauge<'a>,
    empty: u64,
    robots: u64,
    begun: Instant,
    cpu: Duration,
    stages: Vec<Stage>,
}

impl Watch<'_> {
    fn begin(&mut self) -> Result<()> {
        self.cpu = (self.gauge.cpu)()?;
        self.begun = Instant::now();
        Ok(())
    }

    /// Ends a stage; what comes in afterwards still belongs to its memory.
    fn end(&mut self, what: &'static str, api: &Api) -> Result<()> {
        let wall = self.begun.elapsed();
        api.settle()?;
        let taken = (self.gauge.memory)()?.saturating_sub(self.empty);
        self.stages.push(Stage {
            what,
            wall,
            cpu: (self.gauge.cpu)()?.saturating_sub(self.cpu),
            memory: taken.saturating_sub(self.robots),
        });
        Ok(())
    }
}

/// Lets a fleet of this size register, connect and be updated.
///
/// # Errors
/// Something went wrong for a robot, or the rollout did not succeed everywhere.
pub fn grow(
    api: &Api,
    door: Door,
    server: &Handle,
    robots: usize,
    gauge: &Gauge<'_>,
) -> Result<Vec<Stage>> {
    let mut watch = Watch {
        gauge,
        empty: (gauge.memory)()?,
        robots: 0,
        begun: Instant::now(),
        cpu: Duration::ZERO,
        stages: Vec::new(),
    };
    watch.begin()?;
    let secrets = api.register(robots)?;
    if gauge.is_shared {
        watch.robots = secrets.capacity() as u64;
    }
    watch.end("register", api)?;

    let before = (gauge.memory)()?;
    let crowd = Arc::new(Crowd {
        door,
        server: server.clone(),
        secrets,
        robots,
        turns: Semaphore::new(0),
        online: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
        fault: Mutex::new(None),
    });
    let runtime = runtime(ROBOT_THREADS)?;
    for number in 0..robots {
        runtime.spawn(robot::live(Arc::clone(&crowd), number));
    }
    // All of them have been to the gate when one that comes later has.
    runtime.block_on(async { tokio::spawn(async {}).await })?;
    if gauge.is_shared {
        watch.robots += (gauge.memory)()?.saturating_sub(before);
    }

    watch.begin()?;
    crowd.turns.add_permits(CONNECT_AT_ONCE);
    crowd.wait("every robot to connect", |crowd| {
        crowd.online.load(SeqCst) == robots
    })?;
    watch.end("connect", api)?;

    let rollout = api.prepare(robots)?;
    watch.begin()?;
    api.launch(rollout)?;
    let launched = Stage {
        what: "launch",
        wall: watch.begun.elapsed(),
        cpu: (gauge.cpu)()?.saturating_sub(watch.cpu),
        memory: (gauge.memory)()?
            .saturating_sub(watch.empty)
            .saturating_sub(watch.robots),
    };
    watch.stages.push(launched);
    crowd.wait("every update", |crowd| crowd.done.load(SeqCst) == robots)?;
    let outcome = loop {
        match api.outcome(rollout)? {
            Some(outcome) => break outcome,
            None => std::thread::sleep(LOOK),
        }
    };
    watch.end("complete", api)?;
    ensure!(outcome == "success", "the rollout ended as {outcome}");
    let fault = crowd.fault.lock().clone();
    ensure!(fault.is_none(), "{}", fault.unwrap_or_default());
    Ok(watch.stages)
}

fn runtime(name: &str) -> Result<Runtime> {
    Builder::new_multi_thread()
        .thread_name(name)
        .enable_all()
        .build()
        .context("no runtime")
}

/// A server within this process.
#[derive(Debug)]
pub struct Within {
    server: Option<Server>,
    runtime: Runtime,
    /// Its API.
    pub api: Api,
}

impl Within {
    /// Starts one for so many robots over this data directory.
    ///
    /// # Errors
    /// See [`Server::start`].
    pub fn start(data_dir: &Path, robots: usize) -> Result<Self> {
        let free_port = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let mut config = Config::load(
            None,
            Overrides {
                data_dir: Some(data_dir.to_owned()),
                mqtt: free_port,
                mqtts: Some(Switch::Off),
                websocket: None,
                http: free_port,
                device_http: free_port,
                dev: false,
            },
        )?;
        config.mqtt.limits.max_connections = robots + 1;
        config.mqtt.limits.max_sessions = robots + 1;
        let runtime = runtime("server")?;
        let server = runtime.block_on(Server::start(config))?;
        let token = std::fs::read_to_string(data_dir.join("admin.token"))?;
        let api = Api::new(format!("http://{}", server.addresses.http), &token);
        Ok(Self {
            server: Some(server),
            runtime,
            api,
        })
    }

    /// Lets a fleet grow over pipes.
    ///
    /// # Errors
    /// See [`grow`].
    pub fn grow(&self, robots: usize, gauge: &Gauge<'_>) -> Result<Vec<Stage>> {
        let server = self.server.as_ref().context("the server has ended")?;
        let door = Door::Pipe(server.broker.clone());
        grow(&self.api, door, self.runtime.handle(), robots, gauge)
    }

    /// Ends it.
    ///
    /// # Errors
    /// The last commit failed.
    pub fn stop(mut self) -> Result<()> {
        let server = self.server.take().context("the server has ended")?;
        self.runtime.block_on(server.shut_down())?;
        Ok(())
    }
}
