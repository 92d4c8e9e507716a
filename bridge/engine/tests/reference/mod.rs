//! The rules of rollouts a second time, as naively as possible: vectors and linear scans, no indexes, no ready sets, no
//! counters that are kept. Whatever is asked is worked out anew from the robots and the targets.
//!
//! ```text
//! Op ─► script ─┬─► engine ───┐
//!               └─► Model ────┴─► compare: answers, states, attempts, statuses, phases, what everybody waits for
//! ```
//!
//! The model knows native robots only, one image per hardware id with three versions, and people who hurry. It is told
//! nothing by the engine but who drew which phase. Failures are shrunk to the few operations that are needed.

mod belongs;
mod commands;
mod compare;
mod dispatch;
mod gates;
mod model;
mod ops;
mod people;
mod promises;
mod reports;
mod robots;
mod script;
mod time;

pub(crate) use ops::{Op, ops};
pub(crate) use script::{Seen, play};
