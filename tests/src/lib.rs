//! Tests that need more than one crate: the fleet simulation, operator sessions, peers and real clients.

pub mod growth;
pub mod lean;
pub mod sim;
