//! What is printed: one JSON document per command for programs, tables for people.

use super::exit::{Exit, Failure};
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

/// Standard output cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written")]
pub(super) struct Closed(#[from] io::Error);

/// Where results go.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) json: bool,
    /// The reader has gone: whatever else there is to say, nobody listens.
    closed: bool,
}

impl Output {
    pub(super) const fn new(json: bool) -> Self {
        Self {
            json,
            closed: false,
        }
    }

    fn write(&mut self, text: &str) -> Result<(), Closed> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // `rollcall robot ls | head` ends well.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => Ok(other?),
        }
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// One JSON document on one line.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), Closed> {
        let text = serde_json::to_string(value).map_err(io::Error::other)?;
        self.write(&format!("{text}\n"))
    }

    pub(super) fn line(&mut self, text: impl Display) -> Result<(), Closed> {
        self.write(&format!("{text}\n"))
    }

    /// A text that ends its lines itself.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Closed> {
        self.write(text)
    }

    pub(super) fn table(&mut self, mut table: Table) -> Result<(), Closed> {
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let text = table.to_string();
        // Cells are padded to their columns; nobody wants the spaces at the end.
        for line in text.lines() {
            self.write(&format!("{}\n", line.trim_end()))?;
        }
        Ok(())
    }

    /// Prints why a command ended early, and returns how.
    pub(super) fn fail(&mut self, failure: &Failure) -> Exit {
        let mut text = if self.json {
            serde_json::json!({ "error": failure.error }).to_string()
        } else {
            format!("error: {}", failure.error.message)
        };
        if !self.json
            && let Some(hint) = &failure.error.hint
        {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        note(text);
        failure.exit
    }
}

/// Says something beside the data.
pub(super) fn note(text: impl Display) {
    // Where standard error is closed, nobody listens.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A table without lines, its heads in capitals.
pub(super) fn table<const N: usize>(heads: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heads.map(str::to_uppercase));
    table
}

/// A table of names and values, for one thing.
pub(super) fn sheet() -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// Nothing shows as a dash.
pub(super) fn or_dash(text: Option<&str>) -> &str {
    text.filter(|text| !text.is_empty()).unwrap_or("-")
}

/// Asks before something that cannot be undone.
pub(super) fn confirm(yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "there is no terminal to ask on; confirm with --yes",
        ));
    }
    let mut err = io::stderr().lock();
    let _ = write!(err, "{question} [y/N] ").and_then(|()| err.flush());
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::usage(format!("the answer cannot be read: {error}")))?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(Failure::new(
            Exit::Failure,
            "not_confirmed",
            "nothing was done",
        ))
    }
}
