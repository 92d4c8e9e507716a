//! The selectors of the simulation's people, each with what it means said once more in Rust.

use rollcall_engine::{Robot, Selector};
use std::collections::{BTreeMap, BTreeSet};

/// What a naive eye sees of a robot.
pub(super) struct Facts<'a> {
    pub(super) tags: &'a BTreeSet<String>,
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) boards: Vec<String>,
    /// What only robots can say: presence, and what runs.
    pub(super) robot: &'a Robot,
}

type Meaning = fn(&Facts<'_>) -> bool;

pub(super) const TAGS: [&str; 3] = ["canary", "spare", "night-shift"];
pub(super) const SITES: [&str; 3] = ["kiel", "berlin", "ulm"];

const SELECTORS: [(&str, Meaning); 9] = [
    (r#""canary" in tags"#, |facts| facts.tags.contains("canary")),
    (r#""night*" ~= tags and "spare" not in tags"#, |facts| {
        facts.tags.contains("night-shift") && !facts.tags.contains("spare")
    }),
    (
        r#"label["site"] == "kiel" or label["site"] == "ulm" and online == true"#,
        |facts| match site(facts) {
            Some("kiel") => true,
            Some("ulm") => facts.robot.online(),
            _ => false,
        },
    ),
    (r#"attributes["label:site"] != "berlin""#, |facts| {
        site(facts) != Some("berlin")
    }),
    (r#"/^(berlin|ulm)$/ ~= label["site"]"#, |facts| {
        matches!(site(facts), Some("berlin" | "ulm"))
    }),
    (r#"label["row"] >= 3"#, |facts| {
        facts
            .labels
            .get("row")
            .is_some_and(|row| row != "1" && row != "2")
    }),
    (r#"not ( hardware == "motor" )"#, |facts| {
        facts.boards.iter().all(|board| board != "motor")
    }),
    (r#"version("compute-os") < "3.0.0""#, |facts| {
        facts.robot.ecus.iter().any(|ecu| {
            let runs = ecu.reported.as_ref();
            runs.is_some_and(|runs| runs.name == "compute-os" && !runs.version.starts_with('3'))
        })
    }),
    // Nobody.
    (r#""nobody" in tags"#, |_| false),
];

fn site<'a>(facts: &Facts<'a>) -> Option<&'a str> {
    facts.labels.get("site").map(String::as_str)
}

pub(super) fn all() -> Vec<Selector> {
    let parse = |(text, _): (&str, _)| text.parse().expect("selectors above follow the grammar");
    SELECTORS.into_iter().map(parse).collect()
}

/// What `selector` means, said once more.
pub(super) fn meaning(selector: &Selector) -> Meaning {
    let known = SELECTORS
        .into_iter()
        .find(|(text, _)| *text == selector.as_str());
    known.expect("people use the selectors above").1
}
