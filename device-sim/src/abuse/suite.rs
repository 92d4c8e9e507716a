//! One attack after the other, each judged.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::arena::{Arena, Entry, subscribed};
use super::attack::{Attack, Fault, Findings, Needs, ensure};
use super::incoming::Incoming;
use super::innocents::Innocents;
use super::memory::{self, Watch};
use super::metrics::{Counts, Metrics, MetricsError};
use super::packet::{self, PUBACK, QOS1, Version};
use super::peer::Heard;
use super::report::{AttackReport, MemoryReport, Report, Verdict};

/// How often a server that seems dead is tried again.
const TRIES: u32 = 5;
/// Pause between them.
const TRY_PAUSE: Duration = Duration::from_millis(500);

/// How a suite judges.
#[derive(Debug)]
pub(super) struct Suite {
    pub(super) arena: Arc<Arena>,
    pub(super) metrics: Option<Metrics>,
    pub(super) server_pid: Option<u32>,
    /// Bytes by which the server may grow during one attack.
    pub(super) memory_limit: u64,
    /// Bytes by which it may be larger after an attack than before the first.
    pub(super) total_memory_limit: u64,
    /// Longest time that an innocent client may have to wait for anything.
    pub(super) stall_limit: Duration,
    /// Longest time for one attack.
    pub(super) attack_limit: Duration,
}

impl Suite {
    /// Runs the attacks; `progress` hears of each when it is over. After the server's death there are no more.
    pub(super) async fn run(
        &self,
        attacks: &[Attack],
        mut progress: impl FnMut(&AttackReport),
    ) -> Result<Report, MetricsError> {
        let mut reports = Vec::new();
        let mut dead = false;
        let first = self.memory();
        for attack in attacks {
            let report = if dead {
                AttackReport::skipped(attack.name, "the server is dead")
            } else if let Some(lacking) = self.lacking(attack.needs) {
                AttackReport::skipped(attack.name, lacking)
            } else {
                let mut report = self.judge(attack).await?;
                self.judge_growth(&mut report, first);
                report
            };
            dead |= report.verdict == Verdict::ServerDied;
            progress(&report);
            reports.push(report);
        }
        Ok(Report {
            seed: self.arena.seed,
            attacks: reports,
        })
    }

    fn lacking(&self, needs: Needs) -> Option<&'static str> {
        let arena = &self.arena;
        match needs {
            Needs::Listener | Needs::Client => None,
            Needs::Routing => (!arena.open).then_some("needs clients that may use any topic"),
            Needs::Robots => {
                (arena.robots.len() < 2).then_some("needs --credentials of two robots")
            }
            Needs::Tls => arena
                .target
                .tls
                .is_none()
                .then_some("needs a broker at mqtts://"),
            Needs::WebSocket => arena.websocket.is_none().then_some("needs --websocket"),
        }
    }

    async fn judge(&self, attack: &Attack) -> Result<AttackReport, MetricsError> {
        let began = Instant::now();
        let before = self.memory();
        let watch = self.server_pid.map(Watch::start);
        let innocents = Innocents::start(&self.arena, self.stall_limit);
        let (findings, counts) = if innocents.warm().await {
            let counts = self.counts().await?;
            (self.attack(attack).await, counts)
        } else {
            let fault = "not begun, since innocent clients could not work before it";
            (Err(Fault::new(fault)), None)
        };
        let conduct = innocents.finish().await;
        let mut report = AttackReport::made(attack.name, conduct);
        if !self.is_alive().await {
            let fault = "the server takes no connections any more".to_owned();
            report.blame(Verdict::ServerDied, vec![fault]);
        }
        match findings {
            Err(Fault(fault)) => report.blame(Verdict::Misbehaved, vec![fault]),
            Ok(findings) => {
                let missing = self.uncounted(&report, counts, &findings).await?;
                if !missing.is_empty() {
                    report.blame(Verdict::NotCounted, missing);
                }
                report.said = findings.said;
            }
        }
        if let (Some(before), Some(watch)) = (before, watch) {
            self.judge_memory(&mut report, before, watch.peak());
        }
        report.elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(report)
    }

    async fn attack(&self, attack: &Attack) -> Result<Findings, Fault> {
        let running = (attack.run)(self.arena.clone());
        timeout(self.attack_limit, running)
            .await
            .unwrap_or_else(|_| {
                Err(Fault::new(format!(
                    "the attack does not get through within {:.0?}: the server hangs",
                    self.attack_limit
                )))
            })
    }

    async fn counts(&self) -> Result<Option<Counts>, MetricsError> {
        match &self.metrics {
            Some(metrics) => metrics.read().await.map(Some),
            None => Ok(None),
        }
    }

    async fn uncounted(
        &self,
        report: &AttackReport,
        before: Option<Counts>,
        findings: &Findings,
    ) -> Result<Vec<String>, MetricsError> {
        match (&self.metrics, before) {
            (Some(metrics), Some(before)) if report.verdict != Verdict::ServerDied => {
                metrics.missing(&before, &findings.counted).await
            }
            _ => Ok(Vec::new()),
        }
    }

    fn memory(&self) -> Option<u64> {
        self.server_pid.and_then(memory::resident)
    }

    fn judge_memory(&self, report: &mut AttackReport, before: u64, peak: u64) {
        let after = self.memory().unwrap_or(0);
        let peak = peak.max(after);
        let grown = peak.saturating_sub(before);
        if grown > self.memory_limit {
            let fault = format!(
                "memory grew by {} MB, {} MB are allowed",
                mb(grown),
                mb(self.memory_limit)
            );
            report.blame(Verdict::MemoryGrew, vec![fault]);
        }
        report.memory = Some(MemoryReport {
            before,
            peak,
            after,
        });
    }

    /// Many attacks that each take a little, and give nothing back, take much.
    fn judge_growth(&self, report: &mut AttackReport, first: Option<u64>) {
        let (Some(first), Some(memory)) = (first, report.memory) else {
            return;
        };
        let grown = memory.after.saturating_sub(first);
        if grown > self.total_memory_limit {
            let fault = format!(
                "after this attack memory is {} MB above what it was before the first, {} MB are allowed in all",
                mb(grown),
                mb(self.total_memory_limit)
            );
            report.blame(Verdict::MemoryGrew, vec![fault]);
        }
    }

    /// Whether a new client is served.
    async fn is_alive(&self) -> bool {
        for _ in 0..TRIES {
            if self.proof().await.is_ok() {
                return true;
            }
            sleep(TRY_PAUSE).await;
        }
        false
    }

    async fn proof(&self) -> Result<(), Fault> {
        let arena = &self.arena;
        let connect = match (arena.open, arena.robots.first()) {
            (false, Some(robot)) => robot.connect(Version::V5),
            _ => {
                let name = format!("proof-{}", arena.number());
                arena.guests.connect(Version::V5, &name)
            }
        };
        let mut peer = arena.accepted(&connect).await?;
        peer.send(&packet::PING).await?;
        let heard = peer.hear().await?;
        ensure(heard == Heard::Packet(Incoming::Pong), || {
            format!("{heard:?} instead of a PINGRESP")
        })?;
        peer.send(&packet::GOODBYE).await?;
        Ok(())
    }
}

const fn mb(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

/// What the broker lets its clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Welcome {
    /// Clients come in and may use any topic below the prefix.
    Open,
    /// Clients come in and may not publish there.
    Closed,
    /// Refused with this code of CONNACK, or hung up on.
    Refused(Option<u8>),
}

/// Finds out as what clients are let in that are no robots.
pub(super) async fn survey(arena: &Arena) -> Result<Welcome, Fault> {
    let connect = arena.guests.connect(Version::V5, "survey");
    let mut peer = match arena.enter(&connect).await? {
        Entry::Accepted(peer) => peer,
        Entry::Refused(code) => return Ok(Welcome::Refused(Some(code))),
        Entry::Closed => return Ok(Welcome::Refused(None)),
    };
    let topic = arena.topic("survey");
    if subscribed(&mut peer, &topic, 1).await.is_err() {
        return Ok(Welcome::Closed);
    }
    peer.send(&packet::publish(Version::V5, QOS1, &topic, 1, b"survey"))
        .await?;
    let (mut acknowledged, mut arrived) = (false, false);
    while !(acknowledged && arrived) {
        match peer.hear().await? {
            Heard::Packet(Incoming::Ack {
                first: PUBACK,
                code,
                ..
            }) if code < 0x80 => {
                acknowledged = true;
            }
            Heard::Packet(Incoming::Publish { id, .. }) => {
                arrived = true;
                peer.send(&packet::ack(PUBACK, id)).await?;
            }
            _ => return Ok(Welcome::Closed),
        }
    }
    peer.send(&packet::GOODBYE).await?;
    Ok(Welcome::Open)
}
