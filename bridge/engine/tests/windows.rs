//! Maintenance windows of rollouts (`docs/windows.md`; issue 4, Time): who is told when, and what is said about it.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::pace::*;
use fleet::*;
use rollcall_engine::*;

/// Midnight in Berlin, as the tests begin.
const MIDNIGHT: u64 = NOON + 11 * HOUR;

fn windows(json: &str) -> Windows {
    serde_json::from_str(json).unwrap()
}

fn nightly() -> Windows {
    windows(r#"{"windows": [{"opens": "0 0 * * *", "minutes": 240}], "zone": "Europe/Berlin"}"#)
}

fn at_night() -> Mechanism {
    Mechanism {
        windows: Some(nightly()),
        // No request is repeated while nobody looks.
        request_timeout: 10 * DAY,
        ..Mechanism::default()
    }
}

fn opens(at: u64, zone: &str) -> Option<WaitReason> {
    Some(WaitReason::Window {
        opens: Some(Timestamp(at)),
        zone: zone.parse().unwrap(),
        bad_zone: None,
    })
}

#[test]
fn a_robot_is_told_at_the_first_instant_of_its_window_and_not_before() {
    let (mut fleet, robots) = connected(1);
    let id = fleet.launched(at_night());
    assert_eq!(
        fleet.waits_for(id, robots[0]),
        opens(MIDNIGHT, "Europe/Berlin")
    );
    let why = &fleet.state.why(id, robots[0]).unwrap()[0];
    assert_eq!(why.until, Some(Timestamp(MIDNIGHT)));
    assert_eq!(why.then, "its window opens");
    let text = why.waits_for.as_ref().unwrap().to_string();
    assert_eq!(
        text,
        "window, opens at 2026-02-01T00:00:00+01:00 (Europe/Berlin)"
    );
    fleet.pass(11 * HOUR - 1);
    assert_eq!(fleet.told(), []);
    fleet.pass(1);
    assert_eq!(fleet.told(), robots);
}

#[test]
fn nobody_is_told_from_the_instant_on_at_which_the_window_closes() {
    let mut fleet = at_noon();
    let robots = fleet.robots(2);
    let id = fleet.launched(at_night());
    fleet.pass(15 * HOUR - 1);
    fleet.online(robots[0]);
    assert_eq!(fleet.told(), [robots[0]]);
    // No timer has fired: the gate itself looks at the clock.
    fleet.now += 1;
    fleet.online(robots[1]);
    assert_eq!(fleet.told(), []);
    assert_eq!(
        fleet.waits_for(id, robots[1]),
        opens(MIDNIGHT + DAY, "Europe/Berlin")
    );
    fleet.pass(20 * HOUR);
    assert_eq!(fleet.told(), [robots[1]]);
}

#[test]
fn a_robot_that_was_ready_when_the_window_closed_is_not_told_when_a_slot_is_free() {
    let (mut fleet, robots) = connected(2);
    let id = fleet.launched(Mechanism {
        max_in_progress: 1,
        ..at_night()
    });
    fleet.pass(14 * HOUR);
    let (robot, ecu, operation) = fleet.requests().remove(0);
    fleet
        .event(robot, &ecu, operation, EventStatus::Acknowledged)
        .unwrap();
    // The timer of the boundary is late.
    fleet.now += HOUR;
    fleet.install(robot, &ecu, operation);
    assert_eq!(fleet.told(), []);
    assert_eq!(
        fleet.waits_for(id, robots[1]),
        opens(MIDNIGHT + DAY, "Europe/Berlin")
    );
}

#[test]
fn a_late_timer_does_not_keep_anybody_from_being_told() {
    let (mut fleet, robots) = connected(2);
    fleet.launched(at_night());
    fleet.now = MIDNIGHT + HOUR;
    // Something happens on one robot before the timer fires: all that wait are told.
    fleet.disconnect(robots[0]);
    fleet.online_with(robots[0], 2, "1");
    let mut told = fleet.told();
    told.sort_unstable();
    assert_eq!(told, robots);
}

#[test]
fn each_robot_goes_by_the_time_zone_of_its_own_label() {
    let (mut fleet, robots) = connected(3);
    fleet.label(robots[0], "timezone", "Asia/Tokyo");
    fleet.label(robots[1], "timezone", "-05:00");
    let id = fleet.launched(at_night());
    assert_eq!(
        fleet.waits_for(id, robots[0]),
        opens(NOON + 3 * HOUR, "Asia/Tokyo")
    );
    assert_eq!(
        fleet.waits_for(id, robots[1]),
        opens(NOON + 17 * HOUR, "-05:00")
    );
    for (span, robot) in [(3, 0), (8, 2), (6, 1)] {
        fleet.pass(span * HOUR - 1);
        assert_eq!(fleet.told(), []);
        fleet.pass(1);
        assert_eq!(fleet.told(), [robots[robot]]);
    }
}

#[test]
fn a_label_that_names_no_zone_is_told_about_and_the_rollouts_zone_holds() {
    let (mut fleet, robots) = connected(1);
    fleet.label(robots[0], "timezone", "Berlin");
    let id = fleet.launched(at_night());
    let why = fleet.state.why(id, robots[0]).unwrap().remove(0);
    let waits_for = why.waits_for.unwrap();
    assert_eq!(
        waits_for.to_string(),
        "window, opens at 2026-02-01T00:00:00+01:00 (Europe/Berlin); \"Berlin\" is no time zone; write `Europe/Berlin`"
    );
    assert!(why.remedy.contains("label set"), "{}", why.remedy);
    fleet.pass(11 * HOUR);
    assert_eq!(fleet.told(), robots);
}

#[test]
fn another_label_moves_a_robot_to_another_zone_at_once() {
    let (mut fleet, robots) = connected(2);
    let id = fleet.launched(Mechanism {
        max_in_progress: 1,
        ..at_night()
    });
    fleet.pass(4 * HOUR);
    fleet.label(robots[1], "timezone", "Asia/Tokyo");
    assert_eq!(fleet.told(), [robots[1]], "it is one o'clock there");
    fleet.label(robots[0], "timezone", "Asia/Tokyo");
    assert!(matches!(
        fleet.waits_for(id, robots[0]),
        Some(WaitReason::Slot { .. })
    ));
    fleet.label(robots[0], "timezone", "Europe/Berlin");
    assert_eq!(
        fleet.waits_for(id, robots[0]),
        opens(MIDNIGHT, "Europe/Berlin")
    );
    let operation = fleet.target(id, robots[1], 0).attempt;
    let operation = operation_id(id, robots[1], &EcuName::new("main").unwrap(), operation);
    fleet.install(robots[1], "main", operation);
    assert_eq!(fleet.told(), [], "the slot is free, the window is not open");
    fleet.pass(7 * HOUR);
    assert_eq!(fleet.told(), [robots[0]]);
}

#[test]
fn an_operation_goes_on_after_its_window_and_the_next_ecu_waits_for_the_next_one() {
    let mut fleet = at_noon();
    let ecus = [ecu("a", "hw", false), ecu("b", "hw", true)];
    let robot = fleet.robot("r", &ecus);
    fleet.online(robot);
    let id = fleet.launched(at_night());
    fleet.pass(15 * HOUR - MINUTE);
    let (_, ecu, operation) = fleet.requests().remove(0);
    assert_eq!(ecu, "a");
    fleet.pass(0);
    fleet
        .event(robot, &ecu, operation, EventStatus::Acknowledged)
        .unwrap();
    fleet.pass(2 * MINUTE);
    for status in [EventStatus::Downloading, EventStatus::Deploying] {
        fleet.event(robot, &ecu, operation, status).unwrap();
    }
    let image = ReportedImage {
        operation: Some(operation),
        ..reported("2")
    };
    fleet.base_image(robot, &ecu, image).unwrap();
    assert_eq!(fleet.told(), []);
    let why = fleet.state.why(id, robot).unwrap();
    assert_eq!(why[1].waits_for, opens(MIDNIGHT + DAY, "Europe/Berlin"));
    fleet.pass(DAY);
    assert_eq!(fleet.told(), [robot]);
}

#[test]
fn a_request_of_the_window_is_sent_again_after_it() {
    let (mut fleet, robots) = connected(1);
    fleet.launched(at_night());
    fleet.pass(11 * HOUR);
    assert_eq!(fleet.told(), robots);
    fleet.disconnect(robots[0]);
    fleet.now = MIDNIGHT + 4 * HOUR;
    fleet.online(robots[0]);
    assert_eq!(
        fleet.told(),
        robots,
        "it has the same uuid and may have begun"
    );
}

#[test]
fn a_retry_waits_for_the_next_window() {
    let (mut fleet, robots) = connected(1);
    let id = fleet.launched(Mechanism {
        retries: vec![Retry {
            class: FailureClass::Network,
            times: 1,
            backoff: HOUR,
            max_backoff: HOUR,
        }],
        ..at_night()
    });
    fleet.pass(11 * HOUR);
    let (robot, ecu, operation) = fleet.requests().remove(0);
    fleet.now = MIDNIGHT + 3 * HOUR + MINUTE;
    fleet
        .fail(robot, &ecu, operation, EventCode::NetworkError)
        .unwrap();
    assert!(matches!(
        fleet.waits_for(id, robot),
        Some(WaitReason::Retry { .. })
    ));
    fleet.pass(2 * HOUR);
    assert_eq!(fleet.told(), []);
    assert_eq!(
        fleet.waits_for(id, robot),
        opens(MIDNIGHT + DAY, "Europe/Berlin")
    );
    fleet.pass(DAY);
    assert_eq!(fleet.told(), robots);
}

#[test]
fn a_restart_before_within_and_after_the_window_changes_nothing() {
    for before in [10 * HOUR, 12 * HOUR, 16 * HOUR] {
        let mut fleet = at_noon();
        let robots = fleet.robots(2);
        fleet.label(robots[0], "timezone", "Asia/Tokyo");
        let id = fleet.launched(at_night());
        fleet.pass(before);
        fleet.restart(0);
        robots.iter().for_each(|robot| fleet.online(*robot));
        let open = before == 12 * HOUR;
        assert_eq!(fleet.told(), if open { vec![robots[1]] } else { vec![] });
        assert_eq!(
            fleet.waits_for(id, robots[0]),
            opens(NOON + 27 * HOUR, "Asia/Tokyo")
        );
        fleet.pass(27 * HOUR - before);
        assert!(fleet.told().contains(&robots[0]));
    }
}

#[test]
fn a_server_that_was_down_when_the_window_opened_tells_robots_when_it_is_back() {
    let mut fleet = at_noon();
    let robots = fleet.robots(1);
    fleet.launched(at_night());
    fleet.restart(13 * HOUR);
    fleet.online(robots[0]);
    assert_eq!(fleet.told(), robots);
    let mut fleet = at_noon();
    let robots = fleet.robots(1);
    fleet.launched(at_night());
    fleet.restart(16 * HOUR);
    fleet.online(robots[0]);
    assert_eq!(fleet.told(), [], "down through the whole window");
    fleet.pass(20 * HOUR);
    assert_eq!(fleet.told(), robots);
}

#[test]
fn wrong_windows_are_refused_with_a_stable_word() {
    let (mut fleet, _) = connected(1);
    for (json, code) in [
        (r#"{"windows": []}"#, "no_windows"),
        (
            r#"{"windows": [{"opens": "0 0 * * *", "minutes": 0}]}"#,
            "window_minutes",
        ),
        (
            r#"{"windows": [{"opens": "0 0 * * *", "minutes": 1431}]}"#,
            "window_minutes",
        ),
        (
            r#"{"windows": [{"opens": "0 0 30 2 *", "minutes": 60}]}"#,
            "window_never_opens",
        ),
        (
            r#"{"windows": [{"opens": "0 0 * * *", "minutes": 60}], "zone_label": ""}"#,
            "window_zone_label",
        ),
    ] {
        let mechanism = Mechanism {
            windows: Some(windows(json)),
            ..Mechanism::default()
        };
        let spec = fleet.spec_with(mechanism);
        assert_eq!(fleet.state.preview(&spec).unwrap_err().code(), code);
        assert_eq!(fleet.create(spec).unwrap_err().code(), code);
    }
}

#[test]
fn a_rollout_that_ends_before_any_window_opens_is_refused_with_both_times() {
    let (mut fleet, robots) = connected(1);
    let short = Mechanism {
        deadline: 11 * HOUR,
        ..at_night()
    };
    let refusal = fleet.prepared(short.clone()).unwrap_err();
    assert_eq!(refusal.code(), "windows_never_open");
    assert_eq!(
        refusal.to_string(),
        "the rollout would end at 2026-01-31T23:00:00+00:00 and no window of its robots opens before that (the first \
         does at 2026-01-31T23:00:00+00:00); give it a later end, a longer deadline or other windows"
    );
    let mut by_end = at_night();
    by_end.schedule.end = Some(Timestamp(MIDNIGHT));
    assert_eq!(
        fleet.prepared(by_end).unwrap_err().code(),
        "windows_never_open"
    );
    // An hour later it would do, and so it would for a robot further to the east.
    let mut later = short.clone();
    later.schedule.start = Some(Timestamp(NOON + HOUR));
    fleet.prepared(later).unwrap();
    fleet.label(robots[0], "timezone", "Asia/Tokyo");
    fleet.prepared(short).unwrap();
}

#[test]
fn a_launch_so_late_that_no_window_opens_any_more_is_refused() {
    let (mut fleet, _) = connected(1);
    let id = fleet
        .prepared(Mechanism {
            deadline: 12 * HOUR,
            ..at_night()
        })
        .unwrap();
    fleet.pass(16 * HOUR);
    let refusal = fleet.launch(id).unwrap_err();
    assert_eq!(refusal.code(), "windows_never_open");
    fleet.pass(12 * HOUR);
    fleet.launch(id).unwrap();
}

#[test]
fn a_wait_for_a_window_after_the_end_of_the_rollout_says_that_it_expires() {
    let (mut fleet, robots) = connected(2);
    fleet.label(robots[1], "timezone", "-05:00");
    let id = fleet.launched(Mechanism {
        deadline: 12 * HOUR,
        ..at_night()
    });
    let why = fleet.state.why(id, robots[1]).unwrap().remove(0);
    assert_eq!(why.waits_for, opens(NOON + 17 * HOUR, "-05:00"));
    assert_eq!(why.until, Some(Timestamp(NOON + 12 * HOUR)));
    assert!(why.then.starts_with("expires"), "{}", why.then);
}

#[test]
fn a_preview_shows_the_next_five_windows_of_each_zone_of_the_affected_robots() {
    let (mut fleet, robots) = connected(4);
    fleet.robot("other", &[ecu("main", "other", true)]);
    fleet.label(robots[0], "timezone", "Asia/Tokyo");
    fleet.label(robots[1], "timezone", "Atlantis");
    let spec = fleet.spec_with(at_night());
    let shown = fleet.state.preview(&spec).unwrap().1.windows;
    let found: Vec<_> = shown
        .iter()
        .map(|zone| (zone.zone.as_str(), zone.robots, zone.bad_labels))
        .collect();
    assert_eq!(found, [("Asia/Tokyo", 1, 0), ("Europe/Berlin", 3, 1)]);
    for (zone, first) in shown.iter().zip([NOON + 3 * HOUR, MIDNIGHT]) {
        let expected: Vec<_> = (0..5)
            .map(|day| Span {
                from: Timestamp(first + day * DAY),
                until: Some(Timestamp(first + day * DAY + 4 * HOUR)),
            })
            .collect();
        assert_eq!(zone.upcoming, expected);
    }
    let mut later = spec;
    later.mechanism.schedule.start = Some(Timestamp(MIDNIGHT + HOUR));
    let shown = fleet.state.preview(&later).unwrap().1.windows;
    assert_eq!(shown[1].upcoming[0].from, Timestamp(MIDNIGHT + HOUR));
    later.mechanism.windows = None;
    assert_eq!(fleet.state.preview(&later).unwrap().1.windows, []);
}

#[test]
fn a_long_wait_fires_a_timer_per_boundary_and_no_more() {
    let (mut fleet, robots) = connected(3);
    fleet.label(robots[0], "timezone", "Asia/Tokyo");
    fleet.launched(Mechanism {
        deadline: 20 * DAY,
        ..at_night()
    });
    robots.iter().for_each(|robot| fleet.disconnect(*robot));
    let mut fired = 0;
    while fleet.step(NOON + 10 * DAY) {
        fired += 1;
    }
    assert!(
        (40..=45).contains(&fired),
        "{fired} timers in ten days of two zones"
    );
}

#[test]
fn mechanisms_stored_before_there_were_windows_are_read() {
    let old = serde_json::to_value(Mechanism::default()).unwrap();
    assert!(old.get("windows").is_none());
    let read: Mechanism = serde_json::from_value(old).unwrap();
    assert_eq!(read, Mechanism::default());
    let text = serde_json::to_string(&at_night()).unwrap();
    assert_eq!(
        serde_json::from_str::<Mechanism>(&text).unwrap(),
        at_night()
    );
}

#[test]
fn who_joins_later_is_told_when_the_window_opens_too() {
    let (mut fleet, robots) = connected(1);
    let mechanism = Mechanism {
        dynamic: true,
        ..at_night()
    };
    let spec = RolloutSpec {
        target: TargetSelection::Hardware(hw("hw")),
        ..fleet.spec_with(mechanism)
    };
    let id = fleet.create(spec).unwrap();
    fleet.launch(id).unwrap();
    let late = fleet.robot("late", &[ecu("main", "hw", true)]);
    fleet.online(late);
    assert_eq!(fleet.waits_for(id, late), opens(MIDNIGHT, "Europe/Berlin"));
    fleet.pass(11 * HOUR);
    assert_eq!(fleet.told(), [robots[0], late]);
}
