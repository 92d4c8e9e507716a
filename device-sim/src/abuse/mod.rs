//! Hostile clients for any MQTT broker.
//!
//! One attack after the other, while innocent clients go on with their work. A verdict for each: whether
//! the server lives, whether the innocent noticed anything, whether its memory stayed within bounds,
//! whether the attacker got the end that it deserved and, for Rollcall, whether that was counted.
//!
//! Invariant: an attack that the broker does not answer ends by itself; nothing here waits for ever.

mod arena;
mod args;
mod attack;
mod attacks;
mod incoming;
mod innocents;
mod memory;
mod metrics;
mod packet;
mod peer;
mod report;
mod suite;
mod target;

pub use args::{AbuseArgs, AbuseError, execute};
pub use report::{AttackReport, MemoryReport, Report, RoundTrips, Verdict};
