//! The program itself against a server of its own: what an operator types and sees.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod cli_support;

use cli_support::Rollcall;
use serde_json::{Value, json};

#[test]
fn an_operator_adds_robots_groups_and_images() {
    let rollcall = Rollcall::new();
    let robot = rollcall.json(&[
        "robot",
        "add",
        "r1",
        "--ecu",
        "main=hw,primary",
        "arm=hw",
        "--label",
        "site=a",
    ]);
    assert_eq!(robot["id"], "r1");
    assert_eq!(robot["credentials_secret"].as_str().unwrap().len(), 43);
    let only = rollcall.json(&["robot", "add", "r2", "--ecu", "main=other"]);
    assert_eq!(
        only["ecus"][0]["primary"],
        json!(true),
        "the only ECU is the primary one"
    );
    assert_eq!(
        rollcall.json(&["group", "add", "g", "--robot", "r1", "--robot", "r2"])["robot_count"],
        2
    );
    let file = rollcall.file("fw.bin", b"firmware");
    let image = rollcall.json(&[
        "image",
        "add",
        "fw@1.0.0+b7",
        "--hardware",
        "hw",
        "--file",
        &file,
    ]);
    assert_eq!(
        (&image["size"], &image["hosted"]),
        (&json!(8), &json!(true))
    );
    assert_eq!(rollcall.json(&["image", "show", "fw@1.0.0+b7"]), image);
}

#[test]
fn an_operator_removes_an_image_and_puts_a_lost_file_back() {
    let rollcall = Rollcall::new();
    let file = rollcall.file("fw.bin", b"firmware");
    let fails = |arguments: &[&str], code, says: &str| {
        let output = rollcall.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(says), "{arguments:?}: {error}");
    };
    let add = ["image", "add", "fw@1", "--hardware", "hw", "--file", &file];
    let image = rollcall.json(&add);
    assert_eq!(image["file"], "whole");
    let restore = ["image", "restore", "fw@1", "--file", &file];
    fails(&restore, 3, "not lost");
    let url = image["url"].as_str().unwrap();
    let stored = rollcall
        .data()
        .join(&url[url.find("artifacts/").unwrap()..]);
    std::fs::remove_file(stored).unwrap();
    // The first robot that asks finds out.
    assert!(ureq::get(url).call().is_err());
    assert!(rollcall.ok(&["image", "show", "fw@1"]).contains("MISSING"));
    assert!(rollcall.ok(&["image", "ls"]).contains("MISSING"));
    let other = rollcall.file("other.bin", b"other");
    let wrong = ["image", "restore", "fw@1", "--file", &other];
    fails(&wrong, 3, "SHA-256");
    assert_eq!(rollcall.json(&restore)["file"], "whole");
    let mut answer = ureq::get(url).call().unwrap();
    assert_eq!(answer.body_mut().read_to_vec().unwrap(), b"firmware");
    let removed = rollcall.json(&["image", "rm", "fw@1", "--yes"]);
    assert_eq!(removed, json!({ "removed": "fw@1" }));
    fails(&["image", "show", "fw@1"], 4, "fw@1");
    assert!(ureq::get(url).call().is_err());
}

#[test]
fn an_operator_gets_from_a_preview_to_a_launched_rollout_and_its_history() {
    let rollcall = Rollcall::new();
    rollcall.ok(&["robot", "add", "r1", "--ecu", "main=hw"]);
    rollcall.ok(&["robot", "add", "r2", "--ecu", "main=other"]);
    rollcall.ok(&["group", "add", "g", "--robot", "r1", "r2"]);
    let file = rollcall.file("fw.bin", b"firmware");
    rollcall.ok(&[
        "image",
        "add",
        "fw@1.0.0+b7",
        "--hardware",
        "hw",
        "--file",
        &file,
    ]);
    let plan = [
        "--target",
        "group:g",
        "--image",
        "hw=fw@1.0.0+b7",
        "--max-in-progress",
        "1",
    ];
    let preview = rollcall.json(&[&["rollout", "preview"][..], &plan].concat());
    assert_eq!(
        (&preview["affected_robots"], &preview["skipped_robots"]),
        (&json!(1), &json!(1))
    );
    let created = rollcall.json(&[&["rollout", "create", "--name", "spring"][..], &plan].concat());
    assert_eq!(
        (&created["id"], &created["mechanism"]["max_in_progress"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        rollcall.json(&["rollout", "edit", "1", "--max-in-progress", "2"])["revision"],
        2
    );
    assert_eq!(
        rollcall.json(&["rollout", "launch", "1"])["status"],
        "running"
    );
    let shown = rollcall.json(&["rollout", "show", "1", "--robots"]);
    assert_eq!(shown["robots"][0]["ecus"][0]["waits_for"], "offline");
    assert_eq!(
        rollcall.json(&["rollout", "why", "1", "r1"])["ecus"][0]["waits_for"]["wait"],
        "offline"
    );
    assert_eq!(
        rollcall.json(&["rollout", "history", "1"])["items"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        rollcall.json(&["robot", "history", "r1"])["rollouts"][0]["rollout"],
        1
    );
    for list in ["robot", "group", "image", "rollout"] {
        let page = rollcall.json(&[list, "ls"]);
        assert!(
            !page["items"].as_array().unwrap().is_empty() && page["next"].is_null(),
            "{list}: {page}"
        );
    }
}

#[test]
fn people_see_tables_with_the_same_facts() {
    let rollcall = Rollcall::new();
    let added = rollcall.ok(&["robot", "add", "r1", "--ecu", "main=hw"]);
    assert!(
        added.contains("credentials secret") && added.contains("fleet/r1"),
        "{added}"
    );
    rollcall.ok(&["robot", "add", "r2", "--ecu", "main=other"]);
    rollcall.ok(&["group", "add", "g", "--robot", "r1", "r2"]);
    let image = [
        "image",
        "add",
        "fw@1",
        "--hardware",
        "hw",
        "--url",
        "http://127.0.0.1/x",
        "--size",
        "3",
        "--sha256",
    ];
    rollcall.ok(&[&image[..], &[&"0".repeat(64)]].concat());
    let preview = rollcall.ok(&[
        "rollout", "preview", "--target", "group:g", "--image", "hw=fw@1",
    ]);
    assert!(preview.contains("1 affected, 1 skipped"), "{preview}");
    assert!(
        preview.contains("no ECU has a mapped hardware id"),
        "{preview}"
    );
    rollcall.ok(&[
        "rollout", "create", "--name", "n", "--target", "group:g", "--image", "hw=fw@1",
    ]);
    rollcall.ok(&["rollout", "launch", "1"]);
    for (arguments, facts) in [
        (&["robot", "ls"][..], &["ROBOT", "r1", "no"][..]),
        (&["robot", "show", "r1"], &["offline", "primary", "g"]),
        (&["group", "show", "g"], &["r1", "r2"]),
        (&["image", "ls"], &["fw@1", "000000000000"]),
        (&["rollout", "ls"], &["running", "group:g", "0/1"]),
        (
            &["rollout", "show", "1", "--robots"],
            &["hw=fw@1", "offline", "skipped"],
        ),
        (
            &["rollout", "why", "1", "r1"],
            &["waits for", "offline", "you can"],
        ),
        (&["rollout", "history", "1"], &["launch rollout 1", "admin"]),
        (
            &["robot", "history", "r1"],
            &["running", "waiting", "command"],
        ),
    ] {
        let shown = rollcall.ok(arguments);
        for fact in facts {
            assert!(
                shown.contains(fact),
                "{arguments:?}: {fact:?} is not in\n{shown}"
            );
        }
        assert!(
            !shown.contains('\u{1b}'),
            "no colours where nobody sees them"
        );
    }
}

/// Arguments, exit code and what the message names.
const FAILURES: &[(&[&str], i32, &str)] = &[
    (&["robot", "show", "nobody"], 4, "robot ls"),
    (&["rollout", "show", "7"], 4, "rollout ls"),
    (
        &["robot", "add", "r1", "--ecu", "main=hw"],
        3,
        "choose another id",
    ),
    (
        &["robot", "add", "r3", "--ecu", "a=hw", "b=hw"],
        3,
        "exactly one primary",
    ),
    (
        &[
            "rollout",
            "create",
            "--name",
            "n",
            "--target",
            "robots:r1,x",
            "--image",
            "hw=fw@1",
        ],
        3,
        "fw@1",
    ),
    (
        &[
            "image",
            "add",
            "fw@1",
            "--hardware",
            "hw",
            "--file",
            "/does/not/exist",
        ],
        2,
        "/does/not/exist",
    ),
    (
        &["image", "add", "fw@1", "--hardware", "hw", "--file", "/"],
        2,
        "not a file",
    ),
    (&["robot", "rm", "r1"], 2, "--yes"),
    (
        &["robot", "update", "r1", "--image", "fw@1"],
        2,
        "--confirm r1",
    ),
    (&["robot", "ls", "--token", "wrong"], 5, "token"),
    (
        &["robot", "ls", "--api", "http://127.0.0.1:1"],
        5,
        "rollcall serve",
    ),
    (&["robot", "ls", "--api", "127.0.0.1:1"], 2, "http://"),
    (&["robot"], 2, "Usage"),
    (&["robots", "ls"], 2, "Usage"),
];

#[test]
fn each_way_to_fail_has_its_exit_code_and_says_what_next() {
    let rollcall = Rollcall::new();
    rollcall.ok(&["robot", "add", "r1", "--ecu", "main=hw"]);
    for (arguments, code, says) in FAILURES {
        let output = rollcall.run(arguments);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {err}");
        assert!(
            err.contains(says),
            "{arguments:?}: {says:?} is not in {err}"
        );
        assert!(
            output.stdout.is_empty(),
            "{arguments:?}: errors are no data"
        );
    }
    let output = rollcall.run(&["robot", "show", "nobody", "--json"]);
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["code"], "unknown_robot");
}

#[test]
fn destructive_commands_do_it_with_yes() {
    let rollcall = Rollcall::new();
    rollcall.ok(&["robot", "add", "r1", "--ecu", "main=hw"]);
    rollcall.ok(&["group", "add", "g"]);
    assert_eq!(
        rollcall.json(&["group", "rm", "g", "--yes"]),
        json!({ "removed": "g" })
    );
    assert_eq!(
        rollcall.json(&["robot", "rm", "r1", "-y"]),
        json!({ "removed": "r1" })
    );
    assert_eq!(
        rollcall.run(&["robot", "show", "r1"]).status.code(),
        Some(4)
    );
}

#[test]
fn a_launch_after_drift_names_the_robots_and_the_flag() {
    let rollcall = Rollcall::new();
    rollcall.with_prepared_rollout();
    rollcall.ok(&["robot", "add", "r9", "--ecu", "main=hw"]);
    rollcall.ok(&["group", "add", "g", "--robot", "r9"]);
    let refused = rollcall.run(&["rollout", "launch", "1"]);
    let err = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3));
    assert!(
        err.contains("joined: 1 (r9)") && err.contains("--accept-drift"),
        "{err}"
    );
    rollcall.ok(&["rollout", "launch", "1", "--accept-drift"]);
}

#[test]
fn watching_ends_with_the_rollout_and_tells_its_outcome_by_the_exit_code() {
    let rollcall = Rollcall::new();
    rollcall.with_prepared_rollout();
    rollcall.ok(&["rollout", "launch", "1"]);
    // A newer rollout takes the only ECU over, so the first completes without a robot.
    let plan = ["--target", "group:g", "--image", "hw=fw@1"];
    rollcall.ok(&[&["rollout", "create", "--name", "b"][..], &plan].concat());
    rollcall.ok(&["rollout", "launch", "2"]);
    let watched = rollcall.run(&["rollout", "watch", "1", "--json"]);
    let lines = String::from_utf8(watched.stdout).unwrap();
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["status"], "completed");
    let expected = if last["outcome"] == "success" { 0 } else { 6 };
    assert_eq!(watched.status.code(), Some(expected), "{last}");
    let shown = rollcall.run(&["rollout", "watch", "1"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("rollout 1 is completed"));
    assert_eq!(
        rollcall.run(&["rollout", "watch", "9"]).status.code(),
        Some(4)
    );
}

#[test]
fn a_rollout_that_is_not_a_success_ends_the_watch_with_its_own_exit_code() {
    let rollcall = Rollcall::new();
    rollcall.with_prepared_rollout();
    // The shortest deadline: nobody is online, so the rollout expires a second after its launch.
    let body = json!({
        "name": "short", "target": { "group": "g" }, "images": [{ "hardware_id": "hw", "image": "fw@1" }],
        "mechanism": { "deadline": 1000 },
    });
    rollcall.post("/v1/rollouts", &body);
    rollcall.ok(&["rollout", "launch", "2"]);
    let watched = rollcall.run(&["rollout", "watch", "2", "--json"]);
    let lines = String::from_utf8(watched.stdout).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(watched.status.code(), Some(6), "{lines:?}");
    assert_eq!(lines.last().unwrap()["outcome"], "expired");
    assert!(
        lines.windows(2).all(|pair| pair[0] != pair[1]),
        "a line per change"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let rollcall = Rollcall::new();
    rollcall.ok(&["robot", "add", "r1", "--ecu", "main=hw"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = rollcall
        .command(&["robot", "ls"])
        .stdout(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

/// What people see when they work with selectors, word for word.
#[test]
fn an_operator_selects_robots_by_what_they_are() {
    let rollcall = Rollcall::new();
    rollcall.ok(&["robot", "add", "r1", "--ecu", "main=hw", "--tag", "canary"]);
    rollcall.ok(&["robot", "add", "r2", "--ecu", "main=hw"]);
    rollcall.ok(&["robot", "label", "set", "r2", "site=kiel", "row=2"]);
    let words = rollcall.ok(&["robot", "tag", "add", "r2", "night"]);
    assert_eq!(words, "labels  row=2, site=kiel\ntags    night\n");
    rollcall.ok(&["robot", "label", "rm", "r2", "row"]);
    let selector = r#"label["site"] == "kiel" and "night" in tags"#;
    assert_eq!(rollcall.ok(&["group", "check", selector]), "1 robot\nr2\n");
    let made = rollcall.ok(&["group", "add", "kiel", "--selector", selector]);
    assert_eq!(made, "group kiel has 1 robot\n");
    assert_eq!(
        rollcall.ok(&["group", "show", "kiel", "--robot", "r1"]),
        "r1 is not in group kiel:\n\
         FILTER                   HOLDS  THE ROBOT HAS\n\
         label[\"site\"] == \"kiel\"  no     nothing\n\
         \"night\" in tags          no     canary\n"
    );
    assert_eq!(
        rollcall.ok(&["group", "check", "held == true", "--robot", "r1"]),
        "the selector does not mean r1:\n\
         FILTER        HOLDS  THE ROBOT HAS\n\
         held == true  no     false\n"
    );
    let shown = rollcall.ok(&["group", "show", "kiel"]);
    assert!(
        shown.ends_with(&format!("selector  {selector}\nrobots    1\nr2\n")),
        "{shown}"
    );
    let edited = rollcall.json(&["group", "edit", "kiel", "--selector", r#""nobody" in tags"#]);
    assert_eq!(edited["robot_count"], 0);

    let mistake = rollcall.run(&["group", "check", r#"site == "kiel""#]);
    assert_eq!(mistake.status.code(), Some(2), "nothing was tried");
    let message = String::from_utf8(mistake.stderr).unwrap();
    assert!(
        message.contains("`site` is nothing that a robot has"),
        "{message}"
    );
    assert!(message.contains("\n  site == \"kiel\"\n  ^"), "{message}");
}

/// What people see when they work with channels, word for word.
#[test]
fn an_operator_gives_groups_to_channels() {
    let rollcall = Rollcall::new();
    rollcall.ok(&["robot", "add", "r1", "--ecu", "main=hw", "--tag", "canary"]);
    rollcall.ok(&["robot", "add", "r2", "--ecu", "main=hw"]);
    rollcall.ok(&["group", "add", "a", "--robot", "r1"]);
    rollcall.ok(&["group", "add", "c", "--selector", r#""canary" in tags"#]);
    let made = rollcall.ok(&["channel", "add", "nightly", "--group", "a", "c"]);
    assert_eq!(made, "channel nightly means 1 robot\n");
    let shown = rollcall.ok(&["channel", "show", "nightly"]);
    assert!(
        shown.ends_with("groups   a, c\nrobots   1\nROBOT  BY GROUP\nr1     a, c\n"),
        "{shown}"
    );
    assert_eq!(
        rollcall.ok(&["channel", "show", "nightly", "--robot", "r2"]),
        "r2 is not in channel nightly:\n\
         GROUP  HAS IT  BY\n\
         a      no      its list of robots\n\
         c      no      \"canary\" in tags\n\
         \n\
         group c:\n\
         FILTER            HOLDS  THE ROBOT HAS\n\
         \"canary\" in tags  no     nothing\n"
    );
    let groups = rollcall.ok(&["group", "ls"]);
    assert!(
        groups.contains("  nightly  \"canary\" in tags\n"),
        "{groups}"
    );
    let taken = rollcall.run(&["channel", "add", "other", "--group", "a"]);
    assert_eq!(taken.status.code(), Some(3));
    let advice = "rollcall channel edit nightly --remove-group a";
    assert!(String::from_utf8_lossy(&taken.stderr).contains(advice));
    let kept = rollcall.run(&["group", "rm", "a", "--yes"]);
    assert_eq!(kept.status.code(), Some(3));
    let edit = ["channel", "edit", "nightly"];
    rollcall.ok(&[&edit[..], &["--remove-group", "a"]].concat());
    let last = rollcall.run(&[&edit[..], &["--remove-group", "c"]].concat());
    assert_eq!(last.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&last.stderr).contains("--every-robot"));
    let nothing = rollcall.run(&edit);
    assert_eq!(nothing.status.code(), Some(2));
    let all = rollcall.ok(&[&edit[..], &["--every-robot"]].concat());
    assert_eq!(all, "channel nightly means 2 robots\n");
    let why = rollcall.ok(&["channel", "show", "nightly", "--robot", "r2"]);
    assert_eq!(why, "r2 is in channel nightly, which means every robot\n");
    let listed = rollcall.ok(&["channel", "ls"]);
    let nightly = listed.lines().find(|line| line.starts_with("nightly"));
    assert!(nightly.unwrap().ends_with("every robot"), "{listed}");
    let removed = rollcall.json(&["channel", "rm", "nightly", "--yes"]);
    assert_eq!(removed, json!({ "removed": "nightly" }));
}

/// What `show --toml` writes creates the same rollout, through a real server.
#[test]
fn a_rollout_survives_the_way_into_a_file_and_back() {
    let rollcall = Rollcall::new();
    rollcall.ok(&["robot", "add", "r1", "--ecu", "main=motor"]);
    rollcall.ok(&["group", "add", "canary", "--robot", "r1"]);
    let file = rollcall.file("fw.bin", b"firmware");
    let image = [
        "image",
        "add",
        "motor-os@2.0.0",
        "--hardware",
        "motor",
        "--file",
    ];
    rollcall.ok(&[&image[..], &[&file]].concat());
    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/rollouts/canary.toml"
    );
    let first = rollcall.json(&["rollout", "create", "--from", example]);
    let written = rollcall.ok(&["rollout", "show", "1", "--toml"]);
    let again = rollcall.file("again.toml", written.as_bytes());
    let second = rollcall.json(&["rollout", "create", "--from", &again]);
    for field in ["name", "target", "images", "mechanism"] {
        assert_eq!(first[field], second[field], "{field}");
    }
    assert_eq!(first["mechanism"]["phases"].as_array().unwrap().len(), 3);
}
