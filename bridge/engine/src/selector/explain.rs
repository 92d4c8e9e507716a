//! Which part of a selector decides whether a robot belongs.

use super::ast::{Expr, Filter};
use super::facts::{Fact, any};
use super::literal::{write_blob, write_moment};
use crate::inventory::Robot;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Values that are named for one filter; a robot has up to 32 boards, and may have more tags.
const MAX_FOUND: usize = 8;

/// Whether a robot belongs, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Whether the selector means the robot.
    pub member: bool,
    /// The filters that decide it, in the order of the selector: with any other of them the answer would stay.
    pub decided_by: Vec<Finding>,
}

/// One filter, and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The filter, as a selector.
    pub filter: String,
    /// Whether it holds for the robot.
    pub holds: bool,
    /// What the robot has there; empty when it has nothing. Values that pass the filter's test come first.
    pub found: Vec<String>,
    /// How many values more it has there than are named.
    #[serde(default)]
    pub more: usize,
}

pub(super) fn explain(expr: &Expr, robot: &Robot, now: Timestamp) -> Explanation {
    let mut decided_by = Vec::new();
    let member = decide(expr, robot, now, &mut decided_by);
    Explanation { member, decided_by }
}

/// The value of `expr`; puts the filters on which it rests into `deciding`.
fn decide(expr: &Expr, robot: &Robot, now: Timestamp, deciding: &mut Vec<Finding>) -> bool {
    match expr {
        Expr::Any(parts) => decide_parts(parts, true, robot, now, deciding),
        Expr::All(parts) => decide_parts(parts, false, robot, now, deciding),
        Expr::Not(part) => !decide(part, robot, now, deciding),
        Expr::Filter(filter) => {
            let finding = find(filter, robot, now);
            let holds = finding.holds;
            deciding.push(finding);
            holds
        }
    }
}

/// A part with the value `enough` settles the whole, and then only such parts count; otherwise all do.
fn decide_parts(
    parts: &[Expr],
    enough: bool,
    robot: &Robot,
    now: Timestamp,
    deciding: &mut Vec<Finding>,
) -> bool {
    let (mut settling, mut others) = (Vec::new(), Vec::new());
    let mut settled = false;
    for part in parts {
        let mut found = Vec::new();
        if decide(part, robot, now, &mut found) == enough {
            settled = true;
            settling.append(&mut found);
        } else {
            others.append(&mut found);
        }
    }
    deciding.append(if settled { &mut settling } else { &mut others });
    settled == enough
}

fn find(filter: &Filter, robot: &Robot, now: Timestamp) -> Finding {
    let (mut found, mut others, mut total) = (Vec::new(), Vec::new(), 0);
    any(&filter.operand, robot, now, |fact| {
        total += 1;
        let list = if filter.test.passes(&fact, now) {
            &mut found
        } else {
            &mut others
        };
        if list.len() < MAX_FOUND {
            list.push(write(fact));
        }
        false
    });
    others.truncate(MAX_FOUND - found.len());
    found.append(&mut others);
    Finding {
        filter: filter.to_string(),
        holds: filter.matches(robot, now),
        more: total - found.len(),
        found,
    }
}

fn write(fact: Fact<'_>) -> String {
    match fact {
        Fact::Text(text) => text.into_owned(),
        Fact::Version(version) => version.to_owned(),
        Fact::Integer(number) => number.to_string(),
        Fact::Number(number) => number.to_string(),
        Fact::Truth(truth) => truth.to_string(),
        Fact::Moment(at) => write_moment(at),
        Fact::Blob(bytes) => write_blob(bytes),
    }
}
