//! The model's rules, sentence by sentence, in virtual time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

#[path = "model/astarte.rs"]
mod astarte;
#[path = "model/bench.rs"]
mod bench;
#[path = "model/cancel.rs"]
mod cancel;
#[path = "model/chaos.rs"]
mod chaos;
#[path = "model/edgehog.rs"]
mod edgehog;
#[path = "model/fleets.rs"]
mod fleets;
#[path = "model/mishaps.rs"]
mod mishaps;
#[path = "model/native.rs"]
mod native;
mod support;
