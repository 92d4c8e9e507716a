//! Robots that exist in the engine only, and the inputs that they cause.

use super::gates::Gates;
use super::pace::{Kind, Pace, Stopwatch};
use anyhow::{Result, bail, ensure};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rollcall_engine::{
    Actor, Command, EcuName, EcuSpec, Event, EventStatus, HardwareId, ImageRef, ImageSpec, Input,
    LinkEvent, Millis, Outcome, Reply, Report, ReportedImage, RobotKey, RobotSpec, RolloutId,
    RolloutSpec, Stamp, State, TargetSelection, Timer, Timestamp, operation_id,
};
use std::time::{Duration, Instant};

/// ECUs of each robot, each of another hardware id.
pub(super) const ECUS: usize = 4;

/// Inputs that share a millisecond: about the pace of a busy server.
const INPUTS_PER_MILLISECOND: u64 = 100;

/// When everything begins: 2026-01-31T15:00:00Z.
const START: u64 = 1_769_871_600_000;

/// What an ECU runs.
#[derive(Debug)]
pub(super) struct Build {
    version: &'static str,
    sha256: [u8; 32],
}

const OLD: Build = Build {
    version: "1.0.0",
    sha256: [1; 32],
};

/// What the rollout brings.
pub(super) const NEW: Build = Build {
    version: "2.0.0",
    sha256: [2; 32],
};

/// An ECU of each robot.
#[derive(Debug)]
struct Board {
    name: EcuName,
    hardware_id: HardwareId,
    /// What it gets.
    image: ImageRef,
}

/// A fleet with the engine that serves it.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) state: State,
    pub(super) pace: Pace,
    /// In an order of chance, as robots speak.
    pub(super) robots: Vec<RobotKey>,
    boards: Vec<Board>,
    gates: Gates,
    inputs: u64,
    waited: Millis,
}

impl Fleet {
    /// Registers the robots and adds the images.
    pub(super) fn register(robots: usize, gates: Gates, pace: Pace) -> Result<Self> {
        let board = |index| {
            Ok(Board {
                name: format!("ecu-{index}").parse()?,
                hardware_id: format!("board-{index}").parse()?,
                image: format!("os-{index}@{}", NEW.version)
                    .parse()
                    .map_err(anyhow::Error::msg)?,
            })
        };
        let boards = (0..ECUS).map(board).collect::<Result<_>>()?;
        let mut fleet = Self {
            state: State::default(),
            pace,
            robots: Vec::with_capacity(robots),
            boards,
            gates,
            inputs: 0,
            waited: 0,
        };
        for number in 0..robots {
            let command = Command::AddRobot(fleet.spec(number)?);
            let outcome = fleet.timed(Kind::Register, by_operator(command))?;
            let Ok(Reply::Robot(key)) = outcome.reply else {
                bail!("no robot: {:?}", outcome.reply);
            };
            fleet.robots.push(key);
        }
        fleet.robots.shuffle(&mut ChaCha8Rng::seed_from_u64(7));
        for index in 0..ECUS {
            let image = fleet.image(index);
            let _ = fleet.command(Command::AddImage(image))?;
        }
        Ok(fleet)
    }

    fn spec(&self, number: usize) -> Result<RobotSpec> {
        Ok(RobotSpec {
            id: format!("robot-{number}").parse()?,
            name: None,
            model: None,
            labels: self.gates.labels(number),
            tags: [].into(),
            ecus: self.ecus(),
            secret: [7; 32],
        })
    }

    fn ecus(&self) -> Vec<EcuSpec> {
        let numbered = self.boards.iter().enumerate();
        numbered
            .map(|(index, board)| EcuSpec {
                name: board.name.clone(),
                hardware_id: board.hardware_id.clone(),
                // It is updated last.
                primary: index + 1 == ECUS,
            })
            .collect()
    }

    fn image(&self, index: usize) -> ImageSpec {
        let board = &self.boards[index];
        ImageSpec {
            reference: board.image.clone(),
            hardware_ids: vec![board.hardware_id.clone()],
            model: None,
            build_id: None,
            from_version: None,
            url: "https://images.example/os".to_owned(),
            hosted: false,
            size: 1_000_000,
            sha256: NEW.sha256,
        }
    }

    /// A rollout over all robots and all their ECUs.
    pub(super) fn rollout(&self, cap: u32) -> Result<RolloutSpec> {
        let images = self.boards.iter();
        Ok(RolloutSpec {
            name: "everything".parse()?,
            target: TargetSelection::Hardware(self.boards[0].hardware_id.clone()),
            images: images
                .map(|board| (board.hardware_id.clone(), board.image.clone()))
                .collect(),
            mechanism: self.gates.mechanism(cap, self.now())?,
        })
    }

    /// All robots connect and say what they run, each by itself.
    pub(super) fn come_online(&mut self) -> Result<()> {
        for index in 0..self.robots.len() {
            let key = self.robots[index];
            self.connect(key, 1)?;
            for ecu in 0..ECUS {
                let image = self.reports(ecu, &OLD);
                self.say(Kind::Image, key, image)?;
            }
        }
        Ok(())
    }

    /// Every robot goes away and returns with its first ECU updated.
    pub(super) fn restart_updated(&mut self) -> Result<()> {
        for index in 0..self.robots.len() {
            let robot = self.robots[index];
            let event = LinkEvent::Disconnected { connection: 1 };
            let _ = self.timed(Kind::Disconnected, Input::Link { robot, event })?;
        }
        for index in 0..self.robots.len() {
            let key = self.robots[index];
            self.connect(key, 2)?;
            self.say(Kind::ImageEnds, key, self.reports(0, &NEW))?;
            for ecu in 1..ECUS {
                self.say(Kind::Image, key, self.reports(ecu, &OLD))?;
            }
        }
        Ok(())
    }

    fn connect(&mut self, robot: RobotKey, boot: u64) -> Result<()> {
        let connection = boot;
        let link = |event| Input::Link { robot, event };
        let _ = self.timed(Kind::Connected, link(LinkEvent::Connected { connection }))?;
        let _ = self.timed(Kind::Subscribed, link(LinkEvent::Subscribed { connection }))?;
        let manifest = Report::Manifest {
            boot,
            wants_ack: true,
            ecus: self.ecus(),
        };
        self.say(Kind::Manifest, robot, manifest)
    }

    /// Every robot says the same of its ECU.
    pub(super) fn all_say(
        &mut self,
        kind: Kind,
        said: Said,
        (id, ecu): (RolloutId, usize),
    ) -> Result<()> {
        for index in 0..self.robots.len() {
            let robot = self.robots[index];
            let event = Report::Event(Event {
                ecu: self.boards[ecu].name.clone(),
                stamp: Some(said.stamp),
                operation: operation_id(id, robot, &self.boards[ecu].name, 1),
                status: said.status,
                progress: said.progress,
                code: None,
                message: String::new(),
            });
            self.say(kind, robot, event)?;
        }
        Ok(())
    }

    /// The robots `which` report that their ECU runs the new image.
    pub(super) fn all_prove(&mut self, which: std::ops::Range<usize>, ecu: usize) -> Result<()> {
        for index in which {
            let image = self.reports(ecu, &NEW);
            self.say(Kind::ImageEnds, self.robots[index], image)?;
        }
        Ok(())
    }

    pub(super) fn reports(&self, ecu: usize, runs: &Build) -> Report {
        let board = &self.boards[ecu];
        Report::BaseImage {
            ecu: board.name.clone(),
            image: ReportedImage {
                name: board.image.name.to_string(),
                version: runs.version.to_owned(),
                digest: Some(runs.sha256),
                ..ReportedImage::default()
            },
        }
    }

    /// The place of the ECU `name`.
    pub(super) fn ecu_index(&self, name: &EcuName) -> Option<usize> {
        self.boards.iter().position(|board| board.name == *name)
    }

    fn say(&mut self, kind: Kind, robot: RobotKey, report: Report) -> Result<()> {
        let input = Input::Report { robot, report };
        self.timed(kind, input).map(drop)
    }

    /// Applies what is to be taken, and notes how long it took. Dropping the outcome is not part of it.
    pub(super) fn timed(&mut self, kind: Kind, input: Input) -> Result<Outcome> {
        let (outcome, took) = self.apply(input)?;
        self.pace.record(kind, took);
        Ok(outcome)
    }

    pub(super) fn apply(&mut self, input: Input) -> Result<(Outcome, Duration)> {
        self.inputs += 1;
        let at = self.now();
        let began = Instant::now();
        let outcome = self.state.apply(at, input);
        let took = began.elapsed();
        if let Err(refusal) = &outcome.reply {
            bail!("the engine refused an input: {refusal}");
        }
        Ok((outcome, took))
    }

    /// Applies a command, or whatever concerns the whole fleet, and says how much CPU time it took.
    pub(super) fn apply_long(&mut self, input: Input) -> Result<(Outcome, Duration)> {
        let watch = Stopwatch::start();
        let (outcome, _) = self.apply(input)?;
        Ok((outcome, watch.took()))
    }

    pub(super) fn command(&mut self, command: Command) -> Result<(Outcome, Duration)> {
        self.apply_long(by_operator(command))
    }

    /// All timers of the next `span` come due.
    pub(super) fn wait(&mut self, kind: Kind, span: Millis) -> Result<()> {
        self.waited += span;
        let now = self.now();
        // One timer each; a rollout's is far away.
        for _ in 0..=self.robots.len() {
            let began = Instant::now();
            let Some((_, timer)) = self.state.next_timer().filter(|(at, _)| *at <= now) else {
                return Ok(());
            };
            let outcome = self.state.apply(now, Input::Due(timer));
            self.pace.record(kind, began.elapsed());
            ensure!(outcome.reply.is_ok(), "a timer was refused");
        }
        bail!("a timer comes due again and again")
    }

    /// The clock goes on by a millisecond, in which a rate allows the next starts.
    pub(super) const fn tick(&mut self) {
        self.waited += 1;
    }

    /// The rollout's timer at the next millisecond.
    pub(super) fn next_start(&mut self, id: RolloutId) -> Result<(Outcome, Duration)> {
        self.tick();
        self.apply_long(Input::Due(Timer::Rollout(id)))
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp(START + self.waited + self.inputs / INPUTS_PER_MILLISECOND)
    }
}

/// What a robot says of an operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    pub(super) stamp: Stamp,
    pub(super) status: EventStatus,
    pub(super) progress: u8,
}

fn by_operator(command: Command) -> Input {
    Input::Command {
        by: Actor("bench".to_owned()),
        command,
    }
}
