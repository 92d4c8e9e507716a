//! How long a question to maintenance windows takes: `cargo run --release -p rollcall-engine --example window_pace`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement for people"
)]

use rollcall_engine::{TimeZone, Timestamp, Window, Windows};
use std::hint::black_box;
use std::time::Instant;

const MOMENTS: u64 = 2_000;

fn main() {
    let nightly = vec![("0 0 * * *", 240)];
    let working = vec![("0 22 * * MON-FRI", 420), ("0 12 * * SAT,SUN", 720)];
    let leap = vec![("0 0 29 2 */7", 60); 16];
    let always = vec![("0 * * * *", 60)];
    let dense = vec![("* * * * *", 1)];
    let rare = vec![("*/16 * 1 1 *", 1); 15];
    println!("windows\tEurope/Berlin\t+02:00\tnext five");
    for (name, list) in [
        ("every night", nightly),
        ("nights and weekends", working),
        ("16 for leap Sundays", leap),
        ("hourly, never closed", always),
        ("every minute, never closed", dense),
        ("1,440 on one day a year", rare),
    ] {
        let window = |(opens, minutes): &(&str, u16)| Window {
            opens: opens.parse().unwrap(),
            minutes: *minutes,
        };
        let windows = Windows {
            windows: list.iter().map(window).collect(),
            zone: TimeZone::default(),
            zone_label: "timezone".to_owned(),
        };
        windows.check().unwrap();
        let [berlin, fixed] = ["Europe/Berlin", "+02:00"].map(|zone| zone.parse().unwrap());
        let at = |zone: &TimeZone| pace(|at| _ = black_box(windows.at(at, zone)));
        let five = pace(|at| {
            let spans = windows.upcoming(at, &berlin).take(5);
            drop(black_box(spans.collect::<Vec<_>>()));
        });
        println!(
            "{name}\t{:.1} us\t{:.1} us\t{five:.1} us",
            at(&berlin),
            at(&fixed)
        );
    }
    let zone = pace(|_| drop(black_box("Europe/Berlin".parse::<TimeZone>())));
    println!("zone of a label\t{zone:.2} us");
}

/// Microseconds for one moment, over all of a year.
fn pace(mut ask: impl FnMut(Timestamp)) -> f64 {
    let start = Instant::now();
    for moment in 0..MOMENTS {
        ask(Timestamp(1_767_225_600_000 + moment * 15_778_800));
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let moments = MOMENTS as f64;
    start.elapsed().as_secs_f64() * 1e6 / moments
}
