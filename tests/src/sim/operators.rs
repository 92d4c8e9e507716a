//! What people do meanwhile: sensible things, hasty things, and nonsense.

use super::campaigns;
use super::dice::Dice;
use super::scenario::{HARDWARE, MINUTE, RobotPlan, SECOND, Scenario, hardware, is_timed};
use super::selectors::{self, SITES, TAGS};
use super::times::{self, Known};
use rollcall_engine::{
    Command, ForceDowngrade, GroupName, HardwareId, ImageRef, ImageSpec, Mechanism, OnFailure,
    PropertyChange, RobotEdit, RobotId, RolloutEdit, RolloutId, RolloutName, RolloutSpec,
    RolloutStatus, State, Tag, TargetSelection,
};
use std::collections::BTreeMap;

/// One world in so many has people who use selectors.
const WITH_SELECTORS: u64 = 8;
/// And one in so many has people who use the whole of a mechanism, and every command; all do from here on.
const WITH_CAMPAIGNS: u64 = 8;
const CAMPAIGNS: u64 = 5_000_000;
const LARGE: u64 = 7_000_000;

const GROUPS: [&str; 3] = ["day", "night", "yard"];

/// The people at the admin API.
#[derive(Debug)]
pub(super) struct Operators {
    dice: Dice,
    robots: Vec<RobotPlan>,
    images: Vec<ImageSpec>,
    opening: bool,
    /// What they do with selectors has dice of its own, so that the other worlds stay what they are.
    selecting: Option<Dice>,
    /// The same for campaigns.
    campaigning: Option<Dice>,
    /// And for what depends on the clock, on who comes later, and on a single robot.
    timing: Option<Dice>,
}

impl Operators {
    pub(super) fn new(seed: u64, scenario: &Scenario) -> Self {
        Self {
            dice: Dice::new(seed, 2 << 40),
            robots: scenario.robots.clone(),
            images: scenario.images.clone(),
            opening: scenario.opening,
            selecting: (seed % WITH_SELECTORS == WITH_SELECTORS - 1
                || is_timed(seed) && seed.is_multiple_of(2))
            .then(|| Dice::new(seed, 5 << 40)),
            campaigning: (seed % WITH_CAMPAIGNS == 5 || (CAMPAIGNS..LARGE).contains(&seed))
                .then(|| Dice::new(seed, 6 << 40)),
            timing: is_timed(seed).then(|| Dice::new(seed, 7 << 40)),
        }
    }

    /// What is done before anything else: the catalogue, most robots, a group.
    pub(super) fn setup(&mut self) -> Vec<Command> {
        let mut commands: Vec<_> = self.images.iter().cloned().map(Command::AddImage).collect();
        let specs = self
            .robots
            .iter()
            .map(|plan| plan.spec.clone())
            .collect::<Vec<_>>();
        // Where robots join later, more of them come later.
        let at_once = if self.timing.is_some() { 60 } else { 90 };
        let now = if specs.len() > 1 {
            self.dice.some(&specs, at_once)
        } else {
            specs
        };
        commands.extend(now.iter().cloned().map(Command::AddRobot));
        let ids: Vec<_> = now.into_iter().map(|spec| spec.id).collect();
        let groups = if self.timing.is_some() { 3 } else { 2 };
        for name in &GROUPS[..groups] {
            commands.push(Command::AddGroup {
                name: group(name),
                robots: self.dice.some(&ids, 60),
            });
        }
        if self.opening {
            commands.extend(opening(ids.len()));
        }
        commands
    }

    /// The next thing that somebody does, given what the server shows.
    pub(super) fn act(&mut self, state: &State) -> Vec<Command> {
        if let Some(commands) = self.plan_by_the_clock(state) {
            return commands;
        }
        if let Some(commands) = self.select(state) {
            return commands;
        }
        if let Some(dice) = self.campaigning.as_mut()
            && dice.chance(45)
            && let Some(command) = campaigns::control(dice, state)
        {
            return vec![command];
        }
        match self.dice.within(0, 99) {
            0..=39 => self.begin(state),
            40..=54 => self
                .prepared(state)
                .map(|rollout| self.launch(rollout))
                .into_iter()
                .collect(),
            55..=62 => self.edit(state).into_iter().collect(),
            63..=66 => self
                .prepared(state)
                .map(|rollout| Command::DeleteRollout { rollout })
                .into_iter()
                .collect(),
            67..=74 => {
                let ids = self.ids(state);
                let name = group(self.dice.word(&GROUPS));
                vec![Command::AddGroup {
                    name,
                    robots: self.dice.some(&ids, 30),
                }]
            }
            75 => {
                let ids = self.ids(state);
                if ids.is_empty() {
                    return Vec::new();
                }
                vec![Command::AcceptDeclared {
                    robot: self.dice.pick(&ids).clone(),
                }]
            }
            76 => vec![Command::RemoveGroup {
                name: group(self.dice.word(&GROUPS)),
            }],
            77..=80 => self.interfere(state).into_iter().collect(),
            81..=84 => {
                let ids = self.ids(state);
                if ids.is_empty() {
                    return Vec::new();
                }
                vec![Command::RemoveRobot {
                    robot: self.dice.pick(&ids).clone(),
                }]
            }
            85..=91 => {
                let unknown = |plan: &&RobotPlan| state.robot_key(plan.spec.id.as_str()).is_none();
                self.robots
                    .iter()
                    .find(unknown)
                    .map(|plan| Command::AddRobot(plan.spec.clone()))
                    .into_iter()
                    .collect()
            }
            _ => vec![self.nonsense(state)],
        }
    }

    /// Cancels what a robot is at, or sets a property on it.
    fn interfere(&mut self, state: &State) -> Option<Command> {
        let busy: Vec<_> = state.robots(None).filter(|r| r.active.is_some()).collect();
        let ids = self.ids(state);
        let robot = if !busy.is_empty() && self.dice.chance(80) {
            self.dice.pick(&busy).id.clone()
        } else if ids.is_empty() {
            return None;
        } else {
            self.dice.pick(&ids).clone()
        };
        if self.dice.chance(60) {
            let all = self.dice.chance(30);
            return Some(Command::CancelOperation { robot, all });
        }
        let about = self.dice.word(&["SystemStatus", "StorageUsage"]);
        let (key, value) = *self.dice.pick(&[
            ("enable", Some("true")),
            ("periodSeconds", Some("60")),
            ("enable", None),
        ]);
        let change = PropertyChange {
            interface: "io.edgehog.devicemanager.config.Telemetry".to_owned(),
            path: format!("request/io.edgehog.devicemanager.{about}/{key}"),
            value: value.map(str::to_owned),
        };
        Some(Command::SetProperty { robot, change })
    }

    /// Something with late joiners, time zones and single robots, in worlds that have them.
    fn plan_by_the_clock(&mut self, state: &State) -> Option<Vec<Command>> {
        let robots = self.ids(state);
        let dice = self.timing.as_mut()?;
        let known = Known {
            robots: &robots,
            images: &self.images,
            groups: GROUPS.map(group).to_vec(),
            tags: &TAGS,
        };
        match dice.within(0, 9) {
            0..=2 => Some(times::act(dice, state, &known)),
            3 | 4 => {
                let unknown = |plan: &&RobotPlan| state.robot_key(plan.spec.id.as_str()).is_none();
                let newcomer = self.robots.iter().find(unknown)?.spec.clone();
                let name = group(dice.word(&GROUPS));
                let robots = vec![newcomer.id.clone()];
                Some(vec![
                    Command::AddRobot(newcomer),
                    Command::AddGroup { name, robots },
                ])
            }
            5 | 6 => Some(self.begin(state)),
            _ => None,
        }
    }

    /// Something with selectors, in worlds that have them.
    fn select(&mut self, state: &State) -> Option<Vec<Command>> {
        self.selecting.as_ref()?;
        let ids = self.ids(state);
        let (images, mechanism) = (self.map(), self.mechanism(state));
        let dice = self.selecting.as_mut().filter(|_| !ids.is_empty())?;
        let selector = dice.pick(&selectors::all()).clone();
        let name_of = |dice: &mut Dice| group(dice.word(&GROUPS));
        Some(match dice.within(0, 19) {
            0..=2 => {
                let edits = dice.some(&ids, 50);
                let edit = |robot| Command::EditRobot {
                    robot,
                    edit: words(dice),
                };
                edits.into_iter().map(edit).collect()
            }
            3 => vec![Command::AddSelectorGroup {
                name: name_of(dice),
                selector,
            }],
            4 => vec![Command::EditGroup {
                name: name_of(dice),
                selector,
            }],
            5 | 6 => {
                let target = if dice.chance(50) {
                    TargetSelection::Group(name_of(dice))
                } else {
                    TargetSelection::Selector(selector)
                };
                let create = Command::CreateRollout(Box::new(RolloutSpec {
                    name: name("selected"),
                    target,
                    images,
                    mechanism,
                }));
                let launch = Command::LaunchRollout {
                    rollout: RolloutId(state.counters().rollouts + 1),
                    accept_drift: dice.chance(70),
                };
                vec![create, launch]
            }
            // What the others do here too rarely, since these people are busy with selectors.
            7..=9 => return self.interfere(state).map(|command| vec![command]),
            _ => return None,
        })
    }

    fn ids(&self, state: &State) -> Vec<RobotId> {
        state
            .robots(None)
            .filter(|robot| robot.removed.is_none())
            .map(|robot| robot.id.clone())
            .collect()
    }

    /// Creates a rollout, and often launches it at once.
    fn begin(&mut self, state: &State) -> Vec<Command> {
        let Some(mut target) = self.selection(state) else {
            return Vec::new();
        };
        let mechanism = self.mechanism(state);
        if mechanism.dynamic && matches!(target, TargetSelection::Robots(_)) {
            // Nobody can come to belong to a list.
            target = TargetSelection::Group(group(self.dice.word(&GROUPS)));
        }
        // What has a start is seldom launched by hand.
        let likely = if mechanism.schedule.start.is_some() {
            15
        } else {
            75
        };
        let spec = RolloutSpec {
            name: name("sim"),
            target,
            images: self.map(),
            mechanism,
        };
        let mut commands = vec![Command::CreateRollout(Box::new(spec))];
        if self.dice.chance(likely) {
            commands.push(self.launch(RolloutId(state.counters().rollouts + 1)));
        }
        commands
    }

    fn launch(&mut self, rollout: RolloutId) -> Command {
        Command::LaunchRollout {
            rollout,
            accept_drift: self.dice.chance(70),
        }
    }

    fn prepared(&mut self, state: &State) -> Option<RolloutId> {
        let prepared: Vec<_> = state
            .rollouts()
            .filter(|r| r.status == RolloutStatus::Prepared)
            .map(|r| r.id)
            .collect();
        (!prepared.is_empty()).then(|| *self.dice.pick(&prepared))
    }

    fn edit(&mut self, state: &State) -> Option<Command> {
        let rollout = self.prepared(state)?;
        let edit = RolloutEdit {
            revision: self
                .dice
                .chance(30)
                .then(|| u32::try_from(self.dice.within(1, 3)).unwrap_or(1)),
            name: self.dice.chance(30).then(|| name("edited")),
            target: if self.dice.chance(50) {
                self.selection(state)
            } else {
                None
            },
            images: self.dice.chance(50).then(|| self.map()),
            force_downgrade: None,
            max_in_progress: self
                .dice
                .chance(50)
                .then(|| u32::try_from(self.dice.within(0, 5)).unwrap_or(1)),
            ..RolloutEdit::default()
        };
        let edit = Box::new(edit);
        Some(Command::EditRollout { rollout, edit })
    }

    fn selection(&mut self, state: &State) -> Option<TargetSelection> {
        Some(match self.dice.within(0, 9) {
            0..=2 => TargetSelection::Group(group(self.dice.word(&GROUPS))),
            3..=5 => TargetSelection::Hardware(hardware(self.dice.word(&HARDWARE))),
            _ => {
                let ids = self.ids(state);
                let share = *self.dice.pick(&[40, 90, 100]);
                TargetSelection::Robots(self.dice.some(&ids, share))
            }
        })
    }

    /// Which image for which board: one to all boards, each with an image that runs there.
    fn map(&mut self) -> Vec<(HardwareId, ImageRef)> {
        let share = *self.dice.pick(&[30, 70, 100]);
        let mut boards = self.dice.some(&HARDWARE, share);
        if boards.is_empty() {
            boards.push("compute");
        }
        let mut map = Vec::new();
        for board in boards {
            let board = hardware(board);
            let fitting: Vec<_> = self
                .images
                .iter()
                .filter(|image| image.hardware_ids.contains(&board))
                .collect();
            let image = self.dice.pick(&fitting).reference.clone();
            map.push((board, image));
        }
        map
    }

    fn mechanism(&mut self, state: &State) -> Mechanism {
        // Where nobody selects, versions go up and down freely.
        let force_downgrade = match &mut self.selecting {
            None => ForceDowngrade::All,
            Some(dice) => *dice.pick(&[
                ForceDowngrade::No,
                ForceDowngrade::No,
                ForceDowngrade::All,
                ForceDowngrade::WithinRequirement,
            ]),
        };
        let dice = &mut self.dice;
        let hasty = dice.chance(30);
        let span = |dice: &mut Dice, low, high| if hasty { low } else { dice.within(low, high) };
        let plain = Mechanism {
            max_in_progress: u32::try_from(*dice.pick(&[1, 1, 2, 3, 5, 10, 100])).unwrap_or(1),
            request_timeout: span(dice, 5 * SECOND, 5 * MINUTE),
            request_resends: u8::try_from(dice.within(0, 3)).unwrap_or(0),
            in_progress_timeout: span(dice, 20 * SECOND, 60 * MINUTE),
            confirm_timeout: span(dice, 10 * SECOND, 15 * MINUTE),
            rollback_grace: span(dice, 0, 2 * MINUTE),
            deadline: if dice.chance(20) {
                dice.within(SECOND, 5 * MINUTE)
            } else {
                dice.within(MINUTE, 240 * MINUTE)
            },
            on_failure: if dice.chance(25) {
                OnFailure::Stop
            } else {
                OnFailure::Continue
            },
            immutable_on_create: dice.chance(5),
            force_downgrade,
            ..Mechanism::default()
        };
        let plain = match &mut self.campaigning {
            Some(dice) => campaigns::mechanism(dice, plain),
            None => plain,
        };
        match &mut self.timing {
            Some(dice) => times::mechanism(dice, state.now(), &GROUPS.map(group), plain),
            None => plain,
        }
    }

    /// Each must be refused, or be harmless.
    fn nonsense(&mut self, state: &State) -> Command {
        let any = RolloutId(
            u32::try_from(
                self.dice
                    .within(0, u64::from(state.counters().rollouts) + 1),
            )
            .unwrap_or(0),
        );
        let mut spec = RolloutSpec {
            name: name("nonsense"),
            target: TargetSelection::Hardware(hardware("compute")),
            images: self.map(),
            mechanism: Mechanism::default(),
        };
        match self.dice.within(0, 9) {
            0 => Command::LaunchRollout {
                rollout: any,
                accept_drift: true,
            },
            1 => Command::DeleteRollout { rollout: any },
            2 => Command::EditRollout {
                rollout: any,
                edit: Box::default(),
            },
            3 => Command::AddImage(self.dice.pick(&self.images).clone()),
            4 => Command::RemoveRobot {
                robot: RobotId::new("nobody").expect("it is a name"),
            },
            5 => {
                spec.images.push(spec.images[0].clone());
                Command::CreateRollout(Box::new(spec))
            }
            6 => {
                spec.images.push((
                    hardware("arm"),
                    "motor-os@2.0.0".parse().expect("it is a reference"),
                ));
                Command::CreateRollout(Box::new(spec))
            }
            7 => {
                spec.target =
                    TargetSelection::Robots(vec![RobotId::new("nobody").expect("it is a name")]);
                Command::CreateRollout(Box::new(spec))
            }
            8 => {
                spec.mechanism.max_in_progress = 0;
                Command::CreateRollout(Box::new(spec))
            }
            _ => Command::AddRobot(self.dice.pick(&self.robots).spec.clone()),
        }
    }
}

/// A rollout of the second version over all boards of all `robots`, a quarter of them at a time.
fn opening(robots: usize) -> [Command; 2] {
    let boards = ["compute", "motor", "lidar"].into_iter();
    let image = |board| {
        let image = format!("{board}-os@2.0.0");
        (hardware(board), image.parse().expect("it is a reference"))
    };
    let create = Command::CreateRollout(Box::new(RolloutSpec {
        name: name("opening"),
        target: TargetSelection::Hardware(hardware("compute")),
        images: boards.map(image).collect(),
        mechanism: Mechanism {
            max_in_progress: u32::try_from(robots / 4).unwrap_or(1).max(1),
            deadline: 240 * MINUTE,
            ..Mechanism::default()
        },
    }));
    let launch = Command::LaunchRollout {
        rollout: RolloutId(1),
        accept_drift: true,
    };
    [create, launch]
}

/// Other words for a robot.
fn words(dice: &mut Dice) -> RobotEdit {
    let tag = |tag: &'static str| Tag::new(tag).expect("tags above follow the grammar");
    let mut labels = BTreeMap::new();
    if dice.chance(70) {
        labels.insert("site".to_owned(), dice.word(&SITES).to_owned());
    }
    if dice.chance(50) {
        labels.insert("row".to_owned(), dice.within(1, 12).to_string());
    }
    RobotEdit {
        add_tags: dice.some(&TAGS, 40).into_iter().map(tag).collect(),
        remove_tags: dice.some(&TAGS, 30).into_iter().map(tag).collect(),
        set_labels: labels,
        remove_labels: dice
            .some(&["site", "row"], 20)
            .into_iter()
            .map(str::to_owned)
            .collect(),
    }
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).expect("groups above follow the grammar")
}

fn name(text: &str) -> RolloutName {
    RolloutName::new(text).expect("names above follow the grammar")
}
