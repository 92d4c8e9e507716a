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

#[test]
fn the_conformance_tables_are_whole_and_name_tests_that_exist() {
    let broker = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(broker.join("../docs/mqtt-conformance.md")).unwrap();
    let mut text = String::new();
    sources(&broker.join("src"), &mut text);
    sources(&broker.join("tests"), &mut text);
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
                let exists = text.contains(&format!("fn {name}("));
                assert!(
                    exists,
                    "{heading}: {statement} names {name}, which is not there"
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
