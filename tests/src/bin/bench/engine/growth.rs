//! Costs side by side for growing fleets.

use super::round::Round;
use crate::report::number;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;
use std::fmt;

/// What was measured, by the size of the fleet.
#[derive(Debug, Serialize)]
pub(crate) struct Growth {
    title: &'static str,
    sizes: Vec<Size>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Size {
    ecus: usize,
    rounds: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    unit: &'static str,
    /// The median of the rounds, for each size.
    values: Vec<f64>,
}

impl Growth {
    pub(super) const fn new(title: &'static str) -> Self {
        Self {
            title,
            sizes: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Adds a size with its rounds, which all have the same values in the same order.
    pub(super) fn add(&mut self, ecus: usize, rounds: Vec<Round>) {
        let count = rounds.len();
        self.sizes.push(Size {
            ecus,
            rounds: count,
        });
        let mut rounds = rounds.into_iter().map(|round| round.values);
        let Some(first) = rounds.next() else {
            return;
        };
        let others: Vec<_> = rounds.collect();
        for (index, (name, unit, value)) in first.into_iter().enumerate() {
            let others = others.iter().filter_map(|round| round.get(index));
            let values = others.map(|(_, _, value)| *value).chain([value]).collect();
            let value = median(values);
            match self.rows.get_mut(index) {
                Some(row) => row.values.push(value),
                None => self.rows.push(Row {
                    name,
                    unit,
                    values: vec![value],
                }),
            }
        }
    }

    fn table(&self, title: &str, cell: impl Fn(&Row, usize) -> String) -> Table {
        let mut table = Table::new();
        let sizes = self.sizes.iter();
        let sizes = sizes.map(|size| format!("{} ECUs", number(precise(size.ecus))));
        let header = [title.to_owned(), "unit".to_owned()].into_iter();
        table
            .load_style(presets::ASCII_MARKDOWN)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(header.chain(sizes));
        for row in &self.rows {
            let cells = (0..row.values.len()).map(|index| cell(row, index));
            let lead = [row.name.clone(), row.unit.to_owned()].into_iter();
            table.add_row(lead.chain(cells));
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.sizes.iter().map(|size| size.rounds.to_string());
        let rounds: Vec<_> = rounds.collect();
        writeln!(
            f,
            "\n{}; medians of {} rounds:",
            self.title,
            rounds.join(", ")
        )?;
        let value = |row: &Row, index: usize| number(row.values[index]);
        writeln!(f, "{}", self.table("cost", value))?;
        if self.sizes.len() < 2 {
            return Ok(());
        }
        writeln!(f, "\nThe same, as multiples of the smallest fleet:")?;
        let ratio = |row: &Row, index: usize| format!("{:.2}", row.values[index] / row.values[0]);
        writeln!(f, "{}", self.table("growth", ratio))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}

#[expect(clippy::cast_precision_loss, reason = "no fleet has 2^52 ECUs")]
const fn precise(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle_of_odd_and_even_counts() {
        assert_eq!(
            [1.0, 1.5],
            [median(vec![9.0, 1.0, 0.5]), median(vec![2.0, 1.0])]
        );
    }
}
