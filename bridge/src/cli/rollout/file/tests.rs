use super::*;
use crate::api::RolloutView;
use rollcall_engine::{Mechanism, OfflinePolicy, PhaseSize};
use serde_json::json;

const LEAST: &str = "name = \"n\"\ntarget = { group = \"g\" }\nimages = { hw = \"fw@1.0.0\" }\n";

const EVERYTHING: &str = r#"
name = "everything"
target = { selector = 'label["site"] == "kiel"' }
images = { compute = "os@2.0.0", motor = "motor-os@2.0.0+b7" }
max_in_progress = 20
rate = { per_minute = 10, growth = { factor = 1.5, every = 20, counting = "succeeded", max_per_minute = 1_000 } }
request_timeout = "90s"
request_resends = 5
in_progress_timeout = "2h"
confirm_timeout = "20m"
rollback_grace = "2m"
deadline = "7d"
on_failure = "stop"
force_downgrade = "within_requirement"
on_version_mismatch = "skip"
offline = { fail_after = "10m" }
dynamic = false
immutable_on_create = true
max_failure_percentage = 7.25
zone = "Europe/Berlin"
zone_label = "tz"
schedule = { start = 2026-11-28T22:00:00+01:00, end = "2026-12-01T00:00:00Z" }

[retries]
network = 3
storage = { times = 2, backoff = "5m", max_backoff = "1h" }

[[windows]]
opens = "0 22 * * MON-FRI"
minutes = 420

[[abort]]
kind = "rolled_back"
percentage = 2.5
min_tried = 40
action = "pause"

[[phases]]
group = "canary"
success_threshold = 95
soak = "2h"
approval = true
error_threshold = 5
on_error = "abort"

[[phases]]
percentage = 10

[[phases]]
robots = 7

[[phases]]
rest = true
"#;

fn fails(text: &str) -> String {
    let failure = parse("f.toml", text, None).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    failure.error.message
}

/// What the server shows of a rollout that was created so.
fn shown(new: &NewRollout) -> RolloutView {
    let images: serde_json::Map<_, _> = (new.images.iter())
        .map(|mapped| (mapped.hardware_id.to_string(), json!(mapped.image)))
        .collect();
    let counts = rollcall_engine::Counts::default();
    let view = json!({
        "id": 1, "name": new.name, "status": "prepared", "outcome": null, "revision": 1, "target": new.target,
        "images": images, "mechanism": new.mechanism, "created": "", "created_ms": 0, "created_by": "admin",
        "launched": null, "launched_ms": null, "deadline": null, "deadline_ms": null, "completed": null,
        "completed_ms": null, "counts": counts,
        "projections": { "airbotics": "", "edgehog": { "status": "idle", "outcome": null } },
    });
    serde_json::from_value(view).unwrap()
}

#[test]
fn a_file_with_every_key_survives_show_and_create() {
    for text in [EVERYTHING, LEAST] {
        let new = parse("f.toml", text, None).unwrap();
        let again = write(&shown(&new));
        assert_eq!(parse("again.toml", &again, None).unwrap(), new, "{again}");
    }
}

#[test]
fn what_is_not_given_has_the_default() {
    let new = parse("f.toml", LEAST, None).unwrap();
    assert_eq!(new.mechanism, Mechanism::default());
    let other = RolloutName::new("other").unwrap();
    let renamed = parse("f.toml", LEAST, Some(other.clone())).unwrap();
    assert_eq!(renamed.name, other, "--name wins");
    let nameless = LEAST.replace("name = \"n\"", "");
    assert_eq!(
        parse("f.toml", &nameless, Some(other.clone()))
            .unwrap()
            .name,
        other
    );
    assert!(fails(&nameless).contains("`name` is missing"));
}

#[test]
fn every_value_arrives() {
    let mechanism = parse("f.toml", EVERYTHING, None).unwrap().mechanism;
    assert_eq!(mechanism.request_timeout, 90_000);
    assert_eq!(mechanism.offline, OfflinePolicy::Fail { grace: 600_000 });
    assert_eq!(mechanism.schedule.start.unwrap().0, 1_795_899_600_000);
    assert_eq!(mechanism.retries.len(), 2);
    assert_eq!(
        mechanism.phases[1].size,
        PhaseSize::Percentage("10".parse().unwrap())
    );
    assert_eq!(mechanism.phases[0].soak, 7_200_000);
}

/// What is added to the least file, and what the message says; the caret stands below the column.
const MISTAKES: &[(&str, &str)] = &[
    (
        "retries = { anything = 3 }",
        "no key of `retries`; the keys are network, storage, busy, verify, timeout",
    ),
    (
        "max_in_progres = 3",
        "line 4, column 1: `max_in_progres` is no key of a rollout; write `max_in_progress`",
    ),
    (
        "max_in_progress = 0",
        "line 4, column 19: `max_in_progress` = 0 is not valid: write a whole number from 1",
    ),
    (
        "max_in_progress = \"3\"",
        "`max_in_progress` = \"3\" is not valid: write a whole number",
    ),
    (
        "max_in_progress = 4294967296",
        "write a whole number from 1 to 4294967295",
    ),
    (
        "max_in_progress = 99999999999999999999999",
        "write a whole number from 1 to 4294967295",
    ),
    ("max_in_progress = -1", "write a whole number"),
    (
        "deadline = \"5 fortnights\"",
        "`deadline` = \"5 fortnights\" is not valid: write a span of time",
    ),
    ("deadline = 5", "\"90s\", \"15m\", \"2h\" or \"30d\""),
    ("request_timeout = \"5ms\"", "use 1s to 730d"),
    ("dynamic = \"yes\"", "write true or false"),
    ("on_failure = \"panic\"", "write \"continue\" or \"stop\""),
    ("max_failure_percentage = 101", "from 0 to 100"),
    (
        "max_failure_percentage = \"5\"",
        "write a percentage as a number",
    ),
    ("rate = 0", "from 1 to 1000000"),
    (
        "rate = { growth = {} }",
        "`per_minute` of `rate` is missing",
    ),
    (
        "rate = { per_minute = 9, growth = { factor = 1.55 } }",
        "1.1 to 5 with one decimal",
    ),
    (
        "rate = { per_minute = 9, growth = { factor = 2, every = 1, counting = \"told\", max_per_minute = 8 } }",
        "from 9 to",
    ),
    ("offline = \"ignore\"", "write \"wait\", or { fail_after"),
    (
        "offline = { fail_after = \"x\" }",
        "`fail_after` of `offline`",
    ),
    (
        "retries = { netwrk = 3 }",
        "`netwrk` is no key of `retries`; write `network`",
    ),
    ("retries = { network = 11 }", "from 1 to 10"),
    (
        "retries.busy = { times = 1, backoff = \"2h\", max_backoff = \"1h\" }",
        "use 2h to 730d",
    ),
    ("schedule.start = \"tonight\"", "offset from UTC"),
    ("schedule.start = 2026-11-28T22:00:00", "offset from UTC"),
    (
        "schedule = { start = 2026-11-28T22:00:00Z, end = 2026-11-28T21:00:00Z }",
        "a time after the start",
    ),
    (
        "[[abort]]\nkind = \"all\"\npercentage = 0\nmin_tried = 1",
        "`percentage` of abort rule 1 = 0 is not valid",
    ),
    (
        "[[abort]]\nkind = \"none\"\npercentage = 1\nmin_tried = 1",
        "\"all\" or \"failed\" or \"rejected\"",
    ),
    (
        "[[abort]]\nkind = \"all\"\npercentage = 1",
        "`min_tried` of abort rule 1 is missing",
    ),
    ("[[phases]]\nsoak = \"1h\"", "phase 1 needs one size"),
    (
        "[[phases]]\nrobots = 1\nrest = true",
        "phase 1 needs one size",
    ),
    (
        "[[phases]]\npercentage = 60\n[[phases]]\npercentage = 50",
        "add up",
    ),
    ("[[phases]]\npercentage = 60", "add up"),
    ("[[phases]]\nrest = true\n[[phases]]\nrobots = 4", "phase 1"),
    (
        "[[phases]]\nrest = true\nsoak = \"soon\"",
        "line 6, column 8: `soak` of phase 1 = \"soon\" is not valid",
    ),
    ("phases = 3", "write [[phases]] for each phase"),
    ("phases = [3]", "phase 1 = 3"),
    (
        "zone = \"Europe/Berlin\"",
        "`zone` = \"Europe/Berlin\" is not valid: there are no windows",
    ),
    (
        "[[windows]]\nopens = \"0 24 * * *\"\nminutes = 9",
        "`opens` of window 1 = \"0 24 * * *\" is not valid",
    ),
    (
        "[[windows]]\nopens = \"0 0 30 2 *\"\nminutes = 9",
        "never opens",
    ),
    (
        "[[windows]]\nopens = \"0 0 * * *\"\nminutes = 1431",
        "from 1 to 1430",
    ),
    (
        "zone = \"Berlin\"\n[[windows]]\nopens = \"0 0 * * *\"\nminutes = 9",
        "write `Europe/Berlin`",
    ),
    ("a = ", "this is no TOML"),
    ("name = \"m\"", "this is no TOML"),
];

#[test]
fn a_mistake_is_shown_where_it_is_with_its_key_value_and_remedy() {
    for (added, says) in MISTAKES {
        let message = fails(&format!("{LEAST}{added}\n"));
        assert!(
            message.contains(says),
            "{added}:\n{message}\nsays not: {says}"
        );
        assert!(message.starts_with("f.toml, line "), "{message}");
    }
    for (text, says) in [
        ("", "`name` is missing"),
        ("name = 3", "`name` = 3"),
        (
            "name = \"n\"",
            "`target` is missing; write target = { group",
        ),
        (
            "name = \"n\"\ntarget = \"g\"",
            "`target` = \"g\" is not valid: write { group",
        ),
        (
            "name = \"n\"\ntarget = { group = \"g\", hardware = \"h\" }",
            "write one of { group",
        ),
        (
            "name = \"n\"\ntarget = { selector = 'site == 3' }",
            "`selector` of `target` = 'site == 3'",
        ),
        (
            "name = \"n\"\ntarget = { robots = [\"r\", 4] }",
            "robot 2 = 4",
        ),
        (
            "name = \"n\"\ntarget = { group = \"g\" }\nimages = {}",
            "at least one hardware id",
        ),
        (
            "name = \"n\"\ntarget = { group = \"g\" }\nimages = { hw = \"fw\" }",
            "`hw` of `images` = \"fw\"",
        ),
        (
            "name = \"n\"\ntarget = { group = \"g\" }\nimages = { \"a b\" = \"fw@1\" }",
            "line 3, column 12",
        ),
    ] {
        let message = fails(text);
        assert!(
            message.contains(says),
            "{text}:\n{message}\nsays not: {says}"
        );
    }
}

#[test]
fn the_caret_stands_below_the_place() {
    let message = fails(&format!("{LEAST}rate = 0\n"));
    assert!(message.ends_with("\n  rate = 0\n         ^"), "{message}");
}

#[test]
fn the_examples_are_understood_and_survive_show_and_create() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/rollouts");
    let mut found = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let new = read(&entry.unwrap().path(), None).unwrap();
        let again = write(&shown(&new));
        assert_eq!(parse("again.toml", &again, None).unwrap(), new, "{again}");
        found += 1;
    }
    assert!(found >= 3);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    for path in ["/does/not/exist.toml", "/"] {
        let failure = read(Path::new(path), None).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.error.message.contains(path), "{failure:?}");
    }
}
