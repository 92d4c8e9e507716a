//! The loop: whatever happens next, happens; then everybody reacts.

use super::Broken;
use super::dice::Dice;
use super::ends;
use super::network::{Down, Link, LinkId, Up};
use super::operators::Operators;
use super::robots::{Actor, check_caps};
use super::scenario::{Hazards, MINUTE, SECOND, Scenario, label};
use super::server::{Incoming, Leaving, Server};
use super::tally::Tally;
use super::timers::Timers;
use super::trace::Trace;
use super::watch::Watch;
use device_sim::model::{Artifact, FetchError, FetchId, Input};
use rollcall_engine::{ImageSpec, LinkEvent, RolloutStatus, State};
use std::collections::BTreeMap;

pub(super) const REALM: &str = "fleet";
/// More than any world needs, and more for each robot; what needs more is caught in a circle.
const STEPS_MAX: u64 = 3_000_000;
const STEPS_PER_ROBOT: u64 = 4_000;
/// Up to here all robots are looked at after every commit; beyond, as often as that costs the same.
const SMALL: u64 = 64;

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Happening {
    Arrive(LinkId, Up),
    Deliver(LinkId, Down),
    RobotHearsClose(LinkId),
    ServerHearsClose(LinkId),
    Cut,
    Fetched(usize, FetchId, Result<Artifact, FetchError>),
    Turn,
    Committed,
    Die,
    Start,
    Act,
}

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: u64,
    pub(super) dice: Dice,
    pub(super) hazards: Hazards,
    /// When it began: robots count their time from here.
    pub(super) epoch: u64,
    horizon: u64,
    pub(super) artifacts: BTreeMap<String, ImageSpec>,
    pub(super) actors: Vec<Actor>,
    pub(super) timers: Timers,
    pub(super) links: Vec<Link>,
    pub(super) server: Server,
    pub(super) watch: Watch,
    operators: Operators,
    /// Things that operators are still to do.
    actions: usize,
    queue: BTreeMap<(u64, u64), Happening>,
    sequence: u64,
    turn_is_near: bool,
    down_since: u64,
    commits: u64,
    pub(super) trace: Trace,
}

impl World {
    pub(super) fn new(seed: u64, scenario: &Scenario, trace: Trace) -> Self {
        let actors: Vec<_> = scenario.robots.iter().map(Actor::new).collect();
        let mut timers = Timers::new(actors.len());
        for (index, actor) in actors.iter().enumerate() {
            timers.set(index, actor.timeout(scenario.epoch));
        }
        let mut world = Self {
            now: scenario.epoch + SECOND,
            dice: Dice::new(seed, 3 << 40),
            hazards: scenario.hazards.clone(),
            epoch: scenario.epoch,
            horizon: scenario.epoch + scenario.horizon,
            artifacts: scenario
                .images
                .iter()
                .map(|image| (image.url.clone(), image.clone()))
                .collect(),
            actors,
            timers,
            links: Vec::new(),
            server: Server::new(),
            watch: Watch::default(),
            operators: Operators::new(seed, scenario),
            actions: scenario.actions,
            queue: BTreeMap::new(),
            sequence: 0,
            turn_is_near: false,
            down_since: 0,
            commits: 0,
            trace,
        };
        world.prepare();
        world
    }

    fn prepare(&mut self) {
        for command in self.operators.setup() {
            self.enqueue(Incoming::Command(command));
        }
        for _ in 0..self.actions {
            let at = self.dice.within(self.now + SECOND, self.horizon);
            self.at(at, Happening::Act);
        }
        self.plan_cut();
        self.plan_death();
    }

    pub(super) fn at(&mut self, at: u64, happening: Happening) {
        self.sequence += 1;
        self.queue
            .insert((at.max(self.now), self.sequence), happening);
    }

    pub(super) fn latency(&mut self) -> u64 {
        self.dice.within(0, self.hazards.latency)
    }

    fn plan_cut(&mut self) {
        if let Some(every) = self.hazards.cut_every {
            let at = self.now + self.dice.within(1, 2 * every);
            if at < self.horizon {
                self.at(at, Happening::Cut);
            }
        }
    }

    fn plan_death(&mut self) {
        if let Some(every) = self.hazards.crash_every {
            let at = self.now + self.dice.within(1, 2 * every);
            if at < self.horizon {
                self.at(at, Happening::Die);
            }
        }
    }

    /// Plays to the end.
    pub(super) fn play(mut self) -> Result<Tally, Broken> {
        let mut steps = 0;
        while !self.is_over() {
            steps += 1;
            let most = STEPS_MAX + STEPS_PER_ROBOT * self.actors.len() as u64;
            if steps > most || self.now > self.end_at_the_latest() {
                return Err(Broken(format!(
                    "A24 X3: the world does not end, {steps} steps, {} ms",
                    self.now
                )));
            }
            self.step()?;
        }
        ends::check(&mut self)?;
        Ok(self.watch.tally)
    }

    /// All deadlines of the operators' rollouts, moved on by what the engine was told to be lost.
    fn end_at_the_latest(&self) -> u64 {
        self.horizon + 300 * MINUTE + self.server.lost
    }

    fn is_over(&self) -> bool {
        let quiet = self.server.queue.is_empty() && !self.server.is_committing();
        let all_done = quiet && self.now >= self.horizon && self.actions == 0;
        let Some(state) = self.server.state.as_ref().filter(|_| all_done) else {
            return false;
        };
        state.rollouts().all(|rollout| !rollout.is_launched())
    }

    fn step(&mut self) -> Result<(), Broken> {
        let robot = self.timers.first();
        let timer = self.server.next_timer();
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        let soonest = [queued, timer, robot.map(|(at, _)| at)]
            .into_iter()
            .flatten()
            .min();
        let Some(at) = soonest else {
            // Nothing will ever happen again; only the end of the horizon is still to come.
            self.now = self.horizon;
            return Ok(());
        };
        self.now = self.now.max(at);
        if queued == Some(at) {
            return match self.queue.pop_first() {
                Some((_, happening)) => self.happen(happening),
                None => Ok(()),
            };
        }
        if timer == Some(at) {
            return self.turn();
        }
        match robot {
            Some((_, index)) => {
                let time = self.now - self.epoch;
                self.actors[index].robot.handle_timeout(time);
                self.react(index)
            }
            None => Ok(()),
        }
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Broken> {
        match happening {
            Happening::Arrive(link, packet) => self.arrive(link, packet),
            Happening::Deliver(link, packet) => return self.deliver(link, packet),
            Happening::RobotHearsClose(link) => return self.robot_hears_close(link),
            Happening::ServerHearsClose(link) => self.server_hears_close(link),
            Happening::Cut => {
                self.cut_something();
                self.plan_cut();
            }
            Happening::Fetched(index, fetch, result) => {
                return self.tell(index, Input::Fetched { fetch, result });
            }
            Happening::Turn => {
                self.turn_is_near = false;
                if self.server.state.is_some() && !self.server.is_committing() {
                    return self.turn();
                }
            }
            Happening::Committed => return self.committed(),
            Happening::Die => return self.die(),
            Happening::Start => return self.start(),
            Happening::Act => self.act(),
        }
        Ok(())
    }

    fn act(&mut self) {
        let Some(state) = &self.server.state else {
            // Nobody answers: they try again in a while.
            let later = self.now + 10 * SECOND;
            return self.at(later, Happening::Act);
        };
        self.actions -= 1;
        for command in self.operators.act(state) {
            self.trace
                .line(self.now, || format!("operator {command:?}"));
            self.enqueue(Incoming::Command(command));
        }
    }

    /// Puts something into the writer's queue.
    pub(super) fn enqueue(&mut self, incoming: Incoming) {
        self.server.queue.push_back(incoming);
        if !self.turn_is_near && !self.server.is_committing() {
            self.turn_is_near = true;
            let at = self.now + self.dice.within(0, 3);
            self.at(at, Happening::Turn);
        }
    }

    fn turn(&mut self) -> Result<(), Broken> {
        self.trace_queue();
        self.server.turn(self.now, &mut self.watch)?;
        let done = self.now + self.dice.within(1, 15);
        let dies = self.now < self.horizon
            && self.dice.chance(self.hazards.crash_in_commit)
            && self.dice.chance(20);
        self.at(done, Happening::Committed);
        self.plan_loss_of_power();
        if dies {
            let at = self.dice.within(self.now, done);
            self.at(at, Happening::Die);
        }
        Ok(())
    }

    fn plan_loss_of_power(&mut self) {
        let near = self.hazards.power > 0 && self.now < self.horizon;
        if !near || !self.dice.chance(self.hazards.power) {
            return;
        }
        // Nearly always it hurts most in a commit.
        match &mut self.server.disk {
            Some(disk) if self.dice.chance(80) => disk.arm(),
            _ => {
                let longest = *self.dice.pick(&[20, MINUTE]);
                let at = self.now + self.dice.within(0, longest);
                self.at(at, Happening::Die);
            }
        }
    }

    fn trace_queue(&self) {
        for incoming in &self.server.queue {
            self.trace.line(self.now, || match incoming {
                Incoming::Publish {
                    key,
                    topic,
                    payload,
                    ..
                } => {
                    format!(
                        "server takes from {}: {topic} {}",
                        key.0,
                        rollcall::device::describe(topic, payload)
                    )
                }
                other => format!("server takes {other:?}"),
            });
        }
    }

    fn committed(&mut self) -> Result<(), Broken> {
        if self.server.state.is_none() || !self.server.is_committing() {
            return Ok(());
        }
        let Some(leaving) = self.server.committed(&mut self.watch)? else {
            return self.die();
        };
        self.commits += 1;
        // The comparison takes long where there are many robots.
        if self.commits.is_multiple_of(12 * self.actors.len() as u64)
            && let Some(state) = &self.server.state
        {
            self.server.rows.check_recovery(state)?;
        }
        for one in leaving {
            self.leave(one);
        }
        if !self.server.queue.is_empty() && !self.turn_is_near {
            self.turn_is_near = true;
            self.at(self.now, Happening::Turn);
        }
        self.check_robots()
    }

    fn leave(&mut self, leaving: Leaving) {
        match leaving {
            Leaving::Settled { connection, ticket } => self.send(connection, Down::Settled(ticket)),
            Leaving::HangUp { connection } => self.hang_up(connection),
            Leaving::Properties { connection, key } => self.send_properties(connection, key),
            Leaving::Effect(effect) => self.perform(effect),
        }
    }

    fn die(&mut self) -> Result<(), Broken> {
        if self.server.state.is_none() {
            return Ok(());
        }
        self.trace.line(self.now, || "server dies".to_owned());
        let (reached, age) = (self.dice.chance(50), self.dice.within(0, 5 * SECOND));
        self.server.die(self.now, (reached, age), &mut self.watch)?;
        self.down_since = self.now;
        self.everybody_is_cut_off();
        let longest = *self.dice.pick(&self.hazards.away);
        let at = self.now + self.dice.within(1, longest);
        self.at(at, Happening::Start);
        Ok(())
    }

    fn start(&mut self) -> Result<(), Broken> {
        self.trace.line(self.now, || "server starts".to_owned());
        self.watch.downtimes.push((self.down_since, self.now));
        self.plan_loss_of_power();
        if !self.server.start(self.now, &mut self.watch)? {
            return self.die();
        }
        self.plan_death();
        if let Some(state) = &self.server.state {
            self.server.rows.check_recovery(state)?;
        }
        Ok(())
    }

    /// The state as the server has it, or as it will find it.
    pub(super) fn state(&self) -> std::borrow::Cow<'_, State> {
        match &self.server.state {
            Some(state) => std::borrow::Cow::Borrowed(state),
            None => std::borrow::Cow::Owned(self.server.rows.recover()),
        }
    }

    /// What robots see must keep the rules too.
    fn check_robots(&mut self) -> Result<(), Broken> {
        let many = self.actors.len() as u64 / SMALL;
        let Some(state) = &self.server.state else {
            return Ok(());
        };
        if !self.commits.is_multiple_of(1 + many) {
            return Ok(());
        }
        let excess = check_caps(&self.actors, state, &self.watch.asked)?;
        self.watch.tally.excess = self.watch.tally.excess.max(excess);
        Ok(())
    }

    /// What a fetch of `url` brings.
    pub(super) fn artifact(&mut self, url: &str) -> Result<Artifact, FetchError> {
        if self.server.state.is_none() || self.dice.chance(self.hazards.broken_fetch) {
            return Err(FetchError::Network("connection reset".to_owned()));
        }
        let image = self.artifacts.get(url).ok_or(FetchError::Status(404))?;
        Ok(Artifact {
            size: image.size,
            sha256: image.sha256,
            label: Some(label(image)),
        })
    }

    /// Rollouts that were launched.
    pub(super) fn launched(state: &State) -> impl Iterator<Item = &rollcall_engine::Rollout> {
        state
            .rollouts()
            .filter(|rollout| rollout.status != RolloutStatus::Prepared)
    }

    /// The engine hears of a connection.
    pub(super) fn link_event(&mut self, link: LinkId, event: LinkEvent) {
        if let Some(key) = self.links[link].key {
            self.enqueue(Incoming::Link { key, event });
        }
    }
}
