//! Maintenance windows and time zones of the simulation's worlds, each with what it means said once more in Rust.
//!
//! Nothing here asks the engine's calendar or its database: the clocks of a zone are a short table, and when a window is
//! open is found by walking from minute to minute.

use rollcall_engine::{Timestamp, Window, Windows};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

const DAY: i64 = 1_440;
const MILLIS: u64 = 60_000;

/// What a clock on the wall shows.
struct Wall {
    minute: i64,
    hour: i64,
    /// From Sunday, 0.
    weekday: i64,
}

impl Wall {
    /// `local` counts minutes as the clock shows them, from 1970 on.
    const fn of(local: i64) -> Self {
        Self {
            minute: local.rem_euclid(60),
            hour: local.rem_euclid(DAY) / 60,
            // 1970 began on a Thursday.
            weekday: (local.div_euclid(DAY) + 4).rem_euclid(7),
        }
    }
}

type Meaning = fn(&Wall) -> bool;

/// Windows: when they open, for how many minutes, and what the first means.
const WINDOWS: [(&str, u16, Meaning); 10] = [
    ("*/20 * * * *", 7, |wall| wall.minute % 20 == 0),
    ("0 * * * *", 30, |wall| wall.minute == 0),
    ("30 2 * * *", 90, |wall| (wall.hour, wall.minute) == (2, 30)),
    ("10,50 1-4 * * *", 5, |wall| {
        (1..=4).contains(&wall.hour) && (wall.minute == 10 || wall.minute == 50)
    }),
    ("0,30 0-22/2 * * SUN-TUE", 20, |wall| {
        wall.weekday < 3 && wall.hour % 2 == 0 && wall.minute % 30 == 0
    }),
    ("15 * ? * SAT,SUN", 40, |wall| {
        (wall.weekday == 6 || wall.weekday == 0) && wall.minute == 15
    }),
    // Never closed.
    ("*/5 * * * *", 5, |wall| wall.minute % 5 == 0),
    ("0 3 * * *", 1_430, |wall| {
        (wall.hour, wall.minute) == (3, 0)
    }),
    ("50-59/5 * * * *", 12, |wall| {
        wall.minute == 50 || wall.minute == 55
    }),
    // Not in any world: all of them begin before November.
    ("0 0 31 12 *", 60, |_| false),
];

/// A zone's name, minutes ahead of UTC at first, and from some minute on.
type Zone = (&'static str, i64, &'static [(i64, i64)]);

/// Time zones, with the minutes of 2026 at which their clocks change.
const ZONES: [Zone; 7] = [
    ("UTC", 0, &[]),
    ("Europe/Berlin", 60, &[(29_579_100, 120), (29_881_500, 60)]),
    (
        "America/New_York",
        -300,
        &[(29_549_220, -240), (29_891_880, -300)],
    ),
    (
        "Australia/Lord_Howe",
        660,
        &[(29_588_580, 630), (29_850_690, 660)],
    ),
    ("Asia/Tokyo", 540, &[]),
    ("+05:30", 330, &[]),
    ("-03:00", -180, &[]),
];

/// When worlds with windows begin, in minutes since 1970: the hours before some clock changes, and an ordinary morning.
pub(super) const BEGINNINGS: [i64; 7] = [
    29_579_100 - 150,
    29_881_500 - 150,
    29_549_220 - 150,
    29_891_880 - 150,
    29_588_580 - 150,
    29_850_690 - 150,
    29_693_400,
];

/// What robots may have in their label. Some of it is no zone, and some is one in another spelling.
pub(super) const LABELS: [&str; 9] = [
    "UTC",
    "Europe/Berlin",
    "europe/berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Tokyo",
    "+05:30",
    "-03:00",
    "Nowhere/Land",
];

/// The windows and zones from which people choose.
pub(super) fn all() -> Vec<Window> {
    let window = |(opens, minutes, _): (&str, u16, Meaning)| Window {
        opens: opens.parse().expect("expressions above follow the grammar"),
        minutes,
    };
    WINDOWS.into_iter().map(window).collect()
}

pub(super) fn zones() -> impl Iterator<Item = &'static str> {
    ZONES.iter().map(|(name, ..)| *name)
}

/// Minutes that the clocks there are ahead of UTC.
fn ahead(zone: usize, minute: i64) -> i64 {
    let (_, at_first, changes) = ZONES[zone];
    let change = changes.iter().rev().find(|(from, _)| *from <= minute);
    change.map_or(at_first, |(_, ahead)| *ahead)
}

fn zone_named(name: &str) -> Option<usize> {
    ZONES
        .iter()
        .position(|(known, ..)| known.eq_ignore_ascii_case(name))
}

/// The zone by which a robot with these labels goes.
pub(super) fn zone_of(windows: &Windows, labels: &BTreeMap<String, String>) -> usize {
    let label = labels.get(&windows.zone_label);
    let own = label.and_then(|label| zone_named(label));
    own.or_else(|| zone_named(windows.zone.as_str()))
        .expect("people use the zones above")
}

/// Which windows, as places in the list above; which zone; which day of UTC.
type Key = (Vec<usize>, usize, i64);

thread_local! {
    /// Days that were walked through before: whether it is open, minute by minute.
    static DAYS: RefCell<BTreeMap<Key, Rc<Vec<bool>>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Walks through a day, from long before it: no window lasts for a day.
fn walk((windows, zone, day): &Key) -> Vec<bool> {
    let first = (day - 2) * DAY;
    let local = |minute: i64| minute + ahead(*zone, minute);
    let mut shown = local(first - 1);
    let mut closes = first;
    let mut open = Vec::new();
    for minute in first..(day + 1) * DAY {
        // A minute that the clock jumps over comes when it has jumped; one that comes twice, counts once.
        for new in shown + 1..=local(minute) {
            for (_, minutes, means) in windows.iter().map(|window| WINDOWS[*window]) {
                if means(&Wall::of(new)) {
                    closes = closes.max(minute + i64::from(minutes));
                }
            }
        }
        shown = shown.max(local(minute));
        open.push(minute < closes);
    }
    open.split_off(usize::try_from(2 * DAY).unwrap_or(0))
}

fn places(windows: &Windows) -> Vec<usize> {
    let place = |window: &Window| {
        let mut known = WINDOWS.iter();
        known
            .position(|(opens, minutes, _)| {
                *opens == window.opens.as_str() && *minutes == window.minutes
            })
            .expect("people use the windows above")
    };
    windows.windows.iter().map(place).collect()
}

/// The windows in one zone.
pub(super) struct Hours {
    windows: Vec<usize>,
    zone: usize,
}

impl Hours {
    pub(super) fn new(windows: &Windows, labels: &BTreeMap<String, String>) -> Self {
        Self {
            windows: places(windows),
            zone: zone_of(windows, labels),
        }
    }

    pub(super) fn zone(&self) -> &'static str {
        ZONES[self.zone].0
    }

    fn minute_is_open(&self, minute: i64) -> bool {
        let day = minute.div_euclid(DAY);
        let key = (self.windows.clone(), self.zone, day);
        let known = DAYS.with_borrow_mut(|days| {
            let walked = days.entry(key).or_insert_with_key(|key| Rc::new(walk(key)));
            Rc::clone(walked)
        });
        let place = usize::try_from(minute.rem_euclid(DAY)).unwrap_or(0);
        known[place]
    }

    /// Whether it is open at `at`, in milliseconds since 1970.
    pub(super) fn are_open(&self, at: u64) -> bool {
        self.minute_is_open(minute_of(at))
    }

    /// The first minute from `at` on at which it is open, if there is one before `end`.
    pub(super) fn next_opening(&self, at: u64, end: u64) -> Option<u64> {
        if self.are_open(at) && at < end {
            return Some(at);
        }
        let minutes = minute_of(at) + 1..=minute_of(end);
        let mut minutes = minutes.filter(|minute| self.minute_is_open(*minute));
        let opens = u64::try_from(minutes.next()?).unwrap_or(0) * MILLIS;
        (opens < end).then_some(opens)
    }

    /// Whether it is closed now, and the next opening is that one. What is far off is looked for a week ahead.
    pub(super) fn open_next(&self, now: u64, opens: Option<Timestamp>) -> bool {
        let week = now + 7 * 24 * 60 * MILLIS;
        let end = opens.map_or(week, |opens| week.min(opens.0 + 1));
        let expected = opens.map(|opens| opens.0).filter(|opens| *opens < end);
        !self.are_open(now) && self.next_opening(now, end) == expected
    }

    /// Since when it is open without a break, as far as `from`; `None` when it is not.
    pub(super) fn open_since(&self, from: u64, now: u64) -> Option<u64> {
        let mut minute = minute_of(now);
        if !self.minute_is_open(minute) {
            return None;
        }
        while minute > minute_of(from) && self.minute_is_open(minute - 1) {
            minute -= 1;
        }
        Some(from.max(u64::try_from(minute).unwrap_or(0) * MILLIS))
    }
}

fn minute_of(at: u64) -> i64 {
    i64::try_from(at / MILLIS).unwrap_or(i64::MAX)
}
