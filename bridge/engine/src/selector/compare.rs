//! Whether a robot passes an expression.

use super::ast::{Comparison, Expr, Filter, Test};
use super::facts::{Fact, any};
use super::literal::{self, Literal};
use crate::inventory::Robot;
use crate::time::Timestamp;
use std::cmp::Ordering;

impl Expr {
    pub(super) fn matches(&self, robot: &Robot, now: Timestamp) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.matches(robot, now)),
            Self::All(parts) => parts.iter().all(|part| part.matches(robot, now)),
            Self::Not(part) => !part.matches(robot, now),
            Self::Filter(filter) => filter.matches(robot, now),
        }
    }
}

impl Filter {
    pub(super) fn matches(&self, robot: &Robot, now: Timestamp) -> bool {
        any(&self.operand, robot, now, |fact| {
            self.test.passes(&fact, now)
        }) != self.negated
    }
}

impl Test {
    /// Whether one value passes.
    pub(super) fn passes(&self, fact: &Fact<'_>, now: Timestamp) -> bool {
        match self {
            Self::Compare(comparison, literal) => {
                ordering(fact, literal, now).is_some_and(|found| comparison.accepts(found))
            }
            Self::Contains(literal) => ordering(fact, literal, now) == Some(Ordering::Equal),
            Self::Like(pattern) => match fact {
                Fact::Text(text) => pattern.matches(text),
                Fact::Version(version) => pattern.matches(version),
                Fact::Integer(_)
                | Fact::Number(_)
                | Fact::Truth(_)
                | Fact::Moment(_)
                | Fact::Blob(_) => false,
            },
        }
    }
}

impl Comparison {
    fn accepts(self, found: Ordering) -> bool {
        match self {
            Self::Equal => found.is_eq(),
            Self::Less => found.is_lt(),
            Self::LessOrEqual => found.is_le(),
            Self::Greater => found.is_gt(),
            Self::GreaterOrEqual => found.is_ge(),
        }
    }
}

/// How a fact stands to a literal; `None` when they cannot be compared, or differ without an order.
fn ordering(fact: &Fact<'_>, literal: &Literal, now: Timestamp) -> Option<Ordering> {
    match (fact, literal) {
        (Fact::Text(text), literal) => order_text(text, literal, now),
        (Fact::Version(version), Literal::Text(text)) => order_versions(version, text),
        (Fact::Truth(fact), Literal::Truth(truth)) => (fact == truth).then_some(Ordering::Equal),
        (Fact::Moment(at), literal) => Some(at.cmp(&literal.moment(now)?)),
        (Fact::Integer(number), Literal::Integer(other)) => Some(number.cmp(other)),
        (Fact::Integer(number), Literal::Number(other)) => fraction(*number).partial_cmp(other),
        (Fact::Number(number), Literal::Integer(other)) => number.partial_cmp(&fraction(*other)),
        (Fact::Number(number), Literal::Number(other)) => number.partial_cmp(other),
        (Fact::Blob(found), Literal::Blob(bytes)) => Some((*found).cmp(bytes)),
        (
            Fact::Version(_) | Fact::Truth(_) | Fact::Integer(_) | Fact::Number(_) | Fact::Blob(_),
            _,
        ) => None,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "only used where the other side is a fraction"
)]
const fn fraction(number: i64) -> f64 {
    number as f64
}

/// A text is compared with another kind of value when it reads as one; labels have no other way to say a number.
fn order_text(text: &str, literal: &Literal, now: Timestamp) -> Option<Ordering> {
    match literal {
        Literal::Text(other) => Some(text.cmp(other)),
        Literal::Integer(other) => match text.parse::<i64>() {
            Ok(number) => Some(number.cmp(other)),
            Err(_) => finite(text)?.partial_cmp(&fraction(*other)),
        },
        Literal::Number(other) => finite(text)?.partial_cmp(other),
        Literal::Truth(truth) => {
            let found: bool = text.parse().ok()?;
            (found == *truth).then_some(Ordering::Equal)
        }
        Literal::Moment(_) | Literal::Now | Literal::Ago(_) => {
            Some(literal::moment(text)?.cmp(&literal.moment(now)?))
        }
        Literal::Blob(bytes) => {
            let found = literal::blob(text)?;
            Some(found.cmp(bytes))
        }
    }
}

fn finite(text: &str) -> Option<f64> {
    // `parse` also knows "inf" and "nan", which are nobody's numbers.
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(number)
}

/// SemVer's order where both are SemVer, in which build metadata has no say; otherwise only the same text is equal.
fn order_versions(found: &str, wanted: &str) -> Option<Ordering> {
    if found == wanted {
        return Some(Ordering::Equal);
    }
    let found = semver::Version::parse(found).ok()?;
    Some(found.cmp_precedence(&semver::Version::parse(wanted).ok()?))
}
