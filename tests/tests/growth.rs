//! A fleet over pipes, as the benchmark has it in greater numbers (`bench growth`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use rollcall_tests::growth::{Gauge, Within};
use std::time::Duration;

const ROBOTS: usize = 1_000;

#[test]
fn a_thousand_robots_over_pipes_register_connect_and_are_updated() {
    let directory = tempfile::tempdir().unwrap();
    let server = Within::start(&directory.path().join("data"), ROBOTS).unwrap();
    let nothing = Gauge {
        memory: &|| Ok(0),
        cpu: &|| Ok(Duration::ZERO),
        is_shared: true,
    };
    let stages = server.grow(ROBOTS, &nothing).unwrap();
    let names: Vec<_> = stages.iter().map(|stage| stage.what).collect();
    assert_eq!(names, ["register", "connect", "launch", "complete"]);
    server.stop().unwrap();
}
