//! What a robot has, as the values that a filter's operand stands for.

use super::ast::{Field, Operand};
use crate::inventory::{Protocol, ReportedImage, Robot};
use crate::time::Timestamp;
use crate::value::Value;
use std::borrow::Cow;

/// One value of a robot.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fact<'a> {
    Text(Cow<'a, str>),
    Version(&'a str),
    Integer(i64),
    Number(f64),
    Truth(bool),
    /// Milliseconds since the Unix epoch, which may be before it on a device's clock.
    Moment(i64),
    Blob(&'a [u8]),
}

impl<'a> From<&'a Value> for Fact<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(Cow::Borrowed(text)),
            Value::Integer(number) => Self::Integer((*number).into()),
            Value::LongInteger(number) => Self::Integer(*number),
            Value::Double(number) => Self::Number(*number),
            Value::Boolean(truth) => Self::Truth(*truth),
            Value::DateTime(at) => Self::Moment(*at),
            Value::Blob(bytes) => Self::Blob(bytes),
        }
    }
}

fn moment(at: Timestamp) -> Fact<'static> {
    Fact::Moment(i64::try_from(at.0).unwrap_or(i64::MAX))
}

/// Gives each value of `operand` to `look` until it says true; whether it did.
pub(super) fn any<'a>(
    operand: &'a Operand,
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
        Operand::Reported(path) => {
            let device = robot.device.as_deref();
            device.is_some_and(|device| device.reported(path).any(|value| look(value.into())))
        }
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
        Field::Registered => look(moment(robot.registered)),
        // One that is online is seen at this moment; one that never was has not been seen.
        Field::Seen if robot.online() => look(moment(now)),
        Field::Seen => {
            let seen = robot.cursor.last_seen;
            seen != Timestamp::default() && look(moment(seen))
        }
    }
}
