//! When windows are open.

use super::clock::{Clock, MARGIN};
use super::zone::TimeZone;
use super::{Cron, Window};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::iter::FusedIterator;

/// How far it is looked for the end of windows that follow each other without a break, days.
pub const LONGEST_DAYS: u32 = 7;
const LONGEST: i64 = LONGEST_DAYS as i64 * 86_400;

/// Whether it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "opening", rename_all = "snake_case")]
pub enum Opening {
    /// It is.
    Open {
        /// The first instant at which it is not; `None` when it stays open for at least [`LONGEST_DAYS`] days.
        until: Option<Timestamp>,
    },
    /// It is not.
    Closed {
        /// The first instant at which it is again.
        opens_at: Timestamp,
    },
    /// It is not and never will be. Windows that pass [`check`](super::Windows::check) end with the year 9999.
    Never,
}

/// A time during which it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first instant of it.
    pub from: Timestamp,
    /// The first instant behind it; `None` when it is not within [`LONGEST_DAYS`] days.
    pub until: Option<Timestamp>,
}

/// When windows are open, in order. It ends behind a span whose end is not known, and with the year 9999.
#[derive(Debug)]
pub struct Spans<'a> {
    at: Timestamp,
    windows: Vec<Openings<'a>>,
}

impl<'a> Spans<'a> {
    pub(super) fn new(windows: &'a [Window], at: Timestamp, zone: &'a TimeZone) -> Self {
        let windows = windows
            .iter()
            .filter_map(|window| Openings::new(window, second(at), zone))
            .collect();
        Self { at, windows }
    }

    /// The window that opens next.
    fn earliest(&mut self) -> Option<&mut Openings<'a>> {
        let windows = self.windows.iter_mut();
        windows
            .filter(|window| window.next.is_some())
            .min_by_key(|window| window.next)
    }

    /// The end of what is open from `from`, at first until `until`. `None` when that is not within [`LONGEST`].
    fn end(&mut self, from: i64, mut until: i64) -> Option<i64> {
        while let Some(window) = self.earliest() {
            match window.next {
                Some(next) if next <= until => {
                    until = until.max(next + window.seconds);
                    window.step();
                }
                Some(_) | None => break,
            }
            if until - from > LONGEST {
                return None;
            }
        }
        Some(until)
    }
}

impl Iterator for Spans<'_> {
    type Item = Span;
    fn next(&mut self) -> Option<Span> {
        let at = second(self.at);
        let window = self.earliest()?;
        let opens = window.next?;
        let closes = opens + window.seconds;
        window.step();
        let until = self.end(opens.max(at), closes);
        if until.is_none() {
            self.windows.clear();
        }
        let from = if opens <= at {
            self.at
        } else {
            timestamp(opens)
        };
        let until = until.map(timestamp);
        Some(Span { from, until })
    }
}

impl FusedIterator for Spans<'_> {}

/// The openings of one window.
#[derive(Debug)]
struct Openings<'a> {
    cron: &'a Cron,
    seconds: i64,
    clock: Clock<'a>,
    /// The next opening: on the local clock in minutes, and as an instant.
    local: i64,
    next: Option<i64>,
}

impl<'a> Openings<'a> {
    /// Those whose window is open at `at` or later. `None` when there is none.
    fn new(window: &'a Window, at: i64, zone: &'a TimeZone) -> Option<Self> {
        let seconds = i64::from(window.minutes) * 60;
        let from = at - seconds;
        let mut clock = Clock::at(zone.rules(), from - MARGIN)?;
        // The clock may have been set back between, and then a local time means its first coming.
        let steady = clock.end > from;
        let local = clock.offset + if steady { from } else { clock.start };
        let cron = &window.opens;
        let local = cron.next(local.div_euclid(60))?;
        let mut openings = Self {
            cron,
            seconds,
            next: clock.instant(local * 60),
            clock,
            local,
        };
        while openings.next.is_some_and(|next| next <= from) {
            openings.step();
        }
        openings.next.map(|_| openings)
    }

    fn step(&mut self) {
        self.next = self.cron.behind(self.local).and_then(|local| {
            self.local = local;
            self.clock.instant(local * 60)
        });
    }
}

fn second(at: Timestamp) -> i64 {
    i64::try_from(at.0 / 1_000).unwrap_or(i64::MAX)
}

fn timestamp(second: i64) -> Timestamp {
    Timestamp(
        u64::try_from(second)
            .unwrap_or_default()
            .saturating_mul(1_000),
    )
}
