//! Rollcall beside mosquitto, rumqttd and rmqtt: the same generator, the same settings, in rounds that alternate.
//!
//! Rollcall is the whole server, durable as it comes, and every message is an OTAEvent for an operation under way; it is
//! acknowledged after its commit and goes into the engine. The others keep nothing and deliver to one subscriber. Every
//! server is a fresh process for every figure of every round. What does not work is shown as broken and ends nothing.

mod args;
mod generator;
mod kind;
mod table;

use crate::note;
use crate::report::Machine;
use crate::server::Counters;
use crate::tls::pki::Pki;
use anyhow::{Context, Result, ensure};
use device_sim::bench::IdleReport;
use generator::{Generator, Publishing};
use kind::{Kind, Needs, Peer};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use table::{Better, Goal, Outcome, Row};

pub(crate) use args::PeersArgs;

/// A comparison under way.
struct Comparison<'a> {
    args: &'a PeersArgs,
    generator: Generator,
    rollcall: PathBuf,
    kinds: Vec<Kind>,
    rows: Vec<Row>,
    size: Size,
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Size {
    rounds: u32,
    window: Duration,
    rest: Duration,
    /// Clients are divided by this.
    divisor: usize,
    /// Nothing: no peak.
    hold: Option<Duration>,
}

/// Clients of rumqttd, which takes some 700 a second, where a figure is a rate or a share of each.
const RUMQTTD_CLIENTS: usize = 2_000;

/// Connections for the CPU of each event.
const GROWTH: [usize; 5] = [100, 1_000, 5_000, 10_000, 19_000];

/// Events per second for the CPU of each event, and messages per second for the latency.
const STEADY: u64 = 20_000;
const BUSY: u64 = 30_000;

/// Windows of publishers where there are thousands.
const MANY_WINDOW: u16 = 8;

/// Messages per second that are planned for: what robots have to say must last.
const PLANNED: u64 = 400_000;

const FAN_IN: &str = "fan-in QoS 1, 100 publishers";
const FAN_IN_MANY: &str = "fan-in QoS 1, 5,000 publishers";
const QOS2: &str = "fan-in QoS 2, 100 publishers";

/// Runs everything and returns the Markdown.
pub(crate) fn measure(args: &PeersArgs, rollcall: PathBuf, machine: &Machine) -> Result<String> {
    let size = if args.quick {
        Size {
            rounds: args.rounds.unwrap_or(1),
            window: args.count_for.unwrap_or(Duration::from_secs(2)),
            rest: Duration::from_secs(1),
            divisor: 10,
            hold: None,
        }
    } else {
        Size {
            rounds: args.rounds.unwrap_or(5),
            window: args.count_for.unwrap_or(Duration::from_secs(5)),
            rest: Duration::from_secs(2),
            divisor: 1,
            hold: Some(args.hold).filter(|hold| !hold.is_zero()),
        }
    };
    let mut notes = Vec::new();
    let mut kinds = Vec::new();
    for kind in Kind::ALL {
        match kind.missing(&args.peers) {
            None => kinds.push(kind),
            Some(why) => {
                note(&format!("peers: {why}"));
                notes.push(why);
            }
        }
    }
    let mut comparison = Comparison {
        args,
        generator: Generator::find(args.generator.clone(), args.threads)?,
        rollcall,
        kinds,
        rows: Vec::new(),
        size,
    };
    let began = Instant::now();
    comparison.run()?;
    let lasted = began.elapsed().as_secs();
    notes.insert(0, comparison.method(lasted));
    let text = table::markdown(machine, &notes, &comparison.rows)?;
    if let Some(document) = &args.into {
        table::write_into(document, &text)?;
    }
    Ok(text)
}

impl Comparison<'_> {
    fn method(&self, lasted: u64) -> String {
        let Size {
            rounds,
            window,
            divisor,
            ..
        } = self.size;
        let quick = if divisor == 1 {
            String::new()
        } else {
            format!(" A quick run with a {divisor}th of the clients: its figures say nothing.")
        };
        format!(
            "Medians of {rounds} alternating rounds (least–most), ratios within a round; windows of {} s with payloads of {} \
             bytes, {} unacknowledged publishes of a client where 100 publish and {MANY_WINDOW} where more do; {} threads of \
             the generator; {} minutes in all.{quick}",
            window.as_secs(),
            self.args.size,
            self.args.window,
            self.args.threads,
            lasted.div_ceil(60),
        )
    }

    fn run(&mut self) -> Result<()> {
        let pki = Pki::create(0).context("no certificates")?;
        for round in 1..=self.size.rounds {
            self.fan_in(round)?;
            self.connect(round, &pki)?;
            self.fan_out(round)?;
            self.latency(round)?;
            self.growth(round)?;
        }
        if let Some(hold) = self.size.hold {
            self.peaks(hold, self.size.rounds + 1)?;
        }
        Ok(())
    }

    /// The servers in the order of this round: another one begins each time.
    fn turn(&self, round: u32) -> Vec<Kind> {
        let mut kinds = self.kinds.clone();
        let first = round.saturating_sub(1) as usize % kinds.len().max(1);
        kinds.rotate_left(first);
        kinds
    }

    fn scaled(&self, clients: usize) -> usize {
        (clients / self.size.divisor).max(10)
    }

    fn wanted(&self, name: &str) -> bool {
        let only = self.args.only.as_deref();
        only.is_none_or(|only| name.contains(only))
    }

    /// Notes what one server did, under each of these names.
    fn add(&mut self, kind: Kind, template: Row, outcome: Outcome) {
        if let Err(why) = &outcome {
            note(&format!(
                "peers: {}, {}: broken: {why}",
                kind.name(),
                template.name
            ));
        }
        let place = self.rows.iter().position(|row| row.name == template.name);
        let place = place.unwrap_or_else(|| {
            self.rows.push(template);
            self.rows.len() - 1
        });
        self.rows[place].add(kind, outcome);
    }

    /// A fresh server, for one figure.
    fn with<T>(
        &self,
        kind: Kind,
        needs: Needs<'_>,
        measure: impl FnOnce(&Peer) -> Result<T>,
    ) -> Result<T, String> {
        let peer = Peer::start(kind, needs, &self.rollcall, &self.args.peers);
        let measured = peer.and_then(|peer| measure(&peer));
        measured.map_err(|error| {
            let why = format!("{error:#}");
            // The first line says it; what follows are hints.
            why.lines().next().unwrap_or_default().to_owned()
        })
    }

    /// One window of publishing, with a rollout under way where it is Rollcall.
    fn publish(
        &self,
        kind: Kind,
        publishing: Publishing,
    ) -> Result<device_sim::bench::FanInReport, String> {
        let robots = publishing.publishers;
        // With fewer robots each has more to say.
        let ecus = if robots <= 1_000 { 32 } else { 4 };
        let needs = Needs {
            robots,
            ecus,
            tls: None,
        };
        let publishing = Publishing {
            repeat: repeat(&publishing, ecus),
            ..publishing
        };
        self.with(kind, needs, |peer| {
            let Peer::Rollcall(fleet) = peer else {
                return self.generator.fan_in(peer, publishing);
            };
            let rollout = fleet.prepare_rollout(needs)?;
            fleet.server.launch(rollout)?;
            let before = fleet.server.counters()?;
            let report = self.generator.fan_in(peer, publishing)?;
            let after = fleet.server.counters()?;
            covered(&before, &after, report.acknowledged, publishing.repeat)?;
            Ok(report)
        })
    }

    fn publishing(&self, publishers: usize, qos: u8, rate: Option<u64>) -> Publishing {
        let many = publishers > 100;
        Publishing {
            publishers: self.scaled(publishers),
            qos,
            window: if many { MANY_WINDOW } else { self.args.window },
            size: self.args.size,
            rate,
            duration: self.size.window,
            hold: None,
            repeat: 1,
        }
    }

    fn fan_in(&mut self, round: u32) -> Result<()> {
        let figures = [
            (FAN_IN, 100, 1, Goal::AtLeast(Kind::Mosquitto, 1.5)),
            (FAN_IN_MANY, 5_000, 1, Goal::AtLeast(Kind::Mosquitto, 1.5)),
            (QOS2, 100, 2, Goal::AtLeastRow(FAN_IN, 0.8)),
        ];
        for (name, publishers, qos, goal) in figures {
            if !self.wanted(name) {
                continue;
            }
            for kind in self.turn(round) {
                let report = self.publish(kind, self.publishing(publishers, qos, None));
                if let Ok(report) = &report {
                    let through = through(report);
                    note(&format!(
                        "peers: round {round}, {name}, {}: {through:.0}/s",
                        kind.name()
                    ));
                }
                let report = report.and_then(whole);
                let rate = report.as_ref().map(through).map_err(Clone::clone);
                let row = Row::new(name, "messages/s", Better::More).goal(goal);
                self.add(kind, row, rate);
                let cpu = report.map(|report| report.server_cpu_us_per_message.unwrap_or(0.0));
                let row = Row::new(format!("{name}: server CPU"), "us/message", Better::Less);
                self.add(kind, row, cpu);
            }
        }
        Ok(())
    }

    fn connect(&mut self, round: u32, pki: &Pki) -> Result<()> {
        let (rate, tcp, tls) = (
            "connects, 10,000 clients",
            "idle connection, TCP",
            "idle connection, TLS",
        );
        let rest = self.size.rest;
        for kind in self.turn(round) {
            if !self.wanted(rate) && !self.wanted(tcp) {
                break;
            }
            let clients = match kind {
                Kind::Rumqttd => RUMQTTD_CLIENTS.min(self.scaled(10_000)),
                _ => self.scaled(10_000),
            };
            let needs = Needs {
                robots: clients,
                ecus: 1,
                tls: None,
            };
            let report = self.with(kind, needs, |peer| {
                all_in(self.generator.idle(peer, clients, rest)?)
            });
            if let Ok(report) = &report {
                note(&format!(
                    "peers: round {round}, {rate}, {}: {:.0}/s, {:.0} bytes each",
                    kind.name(),
                    report.connect.connects_per_second,
                    report.bytes_per_connection
                ));
            }
            let connects = report
                .as_ref()
                .map(|report| report.connect.connects_per_second);
            let row = Row::new(rate, "connections/s", Better::More).goal(Goal::AtLeastBest(2.0));
            self.add(kind, row, connects.map_err(Clone::clone));
            let bytes = report.map(|report| report.bytes_per_connection);
            let row = Row::new(tcp, "bytes", Better::Less).goal(Goal::AtMostValue(4_096.0));
            self.add(kind, row, bytes);
        }
        for kind in self.turn(round) {
            if !self.wanted(tls) || !matches!(kind, Kind::Rollcall | Kind::Mosquitto) {
                continue;
            }
            let clients = self.scaled(2_000);
            let needs = Needs {
                robots: clients,
                ecus: 1,
                tls: Some(pki),
            };
            let report = self.with(kind, needs, |peer| {
                all_in(self.generator.idle(peer, clients, rest)?)
            });
            let row = Row::new(tls, "bytes", Better::Less).goal(Goal::AtMost(Kind::Mosquitto, 0.5));
            self.add(kind, row, report.map(|report| report.bytes_per_connection));
        }
        Ok(())
    }

    fn fan_out(&mut self, round: u32) -> Result<()> {
        let name = "one message to each of 10,000";
        if !self.wanted(name) {
            return Ok(());
        }
        for kind in self.turn(round) {
            let needs = Needs {
                robots: self.scaled(10_000),
                ecus: 4,
                tls: None,
            };
            let seconds = self.with(kind, needs, |peer| self.generator.fan_out(peer, needs));
            if let Ok(seconds) = &seconds {
                note(&format!(
                    "peers: round {round}, {name}, {}: {seconds:.3} s",
                    kind.name()
                ));
            }
            let row = Row::new(name, "s", Better::Less).goal(Goal::AtMost(Kind::Mosquitto, 0.5));
            self.add(kind, row, seconds);
        }
        Ok(())
    }

    fn latency(&mut self, round: u32) -> Result<()> {
        let name = "p99 of acknowledgements at 30,000/s";
        if !self.wanted(name) {
            return Ok(());
        }
        for kind in self.turn(round) {
            let report = self.publish(kind, self.publishing(100, 1, Some(BUSY)));
            let report = report.and_then(whole).and_then(|report| {
                if report.queue_grows {
                    return Err(format!("{BUSY}/s were not held"));
                }
                Ok(report.ack_latency)
            });
            if let Ok(latency) = &report {
                note(&format!(
                    "peers: round {round}, {name}, {}: p50 {:.2} ms, p99 {:.2} ms",
                    kind.name(),
                    latency.p50_ms,
                    latency.p99_ms
                ));
            }
            let p99 = report.as_ref().map(|latency| latency.p99_ms);
            let row = Row::new(name, "ms", Better::Less).goal(Goal::AtMostValue(15.0));
            self.add(kind, row, p99.map_err(Clone::clone));
            let p50 = report.map(|latency| latency.p50_ms);
            self.add(kind, Row::new("p50 of the same", "ms", Better::Less), p50);
        }
        Ok(())
    }

    fn growth(&mut self, round: u32) -> Result<()> {
        let beginning = "server CPU per event at 20,000/s";
        if !self.wanted(beginning) {
            return Ok(());
        }
        for connections in GROWTH {
            let name = format!("{beginning}, {connections} connections");
            let kind = Kind::Rollcall;
            let report = self.publish(kind, self.publishing(connections, 1, Some(STEADY)));
            let cpu = report
                .and_then(whole)
                .map(|report| report.server_cpu_us_per_message.unwrap_or(0.0));
            if let Ok(cpu) = &cpu {
                note(&format!("peers: round {round}, {name}: {cpu:.2} us"));
            }
            let mut row = Row::new(name, "us", Better::Less);
            if connections == GROWTH[GROWTH.len() - 1] {
                row = row.goal(Goal::FlatWithin(beginning, 0.25));
            }
            self.add(kind, row, cpu);
        }
        Ok(())
    }

    /// Once, after the rounds: the highest rates that are held.
    fn peaks(&mut self, hold: Duration, round: u32) -> Result<()> {
        for (figure, publishers, qos) in [(FAN_IN, 100, 1), (FAN_IN_MANY, 5_000, 1), (QOS2, 100, 2)]
        {
            let name = format!("{figure}: peak held for {} s", hold.as_secs());
            if !self.wanted(&name) {
                continue;
            }
            for kind in self.turn(round) {
                let publishing = Publishing {
                    hold: Some(hold),
                    ..self.publishing(publishers, qos, None)
                };
                let report = self.publish(kind, publishing).and_then(whole);
                let held = report.and_then(|report| {
                    let peak = report.peak.and_then(|peak| peak.held_per_second);
                    peak.map(|held| held as f64)
                        .ok_or_else(|| "no rate was held".to_owned())
                });
                if let Ok(held) = &held {
                    note(&format!("peers: {name}, {}: {held:.0}/s", kind.name()));
                }
                let mut row = Row::new(&name, "messages/s", Better::More);
                if qos == 1 {
                    row = row.goal(Goal::AtLeast(Kind::Mosquitto, 1.5));
                }
                self.add(kind, row, held);
            }
        }
        Ok(())
    }
}

/// The report, if every client was let in and is still there: bytes and rates of a part say something else.
fn all_in(report: IdleReport) -> Result<IdleReport> {
    let (clients, connected) = (report.connect.clients, report.connect.connected);
    ensure!(
        connected == clients && report.alive == clients && report.connect.failed == 0,
        "{connected} of {clients} clients were let in, and {} answered at the end",
        report.alive
    );
    Ok(report)
}

/// What Rollcall counts repetitions of a step as: taken, kept in the history, and no step forward.
const REPEATED: &str = "late_event";

/// Whether what Rollcall acknowledged is committed, and nothing was refused: MQTT 3.1.1 has no word for a refusal, so
/// that its PUBACK looks like any other. The first event of each step moves its target, the others are repetitions.
fn covered(before: &Counters, after: &Counters, acknowledged: u64, repeat: u32) -> Result<()> {
    let grown = |now: u64, then: u64| now.saturating_sub(then);
    let mut repeated = 0;
    for (why, count) in &after.refusals {
        let count = grown(*count, before.refusals.get(why).copied().unwrap_or(0));
        if why == REPEATED {
            repeated = count;
        } else {
            ensure!(count == 0, "the server refused {count} messages: {why}");
        }
    }
    let moved = grown(after.events_committed, before.events_committed);
    ensure!(
        moved + repeated >= acknowledged && moved.saturating_mul(u64::from(repeat)) >= acknowledged,
        "{acknowledged} events were acknowledged, but {moved} steps and {repeated} repetitions committed"
    );
    Ok(())
}

/// Messages per second that went all the way.
fn through(report: &device_sim::bench::FanInReport) -> f64 {
    if report.subscribers == 0 {
        report.acknowledged_per_second
    } else {
        report
            .acknowledged_per_second
            .min(report.delivered_per_second)
    }
}

/// The report, if nothing was lost or refused.
fn whole(report: device_sim::bench::FanInReport) -> Result<device_sim::bench::FanInReport, String> {
    let (lost, refused, undelivered) = (report.lost, report.refused, report.undelivered);
    if lost + refused + undelivered == 0 {
        return Ok(report);
    }
    let errors: Vec<_> = report.errors.keys().cloned().collect();
    Err(format!(
        "{lost} connections lost, {refused} messages refused, {undelivered} acknowledged and not delivered; {}",
        errors.join("; ")
    ))
}

/// How often robots must say each step so that a rollout lasts.
fn repeat(publishing: &Publishing, ecus: usize) -> u32 {
    // Searches try several rates, and hold some.
    let holding = publishing.hold.map_or(Duration::ZERO, |hold| hold * 5);
    let seconds = (publishing.duration + holding).as_secs() + 5;
    let events = publishing.rate.unwrap_or(PLANNED) * seconds;
    let steps = 200 * (publishing.publishers * ecus) as u64;
    u32::try_from(events.div_ceil(steps))
        .unwrap_or(u32::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledged_events_must_be_committed_and_none_refused() {
        let counters = |events_committed, repeated: u64, refused: u64| Counters {
            events_committed,
            refusals: [
                (REPEATED.to_owned(), repeated),
                ("unknown_operation".to_owned(), refused),
            ]
            .into(),
            ..Counters::default()
        };
        let before = counters(100, 10, 1);
        let check = |after, acknowledged, repeat| {
            let said = covered(&before, &after, acknowledged, repeat);
            said.map_err(|error| error.to_string())
        };
        assert_eq!(check(counters(150, 10, 1), 50, 1), Ok(()));
        assert_eq!(check(counters(150, 60, 1), 100, 2), Ok(()));
        let lost = check(counters(150, 10, 1), 51, 2).unwrap_err();
        assert!(lost.contains("50 steps and 0 repetitions"), "{lost}");
        // More repetitions than the robots say: operations were over.
        assert!(check(counters(110, 100, 1), 100, 2).is_err());
        let refused = check(counters(200, 10, 3), 50, 1).unwrap_err();
        assert!(refused.contains("refused 2"), "{refused}");
    }
}
