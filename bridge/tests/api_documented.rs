//! docs/api.md names every code with which the API says no.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;

const DOCS: &str = include_str!("../../docs/api.md");
const REFUSALS: &str = include_str!("../engine/src/refusal.rs");
const WINDOWS: &str = include_str!("../engine/src/calendar/mod.rs");

/// What only robots are told: their reports are refused with these, never a request over HTTP.
const OF_REPORTS: [&str; 11] = [
    "robot_gone",
    "unknown_ecu",
    "older_boot",
    "old_counter",
    "boot_without_manifest",
    "unknown_operation",
    "progress_out_of_range",
    "not_introduced",
    "registered_as_edgehog",
    "bad_part_number",
    "device_full",
];

/// The words in double quotes behind `mark`.
fn words<'a>(text: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    let rest = text.split(mark).skip(1);
    rest.filter_map(|rest| rest.split('"').next())
}

#[test]
fn every_code_stands_in_the_table_of_errors() {
    let (_, table) = DOCS.split_once("| status | codes |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let documented: BTreeSet<&str> = table.split('`').skip(1).step_by(2).collect();
    let codes: Vec<_> = [REFUSALS, WINDOWS]
        .into_iter()
        .flat_map(|source| words(source.split_once("fn code(").unwrap().1, "=> \""))
        .collect();
    assert!(codes.len() > 60, "the codes were found: {}", codes.len());
    let missing: Vec<_> = codes
        .into_iter()
        .filter(|code| !OF_REPORTS.contains(code) && !documented.contains(code))
        .collect();
    assert!(missing.is_empty(), "not in docs/api.md: {missing:?}");
}
