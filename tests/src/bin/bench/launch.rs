//! From the launch to the last of the requests: the fan-out, with no events in its way.

use crate::fleet::{self, ECUS, Load};
use crate::report::{Figure, Mark};
use crate::server::Server;
use crate::{Bench, note};
use anyhow::{Context, Result};
use rollcall_tests::lean::Script;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

const ROBOTS: usize = 10_000;

pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let robots = bench.connected(ROBOTS);
    note(&format!("launch: {robots} robots"));
    let server = Server::start(&bench.server)?;
    let identities = fleet::register(&server, robots, robots)?;
    // The first event would come after everything that is measured.
    let script = Script {
        pause: Duration::from_secs(600),
        ..Script::typical()
    };
    let load = Load::connect(identities, script, &server)?;
    let rollout = server.prepare_rollout(&fleet::hardware_ids(), robots)?;
    let before = server.settle()?;

    let sent = Instant::now();
    server.launch(rollout)?;
    let answered = sent.elapsed();
    fleet::until("every request", || {
        load.fleet.begun.load(SeqCst) >= robots as u64
    })?;
    let last = load.fleet.last_begun.lock().context("no request came")? - sent;
    let after = server.settle()?;
    load.stop()?;

    let conditions = format!("{robots} idle robots x {ECUS} ECUs, cap {robots}");
    let committed = Duration::from_micros(after.commit_micros - before.commit_micros);
    Ok(vec![
        Figure::new("launch.last_request", last.as_secs_f64(), "s")
            .marked(Mark::AtMost(1.0))
            .under(conditions),
        Figure::new("launch.answered", answered.as_secs_f64(), "s").under(format!(
            "the API's answer; {:.3} s of it in {} commits",
            committed.as_secs_f64(),
            after.commits - before.commits
        )),
    ])
}
