//! The comparison as a Markdown table: medians, spans, and ratios that are taken within a round.

use super::kept::Found;
use super::kind::Kind;
use crate::report::number;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// What one round said of one server: a value, or why there is none.
pub(crate) type Outcome = Result<Sample, String>;

/// A value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) value: f64,
    /// Of the time that it was taken in: how much the busiest thread of the generator had to do, where that is known
    /// and may bound the value.
    busiest_thread: Option<f64>,
}

impl Sample {
    pub(crate) fn of(value: f64) -> Self {
        Self::by(None, value)
    }

    /// By a generator that was so busy.
    pub(crate) fn by(busiest_thread: Option<f64>, value: f64) -> Self {
        Self {
            value,
            busiest_thread,
        }
    }
}

/// Of its time: a thread of the generator that has so much to do may be what bounds a figure.
const BUSY: f64 = 0.9;

/// Whether more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Better {
    More,
    Less,
}

/// What our ratio to somebody is to reach.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Goal {
    /// Of our median to that of a peer.
    AtLeast(Kind, f64),
    AtMost(Kind, f64),
    /// Of our median to that of the best peer.
    AtLeastBest(f64),
    /// Of our median itself.
    AtMostValue(f64),
    /// Of our median to our median of another row.
    AtLeastRow(String, f64),
    /// The greatest of our medians of all rows with this beginning, to the least of them.
    FlatWithin(String, f64),
}

/// What is measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: String,
    better: Better,
    goal: Option<Goal>,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, unit: &str, better: Better) -> Self {
        Self {
            name: name.into(),
            unit: unit.to_owned(),
            better,
            goal: None,
        }
    }

    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }
}

/// One figure of all servers and rounds.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    figure: Figure,
    rounds: BTreeMap<Kind, BTreeMap<u32, Outcome>>,
}

/// A row for each figure, in the order in which they were found first.
pub(crate) fn rows(all: impl Iterator<Item = Found>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for Found {
        round,
        kind,
        figure,
        outcome,
        ..
    } in all
    {
        let place = rows.iter().position(|row| row.figure.name == figure.name);
        let place = place.unwrap_or_else(|| {
            rows.push(Row {
                figure,
                rounds: BTreeMap::new(),
            });
            rows.len() - 1
        });
        let rounds = rows[place].rounds.entry(kind).or_default();
        rounds.insert(round, outcome);
    }
    rows
}

impl Row {
    fn samples(&self, kind: Kind) -> impl Iterator<Item = Sample> {
        let outcomes = self
            .rounds
            .get(&kind)
            .into_iter()
            .flat_map(BTreeMap::values);
        outcomes.filter_map(|outcome| outcome.as_ref().ok().copied())
    }

    fn values(&self, kind: Kind) -> Vec<f64> {
        self.samples(kind).map(|sample| sample.value).collect()
    }

    /// Whether the generator had too much to do in half of the rounds or more.
    fn is_bounded(&self, kind: Kind) -> bool {
        let busy = self
            .samples(kind)
            .filter_map(|sample| sample.busiest_thread);
        spread(busy.collect()).is_some_and(|(_, median, _)| median >= BUSY)
    }

    pub(crate) fn median(&self, kind: Kind) -> Option<f64> {
        spread(self.values(kind)).map(|(_, median, _)| median)
    }

    /// Our values divided by the other's, round by round.
    fn ratio(&self, to: Kind) -> Option<(f64, f64, f64)> {
        let (ours, theirs) = (self.rounds.get(&Kind::Rollcall)?, self.rounds.get(&to)?);
        let ratios = ours.iter().filter_map(|(round, ours)| {
            let (ours, theirs) = (ours.as_ref().ok()?, theirs.get(round)?.as_ref().ok()?);
            (theirs.value > 0.0).then(|| ours.value / theirs.value)
        });
        spread(ratios.collect())
    }

    fn cell(&self, kind: Kind) -> String {
        let Some(outcomes) = self.rounds.get(&kind) else {
            return "–".to_owned();
        };
        let broken = outcomes.values().filter(|outcome| outcome.is_err()).count();
        let Some((least, median, most)) = spread(self.values(kind)) else {
            return "broken".to_owned();
        };
        let mark = if self.is_bounded(kind) { BOUNDED } else { "" };
        let mut cell = format!(
            "{}{mark} ({}–{})",
            number(median),
            number(least),
            number(most)
        );
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
            let wins = match self.figure.better {
                Better::More => next.1 > best.1,
                Better::Less => next.1 < best.1,
            };
            if wins { next } else { best }
        });
        best.map(|(kind, _)| kind)
    }

    /// The mark in words, and whether it is reached, if that can be said.
    fn judged(&self, rows: &[Self]) -> (String, Option<bool>) {
        let Some(goal) = &self.figure.goal else {
            return (String::new(), None);
        };
        let ratio = |kind: Kind| self.ratio(kind).map(|(_, median, _)| median);
        let ours = self.median(Kind::Rollcall);
        match goal {
            Goal::AtLeast(kind, mark) => (
                format!(">= {mark} x {}", kind.name()),
                ratio(*kind).map(|ratio| ratio >= *mark),
            ),
            Goal::AtMost(kind, mark) => (
                format!("<= {mark} x {}", kind.name()),
                ratio(*kind).map(|ratio| ratio <= *mark),
            ),
            Goal::AtLeastBest(mark) => (
                format!(">= {mark} x the best"),
                self.best().and_then(ratio).map(|ratio| ratio >= *mark),
            ),
            Goal::AtMostValue(mark) => (
                format!("<= {} {}", number(*mark), self.figure.unit),
                ours.map(|ours| ours <= *mark),
            ),
            Goal::AtLeastRow(name, mark) => {
                let other = rows.iter().find(|row| &row.figure.name == name);
                let other = other.and_then(|row| row.median(Kind::Rollcall));
                let share = ours.zip(other).map(|(ours, other)| ours / other);
                let shown = share.map_or(String::new(), |share| format!(" (is {share:.2})"));
                (
                    format!(">= {mark} of {name}{shown}"),
                    share.map(|share| share >= *mark),
                )
            }
            Goal::FlatWithin(beginning, mark) => {
                let family = rows
                    .iter()
                    .filter(|row| row.figure.name.starts_with(beginning));
                let medians = family.filter_map(|row| row.median(Kind::Rollcall));
                let spread = spread(medians.collect());
                let growth = spread.map(|(least, _, most)| most / least - 1.0);
                let shown = growth.map_or(String::new(), |g| format!(" (is {:.0} %)", g * 100.0));
                (
                    format!("flat within {:.0} %{shown}", mark * 100.0),
                    growth.map(|growth| growth <= *mark),
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

/// Beside a figure that the generator may have bounded.
const BOUNDED: &str = "†";

/// The whole comparison.
pub(crate) fn markdown(notes: &[String], rows: &[Row]) -> Result<String> {
    let mut text = String::new();
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
        write!(text, "| {} | {} |", row.figure.name, row.figure.unit)?;
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
    let kinds = || Kind::ALL.into_iter();
    if rows
        .iter()
        .any(|row| kinds().any(|kind| row.is_bounded(kind)))
    {
        writeln!(
            text,
            "\n{BOUNDED} A thread of the generator ran, or waited for a core, for {:.0} % of the time or more: the figure may \
             be bounded by the generator, or by the cores that it shares with the server.",
            BUSY * 100.0
        )?;
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
            let first = outcomes.values().find_map(|outcome| outcome.as_ref().err());
            if let Some(why) = first {
                lines.push(format!("{}, {}: {why}", kind.name(), row.figure.name));
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

    fn found(name: &str, kind: Kind, round: u32, outcome: Outcome) -> Found {
        Found {
            seconds: 0,
            round,
            kind,
            figure: Figure::new(name, "messages/s", Better::More),
            outcome,
        }
    }

    fn row(ours: &[f64], theirs: &[f64]) -> Row {
        let rounds = |kind, values: &[f64]| {
            let rounds = (1..).zip(values.to_vec());
            rounds.map(move |(round, value)| found("fan-in", kind, round, Ok(Sample::of(value))))
        };
        let all = rounds(Kind::Rollcall, ours).chain(rounds(Kind::Mosquitto, theirs));
        rows(all).remove(0)
    }

    fn add(row: &mut Row, kind: Kind, round: u32, outcome: Outcome) {
        row.rounds.entry(kind).or_default().insert(round, outcome);
    }

    fn judge(row: &Row, goal: Goal, rows: &[Row]) -> Option<bool> {
        let mut row = row.clone();
        row.figure.goal = Some(goal);
        row.judged(rows).1
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The second round was slow for both.
        let row = row(&[150.0, 30.0, 160.0], &[100.0, 20.0, 100.0]);
        let (least, median, most) = row.ratio(Kind::Mosquitto).unwrap();
        assert_eq!((least, median, most), (1.5, 1.5, 1.6));
        let reached = |goal| judge(&row, goal, &[]);
        assert_eq!(reached(Goal::AtLeast(Kind::Mosquitto, 1.5)), Some(true));
        assert_eq!(reached(Goal::AtLeastBest(1.51)), Some(false));
        assert_eq!(reached(Goal::AtMost(Kind::Mosquitto, 1.4)), Some(false));
        assert_eq!(reached(Goal::AtLeast(Kind::Rmqtt, 1.0)), None);
        assert_eq!(reached(Goal::AtMostValue(150.0)), Some(true));
    }

    #[test]
    fn a_round_that_one_of_them_was_not_in_has_no_ratio() {
        let of = |value| Ok(Sample::of(value));
        let row = rows(
            [
                found("x", Kind::Rollcall, 1, of(8.0)),
                found("x", Kind::Rollcall, 2, of(2.0)),
                found("x", Kind::Mosquitto, 2, of(1.0)),
            ]
            .into_iter(),
        );
        assert_eq!(row[0].ratio(Kind::Mosquitto), Some((2.0, 2.0, 2.0)));
    }

    #[test]
    fn a_figure_that_the_generator_may_have_bounded_is_marked() {
        let table = |busy: [f64; 3]| {
            let rounds = (1..).zip(busy).map(|(round, busy)| {
                found("x", Kind::Rmqtt, round, Ok(Sample::by(Some(busy), 5.0)))
            });
            markdown(&[], &rows(rounds)).unwrap()
        };
        let marked = table([0.95, 0.5, 0.91]);
        assert!(marked.contains("5.00† (5.00–5.00)"), "{marked}");
        assert!(marked.contains("† A thread of the generator"), "{marked}");
        assert!(!table([0.95, 0.5, 0.89]).contains('†'));
    }

    #[test]
    fn the_best_peer_is_the_one_that_the_figure_favours() {
        let mut row = row(&[1.0], &[3.0]);
        add(&mut row, Kind::Rmqtt, 1, Ok(Sample::of(2.0)));
        assert_eq!(row.best(), Some(Kind::Mosquitto));
        row.figure.better = Better::Less;
        assert_eq!(row.best(), Some(Kind::Rmqtt));
    }

    #[test]
    fn rows_are_compared_with_each_other() {
        let named = |name: &str, value| found(name, Kind::Rollcall, 1, Ok(Sample::of(value)));
        let rows = rows(
            [
                named("CPU 100", 10.0),
                named("CPU 1,000", 12.0),
                named("x", 99.0),
            ]
            .into_iter(),
        );
        let judge = |row, goal| judge(row, goal, &rows);
        let flat = |mark| Goal::FlatWithin("CPU".to_owned(), mark);
        let of = |name: &str| Goal::AtLeastRow(name.to_owned(), 0.8);
        assert_eq!(judge(&rows[1], flat(0.25)), Some(true));
        assert_eq!(judge(&rows[1], flat(0.15)), Some(false));
        assert_eq!(judge(&rows[0], of("CPU 1,000")), Some(true));
        assert_eq!(judge(&rows[0], of("none")), None);
    }

    #[test]
    fn what_is_broken_is_said_and_does_not_count() {
        let mut row = row(&[4.0], &[]);
        add(&mut row, Kind::Rumqttd, 1, Err("QoS 2 hangs".to_owned()));
        assert_eq!(row.cell(Kind::Rumqttd), "broken");
        assert_eq!(row.cell(Kind::Rmqtt), "–");
        add(&mut row, Kind::Rumqttd, 2, Ok(Sample::of(2.0)));
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
