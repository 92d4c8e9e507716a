//! Payloads and topics that a robot must not send: each gives an error that names the fault.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod edgehog;
mod interface;
mod native;
mod topic;
