//! What each robot costs the server as the fleet grows: over sockets to a server process as far as there are files, over pipes
//! within this process beyond that.

use crate::engine;
use crate::procfs::{Cpu, Memory};
use crate::report::{Figure, Mark};
use crate::server::Server;
use crate::{Bench, note};
use anyhow::{Context, Result};
use rollcall_tests::growth::{Api, Door, Gauge, ROBOT_THREADS, Stage, Within, grow};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Robots of the fleets that come over pipes.
const PIPED: [usize; 4] = [1_000, 10_000, 100_000, 500_000];

/// Robots of the fleets that come over sockets; each is a file here and one there.
const SOCKETS: [usize; 3] = [1_000, 10_000, MOST_SOCKETS];

/// Files are limited to 20,000 in many places, and each process needs some others.
pub(crate) const MOST_SOCKETS: usize = 19_000;

/// What 100,000 robots may take, bytes for each.
const PER_ROBOT: f64 = 10_000.0;

/// The fleets over pipes, or the one of that size.
pub(crate) fn pipes(bench: &Bench) -> Result<Vec<Figure>> {
    let sizes = bench.robots.map_or(PIPED.to_vec(), |robots| vec![robots]);
    let mut figures = Vec::new();
    for robots in sizes {
        note(&format!("growth: {robots} robots over pipes"));
        let directory = tempfile::tempdir()?;
        let server = Within::start(&directory.path().join("data"), robots)?;
        let memory = || match engine::live_memory() {
            Some(bytes) => Ok(bytes as u64),
            None => Ok(Memory::of(std::process::id())?.anonymous),
        };
        let own = || {
            let cpu = Cpu::of("self")?;
            let main = cpu.thread("bench");
            Ok(cpu.total.saturating_sub(cpu.thread(ROBOT_THREADS) + main))
        };
        let stages = server.grow(
            robots,
            &Gauge {
                memory: &memory,
                cpu: &own,
                is_shared: true,
            },
        )?;
        server.stop()?;
        figures.extend(told("pipes", robots, &stages));
    }
    Ok(figures)
}

/// The fleets over sockets, or the one of that size.
pub(crate) fn sockets(bench: &Bench) -> Result<Vec<Figure>> {
    let sizes = bench
        .robots
        .map_or(SOCKETS.to_vec(), |robots| vec![robots.min(MOST_SOCKETS)]);
    let mut figures = Vec::new();
    for robots in sizes {
        note(&format!("growth: {robots} robots over sockets"));
        let server = Server::start_for(&bench.server, robots)?;
        let token = std::fs::read_to_string(server.data_dir().join("admin.token"))?;
        let api = Api::new(server.api().to_owned(), &token);
        let runtime = Runtime::new().context("no runtime")?;
        let stages = grow(
            &api,
            Door::Socket(server.mqtt),
            runtime.handle(),
            robots,
            &Gauge {
                memory: &|| Ok(server.memory()?.anonymous),
                cpu: &|| Ok(server.cpu()?.total),
                is_shared: false,
            },
        )?;
        figures.extend(told("sockets", robots, &stages));
    }
    Ok(figures)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "bytes and counts of one run are far below 2^52"
)]
fn told(way: &str, robots: usize, stages: &[Stage]) -> Vec<Figure> {
    let each = |duration: Duration| duration.as_secs_f64() * 1e6 / robots as f64;
    let mut figures = Vec::new();
    for Stage {
        what,
        wall,
        cpu,
        memory,
    } in stages
    {
        let name = format!("growth.{way}.{robots}.{what}");
        let bytes = *memory as f64 / robots as f64;
        let mut memory = Figure::new(format!("{name}.memory"), bytes, "B/robot")
            .under(format!("{:.1} MB at its end", bytes * robots as f64 / 1e6));
        if robots <= 100_000 {
            memory = memory.marked(Mark::AtMost(PER_ROBOT.max(PER_ROBOT * 1e5 / robots as f64)));
        }
        figures.push(
            Figure::new(format!("{name}.time"), each(*wall), "us/robot").under(format!(
                "{:.2} s, server CPU {:.1} us/robot",
                wall.as_secs_f64(),
                each(*cpu)
            )),
        );
        figures.push(memory);
    }
    figures
}
