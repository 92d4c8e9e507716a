//! What people read of a rollout on its way, told on an engine of its own.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::super::member_views::MemberView;
use super::super::rollout_views::RolloutView;
use rollcall_engine::{
    Actor, Command, EcuSpec, ImageSpec, Input, LinkEvent, Report, ReportedImage, RobotKey,
    RobotSpec, RolloutId, RolloutSpec, State, TargetSelection, Timestamp, operation_id,
};
use serde_json::{Value, json};

const ROLLOUT: RolloutId = RolloutId(1);

/// Robots r1 to r4, all connected and running `os@1`, and image `os@2`.
struct Fleet {
    state: State,
    now: u64,
}

impl Fleet {
    /// With a launched rollout of `os@2` to all.
    fn launched(mechanism: Value) -> Self {
        let mut fleet = Self {
            state: State::default(),
            now: 1_000,
        };
        for number in 1..=4 {
            fleet.add(number);
        }
        fleet.command(Command::AddImage(ImageSpec {
            reference: "os@2.0.0".parse().unwrap(),
            hardware_ids: vec!["hw".parse().unwrap()],
            model: None,
            build_id: None,
            from_version: None,
            url: "http://127.0.0.1/a".into(),
            hosted: false,
            size: 1,
            sha256: [9; 32],
        }));
        fleet.command(Command::CreateRollout(Box::new(RolloutSpec {
            name: "test".parse().unwrap(),
            target: TargetSelection::Hardware("hw".parse().unwrap()),
            images: vec![("hw".parse().unwrap(), "os@2.0.0".parse().unwrap())],
            mechanism: serde_json::from_value(mechanism).unwrap(),
        })));
        fleet.command(Command::LaunchRollout {
            rollout: ROLLOUT,
            accept_drift: false,
        });
        fleet
    }

    fn apply(&mut self, input: Input) {
        let outcome = self.state.apply(Timestamp(self.now), input);
        outcome.reply.unwrap();
    }

    fn command(&mut self, command: Command) {
        let by = Actor("op".into());
        self.apply(Input::Command { by, command });
    }

    fn add(&mut self, number: u32) {
        let main = EcuSpec {
            name: "main".parse().unwrap(),
            hardware_id: "hw".parse().unwrap(),
            primary: true,
        };
        self.command(Command::AddRobot(RobotSpec {
            id: format!("r{number}").parse().unwrap(),
            name: None,
            model: None,
            labels: Default::default(),
            tags: Default::default(),
            ecus: vec![main.clone()],
            secret: [0; 32],
        }));
        let robot = RobotKey(number);
        let connection = number.into();
        for event in [
            LinkEvent::Connected { connection },
            LinkEvent::Subscribed { connection },
        ] {
            self.apply(Input::Link { robot, event });
        }
        let report = Report::Manifest {
            boot: 1,
            wants_ack: false,
            ecus: vec![main],
        };
        self.apply(Input::Report { robot, report });
        self.runs(robot, "1.0.0");
    }

    /// The robot's ECU says that it runs this, by the operation that is under way.
    fn runs(&mut self, robot: RobotKey, version: &str) {
        let ecu = "main".parse().unwrap();
        let active = self.state.robot(robot).unwrap();
        let active = self.state.active_target(active);
        let image = ReportedImage {
            name: "os".into(),
            version: version.into(),
            operation: active
                .map(|(rollout, target)| operation_id(rollout.id, robot, &ecu, target.attempt)),
            ..ReportedImage::default()
        };
        let report = Report::BaseImage { ecu, image };
        self.apply(Input::Report { robot, report });
    }

    /// The robots whose operation is under way.
    fn active(&self) -> Vec<RobotKey> {
        let robots = self.state.robots(None);
        let active = robots.filter(|robot| self.state.active_target(robot).is_some());
        active.map(|robot| robot.key).collect()
    }

    fn view(&self) -> Value {
        let rollout = self.state.rollout(ROLLOUT).unwrap();
        json!(RolloutView::new(&self.state, rollout))
    }

    fn member(&self, robot: RobotKey) -> Value {
        let rollout = self.state.rollout(ROLLOUT).unwrap();
        let robot = self.state.robot(robot).unwrap();
        let member = &rollout.members[&robot.key];
        json!(MemberView::new(&self.state, rollout, robot, member))
    }
}

#[test]
fn a_phase_is_followed_from_its_opening_to_its_approval() {
    let mut fleet = Fleet::launched(json!({
        "phases": [
            { "size": { "robots": 2 }, "soak": 5_000, "approval": true, "error_threshold": 50 },
            { "size": "rest" },
        ],
    }));
    let view = fleet.view();
    let course = &view["course"];
    assert_eq!(
        (&course["phase"], &course["waits_for"]),
        (&json!(1), &json!("success"))
    );
    assert_eq!(
        course["waits_for_text"],
        "0 robots have succeeded, 2 more must"
    );
    assert_eq!(
        course["phases"][0],
        json!({
            "phase": 1, "state": "open", "size": { "robots": 2 }, "robots": 2, "open": 2, "succeeded": 0,
            "failed": 0, "withdrawn": 0, "needed": 2, "may_fail": 1,
        })
    );
    assert_eq!(course["phases"][1]["state"], "closed");
    assert_eq!(
        (&view["run"]["since_ms"], &view["run"]["reason"]),
        (&json!(1_000), &json!(null))
    );

    let first = fleet.active();
    assert_eq!(first.len(), 2);
    fleet.now = 2_000;
    for robot in &first {
        assert_eq!(fleet.member(*robot)["phase"], 1);
        fleet.runs(*robot, "2.0.0");
    }
    let view = fleet.view();
    let course = &view["course"];
    assert_eq!(
        (
            &course["waits_for"],
            &course["soaks_until_ms"],
            &course["passed_ms"]
        ),
        (&json!("soak"), &json!(7_000), &json!(2_000))
    );
    assert_eq!(
        (&view["tally"]["told"], &view["tally"]["succeeded"]),
        (&json!(2), &json!(2))
    );

    fleet.now = 7_000;
    let (at, timer) = fleet.state.next_timer().unwrap();
    assert_eq!(at.0, 7_000);
    fleet.apply(Input::Due(timer));
    let view = fleet.view();
    assert_eq!(
        (&view["status"], &view["course"]["waits_for"]),
        (&json!("paused"), &json!("approval"))
    );
    assert_eq!(
        view["run"]["reason"],
        json!({ "why": "approval", "phase": 1 })
    );
    assert_eq!(
        view["run"]["reason_text"],
        "phase 1 is done, and the next one waits for an approval"
    );

    fleet.command(Command::ApprovePhase {
        rollout: ROLLOUT,
        phase: Some(0),
    });
    let view = fleet.view();
    let course = &view["course"];
    assert_eq!(
        (&course["phase"], &course["waits_for"], &course["opened_ms"]),
        (&json!(2), &json!(null), &json!(7_000))
    );
    assert_eq!(
        (&course["phases"][0]["state"], &course["phases"][1]["state"]),
        (&json!("passed"), &json!("open"))
    );
}

#[test]
fn a_threshold_that_acted_says_which_and_by_what_numbers() {
    let rule = json!({ "kind": "all", "percentage": 50, "min_tried": 2, "action": "pause" });
    let mut fleet = Fleet::launched(json!({ "abort": [rule] }));
    let active = fleet.active();
    fleet.runs(active[0], "2.0.0");
    // Neither what it ran nor what it shall run.
    fleet.runs(active[1], "3.0.0");
    let view = fleet.view();
    assert_eq!(view["status"], "paused", "{view}");
    assert_eq!(
        view["run"]["reason"],
        json!({ "why": "failures", "rule": 1 })
    );
    assert_eq!(
        view["run"]["reason_text"],
        "abort rule 1: 1 of the 2 robots that have tried failed; it acts at 50 %"
    );
    assert_eq!(
        view["tally"],
        json!({
            "told": 4, "tried": 2, "succeeded": 1, "failed": 1,
            "failures": { "failed": 1, "rejected": 0, "timed_out": 0, "rolled_back": 0 },
        })
    );
}

#[test]
fn the_rate_and_the_next_start_are_shown_while_it_is_launched() {
    let mut fleet = Fleet::launched(json!({ "rate": { "per_minute": 60 } }));
    assert_eq!(
        fleet.view()["rate_now"],
        json!({ "per_minute": 60, "next": "1970-01-01T00:00:02.000Z", "next_ms": 2_000 })
    );
    fleet.now = 1_500;
    fleet.command(Command::StopRollout { rollout: ROLLOUT });
    let view = fleet.view();
    assert_eq!(
        (
            &view["status"],
            &view["run"]["since_ms"],
            &view["run"]["remedy"]
        ),
        (
            &json!("stopped"),
            &json!(1_500),
            &json!("resume it or cancel it")
        )
    );
    let told = fleet.active();
    let ecu = &fleet.member(told[0])["ecus"][0];
    assert_eq!(
        (&ecu["cancelling"]["by"], &ecu["cancelling"]["goal"]),
        (&json!("op"), &json!("recall"))
    );
}
