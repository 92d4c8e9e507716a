//! The figures of the comparison: what each is called, how it is taken, and what it is to reach.

use super::checks::{all_in, repeat, through, whole};
use super::generator::Publishing;
use super::kind::{Kind, Needs, Peer};
use super::rows::{Better, Figure, Goal, Sample};
use super::{Comparison, checks};
use crate::tls::pki::Pki;
use anyhow::Result;
use device_sim::bench::{FanInReport, FanOutReport, IdleReport, PeakReport};
use std::time::Duration;

/// Clients of rumqttd, which takes some 700 a second, where a figure is a rate or a share of each.
const RUMQTTD_CLIENTS: usize = 2_000;

/// Connections for the CPU of each event.
const GROWTH: [usize; 5] = [100, 1_000, 5_000, 10_000, 19_000];

/// Events per second for the CPU of each event, and messages per second for the latency.
const STEADY: u64 = 20_000;
const BUSY: u64 = 30_000;

/// Windows of publishers where there are thousands.
pub(super) const MANY_WINDOW: u16 = 8;

const FAN_IN: &str = "fan-in QoS 1, 100 publishers";
const FAN_IN_MANY: &str = "fan-in QoS 1, 5,000 publishers";
const QOS2: &str = "fan-in QoS 2, 100 publishers";

/// Publishers and quality of service of each.
const FAN_INS: [(&str, usize, u8); 3] = [(FAN_IN, 100, 1), (FAN_IN_MANY, 5_000, 1), (QOS2, 100, 2)];

impl Comparison<'_> {
    /// One window of publishing, with a rollout under way where it is Rollcall.
    fn publish(&self, kind: Kind, publishing: Publishing) -> Result<FanInReport, String> {
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
        let report = self.with(kind, needs, |peer| {
            let Peer::Rollcall(fleet) = peer else {
                return self.generator.fan_in(peer, publishing);
            };
            let rollout = fleet.prepare_rollout(needs)?;
            fleet.server.launch(rollout)?;
            let before = fleet.server.counters()?;
            let report = self.generator.fan_in(peer, publishing)?;
            let after = fleet.server.counters()?;
            checks::covered(&before, &after, report.acknowledged, publishing.repeat)?;
            Ok(report)
        });
        report.and_then(whole)
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

    pub(super) fn fan_in(&mut self) -> Result<()> {
        for (name, publishers, qos) in FAN_INS {
            if !self.wanted(name) {
                continue;
            }
            let goal = match qos {
                2 => Goal::AtLeastRow(FAN_IN.to_owned(), 0.8),
                _ => Goal::AtLeast(Kind::Mosquitto, 1.5),
            };
            let figure = Figure::new(name, "messages/s", Better::More).goal(goal);
            for kind in self.turn() {
                let report = self.publish(kind, self.publishing(publishers, qos, None));
                self.add(kind, &figure, &report, |report| {
                    Sample::by(report.own_busiest_thread, through(report))
                })?;
                let server = Figure::new(format!("{name}: server CPU"), "us/message", Better::Less);
                self.add_detail(kind, &server, &report, |report| {
                    Sample::of(report.server_cpu_us_per_message.unwrap_or(0.0))
                })?;
                let generator =
                    Figure::new(format!("{name}: generator CPU"), "us/message", Better::Less);
                self.add_detail(kind, &generator, &report, |report| {
                    Sample::of(report.own_cpu_us_per_message)
                })?;
            }
        }
        Ok(())
    }

    pub(super) fn connect(&mut self, pki: &Pki) -> Result<()> {
        let name = "connects, 10,000 clients";
        let rate = Figure::new(name, "connections/s", Better::More).goal(Goal::AtLeastBest(2.0));
        let cpu = Figure::new(
            format!("{name}: generator CPU"),
            "us/connection",
            Better::Less,
        );
        let tcp = Figure::new("idle connection, TCP", "bytes", Better::Less)
            .goal(Goal::AtMostValue(4_096.0));
        let tls = Figure::new("idle connection, TLS", "bytes", Better::Less)
            .goal(Goal::AtMost(Kind::Mosquitto, 0.5));
        let bytes = |report: &IdleReport| Sample::of(report.bytes_per_connection);
        if self.wanted(name) || self.wanted(&tcp.name) {
            for kind in self.turn() {
                let clients = match kind {
                    Kind::Rumqttd => RUMQTTD_CLIENTS.min(self.scaled(10_000)),
                    _ => self.scaled(10_000),
                };
                let report = self.idle(kind, clients, None);
                self.add(kind, &rate, &report, |IdleReport { connect, .. }| {
                    Sample::by(connect.own_busiest_thread, connect.connects_per_second)
                })?;
                self.add_detail(kind, &cpu, &report, |IdleReport { connect, .. }| {
                    Sample::of(connect.own_cpu_us_per_connect)
                })?;
                self.add(kind, &tcp, &report, bytes)?;
            }
        }
        if self.wanted(&tls.name) {
            for kind in self.turn() {
                if !matches!(kind, Kind::Rollcall | Kind::Mosquitto) {
                    continue;
                }
                let report = self.idle(kind, self.scaled(2_000), Some(pki));
                self.add(kind, &tls, &report, bytes)?;
            }
        }
        Ok(())
    }

    fn idle(&self, kind: Kind, clients: usize, tls: Option<&Pki>) -> Result<IdleReport, String> {
        let needs = Needs {
            robots: clients,
            ecus: 1,
            tls,
        };
        self.with(kind, needs, |peer| {
            all_in(self.generator.idle(peer, clients, self.size.rest)?)
        })
    }

    pub(super) fn fan_out(&mut self) -> Result<()> {
        let name = "one message to each of 10,000";
        if !self.wanted(name) {
            return Ok(());
        }
        let figure = Figure::new(name, "s", Better::Less).goal(Goal::AtMost(Kind::Mosquitto, 0.5));
        let cpu = Figure::new(format!("{name}: generator CPU"), "us/message", Better::Less);
        for kind in self.turn() {
            let needs = Needs {
                robots: self.scaled(10_000),
                ecus: 4,
                tls: None,
            };
            let report = self.with(kind, needs, |peer| self.generator.fan_out(peer, needs));
            self.add(kind, &figure, &report, |report| {
                Sample::by(report.own_busiest_thread, report.seconds)
            })?;
            self.add_detail(kind, &cpu, &report, |report: &FanOutReport| {
                Sample::of(report.own_cpu_ms * 1e3 / report.delivered as f64)
            })?;
        }
        Ok(())
    }

    pub(super) fn latency(&mut self) -> Result<()> {
        let name = "p99 of acknowledgements at 30,000/s";
        if !self.wanted(name) {
            return Ok(());
        }
        let p99 = Figure::new(name, "ms", Better::Less).goal(Goal::AtMostValue(15.0));
        let p50 = Figure::new("p50 of the same", "ms", Better::Less);
        for kind in self.turn() {
            let report = self.publish(kind, self.publishing(100, 1, Some(BUSY)));
            let report = report.and_then(|report| {
                if report.queue_grows {
                    return Err(format!("{BUSY}/s were not held"));
                }
                Ok(report)
            });
            self.add(kind, &p99, &report, |report| {
                Sample::by(report.own_busiest_thread, report.ack_latency.p99_ms)
            })?;
            self.add_detail(kind, &p50, &report, |report| {
                Sample::by(report.own_busiest_thread, report.ack_latency.p50_ms)
            })?;
        }
        Ok(())
    }

    pub(super) fn growth(&mut self) -> Result<()> {
        let beginning = "server CPU per event at 20,000/s";
        if !self.wanted(beginning) {
            return Ok(());
        }
        for connections in GROWTH {
            let name = format!("{beginning}, {connections} connections");
            let mut figure = Figure::new(name, "us", Better::Less);
            if connections == GROWTH[GROWTH.len() - 1] {
                figure = figure.goal(Goal::FlatWithin(beginning.to_owned(), 0.25));
            }
            let kind = Kind::Rollcall;
            let report = self.publish(kind, self.publishing(connections, 1, Some(STEADY)));
            self.add(kind, &figure, &report, |report| {
                Sample::of(report.server_cpu_us_per_message.unwrap_or(0.0))
            })?;
        }
        Ok(())
    }

    /// Once, after the rounds: the highest rates that are held.
    pub(super) fn peaks(&mut self, hold: Duration) -> Result<()> {
        for (name, publishers, qos) in FAN_INS {
            let name = format!("{name}: peak held for {} s", hold.as_secs());
            if !self.wanted(&name) {
                continue;
            }
            let mut figure = Figure::new(name, "messages/s", Better::More);
            if qos == 1 {
                figure = figure.goal(Goal::AtLeast(Kind::Mosquitto, 1.5));
            }
            for kind in self.turn() {
                let publishing = Publishing {
                    hold: Some(hold),
                    ..self.publishing(publishers, qos, None)
                };
                let report = self.publish(kind, publishing);
                let peak = report.and_then(|report| {
                    report
                        .peak
                        .as_ref()
                        .and_then(peak)
                        .ok_or_else(|| "no rate was held".to_owned())
                });
                self.add(kind, &figure, &peak, |peak| *peak)?;
            }
        }
        Ok(())
    }
}

/// The rate that was held, with how busy the generator was at the least one that was not: that one bounds the peak.
fn peak(report: &PeakReport) -> Option<Sample> {
    let broke = report.tries.iter().filter(|one| !one.held);
    let bound = broke.min_by_key(|one| one.rate);
    let busiest = bound.and_then(|one| one.own_busiest_thread);
    report
        .held_per_second
        .map(|held| Sample::by(busiest, held as f64))
}
