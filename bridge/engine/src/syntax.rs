//! Why a text that people write is not understood, and where.

use std::fmt;

/// Characters of the line that are shown on each side of the place.
const CONTEXT: usize = 60;

/// Why a text is not understood. Its `Display` is a message, and the line with a caret below the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// What the text should be, such as `selector`.
    pub what: &'static str,
    /// What was expected there, and what stands there.
    pub message: String,
    /// The place, in bytes from the beginning of the text.
    pub offset: usize,
    /// The place's line, from 1.
    pub line: usize,
    /// The place in its line, in characters from 1.
    pub column: usize,
    /// The line, or what is near the place of a long one.
    excerpt: String,
    /// Where the place is in the excerpt, in characters.
    caret: usize,
}

impl SyntaxError {
    pub(crate) fn new(
        what: &'static str,
        text: &str,
        offset: usize,
        message: impl Into<String>,
    ) -> Self {
        let offset = text.floor_char_boundary(offset);
        let (before, after) = text.split_at(offset);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let before = &before[start..];
        let after = after.lines().next().unwrap_or_default();
        // A tab or another control character would push the caret to a wrong place.
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let mut lead: Vec<char> = before.chars().rev().take(CONTEXT).map(plain).collect();
        lead.reverse();
        let caret = lead.len();
        let excerpt = lead.into_iter();
        let excerpt = excerpt.chain(after.chars().take(CONTEXT).map(plain));
        Self {
            what,
            message: message.into(),
            offset,
            line: text[..offset].matches('\n').count() + 1,
            column: before.chars().count() + 1,
            excerpt: excerpt.collect(),
            caret,
        }
    }

    /// The message and its place in one line.
    #[must_use]
    pub fn one_line(&self) -> String {
        let line = if self.line > 1 {
            format!("line {}, ", self.line)
        } else {
            String::new()
        };
        format!(
            "{} not understood at {line}column {}: {}",
            self.what, self.column, self.message
        )
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.one_line())?;
        writeln!(f, "  {}", self.excerpt.trim_end())?;
        write!(f, "  {:caret$}^", "", caret = self.caret)
    }
}

impl std::error::Error for SyntaxError {}
