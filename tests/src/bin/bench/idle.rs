//! Memory of a server that was started with its robots registered, and to which all of them have connected.

use crate::fleet::{self, ECUS, Load};
use crate::report::{Figure, Mark};
use crate::server::Server;
use crate::{Bench, note};
use anyhow::Result;
use rollcall_tests::lean::Script;
use std::time::Duration;

const ROBOTS: usize = 10_000;

/// Quiet before the reading.
const REST: Duration = Duration::from_secs(2);

#[expect(
    clippy::cast_precision_loss,
    reason = "bytes of one process are far below 2^52"
)]
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let robots = bench.connected(ROBOTS);
    note(&format!("idle: {robots} robots"));
    let mut server = Server::start(&bench.server)?;
    let identities = fleet::register(&server, robots, robots)?;
    let load = Load::connect(identities, Script::typical(), &server)?;
    server.terminate()?;
    load.wait_for_loss()?;

    let started = server.respawn()?;
    server.wait_until_ready()?;
    let without = server.memory()?;
    load.wait_for_reconnect()?;
    let reconnected = started.elapsed();
    server.settle()?;
    std::thread::sleep(REST);
    let with = server.memory()?;
    load.stop()?;

    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let grown = with.resident.saturating_sub(without.resident) as f64;
    let conditions = format!("{robots} connected robots x {ECUS} ECUs");
    Ok(vec![
        Figure::new("idle.rss", megabytes(with.resident), "MB")
            .marked(Mark::AtMost(150.0))
            .under(conditions.clone()),
        Figure::new("idle.anonymous", megabytes(with.anonymous), "MB")
            .under("of it heap and stacks"),
        Figure::new("idle.before", megabytes(without.resident), "MB").under(format!(
            "{robots} registered robots, the first just connecting"
        )),
        Figure::new("idle.per_robot", grown / 1e3 / robots as f64, "KB")
            .under("growth by connecting"),
        Figure::new("idle.reconnected", reconnected.as_secs_f64(), "s")
            .under("from the start to the last robot's return"),
    ])
}
