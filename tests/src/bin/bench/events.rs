//! Durable OTAEvents per second through the whole server.
//!
//! Every robot is in the middle of an operation and every event moves a target. What counts is the server's count of
//! events that a commit has made durable, within a window that begins after all robots have begun.

use crate::fleet::{self, ECUS, Load};
use crate::procfs::{self, Cpu};
use crate::report::{Figure, Mark};
use crate::server::{Counters, Server};
use crate::verify::{self, Checked};
use crate::{Bench, note};
use anyhow::{Result, ensure};
use rollcall_tests::lean::{QoS, Script};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

const ROBOTS: usize = 5_000;

/// Everything that is read at the window's two ends.
struct Sample {
    at: Instant,
    counters: Counters,
    acknowledged: u64,
    server: Cpu,
    own: Cpu,
    machine: Duration,
}

impl Sample {
    fn take(server: &Server, load: &Load) -> Result<Self> {
        Ok(Self {
            counters: server.counters()?,
            at: Instant::now(),
            acknowledged: load.fleet.acknowledged.load(SeqCst),
            server: server.cpu()?,
            own: Cpu::of("self")?,
            machine: procfs::machine()?,
        })
    }
}

pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let mut figures = one(bench, QoS::AtLeastOnce, "qos1")?;
    figures.extend(one(bench, QoS::ExactlyOnce, "qos2")?);
    Ok(figures)
}

fn one(bench: &Bench, qos: QoS, name: &str) -> Result<Vec<Figure>> {
    let robots = bench.connected(ROBOTS);
    note(&format!("events {name}: {robots} robots"));
    let mut server = Server::start(&bench.server)?;
    let identities = fleet::register(&server, robots, robots)?;
    let script = Script {
        qos,
        keep_log: true,
        ..Script::chatty()
    };
    let window = script.window;
    let load = Load::connect(identities, script, &server)?;
    let rollout = server.prepare_rollout(&fleet::hardware_ids(), robots)?;
    server.launch(rollout)?;
    fleet::until("every robot to begin", || {
        load.fleet.begun.load(SeqCst) >= robots as u64
    })?;

    let first = Sample::take(&server, &load)?;
    std::thread::sleep(bench.window);
    let last = Sample::take(&server, &load)?;
    let ended = load.fleet.ended.load(SeqCst);
    ensure!(
        ended < (robots * ECUS) as u64 * 3 / 4,
        "the robots ran out of work within the window: take more of them, or a shorter window"
    );

    let fleet = std::sync::Arc::clone(&load.fleet);
    let lives = load.stop()?;
    let counted = server.settle()?;
    server.terminate()?;
    let acknowledged = fleet.acknowledged.load(SeqCst);
    ensure!(
        counted.events_committed >= acknowledged,
        "{acknowledged} events were acknowledged, but only {} committed",
        counted.events_committed
    );
    let checked = verify::verify(server.data_dir(), &lives)?;
    ensure!(
        checked.recorded >= counted.events_committed,
        "{} events were committed, but the history has only {}",
        counted.events_committed,
        checked.recorded
    );
    let conditions = format!("{robots} robots x {ECUS} ECUs, {window} unacknowledged each");
    Ok(figures(
        name,
        &conditions,
        &first,
        &last,
        &counted,
        &checked,
    ))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of one run are far below 2^52"
)]
fn figures(
    name: &str,
    conditions: &str,
    first: &Sample,
    last: &Sample,
    counted: &Counters,
    checked: &Checked,
) -> Vec<Figure> {
    let seconds = (last.at - first.at).as_secs_f64();
    let (old, new) = (&first.counters, &last.counters);
    let events = (new.events_committed - old.events_committed) as f64;
    let acknowledged = (last.acknowledged - first.acknowledged) as f64;
    let commits = (new.commits - old.commits) as f64;
    let inputs = (new.inputs_committed - old.inputs_committed) as f64;
    let commit_time = Duration::from_micros(new.commit_micros - old.commit_micros).as_secs_f64();
    let (cpu, own) = (last.server.since(&first.server), last.own.since(&first.own));
    let cores = |used: Duration| used.as_secs_f64() / seconds;
    let writer = cpu.thread("writer");
    let figure =
        |what: &str, value, unit| Figure::new(format!("events.{name}.{what}"), value, unit);
    vec![
        figure("durable", events / seconds, "events/s")
            .marked(Mark::AtLeast(50_000.0))
            .under(format!("{conditions}, {seconds:.1} s")),
        figure("acknowledged", acknowledged / seconds, "events/s").under("as the robots counted"),
        figure("commits", commits / seconds, "commits/s"),
        figure("batch", inputs / commits, "inputs/commit")
            .under(format!("largest since the start: {}", new.largest_batch)),
        figure("commit_time", commit_time * 1e3 / commits, "ms/commit").under(format!(
            "{:.0} % of the window",
            commit_time / seconds * 100.0
        )),
        figure(
            "server_cpu",
            cpu.total.as_secs_f64() * 1e6 / events,
            "us/event",
        )
        .under(format!(
            "{:.2} cores: writer thread {:.2}, others {:.2}",
            cores(cpu.total),
            cores(writer),
            cores(cpu.total.saturating_sub(writer))
        )),
        figure("load_cpu", cores(own.total), "cores").under(format!(
            "the robots, on the same machine; others on it used {:.2} cores",
            cores((last.machine - first.machine).saturating_sub(cpu.total + own.total))
        )),
        figure("rows_checked", checked.rows as f64, "rows").under(format!(
            "{} events found in the history, {} B of file each; refused: {:?}",
            checked.acknowledged,
            checked.file_bytes / checked.recorded.max(1),
            counted.refusals
        )),
    ]
}
