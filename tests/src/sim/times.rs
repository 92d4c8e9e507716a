//! People who plan by the clock, who take in robots later, and who update single robots by hand.

use super::dice::Dice;
use super::hours;
use super::scenario::MINUTE;
use rollcall_engine::{
    Command, GroupName, ImageSpec, ManualUpdate, Mechanism, OfflinePolicy, Percent, Phase,
    PhaseSize, RobotEdit, RobotId, Schedule, State, Tag, ThresholdAction, Timestamp, Windows,
};
use std::collections::BTreeMap;

/// Whom and what people can name.
pub(super) struct Known<'a> {
    pub(super) robots: &'a [RobotId],
    pub(super) images: &'a [ImageSpec],
    pub(super) groups: Vec<GroupName>,
    pub(super) tags: &'a [&'static str],
}

/// Gives a mechanism what depends on the clock and on who comes later, each sometimes.
pub(super) fn mechanism(
    dice: &mut Dice,
    now: Timestamp,
    groups: &[GroupName],
    plain: Mechanism,
) -> Mechanism {
    Mechanism {
        windows: dice.chance(50).then(|| windows(dice)),
        schedule: schedule(dice, now),
        dynamic: dice.chance(40),
        offline: match dice.chance(40) {
            true => OfflinePolicy::Fail {
                grace: *dice.pick(&[0, 1_500, 40_000, 4 * MINUTE, 15 * MINUTE]),
            },
            false => OfflinePolicy::Wait,
        },
        phases: match dice.chance(30) {
            true => phases(dice, groups),
            false => plain.phases,
        },
        ..plain
    }
}

fn windows(dice: &mut Dice) -> Windows {
    let all = hours::all();
    let count = dice.within(1, 2);
    let zones: Vec<_> = hours::zones().collect();
    let labels = ["timezone", "timezone", "timezone", "site"];
    Windows {
        windows: (0..count).map(|_| dice.pick(&all).clone()).collect(),
        zone: dice.word(&zones).parse().expect("it is in the database"),
        zone_label: dice.word(&labels).to_owned(),
    }
}

/// Sometimes in the past, or over before it begins, which must be refused.
fn schedule(dice: &mut Dice, now: Timestamp) -> Schedule {
    let start = dice
        .chance(35)
        .then(|| now.after(dice.within(0, 40 * MINUTE)));
    let from = start.unwrap_or(now);
    let end = dice
        .chance(35)
        .then(|| from.after(dice.within(0, 90 * MINUTE)));
    let past = dice
        .chance(3)
        .then(|| Timestamp(now.0 - dice.within(1, MINUTE)));
    Schedule {
        start: past.or(start),
        end,
    }
}

fn phases(dice: &mut Dice, groups: &[GroupName]) -> Vec<Phase> {
    let share = |dice: &mut Dice| {
        let share = *dice.pick(&[1, 3_333, 5_000, 10_000]);
        Percent::hundredths(share).unwrap_or(Percent::ALL)
    };
    let mut sizes = vec![PhaseSize::Group(dice.pick(groups).clone())];
    if dice.chance(50) {
        sizes.push(match dice.chance(50) {
            true => PhaseSize::Group(dice.pick(groups).clone()),
            false => PhaseSize::Percentage(share(dice)),
        });
    }
    let mut phases: Vec<_> = sizes
        .into_iter()
        .map(|size| Phase {
            success_threshold: share(dice),
            soak: *dice.pick(&[0, 2_345, 2 * MINUTE]),
            approval: dice.chance(20),
            error_threshold: dice.chance(20).then(|| share(dice)),
            on_error: *dice.pick(&[ThresholdAction::Abort, ThresholdAction::Pause]),
            ..Phase::new(size)
        })
        .collect();
    phases.push(Phase::new(PhaseSize::Rest));
    phases
}

/// Something that these people do now.
pub(super) fn act(dice: &mut Dice, state: &State, known: &Known<'_>) -> Vec<Command> {
    if known.robots.is_empty() {
        return Vec::new();
    }
    match dice.within(0, 9) {
        0..=2 => vec![Command::AddGroup {
            name: dice.pick(&known.groups).clone(),
            robots: dice.some(known.robots, 30),
        }],
        3..=6 => {
            let some = dice.some(known.robots, 30);
            let edit = |robot| Command::EditRobot {
                robot,
                edit: words(dice, known.tags),
            };
            some.into_iter().map(edit).collect()
        }
        _ => vec![by_hand(dice, state, known)],
    }
}

/// Another time zone, or none; other tags.
fn words(dice: &mut Dice, tags: &[&'static str]) -> RobotEdit {
    let tag = |tag: &'static str| Tag::new(tag).expect("tags follow the grammar");
    let mut edit = RobotEdit {
        add_tags: dice.some(tags, 30).into_iter().map(tag).collect(),
        remove_tags: dice.some(tags, 20).into_iter().map(tag).collect(),
        ..RobotEdit::default()
    };
    if dice.chance(60) {
        edit.set_labels = BTreeMap::from([zone_label(dice)]);
    } else if dice.chance(20) {
        edit.remove_labels.insert("timezone".to_owned());
    }
    edit
}

/// A robot's label with its time zone.
pub(super) fn zone_label(dice: &mut Dice) -> (String, String) {
    let zone = dice.word(&hours::LABELS);
    ("timezone".to_owned(), zone.to_owned())
}

/// An update of one robot by hand, sometimes of a board that the image is not for, sometimes not confirmed.
fn by_hand(dice: &mut Dice, state: &State, known: &Known<'_>) -> Command {
    let robot = dice.pick(known.robots).clone();
    let key = state.robot_key(robot.as_str());
    let ecus = key
        .and_then(|key| state.robot(key))
        .map(|robot| &robot.ecus);
    let ecus: Vec<_> = ecus.into_iter().flatten().collect();
    let ecu = (!ecus.is_empty()).then(|| *dice.pick(&ecus));
    let meant = dice.chance(85);
    let runs_there = |image: &&ImageSpec| {
        ecu.is_none_or(|ecu| !meant || image.hardware_ids.contains(&ecu.hardware_id))
    };
    let images: Vec<_> = known.images.iter().filter(runs_there).collect();
    let image = if images.is_empty() {
        &known.images[0]
    } else {
        *dice.pick(&images)
    };
    let ecu = ecu.filter(|_| dice.chance(85)).map(|ecu| ecu.name.clone());
    let confirm = match dice.chance(90) {
        true => robot.to_string(),
        false => "yes".to_owned(),
    };
    Command::ManualUpdate(ManualUpdate {
        ecu,
        image: image.reference.clone(),
        confirm,
        offline: dice.chance(50).then_some(OfflinePolicy::Wait),
        deadline: Some(dice.within(MINUTE, 120 * MINUTE)),
        robot,
    })
}
