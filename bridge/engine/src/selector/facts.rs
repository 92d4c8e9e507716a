//! What a robot has, as the values that a filter's operand stands for.

use super::ast::{Field, Operand};
use crate::inventory::{Protocol, ReportedImage, Robot};
use crate::time::Timestamp;
use std::borrow::Cow;

/// One value of a robot.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fact<'a> {
    Text(Cow<'a, str>),
    Version(&'a str),
    Truth(bool),
    Moment(Timestamp),
}

/// Gives each value of `operand` to `look` until it says true; whether it did.
pub(super) fn any<'a>(
    operand: &Operand,
    robot: &'a Robot,
    now: Timestamp,
    mut look: impl FnMut(Fact<'a>) -> bool,
) -> bool {
    let text = |text: &'a str| Fact::Text(Cow::Borrowed(text));
    match operand {
        Operand::Field(field) => any_of_field(*field, robot, now, look),
        Operand::Label(key) => robot.labels.get(&**key).is_some_and(|v| look(text(v))),
        Operand::Version(image) => reported(robot)
            .filter(|reported| reported.name == **image)
            .any(|reported| look(Fact::Version(&reported.version))),
        Operand::Build(image) => reported(robot)
            .filter(|reported| reported.name == **image)
            .any(|reported| look(text(&reported.build_id))),
        Operand::Attribute {
            means: Some(operand),
            ..
        } => any(operand, robot, now, look),
        Operand::Attribute { means: None, .. } => false,
    }
}

fn reported(robot: &Robot) -> impl Iterator<Item = &ReportedImage> {
    let reported = robot.ecus.iter().filter_map(|ecu| ecu.reported.as_ref());
    reported.filter(|reported| !reported.version.is_empty())
}

fn any_of_field<'a>(
    field: Field,
    robot: &'a Robot,
    now: Timestamp,
    mut look: impl FnMut(Fact<'a>) -> bool,
) -> bool {
    let text = |text: &'a str| Fact::Text(Cow::Borrowed(text));
    let mut ecus = robot.ecus.iter();
    match field {
        Field::Tags => robot.tags.iter().any(|tag| look(text(tag.as_str()))),
        Field::Groups => robot.groups.iter().any(|group| look(text(group.as_str()))),
        Field::Id => look(text(robot.id.as_str())),
        Field::Name => look(text(&robot.name)),
        Field::Model => robot
            .model
            .as_ref()
            .is_some_and(|model| look(text(model.as_str()))),
        Field::Protocol => robot.protocol.is_some_and(|protocol| {
            look(text(match protocol {
                Protocol::Native => "native",
                Protocol::Edgehog => "edgehog",
            }))
        }),
        Field::Hardware => ecus.any(|ecu| look(text(ecu.hardware_id.as_str()))),
        Field::Ecu => ecus.any(|ecu| look(text(ecu.name.as_str()))),
        Field::Image => reported(robot)
            .filter(|reported| !reported.name.is_empty())
            .any(|reported| {
                look(Fact::Text(Cow::Owned(format!(
                    "{}@{}",
                    reported.name, reported.version
                ))))
            }),
        Field::Version => reported(robot).any(|reported| look(Fact::Version(&reported.version))),
        Field::Build => reported(robot)
            .filter(|reported| !reported.build_id.is_empty())
            .any(|reported| look(text(&reported.build_id))),
        Field::Online => look(Fact::Truth(robot.online())),
        Field::Ready => look(Fact::Truth(robot.ready())),
        Field::Held => {
            let held = (0..robot.ecus.len()).any(|index| robot.hold(index).is_some());
            look(Fact::Truth(held))
        }
        Field::Registered => look(Fact::Moment(robot.registered)),
        // One that is online is seen at this moment; one that never was has not been seen.
        Field::Seen if robot.online() => look(Fact::Moment(now)),
        Field::Seen => {
            let seen = robot.cursor.last_seen;
            seen != Timestamp::default() && look(Fact::Moment(seen))
        }
    }
}
