//! History records: every input that was taken, with what it takes to find and to replay it.
//!
//! The records of one robot, and of one rollout, are chained: each names the one before it. The chains' ends are in
//! the rows (see [`crate::records`]), so a robot's history is read without looking at anybody else's.

use crate::api::rfc3339;
use crate::device;
use crate::hex;
use crate::store;
use bytes::Bytes;
use prost::Message;
use rollcall_engine::{
    Actor, ChannelEdit, ChannelName, Command, GroupName, Input, LedgerOrigin, LinkEvent,
    MANUAL_OFFLINE_GRACE, ManualUpdate, Millis, OfflinePolicy, ReleaseSet, Released, RobotKey,
    RolloutId, Source, Timer, Timestamp,
};
use serde::Serialize;
use std::collections::BTreeSet;

/// One input that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the order of everything.
    pub seq: u64,
    /// When it happened, on the engine's clock.
    pub at: Timestamp,
    /// The rules that were applied to it ([`rollcall_engine::VERSION`]).
    pub engine: u32,
    /// The robot that it is about, and the number of that robot's record before it (0: none).
    pub robot: Option<(RobotKey, u64)>,
    /// The rollouts whose own row it changed, each with the number of that rollout's record before it.
    pub rollouts: Vec<(RolloutId, u64)>,
    /// What happened.
    pub entry: Entry,
}

/// What happened, in the form that came from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An operator's command.
    Command {
        /// Who.
        by: Actor,
        /// What.
        command: Command,
    },
    /// A robot's connection changed.
    Link(LinkEvent),
    /// A robot published: topic and payload as they came.
    Publish {
        /// The whole topic name.
        topic: String,
        /// The payload.
        payload: Bytes,
    },
    /// A timer came due.
    Due(Timer),
    /// The server started.
    Started {
        /// Since when it was away, as far as the database knew.
        down_since: Timestamp,
        /// Where hosted files are fetched from since.
        base: Option<String>,
    },
}

/// Why history could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database said no.
    #[error("history cannot be read")]
    Store(#[from] store::ReadError),
    /// A record is not what this version writes.
    #[error("history record {seq} cannot be understood: {why}")]
    Damaged {
        /// Which.
        seq: u64,
        /// Why.
        why: String,
    },
    /// The writer is gone.
    #[error(transparent)]
    Writer(#[from] crate::writer::CommandError),
    /// The reading task was ended.
    #[error("reading was interrupted")]
    Interrupted,
}

/// The stored form. Fields are never renumbered.
#[derive(Clone, PartialEq, prost::Message)]
struct Stored {
    #[prost(uint64, tag = "1")]
    at: u64,
    #[prost(uint32, tag = "2")]
    engine: u32,
    #[prost(uint32, tag = "3")]
    robot: u32,
    #[prost(uint64, tag = "4")]
    robot_before: u64,
    #[prost(message, repeated, tag = "5")]
    rollouts: Vec<Link>,
    #[prost(oneof = "Kind", tags = "6, 7, 8, 9, 10")]
    kind: Option<Kind>,
    /// With `Kind::Started`: where hosted files are fetched from since.
    #[prost(string, optional, tag = "11")]
    base: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Link {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(uint64, tag = "2")]
    before: u64,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "6")]
    Command(StoredCommand),
    #[prost(message, tag = "7")]
    Publish(StoredPublish),
    /// JSON of [`LinkEvent`].
    #[prost(string, tag = "8")]
    Link(String),
    /// JSON of [`Timer`].
    #[prost(string, tag = "9")]
    Due(String),
    /// Since when the server was away.
    #[prost(uint64, tag = "10")]
    Started(u64),
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredCommand {
    #[prost(string, tag = "1")]
    by: String,
    /// JSON of [`Command`].
    #[prost(string, tag = "2")]
    command: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredPublish {
    #[prost(string, tag = "1")]
    topic: String,
    #[prost(bytes = "bytes", tag = "2")]
    payload: Bytes,
}

impl Record {
    /// The stored bytes, without the number, which is the key.
    ///
    /// # Errors
    /// When a command has no JSON form, which its types rule out.
    pub fn encode(self) -> Result<Vec<u8>, serde_json::Error> {
        let base = match &self.entry {
            Entry::Started { base, .. } => base.clone(),
            _ => None,
        };
        let kind = match self.entry {
            Entry::Command { by, command } => Kind::Command(StoredCommand {
                by: by.0,
                command: serde_json::to_string(&command)?,
            }),
            Entry::Link(event) => Kind::Link(serde_json::to_string(&event)?),
            Entry::Publish { topic, payload } => Kind::Publish(StoredPublish { topic, payload }),
            Entry::Due(timer) => Kind::Due(serde_json::to_string(&timer)?),
            Entry::Started { down_since, .. } => Kind::Started(down_since.0),
        };
        let (robot, robot_before) = self
            .robot
            .map_or((0, 0), |(robot, before)| (robot.0, before));
        let rollouts = self
            .rollouts
            .into_iter()
            .map(|(id, before)| Link { id: id.0, before })
            .collect();
        let stored = Stored {
            at: self.at.0,
            engine: self.engine,
            robot,
            robot_before,
            rollouts,
            kind: Some(kind),
            base,
        };
        Ok(stored.encode_to_vec())
    }

    /// Reads a stored record.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is not what this version writes.
    pub fn decode(seq: u64, bytes: Bytes) -> Result<Self, Error> {
        let damaged = |why: String| Error::Damaged { seq, why };
        let stored = Stored::decode(bytes).map_err(|e| damaged(e.to_string()))?;
        let json = |e: serde_json::Error| damaged(e.to_string());
        let entry = match stored
            .kind
            .ok_or_else(|| damaged("it has no kind".to_owned()))?
        {
            Kind::Command(StoredCommand { by, command }) => Entry::Command {
                by: Actor(by),
                command: serde_json::from_str(&command).map_err(json)?,
            },
            Kind::Publish(StoredPublish { topic, payload }) => Entry::Publish { topic, payload },
            Kind::Link(event) => Entry::Link(serde_json::from_str(&event).map_err(json)?),
            Kind::Due(timer) => Entry::Due(serde_json::from_str(&timer).map_err(json)?),
            Kind::Started(down_since) => Entry::Started {
                down_since: Timestamp(down_since),
                base: stored.base,
            },
        };
        Ok(Self {
            seq,
            at: Timestamp(stored.at),
            engine: stored.engine,
            robot: (stored.robot != 0).then_some((RobotKey(stored.robot), stored.robot_before)),
            rollouts: stored
                .rollouts
                .iter()
                .map(|link| (RolloutId(link.id), link.before))
                .collect(),
            entry,
        })
    }

    /// The input that the engine was given; `None` if the payload cannot be read by this version.
    #[must_use]
    pub fn input(&self) -> Option<Input> {
        let robot = self.robot.map(|(robot, _)| robot);
        Some(match self.entry.clone() {
            Entry::Command { by, command } => Input::Command { by, command },
            Entry::Link(event) => Input::Link {
                robot: robot?,
                event,
            },
            Entry::Publish { topic, payload } => Input::Report {
                robot: robot?,
                report: device::decode(&topic, &payload).ok()?.report()?,
            },
            Entry::Due(timer) => Input::Due(timer),
            Entry::Started { down_since, base } => Input::Started { down_since, base },
        })
    }

    pub(crate) fn before_of_robot(&self, key: RobotKey) -> u64 {
        self.robot
            .filter(|(robot, _)| *robot == key)
            .map_or(0, |(_, before)| before)
    }

    pub(crate) fn before_of_rollout(&self, rollout: RolloutId) -> u64 {
        self.rollouts
            .iter()
            .find(|(id, _)| *id == rollout)
            .map_or(0, |(_, before)| *before)
    }

    /// The record for people and programs.
    #[must_use]
    pub fn view(&self) -> RecordView {
        let (kind, by, text) = match &self.entry {
            Entry::Command { by, command } => {
                ("command", Some(by.0.clone()), describe_command(command))
            }
            Entry::Link(event) => ("link", None, describe_link(*event)),
            Entry::Publish { topic, payload } => ("report", None, device::describe(topic, payload)),
            Entry::Due(Timer::Robot(_)) => {
                ("timer", None, "a deadline of the robot came".to_owned())
            }
            Entry::Due(Timer::Rollout(_)) => {
                let text =
                    "a time of the rollout came: its start, its end, a phase, a window or its rate";
                ("timer", None, text.to_owned())
            }
            Entry::Started { .. } => ("server", None, "the server started".to_owned()),
        };
        RecordView {
            seq: self.seq,
            at_ms: self.at.0,
            kind,
            by,
            text,
        }
    }
}

/// A record as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordView {
    /// Its place in the order of everything.
    pub seq: u64,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// `command`, `link`, `report`, `timer` or `server`.
    pub kind: &'static str,
    /// Who, for commands.
    pub by: Option<String>,
    /// What happened.
    pub text: String,
}

fn describe_command(command: &Command) -> String {
    match command {
        Command::AddRobot(spec) => format!("add robot {}", spec.id),
        Command::RemoveRobot { robot } => format!("remove robot {robot}"),
        Command::CancelOperation { robot, all: false } => {
            format!("cancel the operation on robot {robot}")
        }
        Command::CancelOperation { robot, all: true } => {
            format!("cancel everything open on robot {robot}")
        }
        Command::SetProperty { robot, change } => {
            let path = format!("{}/{}", change.interface, change.path);
            match &change.value {
                Some(value) => format!("set property {path} of robot {robot} to {value}"),
                None => format!("unset property {path} of robot {robot}"),
            }
        }
        Command::AcceptDeclared { robot } => format!("accept what robot {robot} declares"),
        Command::IssueCertificate {
            robot,
            serial,
            not_after,
            ..
        } => format!(
            "issue certificate {} to robot {robot}, valid until {}",
            hex::encode(serial),
            rfc3339(*not_after)
        ),
        Command::InhibitCredentials { robot } => {
            format!("inhibit the credentials of robot {robot}")
        }
        Command::AllowCredentials { robot } => format!("allow the credentials of robot {robot}"),
        Command::RotateCredentials {
            robot,
            allow_pairing,
            ..
        } => {
            let and = if *allow_pairing {
                "; it may register itself again"
            } else {
                ""
            };
            format!("replace the secret of robot {robot} and revoke its certificate{and}")
        }
        Command::AddPairingToken(spec) => format!("add pairing token {}", spec.name),
        Command::RemovePairingToken { name } => format!("remove pairing token {name}"),
        Command::PairRobot {
            token_name, robot, ..
        } => {
            format!("robot {robot} registered itself with pairing token {token_name}")
        }
        Command::EditRobot { robot, edit } => {
            let listed = |sign: &str, words: Vec<String>| -> String {
                words.iter().map(|word| format!(" {sign}{word}")).collect()
            };
            let labels = edit.set_labels.iter();
            format!(
                "edit robot {robot}: tags{}{}; labels{}{}",
                listed(
                    "-",
                    edit.remove_tags.iter().map(ToString::to_string).collect()
                ),
                listed("+", edit.add_tags.iter().map(ToString::to_string).collect()),
                listed("-", edit.remove_labels.iter().cloned().collect()),
                listed(
                    "+",
                    labels
                        .map(|(key, value)| format!("{key}={value}"))
                        .collect()
                ),
            )
        }
        Command::AddSelectorGroup { name, selector } => {
            format!("add group {name} of {}", selector.as_str())
        }
        Command::EditGroup { name, selector } => {
            format!("change group {name} to {}", selector.as_str())
        }
        Command::AddGroup { name, robots } => {
            format!("add {} robots to group {name}", robots.len())
        }
        Command::RemoveGroup { name } => format!("remove group {name}"),
        Command::PublishRelease(spec) => {
            let what = match &spec.what {
                Released::Image(image) => image.to_string(),
                Released::Ledger { version: None } => "the ledger's newest version".to_owned(),
                Released::Ledger {
                    version: Some(number),
                } => format!("version {number} of the ledger"),
            };
            let percentage = spec.percentage.map(|share| format!(" at {share}"));
            let set = match spec.set {
                Some(ReleaseSet::Same) => ", to the same set",
                Some(ReleaseSet::New {
                    away_from_former: true,
                }) => ", to a new set without the former one",
                Some(ReleaseSet::New { .. }) => ", to a new set",
                None => "",
            };
            format!(
                "release {what} on channel {}{}{set}",
                spec.channel,
                percentage.unwrap_or_default()
            )
        }
        Command::StopRelease { release } => format!("stop release {}", release.0),
        Command::ResumeRelease { release } => format!("resume release {}", release.0),
        Command::RaiseRelease {
            release,
            percentage,
        } => format!("raise release {} to {percentage}", release.0),
        Command::AddChannel { name, groups } if groups.is_empty() => {
            format!("add channel {name} of every robot")
        }
        Command::AddChannel { name, groups } => {
            format!("add channel {name} of groups {}", joined(groups))
        }
        Command::EditChannel { name, edit } => match edit {
            ChannelEdit::Set(groups) if groups.is_empty() => {
                format!("change channel {name} to every robot")
            }
            ChannelEdit::Set(groups) => {
                format!("change channel {name} to groups {}", joined(groups))
            }
            ChannelEdit::Change { add, remove } => format!(
                "change channel {name}: without {}; with {}",
                joined(remove),
                joined(add)
            ),
        },
        Command::RemoveChannel { name } => format!("remove channel {name}"),
        Command::SetChannelSource { channel, source } => describe_source(channel, source),
        Command::RecordLedgerVersion {
            channel, record, ..
        } => format!(
            "record version {} ({}) of channel {channel}'s ledger",
            record.software_version, record.software_version_string
        ),
        Command::WithdrawLedgerVersion {
            channel, number, ..
        } => {
            format!("note that channel {channel}'s ledger no longer lists version {number}")
        }
        Command::NoteLedgerProblem {
            channel,
            number,
            problem,
        } => format!(
            "note that the file of version {number} of channel {channel}'s ledger is not here: {problem}"
        ),
        Command::AttachLedgerFile {
            channel, number, ..
        } => format!("make version {number} of channel {channel}'s ledger an image"),
        Command::AddImage(spec) => format!("add image {}", spec.reference),
        Command::RemoveImage { image } => format!("remove image {image}"),
        Command::ManualUpdate(wish) => describe_manual(wish),
        Command::CreateRollout(spec) => format!("create rollout {}", spec.name),
        Command::EditRollout { rollout, .. } => format!("edit rollout {}", rollout.0),
        Command::DeleteRollout { rollout } => format!("delete rollout {}", rollout.0),
        Command::LaunchRollout { rollout, .. } => format!("launch rollout {}", rollout.0),
        Command::PauseRollout { rollout } => format!("pause rollout {}", rollout.0),
        Command::ResumeRollout { rollout } => format!("resume rollout {}", rollout.0),
        Command::StopRollout { rollout } => format!("stop rollout {}", rollout.0),
        Command::CancelRollout { rollout } => format!("cancel rollout {}", rollout.0),
        Command::ApprovePhase { rollout, .. } => {
            format!("approve the next phase of rollout {}", rollout.0)
        }
    }
}

fn describe_source(channel: &ChannelName, source: &Source) -> String {
    let Some(ledger) = source.ledger() else {
        return format!("let channel {channel} release our own images");
    };
    let from = match &ledger.origin {
        LedgerOrigin::Rest { url } => url,
        LedgerOrigin::File => "files",
    };
    let product = ledger.product;
    format!("let channel {channel} follow product {product} on the ledger, read from {from}")
}

/// E21: the record of who took the risk, and of all that was asked for.
fn describe_manual(wish: &ManualUpdate) -> String {
    let ecu = wish.ecu.as_ref().map_or_else(
        || "its only ECU".to_owned(),
        |name| format!("its ECU {name}"),
    );
    let offline = match wish.offline {
        Some(OfflinePolicy::Wait) => "waits while it is offline".to_owned(),
        Some(OfflinePolicy::Fail { grace }) => fails_after(grace),
        None => fails_after(MANUAL_OFFLINE_GRACE),
    };
    let deadline = wish.deadline.map_or(String::new(), |deadline| {
        format!(", ends after {} s", deadline / 1_000)
    });
    format!(
        "update robot {} by hand: {ecu} to {}, past its model and versions, confirmed with {:?}; {offline}{deadline}",
        wish.robot, wish.image, wish.confirm
    )
}

fn fails_after(grace: Millis) -> String {
    format!("fails after {} s offline", grace / 1_000)
}

fn joined(groups: &BTreeSet<GroupName>) -> String {
    if groups.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<_> = groups.iter().map(GroupName::as_str).collect();
    names.join(", ")
}

fn describe_link(event: LinkEvent) -> String {
    match event {
        LinkEvent::Connected { connection } => format!("connected (connection {connection})"),
        LinkEvent::Subscribed { .. } => "listens for requests".to_owned(),
        LinkEvent::Unsubscribed { .. } => "no longer listens for requests".to_owned(),
        LinkEvent::Disconnected { connection } => format!("disconnected (connection {connection})"),
    }
}

/// Follows a chain from `newest` back, skipping what is not older than `before`.
pub(crate) fn walk(
    history: &store::History,
    newest: u64,
    before: Option<u64>,
    limit: usize,
    next: impl Fn(&Record) -> u64,
) -> Result<Vec<Record>, Error> {
    let mut records = Vec::new();
    let mut seq = newest;
    while seq != 0 && records.len() < limit {
        // A record that retention has removed ends the chain.
        let Some(bytes) = history.read(seq)? else {
            break;
        };
        let record = Record::decode(seq, bytes.into())?;
        let older = next(&record);
        if before.is_none_or(|before| seq < before) {
            records.push(record);
        }
        // A chain only goes back; anything else would be a loop.
        seq = if older < seq { older } else { 0 };
    }
    Ok(records)
}
