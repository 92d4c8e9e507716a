//! A whole fleet and its server in virtual time, from one seed.
//!
//! ```text
//! operators ─► server (engine + batches + rows) ─► network ─► robots (device-sim's model)
//!                  ▲           ▲                      │
//!                watch      death, return ◄───────────┘
//! ```
//!
//! The engine and the robots are the real ones, and everything between them passes through the real codecs. Only time,
//! network, disk and people are simulated; in worlds in which the power goes the store is the real one, on a simulated
//! disk. After every input the watch compares what the engine did with what it may do; at the end the outcomes are
//! compared with what the robots really did, and the history is replayed.

#![allow(
    clippy::expect_used,
    reason = "a simulation fails by panicking when its own premises do not hold"
)]

mod at_work;
mod campaigns;
mod clock;
mod dice;
mod disk;
mod ends;
mod gates;
mod hours;
mod latecomers;
mod naive;
mod network;
mod operators;
mod patience;
mod promises;
mod robots;
mod rows;
mod scenario;
mod selectors;
mod server;
mod standing;
mod tally;
mod timers;
mod times;
mod trace;
mod watch;
mod wiring;
mod world;

pub use tally::Tally;
pub use trace::Trace;

/// A rule that does not hold: which, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken(pub String);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Plays the world of `seed` to its end. What happens last is found in `trace`.
///
/// # Errors
/// The first rule that did not hold.
pub fn play(seed: u64, trace: &Trace) -> Result<Tally, Broken> {
    let scenario = scenario::Scenario::draw(seed);
    world::World::new(seed, &scenario, trace.clone()).play()
}

/// Plays a world whose server keeps everything in the real store, on a disk that is without power again and again. One
/// that is not `honest` reports syncs and does none.
///
/// # Errors
/// The first rule that did not hold.
pub fn play_losses_of_power(seed: u64, honest: bool, trace: &Trace) -> Result<Tally, Broken> {
    let scenario = scenario::Scenario::without_power(seed);
    let mut world = world::World::new(seed, &scenario, trace.clone());
    world.server.disk = Some(disk::RealDisk::new(seed, honest)?);
    world.play()
}

/// Plays a world of `robots` with four ECUs each, all of which are updated by one rollout while people do other things.
/// It has fewer faults than the others: what it is for is size.
///
/// # Errors
/// The first rule that did not hold.
pub fn play_large(seed: u64, robots: u64, trace: &Trace) -> Result<Tally, Broken> {
    let scenario = scenario::Scenario::large(seed, robots);
    world::World::new(seed, &scenario, trace.clone()).play()
}
