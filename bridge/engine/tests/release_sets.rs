//! Whom a release reaches: exact, stable, only ever more, and random (requirements X9, G5 to G7, G25).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::Fleet;
use fleet::release::{SALT, release, released_to, share};
use proptest::prelude::*;
use rollcall_engine::*;
use std::collections::{BTreeMap, BTreeSet};

/// Robots that are registered and never connect: nobody has to tell them anything here.
fn registered(count: usize) -> Fleet {
    let mut fleet = Fleet::default();
    fleet.start();
    fleet.robots(count);
    fleet.image("os@2", &["hw"]);
    fleet
}

fn chosen(fleet: &Fleet, id: ReleaseId) -> BTreeSet<String> {
    let robots = fleet.set(id).into_iter();
    robots
        .map(|key| fleet.state.robot(key).unwrap().id.to_string())
        .collect()
}

/// X9, as naively as can be: sort everybody, take the front.
fn expected(count: usize, percent: usize, salt: Salt) -> BTreeSet<String> {
    let mut ranked: Vec<_> = (1..=count)
        .map(|n| {
            let id = RobotId::new(&format!("r{n}")).unwrap();
            (rank(&salt.0, &id), id.to_string())
        })
        .collect();
    ranked.sort();
    let take = (percent * count).div_ceil(100);
    ranked.into_iter().take(take).map(|(_, id)| id).collect()
}

#[test]
fn x9_percentages_are_exact_to_one_robot_from_1_to_100_000_robots() {
    for count in [
        1, 2, 3, 7, 10, 99, 100, 101, 999, 1_000, 1_001, 10_000, 100_000,
    ] {
        let percents: &[u64] = if count > 1_000 {
            &[1, 33, 100]
        } else {
            &[1, 2, 10, 33, 50, 99, 100]
        };
        let mut fleet = registered(count);
        let id = fleet.publish(release(percents[0])).unwrap();
        for percent in percents {
            fleet.raise(id, *percent).unwrap();
            let wanted = count as f64 * *percent as f64 / 100.0;
            let found = fleet.set(id).len() as f64;
            assert!(
                (found - wanted).abs() < 1.0 && found >= wanted,
                "{percent} % of {count}: {found}"
            );
        }
    }
}

/// On every machine, after every restart, with every build: these robots and no others.
#[test]
fn x9_the_choice_is_frozen() {
    let mut fleet = registered(20);
    let id = fleet.publish(release(25)).unwrap();
    let frozen = FROZEN.iter().map(ToString::to_string).collect();
    assert_eq!(chosen(&fleet, id), frozen);
    assert_eq!(expected(20, 25, SALT), frozen);
}

const FROZEN: [&str; 5] = ["r5", "r8", "r9", "r10", "r14"];

/// The 95th of 100 chi-squared values with 1 degree of freedom is 3.84, with 99 it is 123.2; the bound here is far
/// beyond, so that only a choice that is not random fails, never chance: everything follows from the salts.
#[test]
fn g6_over_many_salts_every_robot_is_chosen_as_often_as_any_other() {
    let (robots, draws, percent) = (100, 400_u64, 30);
    let mut fleet = registered(robots);
    let mut hits = BTreeMap::new();
    for draw in 0..draws {
        let mut spec = fleet::release::new_set(percent, false);
        spec.salt.0[..8].copy_from_slice(&draw.to_be_bytes());
        let id = fleet.publish(spec).unwrap();
        for robot in chosen(&fleet, id) {
            *hits.entry(robot).or_insert(0_u64) += 1;
        }
        fleet.stop_release(id).unwrap();
    }
    let each = draws as f64 * percent as f64 / 100.0;
    // Drawn without putting back: the variance of a robot's hits is each * (1 - p).
    let scale = each * (1.0 - percent as f64 / 100.0);
    let sum: f64 = hits
        .values()
        .map(|hit| (*hit as f64 - each).powi(2) / scale)
        .sum();
    assert_eq!(hits.len(), robots);
    assert!(
        (60.0..150.0).contains(&sum),
        "chi-squared of 99 degrees is {sum}"
    );
}

/// The same over fleets whose ids are alike, as real ones are, and over where in the fleet the chosen are.
#[test]
fn g6_the_chosen_are_spread_over_the_fleet() {
    for prefix in ["robot-", "agv-", "0000", "kiel-dock-7-"] {
        let mut buckets = [0_u64; 10];
        for draw in 0..200_u64 {
            let mut salt = Salt::default();
            salt.0[8..].copy_from_slice(&draw.to_le_bytes());
            let mut ranked: Vec<_> = (0..1_000)
                .map(|n| {
                    (
                        rank(&salt.0, &RobotId::new(&format!("{prefix}{n:04}")).unwrap()),
                        n,
                    )
                })
                .collect();
            ranked.sort_unstable();
            for (_, n) in &ranked[..100] {
                buckets[n / 100] += 1;
            }
        }
        let each = 200.0 * 100.0 / 10.0;
        let sum: f64 = buckets
            .iter()
            .map(|hit| (*hit as f64 - each).powi(2) / each)
            .sum();
        assert!(
            sum < 30.0,
            "{prefix}: chi-squared of 9 degrees is {sum}: {buckets:?}"
        );
    }
}

#[test]
fn x9_bernoulli_takes_each_robot_by_its_own_chance_and_later_ones_too() {
    let mut fleet = registered(2_000);
    let spec = ReleaseSpec {
        sampling: Sampling::Bernoulli,
        ..release(20)
    };
    let id = fleet.publish(spec).unwrap();
    let first = fleet.set(id);
    // 20 % of 2,000 is 400; five standard deviations are 89.
    assert!((311..=489).contains(&first.len()), "{}", first.len());
    let mut joined = BTreeSet::new();
    for n in 0..500 {
        let key = fleet.robot(&format!("late{n}"), &[fleet::ecu("main", "hw", true)]);
        let rank = rank(&SALT.0, &fleet.state.robot(key).unwrap().id);
        if u128::from(rank) * 5 < 1 << 64 {
            joined.insert(key);
        }
    }
    assert!((55..=145).contains(&joined.len()), "{}", joined.len());
    let all: BTreeSet<_> = first.union(&joined).copied().collect();
    assert_eq!(fleet.set(id), all);
    // An increase adds, of those who came late too; and nobody is told twice.
    fleet.raise(id, 40).unwrap();
    let robots = fleet.state.robots(None);
    let below = robots.filter(|robot| u128::from(rank(&SALT.0, &robot.id)) * 5 < 2 << 64);
    let below: BTreeSet<_> = below.map(|robot| robot.key).collect();
    assert!(below.is_superset(&all));
    assert_eq!(fleet.set(id), below);
    let members: usize = fleet
        .rollouts_of(id)
        .iter()
        .map(|rollout| fleet.state.rollout(*rollout).unwrap().members.len())
        .sum();
    assert_eq!(members, fleet.set(id).len());
    // The same set has them too.
    let before = fleet.set(id);
    fleet.stop_release(id).unwrap();
    fleet.image("os@3", &["hw"]);
    let new = fleet.publish(fleet::release::same_set("os@3")).unwrap();
    assert_eq!(fleet.set(new), before);
}

/// X9: a share is kept for robots that come later, also when its rollout's deadline has passed.
#[test]
fn x9_a_resume_takes_those_who_came_when_no_rollout_did() {
    let mut fleet = registered(50);
    let mut spec = release(100);
    spec.sampling = Sampling::Bernoulli;
    let id = fleet.publish(spec).unwrap();
    fleet.pass(31 * 86_400_000);
    let late = fleet.robot("late", &[fleet::ecu("main", "hw", true)]);
    assert!(!fleet.set(id).contains(&late));
    // It has expired, so the release is no longer live.
    fleet.resume_release(id).unwrap();
    assert!(fleet.set(id).contains(&late));
}

#[test]
fn g20_g21_who_comes_later_is_neither_in_the_same_set_nor_away_from_the_former() {
    let mut fleet = registered(50);
    fleet.image("os@3", &["hw"]);
    let mut spec = release(50);
    spec.sampling = Sampling::Bernoulli;
    let id = fleet.publish(spec).unwrap();
    fleet.stop_release(id).unwrap();
    let mut away = fleet::release::new_set(50, true);
    away.sampling = Sampling::Bernoulli;
    assert_eq!(fleet.publish(away), Err(Refusal::AwayIsExact));
    let before = fleet.set(id);
    let new = fleet.publish(fleet::release::same_set("os@3")).unwrap();
    for n in 0..20 {
        let late = fleet.robot(&format!("late{n}"), &[fleet::ecu("main", "hw", true)]);
        fleet.online(late);
    }
    assert_eq!(fleet.set(new), before);
}

#[test]
fn x9_an_exact_release_takes_nobody_who_comes_later() {
    let (mut fleet, _) = released_to(10);
    let id = fleet.publish(release(100)).unwrap();
    let before = fleet.set(id);
    let late = fleet.robot("late", &[fleet::ecu("main", "hw", true)]);
    fleet.online(late);
    assert_eq!(fleet.set(id), before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// X9, G25: for any pool, salt and course of increases the set is the naive one, and only grows.
    #[test]
    fn the_set_is_the_front_of_the_pool_at_every_percentage(
        count in 1_usize..200,
        salt: [u8; 16],
        mut percents in proptest::collection::vec(1_u8..=100, 1..6),
    ) {
        percents.sort_unstable();
        let mut fleet = registered(count);
        let first = ReleaseSpec { salt: Salt(salt), ..release(percents[0].into()) };
        let id = fleet.publish(first).unwrap();
        let mut before = BTreeSet::new();
        for percent in percents {
            fleet.raise(id, percent.into()).unwrap();
            let found = chosen(&fleet, id);
            prop_assert!(found.is_superset(&before));
            prop_assert_eq!(&found, &expected(count, percent.into(), Salt(salt)));
            before = found;
        }
    }

    /// X9: a share of a pool is exact to one robot, and never less than asked for.
    #[test]
    fn a_share_is_its_part_of_the_pool_rounded_up(percent in 1_u64..=100, pool in 0_usize..10_000_000) {
        let count = share(percent).count(pool);
        let wanted = percent as f64 * pool as f64 / 100.0;
        prop_assert!(count as f64 >= wanted - 1e-6 && (count as f64) < wanted + 1.0);
        prop_assert!(count <= pool);
    }
}
