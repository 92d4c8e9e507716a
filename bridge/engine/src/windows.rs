//! Maintenance windows of a launched rollout: who is in which time zone, and whether it is open there.
//!
//! A robot is told only while a window is open where it is. What a question to the calendar costs is saved by keeping its
//! answer until it changes; an answer that is too old is never used, so that nothing depends on when a timer comes.

use crate::calendar::{BadZone, LONGEST_DAYS, Opening, Span, TimeZone, Windows};
use crate::inventory::{Robot, RobotKey};
use crate::mechanism::{Mechanism, OfflinePolicy};
use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::robot_map::RobotSet;
use crate::rollout::{Rollout, RolloutId};
use crate::state::{Changes, State};
use crate::time::{Millis, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Windows of each zone that a preview shows.
pub const UPCOMING_WINDOWS: usize = 5;
/// After so long it is asked again whether what stays open still does.
const LONGEST: Millis = LONGEST_DAYS as Millis * 24 * 3_600_000;

/// The robots of a launched rollout with windows by time zone. Derived.
#[derive(Debug, Clone, Default)]
pub struct Zones {
    zones: BTreeMap<TimeZone, Zone>,
    /// When the first of them changes.
    next: Option<Timestamp>,
    /// When robots came from another zone, if they have since the launch and the start of the server.
    moved: BTreeMap<RobotKey, Timestamp>,
}

#[derive(Debug, Clone)]
struct Zone {
    /// Holds until `until`.
    opening: Opening,
    until: Option<Timestamp>,
    /// When it opened, if it has since the launch and the start of the server.
    opened: Timestamp,
    robots: RobotSet,
}

/// When robots of one time zone may be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneWindows {
    /// Which zone.
    pub zone: TimeZone,
    /// Robots that go by it.
    pub robots: u32,
    /// Those of them that do so because their label names no zone.
    pub bad_labels: u32,
    /// The next windows, at most [`UPCOMING_WINDOWS`]; one that is open begins with the question.
    pub upcoming: Vec<Span>,
}

/// An answer of the calendar, and when another one is due.
fn ask(windows: &Windows, zone: &TimeZone, now: Timestamp) -> (Opening, Option<Timestamp>) {
    let opening = windows.at(now, zone);
    let until = match opening {
        Opening::Open { until } => Some(until.unwrap_or(now.after(LONGEST))),
        Opening::Closed { opens_at } => Some(opens_at),
        Opening::Never => None,
    };
    (opening, until)
}

/// The zone that the robot goes by, and what is wrong with its label.
fn zone_of(windows: &Windows, robot: &Robot) -> (TimeZone, Option<BadZone>) {
    let label = robot.labels.get(&windows.zone_label);
    windows.zone_of(label.map(String::as_str))
}

impl Zones {
    pub(crate) fn join(&mut self, windows: &Windows, robot: &Robot, now: Timestamp) {
        let (zone, _) = zone_of(windows, robot);
        if let Some(zone) = self.zones.get_mut(&zone) {
            zone.robots.insert(robot.key);
            return;
        }
        let (opening, until) = ask(windows, &zone, now);
        let robots = RobotSet::from_iter([robot.key]);
        self.zones.insert(
            zone,
            Zone {
                opening,
                until,
                opened: Timestamp::default(),
                robots,
            },
        );
        self.next = [self.next, until].into_iter().flatten().min();
    }

    /// The robot's labels have changed: whether it is in another zone now.
    fn follow(&mut self, windows: &Windows, robot: &Robot, now: Timestamp) -> bool {
        let (name, _) = zone_of(windows, robot);
        let there = self.zones.get(&name);
        if there.is_some_and(|zone| zone.robots.contains(&robot.key)) {
            return false;
        }
        self.zones.retain(|_, zone| {
            zone.robots.remove(&robot.key);
            !zone.robots.is_empty()
        });
        self.join(windows, robot, now);
        self.moved.insert(robot.key, now);
        true
    }

    /// Asks again where the answer has changed. Returns the robots there.
    fn turn(&mut self, windows: &Windows, now: Timestamp) -> Vec<RobotKey> {
        let mut there = Vec::new();
        if self.next.is_none_or(|next| next > now) {
            return there;
        }
        for (name, zone) in &mut self.zones {
            if let Some(changed) = zone.until.filter(|until| *until <= now) {
                if matches!(zone.opening, Opening::Closed { .. }) {
                    zone.opened = changed;
                }
                (zone.opening, zone.until) = ask(windows, name, now);
                there.extend(zone.robots.iter());
            }
        }
        self.next = self.zones.values().filter_map(|zone| zone.until).min();
        there
    }

    /// The answer that is kept, if it still holds.
    fn kept(&self, zone: &TimeZone, now: Timestamp) -> Option<Opening> {
        let zone = self.zones.get(zone)?;
        let holds = zone.until.is_none_or(|until| until > now);
        holds.then_some(zone.opening)
    }
}

impl Rollout {
    /// Whether a robot with these labels may be told now, by which zone, and what is wrong with its label. `None`: the
    /// rollout has no windows.
    pub(crate) fn opening(
        &self,
        robot: &Robot,
        now: Timestamp,
    ) -> Option<(Opening, TimeZone, Option<BadZone>)> {
        let windows = self.mechanism.windows.as_ref()?;
        let (zone, bad) = zone_of(windows, robot);
        let kept = self.zones.kept(&zone, now);
        let opening = kept.unwrap_or_else(|| windows.at(now, &zone));
        Some((opening, zone, bad))
    }

    /// Whether the robot's window is open, or there are none.
    pub(crate) fn window_is_open(&self, robot: &Robot, now: Timestamp) -> bool {
        self.opening(robot, now)
            .is_none_or(|(opening, _, _)| matches!(opening, Opening::Open { .. }))
    }

    /// Since when the robot's window is open, where it is now; the epoch when it always was, `None` when it is not.
    pub(crate) fn open_since(&self, robot: &Robot, now: Timestamp) -> Option<Timestamp> {
        let Some(windows) = &self.mechanism.windows else {
            return Some(Timestamp::default());
        };
        let zone = self.zones.zones.get(&zone_of(windows, robot).0)?;
        // A kept answer that has run out is asked for anew before anybody's time is counted by it.
        let holds = zone.until.is_none_or(|until| until > now);
        let moved = self.zones.moved.get(&robot.key).copied();
        let since = zone.opened.max(moved.unwrap_or_default());
        (holds && matches!(zone.opening, Opening::Open { .. })).then_some(since)
    }

    /// When the next window of any zone opens or closes.
    pub(crate) const fn window_timer(&self) -> Option<Timestamp> {
        self.zones.next
    }

    /// A robot comes in.
    pub(crate) fn join_zone(&mut self, robot: &Robot, now: Timestamp) {
        if let Some(windows) = &self.mechanism.windows {
            self.zones.join(windows, robot, now);
        }
    }
}

impl State {
    /// Windows that have opened or closed. Says whether somebody can be told now who could not, or the reverse.
    pub(crate) fn turn_windows(&mut self, id: RolloutId) -> bool {
        let now = self.now;
        let Some(rollout) = self.rollouts.get_mut(&id) else {
            return false;
        };
        let Some(windows) = &rollout.mechanism.windows else {
            return false;
        };
        let turned = rollout.zones.turn(windows, now);
        // Patience with offline robots begins with a window: recorded, so that a replay counts from the same time.
        let mut moved = !turned.is_empty() && rollout.mechanism.offline != OfflinePolicy::Wait;
        for key in turned {
            moved |= self.refresh_ready(key);
        }
        moved
    }

    /// The robot's labels have changed, and perhaps its time zone with them.
    pub(crate) fn move_zone(&mut self, key: RobotKey, changes: &mut Changes) {
        let Some(robot) = self.robots.get(&key) else {
            return;
        };
        let mut moved = false;
        for id in &robot.open {
            let Some(rollout) = self.rollouts.get_mut(id) else {
                continue;
            };
            if let Some(windows) = &rollout.mechanism.windows {
                moved |= rollout.zones.follow(windows, robot, self.now);
            }
        }
        if moved {
            for id in robot.open.clone() {
                self.arm_rollout(id);
            }
            self.refresh_ready(key);
            self.offer(key, changes);
        }
    }

    /// When the robots of a plan may be told, by zone; empty without windows. A rollout that starts later is asked about
    /// then.
    #[must_use]
    pub fn windows_of(&self, mechanism: &Mechanism, plan: &Plan) -> Vec<ZoneWindows> {
        let Some(windows) = &mechanism.windows else {
            return Vec::new();
        };
        let mut zones: BTreeMap<TimeZone, (u32, u32)> = BTreeMap::new();
        for planned in plan.affected() {
            let Some(robot) = self.robots.get(&planned.robot) else {
                continue;
            };
            let (zone, bad) = zone_of(windows, robot);
            let (robots, bad_labels) = zones.entry(zone).or_default();
            *robots += 1;
            *bad_labels += u32::from(bad.is_some());
        }
        let from = self.starts(mechanism);
        let shown = |(zone, (robots, bad_labels)): (TimeZone, (u32, u32))| ZoneWindows {
            upcoming: windows
                .upcoming(from, &zone)
                .take(UPCOMING_WINDOWS)
                .collect(),
            zone,
            robots,
            bad_labels,
        };
        zones.into_iter().map(shown).collect()
    }

    /// Refuses a rollout that would end before a window of any of its robots opens.
    pub(crate) fn check_windows(&self, mechanism: &Mechanism, plan: &Plan) -> Result<(), Refusal> {
        let Some(windows) = &mechanism.windows else {
            return Ok(());
        };
        let from = self.starts(mechanism);
        let ends = mechanism.ends(from);
        let robots = plan
            .affected()
            .filter_map(|planned| self.robots.get(&planned.robot));
        let zones: BTreeSet<_> = robots.map(|robot| zone_of(windows, robot).0).collect();
        let mut opens = None;
        for zone in &zones {
            match windows.at(from, zone) {
                Opening::Open { .. } => return Ok(()),
                Opening::Closed { opens_at } if opens_at < ends => return Ok(()),
                Opening::Closed { opens_at } => {
                    opens = Some(opens.map_or(opens_at, |at: Timestamp| at.min(opens_at)));
                }
                Opening::Never => {}
            }
        }
        match zones.is_empty() {
            true => Ok(()),
            false => Err(Refusal::WindowsNeverOpen { opens, ends }),
        }
    }

    /// When a rollout that is not launched yet starts at the earliest.
    fn starts(&self, mechanism: &Mechanism) -> Timestamp {
        let start = mechanism.schedule.start.unwrap_or(self.now);
        start.max(self.now)
    }
}
