//! Robots: registration (which makes their credentials), list, detail, removal, history.

use super::Context;
use super::device_views::DeviceView;
use super::error::{ApiError, ErrorView, unexpected_reply};
use super::request::{
    Admin, HistoryQuery, Json, MAX_PAGE, Operator, PageQuery, Path, Query, REGISTRATION_LIMIT,
    RawJson, Viewer, parse,
};
use super::tokens;
use super::views::{Page, RobotView, rfc3339};
use crate::history::RecordView;
use crate::writer::View;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use rollcall_engine::{
    Actor, Command, Completion, EcuName, EcuSpec, HardwareId, Member, Model, Refusal, Reply, Robot,
    RobotEdit, RobotId, RobotKey, RobotProgress, RobotSpec, RolloutId, RolloutStatus, Tag,
};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Most robots of one registration.
pub const MAX_REGISTRATIONS: usize = 10_000;
/// Registrations of one request that wait for their commit at one time; they share commits. Fewer than the writer's
/// queue holds, so they enter it in their order.
const CONCURRENT: usize = 250;
/// Removed robots that a page passes over before it is sent short.
const SCAN: usize = 10_000;

/// A robot to register.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRobot {
    /// Its identity for life.
    pub id: String,
    /// What people call it; the id if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The product that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Free labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Free words.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<Tag>,
    /// Its ECUs, exactly one of them primary; none for an Edgehog device, which says its part number.
    pub ecus: Vec<NewEcu>,
}

/// An ECU of a robot to register.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewEcu {
    /// Unique on the robot.
    pub name: String,
    /// The board.
    pub hardware_id: String,
    /// Whether it is updated last.
    #[serde(default)]
    pub primary: bool,
}

/// A robot that was registered, with its secret, which is never shown again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegisteredRobot {
    /// As given.
    #[serde(flatten)]
    pub robot: NewRobot,
    /// Its number in this database.
    pub number: u32,
    /// The MQTT client id to connect with.
    pub client_id: String,
    /// The MQTT user name to connect with.
    pub username: String,
    /// The MQTT password to connect with.
    pub credentials_secret: String,
}

/// The answer to many registrations, in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Registrations {
    /// How many were registered.
    pub registered: usize,
    /// How many were not.
    pub refused: usize,
    /// One for each.
    pub results: Vec<Registration>,
}

/// The answer to one of many registrations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    /// The robot's id as given.
    pub id: String,
    /// The robot, if it was registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robot: Option<RegisteredRobot>,
    /// Why not, if not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
}

/// What happened to a robot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RobotHistory {
    /// Which robot.
    pub robot: String,
    /// Its rollouts, newest first, at most 1,000.
    pub rollouts: Vec<RobotRollout>,
    /// Everything about it, newest first.
    pub items: Vec<RecordView>,
    /// Ask for older ones with `before` set to this.
    pub next: Option<u64>,
}

/// A rollout that the robot is or was a member of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct RobotRollout {
    pub rollout: u32,
    pub name: String,
    pub status: String,
    pub outcome: Option<Completion>,
    pub progress: Option<RobotProgress>,
    pub launched: Option<String>,
    pub launched_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Probe {
    robots: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    robots: Vec<NewRobot>,
}

impl NewRobot {
    fn spec(&self, secret: [u8; 32]) -> Result<RobotSpec, ApiError> {
        let ecu = |ecu: &NewEcu| {
            Ok(EcuSpec {
                name: EcuName::new(&ecu.name).map_err(ApiError::invalid)?,
                hardware_id: HardwareId::new(&ecu.hardware_id).map_err(ApiError::invalid)?,
                primary: ecu.primary,
            })
        };
        let model = self.model.as_deref().map(Model::new).transpose();
        Ok(RobotSpec {
            id: RobotId::new(&self.id).map_err(ApiError::invalid)?,
            name: self.name.clone(),
            model: model.map_err(ApiError::invalid)?,
            labels: self.labels.clone(),
            tags: self.tags.clone(),
            ecus: self.ecus.iter().map(ecu).collect::<Result<_, ApiError>>()?,
            secret,
        })
    }
}

/// `POST /v1/robots`: one robot, or `{"robots": [...]}`.
pub(super) async fn register(
    State(context): State<Context>,
    Admin(by): Admin,
    RawJson(body): RawJson<REGISTRATION_LIMIT>,
) -> Result<Response, ApiError> {
    // Looked at twice rather than as an untagged enum, whose errors do not say what is wrong.
    if parse::<Probe>(&body)?.robots.is_none() {
        let registered = register_one(&context, by, parse(&body)?).await?;
        return Ok((StatusCode::CREATED, axum::Json(registered)).into_response());
    }
    let Many { robots } = parse(&body)?;
    if robots.len() > MAX_REGISTRATIONS {
        let message = format!(
            "{} robots are too many at once; send at most {MAX_REGISTRATIONS}",
            robots.len()
        );
        return Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_many_robots",
            message,
        ));
    }
    Ok(axum::Json(register_many(&context, &by, robots).await).into_response())
}

async fn register_many(context: &Context, by: &Actor, robots: Vec<NewRobot>) -> Registrations {
    let register = |robot: NewRobot| async {
        let id = robot.id.chars().take(64).collect();
        match register_one(context, by.clone(), robot).await {
            Ok(robot) => Registration {
                id,
                robot: Some(robot),
                error: None,
            },
            Err(refused) => Registration {
                id,
                robot: None,
                error: Some(refused.error),
            },
        }
    };
    let all = futures_util::stream::iter(robots)
        .map(register)
        .buffered(CONCURRENT);
    // Every command waits for a commit, so this yields often enough; tokio's own budget would shuffle the robots.
    let results: Vec<_> = tokio::task::unconstrained(all.collect()).await;
    let registered = results
        .iter()
        .filter(|result| result.robot.is_some())
        .count();
    Registrations {
        registered,
        refused: results.len() - registered,
        results,
    }
}

async fn register_one(
    context: &Context,
    by: Actor,
    robot: NewRobot,
) -> Result<RegisteredRobot, ApiError> {
    let secret = tokens::secret();
    let spec = robot.spec(tokens::digest(secret.as_bytes()))?;
    let Reply::Robot(key) = context.bridge.command(by, Command::AddRobot(spec)).await? else {
        return Err(unexpected_reply());
    };
    let address = format!("{}/{}", context.realm, robot.id);
    Ok(RegisteredRobot {
        number: key.0,
        client_id: address.clone(),
        username: address,
        credentials_secret: secret,
        robot,
    })
}

/// `GET /v1/robots`
pub(super) async fn list(
    State(context): State<Context>,
    _: Viewer,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<RobotView>>, ApiError> {
    let (after, limit) = (page.after_number()?.map(RobotKey), page.limit());
    let page = context.bridge.query(move |view| {
        let (mut items, mut last, mut more) = (Vec::new(), None, false);
        for (scanned, robot) in view.state.robots(after).enumerate() {
            if items.len() == limit || scanned == SCAN {
                more = true;
                break;
            }
            last = Some(robot.key.0);
            if robot.removed.is_none() {
                items.push(RobotView::new(view, robot));
            }
        }
        let next = last.filter(|_| more).map(|last| last.to_string());
        Page { items, next }
    });
    Ok(axum::Json(page.await?))
}

/// Finds the registered robot that the path names.
pub(super) fn find<'a>(view: &View<'a>, id: &str) -> Result<&'a Robot, ApiError> {
    let found = view
        .state
        .robot_key(id)
        .and_then(|key| view.state.robot(key));
    found.ok_or_else(|| unknown(id))
}

pub(super) fn unknown(id: &str) -> ApiError {
    // What is no id cannot be an unknown one either, but it is as little to be found.
    match RobotId::new(id) {
        Ok(id) => ApiError::unknown(&Refusal::UnknownRobot { id }),
        Err(error) => ApiError::new(StatusCode::NOT_FOUND, "unknown_robot", error.to_string()),
    }
}

/// The number of the registered robot that the path names.
pub(super) fn key_of(view: &View<'_>, id: &str) -> Result<RobotKey, ApiError> {
    find(view, id).map(|robot| robot.key)
}

/// `GET /v1/robots/{id}`
pub(super) async fn show(
    State(context): State<Context>,
    _: Viewer,
    Path(id): Path<String>,
) -> Result<axum::Json<RobotView>, ApiError> {
    shown(&context, id).await
}

/// A robot with everything that is known of it.
pub(super) async fn shown(
    context: &Context,
    id: String,
) -> Result<axum::Json<RobotView>, ApiError> {
    let robot = context.bridge.query(move |view| {
        let robot = find(view, &id)?;
        Ok::<_, ApiError>(RobotView {
            device: DeviceView::of(view, robot),
            ..RobotView::new(view, robot)
        })
    });
    let mut robot = robot.await??;
    if let Some(operation) = &mut robot.operation {
        let number = operation.operation.parse().ok();
        operation.downloads = number.and_then(|number| context.artifacts.downloaded(number));
    }
    Ok(axum::Json(robot))
}

/// `DELETE /v1/robots/{id}`
pub(super) async fn remove(
    State(context): State<Context>,
    Admin(by): Admin,
    Path(id): Path<String>,
) -> Result<axum::Json<serde_json::Value>, ApiError> {
    let robot = RobotId::new(&id).map_err(|_| unknown(&id))?;
    let removed = context
        .bridge
        .command(by, Command::RemoveRobot { robot })
        .await;
    removed
        .map_err(|error| ApiError::command(error, |r| matches!(r, Refusal::UnknownRobot { .. })))?;
    Ok(axum::Json(serde_json::json!({ "removed": id })))
}

/// `PATCH /v1/robots/{id}`: its tags and labels.
pub(super) async fn edit(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(id): Path<String>,
    Json(edit): Json<RobotEdit>,
) -> Result<axum::Json<RobotView>, ApiError> {
    let robot = RobotId::new(&id).map_err(|_| unknown(&id))?;
    let edited = context
        .bridge
        .command(by, Command::EditRobot { robot, edit })
        .await;
    edited
        .map_err(|error| ApiError::command(error, |r| matches!(r, Refusal::UnknownRobot { .. })))?;
    let robot = context
        .bridge
        .query(move |view| find(view, &id).map(|robot| RobotView::new(view, robot)));
    Ok(axum::Json(robot.await??))
}

/// `GET /v1/robots/{id}/history`: A30, and every record.
pub(super) async fn history(
    State(context): State<Context>,
    _: Viewer,
    Path(id): Path<String>,
    Query(page): Query<HistoryQuery>,
) -> Result<axum::Json<RobotHistory>, ApiError> {
    let asked = id.clone();
    let found = context.bridge.query(move |view| {
        let robot = find(view, &asked)?;
        let newest = robot.memberships.iter().rev().take(MAX_PAGE);
        let rollouts = newest
            .filter_map(|id| RobotRollout::of(view, robot, *id))
            .collect();
        Ok::<_, ApiError>((robot.key, rollouts))
    });
    let (key, rollouts) = found.await??;
    let records = context
        .bridge
        .robot_history(key, page.before, page.limit())
        .await?;
    Ok(axum::Json(RobotHistory {
        robot: id,
        rollouts,
        next: page.next(&records),
        items: records.iter().map(crate::history::Record::view).collect(),
    }))
}

impl RobotRollout {
    fn of(view: &View<'_>, robot: &Robot, id: RolloutId) -> Option<Self> {
        let rollout = view.state.rollout(id)?;
        let (launched, outcome) = match rollout.status {
            RolloutStatus::Prepared => (None, None),
            RolloutStatus::Launched { launched, .. } => (Some(launched), None),
            RolloutStatus::Completed {
                launched, outcome, ..
            } => (Some(launched), Some(outcome)),
        };
        Some(Self {
            rollout: id.0,
            name: rollout.name.to_string(),
            status: rollout.word().to_owned(),
            outcome,
            progress: rollout.members.get(&robot.key).map(Member::progress),
            launched: launched.map(rfc3339),
            launched_ms: launched.map(|at| at.0),
        })
    }
}
