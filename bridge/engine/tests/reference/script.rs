//! Plays operations on engine and model, and compares after each single input.

use super::compare::compare;
use super::model::{BOARDS, Ecu, Model, Robot};
use super::ops::Op;
use rollcall_engine::{
    Actor, Command, EcuName, EcuSpec, Event, EventCode, EventStatus, HardwareId, ImageSpec, Input,
    LinkEvent, Reply, Report, ReportedImage, RobotId, RobotKey, RobotSpec, RolloutEdit, RolloutId,
    RolloutName, RolloutSpec, Run, Stamp, State, TargetSelection, Timestamp, operation_id,
};
use std::collections::BTreeMap;

/// More timers than this at one instant are a circle.
const TIMERS_MAX: usize = 200;

/// How often something was seen.
pub(crate) type Seen = BTreeMap<String, u64>;

/// Engine and model, side by side.
struct Script {
    state: State,
    model: Model,
    /// What the ECUs really run.
    runs: Vec<Vec<u8>>,
    counters: Vec<u64>,
    connections: u64,
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

fn key(robot: usize) -> RobotKey {
    RobotKey(u32::try_from(robot + 1).expect("worlds are small"))
}

fn id(r: usize) -> RolloutId {
    RolloutId(u32::try_from(r + 1).expect("worlds are small"))
}

fn robot_id(robot: usize) -> RobotId {
    RobotId::new(&format!("r{robot}")).expect("it is a name")
}

/// What says that a robot is in India.
fn india() -> BTreeMap<String, String> {
    BTreeMap::from([("timezone".to_owned(), "Asia/Kolkata".to_owned())])
}

fn digest(board: &str, version: u8) -> [u8; 32] {
    [board.as_bytes()[0] ^ version; 32]
}

fn reference(board: &str, version: u8) -> rollcall_engine::ImageRef {
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
            tags: std::collections::BTreeSet::new(),
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
            removed: false,
            boot: 0,
            ecus: ecus.iter().map(ecu).collect(),
        });
        self.runs.push(vec![1; ecus.len()]);
    }

    fn command(&mut self, command: Command) -> Result<Reply, rollcall_engine::Refusal> {
        let by = Actor("people".to_owned());
        self.apply(Input::Command { by, command })
    }

    fn apply(&mut self, input: Input) -> Result<Reply, rollcall_engine::Refusal> {
        self.state.apply(Timestamp(self.model.now), input).reply
    }

    /// One input is done on both sides.
    fn agree(&mut self) -> Result<(), String> {
        self.note();
        compare(&self.state, &self.model)
    }

    fn both(&mut self, what: &str, engine: bool, model: bool) -> Result<(), String> {
        if engine != model {
            return Err(format!(
                "{what}: the engine takes it: {engine}, the model: {model}"
            ));
        }
        *self.seen.entry(format!("{what} {engine}")).or_default() += 1;
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
                launch,
            } => {
                let r = self.model.rollouts.len();
                self.create(*whom, *image, mechanism)?;
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
            self.model.now = self.model.now.max(at);
            self.fire()?;
            self.agree()?;
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
        for _ in 0..TIMERS_MAX {
            if self.model.next_due().is_none_or(|at| at > now) {
                return Ok(());
            }
            self.model.due();
        }
        Err("the model goes round in circles".to_owned())
    }

    fn arrive(&mut self, robot: usize, restarted: bool, all: bool) -> Result<(), String> {
        self.connections += 1;
        let connection = self.connections;
        let link = |event| Input::Link {
            robot: key(robot),
            event,
        };
        let reply = self.apply(link(LinkEvent::Connected { connection }));
        let taken = self.model.connect(robot);
        self.both("connect", reply.is_ok(), taken)?;
        if !taken {
            return Ok(());
        }
        let reply = self.apply(link(LinkEvent::Subscribed { connection }));
        self.model.subscribe(robot);
        self.both("subscribe", reply.is_ok(), true)?;
        let boot = self.model.robots[robot].boot;
        let boot = if restarted || boot == 0 {
            boot + 1
        } else {
            boot
        };
        if boot != self.model.robots[robot].boot {
            self.counters[robot] = 0;
        }
        let ecus = self.model.robots[robot].ecus.iter().map(|ecu| EcuSpec {
            name: EcuName::new(ecu.name).expect("it is a name"),
            hardware_id: HardwareId::new(ecu.board).expect("it is a name"),
            primary: ecu.name == "main",
        });
        let manifest = Report::Manifest {
            boot,
            wants_ack: false,
            ecus: ecus.collect(),
        };
        let reply = self.apply(Input::Report {
            robot: key(robot),
            report: manifest,
        });
        self.model.manifest(robot, boot);
        self.both("manifest", reply.is_ok(), true)?;
        let ecus = self.runs[robot].len();
        for ecu in (0..ecus).filter(|_| all) {
            self.report(robot, ecu, false)?;
        }
        Ok(())
    }

    fn leave(&mut self, robot: usize) -> Result<(), String> {
        let connection = self.state.robot(key(robot)).and_then(|r| r.link.connection);
        let Some(connection) = connection else {
            return Ok(());
        };
        let reply = self.apply(Input::Link {
            robot: key(robot),
            event: LinkEvent::Disconnected { connection },
        });
        self.model.disconnect(robot);
        self.both("disconnect", reply.is_ok(), true)
    }

    /// An ECU says what it runs, and perhaps which operation brought it.
    fn report(&mut self, robot: usize, ecu: usize, names_it: bool) -> Result<(), String> {
        let of = &self.model.robots[robot].ecus[ecu];
        let version = self.runs[robot][ecu];
        let image = ReportedImage {
            name: format!("{}-os", of.board),
            version: format!("{version}.0.0"),
            build_id: String::new(),
            digest: Some(digest(of.board, version)),
            operation: names_it.then(|| self.operation(robot)).flatten(),
        };
        let ecu_name = EcuName::new(of.name).expect("it is a name");
        let report = Report::BaseImage {
            ecu: ecu_name,
            image,
        };
        let reply = self.apply(Input::Report {
            robot: key(robot),
            report,
        });
        self.model.report(robot, ecu, version, names_it);
        self.both("report", reply.is_ok(), true)
    }

    /// The operation under way on the robot.
    fn operation(&self, robot: usize) -> Option<uuid::Uuid> {
        let place = self.model.active(robot)?;
        let target = self.model.target(place);
        let name = EcuName::new(self.model.robots[robot].ecus[target.ecu].name);
        let name = name.expect("it is a name");
        Some(operation_id(id(place.0), key(robot), &name, target.attempt))
    }

    fn is_introduced(&self, robot: usize) -> bool {
        let link = self.model.robots[robot].link.as_ref();
        link.is_some_and(|link| link.introduced)
    }

    fn says(&mut self, robot: usize, what: usize) -> Result<(), String> {
        let Some(place) = self
            .model
            .active(robot)
            .filter(|_| self.is_introduced(robot))
        else {
            return Ok(());
        };
        let (status, progress, code) = match what {
            0..=19 => (EventStatus::Acknowledged, 0, None),
            20..=34 => (EventStatus::Downloading, 50, None),
            35..=44 => (EventStatus::Downloading, 100, None),
            45..=59 => (EventStatus::Deploying, 50, None),
            60..=67 => (EventStatus::Deployed, 0, None),
            68..=75 => (EventStatus::Rebooting, 0, None),
            76..=77 => (EventStatus::Error, 0, Some(EventCode::IoError)),
            78..=83 => (EventStatus::Failure, 0, Some(EventCode::NetworkError)),
            84..=87 => (EventStatus::Failure, 0, Some(EventCode::Busy)),
            88..=91 => (EventStatus::Failure, 0, Some(EventCode::Refused)),
            92..=95 => (EventStatus::Failure, 0, Some(EventCode::SystemRollback)),
            _ => (EventStatus::Failure, 0, Some(EventCode::Cancelled)),
        };
        let target = self.model.target(place);
        let ecu = EcuName::new(self.model.robots[robot].ecus[target.ecu].name);
        self.counters[robot] += 1;
        let event = Event {
            ecu: ecu.expect("it is a name"),
            stamp: Some(Stamp {
                boot: self.model.robots[robot].boot,
                counter: self.counters[robot],
            }),
            operation: self.operation(robot).expect("one is under way"),
            status,
            progress,
            code,
            message: String::new(),
        };
        let reply = self.apply(Input::Report {
            robot: key(robot),
            report: Report::Event(event),
        });
        self.model.event(robot, status, progress, code);
        self.both("event", reply.is_ok(), true)
    }

    fn installs(&mut self, robot: usize, honest: bool) -> Result<(), String> {
        let Some(place) = self
            .model
            .active(robot)
            .filter(|_| self.is_introduced(robot))
        else {
            return Ok(());
        };
        let target = self.model.target(place);
        let (ecu, version) = (target.ecu, target.version);
        if honest {
            self.runs[robot][ecu] = version;
        }
        self.report(robot, ecu, true)
    }

    fn create(
        &mut self,
        whom: u8,
        image: u8,
        mechanism: &rollcall_engine::Mechanism,
    ) -> Result<(), String> {
        let version = 1 + image % 3;
        let boards = if image < 3 { &BOARDS[..] } else { &BOARDS[..1] };
        let chosen: Vec<_> = (0..4).filter(|robot| whom >> robot & 1 == 1).collect();
        let images = boards.iter().map(|board| {
            let hardware = HardwareId::new(board).expect("it is a name");
            (hardware, reference(board, version))
        });
        let spec = RolloutSpec {
            name: RolloutName::new("model").expect("it is a name"),
            target: TargetSelection::Robots(chosen.iter().map(|robot| robot_id(*robot)).collect()),
            images: images.collect(),
            mechanism: mechanism.clone(),
        };
        let reply = self.command(Command::CreateRollout(Box::new(spec)));
        let wanted = boards.iter().map(|board| (*board, version)).collect();
        let taken = self.model.create(mechanism.clone(), wanted, chosen);
        self.both("create", reply.is_ok(), taken)
    }

    fn control(&mut self, r: usize, what: usize) -> Result<(), String> {
        let rollout = id(r);
        let (word, command) = match what {
            0 => {
                let accept_drift = true;
                (
                    "launch",
                    Command::LaunchRollout {
                        rollout,
                        accept_drift,
                    },
                )
            }
            1 => ("pause", Command::PauseRollout { rollout }),
            2 | 6 | 7 => ("resume", Command::ResumeRollout { rollout }),
            3 => ("stop", Command::StopRollout { rollout }),
            4 => ("cancel", Command::CancelRollout { rollout }),
            _ => (
                "approve",
                Command::ApprovePhase {
                    rollout,
                    phase: None,
                },
            ),
        };
        let reply = self.command(command);
        let taken = match what {
            0 => {
                let members = self.state.rollout(rollout).map(|rollout| &rollout.members);
                let phase = |robot| {
                    members
                        .and_then(|m| m.get(&key(robot)))
                        .map_or(0, |m| m.phase)
                };
                let taken = self.model.launch(r, |robot| phase(robot).into());
                if taken {
                    self.check_phases(r)?;
                }
                taken
            }
            1 => self.model.pause_by_operator(r),
            2 | 6 | 7 => self.model.resume(r),
            3 => self.model.stop(r),
            4 => self.model.cancel(r),
            _ => self.model.approve(r),
        };
        self.both(word, reply.is_ok(), taken)
    }

    /// Who goes first is chance; how many do is not.
    fn check_phases(&self, r: usize) -> Result<(), String> {
        let rollout = &self.model.rollouts[r];
        let sizes = rollout.phase_sizes();
        let found: Vec<_> = (0..sizes.len())
            .map(|phase| rollout.members.iter().filter(|m| m.phase == phase).count())
            .collect();
        let sizes: Vec<_> = sizes.into_iter().map(|size| size as usize).collect();
        if found == sizes {
            return Ok(());
        }
        Err(format!("phases of {found:?} robots instead of {sizes:?}"))
    }

    /// What this step was good for.
    fn note(&mut self) {
        for rollout in &self.model.rollouts {
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
