//! `docs/mqtt-conformance.md` against the sources: a table that names tests which are not there proves nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// How many statements each standard has.
const TABLES: [(&str, usize); 2] = [("## MQTT 5.0", 251), ("## MQTT 3.1.1", 141)];

fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// Statement and what tests it, of every row below a heading.
fn rows<'a>(document: &'a str, heading: &str) -> Vec<(&'a str, &'a str)> {
    let (_, rest) = document.split_once(heading).expect("the heading is there");
    let table = rest.split("\n## ").next().unwrap();
    let mut rows = Vec::new();
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line
            .split(" | ")
            .map(|cell| cell.trim_matches(['|', ' ']))
            .collect();
        if let [statement, short, test] = cells[..]
            && statement.starts_with(|first: char| first.is_ascii_digit())
        {
            assert!(!short.is_empty() && !test.is_empty(), "{line}");
            rows.push((statement, test));
        }
    }
    rows
}

/// The tests that a cell names.
fn tests(cell: &str) -> impl Iterator<Item = &str> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.filter(|name| name.contains('_'))
}

/// The functions that are run as tests: right above each is an attribute that says so, and none says to leave it out.
/// Properties have theirs within `proptest!`.
fn functions_that_run(text: &str) -> BTreeSet<&str> {
    let lines: Vec<_> = text.lines().map(str::trim_start).collect();
    let mut names = BTreeSet::new();
    for (at, line) in lines.iter().enumerate() {
        let declared = line.strip_prefix("async ").unwrap_or(line);
        let Some((name, _)) = declared
            .strip_prefix("fn ")
            .and_then(|rest| rest.split_once('('))
        else {
            continue;
        };
        let above = lines[..at].iter().rev();
        let attributes: Vec<_> = above.take_while(|line| line.starts_with("#[")).collect();
        let is_test = |line: &&&str| **line == "#[test]" || line.starts_with("#[tokio::test");
        if attributes.iter().any(is_test)
            && !attributes.iter().any(|line| line.starts_with("#[ignore"))
        {
            names.insert(name);
        }
    }
    names
}

#[test]
fn only_functions_that_run_as_tests_count() {
    let text = "#[test]
fn plain() {}
    #[tokio::test(flavor = \"multi_thread\", worker_threads = 4)]
    async fn threaded() {}
fn helper() {}
#[test]
#[ignore]
fn left_out() {}
// #[test]
fn commented() {}
#[test]
fn over(
    two: u8,
) {}
";
    let found: Vec<_> = functions_that_run(text).into_iter().collect();
    assert_eq!(found, ["over", "plain", "threaded"]);
}

#[test]
fn the_conformance_tables_are_whole_and_name_tests_that_exist() {
    let broker = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(broker.join("../docs/mqtt-conformance.md")).unwrap();
    let mut text = String::new();
    sources(&broker.join("src"), &mut text);
    sources(&broker.join("tests"), &mut text);
    let there = functions_that_run(&text);
    for (heading, statements) in TABLES {
        let rows = rows(&document, heading);
        let mut numbers: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
        for (statement, test) in &rows {
            let (section, number) = statement.split_once('-').unwrap();
            let is_new = numbers
                .entry(section)
                .or_default()
                .insert(number.parse().unwrap());
            assert!(is_new, "{heading}: {statement} is there twice");
            let named = tests(test).count();
            let applies = !test.starts_with("Client") && !test.starts_with("does not");
            assert!(named > 0 || !applies, "{heading}: {statement} has no test");
            for name in tests(test) {
                assert!(
                    there.contains(name),
                    "{heading}: {statement} names {name}, which is no test"
                );
            }
        }
        for (section, found) in numbers {
            // There is no 2.2.1-1.
            let start = if section == "2.2.1" { 2 } else { 1 };
            let length = u32::try_from(found.len()).unwrap();
            let whole: BTreeSet<u32> = (start..start + length).collect();
            assert_eq!(found, whole, "{heading}: numbers of {section}");
        }
        assert_eq!(rows.len(), statements, "{heading}");
    }
}
