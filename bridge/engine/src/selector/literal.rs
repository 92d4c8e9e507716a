//! The values that a selector can name.

use crate::time::{Millis, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A value in a selector.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Text(Box<str>),
    Integer(i64),
    Number(f64),
    Truth(bool),
    /// `datetime("…")`, in milliseconds since the Unix epoch.
    Moment(i64),
    /// `now()`: the engine's time.
    Now,
    /// `ago("7d")`: so long before the engine's time.
    Ago(Millis),
    Blob(Box<[u8]>),
}

impl Literal {
    /// The moment that is meant, if one is.
    pub(super) fn moment(&self, now: Timestamp) -> Option<i64> {
        let at = |at: u64| i64::try_from(at).unwrap_or(i64::MAX);
        match self {
            Self::Moment(moment) => Some(*moment),
            Self::Now => Some(at(now.0)),
            Self::Ago(span) => Some(at(now.0.saturating_sub(*span))),
            Self::Text(_) | Self::Integer(_) | Self::Number(_) | Self::Truth(_) | Self::Blob(_) => {
                None
            }
        }
    }
}

/// A moment in ISO 8601 with its offset from UTC, as milliseconds since the Unix epoch.
pub(super) fn moment(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>()
        .ok()
        .map(jiff::Timestamp::as_millisecond)
}

pub(super) fn write_moment(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

pub(super) fn blob(text: &str) -> Option<Box<[u8]>> {
    STANDARD.decode(text).ok().map(Vec::into_boxed_slice)
}

pub(super) fn write_blob(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

const UNITS: [(&str, Millis); 5] = [
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
];

/// A span such as `90s`, `15m`, `12h`, `7d` or `2w`.
pub(super) fn span(text: &str) -> Option<Millis> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let (_, millis) = UNITS.into_iter().find(|(word, _)| *word == unit)?;
    number.parse::<u64>().ok()?.checked_mul(millis)
}

pub(super) fn write_span(span: Millis) -> String {
    let fits = |(_, millis): &(&str, Millis)| span.is_multiple_of(*millis) && span >= *millis;
    let (unit, millis) = UNITS.into_iter().find(fits).unwrap_or(("s", 1_000));
    format!("{}{unit}", span / millis)
}
