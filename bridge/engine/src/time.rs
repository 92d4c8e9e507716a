//! Points in time and spans, both in whole milliseconds.
//!
//! Rollouts outlive processes, so times count from the Unix epoch and can be stored.

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A span in milliseconds.
pub type Millis = u64;

/// Milliseconds since the Unix epoch, on the engine's own clock: it never goes back.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The point `span` later, or the end of time.
    #[must_use]
    pub const fn after(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// How long after `earlier` this is; 0 when it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        self.0.saturating_sub(earlier.0)
    }
}

/// Reads a moment as RFC 3339, which people write, or as milliseconds since the Unix epoch, which is what is stored.
pub(crate) fn read_moment<'de, D: Deserializer<'de>>(
    input: D,
) -> Result<Option<Timestamp>, D::Error> {
    input.deserialize_any(Moment)
}

struct Moment;

impl Visitor<'_> for Moment {
    type Value = Option<Timestamp>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a moment in RFC 3339, such as \"2026-11-22T01:00:00Z\", or in milliseconds since 1970",
        )
    }

    fn visit_u64<E: Error>(self, at: u64) -> Result<Self::Value, E> {
        Ok(Some(Timestamp(at)))
    }

    fn visit_i64<E: Error>(self, at: i64) -> Result<Self::Value, E> {
        let bad = || E::invalid_value(serde::de::Unexpected::Signed(at), &self);
        u64::try_from(at)
            .map(|at| Some(Timestamp(at)))
            .map_err(|_| bad())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let at = text.parse::<jiff::Timestamp>().ok();
        let at = at.and_then(|at| u64::try_from(at.as_millisecond()).ok());
        let shown: String = text.chars().take(40).collect();
        at.map(|at| Some(Timestamp(at)))
            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(&shown), &self))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Schedule;

    fn start(json: &str) -> Result<Option<Timestamp>, String> {
        let json = format!("{{\"start\":{json}}}");
        let schedule = serde_json::from_str::<Schedule>(&json);
        schedule
            .map(|schedule| schedule.start)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_moment_is_read_as_text_and_as_milliseconds() {
        let at = Some(Timestamp(1_795_309_200_000));
        for json in [
            "1795309200000",
            "\"2026-11-22T01:00:00Z\"",
            "\"2026-11-22T02:00:00+01:00\"",
            "\"2026-11-22T01:00:00.000999Z\"",
        ] {
            assert_eq!(start(json), Ok(at), "{json}");
        }
        assert_eq!(start("null"), Ok(None));
        let stored = serde_json::to_string(&Schedule {
            start: at,
            end: None,
        });
        assert_eq!(stored.unwrap(), "{\"start\":1795309200000}");
    }

    #[test]
    fn what_is_no_moment_is_refused_with_an_example() {
        for json in [
            "-1",
            "1.5",
            "\"\"",
            "\"tomorrow\"",
            "\"2026-11-22\"",
            "\"2026-11-22T01:00:00\"",
            "\"1969-12-31T23:59:59Z\"",
            "\"99999-01-01T00:00:00Z\"",
            "true",
            "[]",
            "{}",
        ] {
            let error = start(json).unwrap_err();
            assert!(error.contains("2026-11-22T01:00:00Z"), "{json}: {error}");
        }
    }
}
