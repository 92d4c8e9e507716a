//! How long it takes to find out whom a selector means: `cargo run --release -p rollcall-engine --example selector_pace [ROBOTS]`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement for people"
)]

use rollcall_engine::{
    Actor, Command, EcuSpec, Input, LinkEvent, Reply, Report, ReportedImage, RobotSpec, Selector,
    State, Timestamp,
};
use std::time::Instant;

const SELECTORS: [&str; 8] = [
    "online == true",
    r#""canary" in tags"#,
    r#"label["site"] == "site-7""#,
    r#"hardware == "motor""#,
    r#"version("os") >= "1.2.0""#,
    r#"/^r-[0-9]*7$/ ~= id"#,
    r#""r-*99*" ~= id"#,
    r#"label["site"] == "site-7" and (version("os") < "2.0.0" or "canary" in tags) and label["payload"] >= 12.5"#,
];

fn fleet(robots: u32) -> State {
    let mut state = State::default();
    let ecu = |name: &str, hardware: &str, primary| EcuSpec {
        name: name.parse().unwrap(),
        hardware_id: hardware.parse().unwrap(),
        primary,
    };
    for number in 1..=robots {
        let ecus = vec![ecu("main", "compute", true), ecu("arm", "motor", false)];
        let labels = [
            ("site".to_owned(), format!("site-{}", number % 50)),
            ("payload".to_owned(), format!("{}.5", number % 20)),
        ];
        let canary = (number % 10 == 0).then(|| "canary".parse().unwrap());
        let spec = RobotSpec {
            id: format!("r-{number}").parse().unwrap(),
            name: None,
            model: None,
            labels: labels.into(),
            tags: canary.into_iter().collect(),
            ecus: ecus.clone(),
            secret: [0; 32],
        };
        let by = Actor("bench".to_owned());
        let command = Command::AddRobot(spec);
        let outcome = state.apply(Timestamp(1), Input::Command { by, command });
        let Ok(Reply::Robot(robot)) = outcome.reply else {
            return state;
        };
        let connection = number.into();
        let event = LinkEvent::Connected { connection };
        drop(state.apply(Timestamp(2), Input::Link { robot, event }));
        let manifest = Report::Manifest {
            boot: 1,
            wants_ack: false,
            ecus,
        };
        let runs = Report::BaseImage {
            ecu: "main".parse().unwrap(),
            image: ReportedImage {
                name: "os".to_owned(),
                version: format!("1.{}.0", number % 4),
                ..ReportedImage::default()
            },
        };
        for report in [manifest, runs] {
            drop(state.apply(Timestamp(3), Input::Report { robot, report }));
        }
    }
    state
}

fn main() {
    let robots = std::env::args()
        .nth(1)
        .map_or(100_000, |n| n.parse().unwrap());
    let state = fleet(robots);
    println!("{robots} robots; the best of 5 runs\n\n    ms  ns each   means  selector");
    for text in SELECTORS {
        let selector: Selector = text.parse().unwrap();
        let run = |_| {
            let start = Instant::now();
            let means = state.selected_by(&selector, None).count();
            (start.elapsed().as_secs_f64(), means)
        };
        let runs: Vec<_> = (0..5).map(run).collect();
        let best = runs.iter().map(|(span, _)| *span).fold(f64::MAX, f64::min);
        let (ms, each) = (best * 1e3, best * 1e9 / f64::from(robots));
        println!("{ms:6.2} {each:8.0} {:7}  {text}", runs[0].1);
    }
}
