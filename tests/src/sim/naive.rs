//! A second, naive opinion on what operators' commands do, written from the requirements and not from the engine.
//!
//! It knows only the inventory and asks the engine for nothing but facts that robots reported (model, part number, declared boards).

use super::Broken;
use super::selectors::{self, Facts};
use rollcall_engine::{
    Command, Ecu, EcuName, HardwareId, ImageRef, Model, Refusal, Reply, RobotId, RobotKey,
    RolloutId, RolloutSpec, RolloutStatus, Selector, SkipReason, State, TargetSelection,
    TargetState,
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
struct Board {
    name: EcuName,
    hardware: HardwareId,
    primary: bool,
}

/// How a group knows its robots.
#[derive(Debug, Clone)]
enum Belongs {
    Listed(BTreeSet<RobotId>),
    Selected(Selector),
}

/// What a rollout should do to a robot: ECU names with images in order, or why nothing.
pub(super) type Share = Result<Vec<(EcuName, ImageRef)>, SkipReason>;

/// The naive inventory.
#[derive(Debug, Clone, Default)]
pub(super) struct Naive {
    robots: BTreeMap<RobotId, (RobotKey, Vec<Board>)>,
    words: BTreeMap<RobotId, (BTreeSet<String>, BTreeMap<String, String>)>,
    groups: BTreeMap<String, Belongs>,
    images: BTreeMap<ImageRef, (BTreeSet<HardwareId>, Option<Model>)>,
    rollouts: BTreeMap<RolloutId, RolloutSpec>,
    /// Before the current command: pending and other open targets of launched rollouts, by robot and ECU.
    pending: BTreeSet<(RolloutId, RobotKey, EcuName)>,
    taken: BTreeSet<(RolloutId, RobotKey, EcuName)>,
}

impl Naive {
    /// Looks at what a launch could take over.
    pub(super) fn before(&mut self, state: Option<&State>, command: &Command) {
        self.pending.clear();
        self.taken.clear();
        let launches = matches!(
            command,
            Command::LaunchRollout { .. } | Command::ManualUpdate(_)
        );
        let Some(state) = state.filter(|_| launches) else {
            return;
        };
        for (rollout, robot, ecu, found) in targets(state) {
            if found == TargetState::Pending {
                self.pending.insert((rollout, robot, ecu));
            } else if matches!(found, TargetState::Superseded { .. }) {
                self.taken.insert((rollout, robot, ecu));
            }
        }
    }

    /// Compares what the engine made of a command with the naive opinion.
    pub(super) fn after(
        &mut self,
        state: &State,
        command: &Command,
        reply: &Result<Reply, Refusal>,
    ) -> Result<(), Broken> {
        match (command, reply) {
            (Command::AddRobot(spec), Ok(Reply::Robot(key))) => {
                let mut boards: Vec<_> = spec
                    .ecus
                    .iter()
                    .map(|ecu| Board {
                        name: ecu.name.clone(),
                        hardware: ecu.hardware_id.clone(),
                        primary: ecu.primary,
                    })
                    .collect();
                boards.sort_by_key(|board| board.name.clone());
                self.robots.insert(spec.id.clone(), (*key, boards));
                let tags = spec.tags.iter().map(ToString::to_string).collect();
                let words = (tags, spec.labels.clone());
                self.words.insert(spec.id.clone(), words);
            }
            (Command::AcceptDeclared { robot }, Ok(_)) => {
                if let Some((key, boards)) = self.robots.get_mut(robot) {
                    *boards = boards_of(state, *key);
                }
            }
            (Command::EditRobot { robot, edit }, Ok(_)) => {
                let (tags, labels) = self.words.entry(robot.clone()).or_default();
                for tag in &edit.remove_tags {
                    tags.remove(tag.as_str());
                }
                tags.extend(edit.add_tags.iter().map(ToString::to_string));
                for label in &edit.remove_labels {
                    labels.remove(label);
                }
                labels.extend(edit.set_labels.clone());
            }
            (Command::RemoveRobot { robot }, Ok(_)) => {
                self.robots.remove(robot);
                for group in self.groups.values_mut() {
                    if let Belongs::Listed(members) = group {
                        members.remove(robot);
                    }
                }
            }
            (Command::AddGroup { name, robots }, Ok(_)) => {
                let new = || Belongs::Listed(BTreeSet::new());
                match self.groups.entry(name.to_string()).or_insert_with(new) {
                    Belongs::Listed(members) => members.extend(robots.iter().cloned()),
                    Belongs::Selected(_) => {
                        return Err(Broken(format!("{name} lists robots and has a selector")));
                    }
                }
            }
            (
                Command::AddSelectorGroup { name, selector }
                | Command::EditGroup { name, selector },
                Ok(_),
            ) => {
                self.groups
                    .insert(name.to_string(), Belongs::Selected(selector.clone()));
            }
            (Command::RemoveGroup { name }, Ok(_)) => drop(self.groups.remove(name.as_str())),
            (Command::AddImage(spec), Ok(_)) => {
                let boards = spec.hardware_ids.iter().cloned().collect();
                self.images
                    .insert(spec.reference.clone(), (boards, spec.model.clone()));
            }
            (Command::RemoveImage { image }, Ok(_)) => drop(self.images.remove(image)),
            (Command::CreateRollout(spec), reply) => self.created(state, spec, reply)?,
            (Command::EditRollout { rollout, edit }, Ok(_)) => {
                if let Some(spec) = self.rollouts.get_mut(rollout) {
                    spec.target = edit.target.clone().unwrap_or_else(|| spec.target.clone());
                    spec.images = edit.images.clone().unwrap_or_else(|| spec.images.clone());
                    let mechanism = edit.mechanism.clone();
                    spec.mechanism = mechanism.unwrap_or_else(|| spec.mechanism.clone());
                }
            }
            (Command::DeleteRollout { rollout }, Ok(_)) => drop(self.rollouts.remove(rollout)),
            (Command::LaunchRollout { rollout, .. }, Ok(_)) => self.launched(state, *rollout)?,
            (Command::ManualUpdate(wish), reply) => self.by_hand(state, wish, reply)?,
            // Who may connect decides nothing about rollouts.
            (
                Command::IssueCertificate { .. }
                | Command::InhibitCredentials { .. }
                | Command::AllowCredentials { .. }
                | Command::RotateCredentials { .. }
                | Command::AddPairingToken(_)
                | Command::RemovePairingToken { .. }
                | Command::PairRobot { .. }
                | Command::AddChannel { .. }
                | Command::EditChannel { .. }
                | Command::RemoveChannel { .. }
                | Command::SetChannelSource { .. }
                | Command::RecordLedgerVersion { .. }
                | Command::WithdrawLedgerVersion { .. }
                | Command::NoteLedgerProblem { .. }
                | Command::AttachLedgerFile { .. }
                | Command::CancelOperation { .. }
                | Command::PauseRollout { .. }
                | Command::ResumeRollout { .. }
                | Command::StopRollout { .. }
                | Command::CancelRollout { .. }
                | Command::ApprovePhase { .. }
                | Command::PublishRelease(_)
                | Command::StopRelease { .. }
                | Command::ResumeRelease { .. }
                | Command::RaiseRelease { .. }
                | Command::SetProperty { .. },
                Ok(_),
            )
            | (_, Err(_))
            | (Command::AddRobot(_), Ok(_)) => {}
        }
        Ok(())
    }

    /// What a robot consists of. The engine is asked for what no operator has said: a part number, and what was accepted.
    fn boards(&self, state: &State, id: &RobotId) -> Vec<Board> {
        let (key, boards) = &self.robots[id];
        if boards.is_empty() {
            boards_of(state, *key)
        } else {
            boards.clone()
        }
    }

    /// A4, A5, A3: whom a selection means; `None` when it names something that does not exist.
    pub(super) fn selected(
        &self,
        state: &State,
        target: &TargetSelection,
    ) -> Option<BTreeSet<RobotId>> {
        match target {
            TargetSelection::Group(name) => match self.groups.get(name.as_str())? {
                Belongs::Listed(members) => Some(members.clone()),
                Belongs::Selected(selector) => Some(self.meant(state, selector)),
            },
            TargetSelection::Selector(selector) => Some(self.meant(state, selector)),
            TargetSelection::Hardware(hardware) => {
                let has = |id: &&RobotId| {
                    let boards = self.boards(state, id);
                    boards.iter().any(|board| board.hardware == *hardware)
                };
                Some(self.robots.keys().filter(has).cloned().collect())
            }
            // Nobody here releases, and nobody may ask for this.
            TargetSelection::Release(_) => None,
            TargetSelection::Robots(ids) => {
                let ids: BTreeSet<_> = ids.iter().cloned().collect();
                ids.iter()
                    .all(|id| self.robots.contains_key(id))
                    .then_some(ids)
            }
        }
    }

    /// device-contract 4.2: the robots that a selector means now.
    fn meant(&self, state: &State, selector: &Selector) -> BTreeSet<RobotId> {
        let meaning = selectors::meaning(selector);
        let means = |id: &&RobotId| {
            let (tags, labels) = &self.words[*id];
            let boards = self.boards(state, id).into_iter();
            meaning(&Facts {
                tags,
                labels,
                boards: boards.map(|board| board.hardware.to_string()).collect(),
                robot: state.robot(self.robots[*id].0).expect("it is registered"),
            })
        };
        self.robots.keys().filter(means).cloned().collect()
    }

    /// A7, A8, A9, X8, A10: what the robot gets.
    pub(super) fn share(&self, state: &State, spec: &RolloutSpec, id: &RobotId) -> Share {
        let key = &self.robots[id].0;
        let boards = &self.boards(state, id);
        let model = state.robot(*key).and_then(|robot| robot.model.clone());
        let mut ordered: Vec<_> = boards.iter().filter(|board| !board.primary).collect();
        ordered.extend(boards.iter().filter(|board| board.primary));
        let (mut share, mut other_model) = (Vec::new(), false);
        for board in ordered {
            let mapped = spec
                .images
                .iter()
                .find(|(hardware, _)| *hardware == board.hardware);
            let Some((_, image)) = mapped else { continue };
            match &self.images[image].1 {
                Some(meant) if model.as_ref() != Some(meant) => other_model = true,
                _ => share.push((board.name.clone(), image.clone())),
            }
        }
        match (share.is_empty(), other_model) {
            (false, _) => Ok(share),
            (true, true) => Err(SkipReason::OtherModel),
            (true, false) if state.robot(*key).is_some_and(|robot| robot.ecus.is_empty()) => {
                Err(SkipReason::NoPartNumber)
            }
            (true, false) => Err(SkipReason::NoCompatibleEcu),
        }
    }

    fn created(
        &mut self,
        state: &State,
        spec: &RolloutSpec,
        reply: &Result<Reply, Refusal>,
    ) -> Result<(), Broken> {
        let mapped: BTreeSet<_> = spec.images.iter().map(|(hardware, _)| hardware).collect();
        let fits = |(hardware, image): &(HardwareId, ImageRef)| {
            self.images
                .get(image)
                .is_some_and(|(boards, _)| boards.contains(hardware))
        };
        let sound = !spec.images.is_empty()
            && mapped.len() == spec.images.len()
            && spec.images.iter().all(fits);
        let selected = self
            .selected(state, &spec.target)
            .filter(|ids| !(ids.is_empty() && matches!(spec.target, TargetSelection::Robots(_))));
        let affects =
            |ids: &BTreeSet<RobotId>| ids.iter().any(|id| self.share(state, spec, id).is_ok());
        let expected = sound
            && spec.mechanism.max_in_progress > 0
            && selected.is_some_and(|ids| affects(&ids) && self.times_fit(state, spec, &ids));
        if expected != reply.is_ok() {
            return Err(Broken(format!(
                "A7 A12: creation of {spec:?} was answered with {reply:?}"
            )));
        }
        if let Ok(Reply::Rollout(id)) = reply {
            self.rollouts.insert(*id, spec.clone());
        }
        Ok(())
    }

    /// A18, X4: the snapshot; X20: what it takes from older rollouts.
    fn launched(&mut self, state: &State, id: RolloutId) -> Result<(), Broken> {
        let spec = &self.rollouts[&id];
        let broken = |what: String| Err(Broken(format!("launch of rollout {}: {what}", id.0)));
        let Some(rollout) = state.rollout(id) else {
            return broken("it is gone".to_owned());
        };
        let Some(selected) = self.selected(state, &spec.target) else {
            return broken("its target is gone".to_owned());
        };
        let members: BTreeSet<_> = rollout.members.keys().collect();
        let keys: BTreeSet<_> = selected.iter().map(|robot| self.robots[robot].0).collect();
        if members != keys {
            return broken(format!("members {members:?} instead of {keys:?}"));
        }
        let mut shares = Vec::new();
        for robot in &selected {
            let key = self.robots[robot].0;
            let expected = self.share(state, spec, robot);
            let found = share_of(state, id, key);
            if found != expected {
                return broken(format!(
                    "A8 A9: {robot} gets {found:?} instead of {expected:?}"
                ));
            }
            let ecus = expected.unwrap_or_default().into_iter();
            shares.push((key, ecus.map(|(ecu, _)| ecu).collect()));
        }
        self.groups_are_phases(state, rollout)?;
        self.takes_over(state, id, shares)
    }

    /// X20: what the launch of a rollout with these ECUs takes from older ones.
    pub(super) fn takes_over(
        &self,
        state: &State,
        id: RolloutId,
        shares: impl IntoIterator<Item = (RobotKey, Vec<EcuName>)>,
    ) -> Result<(), Broken> {
        let mut taken = self.taken.clone();
        for (key, ecus) in shares {
            let mine =
                |(_, other, ecu): &&(_, RobotKey, EcuName)| *other == key && ecus.contains(ecu);
            taken.extend(self.pending.iter().filter(mine).cloned());
        }
        let found: BTreeSet<_> = targets(state)
            .filter(|(.., found)| matches!(found, TargetState::Superseded { .. }))
            .map(|(rollout, robot, ecu, _)| (rollout, robot, ecu))
            .collect();
        if found != taken {
            return Err(Broken(format!(
                "X20: rollout {} superseded {found:?} instead of {taken:?}",
                id.0
            )));
        }
        Ok(())
    }

    pub(super) fn spec(&self, id: RolloutId) -> &RolloutSpec {
        &self.rollouts[&id]
    }

    pub(super) fn key(&self, id: &RobotId) -> RobotKey {
        self.robots[id].0
    }

    pub(super) fn labels(&self, id: &RobotId) -> &BTreeMap<String, String> {
        &self.words[id].1
    }

    pub(super) fn has_group(&self, name: &str) -> bool {
        self.groups.contains_key(name)
    }

    pub(super) fn runs_on(&self, image: &ImageRef, board: &HardwareId) -> bool {
        let image = self.images.get(image);
        image.is_some_and(|(boards, _)| boards.contains(board))
    }

    /// What the robot consists of, if there is such a robot.
    pub(super) fn boards_by_name(&self, state: &State, id: &RobotId) -> Vec<(EcuName, HardwareId)> {
        let boards = match self.robots.contains_key(id) {
            true => self.boards(state, id),
            false => Vec::new(),
        };
        boards
            .into_iter()
            .map(|board| (board.name, board.hardware))
            .collect()
    }
}

fn boards_of(state: &State, key: RobotKey) -> Vec<Board> {
    let ecus = state.robot(key).map_or(&[][..], |robot| &robot.ecus);
    let board = |ecu: &Ecu| Board {
        name: ecu.name.clone(),
        hardware: ecu.hardware_id.clone(),
        primary: ecu.primary,
    };
    let mut boards: Vec<_> = ecus.iter().map(board).collect();
    boards.sort_by_key(|board| board.name.clone());
    boards
}

/// Every target of every launched rollout.
fn targets(state: &State) -> impl Iterator<Item = (RolloutId, RobotKey, EcuName, TargetState)> {
    let launched = state
        .rollouts()
        .filter(|rollout| rollout.status != RolloutStatus::Prepared);
    launched.flat_map(move |rollout| {
        rollout.members.iter().flat_map(move |(key, member)| {
            let ecus = state.robot(key).map_or(&[][..], |robot| &robot.ecus);
            let name = move |index: u8| ecus[usize::from(index)].name.clone();
            member
                .targets
                .iter()
                .map(move |target| (rollout.id, key, name(target.ecu), target.state))
        })
    })
}

pub(super) fn share_of(state: &State, id: RolloutId, key: RobotKey) -> Share {
    let member = &state.rollout(id).expect("the caller has seen it").members[&key];
    if let Some(reason) = member.skipped {
        return Err(reason);
    }
    let ecus = &state.robot(key).expect("members are robots").ecus;
    let image = |key| state.image(key).expect("images stay").reference.clone();
    Ok(member
        .targets
        .iter()
        .map(|t| (ecus[usize::from(t.ecu)].name.clone(), image(t.image)))
        .collect())
}
