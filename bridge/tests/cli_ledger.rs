//! `rollcall channel source`, `ledger`, `sync` and `import`, word for word.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod cli_support;
mod ledger_node;

use cli_support::Rollcall;
use ledger_node::{Answer, LIST, Node};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const FOLLOW: [&str; 9] = [
    "channel",
    "source",
    "production",
    "ledger",
    "--vid",
    "0xFFF1",
    "--pid",
    "32768",
    "--hardware-id",
];

fn until_ready(rollcall: &Rollcall, number: u32) -> Value {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let ledger = rollcall.json(&["channel", "ledger", "production"]);
        let versions = ledger["versions"].as_array().unwrap().iter();
        let mut ready = versions.filter(|v| v["version"] == number && v["state"] == "ready");
        if ready.next().is_some() {
            return ledger;
        }
        assert!(Instant::now() < end, "never ready: {ledger}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_operator_follows_a_ledger_and_looks_at_it() {
    let (rollcall, node) = (Rollcall::new(), Node::new());
    let mut bad = Node::bare(3);
    bad["otaFileSize"] = json!("9");
    node.record(&Node::bare(1));
    node.record(&node.file(2, b"the second version"));
    node.record(&bad);
    node.list(&[1, 2, 3]);
    let set = rollcall.ok(&[
        &FOLLOW[..],
        &["hub", "hub-2", "--url", &node.url, "--every", "2h"],
    ]
    .concat());
    let source = format!(
        "product 0xFFF1/0x8000 (hub, hub-2) on the ledger, from {}, every 2h",
        node.url
    );
    assert_eq!(set, format!("channel production releases {source}\n"));
    until_ready(&rollcall, 2);
    let shown = rollcall.ok(&["channel", "ledger", "production"]);
    for line in [
        "NUMBER  VERSION  OVER    STATE        IMAGE\n",
        "1       1.0.0    0 to 9  has no file",
        "2       2.0.0    0 to 1  ready        dcl-fff1-8000@2.0.0\n",
        ": 3 versions, 1 not taken, again in ",
        "not taken, version 3: version 3 on the ledger is not taken: otaFileSize is set and otaUrl is not",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(shown.contains(&source), "{shown}");
    assert!(
        rollcall
            .ok(&["channel", "show", "production"])
            .contains(&source)
    );
    assert!(rollcall.ok(&["channel", "ls"]).contains("  ledger  "));
    let synced = rollcall.ok(&["channel", "sync", "production"]);
    assert!(
        synced.starts_with("3 versions: 0 new or changed, 2 as before, 0 withdrawn, 1 not taken\n"),
        "{synced}"
    );
    let report = rollcall.json(&["channel", "sync", "production"]);
    assert_eq!(report["refused"][0]["version"], 3);
    node.answer(LIST, Answer::Body(500, Vec::new()));
    let failed = rollcall.run(&["channel", "sync", "production"]);
    assert!(!failed.status.success());
    let words = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(
        words.contains("answered 500") && words.contains("stays as it was"),
        "{words}"
    );
    let shown = rollcall.ok(&["channel", "ledger", "production"]);
    assert!(shown.contains("in vain: the ledger at "), "{shown}");
    // G11
    let kept = rollcall.run(&["image", "rm", "dcl-fff1-8000@2.0.0", "--yes"]);
    assert_eq!(kept.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&kept.stderr).contains("channel source production console"));
    // G8: for everybody at once, so it is asked for.
    rollcall.ok(&["robot", "add", "r1", "--ecu", "main=hub"]);
    let publish = ["release", "publish", "production", "--ledger"];
    let asked = rollcall.run(&publish);
    assert_eq!(asked.status.code(), Some(2));
    assert_eq!(rollcall.json(&["release", "ls"])["items"], json!([]));
    let live = rollcall.json(&[&publish[..], &["--yes"]].concat());
    assert_eq!(
        (&live["status"], &live["ledger"]),
        (&json!("LIVE"), &json!(2))
    );
    // G11: the reason comes before any question.
    let refused = rollcall.run(&["release", "stop", "production"]);
    assert_eq!(refused.status.code(), Some(3));
    // G17: that ends it for good, so it is asked for.
    let console = ["channel", "source", "production", "console"];
    let asked = rollcall.run(&console);
    assert_eq!(asked.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&asked.stderr).contains("ends with this source"));
    assert_eq!(rollcall.json(&["release", "show", "1"])["status"], "LIVE");
    let back = rollcall.ok(&[&console[..], &["--yes"]].concat());
    assert_eq!(back, "channel production releases images added here\n");
    let ended = rollcall.json(&["release", "show", "1"]);
    assert_eq!(ended["inactive"]["why"], "source_switched");
}

#[test]
fn an_operator_brings_a_file() {
    let rollcall = Rollcall::new();
    rollcall.ok(&[&FOLLOW[..], &["hub"]].concat());
    let versions = json!({"modelVersion": [Node::bare(1), {"vid": 1}], "pagination": {"next_key": null, "total": "2"}});
    let file = rollcall.file("versions.json", versions.to_string().as_bytes());
    let import = ["channel", "import", "production", &file];
    let done = rollcall.ok(&import);
    let expected = "2 versions: 1 new or changed, 0 as before, 0 withdrawn, 1 not taken\nnot taken, record 2: missing field";
    assert!(done.starts_with(expected), "{done}");
    assert_eq!(rollcall.json(&import)["unchanged"], 1);
    for (arguments, code, words) in [
        (
            &["channel", "sync", "production"][..],
            3,
            "channel import production FILE",
        ),
        (
            &["channel", "import", "production", "/nowhere.json"],
            2,
            "/nowhere.json cannot be read",
        ),
        (&["channel", "ledger", "nobody"], 4, "channel ls"),
        (&["channel", "import", "nobody", &file], 4, "channel ls"),
        (
            &[
                "channel",
                "source",
                "production",
                "ledger",
                "--vid",
                "0x10000",
                "--pid",
                "1",
                "--hardware-id",
                "h",
            ],
            2,
            "0x0001 to 0xFFFF",
        ),
        (&["channel", "source", "production"], 2, "console"),
    ] {
        let failed = rollcall.run(arguments);
        let said = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert_eq!(failed.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    rollcall.ok(&["channel", "source", "production", "console"]);
    let refused = rollcall.run(&import);
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("channel source production ledger"));
}
