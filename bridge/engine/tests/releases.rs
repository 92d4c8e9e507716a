//! Google's release flow, statement by statement (requirements G1 to G28, X9 to X11, X18).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::release::{channel, new_set, release, released_to, same_set, share};
use fleet::{Fleet, ecu};
use rollcall_engine::*;
use std::collections::BTreeSet;

const DAY: u64 = 86_400_000;

fn is_inactive(fleet: &Fleet, id: ReleaseId) -> bool {
    fleet.released(id).word() == "INACTIVE"
}

#[test]
fn g1_a_release_is_made_to_a_named_channel_and_production_is_one_from_the_start() {
    let (mut fleet, _) = released_to(2);
    let names: Vec<_> = fleet.state.channels().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["production"]);
    let elsewhere = ReleaseSpec {
        channel: channel("canary"),
        ..release(50)
    };
    let refused = fleet.publish(elsewhere.clone());
    assert!(matches!(refused, Err(Refusal::UnknownChannel { .. })));
    let name = channel("canary");
    let groups = BTreeSet::new();
    fleet.command(Command::AddChannel { name, groups }).unwrap();
    let id = fleet.publish(elsewhere).unwrap();
    assert_eq!(fleet.released(id).channel_name.as_str(), "canary");
    // Each channel has its own.
    fleet.publish(release(50)).unwrap();
    // It is there once, however often the server starts, and cannot be removed.
    fleet.start();
    assert_eq!(fleet.state.channels().count(), 2);
    let name = channel("production");
    let refused = fleet.command(Command::RemoveChannel { name });
    assert!(matches!(refused, Err(Refusal::ChannelStays { .. })));
}

#[test]
fn g3_the_image_is_one_of_ours_and_goes_to_robots_that_it_suits_only() {
    let (mut fleet, robots) = released_to(3);
    let other = fleet.robot("other", &[ecu("main", "another-board", true)]);
    fleet.online(other);
    let unknown = ReleaseSpec {
        what: Released::Image("os@9".parse().unwrap()),
        ..release(100)
    };
    let refused = fleet.publish(unknown);
    assert!(matches!(refused, Err(Refusal::UnknownImage { .. })));
    let id = fleet.publish(release(100)).unwrap();
    assert_eq!(fleet.released(id).pool_size, 3);
    let told: BTreeSet<_> = fleet
        .requests()
        .into_iter()
        .map(|(robot, ..)| robot)
        .collect();
    assert_eq!(told, robots.into_iter().collect());
}

#[test]
fn g4_a_percentage_is_a_whole_number_from_1_to_100() {
    for json in [
        "0",
        "101",
        "12.5",
        "\"\"",
        "\"ten\"",
        "-1",
        "1e2",
        "null",
        "[5]",
        "18446744073709551616",
    ] {
        let read = serde_json::from_str::<Share>(json);
        assert!(read.is_err(), "{json}");
    }
    for text in ["0", "101", "12.5", "", "ten", "-1", "+5", "05", "1e2", "5%"] {
        let read = text.parse::<Share>();
        assert!(read.is_err(), "{text}");
    }
    for percent in 1..=100 {
        let shares = [
            Share::new(percent).ok(),
            serde_json::from_str(&percent.to_string()).ok(),
            percent.to_string().parse().ok(),
        ];
        assert!(
            shares
                .iter()
                .all(|share| share.is_some_and(|share| u64::from(share.percent()) == percent))
        );
    }
    let message = serde_json::from_str::<Share>("12.5")
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("whole number from 1 to 100, not 12.5"),
        "{message}"
    );
}

#[test]
fn g4_a_release_without_a_percentage_is_refused() {
    let (mut fleet, _) = released_to(1);
    let nothing = ReleaseSpec {
        percentage: None,
        ..release(1)
    };
    assert_eq!(fleet.publish(nothing), Err(Refusal::NoPercentage));
}

#[test]
fn g5_g6_a_percentage_below_100_reaches_a_random_part_and_nobody_else_is_told() {
    let (mut fleet, robots) = released_to(40);
    let id = fleet.publish(release(25)).unwrap();
    let told = fleet.install_all();
    assert_eq!(told, fleet.set(id));
    assert_eq!(told.len(), 10);
    // Random: not those that registered first.
    let first: BTreeSet<_> = robots[..10].iter().copied().collect();
    assert_ne!(told, first);
    // Who is not chosen is not even a member: why would anybody wait there?
    let outside = robots.iter().find(|robot| !told.contains(robot)).unwrap();
    assert!(fleet.state.robot(*outside).unwrap().memberships.is_empty());
}

#[test]
fn g7_a_small_pool_is_met_to_one_robot_and_is_no_error() {
    let (mut fleet, _) = released_to(10);
    let id = fleet.publish(release(1)).unwrap();
    assert_eq!(fleet.set(id).len(), 1);
    fleet.raise(id, 11).unwrap();
    assert_eq!(fleet.set(id).len(), 2);
}

#[test]
fn g9_g10_g28_the_table_has_image_channel_status_percentage_and_moment_and_keeps_them() {
    let (mut fleet, _) = released_to(10);
    fleet.now += DAY;
    let id = fleet.publish(release(30)).unwrap();
    let published = fleet.now;
    fleet.now += DAY;
    fleet.stop_release(id).unwrap();
    let found = fleet.released(id);
    let image = fleet.state.image(found.image).unwrap();
    assert_eq!(image.reference.to_string(), "os@2");
    assert_eq!(found.channel_name.as_str(), "production");
    assert_eq!((found.word(), found.percentage()), ("INACTIVE", share(30)));
    assert_eq!(found.published, Timestamp(published));
    // Kept when another takes its place.
    fleet.publish(new_set(50, false)).unwrap();
    let found = fleet.released(id);
    assert_eq!(
        (found.published, found.percentage()),
        (Timestamp(published), share(30))
    );
    assert_eq!(fleet.state.releases().count(), 2);
}

#[test]
fn g13_x18_a_stop_says_beforehand_how_many_have_it_install_it_were_told_and_were_not() {
    let (mut fleet, _) = released_to(5);
    let mut spec = release(100);
    spec.mechanism.max_in_progress = 3;
    let id = fleet.publish(spec).unwrap();
    let told = fleet.requests();
    assert_eq!(told.len(), 3);
    fleet.install(told[0].0, "main", told[0].2);
    for status in [
        EventStatus::Acknowledged,
        EventStatus::Downloading,
        EventStatus::Deploying,
    ] {
        fleet.event(told[1].0, "main", told[1].2, status).unwrap();
    }
    let found = fleet.state.standstill_of(id).unwrap();
    assert_eq!(
        found,
        Standstill {
            updated: 1,
            installing: 1,
            // The one from before, and the one that has the slot of the robot that is done.
            told: 2,
            waiting: 1,
            not_updated: 0,
        }
    );
    // Asking has changed nothing.
    assert_eq!(fleet.released(id).word(), "LIVE");
}

#[test]
fn g14_after_a_stop_nobody_more_gets_it_not_even_who_reconnects_or_after_a_restart() {
    let (mut fleet, robots) = released_to(4);
    let late = *robots.last().unwrap();
    fleet.disconnect(late);
    let mut spec = release(100);
    spec.mechanism.max_in_progress = 1;
    let id = fleet.publish(spec).unwrap();
    assert_eq!(fleet.requests().len(), 1);
    fleet.stop_release(id).unwrap();
    assert!(fleet.requests().is_empty());
    fleet.online(late);
    fleet.start();
    for robot in &robots {
        fleet.online_with(*robot, 2, "1");
    }
    fleet.pass(DAY);
    assert!(fleet.requests().is_empty());
}

#[test]
fn g15_a_stop_rolls_nobody_back() {
    let (mut fleet, robots) = released_to(1);
    let id = fleet.publish(release(100)).unwrap();
    fleet.install_all();
    fleet.stop_release(id).unwrap();
    fleet.pass(DAY);
    assert!(fleet.effects.is_empty());
    let runs = &fleet.state.robot(robots[0]).unwrap().ecus[0].reported;
    assert_eq!(runs.as_ref().unwrap().version, "2");
}

#[test]
fn g12_g16_after_a_stop_the_release_is_inactive_and_cannot_be_stopped_again() {
    let (mut fleet, _) = released_to(2);
    let id = fleet.publish(release(50)).unwrap();
    assert!(fleet.released(id).is_live());
    fleet.stop_release(id).unwrap();
    assert!(is_inactive(&fleet, id));
    let again = fleet.stop_release(id).unwrap_err();
    assert_eq!(again.code(), "release_is_inactive");
    let nobody = fleet.stop_release(ReleaseId(99)).unwrap_err();
    assert_eq!(nobody.code(), "unknown_release");
}

#[test]
fn g12_a_stop_calls_back_who_was_told_and_lets_who_installs_finish() {
    let (mut fleet, _) = released_to(2);
    let id = fleet.publish(release(100)).unwrap();
    let told = fleet.requests();
    for status in [
        EventStatus::Acknowledged,
        EventStatus::Downloading,
        EventStatus::Deploying,
    ] {
        fleet.event(told[0].0, "main", told[0].2, status).unwrap();
    }
    fleet.stop_release(id).unwrap();
    let cancels = fleet.effects.iter().filter_map(|effect| match effect {
        Effect::Request(request) if request.kind == RequestKind::Cancel => Some(request.robot),
        _ => None,
    });
    assert_eq!(cancels.collect::<Vec<_>>(), [told[1].0]);
    fleet.effects.clear();
    fleet
        .event(told[0].0, "main", told[0].2, EventStatus::Deployed)
        .unwrap();
    let image = ReportedImage {
        operation: Some(told[0].2),
        ..fleet::reported("2")
    };
    fleet.base_image(told[0].0, "main", image).unwrap();
    assert_eq!(fleet.state.standstill_of(id).unwrap().updated, 1);
}

#[test]
fn g18_an_inactive_channel_takes_an_image_only_with_a_word_on_whom_it_is_for() {
    let (mut fleet, _) = released_to(10);
    let refused = fleet.publish(same_set("os@2"));
    assert!(matches!(refused, Err(Refusal::NoFormerSet { .. })));
    let id = fleet.publish(release(20)).unwrap();
    fleet.stop_release(id).unwrap();
    let refused = fleet.publish(release(20)).unwrap_err();
    assert_eq!(refused.code(), "choose_set");
    for way in ["--new-set", "--same-set", "release resume"] {
        assert!(refused.to_string().contains(way), "{refused}");
    }
}

#[test]
fn g19_x10_a_resume_goes_on_with_the_same_set_at_the_percentage_that_was_in_force() {
    let (mut fleet, robots) = released_to(20);
    let mut spec = release(10);
    spec.mechanism.max_in_progress = 1;
    let id = fleet.publish(spec).unwrap();
    fleet.raise(id, 30).unwrap();
    let before = fleet.set(id);
    let told = fleet.requests();
    fleet.stop_release(id).unwrap();
    for (robot, ecu, operation) in told {
        fleet
            .fail(robot, &ecu, operation, EventCode::Cancelled)
            .unwrap();
    }
    // Robots that come in between are not of the initial set.
    let late = fleet.robot("late", &[ecu("main", "hw", true)]);
    fleet.online(late);
    fleet.start();
    robots
        .iter()
        .for_each(|robot| fleet.online_with(*robot, 2, "1"));
    fleet.effects.clear();
    fleet.resume_release(id).unwrap();
    let found = fleet.released(id);
    assert!(found.is_live());
    assert_eq!(
        (found.percentage(), found.first_percentage()),
        (share(30), share(10))
    );
    assert_eq!(fleet.install_all(), before);
    assert_eq!(fleet.set(id), before);
    assert_eq!(
        fleet.resume_release(id).unwrap_err().code(),
        "release_is_live"
    );
}

#[test]
fn g20_a_new_set_is_drawn_afresh_with_image_and_percentage_and_may_overlap() {
    let (mut fleet, _) = released_to(40);
    let old = fleet.publish(release(50)).unwrap();
    let before = fleet.set(old);
    fleet.stop_release(old).unwrap();
    fleet.effects.clear();
    let new = fleet.publish(new_set(50, false)).unwrap();
    let after = fleet.set(new);
    assert_eq!(after.len(), 20);
    assert_ne!(after, before);
    assert!(
        !after.is_disjoint(&before),
        "it is a fresh choice, not the rest"
    );
    assert_eq!(fleet.released(old).replaced_by, Some(new));
}

#[test]
fn g20_a_new_set_away_from_the_old_one_has_none_of_its_robots() {
    let (mut fleet, _) = released_to(40);
    let old = fleet.publish(release(25)).unwrap();
    let before = fleet.set(old);
    fleet.stop_release(old).unwrap();
    let new = fleet.publish(new_set(50, true)).unwrap();
    let after = fleet.set(new);
    assert!(after.is_disjoint(&before));
    // Half of the thirty that are left.
    assert_eq!((fleet.released(new).pool_size, after.len()), (30, 15));
}

#[test]
fn g21_the_same_set_gets_another_image_and_keeps_robots_and_percentage() {
    let (mut fleet, _) = released_to(20);
    let old = fleet.publish(release(10)).unwrap();
    fleet.raise(old, 25).unwrap();
    let before = fleet.set(old);
    fleet.stop_release(old).unwrap();
    let with_percentage = ReleaseSpec {
        percentage: Some(share(30)),
        ..same_set("os@3")
    };
    let refused = fleet.publish(with_percentage).unwrap_err();
    assert_eq!(refused.code(), "percentage_is_fixed");
    fleet.effects.clear();
    let new = fleet.publish(same_set("os@3")).unwrap();
    assert_eq!(fleet.set(new), before);
    assert_eq!(fleet.released(new).percentage(), share(25));
    assert_eq!(
        fleet.requests().len(),
        0,
        "the recalled robots have not given up yet"
    );
    // The set can be added to, as ever: by robots of the same pool.
    fleet.raise(new, 50).unwrap();
    assert_eq!(fleet.set(new).len(), 10);
    assert!(fleet.set(new).is_superset(&before));
}

#[test]
fn g22_g27_one_image_per_channel_is_live_at_a_time() {
    let (mut fleet, _) = released_to(4);
    fleet.publish(release(50)).unwrap();
    for spec in [release(50), new_set(50, false), same_set("os@3")] {
        let refused = fleet.publish(spec).unwrap_err();
        assert_eq!(refused.code(), "channel_is_live");
    }
    assert_eq!(fleet.state.releases().count(), 1);
}

#[test]
fn g23_x11_a_lower_percentage_is_refused_with_the_current_one_and_an_equal_one_changes_nothing() {
    let (mut fleet, _) = released_to(10);
    let id = fleet.publish(release(40)).unwrap();
    let lower = fleet.raise(id, 39).unwrap_err();
    assert_eq!(
        lower,
        Refusal::LowerPercentage {
            id,
            current: share(40),
            found: share(39),
        }
    );
    let before = fleet.released(id).clone();
    fleet.raise(id, 40).unwrap();
    assert_eq!(fleet.released(id), &before);
}

#[test]
fn g24_g25_an_increase_shows_and_keeps_everybody_who_was_chosen() {
    let (mut fleet, _) = released_to(50);
    let id = fleet.publish(release(1)).unwrap();
    let mut before = fleet.set(id);
    for percent in [2, 3, 10, 11, 50, 99, 100] {
        fleet.raise(id, percent).unwrap();
        let after = fleet.set(id);
        assert!(after.is_superset(&before));
        assert_eq!(after.len(), share(percent).count(50));
        assert_eq!(fleet.released(id).percentage(), share(percent));
        before = after;
    }
}

#[test]
fn g25_an_increase_tells_only_the_new_robots() {
    let (mut fleet, _) = released_to(10);
    let id = fleet.publish(release(20)).unwrap();
    let first = fleet.install_all();
    assert!(fleet.outcome(fleet.rollouts_of(id)[0]).is_some());
    fleet.raise(id, 70).unwrap();
    let second = fleet.install_all();
    assert_eq!((first.len(), second.len()), (2, 5));
    assert!(first.is_disjoint(&second));
    // 6.3: an increase never touches a completed rollout; it has one of its own.
    assert_eq!(fleet.rollouts_of(id).len(), 2);
}

#[test]
fn g26_an_increase_is_for_live_releases_and_nothing_is_above_100() {
    let (mut fleet, _) = released_to(10);
    let id = fleet.publish(release(100)).unwrap();
    fleet.raise(id, 100).unwrap();
    assert_eq!(fleet.rollouts_of(id).len(), 1);
    fleet.stop_release(id).unwrap();
    let refused = fleet.raise(id, 100).unwrap_err();
    assert_eq!(refused.code(), "release_is_inactive");
}

#[test]
fn g26_an_increase_by_less_than_a_robot_is_noted_and_tells_nobody() {
    let (mut fleet, _) = released_to(10);
    let id = fleet.publish(release(11)).unwrap();
    fleet.raise(id, 19).unwrap();
    assert_eq!((fleet.set(id).len(), fleet.rollouts_of(id).len()), (2, 1));
    assert_eq!(fleet.released(id).percentage(), share(19));
    fleet.raise(id, 21).unwrap();
    assert_eq!((fleet.set(id).len(), fleet.rollouts_of(id).len()), (3, 2));
}

#[test]
fn a_release_that_was_replaced_never_comes_back() {
    let (mut fleet, _) = released_to(10);
    let old = fleet.publish(release(50)).unwrap();
    fleet.stop_release(old).unwrap();
    let new = fleet.publish(new_set(50, false)).unwrap();
    for refused in [
        fleet.stop_release(old),
        fleet.resume_release(old),
        fleet.raise(old, 60),
    ] {
        assert_eq!(refused.unwrap_err().code(), "release_is_replaced");
    }
    // Its rollout is over, and what robots had not begun is the new one's.
    let rollout = fleet.rollouts_of(old)[0];
    let why = EndReason::Replaced { by: new };
    let status = fleet.status(rollout);
    let ends = match status {
        RolloutStatus::Launched { run, .. } => {
            matches!(run, Run::Ending { why: found, .. } if found == why)
        }
        RolloutStatus::Completed { why: found, .. } => found == Some(why),
        RolloutStatus::Prepared => false,
    };
    assert!(ends, "{status:?}");
}

#[test]
fn what_a_release_does_to_its_rollouts_nobody_does_to_one_of_them() {
    let (mut fleet, _) = released_to(4);
    let id = fleet.publish(release(50)).unwrap();
    let rollout = fleet.rollouts_of(id)[0];
    for command in [
        Command::StopRollout { rollout },
        Command::CancelRollout { rollout },
    ] {
        let refused = fleet.command(command).unwrap_err();
        assert_eq!(refused.code(), "rollout_of_release");
    }
    // A pause is a pause: the release stays live.
    fleet.command(Command::PauseRollout { rollout }).unwrap();
    fleet.command(Command::ResumeRollout { rollout }).unwrap();
    fleet.stop_release(id).unwrap();
    let refused = fleet
        .command(Command::ResumeRollout { rollout })
        .unwrap_err();
    assert_eq!(refused.code(), "rollout_of_release");
    // Nor does anybody make one by hand.
    let spec = fleet.spec(TargetSelection::Release(id), &[("hw", "os@3")]);
    assert_eq!(fleet.create(spec).unwrap_err().code(), "target_is_release");
}

/// Requirements 6.3: completed with failure, or expired, means INACTIVE.
#[test]
fn a_rollout_that_ends_badly_makes_its_release_inactive_and_stops_the_others() {
    let (mut fleet, _) = released_to(20);
    let mut spec = release(20);
    spec.mechanism.max_failure_percentage = Some(Percent::hundredths(10_00).unwrap());
    spec.mechanism.max_in_progress = 1;
    let id = fleet.publish(spec).unwrap();
    let first = fleet.requests();
    fleet.raise(id, 60).unwrap();
    let second = fleet.requests();
    assert_eq!((first.len(), second.len()), (1, 1));
    let (robot, ecu, operation) = &first[0];
    fleet
        .fail(*robot, ecu, *operation, EventCode::IoError)
        .unwrap();
    let why = InactiveReason::RolloutEnded {
        rollout: fleet.rollouts_of(id)[0],
    };
    assert!(
        matches!(fleet.released(id).status, ReleaseStatus::Inactive { why: found, .. } if found == why)
    );
    assert!(fleet.requests().is_empty());
    let other = fleet.state.rollout(fleet.rollouts_of(id)[1]).unwrap();
    assert!(matches!(other.run(), Some(Run::Stopped { .. })));
}

/// G19: the set and the percentage stay; the robots of the ended rollout that do not have it are told anew.
#[test]
fn a_resume_brings_back_the_robots_of_a_rollout_that_ended_badly() {
    let (mut fleet, _) = released_to(10);
    let mut spec = release(50);
    spec.mechanism.max_failure_percentage = Some(Percent::hundredths(20_00).unwrap());
    spec.mechanism.max_in_progress = 2;
    let id = fleet.publish(spec).unwrap();
    let set = fleet.set(id);
    let told = fleet.requests();
    fleet.install(told[0].0, "main", told[0].2);
    let third = fleet.requests();
    for (robot, ecu, operation) in [&told[1], &third[0]] {
        fleet
            .fail(*robot, ecu, *operation, EventCode::IoError)
            .unwrap();
    }
    // The fourth was told when the third had failed; it gives up.
    for (robot, ecu, operation) in fleet.requests() {
        fleet
            .fail(robot, &ecu, operation, EventCode::Cancelled)
            .unwrap();
    }
    assert!(is_inactive(&fleet, id));
    fleet.resume_release(id).unwrap();
    let again = fleet.install_all();
    let mut expected = set.clone();
    expected.remove(&told[0].0);
    assert_eq!(again, expected);
    let newest = *fleet.rollouts_of(id).last().unwrap();
    let members = fleet.state.rollout(newest).unwrap().members.keys();
    assert_eq!(members.collect::<BTreeSet<_>>(), expected);
    assert_eq!(fleet.set(id), set);
    assert!(fleet.released(id).is_live());
    // Each robot counts once, as its newest rollout has it.
    let found = fleet.state.standstill_of(id).unwrap();
    assert_eq!((found.updated, found.not_updated, found.waiting), (5, 0, 0));
    let counts = fleet.state.release_counts(fleet.released(id));
    assert_eq!((counts.chosen, counts.succeeded, counts.failed), (5, 5, 0));
}

#[test]
fn a_release_whose_robots_are_all_done_stays_live() {
    let (mut fleet, _) = released_to(10);
    let id = fleet.publish(release(50)).unwrap();
    fleet.install_all();
    fleet.pass(2 * DAY);
    assert!(fleet.released(id).is_live());
    fleet.raise(id, 100).unwrap();
    assert_eq!(fleet.install_all().len(), 5);
}

#[test]
fn a_release_to_nobody_is_refused_and_nothing_is_kept() {
    let mut fleet = Fleet::default();
    fleet.start();
    fleet.image("os@2", &["hw"]);
    let refused = fleet.publish(release(100)).unwrap_err();
    assert_eq!(refused.code(), "affects_nobody");
    assert_eq!(fleet.state.releases().count(), 0);
}

#[test]
fn a_release_begins_at_once_and_says_by_its_sampling_who_may_join() {
    let (mut fleet, _) = released_to(2);
    let mut later = release(50);
    later.mechanism.schedule.start = Some(Timestamp(fleet.now + DAY));
    assert_eq!(fleet.publish(later), Err(Refusal::ReleaseStartsAtOnce));
    let mut dynamic = release(50);
    dynamic.mechanism.dynamic = true;
    assert_eq!(fleet.publish(dynamic), Err(Refusal::ReleaseIsSampled));
}

#[test]
fn an_image_that_a_release_can_go_on_with_stays() {
    let (mut fleet, _) = released_to(1);
    let id = fleet.publish(release(100)).unwrap();
    fleet.install_all();
    let image = || "os@2".parse().unwrap();
    let refused = fleet.command(Command::RemoveImage { image: image() });
    assert_eq!(refused.unwrap_err().code(), "image_released");
    fleet.stop_release(id).unwrap();
    fleet.publish(same_set("os@3")).unwrap();
    fleet.install_all();
    fleet
        .command(Command::RemoveImage { image: image() })
        .unwrap();
}

#[test]
fn a_preview_says_what_a_publish_does_and_does_nothing() {
    let (mut fleet, _) = released_to(30);
    let before = format!("{:?}", fleet.state);
    let preview = fleet.state.preview_release(&release(40)).unwrap();
    assert_eq!(before, format!("{:?}", fleet.state));
    let planned: BTreeSet<_> = preview
        .plan
        .robots
        .iter()
        .map(|robot| robot.robot)
        .collect();
    assert_eq!((preview.pool, planned.len()), (30, 12));
    let id = fleet.publish(release(40)).unwrap();
    assert_eq!(fleet.set(id), planned);
    let refused = fleet.state.preview_release(&release(40)).unwrap_err();
    assert_eq!(refused.code(), "channel_is_live");
}

#[test]
fn what_was_done_is_remembered_with_when_and_by_whom() {
    let (mut fleet, _) = released_to(10);
    let id = fleet.publish(release(10)).unwrap();
    fleet.raise(id, 20).unwrap();
    fleet.stop_release(id).unwrap();
    fleet.resume_release(id).unwrap();
    fleet.stop_release(id).unwrap();
    let new = fleet.publish(same_set("os@3")).unwrap();
    let deeds = |id| {
        let acts = fleet.released(id).acts.iter();
        acts.map(|act| (act.by.0.as_str(), act.what))
            .collect::<Vec<_>>()
    };
    let why = InactiveReason::Stopped;
    let first = Deed::Published {
        percentage: share(10),
        set_of: None,
    };
    let raised = Deed::Raised {
        percentage: share(20),
    };
    let expected = [
        first,
        raised,
        Deed::Stopped { why },
        Deed::Resumed,
        Deed::Stopped { why },
        Deed::Replaced { release: new },
    ];
    assert_eq!(deeds(id), expected.map(|what| ("op", what)));
    let took_over = Deed::Published {
        percentage: share(20),
        set_of: Some(id),
    };
    assert_eq!(deeds(new), [("op", took_over)]);
}

fn say(fleet: &mut Fleet, told: &[(RobotKey, String, uuid::Uuid)], code: EventCode) {
    for (robot, ecu, operation) in told {
        fleet.fail(*robot, ecu, *operation, code).unwrap();
    }
}

#[test]
fn a_stop_holds_what_was_paused_too() {
    let (mut fleet, _) = released_to(4);
    let id = fleet.publish(release(50)).unwrap();
    let rollout = fleet.rollouts_of(id)[0];
    fleet.command(Command::PauseRollout { rollout }).unwrap();
    fleet.stop_release(id).unwrap();
    let run = fleet.state.rollout(rollout).unwrap().run();
    assert!(matches!(run, Some(Run::Stopped { .. })));
}

/// G14: a resume at which the first rollout ends badly must not start the others.
#[test]
fn a_resume_that_ends_the_release_at_once_starts_nothing_else() {
    let (mut fleet, robots) = released_to(0);
    assert!(robots.is_empty());
    let robots = fleet.robots(10);
    for robot in &robots {
        fleet.online_with(*robot, 1, "1.0.0");
    }
    fleet.image("os@2.0.0", &["hw"]);
    let mut spec = release(20);
    spec.what = Released::Image("os@2.0.0".parse().unwrap());
    spec.mechanism.max_failure_percentage = Some(Percent::hundredths(0).unwrap());
    let planned = fleet.state.preview_release(&spec).unwrap().plan.robots;
    let away = planned[0].robot;
    fleet.disconnect(away);
    let id = fleet.publish(spec).unwrap();
    fleet.raise(id, 60).unwrap();
    let told = fleet.requests();
    assert_eq!(told.len(), 5);
    fleet.stop_release(id).unwrap();
    say(&mut fleet, &told, EventCode::Cancelled);
    // Somebody has updated it by hand meanwhile: it fails as a downgrade when it is to be told.
    fleet.online_with(away, 2, "3.0.0");
    fleet.effects.clear();
    fleet.resume_release(id).unwrap();
    assert!(is_inactive(&fleet, id));
    let first = &fleet
        .state
        .rollout(fleet.rollouts_of(id)[0])
        .unwrap()
        .members;
    let first: BTreeSet<_> = first.keys().collect();
    let told = fleet.requests();
    assert!(
        told.iter().all(|(robot, ..)| first.contains(robot)),
        "{told:?}"
    );
    let second = fleet.state.rollout(fleet.rollouts_of(id)[1]).unwrap();
    assert!(matches!(second.run(), Some(Run::Stopped { .. })));
}

/// The threshold ends the release, not the last robot that still writes.
#[test]
fn a_threshold_makes_a_release_inactive_while_others_still_install() {
    let (mut fleet, _) = released_to(10);
    let mut spec = release(40);
    spec.mechanism.max_failure_percentage = Some(Percent::hundredths(10_00).unwrap());
    let id = fleet.publish(spec).unwrap();
    let told = fleet.requests();
    for status in [
        EventStatus::Acknowledged,
        EventStatus::Downloading,
        EventStatus::Deploying,
    ] {
        fleet.event(told[0].0, "main", told[0].2, status).unwrap();
    }
    say(&mut fleet, &told[1..2], EventCode::IoError);
    assert!(is_inactive(&fleet, id));
    let refused = fleet.raise(id, 100).unwrap_err();
    assert_eq!(refused.code(), "release_is_inactive");
    // A resume now brings everybody back but the one that writes and may succeed.
    say(&mut fleet, &told[2..], EventCode::Cancelled);
    fleet.effects.clear();
    fleet.resume_release(id).unwrap();
    let again: BTreeSet<_> = fleet
        .requests()
        .into_iter()
        .map(|(robot, ..)| robot)
        .collect();
    assert_eq!(again, told[1..].iter().map(|(robot, ..)| *robot).collect());
    fleet.install(told[0].0, "main", told[0].2);
    assert!(fleet.released(id).is_live());
}

/// G19: who was called back by a stop, and overtaken by the deadline, is of the set as before.
#[test]
fn a_resume_after_the_deadline_brings_back_whom_the_stop_called_back() {
    let (mut fleet, _) = released_to(10);
    let mut spec = release(100);
    spec.mechanism.max_in_progress = 5;
    let id = fleet.publish(spec).unwrap();
    for (robot, ecu, operation) in fleet.requests() {
        fleet.install(robot, &ecu, operation);
    }
    let told = fleet.requests();
    assert_eq!(told.len(), 5);
    fleet.stop_release(id).unwrap();
    say(&mut fleet, &told, EventCode::Cancelled);
    fleet.pass(31 * DAY);
    assert_eq!(
        fleet.outcome(fleet.rollouts_of(id)[0]),
        Some(Completion::Partial)
    );
    fleet.resume_release(id).unwrap();
    let again: BTreeSet<_> = fleet
        .requests()
        .into_iter()
        .map(|(robot, ..)| robot)
        .collect();
    assert_eq!(again, told.iter().map(|(robot, ..)| *robot).collect());
}

#[test]
fn a_release_ends_with_its_channel_and_its_history_stays() {
    let (mut fleet, _) = released_to(4);
    let add = |fleet: &mut Fleet| {
        let (name, groups) = (channel("canary"), BTreeSet::new());
        fleet.command(Command::AddChannel { name, groups }).unwrap();
    };
    let canary = || ReleaseSpec {
        channel: channel("canary"),
        ..release(50)
    };
    add(&mut fleet);
    let id = fleet.publish(canary()).unwrap();
    let remove = || Command::RemoveChannel {
        name: channel("canary"),
    };
    let refused = fleet.command(remove()).unwrap_err();
    assert_eq!(refused.code(), "channel_is_live");
    let told = fleet.requests();
    fleet.stop_release(id).unwrap();
    say(&mut fleet, &told, EventCode::Cancelled);
    fleet.command(remove()).unwrap();
    for refused in [fleet.resume_release(id), fleet.raise(id, 60)] {
        assert_eq!(refused.unwrap_err().code(), "release_is_over");
    }
    assert!(fleet.outcome(fleet.rollouts_of(id)[0]).is_some());
    // Another channel of that name begins anew; what the old one had can go.
    add(&mut fleet);
    let new = fleet.publish(canary()).unwrap();
    assert_eq!(fleet.released(new).acts.len(), 1);
    assert_eq!(fleet.state.releases().count(), 2);
}
