//! The last things that happened, for whoever has to explain a failure.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// Lines that are kept.
const KEPT: usize = 150;

/// A bounded list of lines that survives a panic of the simulation.
#[derive(Debug, Clone, Default)]
pub struct Trace(Option<Arc<Mutex<VecDeque<String>>>>);

impl Trace {
    /// One that forgets everything, which costs nothing.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// One that keeps the last lines.
    #[must_use]
    pub fn on() -> Self {
        Self(Some(Arc::default()))
    }

    /// Adds a line, if lines are kept.
    pub(super) fn line(&self, now: u64, line: impl FnOnce() -> String) {
        let Some(lines) = &self.0 else { return };
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(format!("{now:>9} {}", line()));
    }

    /// All lines that are kept.
    #[must_use]
    pub fn text(&self) -> String {
        let Some(lines) = &self.0 else {
            return String::new();
        };
        let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        })
    }
}
