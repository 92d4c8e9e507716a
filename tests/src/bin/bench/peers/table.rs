//! The comparison as a Markdown table.

use super::kind::Kind;
use super::rows::{BUSY, Row, spread};
use crate::report::number;
use anyhow::Result;
use std::fmt::Write as _;

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
            write!(text, " {} |", cell(row, kind))?;
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

/// Median and span of one server, or that it is broken.
fn cell(row: &Row, kind: Kind) -> String {
    let Some(outcomes) = row.rounds.get(&kind) else {
        return "–".to_owned();
    };
    let broken = outcomes.values().filter(|outcome| outcome.is_err()).count();
    let Some((least, median, most)) = spread(row.values(kind)) else {
        return "broken".to_owned();
    };
    let mark = if row.is_bounded(kind) { BOUNDED } else { "" };
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

#[cfg(test)]
mod tests {
    use super::super::kept::Found;
    use super::super::rows::{Better, Figure, Outcome, Sample, rows};
    use super::*;

    fn table_row(kind: Kind, outcomes: impl IntoIterator<Item = Outcome>) -> Vec<Row> {
        let rounds = (1..).zip(outcomes);
        rows(rounds.map(|(round, outcome)| Found {
            seconds: 0,
            round,
            kind,
            figure: Figure::new("fan-in", "messages/s", Better::More),
            outcome,
        }))
    }

    #[test]
    fn a_figure_that_the_generator_may_have_bounded_is_marked() {
        let table = |busy: [f64; 3]| {
            let rounds = busy.map(|busy| Ok(Sample::by(Some(busy), 5.0)));
            markdown(&[], &table_row(Kind::Rmqtt, rounds)).unwrap()
        };
        let marked = table([0.95, 0.5, 0.91]);
        assert!(marked.contains("5.00† (5.00–5.00)"), "{marked}");
        assert!(marked.contains("† A thread of the generator"), "{marked}");
        assert!(!table([0.95, 0.5, 0.89]).contains('†'));
    }

    #[test]
    fn what_is_broken_is_said_and_does_not_count() {
        let hangs = || Err("QoS 2 hangs".to_owned());
        let rows = table_row(Kind::Rumqttd, [hangs()]);
        assert_eq!(cell(&rows[0], Kind::Rumqttd), "broken");
        assert_eq!(cell(&rows[0], Kind::Rmqtt), "–");
        let rows = table_row(Kind::Rumqttd, [hangs(), Ok(Sample::of(2.0))]);
        assert_eq!(
            cell(&rows[0], Kind::Rumqttd),
            "2.00 (2.00–2.00), 1 of 2 broken"
        );
        assert_eq!(broken(&rows), ["rumqttd 0.20, fan-in: QoS 2 hangs"]);
    }
}
