//! The shell around the engine: device mapping, writer thread, store, HTTP and command line.
//!
//! **Invariant**: no packet is parsed here (that is `rollcall-broker`) and no rule of rollouts is decided here (that is
//! `rollcall-engine`).

pub mod access;
pub mod api;
pub mod artifacts;
pub mod cli;
pub mod config;
mod content;
pub mod demo;
pub mod device;
mod hex;
pub mod history;
pub mod ledger;
pub mod pairing;
pub mod pki;
mod private_file;
pub mod records;
mod registry;
pub mod server;
pub mod store;
pub mod writer;
