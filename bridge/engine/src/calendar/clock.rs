//! A local clock: which instant is meant by a local time.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// How far before a local time to look for the offset that it has, seconds: more than any zone ever moved its clocks.
pub(super) const MARGIN: i64 = 3 * 86_400;

/// A stretch of time in which the zone's offset stays. It only moves on.
#[derive(Debug)]
pub(super) struct Clock<'a> {
    zone: &'a TimeZone,
    /// Seconds since the Unix epoch, like all instants here.
    pub(super) start: i64,
    /// Where the next stretch starts.
    pub(super) end: i64,
    /// What to add to an instant to get what the clock shows then, as if it were one in UTC. Seconds.
    pub(super) offset: i64,
}

impl<'a> Clock<'a> {
    /// The stretch of `second`, from then on. `None` beyond the year 9999, where the calendar ends.
    pub(super) fn at(zone: &'a TimeZone, second: i64) -> Option<Self> {
        let at = Timestamp::from_second(second).ok()?;
        let next = zone.following(at).next();
        Some(Self {
            zone,
            start: second,
            end: next.map_or(i64::MAX, |next| next.timestamp().as_second()),
            offset: zone.to_offset(at).seconds().into(),
        })
    }

    /// The first instant at which the clock shows `local` or later. Must be asked in ascending order.
    pub(super) fn instant(&mut self, local: i64) -> Option<i64> {
        while local >= self.end.saturating_add(self.offset) {
            // Years ahead, where the stretches between do not matter.
            let near = local - self.offset - MARGIN;
            *self = Self::at(self.zone, self.end.max(near))?;
        }
        // Before the start: the clock jumped over it just then.
        Some((local - self.offset).max(self.start))
    }
}
