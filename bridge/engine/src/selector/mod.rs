//! Selectors: texts that say which robots are meant (`docs/selectors.md`).
//!
//! The grammar is Edgehog's (device-contract 4.2), with its attribute filters implemented and with filters of our own
//! for what a fleet of robots has: labels, boards, running images, presence.
//!
//! ```text
//! text ─ lexer ─► tokens ─ parser ─► Expr ─┬─ matches: does the robot belong?
//!                                          ├─ explain: which part decides that?
//!                                          └─ Display: the same selector, written plainly
//! ```
//!
//! **Invariants**: what `Display` writes parses to the same expression; a selector's text, depth, filters and patterns
//! are bounded, so neither parsing nor matching can be made to cost much.

mod ast;
mod compare;
mod explain;
mod facts;
mod lexer;
mod literal;
mod parser;
mod pattern;
mod print;

pub use explain::{Explanation, Finding};

use crate::inventory::Robot;
use crate::syntax::SyntaxError;
use crate::time::Timestamp;
use ast::Expr;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest text of a selector, bytes.
pub const MAX_SELECTOR_BYTES: usize = 4_096;
/// Deepest nesting of parentheses and `not`; what keeps recursion from exhausting the stack.
const MAX_DEPTH: usize = 32;
/// Most filters.
const MAX_FILTERS: usize = 100;
/// Most globs and regexes.
const MAX_PATTERNS: usize = 16;

/// Says which robots are meant.
///
/// ```
/// use rollcall_engine::Selector;
///
/// let selector: Selector = r#""canary" in tags and label["site"] == "berlin""#.parse()?;
/// assert_eq!(selector.to_string(), r#""canary" in tags and label["site"] == "berlin""#);
/// let error = r#"online = true"#.parse::<Selector>().unwrap_err();
/// assert_eq!((error.offset, error.column), (7, 8));
/// # Ok::<(), rollcall_engine::SyntaxError>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    text: Arc<str>,
    expr: Arc<Expr>,
}

impl Selector {
    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `robot` is meant at `now`.
    #[must_use]
    pub fn matches(&self, robot: &Robot, now: Timestamp) -> bool {
        self.expr.matches(robot, now)
    }

    /// Whether `robot` is meant at `now`, and which filters decide it.
    #[must_use]
    pub fn explain(&self, robot: &Robot, now: Timestamp) -> Explanation {
        explain::explain(&self.expr, robot, now)
    }
}

fn misread(text: &str, offset: usize, message: impl Into<String>) -> SyntaxError {
    SyntaxError::new("selector", text, offset, message)
}

impl FromStr for Selector {
    type Err = SyntaxError;
    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        Ok(Self {
            expr: Arc::new(parser::parse(text)?),
            text: text.into(),
        })
    }
}

impl TryFrom<String> for Selector {
    /// In one line, since it becomes a part of another message.
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|error: SyntaxError| error.one_line())
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.text.as_ref().to_owned()
    }
}

/// Two selectors are the same when they say the same, however they are written.
impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text || self.expr == other.expr
    }
}

impl Eq for Selector {}

/// The selector written plainly: one blank between words, keywords in lower case, no needless parentheses.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*self.expr, f)
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Selector({})", self.text)
    }
}

#[cfg(test)]
mod tests;
