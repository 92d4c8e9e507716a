//! Whole fleets against the miniature server, in virtual time, from a seed.

use device_sim::fleet::{Origin, ProtocolChoice, generate};
use device_sim::model::RealOutcome;
use device_sim::profile::{Percent, Profile};

use crate::support::Belief;
use crate::support::world::World;

const DAY: u64 = 86_400_000;

fn world(robots: usize, ecus: usize, profile: Profile, seed: u64) -> World {
    let fleet = generate(
        robots,
        ecus,
        ProtocolChoice::Native,
        Origin {
            seed,
            first_boot: 1,
        },
    );
    World::new(
        fleet.into_iter().map(|member| member.config).collect(),
        profile,
        seed,
    )
}

#[test]
fn healthy_fleet_ends_with_every_image_installed() {
    let mut world = world(20, 4, Profile::default(), 1);
    world.run_until("rollout", DAY, World::is_at_rest);
    world.compare();
    let beliefs = world.server.beliefs();
    assert_eq!(beliefs.len(), 80);
    assert!(beliefs.values().all(|belief| *belief == Belief::Installed));
    assert!(
        world
            .robots
            .iter()
            .flat_map(|r| r.installed())
            .all(|(_, i, _)| i.version == "2.0.0")
    );
    assert!(
        world
            .robots
            .iter()
            .all(|robot| robot.truth().violations().is_empty())
    );
}

#[test]
fn edgehog_devices_and_native_robots_are_updated_side_by_side() {
    let fleet = generate(
        10,
        3,
        ProtocolChoice::Mixed,
        Origin {
            seed: 5,
            first_boot: 1,
        },
    );
    let configs = fleet.into_iter().map(|member| member.config).collect();
    let mut world = World::new(configs, Profile::default(), 5);
    world.run_until("rollout", DAY, World::is_at_rest);
    world.compare();
    let beliefs = world.server.beliefs();
    assert_eq!(beliefs.len(), 5 * 3 + 5);
    assert!(beliefs.values().all(|belief| *belief == Belief::Installed));
}

#[test]
fn flaky_fleets_end_as_the_server_believes() {
    for seed in 0..30 {
        let flaky = Profile::parse(include_str!("../../profiles/flaky.toml")).unwrap();
        let mut profile = flaky.failing(Percent::new(30.0).unwrap());
        // A lost Failure leaves the miniature server waiting: it has no timeouts.
        profile.messages.lose_final = Percent::NEVER;
        let mut world = world(6, 3, profile, seed);
        world.run_until(&format!("seed {seed}"), DAY, |world| world.server.is_done());
        world.compare();
        for robot in &world.robots {
            assert_eq!(robot.truth().violations(), [], "seed {seed}");
        }
    }
}

#[test]
fn lost_success_is_made_up_for_by_the_image() {
    let profile = Profile::parse("[messages]\nlose_final = 100\n").unwrap();
    let mut world = world(5, 3, profile, 3);
    world.run_until("rollout", DAY, World::is_at_rest);
    world.compare();
    assert_eq!(world.server.beliefs().len(), 15);
}

#[test]
fn liars_are_found_out_by_the_evidence() {
    for seed in 0..20 {
        let mut profile = Profile::parse(include_str!("../../profiles/liars.toml")).unwrap();
        profile.messages.lose_final = Percent::NEVER;
        profile.lies.claim_success = Percent::new(30.0).unwrap();
        profile.lies.wrong_version = Percent::new(30.0).unwrap();
        let mut world = world(6, 2, profile, seed);
        world.run_until(&format!("seed {seed}"), DAY, |world| world.server.is_done());
        world.compare();
    }
}

#[test]
fn one_seed_gives_one_history() {
    let history = |seed| {
        let flaky = Profile::parse(include_str!("../../profiles/flaky.toml")).unwrap();
        let mut world = world(5, 3, flaky, seed);
        world.run_until("an hour", DAY, |world| world.now > 3_600_000);
        let truth: Vec<_> = world
            .robots
            .iter()
            .map(|r| r.truth().operations().to_vec())
            .collect();
        (world.published, truth)
    };
    assert_eq!(history(9), history(9));
    assert_ne!(history(9).0, history(10).0);
}

#[test]
fn unreachable_artifact_fails_every_operation_honestly() {
    let mut world = world(3, 2, Profile::default(), 4);
    world.artifact_missing = true;
    world.run_until("rollout", DAY, World::is_at_rest);
    world.compare();
    let failed = |outcome| matches!(outcome, Some(RealOutcome::Failed(_)));
    for robot in &world.robots {
        assert!(
            robot
                .truth()
                .operations()
                .iter()
                .all(|record| failed(record.outcome))
        );
    }
}
