//! Rollouts: preview, the life before launch, launch, and what became of each robot.

use super::Context;
use super::error::{ApiError, unexpected_reply};
use super::member_views::{MemberView, WhyView};
use super::preview_views::{PlannedView, PreviewView};
use super::request::{HistoryQuery, Json, Operator, OptionalJson, PageQuery, Path, Query, Viewer};
use super::robots::key_of;
use super::rollout_views::RolloutView;
use super::spec::{ChangedRollout, NewRollout};
use super::views::Page;
use crate::history::{Record, RecordView};
use crate::writer::CommandError;
use axum::extract::State;
use axum::http::StatusCode;
use rollcall_engine::{
    Actor, Command, EcuName, Image, Member, Refusal, Reply, RobotKey, Rollout, RolloutId,
    RolloutSpec, RolloutStatus, State as Fleet, Why,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Robots that are named for each kind of drift; the counts cover all.
const DRIFT_NAMES: usize = 100;

/// How to launch.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Launch {
    /// Launch although the fleet has changed since the preview.
    accept_drift: bool,
}

/// What happened to a rollout.
#[derive(Debug, Serialize)]
pub(super) struct RolloutHistory {
    rollout: u32,
    items: Vec<RecordView>,
    next: Option<u64>,
}

/// `POST /v1/rollouts/preview`: what the rollout would do. Nothing is stored.
pub(super) async fn preview(
    State(context): State<Context>,
    _: Viewer,
    Query(page): Query<PageQuery>,
    Json(new): Json<NewRollout>,
) -> Result<axum::Json<PreviewView>, ApiError> {
    let spec = RolloutSpec::try_from(new)?;
    let (after, limit) = (page.after_number()?, page.limit());
    let preview = context.bridge.query(move |view| {
        let (plan, report) = view.state.preview(&spec)?;
        Ok::<_, Refusal>(PreviewView::new(view.state, &plan, &report, after, limit))
    });
    Ok(axum::Json(preview.await??))
}

/// `POST /v1/rollouts`: nothing is sent to any robot.
pub(super) async fn create(
    State(context): State<Context>,
    Operator(by): Operator,
    Json(new): Json<NewRollout>,
) -> Result<(StatusCode, axum::Json<RolloutView>), ApiError> {
    let command = Command::CreateRollout(Box::new(new.try_into()?));
    Ok((StatusCode::CREATED, change(&context, by, command).await?))
}

pub(super) async fn change(
    context: &Context,
    by: Actor,
    command: Command,
) -> Result<axum::Json<RolloutView>, ApiError> {
    let Reply::Rollout(id) = context.bridge.command(by, command).await? else {
        return Err(unexpected_reply());
    };
    view_of(context, id).await
}

pub(super) async fn view_of(
    context: &Context,
    id: RolloutId,
) -> Result<axum::Json<RolloutView>, ApiError> {
    let found = context.bridge.query(move |view| {
        find(view.state, id).map(|rollout| RolloutView::new(view.state, rollout))
    });
    Ok(axum::Json(found.await??))
}

pub(super) fn find(state: &Fleet, id: RolloutId) -> Result<&Rollout, ApiError> {
    state
        .rollout(id)
        .ok_or_else(|| Refusal::UnknownRollout { id }.into())
}

/// The rollout's number as the path has it.
pub(super) fn number(text: &str) -> Result<RolloutId, ApiError> {
    text.parse().map(RolloutId).map_err(|_| {
        let found: String = text.chars().take(80).collect();
        let message = format!(
            "rollout {found:?} does not exist; rollouts have numbers, see `rollcall rollout ls`"
        );
        ApiError::new(StatusCode::NOT_FOUND, "unknown_rollout", message)
    })
}

/// `GET /v1/rollouts`
pub(super) async fn list(
    State(context): State<Context>,
    _: Viewer,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<RolloutView>>, ApiError> {
    let (after, limit) = (page.after_number()?.unwrap_or(0), page.limit());
    let page = context.bridge.query(move |view| {
        let mut rest = view
            .state
            .rollouts()
            .skip_while(|rollout| rollout.id.0 <= after);
        let items: Vec<_> = rest
            .by_ref()
            .take(limit)
            .map(|rollout| RolloutView::new(view.state, rollout))
            .collect();
        let more = rest.next().is_some();
        Page {
            next: items
                .last()
                .filter(|_| more)
                .map(|rollout| rollout.id.to_string()),
            items,
        }
    });
    Ok(axum::Json(page.await?))
}

/// `GET /v1/rollouts/{id}`
pub(super) async fn show(
    State(context): State<Context>,
    _: Viewer,
    Path(id): Path<String>,
) -> Result<axum::Json<RolloutView>, ApiError> {
    view_of(&context, number(&id)?).await
}

/// `PATCH /v1/rollouts/{id}`
pub(super) async fn edit(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(id): Path<String>,
    Json(changed): Json<ChangedRollout>,
) -> Result<axum::Json<RolloutView>, ApiError> {
    let rollout = number(&id)?;
    let edit = Box::new(changed.try_into()?);
    change(&context, by, Command::EditRollout { rollout, edit }).await
}

/// `DELETE /v1/rollouts/{id}`
pub(super) async fn delete(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(id): Path<String>,
) -> Result<axum::Json<serde_json::Value>, ApiError> {
    let rollout = number(&id)?;
    context
        .bridge
        .command(by, Command::DeleteRollout { rollout })
        .await?;
    Ok(axum::Json(serde_json::json!({ "deleted": rollout.0 })))
}

/// `POST /v1/rollouts/{id}/launch`
pub(super) async fn launch(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(id): Path<String>,
    OptionalJson(launch): OptionalJson<Launch>,
) -> Result<axum::Json<RolloutView>, ApiError> {
    let rollout = number(&id)?;
    refuse_lost_images(&context, rollout).await?;
    let command = Command::LaunchRollout {
        rollout,
        accept_drift: launch.accept_drift,
    };
    match context.bridge.command(by, command).await {
        Ok(_) => view_of(&context, rollout).await,
        Err(CommandError::Refused(refusal @ Refusal::Drifted { .. })) => {
            let drift = context
                .bridge
                .query(move |view| drift(view.state, rollout))
                .await?;
            Err(ApiError::from(refusal)
                .hint("preview it again, then launch with accept_drift (--accept-drift)")
                .detail(drift))
        }
        Err(error) => Err(error.into()),
    }
}

/// An update that cannot succeed is not sent. The engine knows nothing of disks, so this is said here.
async fn refuse_lost_images(context: &Context, id: RolloutId) -> Result<(), ApiError> {
    let images = context.bridge.query(move |view| {
        let images = find(view.state, id)?.images.values();
        let images = images.filter_map(|key| view.state.image(*key)).cloned();
        Ok::<Vec<_>, ApiError>(images.collect())
    });
    refuse_lost(context, images.await??)
}

/// Refuses images whose file is damaged or missing.
pub(super) fn refuse_lost(
    context: &Context,
    images: impl IntoIterator<Item = Image>,
) -> Result<(), ApiError> {
    for image in images {
        let condition = context.artifacts.condition(&image);
        let Some(lost) = condition.filter(|condition| !condition.is_given()) else {
            continue;
        };
        let message = format!("the file of image {} is {}", image.reference, lost.word());
        return Err(
            ApiError::new(StatusCode::CONFLICT, "image_lost", message).hint(format!(
                "put the file back with `rollcall image restore {} --file PATH`, then launch again",
                image.reference
            )),
        );
    }
    Ok(())
}

fn drift(state: &Fleet, id: RolloutId) -> serde_json::Value {
    let Ok(drift) = state.drift(id) else {
        return serde_json::Value::Null;
    };
    let side = |keys: &[RobotKey]| {
        let robots = keys
            .iter()
            .take(DRIFT_NAMES)
            .filter_map(|key| state.robot(*key));
        let robots: Vec<_> = robots.map(|robot| robot.id.as_str()).collect();
        serde_json::json!({ "count": keys.len(), "robots": robots })
    };
    serde_json::json!({
        "joined": side(&drift.joined),
        "left": side(&drift.left),
        "changed": side(&drift.changed),
    })
}

/// `GET /v1/rollouts/{id}/robots`: before the launch what the plan says, from then on what the snapshot does.
pub(super) async fn robots(
    State(context): State<Context>,
    _: Viewer,
    Path(id): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<MemberView>>, ApiError> {
    let id = number(&id)?;
    let (after, limit) = (page.after_number()?, page.limit());
    let page = context.bridge.query(move |view| {
        let rollout = find(view.state, id)?;
        if rollout.status == RolloutStatus::Prepared {
            planned(view.state, rollout, after, limit)
        } else {
            Ok(members(view.state, rollout, after, limit))
        }
    });
    Ok(axum::Json(page.await??))
}

fn planned(
    state: &Fleet,
    rollout: &Rollout,
    after: Option<u32>,
    limit: usize,
) -> Result<Page<MemberView>, ApiError> {
    let plan = state.plan_page(rollout.id, after.map(RobotKey), limit + 1)?;
    let page = PlannedView::page(state, &plan, after, limit);
    let planned = page
        .items
        .iter()
        .map(|planned| MemberView::planned(rollout, planned));
    Ok(Page {
        items: planned.collect(),
        next: page.next,
    })
}

fn members(state: &Fleet, rollout: &Rollout, after: Option<u32>, limit: usize) -> Page<MemberView> {
    let mut rest = rollout.members.iter_after(after.map(RobotKey));
    let members: Vec<_> = rest.by_ref().take(limit).collect();
    let more = rest.next().is_some();
    let view = |(key, member): &(RobotKey, &Member)| {
        Some(MemberView::new(state, rollout, state.robot(*key)?, member))
    };
    Page {
        next: members
            .last()
            .filter(|_| more)
            .map(|(key, _)| key.0.to_string()),
        items: members.iter().filter_map(view).collect(),
    }
}

/// `GET /v1/rollouts/{id}/robots/{robot}/why`
pub(super) async fn why(
    State(context): State<Context>,
    _: Viewer,
    Path((id, robot)): Path<(String, String)>,
) -> Result<axum::Json<serde_json::Value>, ApiError> {
    let rollout = number(&id)?;
    let asked = robot.clone();
    let why = context.bridge.query(move |view| {
        find(view.state, rollout)?;
        let key = key_of(view, &asked)?;
        let why = view.state.why(rollout, key);
        let why = why.map(|ecus| {
            let operation = |why: &Why| operation(view.state, rollout, key, why.ecu.as_ref()?);
            ecus.into_iter()
                .map(|why| (operation(&why), why))
                .collect::<Vec<_>>()
        });
        why.map_err(|refusal| match refusal {
            Refusal::UnknownRobot { id } => {
                let message = format!("robot {id} is not in rollout {}", rollout.0);
                ApiError::new(StatusCode::NOT_FOUND, "not_in_rollout", message)
            }
            other => other.into(),
        })
    });
    let view = |(operation, why): (Option<Uuid>, Why)| WhyView {
        operation: operation.map(|operation| operation.to_string()),
        downloads: operation.and_then(|operation| context.artifacts.downloaded(operation)),
        ..WhyView::from(why)
    };
    let ecus: Vec<WhyView> = why.await??.into_iter().map(view).collect();
    Ok(axum::Json(
        serde_json::json!({ "rollout": rollout.0, "robot": robot, "ecus": ecus }),
    ))
}

/// The last operation on the ECU, if there was one.
fn operation(state: &Fleet, id: RolloutId, key: RobotKey, ecu: &EcuName) -> Option<Uuid> {
    let robot = state.robot(key)?;
    let targets = &state.rollout(id)?.members.get(&key)?.targets;
    let target = targets.iter().find(|target| {
        let found = robot.ecus.get(usize::from(target.ecu));
        found.is_some_and(|found| found.name == *ecu)
    })?;
    (target.attempt > 0).then(|| rollcall_engine::operation_id(id, key, ecu, target.attempt))
}

/// `GET /v1/rollouts/{id}/history`
pub(super) async fn history(
    State(context): State<Context>,
    _: Viewer,
    Path(id): Path<String>,
    Query(page): Query<HistoryQuery>,
) -> Result<axum::Json<RolloutHistory>, ApiError> {
    let id = number(&id)?;
    context
        .bridge
        .query(move |view| find(view.state, id).map(|_| ()))
        .await??;
    let records = context
        .bridge
        .rollout_history(id, page.before, page.limit())
        .await?;
    Ok(axum::Json(RolloutHistory {
        rollout: id.0,
        next: page.next(&records),
        items: records.iter().map(Record::view).collect(),
    }))
}
