//! Made-up courses: one that is in order, and one for each thing that can be wrong with it.

use super::*;
use device_sim::bench::{IntervalReport, LatencyReport};
use std::collections::BTreeMap;
use std::time::Duration;

fn settings() -> Settings {
    Settings {
        duration: Duration::from_secs(3_600),
        every: Duration::from_secs(60),
        rate: 1_000,
        robots: 10,
        churn: 1,
        hostile: true,
    }
}

fn sample(minute: u32) -> Sample {
    Sample {
        at: f64::from(minute) * 60.0,
        publishers: IntervalReport {
            seconds: 60.0,
            acknowledged: 60_000 * u64::from(minute),
            acknowledged_per_second: 1_000.0,
            ack_latency: LatencyReport::default(),
            queue: 0,
            refused: 0,
            lost: 0,
            own_cores: 0.1,
        },
        process: Process {
            resident: 100_000_000,
            private: 90_000_000,
            files: 1_100 + u64::from(minute % 7),
            threads: 10,
        },
        server_cores: 0.5,
        counts: Counts::default(),
        database_bytes: 1,
        hostile_runs: 1,
        hostile_failures: 0,
        rollouts: 1,
        targets: 1_000,
    }
}

fn course() -> Course {
    let process = Process {
        files: 40,
        ..Process::default()
    };
    Course {
        samples: (1..=60).map(sample).collect(),
        before: process,
        after: process,
        counts: Counts {
            events_committed: 400,
            refusals: BTreeMap::from([(REPEATED.to_owned(), 3_600_000)]),
            ..Counts::default()
        },
        acknowledged: 3_600_400,
        visits: 10,
        hostile_runs: 2,
        hostile_attacks: 80,
        rollouts: 5,
        kept: Some(Ok(Kept {
            events: 3_600_400,
            file_bytes: 1,
        })),
        ..Course::default()
    }
}

/// The verdicts that did not hold once `spoil` was done.
fn failed(spoil: impl FnOnce(&mut Course)) -> Vec<&'static str> {
    let mut course = course();
    spoil(&mut course);
    let verdicts = judge(&settings(), &course);
    let failed = verdicts.iter().filter(|verdict| !verdict.held);
    failed.map(|verdict| verdict.name).collect()
}

#[test]
fn a_course_in_order_holds_in_everything() {
    assert_eq!(failed(|_| {}), [""; 0]);
}

#[test]
fn memory_that_grows_is_found_and_that_of_the_beginning_is_not() {
    let grow = |by: fn(usize) -> u64| {
        failed(|course| {
            for (minute, sample) in course.samples.iter_mut().enumerate() {
                sample.process.resident += by(minute);
            }
        })
    };
    // 36 MB an hour are 18 MB from the middle of the second quarter to that of the last, which is half an hour later.
    assert_eq!(grow(|minute| minute as u64 * 600_000), ["memory is flat"]);
    assert_eq!(grow(|minute| minute as u64 * 100_000), [""; 0]);
    assert_eq!(grow(|minute| minute.min(10) as u64 * 50_000_000), [""; 0]);
    // A single peak is no growth.
    assert_eq!(
        grow(|minute| u64::from(minute == 55) * 500_000_000),
        [""; 0]
    );
}

#[test]
fn what_completed_rollouts_take_is_no_leak_and_more_than_that_is() {
    // 24.3 MB from the middle of the second quarter to that of the last.
    let grow = |bytes: u64| {
        failed(|course| {
            for (minute, sample) in (0..).zip(&mut course.samples) {
                sample.targets = 5_000 * minute;
                sample.process.resident += bytes * minute;
            }
        })
    };
    assert_eq!(grow(1_300_000), [""; 0]);
    assert_eq!(grow(1_400_000), ["memory is flat"]);
}

#[test]
fn the_slope_is_that_of_the_second_half_per_hour() {
    let mut samples = course().samples;
    for (minute, sample) in samples.iter_mut().enumerate() {
        sample.process.resident = 1_000_000 * minute as u64;
    }
    let slope = slope(&samples);
    assert!((slope - 60e6).abs() < 1.0, "{slope}");
}

#[test]
fn files_and_threads_that_grow_are_found() {
    let name = "open files and threads are flat";
    let files = failed(|course| {
        for (minute, sample) in course.samples.iter_mut().enumerate() {
            sample.process.files += 3 * minute as u64;
        }
    });
    assert_eq!(files, [name]);
    let threads = failed(|course| {
        for (minute, sample) in course.samples.iter_mut().enumerate() {
            sample.process.threads += minute as u64;
        }
    });
    assert_eq!(threads, [name]);
}

#[test]
fn a_rate_that_falls_is_found_in_one_interval_and_in_all() {
    let name = "the rate is held";
    let one = failed(|course| course.samples[30].publishers.acknowledged_per_second = 940.0);
    assert_eq!(one, [name]);
    let all = failed(|course| {
        for sample in &mut course.samples {
            sample.publishers.acknowledged_per_second = 980.0;
        }
    });
    assert_eq!(all, [name]);
}

#[test]
fn acknowledged_events_must_be_counted_and_kept() {
    let name = "nothing acknowledged is lost";
    assert_eq!(failed(|course| course.acknowledged += 1), [name]);
    let uncounted = failed(|course| course.counts.events_committed -= 1);
    assert_eq!(uncounted, [name]);
    let kept = |events| {
        move |course: &mut Course| {
            course.kept = Some(Ok(Kept {
                events,
                file_bytes: 1,
            }));
        }
    };
    assert_eq!(failed(kept(3_600_399)), [name]);
    assert_eq!(failed(|course| course.kept = None), [name]);
    let lost = "robot-1: event 3 follows event 1".to_owned();
    assert_eq!(failed(|course| course.kept = Some(Err(lost))), [name]);
}

#[test]
fn every_error_is_found_under_its_name() {
    let word = || "something".to_owned();
    type Spoil = fn(&mut Course, String);
    let cases: [(Spoil, &str); 6] = [
        (
            |course, word| course.broken = Some(word),
            "it went to its end",
        ),
        (
            |course, word| course.disturbances.push(word),
            "innocent clients noticed nothing",
        ),
        (
            |course, word| course.refused.push(word),
            "no innocent robot was refused anything",
        ),
        (
            |course, word| course.log.push(word),
            "no warning in the server's log",
        ),
        (
            |course, word| course.rollout_failures.push(word),
            "every rollout succeeded",
        ),
        (
            |course, word| course.hostile_failures.push(word),
            "every attack was survived",
        ),
    ];
    for (spoil, name) in cases {
        assert_eq!(failed(|course| spoil(course, word())), [name]);
    }
}

#[test]
fn without_hostile_clients_every_refusal_but_repetitions_is_an_error() {
    let mut course = course();
    let counted = course.counts.refusals.insert("old_counter".to_owned(), 1);
    assert_eq!(counted, None);
    let held = |hostile| {
        refusals(
            &Settings {
                hostile,
                ..settings()
            },
            &course,
        )
        .held
    };
    assert!(held(true) && !held(false));
}

#[test]
fn what_was_not_seen_does_not_hold() {
    assert_eq!(
        failed(|course| course.rollouts = 0),
        ["every rollout succeeded"]
    );
    assert_eq!(
        failed(|course| course.hostile_runs = 0),
        ["every attack was survived"]
    );
    let left = ["nothing is left of clients that have gone"];
    assert_eq!(failed(|course| course.counts.connections = 1), left);
    assert_eq!(failed(|course| course.after.files += 17), left);
    assert_eq!(failed(|course| course.after = Process::default()), left);
}
