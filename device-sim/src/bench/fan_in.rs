//! Many publish, one takes everything: `fan-in` and `qos2`.
//!
//! Publishers either keep their windows full, or follow a clock that makes messages due at a rate, whatever the server
//! does; what is due and cannot be sent waits, and its latency grows. With full windows they stop for a moment when the
//! server has acknowledged far more than it has delivered, so that what goes through is what it can keep up.

use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::task::spawn_local;

use super::args::{LoadArgs, Payload};
use super::client::{Connection, Target, Who};
use super::crew::{Crew, Desk, Phase};
use super::peak;
use super::process::Process;
use super::publisher::{Line, Pace, Publisher, Source, take_everything};
use super::report::{FanInReport, IntervalReport};
use super::robot::Robot;
use super::window::{self, Window};
use super::{BenchError, count, per, reasons, setup};
use crate::fleet::Member;

/// Rates of the clock that mean something else.
pub(super) const STOPPED: u64 = 0;
pub(super) const FREE: u64 = u64::MAX;

/// Between two looks of the clock while messages are due at a rate, and otherwise.
const TICK: Duration = Duration::from_millis(1);
const REST_TICK: Duration = Duration::from_millis(5);

/// Publishers that connect at one time.
const AT_ONCE: usize = 64;

/// Longest time for all clients to connect.
const PATIENCE: Duration = Duration::from_secs(600);

/// Publishers and subscribers at work.
pub(super) struct Load {
    pub(super) crew: Crew,
    /// Messages per second, all publishers together.
    pub(super) rate: Arc<AtomicU64>,
    pub(super) server: Option<Process>,
    pub(super) publishers: u64,
    /// Deliveries of each message.
    pub(super) subscribers: u64,
}

/// What every thread needs.
#[derive(Clone)]
struct Plan {
    target: Target,
    publishers: Arc<Vec<Who>>,
    /// The same as robots, if they are.
    robots: Arc<Vec<Member>>,
    subscribers: Arc<Vec<Who>>,
    rate: Arc<AtomicU64>,
    realm: String,
    qos: u8,
    subscriber_qos: u8,
    window: usize,
    size: usize,
    repeat: u32,
    /// Messages that may be acknowledged and not delivered, where it goes as fast as it can.
    ahead: u64,
}

/// Intervals are told to `out` as they come.
pub(super) fn measure(
    args: &LoadArgs,
    qos: u8,
    out: &mut impl Write,
) -> Result<FanInReport, BenchError> {
    let load = start(args, qos)?;
    let rate = args.rate.unwrap_or(FREE);
    load.rate.store(rate, Relaxed);
    std::thread::sleep(args.warm_up);
    let window = match args.every {
        None => window::measure(&load, args.rate, args.duration)?,
        Some(every) => {
            let mut tell = |interval: &IntervalReport| -> Result<(), BenchError> {
                writeln!(out, "{}", serde_json::to_string(interval)?)?;
                Ok(out.flush()?)
            };
            window::measure_telling(&load, args.rate, args.duration, every, &mut tell)?
        }
    };
    let peak = if args.find_peak {
        let open = window.throughput(load.subscribers);
        Some(peak::find(&load, open, args.hold)?)
    } else {
        None
    };
    let undelivered = window::drain(&load);
    let report = assemble(args, qos, &load, &window, undelivered, peak);
    load.crew.end()?;
    if window.acknowledged == 0 {
        if report.refused > 0 {
            return Err(BenchError::AllRefused(report.refused));
        }
        return Err(BenchError::nobody("was heard", &report.errors));
    }
    Ok(report)
}

fn assemble(
    args: &LoadArgs,
    qos: u8,
    load: &Load,
    window: &Window,
    undelivered: u64,
    peak: Option<super::report::PeakReport>,
) -> FanInReport {
    let (seconds, messages) = (window.seconds, window.acknowledged as f64);
    let each = |used: Duration| per(used.as_secs_f64() * 1e6, messages);
    FanInReport {
        publishers: load.publishers,
        subscribers: load.subscribers,
        qos,
        window: u64::from(args.messages.window),
        size: u64::from(args.messages.size),
        rate: args.rate,
        acknowledged: load.crew.sum(|tally| &tally.acknowledged),
        seconds,
        sent_per_second: per(window.sent as f64, seconds),
        acknowledged_per_second: per(messages, seconds),
        delivered_per_second: per(window.delivered as f64, seconds),
        ack_latency: window.latency,
        queue_before: window.queue_before,
        queue_after: window.queue_after,
        queue_grows: window.grows,
        undelivered,
        refused: load.crew.sum(|tally| &tally.refused),
        lost: load.crew.sum(|tally| &tally.lost),
        own_cpu_us_per_message: each(window.usage.own),
        own_busiest_thread: window.usage.busiest_thread,
        server_cpu_us_per_message: window.usage.server.map(each),
        peak,
        errors: load.crew.troubles(),
    }
}

/// Connects everybody, and waits until all may publish.
fn start(args: &LoadArgs, qos: u8) -> Result<Load, BenchError> {
    let (plan, server) = plan(args, qos)?;
    let (publishers, subscribers) = (plan.publishers.len(), plan.subscribers.len());
    setup::files(publishers + subscribers)?;
    let rate = plan.rate.clone();
    let crew = Crew::start(count(args.target.threads), move |desk| {
        let plan = plan.clone();
        async move { work(desk, plan).await }
    });
    let load = Load {
        crew,
        rate,
        server,
        publishers: publishers as u64,
        subscribers: subscribers as u64,
    };
    let needed = (publishers + subscribers) as u64;
    let over = |crew: &Crew| {
        crew.sum(|tally| &tally.connected) + crew.sum(|tally| &tally.failed) >= needed
    };
    load.crew.look(PATIENCE, over);
    let troubled =
        |crew: &Crew| crew.sum(|tally| &tally.failed) + crew.sum(|tally| &tally.lost) > 0;
    load.crew.look(args.messages.patience, |crew| {
        troubled(crew) || crew.sum(|tally| &tally.ready) >= needed
    });
    if load.crew.sum(|tally| &tally.ready) < needed {
        let mut why = reasons(&load.crew.troubles());
        if !troubled(&load.crew) && args.payload == Payload::OtaEvents {
            let asked = load.crew.sum(|tally| &tally.ready);
            why = format!(
                "only {asked} of {needed} robots got an OTARequest within {:?}: launch a rollout to all of them, with \
                 a cap that lets all be under way at once",
                args.messages.patience
            );
        }
        load.crew.end()?;
        return Err(BenchError::NotAll {
            what: "become ready",
            why,
        });
    }
    load.crew.take_latency();
    load.crew.begin(Phase::Go);
    Ok(load)
}

fn plan(args: &LoadArgs, qos: u8) -> Result<(Plan, Option<Process>), BenchError> {
    let target = &args.target;
    let wanted = count(args.publishers);
    let (robots, publishers) = match args.payload {
        Payload::Plain if target.credentials.is_some() => {
            return Err(setup::SetupError::RobotsSayEvents.into());
        }
        Payload::Plain => {
            let clients = (0..wanted).map(|number| setup::plain(target, "bench", number));
            (Vec::new(), clients.collect())
        }
        Payload::OtaEvents => {
            let robots = setup::robots(target, wanted, usize::from(args.messages.ecus))?;
            let logins = robots.iter().map(|robot| setup::robot_login(target, robot));
            let logins: Vec<_> = logins.collect();
            (robots, logins)
        }
    };
    let subscribers = match args.payload {
        Payload::Plain => usize::from(args.subscribers),
        Payload::OtaEvents => 0,
    };
    let subscribers = (0..subscribers).map(|number| setup::plain(target, "bench-taker", number));
    let plan = Plan {
        target: setup::target(target)?,
        publishers: Arc::new(publishers),
        robots: Arc::new(robots),
        subscribers: Arc::new(subscribers.collect()),
        rate: Arc::new(AtomicU64::new(STOPPED)),
        realm: target.realm.clone(),
        qos,
        subscriber_qos: args.subscriber_qos.unwrap_or(qos),
        window: usize::from(args.messages.window),
        size: count(args.messages.size),
        repeat: args.repeat,
        ahead: args.ahead,
    };
    Ok((plan, setup::server(&args.server)?))
}

/// One thread: its subscribers, its publishers, and their clock.
async fn work(desk: Desk, plan: Plan) {
    let target = Rc::new(plan.target.clone());
    let (tally, filter, qos) = (
        desk.tally.clone(),
        format!("{}/#", plan.realm),
        plan.subscriber_qos,
    );
    let take = move |_, mut connection: Connection| {
        let (tally, filter) = (tally.clone(), filter.clone());
        async move {
            let subscribed = connection.subscribe(&filter, qos).await;
            if let Err(trouble) = subscribed {
                return tally.lost(&trouble);
            }
            tally.ready.fetch_add(1, Relaxed);
            spawn_local(async move {
                let trouble = take_everything(connection, &tally).await;
                tally.lost(&trouble);
            });
        }
    };
    desk.connect(&target, &plan.subscribers, AT_ONCE, take)
        .await;

    let own_thread = if plan.subscribers.is_empty() {
        Some(desk.clone())
    } else {
        // Taking everything is one client's work, and is not to wait for publishers of its thread.
        desk.without_first()
    };
    let Some(desk) = own_thread else {
        return desk.wait_for(Phase::End).await;
    };
    let pace = Rc::new(Pace::default());
    let lines: Rc<Vec<_>> = Rc::new(
        desk.share(plan.publishers.len())
            .map(|_| Rc::new(Line::default()))
            .collect(),
    );
    let payload: Rc<[u8]> = vec![0; plan.size].into();
    let (publish, threads) = (plan.clone(), desk.threads);
    let (all_lines, its_pace, tally) = (lines.clone(), pace.clone(), desk.tally.clone());
    let begin = move |number: usize, connection: Connection| {
        let source = match publish.robots.get(number) {
            None => Source::Plain {
                topic: format!("{}/{}/events", publish.realm, publish.publishers[number].id),
                payload: payload.clone(),
            },
            Some(member) => {
                let (realm, repeat) = (&publish.realm, publish.repeat);
                Source::Robot(Box::new(Robot::new(member, realm, repeat, publish.size)))
            }
        };
        let shared = (all_lines[number / threads].clone(), its_pace.clone());
        let (qos, window) = (publish.qos, publish.window);
        let publisher = Publisher::new(source, qos, window, shared, tally.clone());
        live(publisher, connection)
    };
    desk.connect(&target, &plan.publishers, AT_ONCE, begin)
        .await;
    let share = lines.len() as f64 / plan.publishers.len() as f64;
    keep_time(&desk, &lines, &pace, &plan, share).await;
}

/// Introduces a publisher; the rest of its life goes on by itself.
async fn live(mut publisher: Publisher, mut connection: Connection) {
    let tally = publisher.tally.clone();
    if let Err(trouble) = publisher.introduce(&mut connection).await {
        return tally.lost(&trouble);
    }
    spawn_local(async move {
        let line = publisher.line.clone();
        let trouble = match publisher.wait_for_work(&mut connection).await {
            Ok(()) => {
                tally.ready.fetch_add(1, Relaxed);
                publisher.publish(connection).await
            }
            Err(trouble) => trouble,
        };
        line.dead.set(true);
        tally.lost(&trouble);
    });
}

/// Makes messages due, in turn for all of a thread's publishers, until the end.
async fn keep_time(desk: &Desk, lines: &[Rc<Line>], pace: &Pace, plan: &Plan, share: f64) {
    let (mut now, mut next) = (STOPPED, 0_usize);
    let (mut since, mut issued) = (Instant::now(), 0_u64);
    while !desk.is_over() {
        let asked = plan.rate.load(Relaxed);
        if asked != now {
            now = asked;
            (since, issued) = (Instant::now(), 0);
            pace.free.set(now == FREE);
            for line in lines {
                let forgotten = line.due.take().len() as u64;
                desk.tally.due.fetch_sub(forgotten, Relaxed);
                line.bell.ring();
            }
        }
        if now == FREE && !plan.subscribers.is_empty() {
            brake(desk, lines, pace, plan);
            tokio::time::sleep(TICK).await;
            continue;
        }
        if now == FREE || now == STOPPED || lines.is_empty() {
            tokio::time::sleep(REST_TICK).await;
            continue;
        }
        let gap = 1.0 / (now as f64 * share);
        let elapsed = since.elapsed().as_secs_f64();
        let before = issued;
        while (issued as f64) * gap < elapsed {
            let line = &lines[next % lines.len()];
            next += 1;
            let at = since + Duration::from_secs_f64(issued as f64 * gap);
            issued += 1;
            if !line.dead.get() {
                line.due.borrow_mut().push_back(at);
                line.bell.ring();
            }
        }
        desk.tally.due.fetch_add(issued - before, Relaxed);
        tokio::time::sleep(TICK).await;
    }
}

/// Stops publishers while the server is too far behind with its deliveries.
fn brake(desk: &Desk, lines: &[Rc<Line>], pace: &Pace, plan: &Plan) {
    let subscribers = plan.subscribers.len() as u64;
    let delivered = desk.sum(|tally| &tally.delivered) / subscribers;
    let acknowledged = desk.sum(|tally| &tally.acknowledged);
    let brakes = acknowledged.saturating_sub(delivered) > plan.ahead;
    if pace.braked.replace(brakes) && !brakes {
        for line in lines {
            line.bell.ring();
        }
    }
}
