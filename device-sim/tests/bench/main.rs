//! `device-sim bench` as people and scripts meet it, against small brokers of this process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod connections;
mod messages;
mod servers;
#[path = "../support/mod.rs"]
mod support;
mod usage;

use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(300);

async fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_device-sim"));
    command
        .arg("bench")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let output = command.spawn().unwrap().wait_with_output();
    let output = tokio::time::timeout(PATIENCE, output).await;
    output.expect("the program ends").unwrap()
}

async fn measured(arguments: &[&str]) -> Value {
    let output = bench(&[arguments, &["--json"]].concat()).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "one line of JSON and nothing else");
    serde_json::from_str(&text).unwrap()
}

/// The exit code, and what was said.
async fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = bench(arguments).await;
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}

fn positive(report: &Value, field: &str) {
    let value = report[field].as_f64();
    assert!(value.is_some_and(|value| value > 0.0), "{field}: {report}");
}
