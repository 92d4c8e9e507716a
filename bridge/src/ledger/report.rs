//! What came of reading a ledger or a file.

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
    /// Records that were not taken.
    pub refused: Vec<RefusedRecord>,
    /// Why not everything could be read; what was imported before stays as it was.
    pub error: Option<String>,
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
