//! A small fleet to tell stories with: names in, effects and states out, time by hand.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "tests fail by panicking, and no test file uses every helper"
)]

pub mod device;
pub mod ledger;
pub mod pace;
pub mod release;

use rollcall_engine::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub struct Fleet {
    pub state: State,
    pub now: u64,
    next_connection: u64,
    counters: BTreeMap<RobotKey, (u64, u64)>,
    pub effects: Vec<Effect>,
}

pub fn hw(id: &str) -> HardwareId {
    HardwareId::new(id).unwrap()
}

pub fn ecu(name: &str, hardware_id: &str, primary: bool) -> EcuSpec {
    EcuSpec {
        name: EcuName::new(name).unwrap(),
        hardware_id: hw(hardware_id),
        primary,
    }
}

pub fn reported(version: &str) -> ReportedImage {
    ReportedImage {
        name: "os".into(),
        version: version.into(),
        ..ReportedImage::default()
    }
}

/// What an Edgehog device with the default runtime says first.
pub fn introspection() -> Report {
    let version = |major, minor| InterfaceVersion { major, minor };
    let interface = |name: &str| format!("io.edgehog.devicemanager.{name}").into_boxed_str();
    Report::Introspection(
        [
            (interface("BaseImage"), version(0, 1)),
            (interface("OTAEvent"), version(0, 1)),
            (interface("OTARequest"), version(1, 0)),
            (interface("SystemInfo"), version(0, 1)),
            (interface("OSInfo"), version(0, 1)),
            (interface("config.Telemetry"), version(0, 1)),
        ]
        .into(),
    )
}

/// The list of a process that has just started.
pub fn no_properties() -> Report {
    Report::ProducerProperties(Default::default())
}

fn device_value(path: &str, value: &str, meaning: Option<Meaning>) -> Report {
    Report::Value(DeviceValue {
        path: format!("io.edgehog.devicemanager.{path}"),
        content: Some(Value::Text(value.into()).into()),
        property: true,
        meaning,
    })
}

pub fn base_image_property(property: BaseImageProperty, value: &str) -> Report {
    let path = match property {
        BaseImageProperty::Name => "BaseImage/name",
        BaseImageProperty::Version => "BaseImage/version",
        BaseImageProperty::BuildId => "BaseImage/buildId",
    };
    let meaning = Meaning::BaseImage(property, value.to_owned());
    device_value(path, value, Some(meaning))
}

pub fn part_number(value: &str) -> Report {
    let meaning = Meaning::PartNumber(value.to_owned());
    device_value("SystemInfo/partNumber", value, Some(meaning))
}

pub fn property(path: &str, value: &str) -> Report {
    device_value(path, value, None)
}

/// One robot with an operation that has been requested.
pub fn requested() -> (Fleet, RobotKey, RolloutId, uuid::Uuid) {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    fleet.online(robot);
    let id = fleet.rollout(1);
    let operation = fleet.requests()[0].2;
    (fleet, robot, id, operation)
}

impl Fleet {
    pub fn apply(&mut self, input: Input) -> Result<Reply, Refusal> {
        let outcome = self.state.apply(Timestamp(self.now), input);
        if outcome.reply.is_err() {
            assert!(
                outcome.touched.is_empty() && outcome.effects.is_empty(),
                "a refusal changes nothing"
            );
        }
        self.effects.extend(outcome.effects);
        outcome.reply
    }

    pub fn command(&mut self, command: Command) -> Result<Reply, Refusal> {
        self.apply(Input::Command {
            by: Actor("op".into()),
            command,
        })
    }

    pub fn robot(&mut self, id: &str, ecus: &[EcuSpec]) -> RobotKey {
        let spec = RobotSpec {
            id: RobotId::new(id).unwrap(),
            name: None,
            model: None,
            labels: BTreeMap::new(),
            tags: BTreeSet::new(),
            ecus: ecus.to_vec(),
            secret: [0; 32],
        };
        match self.command(Command::AddRobot(spec)).unwrap() {
            Reply::Robot(key) => key,
            other => panic!("{other:?}"),
        }
    }

    /// `count` robots `r1`…, each with a primary `main` on `hw`.
    pub fn robots(&mut self, count: usize) -> Vec<RobotKey> {
        (1..=count)
            .map(|n| self.robot(&format!("r{n}"), &[ecu("main", "hw", true)]))
            .collect()
    }

    pub fn image(&mut self, reference: &str, hardware: &[&str]) -> ImageKey {
        let spec = ImageSpec {
            reference: reference.parse().unwrap(),
            hardware_ids: hardware.iter().map(|id| hw(id)).collect(),
            model: None,
            build_id: None,
            from_version: None,
            url: "http://127.0.0.1/a".into(),
            hosted: false,
            size: 1,
            sha256: [9; 32],
        };
        match self.command(Command::AddImage(spec)).unwrap() {
            Reply::Image(key) => key,
            other => panic!("{other:?}"),
        }
    }

    pub fn spec(&self, target: TargetSelection, images: &[(&str, &str)]) -> RolloutSpec {
        RolloutSpec {
            name: RolloutName::new("test").unwrap(),
            target,
            images: images
                .iter()
                .map(|(id, image)| (hw(id), image.parse().unwrap()))
                .collect(),
            mechanism: Mechanism::default(),
        }
    }

    pub fn all(&self) -> TargetSelection {
        TargetSelection::Robots(
            self.state
                .robots(None)
                .map(|robot| robot.id.clone())
                .collect(),
        )
    }

    pub fn create(&mut self, spec: RolloutSpec) -> Result<RolloutId, Refusal> {
        self.command(Command::CreateRollout(Box::new(spec)))
            .map(|reply| match reply {
                Reply::Rollout(id) => id,
                other => panic!("{other:?}"),
            })
    }

    pub fn launch(&mut self, id: RolloutId) -> Result<Reply, Refusal> {
        self.command(Command::LaunchRollout {
            rollout: id,
            accept_drift: false,
        })
    }

    /// Creates and launches a rollout of `os@2` for `hw` to everybody, with the cap `cap`.
    pub fn rollout(&mut self, cap: u32) -> RolloutId {
        if self.state.image_key(&"os@2".parse().unwrap()).is_none() {
            self.image("os@2", &["hw"]);
        }
        let mut spec = self.spec(self.all(), &[("hw", "os@2")]);
        spec.mechanism.max_in_progress = cap;
        let id = self.create(spec).unwrap();
        self.launch(id).unwrap();
        id
    }

    pub fn connect(&mut self, robot: RobotKey) -> u64 {
        self.next_connection += 1;
        let connection = self.next_connection;
        self.apply(Input::Link {
            robot,
            event: LinkEvent::Connected { connection },
        })
        .unwrap();
        self.apply(Input::Link {
            robot,
            event: LinkEvent::Subscribed { connection },
        })
        .unwrap();
        connection
    }

    pub fn disconnect(&mut self, robot: RobotKey) {
        let connection = self.state.robot(robot).unwrap().link.connection.unwrap();
        self.apply(Input::Link {
            robot,
            event: LinkEvent::Disconnected { connection },
        })
        .unwrap();
    }

    pub fn report(&mut self, robot: RobotKey, report: Report) -> Result<Reply, Refusal> {
        self.apply(Input::Report { robot, report })
    }

    pub fn manifest(&mut self, robot: RobotKey, boot: u64) -> Result<Reply, Refusal> {
        let ecus = self.state.robot(robot).unwrap().ecus.clone();
        let ecus = ecus
            .into_iter()
            .map(|ecu| EcuSpec {
                name: ecu.name,
                hardware_id: ecu.hardware_id,
                primary: ecu.primary,
            })
            .collect();
        self.counters.insert(robot, (boot, 0));
        self.report(
            robot,
            Report::Manifest {
                boot,
                wants_ack: false,
                ecus,
            },
        )
    }

    pub fn base_image(
        &mut self,
        robot: RobotKey,
        ecu: &str,
        image: ReportedImage,
    ) -> Result<Reply, Refusal> {
        self.report(
            robot,
            Report::BaseImage {
                ecu: EcuName::new(ecu).unwrap(),
                image,
            },
        )
    }

    /// Connects, introduces the robot with `boot`, and reports `version` for each ECU.
    pub fn online_with(&mut self, robot: RobotKey, boot: u64, version: &str) {
        self.connect(robot);
        self.manifest(robot, boot).unwrap();
        let ecus: Vec<_> = self
            .state
            .robot(robot)
            .unwrap()
            .ecus
            .iter()
            .map(|ecu| ecu.name.clone())
            .collect();
        for ecu in ecus {
            self.base_image(robot, ecu.as_str(), reported(version))
                .unwrap();
        }
    }

    pub fn online(&mut self, robot: RobotKey) {
        self.online_with(robot, 1, "1");
    }

    /// The requests sent since the last look: robot, ECU, operation.
    pub fn requests(&mut self) -> Vec<(RobotKey, String, uuid::Uuid)> {
        std::mem::take(&mut self.effects)
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Request(r) if r.kind == RequestKind::Update => {
                    Some((r.robot, r.ecu.to_string(), r.operation))
                }
                _ => None,
            })
            .collect()
    }

    pub fn event_of(
        &mut self,
        robot: RobotKey,
        ecu: &str,
        operation: uuid::Uuid,
        status: EventStatus,
    ) -> Event {
        let (boot, counter) = self.counters.entry(robot).or_insert((1, 0));
        *counter += 1;
        Event {
            ecu: EcuName::new(ecu).unwrap(),
            stamp: Some(Stamp {
                boot: *boot,
                counter: *counter,
            }),
            operation,
            status,
            progress: 0,
            code: None,
            message: String::new(),
        }
    }

    pub fn event(
        &mut self,
        robot: RobotKey,
        ecu: &str,
        operation: uuid::Uuid,
        status: EventStatus,
    ) -> Result<Reply, Refusal> {
        let event = self.event_of(robot, ecu, operation, status);
        self.report(robot, Report::Event(event))
    }

    pub fn fail(
        &mut self,
        robot: RobotKey,
        ecu: &str,
        operation: uuid::Uuid,
        code: EventCode,
    ) -> Result<Reply, Refusal> {
        let mut event = self.event_of(robot, ecu, operation, EventStatus::Failure);
        event.code = Some(code);
        self.report(robot, Report::Event(event))
    }

    /// Plays a whole update of one ECU that works, up to the report of the new image.
    pub fn install(&mut self, robot: RobotKey, ecu: &str, operation: uuid::Uuid) {
        for status in [
            EventStatus::Acknowledged,
            EventStatus::Downloading,
            EventStatus::Deploying,
            EventStatus::Deployed,
        ] {
            self.event(robot, ecu, operation, status).unwrap();
        }
        self.base_image(
            robot,
            ecu,
            ReportedImage {
                operation: Some(operation),
                ..reported("2")
            },
        )
        .unwrap();
    }

    pub fn target(&self, id: RolloutId, robot: RobotKey, index: usize) -> &Target {
        &self.state.rollout(id).unwrap().members[&robot].targets[index]
    }

    pub fn target_state(&self, id: RolloutId, robot: RobotKey) -> TargetState {
        self.target(id, robot, 0).state
    }

    pub fn status(&self, id: RolloutId) -> RolloutStatus {
        self.state.rollout(id).unwrap().status
    }

    pub fn outcome(&self, id: RolloutId) -> Option<Completion> {
        match self.status(id) {
            RolloutStatus::Completed { outcome, .. } => Some(outcome),
            _ => None,
        }
    }

    /// Lets time pass, firing timers on the way.
    pub fn pass(&mut self, span: u64) {
        let end = self.now + span;
        while let Some((at, timer)) = self.state.next_timer().filter(|(at, _)| at.0 <= end) {
            self.now = self.now.max(at.0);
            self.apply(Input::Due(timer)).unwrap();
        }
        self.now = end;
    }
}

/// Rollouts whose failures matter.
impl Fleet {
    /// Creates and launches a rollout of `os@2` for `hw` to everybody, with the default mechanism as `change` makes it.
    pub fn launch_with(&mut self, change: impl FnOnce(&mut Mechanism)) -> RolloutId {
        if self.state.image_key(&"os@2".parse().unwrap()).is_none() {
            self.image("os@2", &["hw"]);
        }
        let mut spec = self.spec(self.all(), &[("hw", "os@2")]);
        change(&mut spec.mechanism);
        let id = self.create(spec).unwrap();
        self.launch(id).unwrap();
        id
    }

    pub fn pause(&mut self, rollout: RolloutId) -> Result<Reply, Refusal> {
        self.command(Command::PauseRollout { rollout })
    }

    pub fn resume(&mut self, rollout: RolloutId) -> Result<Reply, Refusal> {
        self.command(Command::ResumeRollout { rollout })
    }

    pub fn stop(&mut self, rollout: RolloutId) -> Result<Reply, Refusal> {
        self.command(Command::StopRollout { rollout })
    }

    pub fn cancel(&mut self, rollout: RolloutId) -> Result<Reply, Refusal> {
        self.command(Command::CancelRollout { rollout })
    }

    pub fn run(&self, id: RolloutId) -> Option<Run> {
        self.state.rollout(id).unwrap().run()
    }

    /// The requests and Cancels sent since the last look, in their order: robot, kind, operation.
    pub fn sent(&mut self) -> Vec<(RobotKey, RequestKind, uuid::Uuid)> {
        std::mem::take(&mut self.effects)
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Request(r) => Some((r.robot, r.kind, r.operation)),
                _ => None,
            })
            .collect()
    }
}
