//! Maintenance windows: when robots may be updated, by the clock on their wall (`docs/windows.md`).
//!
//! ```text
//! Windows ─┬─ Window ── Cron: the local times at which it opens, and for how many minutes
//!          └─ TimeZone: the robot's own by a label, or the rollout's
//! at(now, zone) ─► Opening          upcoming(now, zone) ─► Spans
//! ```
//!
//! A local time becomes the first instant at which the local clock shows it or a later one. So a window whose time does
//! not exist (spring) opens when the clock has jumped over it, and one whose time comes twice (autumn) opens the first
//! time only. Its minutes are elapsed time, whatever the clock does meanwhile.
//!
//! **Invariants**: answers depend on the arguments and on the time zone database that is compiled in, on no clock and no
//! file; what a query costs is bounded for whatever passes [`Windows::check`].

mod clock;
mod cron;
mod field;
mod spans;
mod zone;

pub use cron::Cron;
pub use spans::{LONGEST_DAYS, Opening, Span, Spans};
pub use zone::{BadZone, TimeZone};

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Most windows of one rollout.
pub const MAX_WINDOWS: usize = 16;
/// Longest window, minutes: AWS IoT's limit. It is less than a day, so that a daily window closes.
pub const MAX_WINDOW_MINUTES: u16 = 1_430;
/// Most openings of all windows on one day: what a query costs grows with them.
const MAX_OPENINGS: u32 = 1_440;
/// Longest key of a label, bytes.
const MAX_LABEL_BYTES: usize = 256;

/// When the robots of a rollout may be updated.
///
/// ```
/// use rollcall_engine::{Opening, Timestamp, Windows};
///
/// let windows: Windows = serde_json::from_str(
///     r#"{"windows": [{"opens": "0 0 * * *", "minutes": 240}], "zone": "Europe/Berlin"}"#,
/// )?;
/// windows.check()?;
/// // 2026-01-31T12:00:00Z; midnight in Berlin is an hour before midnight in UTC.
/// let noon = Timestamp(1_769_860_800_000);
/// let opens_at = Timestamp(1_769_900_400_000);
/// let (zone, bad) = windows.zone_of(None);
/// assert_eq!((zone.as_str(), bad), ("Europe/Berlin", None));
/// assert_eq!(windows.at(noon, &zone), Opening::Closed { opens_at });
/// let until = Some(opens_at.after(4 * 3_600_000));
/// assert_eq!(windows.at(opens_at, &zone), Opening::Open { until });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    /// At least one, at most [`MAX_WINDOWS`]. It is open when one of them is.
    pub windows: Vec<Window>,
    /// The time zone of robots that do not have the label.
    #[serde(default)]
    pub zone: TimeZone,
    /// The key of the label that has a robot's own time zone.
    #[serde(default = "zone_label")]
    pub zone_label: String,
}

/// A window that opens again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// When it opens, in local time.
    pub opens: Cron,
    /// For how long, minutes: 1 to [`MAX_WINDOW_MINUTES`].
    pub minutes: u16,
}

fn zone_label() -> String {
    "timezone".to_owned()
}

/// What is wrong with windows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the messages say it, and the fields are their subjects"
)]
pub enum WindowsError {
    #[error(
        "no window is given; give at least one, or leave the windows out to update at any time"
    )]
    Empty,
    #[error(
        "at most {MAX_WINDOWS} windows, not {found}; one expression can have several times: `0 0,12 * * *`"
    )]
    TooMany { found: usize },
    #[error(
        "window `{opens}` is open for 1 to {MAX_WINDOW_MINUTES} minutes, not {found}; for longer, add a window that \
         opens before it closes"
    )]
    Minutes { opens: Cron, found: u16 },
    #[error(
        "window `{opens}` never opens: it asks for day {day}, and the longest of its months has {longest} days; choose \
         an earlier day or another month"
    )]
    NeverOpens { opens: Cron, day: u8, longest: u8 },
    #[error(
        "the windows open {found} times a day, at most {MAX_OPENINGS} are possible; let them open less often and stay \
         open longer"
    )]
    TooOften { found: u32 },
    #[error(
        "the time zone's label needs a key of 1 to {MAX_LABEL_BYTES} bytes, such as `timezone`"
    )]
    Label,
}

impl WindowsError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "no_windows",
            Self::TooMany { .. } => "too_many_windows",
            Self::Minutes { .. } => "window_minutes",
            Self::NeverOpens { .. } => "window_never_opens",
            Self::TooOften { .. } => "windows_too_often",
            Self::Label => "window_zone_label",
        }
    }
}

impl Windows {
    /// Whether a rollout can have these windows.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong. A window that passes opens again and again: whether it does so while the rollout
    /// lasts is another question, for [`Windows::at`].
    pub fn check(&self) -> Result<(), WindowsError> {
        if self.windows.is_empty() {
            return Err(WindowsError::Empty);
        }
        if self.windows.len() > MAX_WINDOWS {
            let found = self.windows.len();
            return Err(WindowsError::TooMany { found });
        }
        if !(1..=MAX_LABEL_BYTES).contains(&self.zone_label.len()) {
            return Err(WindowsError::Label);
        }
        for Window { opens, minutes } in &self.windows {
            let (opens, found) = (opens.clone(), *minutes);
            if !(1..=MAX_WINDOW_MINUTES).contains(&found) {
                return Err(WindowsError::Minutes { opens, found });
            }
            if let Some((day, longest)) = opens.impossible_day() {
                let opens = opens.clone();
                return Err(WindowsError::NeverOpens {
                    opens,
                    day,
                    longest,
                });
            }
        }
        let found = self.windows.iter().map(|w| w.opens.times_a_day()).sum();
        if found > MAX_OPENINGS {
            return Err(WindowsError::TooOften { found });
        }
        Ok(())
    }

    /// The time zone of a robot whose [`zone_label`](Windows::zone_label) has this value, and what is wrong with the
    /// value when it names none: the rollout's zone holds then, too.
    #[must_use]
    pub fn zone_of(&self, label: Option<&str>) -> (TimeZone, Option<BadZone>) {
        match label.map(str::parse) {
            Some(Ok(zone)) => (zone, None),
            Some(Err(bad)) => (self.zone.clone(), Some(bad)),
            None => (self.zone.clone(), None),
        }
    }

    /// Whether a robot in `zone` may be updated at `at`, and when that changes.
    #[must_use]
    pub fn at(&self, at: Timestamp, zone: &TimeZone) -> Opening {
        match self.upcoming(at, zone).next() {
            Some(span) if span.from <= at => Opening::Open { until: span.until },
            Some(span) => Opening::Closed {
                opens_at: span.from,
            },
            None => Opening::Never,
        }
    }

    /// Since when it is not open, if it is not at `at`. `None` too when that is longer ago than is looked for, or follows
    /// windows without a break for more than [`LONGEST_DAYS`] days.
    #[must_use]
    pub fn closed_since(&self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        const DAY: u64 = 86_400_000;
        // Most windows come every day or week, so that the last one is found soon.
        let mut spans = (0..10).map(|power| Timestamp(at.0.saturating_sub(DAY << power)));
        spans.find_map(|from| {
            let past = self.upcoming(from, zone).take_while(|span| span.from <= at);
            past.last()?.until.filter(|closed| *closed <= at)
        })
    }

    /// When it is open from `at` on, in order; windows that overlap or touch are one span. When it is open at `at`, the
    /// first span begins there.
    pub fn upcoming<'a>(&'a self, at: Timestamp, zone: &'a TimeZone) -> Spans<'a> {
        Spans::new(&self.windows, at, zone)
    }
}

#[cfg(test)]
mod tests;
