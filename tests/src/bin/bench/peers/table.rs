//! The comparison as a Markdown table: medians, spans, and ratios that are taken within a round.

use super::kind::Kind;
use crate::report::{Machine, number};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// What one round said of one server: a value, or why there is none.
pub(crate) type Outcome = Result<f64, String>;

/// Whether more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Better {
    More,
    Less,
}

/// What our ratio to somebody is to reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// Of our median to that of a peer.
    AtLeast(Kind, f64),
    AtMost(Kind, f64),
    /// Of our median to that of the best peer.
    AtLeastBest(f64),
    /// Of our median itself.
    AtMostValue(f64),
    /// Of our median to our median of another row.
    AtLeastRow(&'static str, f64),
    /// The greatest of our medians of all rows with this beginning, to the least of them.
    FlatWithin(&'static str, f64),
}

/// One figure of all servers and rounds.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) goal: Option<Goal>,
    pub(crate) rounds: BTreeMap<Kind, Vec<Outcome>>,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, better: Better) -> Self {
        Self {
            name: name.into(),
            unit,
            better,
            goal: None,
            rounds: BTreeMap::new(),
        }
    }

    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    pub(crate) fn add(&mut self, kind: Kind, outcome: Outcome) {
        self.rounds.entry(kind).or_default().push(outcome);
    }

    fn values(&self, kind: Kind) -> Vec<f64> {
        let outcomes = self.rounds.get(&kind).into_iter().flatten();
        outcomes
            .filter_map(|outcome| outcome.as_ref().ok().copied())
            .collect()
    }

    pub(crate) fn median(&self, kind: Kind) -> Option<f64> {
        spread(self.values(kind)).map(|(_, median, _)| median)
    }

    /// Our values divided by the other's, round by round.
    fn ratio(&self, to: Kind) -> Option<(f64, f64, f64)> {
        let (ours, theirs) = (self.rounds.get(&Kind::Rollcall)?, self.rounds.get(&to)?);
        let pairs = ours.iter().zip(theirs);
        let ratios = pairs.filter_map(|(ours, theirs)| {
            let (ours, theirs) = (ours.as_ref().ok()?, theirs.as_ref().ok()?);
            (*theirs > 0.0).then(|| ours / theirs)
        });
        spread(ratios.collect())
    }

    fn cell(&self, kind: Kind) -> String {
        let Some(outcomes) = self.rounds.get(&kind) else {
            return "–".to_owned();
        };
        let broken = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        let Some((least, median, most)) = spread(self.values(kind)) else {
            return "broken".to_owned();
        };
        let mut cell = format!("{} ({}–{})", number(median), number(least), number(most));
        if broken > 0 {
            let _ = write!(cell, ", {broken} of {} broken", outcomes.len());
        }
        cell
    }

    /// The best of the peers by its median.
    fn best(&self) -> Option<Kind> {
        let peers = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Rollcall);
        let with = peers.filter_map(|kind| Some((kind, self.median(kind)?)));
        let best = with.reduce(|best, next| {
            let wins = match self.better {
                Better::More => next.1 > best.1,
                Better::Less => next.1 < best.1,
            };
            if wins { next } else { best }
        });
        best.map(|(kind, _)| kind)
    }

    /// The mark in words, and whether it is reached, if that can be said.
    fn judged(&self, rows: &[Self]) -> (String, Option<bool>) {
        let Some(goal) = self.goal else {
            return (String::new(), None);
        };
        let ratio = |kind: Kind| self.ratio(kind).map(|(_, median, _)| median);
        let ours = self.median(Kind::Rollcall);
        match goal {
            Goal::AtLeast(kind, mark) => (
                format!(">= {mark} x {}", kind.name()),
                ratio(kind).map(|ratio| ratio >= mark),
            ),
            Goal::AtMost(kind, mark) => (
                format!("<= {mark} x {}", kind.name()),
                ratio(kind).map(|ratio| ratio <= mark),
            ),
            Goal::AtLeastBest(mark) => (
                format!(">= {mark} x the best"),
                self.best().and_then(ratio).map(|ratio| ratio >= mark),
            ),
            Goal::AtMostValue(mark) => (
                format!("<= {} {}", number(mark), self.unit),
                ours.map(|ours| ours <= mark),
            ),
            Goal::AtLeastRow(name, mark) => {
                let other = rows.iter().find(|row| row.name == name);
                let other = other.and_then(|row| row.median(Kind::Rollcall));
                let share = ours.zip(other).map(|(ours, other)| ours / other);
                let shown = share.map_or(String::new(), |share| format!(" (is {share:.2})"));
                (
                    format!(">= {mark} of {name}{shown}"),
                    share.map(|share| share >= mark),
                )
            }
            Goal::FlatWithin(beginning, mark) => {
                let family = rows.iter().filter(|row| row.name.starts_with(beginning));
                let medians = family.filter_map(|row| row.median(Kind::Rollcall));
                let spread = spread(medians.collect());
                let growth = spread.map(|(least, _, most)| most / least - 1.0);
                let shown = growth.map_or(String::new(), |g| format!(" (is {:.0} %)", g * 100.0));
                (
                    format!("flat within {:.0} %{shown}", mark * 100.0),
                    growth.map(|growth| growth <= mark),
                )
            }
        }
    }
}

/// Least, median and most; of an even number the mean of the two in the middle.
fn spread(mut values: Vec<f64>) -> Option<(f64, f64, f64)> {
    values.sort_by(f64::total_cmp);
    let (first, last) = (*values.first()?, *values.last()?);
    let middle = values.len() / 2;
    let median = if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    };
    Some((first, median, last))
}

/// The whole comparison.
pub(crate) fn markdown(machine: &Machine, notes: &[String], rows: &[Row]) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "{machine}.\n")?;
    for note in notes {
        writeln!(text, "- {note}")?;
    }
    write!(text, "\n| figure | unit |")?;
    for kind in Kind::ALL {
        write!(text, " {} |", kind.name())?;
    }
    writeln!(
        text,
        " ratio to mosquitto | to rumqttd | to rmqtt | mark | reached |"
    )?;
    writeln!(text, "|---|---|{}", "---|".repeat(Kind::ALL.len() + 5))?;
    for row in rows {
        write!(text, "| {} | {} |", row.name, row.unit)?;
        for kind in Kind::ALL {
            write!(text, " {} |", row.cell(kind))?;
        }
        for kind in [Kind::Mosquitto, Kind::Rumqttd, Kind::Rmqtt] {
            let ratio = row.ratio(kind);
            let shown = ratio.map_or("–".to_owned(), |(least, median, most)| {
                format!("{median:.2} ({least:.2}–{most:.2})")
            });
            write!(text, " {shown} |")?;
        }
        let (mark, reached) = row.judged(rows);
        let reached = match reached {
            None => "",
            Some(true) => "yes",
            Some(false) => "**no**",
        };
        writeln!(text, " {mark} | {reached} |")?;
    }
    let broken = broken(rows);
    if !broken.is_empty() {
        writeln!(
            text,
            "\nWhat was broken, and how it showed the first time:\n"
        )?;
        for line in broken {
            writeln!(text, "- {line}")?;
        }
    }
    Ok(text)
}

fn broken(rows: &[Row]) -> Vec<String> {
    let mut lines = Vec::new();
    for row in rows {
        for (kind, outcomes) in &row.rounds {
            let first = outcomes.iter().find_map(|outcome| outcome.as_ref().err());
            if let Some(why) = first {
                lines.push(format!("{}, {}: {why}", kind.name(), row.name));
            }
        }
    }
    lines
}

/// Where the table goes in a document.
const BEGIN: &str = "<!-- peers: written by `bench peers` -->";
const END: &str = "<!-- /peers -->";

/// Puts the text between the two marks of the document.
pub(crate) fn write_into(document: &Path, text: &str) -> Result<()> {
    let old = std::fs::read_to_string(document)
        .with_context(|| format!("{} cannot be read", document.display()))?;
    let new = replaced(&old, text)
        .with_context(|| format!("{} has no {BEGIN} before an {END}", document.display()))?;
    ensure!(!text.contains(END), "the table contains {END}");
    std::fs::write(document, new)
        .with_context(|| format!("{} cannot be written", document.display()))
}

fn replaced(old: &str, text: &str) -> Option<String> {
    let (before, rest) = old.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!(
        "{before}{BEGIN}\n\n{}\n\n{END}{after}",
        text.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: &[f64], theirs: &[f64]) -> Row {
        let mut row = Row::new("fan-in", "messages/s", Better::More);
        for value in ours {
            row.add(Kind::Rollcall, Ok(*value));
        }
        for value in theirs {
            row.add(Kind::Mosquitto, Ok(*value));
        }
        row
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The second round was slow for both.
        let row = row(&[150.0, 30.0, 160.0], &[100.0, 20.0, 100.0]);
        let (least, median, most) = row.ratio(Kind::Mosquitto).unwrap();
        assert_eq!((least, median, most), (1.5, 1.5, 1.6));
        let reached = |goal| row.clone().goal(goal).judged(&[]).1;
        assert_eq!(reached(Goal::AtLeast(Kind::Mosquitto, 1.5)), Some(true));
        assert_eq!(reached(Goal::AtLeastBest(1.51)), Some(false));
        assert_eq!(reached(Goal::AtMost(Kind::Mosquitto, 1.4)), Some(false));
        assert_eq!(reached(Goal::AtLeast(Kind::Rmqtt, 1.0)), None);
        assert_eq!(reached(Goal::AtMostValue(150.0)), Some(true));
    }

    #[test]
    fn the_best_peer_is_the_one_that_the_figure_favours() {
        let mut row = row(&[1.0], &[3.0]);
        row.add(Kind::Rmqtt, Ok(2.0));
        assert_eq!(row.best(), Some(Kind::Mosquitto));
        row.better = Better::Less;
        assert_eq!(row.best(), Some(Kind::Rmqtt));
    }

    #[test]
    fn rows_are_compared_with_each_other() {
        let named = |name: &str, value: f64| {
            let mut row = Row::new(name, "us", Better::Less);
            row.add(Kind::Rollcall, Ok(value));
            row
        };
        let rows = [
            named("CPU 100", 10.0),
            named("CPU 1,000", 12.0),
            named("x", 99.0),
        ];
        let judge = |row: &Row, goal| row.clone().goal(goal).judged(&rows).1;
        assert_eq!(judge(&rows[1], Goal::FlatWithin("CPU", 0.25)), Some(true));
        assert_eq!(judge(&rows[1], Goal::FlatWithin("CPU", 0.15)), Some(false));
        assert_eq!(
            judge(&rows[0], Goal::AtLeastRow("CPU 1,000", 0.8)),
            Some(true)
        );
        assert_eq!(judge(&rows[0], Goal::AtLeastRow("none", 0.8)), None);
    }

    #[test]
    fn what_is_broken_is_said_and_does_not_count() {
        let mut row = row(&[4.0], &[]);
        row.add(Kind::Rumqttd, Err("QoS 2 hangs".to_owned()));
        assert_eq!(row.cell(Kind::Rumqttd), "broken");
        assert_eq!(row.cell(Kind::Rmqtt), "–");
        row.add(Kind::Rumqttd, Ok(2.0));
        assert_eq!(row.cell(Kind::Rumqttd), "2.00 (2.00–2.00), 1 of 2 broken");
        assert_eq!(broken(&[row]), ["rumqttd 0.20, fan-in: QoS 2 hangs"]);
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let old = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = replaced(&old, "table").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\n\ntable\n\n{END}\nb\n"));
        assert_eq!(replaced(&new, "table").unwrap(), new);
        assert_eq!(replaced("nothing", "table"), None);
    }
}
