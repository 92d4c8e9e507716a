//! Spans, times and other small things as people write them, on the command line and in files alike.

use rollcall_engine::{Defaults, FailureClass, Millis, Timestamp};
use std::time::{Duration, UNIX_EPOCH};

/// Units from the greatest on, in milliseconds.
const UNITS: [(&str, Millis); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Units that people may write.
const TYPED: [&str; 6] = ["w", "d", "h", "m", "s", "ms"];

/// The classes of failures that can be tried again.
pub(in crate::cli) const CLASSES: [FailureClass; 5] = [
    FailureClass::Network,
    FailureClass::Storage,
    FailureClass::Busy,
    FailureClass::Verify,
    FailureClass::Timeout,
];

/// Reads a span of time of at least `min`.
pub(in crate::cli) fn span(text: &str, min: Millis) -> Result<Millis, String> {
    let span = humantime::parse_duration(text).map_err(|_| {
        "write a span of time as a number and a unit, such as 90s, 15m, 2h or 30d".to_owned()
    })?;
    // Its `M` is a month, one key away from a minute.
    let mut units = text.split(|c: char| !c.is_alphabetic());
    if let Some(unit) = units.find(|unit| !unit.is_empty() && !TYPED.contains(unit)) {
        return Err(format!(
            "{unit:?} is no unit of a span; use w, d, h, m (minutes), s or ms"
        ));
    }
    let max = Defaults::MAX_SPAN;
    let millis = Millis::try_from(span.as_millis()).unwrap_or(Millis::MAX);
    let whole = Duration::from_millis(millis) == span;
    if whole && (min..=max).contains(&millis) {
        Ok(millis)
    } else {
        let min = span_text(min);
        Err(format!(
            "use {min} to {}, in whole milliseconds",
            span_text(max)
        ))
    }
}

/// Writes a span so that [`span`] reads it.
pub(in crate::cli) fn span_text(span: Millis) -> String {
    let mut left = span;
    let mut parts = Vec::new();
    for (unit, length) in UNITS {
        let count = left / length;
        if count > 0 {
            parts.push(format!("{count}{unit}"));
            left %= length;
        }
    }
    if parts.is_empty() {
        parts.push("0s".to_owned());
    }
    parts.join(" ")
}

/// How far a moment is from now, in its two greatest units: `3m 5s ago`, `in 29d 23h`.
pub(in crate::cli) fn distance(at_ms: u64, now_ms: u64) -> String {
    let parts = |span: Millis| {
        let text = span_text(span / 1_000 * 1_000);
        let parts: Vec<_> = text.split(' ').take(2).collect();
        parts.join(" ")
    };
    if at_ms > now_ms {
        format!("in {}", parts(at_ms - now_ms))
    } else {
        format!("{} ago", parts(now_ms - at_ms))
    }
}

/// What the clock here says, in milliseconds since the Unix epoch.
pub(in crate::cli) fn now_ms() -> u64 {
    let since = UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

/// Reads a point in time.
pub(in crate::cli) fn moment(text: &str) -> Result<Timestamp, String> {
    let bad = || {
        "write a time with its offset from UTC, such as 2026-11-28T22:00:00+01:00, or 2026-11-28T21:00:00Z".to_owned()
    };
    let moment: jiff::Timestamp = text.parse().map_err(|_| bad())?;
    let millis = u64::try_from(moment.as_millisecond()).map_err(|_| bad())?;
    Ok(Timestamp(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_they_are_written() {
        for (text, millis) in [
            ("90s", 90_000),
            ("30d", 30 * 86_400_000),
            ("1h 30m", 5_400_000),
            ("250ms", 250),
        ] {
            assert_eq!(span(text, 0), Ok(millis), "{text}");
            assert_eq!(span(&span_text(millis), 0), Ok(millis), "{text}");
        }
        assert_eq!(span_text(90_000), "1m 30s");
        assert_eq!(span_text(0), "0s");
        assert_eq!(span("0s", 0), Ok(0));
        for bad in ["", "5", "five minutes", "-5m", "5 fortnights", "1ns"] {
            assert!(span(bad, 0).is_err(), "{bad:?}");
        }
        assert_eq!(span("2w", 0), Ok(14 * 86_400_000));
        // `15M` would be 15 months.
        for (text, unit) in [
            ("15M", "M"),
            ("1h 15M", "M"),
            ("1y", "y"),
            ("3months", "months"),
            ("90sec", "sec"),
        ] {
            let error = span(text, 0).unwrap_err();
            assert!(
                error.contains(&format!("{unit:?} is no unit")),
                "{text}: {error}"
            );
            assert!(error.contains("m (minutes)"), "{text}: {error}");
        }
        let short = span("10ms", 1_000).unwrap_err();
        assert!(short.contains("1s to 730d"), "{short}");
    }

    #[test]
    fn a_distance_has_two_units() {
        let day = 86_400_000;
        assert_eq!(distance(30 * day, 3_723_999), "in 29d 22h");
        assert_eq!(distance(0, 185_999), "3m 5s ago");
        assert_eq!(distance(5, 5), "0s ago");
    }

    #[test]
    fn times_need_an_offset() {
        assert_eq!(moment("1970-01-01T01:00:01+01:00"), Ok(Timestamp(1_000)));
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(Timestamp(1_000)));
        for bad in [
            "2026-11-28",
            "2026-11-28T22:00:00",
            "tomorrow",
            "1969-01-01T00:00:00Z",
            "",
        ] {
            assert!(moment(bad).unwrap_err().contains("offset"), "{bad:?}");
        }
    }
}
