//! The rate of new starts. Starts are spread evenly over the minute, so that in no minute there are more than the rate
//! allows, and nothing is made up for when nobody was ready.

use crate::inventory::RobotKey;
use crate::mechanism::{Counting, Rate};
use crate::outcome::Row;
use crate::rollout::{Rollout, RolloutId};
use crate::state::{Changes, State};
use crate::time::Timestamp;

const MICROS_PER_MILLI: u64 = 1_000;
const MICROS_PER_MINUTE: u64 = 60_000_000;

impl State {
    /// A robot is told for the first time: the next start is as far off as the rate says.
    pub(crate) fn charge_start(&mut self, id: RolloutId, key: RobotKey, changes: &mut Changes) {
        let now = self.now;
        let Some(rollout) = self.rollouts.get_mut(&id) else {
            return;
        };
        let Some(per_minute) = rollout.per_minute() else {
            return;
        };
        if rollout.members.get(&key).is_none_or(crate::Member::is_told) {
            return;
        }
        let from = rollout.course.next_start_us.max(now.0 * MICROS_PER_MILLI);
        rollout.course.next_start_us = from.saturating_add(gap(per_minute));
        rollout.course.newest_start = Some(now);
        changes.touch(Row::Rollout(id));
    }
}

/// Microseconds between two starts.
fn gap(per_minute: u32) -> u64 {
    MICROS_PER_MINUTE.div_ceil(per_minute.into())
}

impl Rollout {
    /// Another rate: the newest start stands, and the next one is as far from it as the new rate says.
    pub(crate) fn set_rate(&mut self, rate: Option<Rate>) {
        let before = self.per_minute();
        self.mechanism.rate = rate;
        let after = self.per_minute();
        if let (Some(before), Some(after)) = (before, after) {
            let newest = self.course.next_start_us.saturating_sub(gap(before));
            self.course.next_start_us = newest.saturating_add(gap(after));
        }
    }

    /// Robots per minute that may be told for the first time now; `None`: as many as there are.
    #[must_use]
    pub fn per_minute(&self) -> Option<u32> {
        let rate = self.mechanism.rate.as_ref()?;
        let counted = rate.growth.as_ref().map(|growth| match growth.counting {
            Counting::Told => self.tally.told,
            Counting::Succeeded => self.tally.succeeded,
        });
        Some(rate.after(counted.unwrap_or(0)))
    }

    /// When the next robot may be told for the first time; `None`: now.
    #[must_use]
    pub fn next_start(&self, now: Timestamp) -> Option<Timestamp> {
        self.mechanism.rate.as_ref()?;
        let next = Timestamp(self.course.next_start_us / MICROS_PER_MILLI);
        (next > now).then_some(next)
    }
}

impl Rate {
    /// Robots per minute after so many were counted.
    #[must_use]
    pub fn after(&self, counted: u32) -> u32 {
        let Some(growth) = &self.growth else {
            return self.per_minute;
        };
        let most = u64::from(growth.max_per_minute);
        let factor = u64::from(growth.factor.in_tenths());
        let mut rate = u64::from(self.per_minute);
        // Rounded up, a factor of 1.1 makes even a rate of 1 grow; the greatest rate ends this soon.
        for _ in 0..counted / growth.every.max(1) {
            if rate >= most {
                break;
            }
            rate = (rate * factor).div_ceil(10);
        }
        u32::try_from(rate.min(most)).unwrap_or(u32::MAX)
    }
}
