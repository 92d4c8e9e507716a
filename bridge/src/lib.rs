//! The shell around the engine: device mapping, writer thread, store, HTTP and command line.
//!
//! **Invariant**: no packet is parsed here (that is `rollcall-broker`) and no rule of rollouts is decided here (that is
//! `rollcall-engine`).

pub mod device;
pub mod history;
pub mod store;
pub mod writer;
