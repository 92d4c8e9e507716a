//! Helpers for stories about time: rollouts with a mechanism, starts counted, servers that stop and start again.

use super::*;

pub const SECOND: u64 = 1_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;
/// 2026-01-31T12:00:00Z, a Saturday.
pub const NOON: u64 = 1_769_860_800_000;

/// A fleet at noon.
pub fn at_noon() -> Fleet {
    Fleet {
        now: NOON,
        ..Fleet::default()
    }
}

/// `count` robots that are connected, at noon.
pub fn connected(count: usize) -> (Fleet, Vec<RobotKey>) {
    let mut fleet = at_noon();
    let robots = fleet.robots(count);
    robots.iter().for_each(|robot| fleet.online(*robot));
    (fleet, robots)
}

impl Fleet {
    /// A spec of `os@2` for `hw` to everybody with `mechanism`.
    pub fn spec_with(&mut self, mechanism: Mechanism) -> RolloutSpec {
        if self.state.image_key(&"os@2".parse().unwrap()).is_none() {
            self.image("os@2", &["hw"]);
        }
        let mut spec = self.spec(self.all(), &[("hw", "os@2")]);
        spec.mechanism = mechanism;
        spec
    }

    /// Creates it.
    pub fn prepared(&mut self, mechanism: Mechanism) -> Result<RolloutId, Refusal> {
        let spec = self.spec_with(mechanism);
        self.create(spec)
    }

    /// Creates and launches it.
    pub fn launched(&mut self, mechanism: Mechanism) -> RolloutId {
        let id = self.prepared(mechanism).unwrap();
        self.launch(id).unwrap();
        id
    }

    pub fn edit(&mut self, rollout: RolloutId, edit: RolloutEdit) -> Result<Reply, Refusal> {
        let edit = Box::new(edit);
        self.command(Command::EditRollout { rollout, edit })
    }

    /// Which robots were told since the last look.
    pub fn told(&mut self) -> Vec<RobotKey> {
        self.requests()
            .into_iter()
            .map(|(robot, ..)| robot)
            .collect()
    }

    /// What the robot's first ECU waits for.
    pub fn waits_for(&self, id: RolloutId, robot: RobotKey) -> Option<WaitReason> {
        self.state.why(id, robot).unwrap()[0].waits_for.clone()
    }

    pub fn label(&mut self, robot: RobotKey, key: &str, value: &str) {
        let id = self.state.robot(robot).unwrap().id.clone();
        let edit = RobotEdit {
            set_labels: [(key.to_owned(), value.to_owned())].into(),
            ..RobotEdit::default()
        };
        self.command(Command::EditRobot { robot: id, edit })
            .unwrap();
    }

    /// The server stops, and starts again `down` milliseconds later with what was stored.
    pub fn restart(&mut self, down: u64) {
        let robot = |robot: &Robot| Robot {
            memberships: Vec::new(),
            open: Vec::new(),
            owed: Default::default(),
            active: None,
            timer: None,
            ..robot.clone()
        };
        let rollout = |rollout: &Rollout| Rollout {
            counts: Counts::default(),
            tally: Tally::default(),
            ready: RobotSet::new(),
            begun: RobotSet::new(),
            zones: Zones::default(),
            timer: None,
            ..rollout.clone()
        };
        let down_since = Timestamp(self.now);
        self.state = State::rebuild(
            self.state.now(),
            self.state.counters(),
            self.state.robots(None).map(robot),
            self.state.groups().cloned(),
            self.state.images().cloned(),
            self.state.rollouts().map(rollout),
        );
        self.now += down;
        let base = None;
        self.apply(Input::Started { down_since, base }).unwrap();
    }

    /// Fires the timer that is next, if it comes before `end`, and sets the clock.
    pub fn step(&mut self, end: u64) -> bool {
        match self.state.next_timer().filter(|(at, _)| at.0 <= end) {
            Some((at, timer)) => {
                self.now = self.now.max(at.0);
                self.apply(Input::Due(timer)).unwrap();
                true
            }
            None => {
                self.now = end;
                false
            }
        }
    }
}
