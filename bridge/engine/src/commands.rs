//! What operators do to robots and images. Groups are in `groups`, rollouts in `launch`.

use crate::credentials::Credentials;
use crate::input::{Actor, Command, ImageSpec, RobotEdit, RobotSpec};
use crate::inventory::{Cursor, Ecu, EcuSpec, Image, ImageKey, Link, Protocol, Robot, RobotKey};
use crate::ledger::LedgerImage;
use crate::names::{RobotId, Tag};
use crate::outcome::{Effect, Reply, Row};
use crate::refusal::Refusal;
use crate::state::{Changes, State};
use crate::target::{CancelReason, TargetState};
use std::collections::{BTreeMap, BTreeSet};

/// ECUs of one robot; as many as a Manifest may declare.
const MAX_ECUS: usize = 32;
const MAX_LABELS: usize = 64;
const MAX_TAGS: usize = 64;
const MAX_LABEL_BYTES: usize = 256;
const MAX_NAME_BYTES: usize = 256;
const MAX_URL_BYTES: usize = 2_048;

impl State {
    pub(crate) fn command(
        &mut self,
        by: &Actor,
        command: Command,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        match command {
            Command::AddRobot(spec) => self.add_robot(spec, changes),
            Command::RemoveRobot { robot } => self.remove_robot(&robot, changes),
            Command::CancelOperation { robot, all } => {
                self.cancel_operation(by, &robot, all, changes)
            }
            Command::SetProperty { robot, change } => self.set_property(&robot, &change, changes),
            Command::AcceptDeclared { robot } => self.accept_declared(&robot, changes),
            Command::IssueCertificate {
                robot,
                serial,
                not_after,
                secret,
            } => self.issue_certificate(&robot, serial, not_after, secret, changes),
            Command::InhibitCredentials { robot } => self.inhibit_credentials(&robot, changes),
            Command::AllowCredentials { robot } => self.allow_credentials(&robot, changes),
            Command::RotateCredentials {
                robot,
                secret,
                allow_pairing,
            } => self.rotate_credentials(&robot, secret, allow_pairing, changes),
            Command::AddPairingToken(spec) => self.add_pairing_token(spec, changes),
            Command::RemovePairingToken { name } => self.remove_pairing_token(&name, changes),
            Command::PairRobot {
                token,
                token_name,
                robot,
                secret,
            } => self.pair((token, token_name), robot, secret, changes),
            Command::EditRobot { robot, edit } => self.edit_robot(&robot, edit, changes),
            Command::AddGroup { name, robots } => self.add_group(name, &robots, changes),
            Command::AddSelectorGroup { name, selector } => {
                self.add_selector_group(name, selector, changes)
            }
            Command::EditGroup { name, selector } => self.edit_group(name, selector, changes),
            Command::RemoveGroup { name } => self.remove_group(&name, changes),
            Command::AddChannel { name, groups } => self.add_channel(name, &groups, changes),
            Command::EditChannel { name, edit } => self.edit_channel(name, &edit, changes),
            Command::RemoveChannel { name } => self.remove_channel(by, name, changes),
            Command::SetChannelSource { channel, source } => {
                self.set_channel_source(by, channel, source, changes)
            }
            Command::RecordLedgerVersion {
                channel,
                reading,
                record,
            } => self.record_ledger_version(channel, &reading, *record, changes),
            Command::WithdrawLedgerVersion {
                channel,
                reading,
                number,
            } => self.withdraw_ledger_version(channel, &reading, number, changes),
            Command::NoteLedgerProblem {
                channel,
                number,
                problem,
            } => self.note_ledger_problem(channel, number, &problem, changes),
            Command::AttachLedgerFile {
                channel,
                number,
                file,
            } => self.attach_ledger_file(channel, number, file, changes),
            Command::AddImage(spec) => self.add_image(spec, None, changes).map(Reply::Image),
            Command::RemoveImage { image } => self.remove_image(image, changes),
            Command::ManualUpdate(wish) => self.manual_update(by, wish, changes),
            Command::CreateRollout(spec) => self.create_rollout(by, &spec, changes),
            Command::EditRollout { rollout, edit } => {
                self.not_of_the_ledger(rollout, "edited")?;
                self.edit_rollout(rollout, *edit, changes)
            }
            Command::DeleteRollout { rollout } => self.delete_rollout(rollout, changes),
            Command::LaunchRollout {
                rollout,
                accept_drift,
            } => self.launch_rollout(rollout, accept_drift, changes),
            Command::PauseRollout { rollout } => {
                self.not_of_the_ledger(rollout, "paused")?;
                self.pause_rollout(rollout, changes)
            }
            Command::ResumeRollout { rollout } => {
                self.resumed_alone(rollout)?;
                self.resume_rollout(rollout, changes)
            }
            Command::StopRollout { rollout } => {
                self.not_of_a_release(rollout, "stopped")?;
                self.stop_rollout(by, rollout, changes)
            }
            Command::CancelRollout { rollout } => {
                self.not_of_a_release(rollout, "cancelled")?;
                self.cancel_rollout(by, rollout, changes)
            }
            Command::ApprovePhase { rollout, phase } => self.approve_phase(rollout, phase, changes),
            Command::PublishRelease(spec) => self.publish_release(by, &spec, changes),
            Command::StopRelease { release } => self.stop_release(by, release, changes),
            Command::ResumeRelease { release } => self.resume_release(by, release, changes),
            Command::RaiseRelease {
                release,
                percentage,
            } => self.raise_release(by, release, percentage, changes),
        }
    }

    pub(crate) fn add_robot(
        &mut self,
        spec: RobotSpec,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        if self.robot_keys.contains_key(&spec.id) {
            return Err(Refusal::RobotExists { id: spec.id });
        }
        if spec
            .name
            .as_ref()
            .is_some_and(|name| name.len() > MAX_NAME_BYTES)
        {
            return Err(Refusal::TooLong {
                what: "the robot's name",
                max: MAX_NAME_BYTES,
            });
        }
        check_words(&spec.labels, &spec.tags)?;
        let by_part_number = spec.ecus.is_empty();
        let ecus = if by_part_number {
            Vec::new()
        } else {
            order_ecus(&spec.ecus)?
        };
        self.counters.robots += 1;
        let key = RobotKey(self.counters.robots);
        self.robot_keys.insert(spec.id.clone(), key);
        let robot = Robot {
            key,
            name: spec.name.unwrap_or_else(|| spec.id.to_string()),
            id: spec.id,
            model: spec.model,
            labels: spec.labels,
            tags: spec.tags,
            groups: BTreeSet::new(),
            ecus,
            secret: spec.secret,
            credentials: Credentials {
                since: self.now,
                ..Credentials::default()
            },
            registered: self.now,
            removed: None,
            protocol: by_part_number.then_some(Protocol::Edgehog),
            by_part_number,
            device: None,
            owed: BTreeSet::new(),
            cursor: Cursor::default(),
            link: Link::offline(self.now),
            memberships: Vec::new(),
            open: Vec::new(),
            active: None,
            active_since: self.now,
            timer: None,
        };
        self.robots.insert(key, robot);
        changes.touch(Row::Counters);
        changes.touch(Row::Robot(key));
        Ok(Reply::Robot(key))
    }

    fn edit_robot(
        &mut self,
        id: &RobotId,
        edit: RobotEdit,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let unknown = || Refusal::UnknownRobot { id: id.clone() };
        let key = self.robot_key(id.as_str()).ok_or_else(unknown)?;
        let robot = self.robots.get_mut(&key).ok_or_else(unknown)?;
        let (mut labels, mut tags) = (robot.labels.clone(), robot.tags.clone());
        labels.retain(|label, _| !edit.remove_labels.contains(label));
        labels.extend(edit.set_labels);
        tags.retain(|tag| !edit.remove_tags.contains(tag));
        tags.extend(edit.add_tags);
        check_words(&labels, &tags)?;
        (robot.labels, robot.tags) = (labels, tags);
        changes.touch(Row::Robot(key));
        self.move_zone(key, changes);
        Ok(Reply::Robot(key))
    }

    fn remove_robot(&mut self, id: &RobotId, changes: &mut Changes) -> Result<Reply, Refusal> {
        let key = self
            .robot_key(id.as_str())
            .ok_or_else(|| Refusal::UnknownRobot { id: id.clone() })?;
        self.send_cancel(key, changes);
        self.robot_keys.remove(id);
        let now = self.now;
        let Some(robot) = self.robots.get_mut(&key) else {
            return Err(Refusal::RobotGone);
        };
        robot.removed = Some(now);
        let connection = robot.link.connection;
        robot.link = Link::offline(now);
        let groups = std::mem::take(&mut robot.groups);
        let open = robot.open.clone();
        robot.owed.clear();
        for group in groups {
            self.unlist(&group, key);
        }
        changes.touch(Row::Robot(key));
        self.drop_device(key, changes);
        if let Some(connection) = connection {
            let why = "the robot was removed from the fleet";
            changes.effects.push(Effect::Disconnect { connection, why });
        }
        for rollout in open {
            self.cancel_open(rollout, key, CancelReason::RobotRemoved, changes);
            self.refresh_ready(key);
            self.pump(rollout, changes);
        }
        Ok(Reply::Done)
    }

    /// Cancels every target of the robot in the rollout that is not final.
    pub(crate) fn cancel_open(
        &mut self,
        rollout: crate::RolloutId,
        robot: RobotKey,
        reason: CancelReason,
        changes: &mut Changes,
    ) {
        let Some(member) = self
            .rollouts
            .get(&rollout)
            .and_then(|r| r.members.get(&robot))
        else {
            return;
        };
        let open: Vec<_> = (0..member.targets.len())
            .filter(|i| !member.targets[*i].state.is_final())
            .collect();
        for index in open {
            self.set_target(
                rollout,
                robot,
                index,
                TargetState::Cancelled { reason },
                changes,
            );
        }
    }

    /// Adds an image: one of ours, or one of a ledger.
    pub(crate) fn add_image(
        &mut self,
        spec: ImageSpec,
        ledger: Option<LedgerImage>,
        changes: &mut Changes,
    ) -> Result<ImageKey, Refusal> {
        let image = spec.reference;
        if self.image_keys.contains_key(&image) {
            return Err(Refusal::ImageExists { image });
        }
        if spec.hardware_ids.is_empty() {
            return Err(Refusal::ImageWithoutHardware { image });
        }
        if spec.size == 0 {
            return Err(Refusal::EmptyImage { image });
        }
        let fetchable =
            spec.hosted || spec.url.starts_with("http://") || spec.url.starts_with("https://");
        if spec.url.len() > MAX_URL_BYTES {
            return Err(Refusal::TooLong {
                what: "the URL",
                max: MAX_URL_BYTES,
            });
        }
        if !fetchable
            || spec
                .url
                .chars()
                .any(|c| c.is_whitespace() || c.is_control())
        {
            return Err(Refusal::BadUrl { url: spec.url });
        }
        self.counters.images += 1;
        let key = ImageKey(self.counters.images);
        self.image_keys.insert(image.clone(), key);
        let image = Image {
            key,
            reference: image,
            hardware_ids: spec.hardware_ids.into_iter().collect(),
            model: spec.model,
            build_id: spec.build_id,
            from_version: spec.from_version,
            url: spec.url,
            hosted: spec.hosted,
            size: spec.size,
            sha256: spec.sha256,
            ledger,
            created: self.now,
            removed: None,
        };
        self.images.insert(key, image);
        changes.touch(Row::Counters);
        changes.touch(Row::Image(key));
        Ok(key)
    }
}

/// Checks what people say of a robot.
fn check_words(labels: &BTreeMap<String, String>, tags: &BTreeSet<Tag>) -> Result<(), Refusal> {
    let too_many = |what, max| Err(Refusal::TooMany { what, max });
    if labels.len() > MAX_LABELS {
        return too_many("labels", MAX_LABELS);
    }
    if tags.len() > MAX_TAGS {
        return too_many("tags", MAX_TAGS);
    }
    if labels
        .iter()
        .any(|(key, value)| key.len() + value.len() > MAX_LABEL_BYTES)
    {
        return Err(Refusal::TooLong {
            what: "a label",
            max: MAX_LABEL_BYTES,
        });
    }
    Ok(())
}

/// Checks a robot's ECUs and puts them in the order of installation.
fn order_ecus(specs: &[EcuSpec]) -> Result<Vec<Ecu>, Refusal> {
    if specs.len() > MAX_ECUS {
        return Err(Refusal::EcuCount { found: specs.len() });
    }
    let primaries = specs.iter().filter(|ecu| ecu.primary).count();
    if primaries != 1 {
        return Err(Refusal::PrimaryCount { found: primaries });
    }
    let mut names = BTreeSet::new();
    for ecu in specs {
        if !names.insert(&ecu.name) {
            return Err(Refusal::DuplicateEcu {
                name: ecu.name.clone(),
            });
        }
    }
    let mut ecus: Vec<Ecu> = specs
        .iter()
        .map(|ecu| Ecu {
            name: ecu.name.clone(),
            hardware_id: ecu.hardware_id.clone(),
            primary: ecu.primary,
            reported: None,
            hold: None,
        })
        .collect();
    ecus.sort_by(|a, b| (a.primary, &a.name).cmp(&(b.primary, &b.name)));
    Ok(ecus)
}
