//! The inventory as the API shows it. The command line reads the same types, so the two cannot disagree.

use super::credentials::CredentialsView;
use super::device_views::DeviceView;
use crate::artifacts::{Artifacts, Condition, Tally};
use crate::hex;
use crate::writer::View;
use rollcall_engine::{
    Cancelling, Group, Hold, Image, ImageKey, Membership, Robot, RobotStatus, State, TargetState,
    Timestamp,
};
use rollcall_proto::native;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

/// The last moment that RFC 3339 can write: the end of the year 9999, in milliseconds.
const LAST_MOMENT: u64 = 253_402_300_799_999;

/// A moment in RFC 3339, UTC, with milliseconds.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    let moment = UNIX_EPOCH + Duration::from_millis(at.0.min(LAST_MOMENT));
    humantime::format_rfc3339_millis(moment).to_string()
}

/// The word that serde gives a value without fields.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// An image's name and version.
pub(super) fn reference(state: &State, image: ImageKey) -> String {
    state
        .image(image)
        .map(|image| image.reference.to_string())
        .unwrap_or_default()
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Ask for the rest with `after` set to this; `null` when there is none.
    pub next: Option<String>,
}

/// A robot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct RobotView {
    pub id: String,
    pub number: u32,
    pub name: String,
    pub model: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub tags: BTreeSet<String>,
    pub groups: BTreeSet<String>,
    pub status: String,
    pub online: bool,
    /// Since when it is online or offline; `null` for a robot that never connected.
    pub online_since: Option<String>,
    pub online_since_ms: Option<u64>,
    /// Whether an OTARequest may be sent now.
    pub ready: bool,
    pub protocol: Option<String>,
    /// Registered without ECUs: its part number is its hardware id and its model.
    #[serde(default)]
    pub by_part_number: bool,
    pub registered: String,
    pub registered_ms: u64,
    pub credentials: CredentialsView,
    pub ecus: Vec<EcuView>,
    pub operation: Option<OperationView>,
    pub telemetry: Option<TelemetryView>,
    pub last_refusal: Option<RefusalView>,
    /// Of an Edgehog device; `null` in lists.
    #[serde(default)]
    pub device: Option<DeviceView>,
}

/// One of a robot's ECUs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct EcuView {
    pub name: String,
    pub hardware_id: String,
    pub primary: bool,
    pub reported: Option<ReportedView>,
    pub hold: Option<Hold>,
}

/// What an ECU says it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct ReportedView {
    pub name: String,
    pub version: String,
    pub build_id: String,
    pub sha256: Option<String>,
    pub operation: Option<String>,
}

/// The operation under way on a robot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct OperationView {
    pub operation: String,
    pub rollout: u32,
    pub ecu: String,
    pub attempt: u16,
    #[serde(flatten)]
    pub state: TargetState,
    /// What was downloaded for it since the server started; only where one robot is shown.
    pub downloads: Option<Tally>,
    /// An operator wants it cancelled.
    #[serde(default)]
    pub cancelling: Option<CancellingView>,
}

/// An operator's wish that an operation ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct CancellingView {
    pub by: String,
    pub since: String,
    pub since_ms: u64,
    /// How often a Cancel went out.
    pub sent: u8,
    /// What becomes of it if the robot gives up: `operator`, `recall`, `rollout_cancelled`, `rollout_aborted`.
    #[serde(default)]
    pub goal: String,
}

impl From<&Cancelling> for CancellingView {
    fn from(cancelling: &Cancelling) -> Self {
        Self {
            by: cancelling.by.to_string(),
            since: rfc3339(cancelling.since),
            since_ms: cancelling.since.0,
            sent: cancelling.sent,
            goal: word(&cancelling.goal),
        }
    }
}

/// What a robot last said of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct TelemetryView {
    pub operational: String,
    pub battery_percent: Option<u8>,
    pub free_storage_bytes: Option<u64>,
}

/// The last thing that a robot published in vain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct RefusalView {
    pub code: String,
    pub message: String,
    pub at: String,
    pub at_ms: u64,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct ImageView {
    pub image: String,
    pub name: String,
    pub version: String,
    pub hardware_ids: BTreeSet<String>,
    pub model: Option<String>,
    pub build_id: Option<String>,
    pub from_version: Option<String>,
    pub url: String,
    pub hosted: bool,
    /// `unchecked`, `whole`, `damaged` or `missing`; `null` for an image that lies elsewhere.
    pub file: Option<Condition>,
    pub size: u64,
    pub sha256: String,
    pub created: String,
    pub created_ms: u64,
}

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct GroupView {
    pub name: String,
    pub created: String,
    pub created_ms: u64,
    /// Which robots; `null` where they are listed.
    pub selector: Option<String>,
    /// The channel that it belongs to.
    pub channel: Option<String>,
    /// `null` in lists for a selector, which would have to look at the whole fleet.
    pub robot_count: Option<usize>,
}

/// A group with a part of its robots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct GroupDetail {
    #[serde(flatten)]
    pub group: GroupView,
    pub robots: Vec<String>,
    pub next: Option<String>,
}

impl RobotView {
    pub(super) fn new(view: &View<'_>, robot: &Robot) -> Self {
        let status = match view.state.robot_status(robot) {
            RobotStatus::Updated => "updated",
            RobotStatus::Updating => "updating",
            RobotStatus::Failed => "failed",
        };
        let groups = view.state.groups_of(robot);
        // A robot that never connected has been gone since its registration, which says nothing.
        let since =
            Some(robot.link.since).filter(|_| robot.cursor.last_seen.0 > 0 || robot.online());
        Self {
            id: robot.id.to_string(),
            number: robot.key.0,
            name: robot.name.clone(),
            model: robot.model.as_ref().map(ToString::to_string),
            labels: robot.labels.clone(),
            tags: robot.tags.iter().map(ToString::to_string).collect(),
            groups: groups.iter().map(ToString::to_string).collect(),
            status: status.to_owned(),
            online: robot.online(),
            online_since: since.map(rfc3339),
            online_since_ms: since.map(|at| at.0),
            ready: robot.ready(),
            protocol: robot.protocol.as_ref().map(word),
            by_part_number: robot.by_part_number,
            registered: rfc3339(robot.registered),
            registered_ms: robot.registered.0,
            credentials: CredentialsView::new(robot),
            ecus: (0..robot.ecus.len())
                .filter_map(|index| EcuView::of(robot, index))
                .collect(),
            operation: OperationView::of(view, robot),
            telemetry: view.telemetry.get(&robot.key).map(TelemetryView::new),
            last_refusal: view.refusals.get(&robot.key).map(|refusal| RefusalView {
                code: refusal.code.to_owned(),
                message: refusal.why.clone(),
                at: rfc3339(refusal.at),
                at_ms: refusal.at.0,
            }),
            device: None,
        }
    }
}

impl OperationView {
    fn of(view: &View<'_>, robot: &Robot) -> Option<Self> {
        let (rollout, target) = view.state.active_target(robot)?;
        let ecu = &robot.ecus.get(usize::from(target.ecu))?.name;
        let operation = rollcall_engine::operation_id(rollout.id, robot.key, ecu, target.attempt);
        Some(Self {
            operation: operation.to_string(),
            rollout: rollout.id.0,
            ecu: ecu.to_string(),
            attempt: target.attempt,
            state: target.state,
            downloads: None,
            cancelling: target.cancelling.as_deref().map(CancellingView::from),
        })
    }
}

impl EcuView {
    fn of(robot: &Robot, index: usize) -> Option<Self> {
        let ecu = robot.ecus.get(index)?;
        Some(Self {
            name: ecu.name.to_string(),
            hardware_id: ecu.hardware_id.to_string(),
            primary: ecu.primary,
            reported: ecu.reported.as_ref().map(|reported| ReportedView {
                name: reported.name.clone(),
                version: reported.version.clone(),
                build_id: reported.build_id.clone(),
                sha256: reported.digest.as_ref().map(|digest| hex::encode(digest)),
                operation: reported.operation.map(|operation| operation.to_string()),
            }),
            hold: robot.hold(index),
        })
    }
}

impl TelemetryView {
    fn new(state: &native::State) -> Self {
        let operational = match state.operational {
            native::OperationalState::Idle => "idle",
            native::OperationalState::Charging => "charging",
            native::OperationalState::Mission => "mission",
            native::OperationalState::Teleoperated => "teleoperated",
            native::OperationalState::Maintenance => "maintenance",
            native::OperationalState::Fault => "fault",
            native::OperationalState::Other => "other",
        };
        Self {
            operational: operational.to_owned(),
            battery_percent: state.battery_percent,
            free_storage_bytes: state.free_storage_bytes,
        }
    }
}

impl ImageView {
    pub(super) fn new(artifacts: &Artifacts, image: &Image) -> Self {
        Self {
            image: image.reference.to_string(),
            name: image.reference.name.to_string(),
            version: image.reference.version.to_string(),
            hardware_ids: image.hardware_ids.iter().map(ToString::to_string).collect(),
            model: image.model.as_ref().map(ToString::to_string),
            build_id: image.build_id.clone(),
            from_version: image.from_version.as_ref().map(ToString::to_string),
            url: artifacts.url(image),
            hosted: image.hosted,
            file: artifacts.condition(image),
            size: image.size,
            sha256: hex::encode(&image.sha256),
            created: rfc3339(image.created),
            created_ms: image.created.0,
        }
    }
}

impl GroupView {
    pub(super) fn new(state: &State, group: &Group) -> Self {
        let channel = state.channel_of(group.key);
        Self {
            channel: channel.map(|channel| channel.name.to_string()),
            name: group.name.to_string(),
            created: rfc3339(group.created),
            created_ms: group.created.0,
            selector: match &group.membership {
                Membership::Listed(_) => None,
                Membership::Selected(selector) => Some(selector.as_str().to_owned()),
            },
            robot_count: match &group.membership {
                Membership::Listed(robots) => Some(robots.len()),
                Membership::Selected(_) => None,
            },
        }
    }

    /// With the number of robots that a selector means now.
    pub(super) fn counted(state: &State, group: &Group) -> Self {
        Self {
            robot_count: Some(state.members(group, None).count()),
            ..Self::new(state, group)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_can_be_written() {
        assert_eq!(rfc3339(Timestamp(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Timestamp(u64::MAX)), "9999-12-31T23:59:59.999Z");
    }
}
