//! One round at one size: two fleets of it go through everything that is measured.

use super::fleet::{ECUS, Fleet, NEW, Said};
use super::gates::Gates;
use super::memory;
use super::pace::{Kind, Pace, Stopwatch};
use anyhow::{Context, Result, bail, ensure};
use rollcall_engine::{
    Command, Completion, Counters, Effect, EventStatus, Input, Outcome, Reply, Request, RobotKey,
    RolloutId, RolloutStatus, Stamp, State, Timer, Timestamp,
};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The smaller of the two caps.
const CAP: u32 = 100;

/// With that cap, so many robots are seen through.
const SEEN_THROUGH: usize = 5_000;

/// Answers to `why` that are timed.
const ASKED: usize = 1_000;

/// More than a request timeout, and than what robots have for their reports.
const WHILE_MS: u64 = 301_000;

/// What one round has found, in an order that is the same in every round.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) values: Vec<(String, &'static str, f64)>,
    gates: Gates,
    robots: f64,
}

impl Round {
    pub(super) fn run(robots: usize, gates: Gates) -> Result<Self> {
        let mut round = Self {
            values: Vec::new(),
            gates,
            robots: number(robots),
        };
        let pace = round.all_at_once(robots, Pace::new()?)?;
        let pace = round.few_at_a_time(robots, pace)?;
        for (name, [median, p99]) in pace.quantiles() {
            round.add(name, "ns, median", median);
            round.add(name, "ns, p99", p99);
        }
        Ok(round)
    }

    fn add(&mut self, name: impl Into<String>, unit: &'static str, value: f64) {
        self.values.push((name.into(), unit, value));
    }

    fn each(&mut self, name: &str, unit: &'static str, share: f64, took: Duration) {
        self.add(name, unit, took.as_secs_f64() * 1e9 / share);
    }

    fn per_robot(&mut self, name: &str, took: Duration) {
        self.each(name, "CPU ns per robot", self.robots, took);
    }

    fn bytes(&mut self, name: &str, before: Option<usize>, after: Option<usize>, share: f64) {
        if let (Some(before), Some(after)) = (before, after) {
            self.add(name, "bytes", (number(after) - number(before)) / share);
        }
    }

    /// Every robot is told at once, and goes through its whole update.
    fn all_at_once(&mut self, robots: usize, pace: Pace) -> Result<Pace> {
        let empty = memory::live();
        let mut fleet = Fleet::register(robots, self.gates, pace)?;
        self.bytes(
            "memory of a registered robot",
            empty,
            memory::live(),
            self.robots,
        );
        fleet.come_online()?;
        fleet.wait(Kind::TimerForNothing, WHILE_MS)?;
        self.bytes(
            "memory of a robot that is connected",
            empty,
            memory::live(),
            self.robots,
        );

        let before = memory::live();
        let spec = fleet.rollout(u32::MAX)?;
        let watch = Stopwatch::start();
        let (plan, report) = fleet.state.preview(&spec)?;
        self.per_robot("preview", watch.took());
        ensure!(
            plan.affected().count() == robots,
            "robots are missing in the plan"
        );
        drop((plan, report));
        let (outcome, took) = fleet.command(Command::CreateRollout(Box::new(spec)))?;
        self.per_robot("create", took);
        let id = rollout_of(&outcome)?;
        drop(outcome);

        memory::reset_peak();
        let (requests, took) = launch(&mut fleet, id)?;
        let targets = self.robots * number(ECUS);
        self.bytes(
            "memory at most while it launches, per target",
            before,
            memory::peak(),
            targets,
        );
        let (requests, told) = tell(&mut fleet, id, requests, robots)?;
        self.per_robot("launch, cap for all", took + told);
        if self.gates == Gates::All {
            self.per_robot("of it, the launch by itself", took);
        }
        drop(requests);
        self.bytes(
            "memory of a target, all told",
            before,
            memory::live(),
            targets,
        );

        why(&mut fleet, id, Kind::WhyUnderWay)?;
        self.rebuild(&fleet)?;
        fleet.wait(Kind::TimerResend, WHILE_MS)?;
        self.update_everything(&mut fleet, id)?;
        self.bytes(
            "memory of a target, completed",
            before,
            memory::live(),
            targets,
        );
        if let (Some(before), Some(after)) = (empty, memory::live()) {
            let name = "the machine: one of 1,000,000 reads over as much memory";
            let took = memory::walk(after.saturating_sub(before));
            self.each(name, "CPU ns", f64::from(memory::STEPS), took);
        }
        check_done(&fleet, id, robots)?;
        read_clock(&mut fleet.pace);
        Ok(fleet.pace)
    }

    /// A server's start in the middle of the rollout.
    fn rebuild(&mut self, fleet: &Fleet) -> Result<()> {
        let state = &fleet.state;
        let counters: Counters = state.counters();
        let robots: Vec<_> = state.robots(None).cloned().collect();
        let images: Vec<_> = state.images().cloned().collect();
        let rollouts: Vec<_> = state.rollouts().cloned().collect();
        let watch = Stopwatch::start();
        let mut rebuilt = State::rebuild(fleet.now(), counters, robots, [], images, rollouts);
        let ecus = self.robots * number(ECUS);
        self.each("rebuild from rows", "CPU ns per ECU", ecus, watch.took());
        let started = Input::Started {
            down_since: fleet.now(),
            base: None,
        };
        let watch = Stopwatch::start();
        let outcome = rebuilt.apply(fleet.now(), started);
        self.per_robot("the start after it", watch.took());
        outcome.reply.context("the start was refused")?;
        Ok(())
    }

    fn update_everything(&mut self, fleet: &mut Fleet, id: RolloutId) -> Result<()> {
        use EventStatus as Status;
        let steps = [
            (Kind::Acknowledged, Status::Acknowledged, 0),
            (Kind::Downloading, Status::Downloading, 10),
            (Kind::Downloading, Status::Downloading, 50),
            (Kind::Downloaded, Status::Downloading, 100),
            (Kind::Deploying, Status::Deploying, 50),
            (Kind::Deployed, Status::Deployed, 0),
            (Kind::Rebooting, Status::Rebooting, 0),
            (Kind::Success, Status::Success, 0),
        ];
        let last = fleet.robots.len() - 1;
        let mut stamp = Stamp {
            boot: 1,
            counter: 0,
        };
        for ecu in 0..ECUS {
            for (kind, status, progress) in steps {
                stamp.counter += 1;
                let said = Said {
                    stamp,
                    status,
                    progress,
                };
                fleet.all_say(kind, said, (id, ecu))?;
                if ecu == 0 && kind == Kind::Acknowledged {
                    fleet.wait(Kind::TimerMoved, WHILE_MS)?;
                }
            }
            if ecu == 0 {
                fleet.restart_updated()?;
                stamp = Stamp {
                    boot: 2,
                    counter: 0,
                };
            } else {
                fleet.all_prove(0..last, ecu)?;
                if ecu + 1 == ECUS {
                    break;
                }
                fleet.all_prove(last..last + 1, ecu)?;
            }
        }
        let robot = fleet.robots[last];
        let report = fleet.reports(ECUS - 1, &NEW);
        let (_, took) = fleet.apply_long(Input::Report { robot, report })?;
        self.per_robot("the report that completes the rollout", took);
        Ok(())
    }

    /// A cap far below the fleet: slots are handed on, and the deadline ends the rest.
    fn few_at_a_time(&mut self, robots: usize, pace: Pace) -> Result<Pace> {
        let mut fleet = Fleet::register(robots, self.gates, pace)?;
        fleet.come_online()?;
        let id = {
            let spec = fleet.rollout(CAP)?;
            rollout_of(&fleet.command(Command::CreateRollout(Box::new(spec)))?.0)?
        };
        let (requests, took) = launch(&mut fleet, id)?;
        let first = robots.min(CAP as usize);
        let (requests, told) = tell(&mut fleet, id, requests, first)?;
        self.per_robot("launch, cap 100", took + told);
        why(&mut fleet, id, Kind::WhyWaiting)?;
        hand_on(&mut fleet, requests)?;

        let RolloutStatus::Launched { deadline, .. } = status(&fleet.state, id)? else {
            bail!("the rollout ended too early");
        };
        let watch = Stopwatch::start();
        let due = Input::Due(Timer::Rollout(id));
        let outcome = fleet
            .state
            .apply(Timestamp(deadline.0.max(fleet.now().0)), due);
        self.per_robot("the deadline that ends the rollout", watch.took());
        ensure!(outcome.reply == Ok(Reply::Done), "the deadline did nothing");
        let ended = matches!(status(&fleet.state, id)?, RolloutStatus::Completed { .. });
        ensure!(ended, "the deadline did not end the rollout");
        Ok(fleet.pace)
    }
}

fn launch(fleet: &mut Fleet, rollout: RolloutId) -> Result<(VecDeque<Request>, Duration)> {
    let (outcome, took) = fleet.command(Command::LaunchRollout {
        rollout,
        accept_drift: false,
    })?;
    Ok((requests(outcome).collect(), took))
}

/// A rate lets the others be told later: until `all` are.
fn tell(
    fleet: &mut Fleet,
    id: RolloutId,
    mut told: VecDeque<Request>,
    all: usize,
) -> Result<(VecDeque<Request>, Duration)> {
    let mut took = Duration::ZERO;
    // Each time at least one of them.
    for _ in told.len()..all {
        if told.len() == all {
            break;
        }
        let (outcome, span) = fleet.next_start(id)?;
        told.extend(requests(outcome));
        took += span;
    }
    ensure!(
        told.len() == all,
        "{} robots were told of {all}",
        told.len()
    );
    Ok((told, took))
}

fn requests(outcome: Outcome) -> impl Iterator<Item = Request> {
    outcome
        .effects
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Request(request) => Some(request),
            Effect::Acknowledge { .. } | Effect::Property { .. } | Effect::Disconnect { .. } => {
                None
            }
        })
}

/// Whoever was told reports the image, until enough robots are through.
fn hand_on(fleet: &mut Fleet, mut told: VecDeque<Request>) -> Result<()> {
    let enough = fleet
        .robots
        .len()
        .saturating_sub(CAP as usize)
        .min(SEEN_THROUGH);
    let mut through = 0;
    while through < enough {
        let request = told.pop_front().context("nobody is under way")?;
        let ecu = fleet
            .ecu_index(&request.ecu)
            .context("an unknown ECU was told")?;
        let robot = request.robot;
        let report = fleet.reports(ecu, &NEW);
        fleet.tick();
        let (outcome, took) = fleet.apply(Input::Report { robot, report })?;
        let next: Vec<_> = requests(outcome).collect();
        let [next] = next.try_into().ok().context("a slot was not handed on")?;
        let same = next.robot == robot;
        through += usize::from(!same);
        fleet
            .pace
            .record(if same { Kind::NextEcu } else { Kind::NextRobot }, took);
        told.push_back(next);
    }
    Ok(())
}

fn why(fleet: &mut Fleet, id: RolloutId, kind: Kind) -> Result<()> {
    // With a small cap those with the lowest numbers are told first.
    let waits = |key: &&RobotKey| kind == Kind::WhyUnderWay || key.0 > CAP;
    for key in fleet.robots.iter().filter(waits).take(ASKED) {
        let began = Instant::now();
        let answer = fleet.state.why(id, *key)?;
        fleet.pace.record(kind, began.elapsed());
        ensure!(answer.len() == ECUS, "an ECU has no answer");
    }
    Ok(())
}

fn read_clock(pace: &mut Pace) {
    for _ in 0..ASKED {
        let began = Instant::now();
        pace.record(Kind::Clock, began.elapsed());
    }
}

fn rollout_of(outcome: &Outcome) -> Result<RolloutId> {
    match outcome.reply {
        Ok(Reply::Rollout(id)) => Ok(id),
        _ => bail!("no rollout was made"),
    }
}

fn status(state: &State, id: RolloutId) -> Result<RolloutStatus> {
    Ok(state.rollout(id).context("the rollout is gone")?.status)
}

fn check_done(fleet: &Fleet, id: RolloutId, robots: usize) -> Result<()> {
    let rollout = fleet.state.rollout(id).context("the rollout is gone")?;
    let done = matches!(
        rollout.status,
        RolloutStatus::Completed {
            outcome: Completion::Success,
            ..
        }
    );
    let installed = usize::try_from(rollout.counts.installed)?;
    ensure!(
        done && installed == robots * ECUS,
        "{installed} of {} targets were installed: {:?}",
        robots * ECUS,
        rollout.status
    );
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and bytes of one process are below 2^52"
)]
const fn number(count: usize) -> f64 {
    count as f64
}
