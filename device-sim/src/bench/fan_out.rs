//! One message to each of many clients: `fan-out`.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::task::spawn_local;

use super::args::FanOutArgs;
use super::client::{Connection, Target, Trouble, Who};
use super::crew::{Crew, Desk, Phase, Tally};
use super::packet::{self, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL};
use super::process::Meter;
use super::publisher::{Line, Pace, Publisher, Source, answer};
use super::report::FanOutReport;
use super::robot::Robot;
use super::{BenchError, count, note, reasons, setup};
use crate::fleet::Member;

/// Clients that connect at one time.
const AT_ONCE: usize = 64;

/// Longest time for all clients to connect.
const PATIENCE: Duration = Duration::from_secs(600);

/// When messages came.
#[derive(Debug, Default)]
struct Arrivals {
    /// What latencies are counted from: the first publish, or the first message.
    origin: Mutex<Option<Instant>>,
    /// Microseconds since 1970.
    first: AtomicU64,
    last: AtomicU64,
}

impl Arrivals {
    fn note(&self, tally: &Tally) {
        let now = Instant::now();
        let origin = *self.origin.lock().get_or_insert(now);
        let unix = unix_us();
        // 0 until the first.
        let _ = self.first.compare_exchange(0, unix, SeqCst, SeqCst);
        self.last.fetch_max(unix, SeqCst);
        tally.took(now.saturating_duration_since(origin));
        tally.delivered.fetch_add(1, Relaxed);
    }
}

fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(1, super::crew::micros)
}

#[derive(Clone)]
struct Plan {
    target: Target,
    clients: Arc<Vec<Who>>,
    robots: Arc<Vec<Member>>,
    realm: String,
    publisher: Option<Who>,
    qos: u8,
    size: usize,
    window: usize,
    arrivals: Arc<Arrivals>,
}

pub(super) fn measure(args: &FanOutArgs) -> Result<FanOutReport, BenchError> {
    let plan = plan(args)?;
    let server = setup::server(&args.server)?;
    let clients = plan.clients.len() as u64;
    setup::files(plan.clients.len() + 1)?;
    let arrivals = plan.arrivals.clone();
    let crew = Crew::start(count(args.target.threads), move |desk| {
        let plan = plan.clone();
        async move { work(desk, plan).await }
    });
    let troubled =
        |crew: &Crew| crew.sum(|tally| &tally.failed) + crew.sum(|tally| &tally.lost) > 0;
    let ready = |crew: &Crew| crew.sum(|tally| &tally.ready);
    crew.look(PATIENCE, |crew| troubled(crew) || ready(crew) >= clients);
    if ready(&crew) < clients {
        let why = reasons(&crew.troubles());
        crew.end()?;
        return Err(BenchError::NotAll {
            what: "connect and subscribe",
            why,
        });
    }
    crew.take_latency();
    let meter = Meter::begin(server)?;
    if args.by_server {
        note("ready");
    }
    let go = Instant::now();
    crew.begin(Phase::Go);
    let delivered = |crew: &Crew| crew.sum(|tally| &tally.delivered);
    crew.look(args.messages.patience, |crew| delivered(crew) > 0);
    // Clients that wait for a server to begin are not busy, and that says nothing of them.
    let since_first = Meter::begin(None)?;
    let patience = args.messages.patience.saturating_sub(go.elapsed());
    crew.look(patience, |crew| delivered(crew) >= clients);
    let busiest_thread = since_first.read()?.busiest_thread;
    let usage = meter.read()?;
    let delivered = delivered(&crew);
    let origin = *arrivals.origin.lock();
    let last = crew.last().zip(origin);
    let report = FanOutReport {
        clients,
        delivered,
        seconds: last.map_or(0.0, |(last, origin)| (last - origin).as_secs_f64()),
        delivery_latency: crew.take_latency(),
        first_delivery_unix_us: arrivals.first.load(SeqCst),
        last_delivery_unix_us: arrivals.last.load(SeqCst),
        own_cpu_ms: usage.own.as_secs_f64() * 1e3,
        own_busiest_thread: busiest_thread,
        server_cpu_ms: usage.server.map(|used| used.as_secs_f64() * 1e3),
        errors: crew.troubles(),
    };
    crew.end()?;
    if delivered < clients {
        let why = reasons(&report.errors);
        return Err(BenchError::NotAll {
            what: "get their messages in time",
            why: format!("{delivered} of {clients} did; {why}"),
        });
    }
    Ok(report)
}

fn plan(args: &FanOutArgs) -> Result<Plan, BenchError> {
    let (target, wanted) = (&args.target, count(args.clients));
    if !args.by_server && target.credentials.is_some() {
        return Err(setup::SetupError::RobotsHearTheServer.into());
    }
    let robots = if args.by_server {
        setup::robots(target, wanted, usize::from(args.messages.ecus))?
    } else {
        Vec::new()
    };
    let clients: Vec<_> = if args.by_server {
        let logins = robots.iter().map(|robot| setup::robot_login(target, robot));
        logins.collect()
    } else {
        (0..wanted)
            .map(|number| setup::plain(target, "bench", number))
            .collect()
    };
    Ok(Plan {
        target: setup::target(target)?,
        clients: Arc::new(clients),
        robots: Arc::new(robots),
        realm: target.realm.clone(),
        publisher: (!args.by_server).then(|| setup::plain(target, "bench-sender", 0)),
        qos: args.qos,
        size: count(args.messages.size),
        window: usize::from(args.messages.window),
        arrivals: Arc::default(),
    })
}

async fn work(desk: Desk, plan: Plan) {
    let target = Rc::new(plan.target.clone());
    let (its, tally) = (plan.clone(), desk.tally.clone());
    let begin = move |number: usize, connection: Connection| {
        let (plan, tally) = (its.clone(), tally.clone());
        async move {
            let ready = match plan.robots.get(number) {
                Some(member) => subscribe_robot(&plan, member, connection, &tally).await,
                None => subscribe(&plan, number, connection).await,
            };
            match ready {
                Ok(connection) => {
                    tally.ready.fetch_add(1, Relaxed);
                    spawn_local(async move {
                        let trouble = listen(connection, &plan.arrivals, &tally).await;
                        tally.lost(&trouble);
                    });
                }
                Err(trouble) => tally.lost(&trouble),
            }
        }
    };
    desk.connect(&target, &plan.clients, AT_ONCE, begin).await;
    desk.wait_for(Phase::Go).await;
    if desk.index == 0
        && let Some(who) = &plan.publisher
        && let Err(trouble) = send(&plan, who).await
    {
        desk.tally.lost(&trouble);
    }
    desk.wait_for(Phase::End).await;
}

async fn subscribe(
    plan: &Plan,
    number: usize,
    mut connection: Connection,
) -> Result<Connection, Trouble> {
    let topic = topic(plan, number);
    connection.subscribe(&topic, plan.qos).await?;
    Ok(connection)
}

fn topic(plan: &Plan, number: usize) -> String {
    format!("{}/{}/requests", plan.realm, plan.clients[number].id)
}

async fn subscribe_robot(
    plan: &Plan,
    member: &Member,
    mut connection: Connection,
    tally: &Arc<Tally>,
) -> Result<Connection, Trouble> {
    let source = Source::Robot(Box::new(Robot::new(member, &plan.realm, 1, 0)));
    let shared = (Rc::new(Line::default()), Rc::new(Pace::default()));
    let mut robot = Publisher::new(source, 1, 1, shared, tally.clone());
    robot.introduce(&mut connection).await?;
    if robot.source.has_something() {
        // It was asked before everybody was ready.
        plan.arrivals.note(tally);
    }
    Ok(connection)
}

/// Takes messages; the first of them counts.
async fn listen(mut connection: Connection, arrivals: &Arrivals, tally: &Tally) -> Trouble {
    let mut heard = false;
    loop {
        let read = connection
            .read(|frame, version, out| {
                if frame.kind() == PUBLISH && !std::mem::replace(&mut heard, true) {
                    arrivals.note(tally);
                }
                answer(frame, version, out)
            })
            .await;
        if let Err(trouble) = read {
            return trouble;
        }
        if let Err(trouble) = connection.flush().await {
            return trouble;
        }
    }
}

/// Publishes one message to every client, as fast as the window allows.
async fn send(plan: &Plan, who: &Who) -> Result<(), Trouble> {
    let mut connection = Connection::open(&plan.target, who, 0).await?;
    let window = plan
        .window
        .min(usize::from(connection.receive_maximum))
        .max(1);
    let (payload, version) = (vec![0; plan.size], connection.version);
    let (mut under_way, mut id) = (0_usize, 0_u16);
    *plan.arrivals.origin.lock() = Some(Instant::now());
    for number in 0..plan.clients.len() {
        id = id % 60_000 + 1;
        let topic = topic(plan, number);
        packet::publish(&mut connection.out, version, plan.qos, id, &topic, &payload);
        under_way += usize::from(plan.qos > 0);
        while under_way >= window {
            connection.flush().await?;
            under_way -= acknowledged(&mut connection).await?;
        }
        if connection.out.len() > WRITE_AT_ONCE {
            connection.flush().await?;
        }
    }
    connection.flush().await?;
    while under_way > 0 {
        under_way -= acknowledged(&mut connection).await?;
        connection.flush().await?;
    }
    Ok(())
}

/// Bytes that are collected before they are written.
const WRITE_AT_ONCE: usize = 16 * 1024;

/// Waits for acknowledgements and counts those that end a publish.
async fn acknowledged(connection: &mut Connection) -> Result<usize, Trouble> {
    let mut ended = 0;
    connection
        .read(|frame, _, out| {
            match frame.kind() {
                PUBACK | PUBCOMP => ended += 1,
                PUBREC => match frame.acknowledges()? {
                    (_, true) => ended += 1,
                    (id, false) => packet::acknowledge(out, PUBREL, id),
                },
                _ => {}
            }
            Ok(())
        })
        .await?;
    Ok(ended)
}
