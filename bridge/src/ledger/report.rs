//! What came of reading a ledger or a file.

use crate::api::rfc3339;
use crate::writer::{CommandError, wall_clock};
use serde::{Deserialize, Serialize};

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncReport {
    /// When it began, RFC 3339.
    pub at: String,
    /// The same in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Versions that were found.
    pub listed: usize,
    /// Versions that are new or have changed.
    pub changed: Vec<u32>,
    /// Versions of which nothing new was said.
    pub unchanged: usize,
    /// Versions that the ledger no longer lists.
    pub withdrawn: Vec<u32>,
    /// Records that were not taken, the first 100.
    pub refused: Vec<RefusedRecord>,
    /// Further records that were not taken.
    #[serde(default)]
    pub refused_more: usize,
    /// Why not everything could be read. What was read until then was taken, and the rest stays as it was.
    pub error: Option<String>,
}

/// Records that are named one by one.
const NAMED: usize = 100;

impl SyncReport {
    pub(super) fn begun() -> Self {
        let at = wall_clock();
        Self {
            at: rfc3339(at),
            at_ms: at.0,
            ..Self::default()
        }
    }

    /// Of a reading that came to nothing here, not at the ledger.
    pub(super) fn failed(error: &CommandError) -> Self {
        Self {
            error: Some(error.to_string()),
            ..Self::begun()
        }
    }

    /// How many records were not taken.
    #[must_use]
    pub fn not_taken(&self) -> usize {
        self.refused.len() + self.refused_more
    }

    pub(super) fn refuse(&mut self, record: RefusedRecord) {
        if self.refused.len() < NAMED {
            self.refused.push(record);
        } else {
            self.refused_more += 1;
        }
    }
}

/// A record that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRecord {
    /// Its place in the file, from 1; none where it was asked for by its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
    /// Its version, if so much could be read.
    pub version: Option<u32>,
    /// Why, and what to do.
    pub why: String,
}

/// How it stands with reading a channel's ledger. Lost at a restart, which reads it anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// The ledger is being read.
    pub running: bool,
    /// The version whose file is being fetched.
    pub fetching: Option<u32>,
    /// What came of the last time.
    pub last: Option<SyncReport>,
    /// Times in a row that not everything could be read.
    pub failures: u32,
    /// Seconds until it is read again.
    pub next_in_s: Option<u64>,
}
