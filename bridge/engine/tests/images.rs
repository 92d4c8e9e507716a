//! Removing images: never from under an unfinished rollout (Edgehog's rule for base images).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::*;
use rollcall_engine::*;

fn remove(fleet: &mut Fleet) -> Result<Reply, Refusal> {
    let image = "os@2".parse().unwrap();
    fleet.command(Command::RemoveImage { image })
}

fn in_use(rollout: RolloutId) -> Refusal {
    Refusal::ImageInUse {
        image: "os@2".parse().unwrap(),
        rollout,
    }
}

#[test]
fn an_image_stays_while_an_unfinished_rollout_uses_it() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    fleet.online(robot);
    let key = fleet.image("os@2", &["hw"]);
    let spec = fleet.spec(fleet.all(), &[("hw", "os@2")]);
    let prepared = fleet.create(spec).unwrap();
    assert_eq!(remove(&mut fleet), Err(in_use(prepared)));
    fleet.launch(prepared).unwrap();
    let operation = fleet.requests()[0].2;
    assert_eq!(remove(&mut fleet), Err(in_use(prepared)));
    fleet.install(robot, "main", operation);
    assert_eq!(remove(&mut fleet), Ok(Reply::Image(key)));
    let image = fleet.state.image(key).unwrap();
    assert!(image.removed.is_some(), "the rollout still names it");
}

#[test]
fn the_name_of_a_removed_image_can_be_given_again() {
    let mut fleet = Fleet::default();
    fleet.robots(1);
    let first = fleet.image("os@2", &["hw"]);
    remove(&mut fleet).unwrap();
    assert_eq!(fleet.state.image_key(&"os@2".parse().unwrap()), None);
    let unknown = Refusal::UnknownImage {
        image: "os@2".parse().unwrap(),
    };
    assert_eq!(remove(&mut fleet), Err(unknown.clone()));
    let spec = fleet.spec(fleet.all(), &[("hw", "os@2")]);
    assert_eq!(fleet.create(spec), Err(unknown));
    let second = fleet.image("os@2", &["hw"]);
    assert_ne!(first, second);
    assert_eq!(
        fleet.state.image_key(&"os@2".parse().unwrap()),
        Some(second)
    );
}

#[test]
fn a_restart_does_not_bring_a_removed_image_back() {
    let mut fleet = Fleet::default();
    let removed = fleet.image("os@2", &["hw"]);
    remove(&mut fleet).unwrap();
    let state = State::rebuild(
        fleet.state.now(),
        fleet.state.counters(),
        [],
        [],
        fleet.state.images().cloned(),
        [],
    );
    assert_eq!(state.image_key(&"os@2".parse().unwrap()), None);
    assert!(state.image(removed).is_some());
}
