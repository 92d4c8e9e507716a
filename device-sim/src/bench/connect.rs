//! Clients that connect: `connect`, `idle`, `churn` and `storm`.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::task::spawn_local;

use super::args::{ChurnArgs, ConnectArgs, GroupArgs, IdleArgs, StormArgs, TargetArgs};
use super::client::{Connection, Target, Who};
use super::crew::{Crew, Desk, Phase};
use super::process::{Meter, Process};
use super::report::{ChurnReport, ConnectReport, IdleReport, StormReport};
use super::{BenchError, count, per, setup};

/// Longest time for all clients to connect: none of them waits longer than this for its turn.
const PATIENCE: Duration = Duration::from_secs(600);

/// Between two attempts of one client in a storm.
const RETRY: Duration = Duration::from_millis(100);

/// Clients that connected and are held by their threads.
struct Group {
    crew: Crew,
    report: ConnectReport,
}

pub(super) fn connect(args: &ConnectArgs) -> Result<ConnectReport, BenchError> {
    let server = setup::server(&args.server)?;
    let group = hold(
        &args.target,
        server,
        args.group.clients,
        count(args.group.at_once),
    )?;
    group.crew.end()?;
    Ok(group.report)
}

/// Connects all; they stay until the crew ends.
fn hold(
    args: &TargetArgs,
    server: Option<Process>,
    clients: u32,
    at_once: usize,
) -> Result<Group, BenchError> {
    let clients = Arc::new(setup::clients(args, count(clients))?);
    let target = setup::target(args)?;
    setup::files(clients.len())?;
    let needed = clients.len() as u64;
    let (meter, began) = (Meter::begin(server)?, Instant::now());
    let crew = Crew::start(count(args.threads), move |desk: Desk| {
        let (target, clients) = (Rc::new(target.clone()), clients.clone());
        async move {
            let held = desk.hold(&target, &clients, at_once).await;
            desk.wait_for(Phase::Go).await;
            if !desk.is_over() {
                for (_, connection) in held.take() {
                    spawn_local(is_alive(connection, desk.clone()));
                }
            }
            desk.wait_for(Phase::End).await;
        }
    });
    crew.look(PATIENCE, |crew| {
        crew.sum(|tally| &tally.connected) + crew.sum(|tally| &tally.failed) >= needed
    });
    let connected = crew.sum(|tally| &tally.connected);
    let seconds = crew.last().map_or(0.0, |last| (last - began).as_secs_f64());
    let usage = meter.read()?;
    let report = ConnectReport {
        clients: needed,
        connected,
        failed: crew.sum(|tally| &tally.failed),
        seconds,
        connects_per_second: per(connected as f64, seconds),
        connect_latency: crew.take_latency(),
        own_cpu_us_per_connect: each(usage.own, connected),
        own_busiest_thread: usage.busiest_thread,
        server_cpu_us_per_connect: usage.server.map(|used| each(used, connected)),
        errors: crew.troubles(),
    };
    if connected == 0 {
        return Err(BenchError::nobody("connected", &report.errors));
    }
    Ok(Group { crew, report })
}

/// Looks whether a connection is still there, and keeps it until the end.
async fn is_alive(mut connection: Connection, desk: Desk) {
    match connection.ping().await {
        Ok(()) => {
            desk.tally.ready.fetch_add(1, Relaxed);
            desk.wait_for(Phase::End).await;
        }
        Err(trouble) => desk.tally.lost(&trouble),
    }
}

/// Microseconds of each.
fn each(used: Duration, count: u64) -> f64 {
    per(used.as_secs_f64() * 1e6, count as f64)
}

pub(super) fn idle(args: &IdleArgs) -> Result<IdleReport, BenchError> {
    let server = Process::find(args.server_pid).map_err(setup::SetupError::from)?;
    let GroupArgs { clients, at_once } = args.group;
    let connect = |clients| hold(&args.target, Some(server), clients, count(at_once));
    if args.warm_up_clients > 0 {
        connect(args.warm_up_clients.min(clients))?.crew.end()?;
        std::thread::sleep(args.rest);
    }
    let resident_before_bytes = server.resident()?;
    let Group { crew, report } = connect(clients)?;
    std::thread::sleep(args.rest);
    let quiet = Duration::from_secs(1);
    let before = server.cpu()?;
    std::thread::sleep(quiet);
    let used = server.cpu()? - before;
    let resident_after_bytes = server.resident()?;
    crew.begin(Phase::Go);
    let counted = |crew: &Crew| crew.sum(|tally| &tally.ready) + crew.sum(|tally| &tally.lost);
    crew.look(PATIENCE, |crew| counted(crew) >= report.connected);
    let alive = crew.sum(|tally| &tally.ready);
    let mut report = report;
    report.errors = crew.troubles();
    crew.end()?;
    let grown = resident_after_bytes as f64 - resident_before_bytes as f64;
    Ok(IdleReport {
        resident_before_bytes,
        resident_after_bytes,
        alive,
        bytes_per_connection: per(grown, report.connected as f64),
        idle_cpu_ms_per_second: used.as_secs_f64() * 1e3 / quiet.as_secs_f64(),
        connect: report,
    })
}

pub(super) fn churn(args: &ChurnArgs) -> Result<ChurnReport, BenchError> {
    let clients = Arc::new(setup::clients(&args.target, count(args.clients))?);
    let (target, server) = (setup::target(&args.target)?, setup::server(&args.server)?);
    setup::files(clients.len())?;
    let resident = server.map(Process::resident).transpose()?;
    let (meter, began) = (Meter::begin(server)?, Instant::now());
    // One client's share of the rate: a visit in so long.
    let each_in = args
        .rate
        .map(|rate| Duration::from_secs_f64(f64::from(args.clients) / f64::from(rate)));
    let crew = Crew::start(count(args.target.threads), move |desk: Desk| {
        let (target, clients) = (Rc::new(target.clone()), clients.clone());
        async move {
            let visits = desk.share(clients.len()).map(|number| {
                let (desk, target, clients) = (desk.clone(), target.clone(), clients.clone());
                spawn_local(async move {
                    let mut turns = each_in.map(|each_in| turns(each_in, number, clients.len()));
                    while !desk.is_over() {
                        if let Some(turns) = &mut turns {
                            turns.tick().await;
                        }
                        visit(&desk, &target, &clients[number], number).await;
                    }
                })
            });
            let visits: Vec<_> = visits.collect();
            desk.wait_for(Phase::End).await;
            for visit in visits {
                // A visit under way is not waited for.
                visit.abort();
            }
        }
    });
    std::thread::sleep(args.duration);
    let seconds = began.elapsed().as_secs_f64();
    let visits = crew.sum(|tally| &tally.delivered);
    let usage = meter.read()?;
    let resident_after = server.map(Process::resident).transpose()?;
    let growth = resident_after.zip(resident).map(|(now, then)| {
        i64::try_from(now).unwrap_or(i64::MAX) - i64::try_from(then).unwrap_or(i64::MAX)
    });
    let report = ChurnReport {
        clients: u64::from(args.clients),
        seconds,
        visits,
        visits_per_second: per(visits as f64, seconds),
        connect_latency: crew.take_latency(),
        failed: crew.sum(|tally| &tally.failed),
        server_cpu_us_per_visit: usage.server.map(|used| each(used, visits)),
        resident_growth_bytes: growth,
        errors: crew.troubles(),
    };
    crew.end()?;
    if visits == 0 {
        return Err(BenchError::nobody("came and went", &report.errors));
    }
    Ok(report)
}

/// When the `number`th of `clients` comes: the clients are spread over the time between two visits of one.
fn turns(each_in: Duration, number: usize, clients: usize) -> tokio::time::Interval {
    let late = each_in.mul_f64(number as f64 / clients as f64);
    let mut turns = tokio::time::interval_at(tokio::time::Instant::now() + late, each_in);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    turns
}

/// Comes and goes once; a failure is followed by a pause, so that a server that is gone is not hammered.
async fn visit(desk: &Desk, target: &Target, who: &Who, number: usize) {
    let began = Instant::now();
    let visited = match Connection::open(target, who, number).await {
        Ok(connection) => {
            desk.tally.took(began.elapsed());
            connection.close().await
        }
        Err(trouble) => Err(trouble),
    };
    match visited {
        Ok(()) => {
            desk.tally.delivered.fetch_add(1, Relaxed);
        }
        Err(trouble) => {
            desk.tally.trouble(&trouble);
            desk.tally.failed.fetch_add(1, Relaxed);
            tokio::time::sleep(RETRY).await;
        }
    }
}

pub(super) fn storm(args: &StormArgs) -> Result<StormReport, BenchError> {
    let clients = Arc::new(setup::clients(&args.target, count(args.clients))?);
    let (target, server) = (setup::target(&args.target)?, setup::server(&args.server)?);
    // Old connections may still be closing while the new ones are made.
    setup::files(2 * clients.len())?;
    let needed = clients.len() as u64;
    let crew = Crew::start(count(args.target.threads), move |desk: Desk| {
        let (target, clients) = (Rc::new(target.clone()), clients.clone());
        async move {
            let held = desk.hold(&target, &clients, AT_ONCE).await;
            desk.wait_for(Phase::Go).await;
            let dropped = Instant::now();
            drop(held.take());
            for number in desk.share(clients.len()) {
                let (desk, target, clients) = (desk.clone(), target.clone(), clients.clone());
                let held = held.clone();
                spawn_local(async move {
                    come_back(&desk, &target, &clients[number], number, dropped, &held).await;
                });
            }
            desk.wait_for(Phase::End).await;
        }
    });
    let all = crew.look(PATIENCE, |crew| {
        crew.sum(|tally| &tally.connected) + crew.sum(|tally| &tally.failed) >= needed
    });
    if !all || crew.sum(|tally| &tally.failed) > 0 {
        let troubles = crew.troubles();
        crew.end()?;
        return Err(BenchError::NotAll {
            what: "connect before the storm",
            why: super::reasons(&troubles),
        });
    }
    crew.take_latency();
    let (meter, began) = (Meter::begin(server)?, Instant::now());
    crew.begin(Phase::Go);
    crew.look(args.patience, |crew| {
        crew.sum(|tally| &tally.ready) >= needed
    });
    let back = crew.sum(|tally| &tally.ready);
    let usage = meter.read()?;
    let report = StormReport {
        clients: needed,
        back,
        seconds: crew.last().map_or(0.0, |last| (last - began).as_secs_f64()),
        back_latency: crew.take_latency(),
        failed_attempts: crew.sum(|tally| &tally.failed),
        server_cpu_us_per_client: usage.server.map(|used| each(used, back)),
        errors: crew.troubles(),
    };
    crew.end()?;
    if back < needed {
        return Err(BenchError::NotAll {
            what: "come back in time",
            why: super::reasons(&report.errors),
        });
    }
    Ok(report)
}

/// Connections that are made at one time before a storm.
const AT_ONCE: usize = 64;

async fn come_back(
    desk: &Desk,
    target: &Target,
    who: &Who,
    number: usize,
    dropped: Instant,
    held: &RefCell<Vec<(usize, Connection)>>,
) {
    while !desk.is_over() {
        match Connection::open(target, who, number).await {
            Ok(connection) => {
                desk.tally.took(dropped.elapsed());
                desk.tally.ready.fetch_add(1, Relaxed);
                held.borrow_mut().push((number, connection));
                return;
            }
            Err(trouble) => {
                desk.tally.trouble(&trouble);
                desk.tally.failed.fetch_add(1, Relaxed);
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
