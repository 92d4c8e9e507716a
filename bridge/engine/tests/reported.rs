//! Selectors over what Edgehog devices reported (device-contract 4.2: attribute filters, implemented).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::Fleet;
use fleet::device::*;
use rollcall_engine::*;

fn selector(text: &str) -> Selector {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn says(fleet: &mut Fleet, robot: RobotKey, path: &str, content: impl Into<Option<Content>>) {
    let value = DeviceValue {
        path: path.to_owned(),
        content: content.into(),
        property: !path.starts_with("own.Stream"),
        meaning: None,
    };
    fleet.report(robot, Report::Value(value)).unwrap();
}

fn text(text: &str) -> Content {
    Value::Text(text.into()).into()
}

fn document(parts: &[(Option<&str>, Value)]) -> Content {
    let part = |(key, value): &(Option<&str>, Value)| Part {
        key: key.map(Into::into),
        value: value.clone(),
    };
    Content::Document(Box::new(Document {
        payload: [7; 9].into(),
        parts: parts.iter().map(part).collect(),
    }))
}

/// One device with a value of every kind, and one that has said nothing.
fn pair() -> (Fleet, RobotKey) {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(2);
    start(&mut fleet, robots[0], vec![]);
    for (path, content) in [
        ("own.Os/name", text("linux")),
        ("own.Os/release", text("22")),
        ("own.Os/cores", Value::Integer(4).into()),
        ("own.Os/memory", Value::LongInteger(1 << 40).into()),
        ("own.Os/load", Value::Double(0.5).into()),
        ("own.Os/secure", Value::Boolean(true).into()),
        ("own.Os/built", Value::DateTime(-1_000).into()),
        ("own.Os/key", Value::Blob([1, 2, 3].into()).into()),
        (
            "own.Os/list",
            document(&[(None, Value::Integer(5)), (None, Value::Integer(9))]),
        ),
        (
            "own.Stream/slot/1",
            document(&[
                (Some("level"), Value::Double(80.5)),
                (Some("state"), Value::Text("charging".into())),
            ]),
        ),
    ] {
        says(&mut fleet, robots[0], path, content);
    }
    (fleet, robots[0])
}

fn means(fleet: &Fleet, text: &str) -> bool {
    let selector = selector(text);
    let meant: Vec<_> = fleet.state.selected_by(&selector, None).collect();
    assert!(meant.len() <= 1, "{text} means {} robots", meant.len());
    !meant.is_empty()
}

#[test]
fn every_type_is_compared_as_what_it_is() {
    let (fleet, _) = pair();
    for (filter, expected) in [
        (r#"reported["own.Os/name"] == "linux""#, true),
        (r#"attributes["Reported:own.Os/name"] == "linux""#, true),
        (r#"reported["own.Os/name"] == "Linux""#, false),
        (r#""lin*" ~= reported["own.Os/name"]"#, true),
        (r#"/^nux/ ~= reported["own.Os/name"]"#, false),
        (r#""linux" in reported["own.Os/name"]"#, true),
        // A text counts as a number when it reads as one.
        (r#"reported["own.Os/release"] > 9"#, true),
        (r#"reported["own.Os/release"] > "9""#, false),
        (r#"reported["own.Os/cores"] == 4"#, true),
        (r#"reported["own.Os/cores"] == 4.0"#, true),
        (r#"reported["own.Os/cores"] >= 4.5"#, false),
        // A number is no text.
        (r#"reported["own.Os/cores"] == "4""#, false),
        (r#""4" ~= reported["own.Os/cores"]"#, false),
        (r#"reported["own.Os/memory"] > 1099511627775"#, true),
        (r#"reported["own.Os/memory"] > 1099511627776"#, false),
        (r#"reported["own.Os/load"] < 1"#, true),
        (r#"reported["own.Os/load"] < 0.5"#, false),
        (r#"reported["own.Os/load"] == 0.5"#, true),
        (r#"reported["own.Os/secure"] == true"#, true),
        (r#"reported["own.Os/secure"] == false"#, false),
        (r#"reported["own.Os/secure"] == 1"#, false),
        (
            r#"reported["own.Os/built"] == datetime("1969-12-31T23:59:59Z")"#,
            true,
        ),
        (r#"reported["own.Os/built"] < now()"#, true),
        (r#"reported["own.Os/built"] == -1000"#, false),
        (r#"reported["own.Os/key"] == binaryblob("AQID")"#, true),
        (r#"reported["own.Os/key"] == "AQID""#, false),
        // One value of a list is enough.
        (r#"9 in reported["own.Os/list"]"#, true),
        (r#"reported["own.Os/list"] > 8"#, true),
        (r#"7 in reported["own.Os/list"]"#, false),
        // A key of an object is a path.
        (r#"reported["own.Stream/slot/1/level"] > 80"#, true),
        (r#"reported["own.Stream/slot/1/level"] > 81"#, false),
        (r#"reported["own.Stream/slot/1/state"] == "charging""#, true),
        (r#"reported["own.Stream/slot/1"] == "charging""#, false),
        (r#"reported["own.Os/name/x"] == "linux""#, false),
        (r#"reported["own.Os/nam"] == "linux""#, false),
    ] {
        assert_eq!(means(&fleet, filter), expected, "{filter}");
    }
    // Whoever has said nothing passes only what denies.
    let other = selector(r#"reported["own.Os/name"] != "linux""#);
    let meant: Vec<_> = fleet.state.selected_by(&other, None).collect();
    assert_eq!(meant[0].id.as_str(), "r2");
    assert_eq!(meant.len(), 1);
}

#[test]
fn a_group_follows_what_the_device_says_next() {
    let (mut fleet, robot) = pair();
    let linux = r#"reported["own.Os/name"] == "linux""#;
    says(&mut fleet, robot, "own.Os/name", text("windows"));
    assert!(!means(&fleet, linux));
    says(&mut fleet, robot, "own.Os/name", text("linux"));
    assert!(means(&fleet, linux));
    says(&mut fleet, robot, "own.Os/name", None);
    assert!(!means(&fleet, linux), "the property was removed");
}

/// Properties come one by one: a name without a version is nothing that runs.
#[test]
fn an_image_is_one_when_its_version_is_known() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    let said = |property| fleet::base_image_property(property, "os");
    start(&mut fleet, robot, vec![said(BaseImageProperty::Name)]);
    assert!(!means(&fleet, r#""*" ~= image"#));
    assert!(!means(&fleet, r#""*" ~= version"#));
    fleet.report(robot, version("1.2.0")).unwrap();
    assert!(means(&fleet, r#"image == "os@1.2.0""#));
    assert!(means(&fleet, r#"version("os") < "1.10.0""#));
}

/// A device need not name its image, and an image without a name is not written as `@1.2.0`.
#[test]
fn an_image_without_a_name_is_no_image_but_has_a_version() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    start(&mut fleet, robot, vec![version("1.2.0")]);
    assert!(!means(&fleet, r#""*" ~= image"#));
    assert!(means(&fleet, r#"version == "1.2.0""#));
}

#[test]
fn an_explanation_shows_what_the_device_reported() {
    let (fleet, robot) = pair();
    let robot = fleet.state.robot(robot).unwrap();
    for (filter, found) in [
        (r#"reported["own.Os/name"] == "mac""#, &["linux"][..]),
        (r#"reported["own.Os/cores"] > 8"#, &["4"]),
        (r#"reported["own.Os/load"] > 8"#, &["0.5"]),
        (r#"reported["own.Os/secure"] == false"#, &["true"]),
        (
            r#"reported["own.Os/built"] > now()"#,
            &["1969-12-31T23:59:59Z"],
        ),
        (r#"reported["own.Os/key"] == binaryblob("AQIE")"#, &["AQID"]),
        (r#"reported["own.Os/list"] > 9"#, &["5", "9"]),
        (r#"reported["own.Os/none"] > 9"#, &[]),
    ] {
        let explained = selector(filter).explain(robot, fleet.state.now());
        assert!(!explained.member, "{filter}");
        assert_eq!(explained.decided_by[0].filter, filter);
        assert_eq!(explained.decided_by[0].found, found, "{filter}");
    }
}

/// A list of a few kilobytes takes many times that in memory, so its parts count for the bound.
#[test]
fn the_parts_of_a_document_count_for_what_is_kept() {
    let (mut fleet, robot) = pair();
    let many = |n: usize| DeviceValue {
        path: "own.Os/many".to_owned(),
        content: Some(document(&vec![(None, Value::Boolean(true)); n])),
        property: true,
        meaning: None,
    };
    let fits = MAX_DEVICE_BYTES / (size_of::<Part>() + 8) - 100;
    fleet.report(robot, Report::Value(many(fits))).unwrap();
    let refused = fleet.report(robot, Report::Value(many(fits + 100)));
    assert_eq!(refused, Err(Refusal::DeviceFull));
}

#[test]
fn a_path_that_is_none_is_shown_where_it_stands() {
    for (text, column) in [
        (r#"reported["name"] == 1"#, 10),
        (r#"reported["own.Os/"] == 1"#, 10),
        (r#"reported["/name"] == 1"#, 10),
        (r#"reported["own.Os//name"] == 1"#, 10),
        (r#"reported[""] == 1"#, 10),
        (r#"attributes["reported:name"] == 1"#, 12),
    ] {
        let error = text.parse::<Selector>().unwrap_err();
        assert_eq!(error.column, column, "{text}: {error}");
        assert!(
            error.to_string().contains("an interface and a path"),
            "{error}"
        );
    }
    let bare = "reported == 1".parse::<Selector>().unwrap_err();
    assert_eq!(bare.column, 10, "{bare}");
}
