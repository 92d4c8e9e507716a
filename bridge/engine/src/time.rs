//! Points in time and spans, both in whole milliseconds.
//!
//! Rollouts outlive processes, so times count from the Unix epoch and can be stored.

use serde::{Deserialize, Serialize};

/// A span in milliseconds.
pub type Millis = u64;

/// Milliseconds since the Unix epoch, on the engine's own clock: it never goes back.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The point `span` later, or the end of time.
    #[must_use]
    pub const fn after(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// How long after `earlier` this is; 0 when it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        self.0.saturating_sub(earlier.0)
    }
}
