//! `device-sim abuse`, all of it in its short form, against a real server: it survives, its innocent clients and robots
//! notice nothing, its memory stays bounded, and it counts every refusal.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod process;

use clap::Parser;
use device_sim::abuse::{self, AbuseArgs, Verdict};
use process::ServerProcess;
use rollcall_tests::lean::Identity;
use serde_json::json;
use std::path::Path;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: AbuseArgs,
}

const OPEN: &str = "[mqtt.open]\nanonymous = true\npublish = [\"#\"]\nsubscribe = [\"#\"]\n";

/// The credentials of robots, as `device-sim` reads them.
fn credentials(directory: &Path, robots: &[Identity]) -> String {
    let lines: Vec<_> = robots
        .iter()
        .map(|robot| {
            let ecus: Vec<_> = robot
                .ecus
                .iter()
                .map(|ecu| {
                    json!({"name": ecu.name, "hardware_id": ecu.hardware_id, "primary": ecu.primary})
                })
                .collect();
            json!({"id": robot.id, "credentials_secret": robot.secret, "ecus": ecus}).to_string()
        })
        .collect();
    let path = directory.join("robots.jsonl");
    std::fs::write(&path, lines.join("\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Attacks a server, over TLS or not, and asserts that nothing was harmed; which attacks made no sense.
async fn survives(open: bool, tls: bool, more: &[&str]) -> Vec<&'static str> {
    let directory = tempfile::tempdir().unwrap();
    let websocket = process::free_address();
    let settings = if open { OPEN } else { "" };
    let settings = format!("[websocket]\naddress = \"{websocket}\"\n{settings}");
    let server = if tls {
        ServerProcess::start_tls(directory.path(), &settings)
    } else {
        ServerProcess::start(directory.path(), &settings)
    };
    let robots = server.register(4, &[("main", "compute")]);
    let credentials = credentials(directory.path(), &robots);
    let ca = server.data_dir().join("tls").join("ca.pem");
    let broker = match server.mqtts() {
        Some(address) => format!("mqtts://localhost:{}", address.port()),
        None => format!("mqtt://{}", server.mqtt),
    };
    let (metrics, token) = (format!("{}/metrics", server.api), server.admin_token());
    let pid = server.pid().to_string();
    let websocket = format!("ws://{websocket}/mqtt");
    let mut words = vec!["abuse", "--short", "--json", "--quiet", "--broker", &broker];
    words.extend(["--credentials", &credentials, "--server-pid", &pid]);
    words.extend(["--metrics", &metrics, "--token", &token]);
    words.extend(["--websocket", &websocket]);
    // A build without optimisation on two cores that other tests' servers share may keep an innocent client waiting for
    // tens of seconds during a flood of TLS handshakes, and nobody can tell that from a stall of the server's. What is
    // lost, doubled or cut off is found whatever the limit; waits are judged with the default, 5 s, on a quiet machine.
    words.extend([
        "--stall-limit",
        "60s",
        "--patience",
        "60s",
        "--attack-limit",
        "300s",
    ]);
    // What is bounded stays far below this; a queue without a bound does not.
    words.extend(["--memory-limit", "80"]);
    if tls {
        words.extend(["--ca", ca.to_str().unwrap()]);
    }
    words.extend(more);
    let cli = Cli::parse_from(words);
    let report = abuse::execute(&cli.args, &mut Vec::new()).await.unwrap();
    assert!(!report.has_failures(), "{}", report.table());
    let skipped = |verdict| verdict == Verdict::Skipped;
    let attacks = report.attacks.iter();
    attacks
        .filter(|attack| skipped(attack.verdict))
        .map(|attack| attack.attack)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attack_on_an_open_broker_with_robots_is_survived_and_counted() {
    assert_eq!(survives(true, false, &[]).await, ["tls-garbage"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_different_over_tls_is_survived_too() {
    let only = "silent-connections,resets,tls-garbage,connect-flood,other-protocols,malformed-connect,oversized";
    assert!(survives(true, true, &["--only", only]).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn robots_attack_as_far_as_robots_can_where_nobody_else_is_let_in() {
    let only = "malformed-3.1.1,malformed-5.0,identifier-games,receive-maximum,takeover-storm,oversized,\
                foreign-wills,wrong-passwords,foreign-robots,garbage-payloads,will-storm";
    let skipped = survives(false, false, &["--only", only]).await;
    assert_eq!(skipped, ["will-storm"], "needs topics of everybody's");
}
