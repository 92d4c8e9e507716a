//! Simulated robots for Rollcall, for demonstrations, load and protocol tests.
//!
//! - [`model`]: one robot as a pure state machine in virtual time.
//! - [`profile`]: how robots behave, from TOML.
//! - [`fleet`]: who is simulated.
//! - [`driver`]: the model on real connections.
//! - [`abuse`]: hostile clients, for any MQTT broker.
//! - [`mod@bench`]: the load generator, for any MQTT server.
//! - [`cli`]: the command line, which other programs can embed.
//!
//! Invariant: `model`, `profile` and `fleet` know no tokio, no clock and no sockets. Nothing here is
//! part of a server.

pub mod abuse;
pub mod bench;
pub mod cli;
pub mod driver;
pub mod fleet;
mod inputs;
pub mod model;
pub mod profile;

pub use inputs::InputError;
