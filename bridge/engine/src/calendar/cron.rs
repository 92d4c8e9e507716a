//! Cron expressions: which local minutes they mean.
//!
//! Own code, since the crates for it say neither where an expression is wrong nor how long they search, and bring clocks.

use super::field::{self, DAY_OF_MONTH, DAY_OF_WEEK, Field, HOUR, MINUTE, MONTH};
use crate::syntax::SyntaxError;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest text of an expression, bytes.
const MAX_BYTES: usize = 256;
/// How far ahead a day is looked for. Leap days repeat their weekdays after at most 40 years, so any day that ever comes
/// comes within them.
const MAX_YEARS: i16 = 41;
const MINUTES_PER_DAY: i64 = 1_440;

/// Local times at which something happens: minute, hour, day of month, month, day of week (`docs/windows.md`).
///
/// ```
/// use rollcall_engine::Cron;
///
/// let nights: Cron = "0 0 * * MON-FRI".parse()?;
/// assert_eq!(nights.as_str(), "0 0 * * MON-FRI");
/// let error = "0 24 * * *".parse::<Cron>().unwrap_err();
/// assert_eq!(error.column, 3);
/// # Ok::<(), rollcall_engine::SyntaxError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: Box<str>,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Either of the two day fields suffices. Otherwise a day must be in both.
    either_day: bool,
}

impl Cron {
    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How often it comes on a day on which it does.
    pub(super) const fn times_a_day(&self) -> u32 {
        self.hours.count_ones() * self.minutes.count_ones()
    }

    /// The first day of month that it asks for and the length of the longest of its months, if no month is so long: then
    /// it never comes. It is the only reason why one may not.
    pub(super) fn impossible_day(&self) -> Option<(u8, u8)> {
        let days_of = |month: i8| match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let months = (1..=12).filter(|month| has(self.months, i64::from(*month)));
        let longest = months.map(days_of).max()?;
        let first = u8::try_from(self.days.trailing_zeros()).ok()?;
        (!self.either_day && first > longest).then_some((first, longest))
    }

    /// The first minute of the local clock from `from` on; both in minutes since 1970 as the clock shows it.
    pub(super) fn next(&self, from: i64) -> Option<i64> {
        let day = from.div_euclid(MINUTES_PER_DAY);
        let date = date(day)?;
        if has(self.days_of(date)?, i64::from(date.day()))
            && let Some(minute) = self.minute_of_day(from.rem_euclid(MINUTES_PER_DAY))
        {
            return Some(day * MINUTES_PER_DAY + minute);
        }
        Some(self.day_behind(date)? * MINUTES_PER_DAY + self.minute_of_day(0)?)
    }

    /// The one behind `last`, which is one of its own: no need to look at the day again.
    pub(super) fn behind(&self, last: i64) -> Option<i64> {
        let minute = last.rem_euclid(MINUTES_PER_DAY);
        match self.minute_of_day(minute + 1) {
            Some(next) => Some(last - minute + next),
            None => self.next(last - minute + MINUTES_PER_DAY),
        }
    }

    fn minute_of_day(&self, from: i64) -> Option<i64> {
        let hour = from / 60;
        if has(self.hours, hour)
            && let Some(minute) = first(self.minutes, from % 60)
        {
            return Some(hour * 60 + minute);
        }
        Some(first(self.hours, hour + 1)? * 60 + first(self.minutes, 0)?)
    }

    /// The first of its days behind `date`, counted from 1970.
    fn day_behind(&self, date: Date) -> Option<i64> {
        let mut month = date.first_of_month();
        let mut from = i64::from(date.day()) + 1;
        let last = date.year() + MAX_YEARS;
        while month.year() <= last {
            if let Some(day) = first(self.days_of(month)?, from) {
                return Some(number(month)? + day - 1);
            }
            from = 1;
            let (year, next) = match first(self.months, i64::from(month.month()) + 1) {
                Some(next) => (month.year(), next),
                None => (month.year() + 1, first(self.months, 1)?),
            };
            month = Date::new(year, i8::try_from(next).ok()?, 1).ok()?;
        }
        None
    }

    /// Its days in the month of `date`, as bits 1 to 31.
    fn days_of(&self, date: Date) -> Option<u64> {
        if !has(self.months, i64::from(date.month())) {
            return Some(0);
        }
        let weekday = date.first_of_month().weekday().to_sunday_zero_offset();
        let weekday = u32::try_from(weekday).ok()?;
        // The week as seen from the first day of the month, and as often as it fits.
        let week = (self.weekdays >> weekday | self.weekdays << (7 - weekday)) & 0x7f;
        let weeks = (0..5).fold(0, |weeks, n| weeks | week << (7 * n)) << 1;
        let days = if self.either_day {
            self.days | weeks
        } else {
            self.days & weeks
        };
        Some(days & ((2 << date.days_in_month()) - 2))
    }
}

fn has(set: u64, number: i64) -> bool {
    (set >> number) & 1 == 1
}

/// The first number of the set from `from` on, which is at most 63.
fn first(set: u64, from: i64) -> Option<i64> {
    let set = set & (u64::MAX << from);
    (set != 0).then(|| i64::from(set.trailing_zeros()))
}

fn date(day: i64) -> Option<Date> {
    let at = jiff::Timestamp::from_second(day.checked_mul(86_400)?).ok()?;
    Some(Offset::UTC.to_datetime(at).date())
}

fn number(date: Date) -> Option<i64> {
    let at = Offset::UTC.to_timestamp(date.to_datetime(Time::midnight()));
    Some(at.ok()?.as_second().div_euclid(86_400))
}

impl FromStr for Cron {
    type Err = SyntaxError;
    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        if text.len() > MAX_BYTES {
            let message = format!("it is longer than {MAX_BYTES} bytes; shorten it");
            return Err(field::misread(text, MAX_BYTES, message));
        }
        let fields = field::split(text)?;
        let [minutes, hours, days, months, weekdays] =
            [MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK];
        let read = |field: &Field, place| field.read(text, place);
        Ok(Self {
            minutes: read(&minutes, fields[0])?,
            hours: read(&hours, fields[1])?,
            days: read(&days, fields[2])?,
            months: read(&months, fields[3])?,
            weekdays: read(&weekdays, fields[4])?,
            either_day: !fields[2].1.starts_with(['*', '?'])
                && !fields[4].1.starts_with(['*', '?']),
            text: text.into(),
        })
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({})", self.text)
    }
}

impl TryFrom<String> for Cron {
    /// In one line, since it becomes a part of another message.
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|error: SyntaxError| error.one_line())
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.text.into()
    }
}
