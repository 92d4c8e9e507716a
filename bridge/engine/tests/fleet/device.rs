//! What an Edgehog device says, in a few words.

use super::{Fleet, base_image_property, introspection, no_properties};
use rollcall_engine::*;
use std::collections::BTreeSet;
use uuid::Uuid;

const SECOND: u64 = 1_000;

pub fn version(value: &str) -> Report {
    base_image_property(BaseImageProperty::Version, value)
}

/// Connects as a process that has just started: everything is sent anew, the list of properties is empty.
pub fn start(fleet: &mut Fleet, robot: RobotKey, properties: Vec<Report>) {
    fleet.connect(robot);
    fleet.report(robot, introspection()).unwrap();
    fleet.report(robot, no_properties()).unwrap();
    for property in properties {
        fleet.report(robot, property).unwrap();
    }
}

/// Reconnects within the same process: it lists its properties and sends none of them again.
pub fn come_back(fleet: &mut Fleet, robot: RobotKey) {
    fleet.connect(robot);
    fleet.report(robot, introspection()).unwrap();
    let device = fleet.state.robot(robot).unwrap().device.as_ref().unwrap();
    let known: BTreeSet<_> = device
        .properties
        .iter()
        .map(|p| p.path.to_string())
        .collect();
    fleet
        .report(robot, Report::ProducerProperties(known))
        .unwrap();
}

/// Starts with an image that is not the one that is waited for: what a process first reports may be that of the process
/// before, so it is disconnected at the end of its window, and says all of it once more.
pub fn start_with_another(fleet: &mut Fleet, robot: RobotKey, properties: Vec<Report>) {
    start(fleet, robot, properties.clone());
    fleet.pass(10 * 1_000);
    assert!(!fleet.state.robot(robot).unwrap().online());
    come_back(fleet, robot);
    for property in properties {
        fleet.report(robot, property).unwrap();
    }
    fleet.pass(10 * 1_000);
    assert!(fleet.state.robot(robot).unwrap().online(), "asked once");
}

pub fn event(operation: Uuid, status: EventStatus, code: Option<EventCode>) -> Report {
    Report::Event(Event {
        ecu: EcuName::new("main").unwrap(),
        stamp: None,
        operation,
        status,
        progress: 0,
        code,
        message: String::new(),
    })
}

pub fn says(fleet: &mut Fleet, robot: RobotKey, operation: Uuid, status: EventStatus) {
    fleet.report(robot, event(operation, status, None)).unwrap();
}

pub fn fails(fleet: &mut Fleet, robot: RobotKey, operation: Uuid, code: EventCode) -> Reply {
    let failure = event(operation, EventStatus::Failure, Some(code));
    fleet.report(robot, failure).unwrap()
}

/// A device that runs version 1, with a requested operation that takes it to version 2.
pub fn asked() -> (Fleet, RobotKey, RolloutId, Uuid) {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    start(&mut fleet, robot, vec![version("1")]);
    fleet.pass(10 * SECOND);
    let id = fleet.rollout(1);
    let operation = fleet.requests()[0].2;
    (fleet, robot, id, operation)
}

/// The same, and the device has said what `statuses` say.
pub fn asked_and(statuses: &[EventStatus]) -> (Fleet, RobotKey, RolloutId, Uuid) {
    let (mut fleet, robot, id, operation) = asked();
    for status in statuses {
        says(&mut fleet, robot, operation, *status);
    }
    (fleet, robot, id, operation)
}
