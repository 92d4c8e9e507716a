//! What was found of each figure: medians, spans, ratios that are taken within a round, and marks that are reached or not.

use super::kept::Found;
use super::kind::Kind;
use crate::report::number;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
pub(crate) const BUSY: f64 = 0.9;

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
    pub(crate) figure: Figure,
    pub(crate) rounds: BTreeMap<Kind, BTreeMap<u32, Outcome>>,
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

    pub(crate) fn values(&self, kind: Kind) -> Vec<f64> {
        self.samples(kind).map(|sample| sample.value).collect()
    }

    /// Whether the generator had too much to do in half of the rounds or more.
    pub(crate) fn is_bounded(&self, kind: Kind) -> bool {
        let busy = self
            .samples(kind)
            .filter_map(|sample| sample.busiest_thread);
        spread(busy.collect()).is_some_and(|(_, median, _)| median >= BUSY)
    }

    fn median(&self, kind: Kind) -> Option<f64> {
        spread(self.values(kind)).map(|(_, median, _)| median)
    }

    /// Our values divided by the other's, round by round.
    pub(crate) fn ratio(&self, to: Kind) -> Option<(f64, f64, f64)> {
        let (ours, theirs) = (self.rounds.get(&Kind::Rollcall)?, self.rounds.get(&to)?);
        let ratios = ours.iter().filter_map(|(round, ours)| {
            let (ours, theirs) = (ours.as_ref().ok()?, theirs.get(round)?.as_ref().ok()?);
            (theirs.value > 0.0).then(|| ours.value / theirs.value)
        });
        spread(ratios.collect())
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
    pub(crate) fn judged(&self, rows: &[Self]) -> (String, Option<bool>) {
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
pub(crate) fn spread(mut values: Vec<f64>) -> Option<(f64, f64, f64)> {
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
    fn the_best_peer_is_the_one_that_the_figure_favours() {
        let of = |kind, value| found("x", kind, 1, Ok(Sample::of(value)));
        let found = [
            of(Kind::Rollcall, 1.0),
            of(Kind::Mosquitto, 3.0),
            of(Kind::Rmqtt, 2.0),
        ];
        let mut row = rows(found.into_iter()).remove(0);
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
}
