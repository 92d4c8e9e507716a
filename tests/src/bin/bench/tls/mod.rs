//! TLS beside mosquitto: full mutual handshakes per second, server CPU of each, and memory of an idle connection.
//!
//! Both servers get the same certificates and the same clients, in rounds that alternate, each in a fresh process; the
//! figures are medians over the rounds, so that what else the machine does falls on both.

mod load;
mod peer;
pub(crate) mod pki;

pub(crate) use peer::serve;

use crate::report::{Figure, Mark};
use crate::{Bench, note};
use anyhow::{Context, Result};
use load::Fleet;
use peer::{Kind, Peer};
use pki::Pki;
use std::time::{Duration, Instant};

/// Connections that are held, and as many that come and go.
const CLIENTS: usize = 5_000;
const ROUNDS: usize = 5;
/// Connections before the first reading, so that what is set up once is not counted per connection.
const WARM_UP: usize = 50;
/// Quiet before memory is read.
const REST: Duration = Duration::from_millis(500);

/// One server's figures of one round.
#[derive(Debug, Clone, Copy)]
struct Round {
    /// Bytes by which the process grew, per connection that is held.
    resident: f64,
    /// Connections per second, from TCP to CONNACK, that come and go.
    rate: f64,
    /// Server CPU of each, seconds.
    cpu: f64,
}

pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let clients = bench.connected(CLIENTS);
    let mosquitto = Kind::Mosquitto.is_installed();
    let kinds: &[Kind] = if mosquitto {
        &[Kind::Rollcall, Kind::Mosquitto]
    } else {
        note("tls: mosquitto is skipped, it is not installed (Debian: apt-get install mosquitto)");
        &[Kind::Rollcall]
    };
    let pki = Pki::create(clients)?;
    let mut rounds = vec![Vec::new(); kinds.len()];
    for number in 1..=ROUNDS {
        for (kind, rounds) in kinds.iter().zip(&mut rounds) {
            let round = round(*kind, &pki)?;
            note(&format!(
                "tls: round {number} of {ROUNDS}, {kind:?}: {:.0}/s, {:.3} ms CPU each, {:.1} KB per idle connection",
                round.rate,
                round.cpu * 1e3,
                round.resident / 1e3
            ));
            rounds.push(round);
        }
    }
    let mut figures = Vec::new();
    for (kind, rounds) in kinds.iter().zip(&rounds) {
        figures.extend(tell(*kind, rounds, clients)?);
    }
    if let [ours, theirs] = &rounds[..] {
        figures.extend(compare(ours, theirs)?);
    }
    Ok(figures)
}

fn round(kind: Kind, pki: &Pki) -> Result<Round> {
    let peer = Peer::start(kind, pki)?;
    let fleet = Fleet::new(pki, peer.address())?;
    fleet.come_and_go(WARM_UP)?;
    let before = peer.memory()?;
    let held = fleet.connect()?;
    std::thread::sleep(REST);
    let after = peer.memory()?;
    let size = fleet.size() as f64;
    let resident = after.resident.saturating_sub(before.resident) as f64 / size;
    drop(held);
    std::thread::sleep(REST);

    let (cpu, started) = (peer.cpu()?, Instant::now());
    fleet.come_and_go(fleet.size())?;
    let took = started.elapsed().as_secs_f64();
    let cpu = peer.cpu()?.since(&cpu).total.as_secs_f64();
    Ok(Round {
        resident,
        rate: size / took,
        cpu: cpu / size,
    })
}

fn tell(kind: Kind, rounds: &[Round], clients: usize) -> Result<Vec<Figure>> {
    let name = kind.name();
    let figure = |what: &str, of: fn(&Round) -> f64, unit| -> Result<Figure> {
        let values: Vec<_> = rounds.iter().map(of).collect();
        let (least, median, most) = spread(&values)?;
        Ok(
            Figure::new(format!("tls.{name}.{what}"), median, unit).under(format!(
                "median of {} rounds, {least:.3} to {most:.3}",
                rounds.len()
            )),
        )
    };
    Ok(vec![
        figure("handshakes", |round| round.rate, "connections/s")?,
        figure("cpu", |round| round.cpu * 1e3, "ms")?,
        figure("idle", |round| round.resident / 1e3, "KB")?,
        Figure::new(format!("tls.{name}.clients"), clients as f64, "clients")
            .under("TLS 1.3, ECDSA P-256 on both sides, no resumption, CONNECT to CONNACK"),
    ])
}

/// Ratios within each round, since both servers had the same neighbours then.
fn compare(ours: &[Round], theirs: &[Round]) -> Result<Vec<Figure>> {
    let ratio = |what: &str, of: fn(&Round) -> f64| -> Result<Figure> {
        let pairs = ours.iter().zip(theirs);
        let values: Vec<_> = pairs.map(|(ours, theirs)| of(ours) / of(theirs)).collect();
        let (least, median, most) = spread(&values)?;
        Ok(
            Figure::new(format!("tls.ratio.{what}"), median, "of mosquitto's").under(format!(
                "median of {} rounds, {least:.2} to {most:.2}",
                values.len()
            )),
        )
    };
    Ok(vec![
        ratio("handshakes", |round| round.rate)?,
        ratio("cpu", |round| round.cpu)?,
        ratio("idle", |round| round.resident)?.marked(Mark::AtMost(0.5)),
    ])
}

/// Least, median and most.
fn spread(values: &[f64]) -> Result<(f64, f64, f64)> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let first = values.first().context("no round")?;
    let last = values.last().context("no round")?;
    Ok((*first, values[values.len() / 2], *last))
}
