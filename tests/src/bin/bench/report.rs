//! Figures with the conditions that they hold under, as a table for people and as JSON.

use crate::engine::Growth;
use anyhow::{Context, Result};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::{Serialize, Serializer};
use std::fmt;

/// What a value is to reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mark {
    AtLeast(f64),
    AtMost(f64),
}

impl Mark {
    fn is_passed_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(mark) => value >= mark,
            Self::AtMost(mark) => value <= mark,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(mark) => write!(f, ">= {}", number(*mark)),
            Self::AtMost(mark) => write!(f, "<= {}", number(*mark)),
        }
    }
}

/// Something that was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) conditions: String,
    #[serde(serialize_with = "as_text")]
    pub(crate) mark: Option<Mark>,
    pub(crate) passed: Option<bool>,
}

fn as_text<S: Serializer>(mark: &Option<Mark>, serializer: S) -> Result<S::Ok, S::Error> {
    mark.map(|mark| mark.to_string()).serialize(serializer)
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            conditions: String::new(),
            mark: None,
            passed: None,
        }
    }

    pub(crate) fn under(mut self, conditions: impl Into<String>) -> Self {
        self.conditions = conditions.into();
        self
    }

    pub(crate) fn marked(mut self, mark: Mark) -> Self {
        self.mark = Some(mark);
        self.passed = Some(mark.is_passed_by(self.value));
        self
    }
}

/// Where the figures were taken: they mean little elsewhere.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    kernel: String,
    /// One minute's load average before the first measurement: what others do to the figures.
    load_before: String,
    /// Where the server's data lies; on a filesystem in memory "durable" means nothing.
    data: String,
}

impl Machine {
    pub(crate) fn here() -> Result<Self> {
        let loads = std::fs::read_to_string("/proc/loadavg").context("no load average")?;
        let directory = std::env::temp_dir();
        let in_memory =
            rustix::fs::statfs(&directory).is_ok_and(|found| found.f_type == TMPFS_MAGIC);
        let kind = if in_memory {
            "in memory, so commits cost nothing: set TMPDIR to a disk"
        } else {
            "on disk"
        };
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            load_before: loads.split(' ').next().unwrap_or_default().to_owned(),
            data: format!("{} ({kind})", directory.display()),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cores,
            kernel,
            load_before,
            data,
        } = self;
        write!(
            f,
            "{cores} cores, Linux {kernel}, load {load_before} before, data in {data}"
        )
    }
}

const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;

/// All that a run has to tell.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    pub(crate) figures: Vec<Figure>,
    /// How the engine's costs grow, without gates and with them; nothing if that was not measured.
    pub(crate) engine: Vec<Growth>,
    /// Checks that did not hold; the figures of their measurement are left out.
    pub(crate) failures: Vec<String>,
}

impl Report {
    pub(crate) fn new(machine: Machine) -> Self {
        Self {
            machine,
            figures: Vec::new(),
            engine: Vec::new(),
            failures: Vec::new(),
        }
    }
}

impl Report {
    fn table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_style(presets::ASCII_MARKDOWN)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(["name", "value", "unit", "mark", "passed", "conditions"]);
        for figure in &self.figures {
            let mark = figure.mark.map(|mark| mark.to_string()).unwrap_or_default();
            let passed = match figure.passed {
                None => "",
                Some(true) => "yes",
                Some(false) => "NO",
            };
            table.add_row([
                &figure.name,
                &number(figure.value),
                figure.unit,
                &mark,
                passed,
                &figure.conditions,
            ]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        if !self.figures.is_empty() {
            writeln!(f, "{}", self.table())?;
        }
        for growth in &self.engine {
            write!(f, "{growth}")?;
        }
        for failure in &self.failures {
            writeln!(f, "FAILED CHECK: {failure}")?;
        }
        Ok(())
    }
}

/// With as many digits as say something: the rates are good to a few percent.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => group(value),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn group(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_passes_only_on_the_right_side_of_its_mark() {
        let passed = |value, mark| Figure::new("", value, "").marked(mark).passed;
        assert_eq!(passed(50_000.0, Mark::AtLeast(50_000.0)), Some(true));
        assert_eq!(passed(49_999.0, Mark::AtLeast(50_000.0)), Some(false));
        assert_eq!(passed(1.0, Mark::AtMost(1.0)), Some(true));
        assert_eq!(passed(1.1, Mark::AtMost(1.0)), Some(false));
        assert_eq!(Figure::new("", 1.0, "").passed, None);
    }

    #[test]
    fn numbers_keep_the_digits_that_say_something() {
        let shown = [1_234_567.0, 1_000.0, 999.4, 42.25, 1.5, 0.0123].map(number);
        assert_eq!(
            shown,
            ["1,234,567", "1,000", "999", "42.2", "1.50", "0.012"]
        );
    }
}
