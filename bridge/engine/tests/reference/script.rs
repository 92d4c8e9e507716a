//! Plays operations on engine and model, and compares after each single input.

use super::compare::compare;
use super::model::{BOARDS, Ecu, Model, Robot};
use super::ops::{Op, five_minutes_in_twenty};
use super::promises::{Promise, promises};
use rollcall_engine::{
    Actor, Command, EcuName, EcuSpec, GroupName, HardwareId, ImageSpec, Input, Reply, RobotId,
    RobotKey, RobotSpec, RolloutEdit, RolloutId, Run, State, Tag, Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};

/// More timers than this at one instant are a circle.
const TIMERS_MAX: usize = 200;

/// How often something was seen.
pub(crate) type Seen = BTreeMap<String, u64>;

/// Engine and model, side by side.
pub(super) struct Script {
    pub(super) state: State,
    pub(super) model: Model,
    /// What the ECUs really run.
    pub(super) runs: Vec<Vec<u8>>,
    pub(super) counters: Vec<u64>,
    pub(super) connections: u64,
    seen: Seen,
}

/// Plays `ops`. Says what was seen.
///
/// # Errors
/// The first difference between engine and model.
pub(crate) fn play(ops: &[Op]) -> Result<Seen, String> {
    let mut script = Script::new();
    for (number, op) in ops.iter().enumerate() {
        script
            .step(op)
            .map_err(|why| format!("operation {number}, {op:?}, at {}: {why}", script.model.now))?;
    }
    Ok(script.seen)
}

pub(super) fn key(robot: usize) -> RobotKey {
    RobotKey(u32::try_from(robot + 1).expect("worlds are small"))
}

pub(super) fn id(r: usize) -> RolloutId {
    RolloutId(u32::try_from(r + 1).expect("worlds are small"))
}

pub(super) fn robot_id(robot: usize) -> RobotId {
    RobotId::new(&format!("r{robot}")).expect("it is a name")
}

/// What says that a robot is in India.
fn india() -> BTreeMap<String, String> {
    BTreeMap::from([("timezone".to_owned(), "Asia/Kolkata".to_owned())])
}

pub(super) fn of_beta() -> BTreeSet<Tag> {
    BTreeSet::from([Tag::new("beta").expect("it is a tag")])
}

pub(super) fn digest(board: &str, version: u8) -> [u8; 32] {
    [board.as_bytes()[0] ^ version; 32]
}

pub(super) fn reference(board: &str, version: u8) -> rollcall_engine::ImageRef {
    let text = format!("{board}-os@{version}.0.0");
    text.parse().expect("it is a reference")
}

impl Script {
    fn new() -> Self {
        let mut script = Self {
            state: State::default(),
            model: Model::default(),
            runs: Vec::new(),
            counters: vec![0; 4],
            connections: 0,
            seen: Seen::new(),
        };
        script.model.now = 1_000;
        for board in BOARDS {
            for version in 1..=3 {
                let image = ImageSpec {
                    reference: reference(board, version),
                    hardware_ids: vec![HardwareId::new(board).expect("it is a name")],
                    model: None,
                    build_id: None,
                    from_version: None,
                    url: "http://artifacts/image".to_owned(),
                    hosted: false,
                    size: 1,
                    sha256: digest(board, version),
                };
                script.command(Command::AddImage(image)).expect("it is new");
            }
        }
        for robot in 0..4 {
            script.register(robot);
        }
        let first = vec![robot_id(0)];
        script.add_to_canary(first).expect("it is new");
        script
    }

    /// The even ones have one ECU, the odd ones two.
    fn register(&mut self, robot: usize) {
        let both = [("a-motor", "motor"), ("main", "compute")];
        let ecus = &both[1 - robot % 2..];
        let spec = |(name, board): &(&str, &str)| EcuSpec {
            name: EcuName::new(name).expect("it is a name"),
            hardware_id: HardwareId::new(board).expect("it is a name"),
            primary: *name == "main",
        };
        let added = self.command(Command::AddRobot(RobotSpec {
            id: robot_id(robot),
            name: None,
            model: None,
            labels: if robot < 2 { BTreeMap::new() } else { india() },
            tags: if robot == 0 {
                of_beta()
            } else {
                BTreeSet::new()
            },
            ecus: ecus.iter().map(spec).collect(),
            secret: [0; 32],
        }));
        assert_eq!(added, Ok(Reply::Robot(key(robot))));
        let ecu = |(name, board): &(&'static str, &'static str)| Ecu {
            name,
            board,
            said: None,
        };
        self.model.robots.push(Robot {
            link: None,
            gone: self.model.now,
            removed: false,
            // Somebody is, so that there are rollouts that others can join.
            beta: robot == 0,
            canary: robot == 0,
            boot: 0,
            ecus: ecus.iter().map(ecu).collect(),
        });
        self.runs.push(vec![1; ecus.len()]);
    }

    pub(super) fn add_to_canary(
        &mut self,
        robots: Vec<RobotId>,
    ) -> Result<Reply, rollcall_engine::Refusal> {
        let name = GroupName::new("canary").expect("it is a name");
        self.command(Command::AddGroup { name, robots })
    }

    pub(super) fn command(&mut self, command: Command) -> Result<Reply, rollcall_engine::Refusal> {
        let by = Actor("people".to_owned());
        self.apply(Input::Command { by, command })
    }

    pub(super) fn apply(&mut self, input: Input) -> Result<Reply, rollcall_engine::Refusal> {
        self.state.apply(Timestamp(self.model.now), input).reply
    }

    /// One input is done on both sides.
    fn agree(&mut self) -> Result<(), String> {
        self.note();
        if let Some(complaint) = self.model.complaint.take() {
            return Err(complaint);
        }
        compare(&self.state, &self.model)
    }

    pub(super) fn both(&mut self, what: &str, engine: bool, model: bool) -> Result<(), String> {
        if engine != model {
            return Err(format!(
                "{what}: the engine takes it: {engine}, the model: {model}"
            ));
        }
        *self.seen.entry(format!("{what} {engine}")).or_default() += 1;
        let members = self.model.members();
        self.model.take_in();
        if self.model.members() > members {
            *self.seen.entry("joined".to_owned()).or_default() += 1;
        }
        self.agree()
    }

    fn step(&mut self, op: &Op) -> Result<(), String> {
        // Launches are in order then.
        self.pass(1)?;
        match op {
            Op::Arrive {
                robot,
                restarted,
                all,
            } => self.arrive(*robot, *restarted, *all),
            Op::Leave { robot } => self.leave(*robot),
            Op::Says { robot, what } => self.says(*robot, *what),
            Op::Installs { robot, honest } => self.installs(*robot, *honest),
            Op::Create {
                whom,
                image,
                mechanism,
                schedule: (start, end),
                launch,
            } => {
                let r = self.model.rollouts.len();
                let from_now = |span: u64| Timestamp(self.model.now + span);
                let mut mechanism = mechanism.clone();
                mechanism.schedule.start = start.map(from_now);
                mechanism.schedule.end = end.map(from_now);
                // No two rollouts open at the same instant: whose robots come first then is nobody's rule.
                let windows = mechanism.windows.take();
                mechanism.windows = windows.map(|_| five_minutes_in_twenty(r % 10));
                self.create(*whom, *image, &mechanism)?;
                match *launch && self.model.rollouts.len() > r {
                    true => self.control(r, 0),
                    false => Ok(()),
                }
            }
            Op::Control { rollout, what } => {
                // The newest ones are the ones that run.
                let newest = self.model.rollouts.len().saturating_sub(1);
                self.control(newest.saturating_sub(*rollout), *what)
            }
            Op::Edit {
                rollout,
                cap,
                rate,
                deadline,
            } => {
                let newest = self.model.rollouts.len().saturating_sub(1);
                let r = newest.saturating_sub(*rollout);
                let edit = Box::new(RolloutEdit {
                    max_in_progress: *cap,
                    rate: rate.clone(),
                    deadline: *deadline,
                    ..RolloutEdit::default()
                });
                let rollout = id(r);
                let reply = self.command(Command::EditRollout { rollout, edit });
                let taken = self.model.edit(r, *cap, rate.clone(), *deadline);
                self.both("edit", reply.is_ok(), taken)
            }
            Op::CancelOperation { robot, all } => {
                let reply = self.command(Command::CancelOperation {
                    robot: robot_id(*robot),
                    all: *all,
                });
                let taken = self.model.cancel_operation(*robot, *all);
                self.both("cancel operation", reply.is_ok(), taken)
            }
            Op::Mark { robot, beta } => self.mark(*robot, *beta),
            Op::Manual {
                place,
                image,
                typed,
                spans,
            } => self.manual(*place, *image, *typed, *spans),
            Op::Remove { robot } => {
                let reply = self.command(Command::RemoveRobot {
                    robot: robot_id(*robot),
                });
                let taken = self.model.remove(*robot);
                self.both("remove", reply.is_ok(), taken)
            }
            Op::Away(span) => {
                let down_since = Timestamp(self.model.now);
                self.model.now += span;
                let base = None;
                let reply = self.apply(Input::Started { down_since, base });
                self.model.restart(*span);
                self.model.take_in();
                // What has come due meanwhile is done before anybody looks.
                self.fire()?;
                self.both("restart", reply.is_ok(), true)
            }
            Op::Wait(span) => self.pass(*span),
        }
    }

    /// Time passes, and everything that is due meanwhile happens at its time.
    fn pass(&mut self, span: u64) -> Result<(), String> {
        let end = self.model.now + span;
        loop {
            let timer = self.state.next_timer().map(|(at, _)| at.0);
            let due = self.model.next_due();
            let Some(at) = timer.into_iter().chain(due).min().filter(|at| *at <= end) else {
                break;
            };
            let promised = self.promised(at);
            self.model.now = self.model.now.max(at);
            self.fire()?;
            self.agree()?;
            self.kept(promised)?;
        }
        self.model.now = end;
        self.state.advance_clock(Timestamp(end));
        self.agree()
    }

    fn fire(&mut self) -> Result<(), String> {
        let now = self.model.now;
        let mut fired = 0;
        while let Some((_, timer)) = self.state.next_timer().filter(|(at, _)| at.0 <= now) {
            fired += 1;
            if fired > TIMERS_MAX {
                return Err(format!("timer {timer:?} fires for ever"));
            }
            let reply = self.apply(Input::Due(timer));
            reply.map_err(|refusal| format!("{timer:?} was refused: {refusal}"))?;
        }
        self.draw();
        for _ in 0..TIMERS_MAX {
            if self.model.next_due().is_none_or(|at| at > now) {
                return Ok(());
            }
            self.model.due();
        }
        Err("the model goes round in circles".to_owned())
    }

    /// Tells the model what chance did.
    pub(super) fn draw(&mut self) {
        for rollout in self.state.rollouts() {
            for (key, member) in rollout.members.iter() {
                let place = (rollout.id.0 as usize - 1, key.0 as usize - 1);
                let drawn = &mut self.model.drawn;
                drawn.entry(place).or_insert(usize::from(member.phase));
            }
        }
    }

    /// What `why` says to end at `at`.
    fn promised(&self, at: u64) -> Vec<Promise> {
        promises(&self.state, at)
    }

    /// It has come true, if nothing else has happened.
    fn kept(&mut self, promised: Vec<Promise>) -> Result<(), String> {
        for promise in promised {
            let gate = promise.is_kept(&self.state)?;
            *self.seen.entry(format!("promise {gate}")).or_default() += 1;
        }
        Ok(())
    }

    /// What this step was good for.
    fn note(&mut self) {
        for rollout in &self.model.rollouts {
            if rollout.missed {
                *self.seen.entry("missed start".to_owned()).or_default() += 1;
            }
            let mut note = |what: String| *self.seen.entry(what).or_default() += 1;
            match rollout.run() {
                Some(Run::Paused { why, .. }) => note(first_word(&why)),
                Some(Run::Ending { why, .. }) => note(format!("ending {}", first_word(&why))),
                Some(run) => note(run.word().to_owned()),
                None if rollout.is_over() => note(format!("{:?}", rollout.status)),
                None => {}
            }
            for target in rollout.members.iter().flat_map(|member| &member.targets) {
                note(format!("{:?}", target.state).replace(['{', '}'], ""));
                if target.retry.is_some() {
                    note("retry".to_owned());
                }
            }
        }
    }
}

fn first_word(of: &impl std::fmt::Debug) -> String {
    let text = format!("{of:?}");
    text.split([' ', '{', '('])
        .next()
        .unwrap_or_default()
        .to_owned()
}
