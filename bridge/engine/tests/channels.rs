//! Channels own target groups, and a group belongs to one at most (device-contract 4.1, E6, design 5).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::*;
use rollcall_engine::*;
use std::collections::BTreeSet;

fn channel(text: &str) -> ChannelName {
    ChannelName::new(text).unwrap()
}

fn groups(names: &[&str]) -> BTreeSet<GroupName> {
    let names = names.iter().map(|name| GroupName::new(name).unwrap());
    names.collect()
}

fn add(fleet: &mut Fleet, name: &str, of: &[&str]) -> Result<Reply, Refusal> {
    fleet.command(Command::AddChannel {
        name: channel(name),
        groups: groups(of),
    })
}

fn edit(fleet: &mut Fleet, name: &str, edit: ChannelEdit) -> Result<Reply, Refusal> {
    fleet.command(Command::EditChannel {
        name: channel(name),
        edit,
    })
}

fn change(add: &[&str], remove: &[&str]) -> ChannelEdit {
    ChannelEdit::Change {
        add: groups(add),
        remove: groups(remove),
    }
}

fn owned(fleet: &Fleet, name: &str) -> Vec<String> {
    let channel = fleet.state.channel(name).unwrap();
    let groups = fleet.state.groups_of_channel(channel).into_iter();
    groups.map(|group| group.name.to_string()).collect()
}

/// Each robot with the groups that bring it in.
fn robots(fleet: &Fleet, name: &str) -> Vec<String> {
    let channel = fleet.state.channel(name).unwrap();
    let robots = fleet.state.robots_of_channel(channel, None);
    let text = |(robot, groups): (&Robot, Vec<&GroupName>)| {
        let groups: Vec<_> = groups.into_iter().map(GroupName::as_str).collect();
        format!("{}: {}", robot.id, groups.join(" "))
    };
    robots.map(text).collect()
}

/// Groups `a` (r1, r2), `b` (r2) and `s` (a selector: r3).
fn world() -> Fleet {
    let mut fleet = Fleet::default();
    fleet.robots(4);
    let listed = |name: &str, robots: &[&str]| Command::AddGroup {
        name: GroupName::new(name).unwrap(),
        robots: robots.iter().map(|id| RobotId::new(id).unwrap()).collect(),
    };
    fleet.command(listed("a", &["r1", "r2"])).unwrap();
    fleet.command(listed("b", &["r2"])).unwrap();
    fleet
        .command(Command::AddSelectorGroup {
            name: GroupName::new("s").unwrap(),
            selector: r#"id == "r3""#.parse().unwrap(),
        })
        .unwrap();
    fleet
}

#[test]
fn a_channel_means_the_robots_of_its_groups_each_once() {
    let mut fleet = world();
    add(&mut fleet, "production", &["s", "a", "b"]).unwrap();
    assert_eq!(owned(&fleet, "production"), ["a", "b", "s"]);
    assert_eq!(robots(&fleet, "production"), ["r1: a", "r2: a b", "r3: s"]);
    let robot = RobotId::new("r2").unwrap();
    fleet.command(Command::RemoveRobot { robot }).unwrap();
    assert_eq!(robots(&fleet, "production"), ["r1: a", "r3: s"]);
}

#[test]
fn a_channel_without_groups_means_every_robot() {
    let mut fleet = world();
    add(&mut fleet, "production", &[]).unwrap();
    add(&mut fleet, "other", &[]).unwrap();
    let all = ["r1: ", "r2: ", "r3: ", "r4: "];
    assert_eq!(robots(&fleet, "production"), all);
    let robot = RobotId::new("r2").unwrap();
    fleet.command(Command::RemoveRobot { robot }).unwrap();
    assert_eq!(robots(&fleet, "production"), ["r1: ", "r3: ", "r4: "]);
    // A channel whose groups are empty means nobody, which is something else.
    let name = GroupName::new("empty").unwrap();
    let robots_of = vec![];
    let empty = Command::AddGroup {
        name,
        robots: robots_of,
    };
    fleet.command(empty).unwrap();
    edit(&mut fleet, "production", change(&["empty"], &[])).unwrap();
    assert_eq!(robots(&fleet, "production"), [""; 0]);
}

#[test]
fn a_group_belongs_to_one_channel_at_most() {
    let mut fleet = world();
    add(&mut fleet, "production", &["a"]).unwrap();
    let taken = Err(Refusal::GroupHasChannel {
        name: GroupName::new("a").unwrap(),
        channel: channel("production"),
    });
    assert_eq!(add(&mut fleet, "canary", &["b", "a"]), taken);
    assert!(fleet.state.channel("canary").is_none());
    add(&mut fleet, "canary", &["b"]).unwrap();
    assert_eq!(edit(&mut fleet, "canary", change(&["a"], &[])), taken);
    let set = ChannelEdit::Set(groups(&["s", "a"]));
    assert_eq!(edit(&mut fleet, "canary", set), taken);
    assert_eq!(owned(&fleet, "canary"), ["b"], "a refusal changes nothing");
    // Its own groups are no obstacle.
    let set = ChannelEdit::Set(groups(&["a", "s"]));
    edit(&mut fleet, "production", set).unwrap();
    let again = change(&["a"], &[]);
    edit(&mut fleet, "production", again).unwrap();
    assert_eq!(owned(&fleet, "production"), ["a", "s"]);
    // What one lets go another may take; so after a removal.
    edit(&mut fleet, "production", change(&[], &["a"])).unwrap();
    edit(&mut fleet, "canary", change(&["a"], &[])).unwrap();
    let gone = Command::RemoveChannel {
        name: channel("canary"),
    };
    fleet.command(gone).unwrap();
    edit(&mut fleet, "production", change(&["a", "b"], &["s"])).unwrap();
    assert_eq!(owned(&fleet, "production"), ["a", "b"]);
    let group = fleet.state.group("s").unwrap();
    assert!(fleet.state.channel_of(group.key).is_none());
}

/// Taking away the last group would hit the whole fleet, which nobody means by taking something away.
#[test]
fn the_last_group_is_not_taken_away_by_the_way() {
    let mut fleet = world();
    add(&mut fleet, "production", &["a", "b"]).unwrap();
    let name = channel("production");
    assert_eq!(
        edit(&mut fleet, "production", change(&[], &["a", "b"])),
        Err(Refusal::LastGroup { name })
    );
    edit(&mut fleet, "production", change(&["s"], &["a", "b"])).unwrap();
    assert_eq!(owned(&fleet, "production"), ["s"]);
    edit(&mut fleet, "production", ChannelEdit::Set(groups(&[]))).unwrap();
    assert_eq!(robots(&fleet, "production").len(), 4);
    // It has none that could be the last.
    edit(&mut fleet, "production", change(&[], &["a"])).unwrap();
}

#[test]
fn a_group_of_a_channel_is_not_removed() {
    let mut fleet = world();
    add(&mut fleet, "production", &["a", "b"]).unwrap();
    let remove = || Command::RemoveGroup {
        name: GroupName::new("a").unwrap(),
    };
    let refused = fleet.command(remove()).unwrap_err();
    assert_eq!(refused.code(), "group_in_use");
    let advice = "rollcall channel edit production --remove-group a";
    assert!(refused.to_string().contains(advice), "{refused}");
    edit(&mut fleet, "production", change(&[], &["a"])).unwrap();
    fleet.command(remove()).unwrap();
    assert_eq!(owned(&fleet, "production"), ["b"]);
}

#[test]
fn what_does_not_exist_or_exists_already_is_refused() {
    let mut fleet = world();
    add(&mut fleet, "production", &["a"]).unwrap();
    let code = |reply: Result<Reply, Refusal>| reply.unwrap_err().code();
    assert_eq!(code(add(&mut fleet, "production", &[])), "channel_exists");
    assert_eq!(code(add(&mut fleet, "c", &["none"])), "unknown_group");
    let unknown = change(&[], &["none"]);
    assert_eq!(
        code(edit(&mut fleet, "production", unknown)),
        "unknown_group"
    );
    let set = ChannelEdit::Set(groups(&["none"]));
    assert_eq!(code(edit(&mut fleet, "production", set)), "unknown_group");
    assert_eq!(
        code(edit(&mut fleet, "c", change(&["b"], &[]))),
        "unknown_channel"
    );
    let remove = Command::RemoveChannel { name: channel("c") };
    assert_eq!(code(fleet.command(remove)), "unknown_channel");
    assert_eq!(owned(&fleet, "production"), ["a"]);
}

#[test]
fn channels_and_their_groups_are_bounded() {
    let mut fleet = Fleet::default();
    let many: Vec<_> = (0..=100).map(|n| format!("g{n}")).collect();
    for name in &many {
        let name = GroupName::new(name).unwrap();
        let robots = vec![];
        fleet.command(Command::AddGroup { name, robots }).unwrap();
    }
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let code = |reply: Result<Reply, Refusal>| reply.unwrap_err().code();
    assert_eq!(code(add(&mut fleet, "c", &many)), "too_many");
    add(&mut fleet, "c", &many[..100]).unwrap();
    assert_eq!(
        code(edit(&mut fleet, "c", change(&["g100"], &[]))),
        "too_many"
    );
    for n in 1..1_000 {
        add(&mut fleet, &format!("c{n}"), &[]).unwrap();
    }
    assert_eq!(code(add(&mut fleet, "one-more", &[])), "too_many");
}

/// What is not named as changed is not stored.
#[test]
fn every_change_of_a_channel_names_its_row() {
    let mut fleet = world();
    let name = channel("c");
    let groups = groups(&["a"]);
    for command in [
        Command::AddChannel {
            name: name.clone(),
            groups,
        },
        Command::EditChannel {
            name: name.clone(),
            edit: change(&["b"], &["a"]),
        },
        Command::RemoveChannel { name },
    ] {
        let by = Actor("someone".into());
        let at = Timestamp(fleet.now);
        let outcome = fleet.state.apply(at, Input::Command { by, command });
        outcome.reply.unwrap();
        assert!(outcome.touched.contains(&Row::Channel(ChannelKey(1))));
    }
}
