//! The one entry: an input goes in, its outcome comes out.

use crate::input::{Input, LinkEvent, Report, Timer};
use crate::inventory::RobotKey;
use crate::outcome::{Outcome, Reply};
use crate::refusal::Refusal;
use crate::state::{Changes, State};
use crate::time::Timestamp;

impl State {
    /// Applies `input`, which happened at `at`. The engine's time never goes back: an `at` in the past counts as now.
    ///
    /// A refusal leaves the state as it was. The outcome's rows must be stored before its effects are performed.
    pub fn apply(&mut self, at: Timestamp, input: Input) -> Outcome {
        self.now = self.now.max(at);
        let mut changes = Changes::default();
        let newcomers = self.newcomers(&input);
        let mut reply = match input {
            Input::Command { by, command } => self.command(&by, command, &mut changes),
            Input::Link { robot, event } => self.link(robot, event, &mut changes),
            Input::Report { robot, report } => self.report(robot, report, &mut changes),
            Input::Due(Timer::Robot(robot)) => Ok(self.robot_due(robot, &mut changes)),
            Input::Due(Timer::Rollout(rollout)) => Ok(self.rollout_due(rollout, &mut changes)),
            Input::Started { down_since, base } => {
                self.base = base.as_deref().map(|base| self.shared.text(base));
                Ok(self.started(self.now.since(down_since), &mut changes))
            }
        };
        let joined = reply.is_ok() && self.take_in(newcomers, &mut changes);
        if joined && matches!(reply, Ok(Reply::Stale | Reply::Duplicate)) {
            // What changes something is recorded.
            reply = Ok(Reply::Done);
        }
        debug_assert!(reply.is_ok() || (changes.touched.is_empty() && changes.effects.is_empty()));
        Outcome {
            reply,
            touched: changes.touched,
            effects: changes.effects,
        }
    }

    fn link(
        &mut self,
        robot: RobotKey,
        event: LinkEvent,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        self.registered(robot)?;
        Ok(match event {
            LinkEvent::Connected { connection } => self.connected(robot, connection, changes),
            LinkEvent::Subscribed { connection } => {
                self.subscribed(robot, connection, true, changes)
            }
            LinkEvent::Unsubscribed { connection } => {
                self.subscribed(robot, connection, false, changes)
            }
            LinkEvent::Disconnected { connection } => self.disconnected(robot, connection, changes),
        })
    }

    fn report(
        &mut self,
        robot: RobotKey,
        report: Report,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        self.registered(robot)?;
        match report {
            Report::Manifest {
                boot,
                wants_ack,
                ecus,
            } => self.manifest(robot, boot, wants_ack, &ecus, changes),
            Report::BaseImage { ecu, image } => self.base_image(robot, &ecu, image, changes),
            Report::Event(event) => self.event(robot, &event, changes),
            Report::Introspection(interfaces) => Ok(self.introspection(robot, interfaces, changes)),
            Report::ProducerProperties(listed) => {
                Ok(self.producer_properties(robot, &listed, changes))
            }
            Report::Value(value) => self.device_value(robot, value, changes),
        }
    }

    fn registered(&self, robot: RobotKey) -> Result<(), Refusal> {
        self.robots
            .get(&robot)
            .filter(|robot| robot.removed.is_none())
            .map(|_| ())
            .ok_or(Refusal::RobotGone)
    }
}
