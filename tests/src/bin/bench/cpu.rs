//! Server CPU per completed operation, from the request to the image that proves it.

use crate::fleet::{self, ECUS, Load};
use crate::report::{Figure, Mark};
use crate::server::{PATIENCE, Server};
use crate::{Bench, note};
use anyhow::{Result, ensure};
use rollcall_tests::lean::Script;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

const ROBOTS: usize = 2_000;
const CAP: usize = 500;

#[expect(
    clippy::cast_precision_loss,
    reason = "operations of one run are far below 2^52"
)]
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let robots = bench.connected(ROBOTS);
    note(&format!("cpu: {robots} robots"));
    let server = Server::start(&bench.server)?;
    let identities = fleet::register(&server, robots, robots)?;
    let script = Script::typical();
    let events = script.steps.len();
    let load = Load::connect(identities, script, &server)?;
    let rollout = server.prepare_rollout(&fleet::hardware_ids(), CAP)?;
    let operations = (robots * ECUS) as u64;

    let (first, before) = (server.settle()?, server.cpu()?);
    let started = Instant::now();
    server.launch(rollout)?;
    fleet::until("every operation to end", || {
        load.fleet.ended.load(SeqCst) >= operations
    })?;
    wait_for_completion(&server, rollout)?;
    let took = started.elapsed().as_secs_f64();
    let (used, last) = (server.cpu()?.since(&before), server.counters()?);
    let most = load.fleet.most_running.load(SeqCst);
    ensure!(
        most <= CAP as u64,
        "{most} operations were under way at once, the cap is {CAP}"
    );
    load.stop()?;

    let operations = operations as f64;
    let writer = used.thread("writer");
    let inputs = (last.inputs_committed - first.inputs_committed) as f64;
    let commits = (last.commits - first.commits) as f64;
    Ok(vec![
        Figure::new(
            "cpu.per_operation",
            used.total.as_secs_f64() * 1e3 / operations,
            "ms",
        )
        .marked(Mark::AtMost(1.0))
        .under(format!(
            "{robots} robots x {ECUS} ECUs, cap {CAP}, {events} events and the image each, no downloads; writer \
             thread {:.0} % of it",
            writer.as_secs_f64() / used.total.as_secs_f64() * 100.0
        )),
        Figure::new("cpu.operations", operations / took, "operations/s").under(format!(
            "in {took:.1} s, {:.0} inputs per commit",
            inputs / commits
        )),
    ])
}

fn wait_for_completion(server: &Server, rollout: u64) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let path = format!("/v1/rollouts/{rollout}");
    while server.get(&path)?["status"] != "completed" {
        ensure!(Instant::now() < deadline, "the rollout does not complete");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
