//! What robots do, on both sides.

use super::script::{Script, digest, id, key};
use rollcall_engine::{
    EcuName, EcuSpec, Event, EventCode, EventStatus, HardwareId, Input, LinkEvent, Report,
    ReportedImage, Stamp, operation_id,
};

impl Script {
    pub(super) fn arrive(
        &mut self,
        robot: usize,
        restarted: bool,
        all: bool,
    ) -> Result<(), String> {
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

    pub(super) fn leave(&mut self, robot: usize) -> Result<(), String> {
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
    pub(super) fn report(
        &mut self,
        robot: usize,
        ecu: usize,
        names_it: bool,
    ) -> Result<(), String> {
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
    pub(super) fn operation(&self, robot: usize) -> Option<uuid::Uuid> {
        let place = self.model.active(robot)?;
        let target = self.model.target(place);
        let name = EcuName::new(self.model.robots[robot].ecus[target.ecu].name);
        let name = name.expect("it is a name");
        Some(operation_id(id(place.0), key(robot), &name, target.attempt))
    }

    pub(super) fn is_introduced(&self, robot: usize) -> bool {
        let link = self.model.robots[robot].link.as_ref();
        link.is_some_and(|link| link.introduced)
    }

    pub(super) fn says(&mut self, robot: usize, what: usize) -> Result<(), String> {
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

    pub(super) fn installs(&mut self, robot: usize, honest: bool) -> Result<(), String> {
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
}
