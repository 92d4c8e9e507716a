//! Simulated robots for Rollcall, for demonstrations, load and protocol tests.
//!
//! - [`model`]: one robot as a pure state machine in virtual time.
//! - [`profile`]: how robots behave, from TOML.

pub mod model;
pub mod profile;
