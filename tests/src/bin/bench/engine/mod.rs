//! The engine by itself: no server, no broker, no store. What its inputs cost, what its fleet weighs, and how both grow
//! with the fleet.
//!
//! **Invariant**: every fleet size goes through the same inputs, each of which must be taken, and ends in the same
//! outcome; otherwise the costs could not be compared.

mod fleet;
mod gates;
mod growth;
mod memory;
mod pace;
mod round;

use crate::note;
use anyhow::Result;
use fleet::ECUS;
use gates::Gates;
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

/// What a rollout has to ask, and its table's title.
const TABLES: [(Gates, &str); 2] = [
    (Gates::Plain, "The engine, rollouts with a cap only"),
    (Gates::All, "The engine, rollouts with every gate on"),
];

/// Bytes that live on this process's heap, if they are counted.
pub(crate) fn live_memory() -> Option<usize> {
    memory::live()
}

/// All sizes, or that of `robots` robots only; without gates and with all of them.
pub(crate) fn measure(robots: Option<usize>) -> Result<Vec<Growth>> {
    let sizes = robots.map_or(SIZES.to_vec(), |robots| vec![(robots * ECUS, 5)]);
    let mut tables = TABLES.map(|(_, title)| Growth::new(title));
    for (ecus, rounds) in sizes {
        note(&format!("engine: {ecus} ECUs, {rounds} rounds of each"));
        let mut taken = TABLES.map(|_| Vec::new());
        // In turn, so that other load meets both.
        for _ in 0..rounds {
            for ((gates, _), taken) in TABLES.iter().zip(&mut taken) {
                taken.push(Round::run(ecus / ECUS, *gates)?);
            }
        }
        for (table, taken) in tables.iter_mut().zip(taken) {
            table.add(ecus, taken);
        }
    }
    Ok(tables.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It goes with the engine, of which every input must still be taken.
    #[test]
    fn small_fleets_go_through_everything_that_is_measured() {
        for (gates, title) in TABLES {
            let mut growth = Growth::new(title);
            for robots in [110, 130] {
                growth.add(robots * ECUS, vec![Round::run(robots, gates).unwrap()]);
            }
            let shown = growth.to_string();
            for name in ["launch, cap 100", "event Success", "why: waits for a slot"] {
                assert!(shown.contains(name), "{name} is missing in:\n{shown}");
            }
        }
    }
}
