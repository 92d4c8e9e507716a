//! Groups of listed robots.

use super::Context;
use super::error::ApiError;
use super::request::{Json, Operator, PageQuery, Path, Query, Viewer};
use super::views::{GroupDetail, GroupView, Page};
use axum::extract::State;
use axum::http::StatusCode;
use rollcall_engine::{
    Command, Group, GroupName, NameError, Refusal, RobotId, RobotKey, State as Fleet,
};
use serde::{Deserialize, Serialize};

/// A group to make, or to add robots to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// Its name.
    pub name: String,
    /// Robots to add.
    #[serde(default)]
    pub robots: Vec<String>,
}

/// `POST /v1/groups`: makes the group if there is none, and adds the robots.
pub(super) async fn add(
    State(context): State<Context>,
    Operator(by): Operator,
    Json(group): Json<NewGroup>,
) -> Result<axum::Json<GroupView>, ApiError> {
    let name = GroupName::new(&group.name).map_err(ApiError::invalid)?;
    let robots = group.robots.iter().map(|id| RobotId::new(id));
    let robots = robots
        .collect::<Result<_, NameError>>()
        .map_err(ApiError::invalid)?;
    context
        .bridge
        .command(by, Command::AddGroup { name, robots })
        .await?;
    let found = context
        .bridge
        .query(move |view| find(view.state, &group.name).map(GroupView::new));
    Ok(axum::Json(found.await??))
}

/// `GET /v1/groups`
pub(super) async fn list(
    State(context): State<Context>,
    _: Viewer,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<GroupView>>, ApiError> {
    let (after, limit) = (page.after_text().unwrap_or_default(), page.limit());
    let page = context.bridge.query(move |view| {
        let mut rest = view
            .state
            .groups()
            .skip_while(|group| group.name.as_str() <= after.as_str());
        let items: Vec<_> = rest.by_ref().take(limit).map(GroupView::new).collect();
        let more = rest.next().is_some();
        let next = items
            .last()
            .filter(|_| more)
            .map(|group| group.name.clone());
        Page { items, next }
    });
    Ok(axum::Json(page.await?))
}

fn find<'a>(state: &'a Fleet, name: &str) -> Result<&'a Group, ApiError> {
    state.group(name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> ApiError {
    match GroupName::new(name) {
        Ok(name) => ApiError::unknown(&Refusal::UnknownGroup { name }),
        Err(error) => ApiError::new(StatusCode::NOT_FOUND, "unknown_group", error.to_string()),
    }
}

/// `GET /v1/groups/{name}`: the group with a page of its robots.
pub(super) async fn show(
    State(context): State<Context>,
    _: Viewer,
    Path(name): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<GroupDetail>, ApiError> {
    let (after, limit) = (page.after_number()?.unwrap_or(0), page.limit());
    let detail = context.bridge.query(move |view| {
        let group = find(view.state, &name)?;
        let mut rest = group.robots.range(RobotKey(after.saturating_add(1))..);
        let keys: Vec<_> = rest.by_ref().take(limit).collect();
        let more = rest.next().is_some();
        let robots = keys.iter().filter_map(|key| view.state.robot(**key));
        Ok::<_, ApiError>(GroupDetail {
            group: GroupView::new(group),
            robots: robots.map(|robot| robot.id.to_string()).collect(),
            next: keys.last().filter(|_| more).map(|key| key.0.to_string()),
        })
    });
    Ok(axum::Json(detail.await??))
}

/// `DELETE /v1/groups/{name}`
pub(super) async fn remove(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(name): Path<String>,
) -> Result<axum::Json<serde_json::Value>, ApiError> {
    let group = GroupName::new(&name).map_err(|_| unknown(&name))?;
    let removed = context
        .bridge
        .command(by, Command::RemoveGroup { name: group })
        .await;
    removed
        .map_err(|error| ApiError::command(error, |r| matches!(r, Refusal::UnknownGroup { .. })))?;
    Ok(axum::Json(serde_json::json!({ "removed": name })))
}
