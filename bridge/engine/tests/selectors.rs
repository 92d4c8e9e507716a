//! Selectors and groups: whom they mean, and that a rollout keeps whom it found.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::*;
use proptest::prelude::*;
use rollcall_engine::*;
use std::collections::{BTreeMap, BTreeSet};

fn selector(text: &str) -> Selector {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn name(text: &str) -> GroupName {
    GroupName::new(text).unwrap()
}

fn edit(fleet: &mut Fleet, id: &str, tags: &[&str], labels: &[(&str, &str)]) {
    let word = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    fleet
        .command(Command::EditRobot {
            robot: RobotId::new(id).unwrap(),
            edit: RobotEdit {
                add_tags: tags.iter().map(|tag| Tag::new(tag).unwrap()).collect(),
                set_labels: labels.iter().map(word).collect(),
                ..RobotEdit::default()
            },
        })
        .unwrap();
}

fn means(fleet: &Fleet, text: &str) -> Vec<String> {
    fleet
        .state
        .selected_by(&selector(text), None)
        .map(|robot| robot.id.to_string())
        .collect()
}

fn add_group(fleet: &mut Fleet, group: &str, text: &str) -> Result<Reply, Refusal> {
    fleet.command(Command::AddSelectorGroup {
        name: name(group),
        selector: selector(text),
    })
}

fn members(fleet: &Fleet, group: &str) -> Vec<String> {
    let group = fleet.state.group(group).unwrap();
    let members = fleet.state.members(group, None);
    members.map(|robot| robot.id.to_string()).collect()
}

/// Three robots: `r1` in Kiel with tags, online, running os 1.2.0; `r2` in Berlin; `r3` with two boards and nothing else.
fn trio() -> Fleet {
    let mut fleet = Fleet::default();
    fleet.now = 1_700_000_000_000;
    let r1 = fleet.robot("r1", &[ecu("main", "hw", true)]);
    fleet.robot("r2", &[ecu("main", "hw", true)]);
    fleet.robot("r3", &[ecu("main", "arm", true), ecu("a", "motor", false)]);
    edit(
        &mut fleet,
        "r1",
        &["canary", "night"],
        &[("site", "kiel"), ("payload", "12.5")],
    );
    edit(
        &mut fleet,
        "r2",
        &["spare"],
        &[("site", "berlin"), ("payload", "7")],
    );
    fleet.online_with(r1, 1, "1.2.0");
    fleet
}

/// device-contract 4.2, and what a missing or repeated value means.
#[test]
fn a_selector_means_the_robots_that_it_describes() {
    let fleet = trio();
    for (text, expected) in [
        (r#""canary" in tags"#, &["r1"][..]),
        (r#""canary" not in tags"#, &["r2", "r3"]),
        (r#""CANARY" in tags"#, &[]),
        (r#""n*t" ~= tags"#, &["r1"]),
        (r#""n*" !~= tags"#, &["r2", "r3"]),
        (r#"/pa/ ~= tags"#, &["r2"]),
        (r#"/^pa/ ~= tags"#, &[]),
        (r#"label["site"] == "kiel""#, &["r1"]),
        // `!=` is the opposite of `==`, also where there is nothing.
        (r#"label["site"] != "kiel""#, &["r2", "r3"]),
        (r#"attributes["Label:site"] == "kiel""#, &["r1"]),
        (r#"/^(kiel|berlin)$/ ~= label["site"]"#, &["r1", "r2"]),
        (r#""berlin" in label["site"]"#, &["r2"]),
        (r#"label["payload"] > 7"#, &["r1"]),
        (r#"label["payload"] >= 7.0"#, &["r1", "r2"]),
        // As texts, "12.5" comes before "7".
        (r#"label["payload"] > "7""#, &[]),
        // Nothing is neither small nor great.
        (r#"label["payload"] < 1000"#, &["r1", "r2"]),
        (r#"label["site"] > 1"#, &[]),
        (r#"hardware == "hw""#, &["r1", "r2"]),
        // One of several boards is enough; `!=` says that none is.
        (r#"hardware == "motor""#, &["r3"]),
        (r#"hardware != "motor""#, &["r1", "r2"]),
        (r#"ecu == "a""#, &["r3"]),
        (r#"id > "r1""#, &["r2", "r3"]),
        (r#""r?" ~= id and id != "r2""#, &["r1", "r3"]),
        (r#"online == true"#, &["r1"]),
        (r#"online != true"#, &["r2", "r3"]),
        (r#"ready == true"#, &["r1"]),
        (r#"held == true"#, &[]),
        (r#"protocol == "native""#, &["r1"]),
        (r#"model == "m""#, &[]),
        (r#"image == "os@1.2.0""#, &["r1"]),
        (r#"version("os") >= "1.2.0""#, &["r1"]),
        (r#"version("os") < "1.10.0""#, &["r1"]),
        (r#"version("os") > "1.2.0-rc.1""#, &["r1"]),
        (r#"version("os") == "1.2.0+b7""#, &["r1"]),
        (r#"version("other") >= "0.0.0""#, &[]),
        (r#"attributes["version:os"] == "1.2.0""#, &["r1"]),
        (r#"seen < ago("1h")"#, &[]),
        (r#"registered <= now()"#, &["r1", "r2", "r3"]),
        (r#"registered < datetime("2023-11-14T22:13:20Z")"#, &[]),
        (
            r#"registered <= datetime("2023-11-14T23:13:20+01:00")"#,
            &["r1", "r2", "r3"],
        ),
        (r#"not ("canary" in tags or "spare" in tags)"#, &["r3"]),
        (
            r#""spare" in tags or "canary" in tags and online == false"#,
            &["r2"],
        ),
        (
            r#"("spare" in tags or "canary" in tags) and online == false"#,
            &["r2"],
        ),
        // Nobody has reported such a thing.
        (r#"attributes["custom:foo"] == 1"#, &[]),
        (r#"1 not in attributes["custom:foo"]"#, &["r1", "r2", "r3"]),
    ] {
        assert_eq!(means(&fleet, text), expected, "{text}");
    }
}

/// A label is text, and what reads as no number is none: `inf` is not more than everything.
#[test]
fn a_text_counts_as_a_number_only_when_it_is_one() {
    let mut fleet = Fleet::default();
    fleet.robot("r", &[ecu("main", "hw", true)]);
    for (text, filter, expected) in [
        ("12.5", "> 12", true),
        ("12", "== 12.0", true),
        ("-3", "< -2.5", true),
        ("9007199254740993", "== 9007199254740992", false),
        ("99999999999999999999", "> 9223372036854775807", true),
        ("inf", "> 1", false),
        ("infinity", "> 1.0", false),
        ("-inf", "< 1", false),
        ("nan", "!= 1", true),
        ("nan", "<= 1", false),
        ("", ">= 0", false),
        ("12 kg", ">= 0", false),
        ("true", "== true", true),
        ("yes", "== true", false),
        ("AQID", "== binaryblob(\"AQID\")", true),
        (
            "2026-01-31T08:00:00+01:00",
            "== datetime(\"2026-01-31T07:00:00Z\")",
            true,
        ),
        ("2026-01-31", "<= now()", false),
    ] {
        edit(&mut fleet, "r", &[], &[("l", text)]);
        let filter = format!(r#"label["l"] {filter}"#);
        assert_eq!(
            !means(&fleet, &filter).is_empty(),
            expected,
            "{text:?} {filter}"
        );
    }
}

#[test]
fn membership_is_worked_out_when_it_is_asked() {
    let mut fleet = trio();
    add_group(&mut fleet, "kiel", r#"label["site"] == "kiel""#).unwrap();
    assert_eq!(members(&fleet, "kiel"), ["r1"]);
    edit(&mut fleet, "r2", &[], &[("site", "kiel")]);
    assert_eq!(members(&fleet, "kiel"), ["r1", "r2"]);
    let r2 = fleet.state.robot_key("r2").unwrap();
    let groups = fleet.state.groups_of(fleet.state.robot(r2).unwrap());
    assert_eq!(groups, BTreeSet::from([name("kiel")]));
    let robot = RobotId::new("r2").unwrap();
    fleet.command(Command::RemoveRobot { robot }).unwrap();
    assert_eq!(
        members(&fleet, "kiel"),
        ["r1"],
        "a removed robot is in no group"
    );
    let removed = fleet.state.robot(r2).unwrap();
    assert!(fleet.state.groups_of(removed).is_empty());
}

#[test]
fn seen_follows_the_engines_time() {
    let mut fleet = trio();
    let r1 = fleet.state.robot_key("r1").unwrap();
    fleet.disconnect(r1);
    assert_eq!(means(&fleet, r#"seen < ago("7d")"#), [""; 0]);
    fleet.now += 8 * 24 * 3_600_000;
    fleet.state.advance_clock(Timestamp(fleet.now));
    // A robot that was never seen has no such moment.
    assert_eq!(means(&fleet, r#"seen < ago("7d")"#), ["r1"]);
    assert_eq!(means(&fleet, r#"seen < now()"#), ["r1"]);
}

#[test]
fn a_group_lists_robots_or_has_a_selector() {
    let mut fleet = trio();
    let list = |group: &str, robot: &str| Command::AddGroup {
        name: name(group),
        robots: vec![RobotId::new(robot).unwrap()],
    };
    add_group(&mut fleet, "s", r#""canary" in tags"#).unwrap();
    fleet.command(list("l", "r1")).unwrap();
    let refused = |reply: Result<Reply, Refusal>| reply.unwrap_err().code();
    assert_eq!(
        refused(add_group(&mut fleet, "s", "online == true")),
        "group_exists"
    );
    assert_eq!(
        refused(add_group(&mut fleet, "l", "online == true")),
        "group_exists"
    );
    assert_eq!(
        refused(fleet.command(list("s", "r2"))),
        "group_has_selector"
    );
    let edit = |group: &str| Command::EditGroup {
        name: name(group),
        selector: selector(r#""spare" in tags"#),
    };
    assert_eq!(refused(fleet.command(edit("l"))), "group_lists_robots");
    assert_eq!(refused(fleet.command(edit("none"))), "unknown_group");
    assert_eq!(members(&fleet, "s"), ["r1"]);
    fleet.command(edit("s")).unwrap();
    assert_eq!(members(&fleet, "s"), ["r2"]);
    fleet
        .command(Command::RemoveGroup { name: name("s") })
        .unwrap();
    assert!(fleet.state.group("s").is_none());
}

#[test]
fn groups_with_a_selector_are_bounded_and_a_refusal_makes_none() {
    let mut fleet = trio();
    let listed = Command::AddGroup {
        name: name("l"),
        robots: ["r1", "nobody"].map(|id| RobotId::new(id).unwrap()).into(),
    };
    assert_eq!(fleet.command(listed).unwrap_err().code(), "unknown_robot");
    assert!(fleet.state.group("l").is_none());
    for n in 0..1_000 {
        add_group(&mut fleet, &format!("g{n}"), "online == true").unwrap();
    }
    let refused = add_group(&mut fleet, "one-more", "online == true");
    assert_eq!(refused.unwrap_err().code(), "too_many");
    assert!(fleet.state.group("one-more").is_none());
}

#[test]
fn a_page_of_a_group_begins_behind_the_one_before() {
    let mut fleet = trio();
    let robots = ["r1", "r2", "r3"].map(|id| RobotId::new(id).unwrap());
    fleet
        .command(Command::AddGroup {
            name: name("l"),
            robots: robots.to_vec(),
        })
        .unwrap();
    add_group(&mut fleet, "s", r#""r*" ~= id"#).unwrap();
    let first = fleet.state.robot_key("r1").unwrap();
    for group in ["l", "s"] {
        let group = fleet.state.group(group).unwrap();
        let rest = fleet.state.members(group, Some(first));
        let rest: Vec<_> = rest.map(|robot| robot.id.as_str()).collect();
        assert_eq!(rest, ["r2", "r3"]);
    }
}

/// The robots are stored with the groups that list them, so their rows change too.
#[test]
fn a_group_that_is_removed_is_gone_from_its_robots() {
    let mut fleet = trio();
    let listed = Command::AddGroup {
        name: name("l"),
        robots: vec![RobotId::new("r3").unwrap()],
    };
    fleet.command(listed).unwrap();
    let r3 = fleet.state.robot_key("r3").unwrap();
    let outcome = fleet.state.apply(
        Timestamp(fleet.now),
        Input::Command {
            by: Actor("someone".into()),
            command: Command::RemoveGroup { name: name("l") },
        },
    );
    outcome.reply.unwrap();
    assert!(outcome.touched.contains(&Row::Robot(r3)));
    let robot = fleet.state.robot(r3).unwrap();
    assert!(fleet.state.groups_of(robot).is_empty());
    assert_eq!(means(&fleet, r#""l" in groups"#), [""; 0]);
}

#[test]
fn listed_groups_can_be_asked_for_and_selected_ones_cannot() {
    let mut fleet = trio();
    fleet
        .command(Command::AddGroup {
            name: name("l"),
            robots: vec![RobotId::new("r3").unwrap()],
        })
        .unwrap();
    add_group(&mut fleet, "s", r#""l" in groups"#).unwrap();
    assert_eq!(members(&fleet, "s"), ["r3"]);
    assert_eq!(
        means(&fleet, r#""s" in groups"#),
        [""; 0],
        "no selector asks another one"
    );
}

/// E12, X4: the robots are those of the launch; who joins or leaves before it is named.
#[test]
fn x4_a_rollout_keeps_whom_the_selector_meant_at_the_launch() {
    let mut fleet = trio();
    add_group(&mut fleet, "kiel", r#"label["site"] == "kiel""#).unwrap();
    fleet.image("os@2.0.0", &["hw"]);
    for target in [
        TargetSelection::Group(name("kiel")),
        TargetSelection::Selector(selector(r#"label["site"] == "kiel""#)),
    ] {
        edit(&mut fleet, "r2", &[], &[("site", "berlin")]);
        let id = fleet
            .create(fleet.spec(target, &[("hw", "os@2.0.0")]))
            .unwrap();
        edit(&mut fleet, "r2", &[], &[("site", "kiel")]);
        let drift = fleet.state.drift(id).unwrap();
        assert_eq!(drift.joined, [fleet.state.robot_key("r2").unwrap()]);
        assert_eq!(fleet.launch(id).unwrap_err().code(), "drifted");
        let command = Command::LaunchRollout {
            rollout: id,
            accept_drift: true,
        };
        fleet.command(command).unwrap();
        edit(&mut fleet, "r2", &[], &[("site", "berlin")]);
        edit(&mut fleet, "r3", &[], &[("site", "kiel")]);
        let rollout = fleet.state.rollout(id).unwrap();
        let members: Vec<_> = rollout.members.keys().map(|key| key.0).collect();
        assert_eq!(members, [1, 2]);
        edit(&mut fleet, "r3", &[], &[("site", "ulm")]);
    }
}

#[test]
fn a_selector_that_means_nobody_makes_a_group_and_no_rollout() {
    let mut fleet = trio();
    fleet.image("os@2.0.0", &["hw"]);
    add_group(&mut fleet, "none", r#""nobody" in tags"#).unwrap();
    let spec = fleet.spec(TargetSelection::Group(name("none")), &[("hw", "os@2.0.0")]);
    assert_eq!(fleet.create(spec).unwrap_err().code(), "affects_nobody");
    // Nobody is left at the launch.
    add_group(&mut fleet, "some", r#""spare" in tags"#).unwrap();
    let spec = fleet.spec(TargetSelection::Group(name("some")), &[("hw", "os@2.0.0")]);
    let id = fleet.create(spec).unwrap();
    let edit = RobotEdit {
        remove_tags: [Tag::new("spare").unwrap()].into(),
        ..RobotEdit::default()
    };
    let robot = RobotId::new("r2").unwrap();
    fleet.command(Command::EditRobot { robot, edit }).unwrap();
    assert_eq!(fleet.launch(id).unwrap_err().code(), "affects_nobody");
}

#[test]
fn the_plan_of_a_selector_comes_in_the_same_pages_as_any_other() {
    let mut fleet = Fleet::default();
    fleet.robots(7);
    fleet.image("os@2", &["hw"]);
    let target = TargetSelection::Selector(selector(r#"id != "r4""#));
    let id = fleet.create(fleet.spec(target, &[("hw", "os@2")])).unwrap();
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = fleet.state.plan_page(id, after, 2).unwrap();
        let Some(last) = page.robots.last() else {
            break;
        };
        after = Some(last.robot);
        found.extend(page.robots.iter().map(|robot| robot.robot.0));
    }
    assert_eq!(found, [1, 2, 3, 5, 6, 7]);
}

#[test]
fn an_explanation_names_the_filters_that_decide() {
    let fleet = trio();
    let explain = |text: &str, robot: &str| {
        let key = fleet.state.robot_key(robot).unwrap();
        let explanation =
            selector(text).explain(fleet.state.robot(key).unwrap(), fleet.state.now());
        let filters = explanation.decided_by.into_iter();
        let filters: Vec<_> = filters
            .map(|finding| (finding.filter, finding.holds, finding.found.join(",")))
            .collect();
        (explanation.member, filters)
    };
    let finding = |filter: &str, holds, found: &str| (filter.to_owned(), holds, found.to_owned());
    let both = r#"label["site"] == "kiel" and online == true"#;
    assert_eq!(
        explain(both, "r1"),
        (
            true,
            vec![
                finding(r#"label["site"] == "kiel""#, true, "kiel"),
                finding("online == true", true, "true"),
            ]
        )
    );
    // Either would be enough to keep it out, and both are named.
    assert_eq!(
        explain(both, "r2").1,
        [
            finding(r#"label["site"] == "kiel""#, false, "berlin"),
            finding("online == true", false, "false"),
        ]
    );
    // What does not matter is not named.
    let either = r#"id == "r1" or label["site"] == "kiel" and held == true"#;
    assert_eq!(
        explain(either, "r1"),
        (true, vec![finding(r#"id == "r1""#, true, "r1")])
    );
    // Nor what was looked at before it.
    let later = r#"id == "r9" or label["site"] == "kiel" or held == true"#;
    assert_eq!(
        explain(later, "r1").1,
        [finding(r#"label["site"] == "kiel""#, true, "kiel")]
    );
    assert_eq!(
        explain(either, "r3"),
        (
            false,
            vec![
                finding(r#"id == "r1""#, false, "r3"),
                finding(r#"label["site"] == "kiel""#, false, ""),
                finding("held == true", false, "false"),
            ]
        )
    );
    assert_eq!(
        explain(r#"not "canary" in tags"#, "r1"),
        (
            false,
            vec![finding(r#""canary" in tags"#, true, "canary,night")]
        )
    );
}

/// What decides is always among the values that are shown, however many there are.
#[test]
fn an_explanation_names_the_values_that_pass_first_and_counts_the_rest() {
    let mut fleet = trio();
    let tags: Vec<_> = (10..30).map(|n| format!("t{n}")).collect();
    let tags: Vec<_> = tags.iter().map(String::as_str).collect();
    edit(&mut fleet, "r3", &tags, &[]);
    let robot = fleet.state.robot_key("r3").unwrap();
    let robot = fleet.state.robot(robot).unwrap();
    let find = |text: &str| {
        let explanation = selector(text).explain(robot, fleet.state.now());
        explanation.decided_by.into_iter().next().unwrap()
    };
    let last = find(r#""t29" in tags"#);
    assert_eq!((last.found[0].as_str(), last.more), ("t29", 12));
    assert_eq!(last.found.len(), 8);
    let kept_out = find(r#"/[28]$/ !~= tags"#);
    assert_eq!(kept_out.found[..4], ["t12", "t18", "t22", "t28"]);
    assert!(!kept_out.holds);
    let none = find(r#""x" in tags"#);
    assert_eq!((none.found.len(), none.more), (8, 12));
    let all = find(r#""t*" ~= tags"#);
    assert_eq!((all.found.len(), all.more), (8, 12));
    assert_eq!(find(r#"hardware == "arm""#).more, 0);
}

#[test]
fn tags_and_labels_change_together_or_not_at_all() {
    let mut fleet = trio();
    let robot = || RobotId::new("r1").unwrap();
    let many = RobotEdit {
        add_tags: (0..64)
            .map(|n| Tag::new(&format!("t{n}")).unwrap())
            .collect(),
        set_labels: [("new".to_owned(), "x".to_owned())].into(),
        ..RobotEdit::default()
    };
    let refused = fleet.command(Command::EditRobot {
        robot: robot(),
        edit: many,
    });
    assert_eq!(refused.unwrap_err().code(), "too_many");
    let long = RobotEdit {
        set_labels: [("k".to_owned(), "x".repeat(256))].into(),
        remove_tags: [Tag::new("canary").unwrap()].into(),
        ..RobotEdit::default()
    };
    let refused = fleet.command(Command::EditRobot {
        robot: robot(),
        edit: long,
    });
    assert_eq!(refused.unwrap_err().code(), "too_long");
    assert_eq!(
        means(&fleet, r#""canary" in tags and label["new"] != "x""#),
        ["r1"]
    );
    // What is taken away goes first, so a label can be replaced in one step.
    let swap = RobotEdit {
        remove_labels: ["site".to_owned()].into(),
        set_labels: [("site".to_owned(), "ulm".to_owned())].into(),
        ..RobotEdit::default()
    };
    fleet
        .command(Command::EditRobot {
            robot: robot(),
            edit: swap,
        })
        .unwrap();
    assert_eq!(means(&fleet, r#"label["site"] == "ulm""#), ["r1"]);
}

/// A robot as the naive opinion sees it.
#[derive(Debug, Clone)]
struct Naive {
    tags: BTreeSet<String>,
    labels: BTreeMap<String, String>,
    hardware: Vec<String>,
    online: bool,
}

/// A question, and its naive answer: no parser, no tree of the engine's.
#[derive(Debug, Clone)]
enum Question {
    Tag(String, bool),
    TagBegins(String, bool),
    Label(String, String, bool),
    LabelAtLeast(String, i64),
    Hardware(String, bool),
    Online(bool),
    Not(Box<Question>),
    And(Box<Question>, Box<Question>),
    Or(Box<Question>, Box<Question>),
}

impl Question {
    fn answer(&self, robot: &Naive) -> bool {
        match self {
            Self::Tag(tag, wanted) => robot.tags.contains(tag) == *wanted,
            Self::TagBegins(start, wanted) => {
                robot.tags.iter().any(|tag| tag.starts_with(start.as_str())) == *wanted
            }
            Self::Label(key, value, wanted) => (robot.labels.get(key) == Some(value)) == *wanted,
            Self::LabelAtLeast(key, least) => robot
                .labels
                .get(key)
                .and_then(|value| value.parse::<i64>().ok())
                .is_some_and(|value| value >= *least),
            Self::Hardware(id, wanted) => robot.hardware.contains(id) == *wanted,
            Self::Online(wanted) => robot.online == *wanted,
            Self::Not(inner) => !inner.answer(robot),
            Self::And(a, b) => a.answer(robot) && b.answer(robot),
            Self::Or(a, b) => a.answer(robot) || b.answer(robot),
        }
    }

    /// With more parentheses and odder blanks and cases than needed. `and` and `or` inside each other lean on precedence
    /// where they can.
    fn text(&self) -> String {
        match self {
            Self::Tag(tag, true) => format!("\"{tag}\" In tags"),
            Self::Tag(tag, false) => format!("\"{tag}\"  NOT\tin tags"),
            Self::TagBegins(start, true) => format!("\"{start}*\" ~= tags"),
            Self::TagBegins(start, false) => format!("/^{start}/ !~= tags"),
            Self::Label(key, value, true) => format!("label[\"{key}\"]==\"{value}\""),
            Self::Label(key, value, false) => format!("attributes[\"label:{key}\"] != \"{value}\""),
            Self::LabelAtLeast(key, least) => format!("label[\"{key}\"] >= {least}"),
            Self::Hardware(id, true) => format!("hardware == \"{id}\""),
            Self::Hardware(id, false) => format!("hardware != \"{id}\""),
            Self::Online(online) => format!("online == {online}"),
            Self::Not(inner) => format!("not ( {} )", inner.text()),
            Self::And(a, b) => {
                let part = |part: &Self| match part {
                    Self::Or(..) => format!("({})", part.text()),
                    _ => part.text(),
                };
                format!("{} AND {}", part(a), part(b))
            }
            Self::Or(a, b) => format!("{}\nor {}", a.text(), b.text()),
        }
    }
}

fn questions() -> impl Strategy<Value = Question> {
    let tag = || "[ab]{1,2}";
    let leaf = prop_oneof![
        (tag(), any::<bool>()).prop_map(|(tag, wanted)| Question::Tag(tag, wanted)),
        (tag(), any::<bool>()).prop_map(|(tag, wanted)| Question::TagBegins(tag, wanted)),
        ("[kl]", "[0-3]", any::<bool>())
            .prop_map(|(key, value, wanted)| Question::Label(key, value, wanted)),
        ("[kl]", -1_i64..4).prop_map(|(key, least)| Question::LabelAtLeast(key, least)),
        ("[xyz]", any::<bool>()).prop_map(|(id, wanted)| Question::Hardware(id, wanted)),
        any::<bool>().prop_map(Question::Online),
    ];
    leaf.prop_recursive(4, 12, 2, |inner| {
        let pair = || (inner.clone(), inner.clone());
        prop_oneof![
            inner
                .clone()
                .prop_map(|inner| Question::Not(Box::new(inner))),
            pair().prop_map(|(a, b)| Question::And(Box::new(a), Box::new(b))),
            pair().prop_map(|(a, b)| Question::Or(Box::new(a), Box::new(b))),
        ]
    })
}

fn robots() -> impl Strategy<Value = Vec<Naive>> {
    let robot = (
        proptest::collection::btree_set("[ab]{1,2}", 0..3),
        proptest::collection::btree_map("[kl]", "([0-3]|x)", 0..3),
        proptest::collection::vec("[xyz]", 1..3),
        any::<bool>(),
    );
    let robot = robot.prop_map(|(tags, labels, hardware, online)| Naive {
        tags,
        labels,
        hardware,
        online,
    });
    proptest::collection::vec(robot, 1..6)
}

proptest! {
    #[test]
    fn a_naive_opinion_agrees(question in questions(), robots in robots()) {
        let mut fleet = Fleet::default();
        for (index, robot) in robots.iter().enumerate() {
            let ecus: Vec<_> = robot
                .hardware
                .iter()
                .enumerate()
                .map(|(place, id)| ecu(&format!("e{place}"), id, place == 0))
                .collect();
            let id = format!("r{index}");
            let key = fleet.robot(&id, &ecus);
            let tags: Vec<_> = robot.tags.iter().map(String::as_str).collect();
            let labels: Vec<_> = robot.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            edit(&mut fleet, &id, &tags, &labels);
            if robot.online {
                fleet.connect(key);
            }
        }
        let text = question.text();
        let expected: Vec<_> = (0..robots.len())
            .filter(|index| question.answer(&robots[*index]))
            .map(|index| format!("r{index}"))
            .collect();
        prop_assert_eq!(means(&fleet, &text), expected.clone(), "{}", text);
        // Written plainly it means the same, and the explanation agrees.
        let plain = selector(&text).to_string();
        prop_assert_eq!(means(&fleet, &plain), expected, "{}", plain);
        for robot in fleet.state.robots(None) {
            let explanation = selector(&text).explain(robot, fleet.state.now());
            prop_assert_eq!(explanation.member, selector(&text).matches(robot, fleet.state.now()));
            prop_assert!(!explanation.decided_by.is_empty());
        }
    }
}
