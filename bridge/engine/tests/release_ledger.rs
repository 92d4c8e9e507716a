//! Releases from the ledger (requirements G2, G8, G11, G17): for everybody, read-only, ended by the ledger or by the source.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::ledger::{IMAGE, Ledger, channel, file, record, source};
use fleet::release::share;
use fleet::{Fleet, reported};
use rollcall_engine::*;

fn release(percent: u64) -> ReleaseSpec {
    ReleaseSpec {
        channel: channel(),
        ..fleet::release::release(percent)
    }
}

fn of_ledger(version: Option<u32>) -> ReleaseSpec {
    ReleaseSpec {
        what: Released::Ledger { version },
        percentage: None,
        ..release(1)
    }
}

/// Robots that run version 1 of the product, whose versions 1 to 3 are known and whose version 2 is here.
fn following(count: usize) -> (Fleet, Vec<RobotKey>) {
    let mut fleet = Fleet::default();
    fleet.start();
    let (name, groups) = (channel(), Default::default());
    fleet.command(Command::AddChannel { name, groups }).unwrap();
    let robots = fleet.robots(count);
    for robot in &robots {
        fleet.online_with(*robot, 1, "1.0.0");
    }
    fleet.image("os@2", &["hw"]);
    fleet.source(Source::Ledger(source())).unwrap();
    for number in 1..=3 {
        fleet.record(record(number)).unwrap();
    }
    fleet.attach(2, file()).unwrap();
    (fleet, robots)
}

fn why(fleet: &Fleet, id: ReleaseId) -> InactiveReason {
    match fleet.released(id).status {
        ReleaseStatus::Inactive { why, .. } => why,
        ReleaseStatus::Live => panic!("it is live"),
    }
}

#[test]
fn g2_a_channel_gives_what_its_source_has_and_nothing_else() {
    let (mut fleet, _) = following(2);
    let ours = fleet.publish(release(100)).unwrap_err();
    assert_eq!(ours.code(), "source_is_ledger");
    fleet.source(Source::Console).unwrap();
    let theirs = fleet.publish(of_ledger(Some(2))).unwrap_err();
    assert_eq!(theirs.code(), "not_from_ledger");
    fleet.publish(release(100)).unwrap();
    // One image is live at a time, wherever it comes from.
    let refused = fleet.source(Source::Ledger(source())).unwrap_err();
    assert_eq!(refused.code(), "channel_is_live");
}

#[test]
fn g8_a_version_of_the_ledger_goes_to_every_robot_that_may_have_it() {
    let (mut fleet, robots) = following(3);
    let old = fleet.robot("old", &[fleet::ecu("main", "hw", true)]);
    fleet.online_with(old, 1, "0.9.0");
    let id = fleet.publish(of_ledger(None)).unwrap();
    let found = fleet.released(id);
    assert_eq!((found.ledger, found.percentage()), (Some(2), share(100)));
    let image = fleet.state.image(found.image).unwrap();
    assert_eq!(image.reference.to_string(), IMAGE);
    let told: Vec<_> = fleet
        .requests()
        .into_iter()
        .map(|(robot, ..)| robot)
        .collect();
    assert_eq!(told, robots);
    // Outside of minApplicable to maxApplicable it is not offered.
    let rollout = fleet.rollouts_of(id)[0];
    let skipped = fleet.target_state(rollout, old);
    assert!(
        matches!(skipped, TargetState::Skipped { .. }),
        "{skipped:?}"
    );
}

#[test]
fn what_the_ledger_does_not_have_here_cannot_be_released() {
    let (mut fleet, _) = following(1);
    for (version, code) in [
        (Some(9), "unknown_ledger_version"),
        (Some(3), "ledger_file_missing"),
    ] {
        assert_eq!(fleet.publish(of_ledger(version)).unwrap_err().code(), code);
    }
    let mut part = of_ledger(Some(2));
    part.percentage = Some(share(50));
    assert_eq!(fleet.publish(part), Err(Refusal::LedgerIsForAll));
    let mut pausing = of_ledger(Some(2));
    pausing.mechanism.abort = vec![AbortRule {
        kind: FailureKind::All,
        percentage: Percent::ALL,
        min_tried: 1,
        action: ThresholdAction::Pause,
    }];
    assert_eq!(fleet.publish(pausing), Err(Refusal::LedgerCannotPause));
    fleet.vanish(2).unwrap();
    let withdrawn = fleet.publish(of_ledger(Some(2))).unwrap_err();
    assert_eq!(withdrawn.code(), "ledger_version_withdrawn");
    let nothing = fleet.publish(of_ledger(None)).unwrap_err();
    assert_eq!(nothing.code(), "nothing_on_ledger");
}

#[test]
fn g11_a_release_from_the_ledger_is_read_only() {
    let (mut fleet, _) = following(2);
    let id = fleet.publish(of_ledger(Some(2))).unwrap();
    let rollout = fleet.rollouts_of(id)[0];
    let edit = || {
        Box::new(RolloutEdit {
            max_in_progress: Some(1),
            ..RolloutEdit::default()
        })
    };
    let before = fleet.released(id).clone();
    for command in [
        Command::StopRelease { release: id },
        Command::ResumeRelease { release: id },
        Command::RaiseRelease {
            release: id,
            percentage: share(100),
        },
        Command::PauseRollout { rollout },
        Command::EditRollout {
            rollout,
            edit: edit(),
        },
    ] {
        let refused = fleet.command(command.clone()).unwrap_err();
        assert_eq!(refused.code(), "release_is_read_only", "{command:?}");
        assert!(
            refused
                .to_string()
                .contains("channel source matter console")
        );
    }
    assert_eq!(fleet.released(id), &before);
}

#[test]
fn g17_the_console_as_source_stops_what_came_from_the_ledger() {
    let (mut fleet, robots) = following(2);
    fleet.disconnect(robots[1]);
    let id = fleet.publish(of_ledger(Some(2))).unwrap();
    assert_eq!(fleet.requests().len(), 1);
    fleet.source(Source::Console).unwrap();
    assert_eq!(why(&fleet, id), InactiveReason::SourceSwitched);
    assert_eq!(fleet.released(id).acts[1].by.0, "op");
    fleet.online_with(robots[1], 2, "1.0.0");
    assert!(fleet.requests().is_empty());
    // It stays read-only, and its channel is free for the next.
    assert_eq!(
        fleet.resume_release(id).unwrap_err().code(),
        "release_is_read_only"
    );
    assert_eq!(fleet.publish(release(50)).unwrap_err().code(), "choose_set");
    let same_set = ReleaseSpec {
        channel: channel(),
        ..fleet::release::same_set("os@2")
    };
    fleet.publish(same_set).unwrap();
}

#[test]
fn another_address_of_the_same_ledger_lets_its_release_go_on() {
    let (mut fleet, _) = following(1);
    let id = fleet.publish(of_ledger(Some(2))).unwrap();
    let moved = LedgerSource {
        origin: LedgerOrigin::Rest {
            url: "https://ledger.example".into(),
        },
        ..source()
    };
    fleet.source(Source::Ledger(moved)).unwrap();
    assert!(fleet.released(id).is_live());
    let mut other = source();
    other.product.pid += 1;
    fleet.source(Source::Ledger(other)).unwrap();
    assert_eq!(why(&fleet, id), InactiveReason::SourceSwitched);
}

#[test]
fn a_version_that_turns_invalid_stops_its_release_at_once() {
    let (mut fleet, robots) = following(3);
    let mut spec = of_ledger(Some(2));
    spec.mechanism.max_in_progress = 1;
    let id = fleet.publish(spec).unwrap();
    let told = fleet.requests();
    let withdrawn = LedgerRecord {
        software_version_valid: false,
        ..record(2)
    };
    fleet.record(withdrawn).unwrap();
    assert_eq!(why(&fleet, id), InactiveReason::Withdrawn);
    let cancels = std::mem::take(&mut fleet.effects);
    assert!(matches!(&cancels[..], [Effect::Request(request)]
        if request.kind == RequestKind::Cancel && request.robot == told[0].0));
    for robot in robots {
        fleet.disconnect(robot);
        fleet.online_with(robot, 2, "1.0.0");
    }
    assert!(fleet.requests().is_empty());
    // Valid again: that alone releases nothing, and somebody may.
    fleet.record(record(2)).unwrap();
    assert!(!fleet.released(id).is_live());
    fleet.publish(of_ledger(Some(2))).unwrap();
}

#[test]
fn another_version_that_is_withdrawn_stops_nothing() {
    let (mut fleet, robots) = following(1);
    let id = fleet.publish(of_ledger(Some(2))).unwrap();
    fleet.vanish(3).unwrap();
    assert!(fleet.released(id).is_live());
    let told = fleet.requests();
    for status in [
        EventStatus::Acknowledged,
        EventStatus::Downloading,
        EventStatus::Deploying,
    ] {
        fleet.event(robots[0], "main", told[0].2, status).unwrap();
    }
    let image = ReportedImage {
        name: "dcl-fff1-8000".into(),
        operation: Some(told[0].2),
        ..reported("2.0.0")
    };
    fleet.base_image(robots[0], "main", image).unwrap();
    assert_eq!(fleet.state.standstill_of(id).unwrap().updated, 1);
}

/// Whoever releases it: what is withdrawn is offered to nobody.
#[test]
fn a_withdrawn_version_ends_releases_on_other_channels_and_is_not_released_again() {
    let (mut fleet, _) = following(2);
    let elsewhere = || ReleaseSpec {
        what: Released::Image(IMAGE.parse().unwrap()),
        ..fleet::release::release(50)
    };
    let id = fleet.publish(elsewhere()).unwrap();
    fleet.vanish(2).unwrap();
    assert_eq!(why(&fleet, id), InactiveReason::Withdrawn);
    for refused in [
        fleet.resume_release(id).map(drop),
        fleet.publish(fleet::release::same_set(IMAGE)).map(drop),
    ] {
        assert_eq!(refused.unwrap_err().code(), "image_withdrawn");
    }
}
