//! The engine by itself: no server, no broker, no store. What its inputs cost, what its fleet weighs, and how both grow
//! with the fleet.
//!
//! **Invariant**: every fleet size goes through the same inputs, each of which must be taken, and ends in the same
//! outcome; otherwise the costs could not be compared.

mod fleet;
mod growth;
mod memory;
mod pace;
mod round;

use crate::note;
use anyhow::Result;
use fleet::ECUS;
pub(crate) use growth::Growth;
use round::Round;

/// Fleet sizes in ECUs, and rounds of each; the largest take too long for more.
const SIZES: [(usize, usize); 5] = [
    (1_000, 15),
    (10_000, 9),
    (100_000, 5),
    (400_000, 3),
    (1_000_000, 3),
];

/// All sizes, or that of `robots` robots only.
pub(crate) fn measure(robots: Option<usize>) -> Result<Growth> {
    let sizes = robots.map_or(SIZES.to_vec(), |robots| vec![(robots * ECUS, 5)]);
    let mut growth = Growth::default();
    for (ecus, rounds) in sizes {
        note(&format!("engine: {ecus} ECUs, {rounds} rounds"));
        let rounds: Result<Vec<_>> = (0..rounds).map(|_| Round::run(ecus / ECUS)).collect();
        growth.add(ecus, rounds?);
    }
    Ok(growth)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It goes with the engine, of which every input must still be taken.
    #[test]
    fn small_fleets_go_through_everything_that_is_measured() {
        let mut growth = Growth::default();
        for robots in [110, 130] {
            growth.add(robots * ECUS, vec![Round::run(robots).unwrap()]);
        }
        let shown = growth.to_string();
        for name in ["launch, cap 100", "event Success", "why: waits for a slot"] {
            assert!(shown.contains(name), "{name} is missing in:\n{shown}");
        }
    }
}
