//! Groups: listed robots, or those that a selector means.

use super::Context;
use super::error::ApiError;
use super::request::{Json, Operator, PageQuery, Path, Query, Viewer};
use super::selectors::RobotPage;
use super::views::{GroupDetail, GroupView, Page};
use axum::extract::State;
use axum::http::StatusCode;
use rollcall_engine::{
    Command, Finding, Group, GroupName, Membership, NameError, Refusal, Robot, RobotId, RobotKey,
    Selector, State as Fleet,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A group to make, or to add robots to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// Its name.
    pub name: String,
    /// Robots to add.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub robots: Vec<String>,
    /// Makes a new group of the robots that it means, instead of listing them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

/// What to change at a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangedGroup {
    /// Whom it means from now on.
    pub selector: String,
}

/// Whether a robot belongs, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipView {
    /// Which robot.
    pub robot: String,
    /// Whether it belongs now.
    pub member: bool,
    /// What decides it; `null` for a group that lists its robots.
    pub selector: Option<String>,
    /// The filters on which the answer rests; none for a group that lists its robots.
    pub decided_by: Vec<Finding>,
}

impl MembershipView {
    pub(super) fn selected(state: &Fleet, selector: &Selector, robot: &Robot) -> Self {
        let explanation = selector.explain(robot, state.now());
        Self {
            robot: robot.id.to_string(),
            member: explanation.member,
            selector: Some(selector.as_str().to_owned()),
            decided_by: explanation.decided_by,
        }
    }

    pub(super) fn of(state: &Fleet, group: &Group, robot: &Robot) -> Self {
        match &group.membership {
            Membership::Listed(robots) => Self::listed(robots, robot),
            Membership::Selected(selector) => Self::selected(state, selector, robot),
        }
    }

    fn listed(robots: &BTreeSet<RobotKey>, robot: &Robot) -> Self {
        Self {
            robot: robot.id.to_string(),
            member: robots.contains(&robot.key),
            selector: None,
            decided_by: Vec::new(),
        }
    }
}

/// `POST /v1/groups`: makes the group if there is none, and adds the robots; or makes one with a selector.
pub(super) async fn add(
    State(context): State<Context>,
    Operator(by): Operator,
    Json(group): Json<NewGroup>,
) -> Result<axum::Json<GroupView>, ApiError> {
    let name = GroupName::new(&group.name).map_err(ApiError::invalid)?;
    let command = match &group.selector {
        Some(_) if !group.robots.is_empty() => {
            return Err(ApiError::invalid(
                "a group has robots or a selector, not both; `\"r1\" == id` or a tag brings listed robots into a selector",
            ));
        }
        Some(selector) => Command::AddSelectorGroup {
            name: name.clone(),
            selector: selector.parse()?,
        },
        None => {
            let robots = group.robots.iter().map(|id| RobotId::new(id));
            let robots = robots.collect::<Result<_, NameError>>();
            Command::AddGroup {
                name: name.clone(),
                robots: robots.map_err(ApiError::invalid)?,
            }
        }
    };
    context.bridge.command(by, command).await?;
    view_of(&context, name).await
}

async fn view_of(context: &Context, name: GroupName) -> Result<axum::Json<GroupView>, ApiError> {
    let found = context.bridge.query(move |view| {
        find(view.state, name.as_str()).map(|group| GroupView::counted(view.state, group))
    });
    Ok(axum::Json(found.await??))
}

/// `PATCH /v1/groups/{name}`
pub(super) async fn edit(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(name): Path<String>,
    Json(changed): Json<ChangedGroup>,
) -> Result<axum::Json<GroupView>, ApiError> {
    let group = GroupName::new(&name).map_err(|_| unknown(&name))?;
    let command = Command::EditGroup {
        name: group.clone(),
        selector: changed.selector.parse()?,
    };
    let edited = context.bridge.command(by, command).await;
    edited
        .map_err(|error| ApiError::command(error, |r| matches!(r, Refusal::UnknownGroup { .. })))?;
    view_of(&context, group).await
}

/// `GET /v1/groups/{name}/robots/{robot}`: whether the robot belongs, and why.
pub(super) async fn membership(
    State(context): State<Context>,
    _: Viewer,
    Path((name, id)): Path<(String, String)>,
) -> Result<axum::Json<MembershipView>, ApiError> {
    let found = context.bridge.query(move |view| {
        let group = find(view.state, &name)?;
        let robot = super::robots::find(view, &id)?;
        Ok::<_, ApiError>(MembershipView::of(view.state, group, robot))
    });
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
        let items: Vec<_> = rest
            .by_ref()
            .take(limit)
            .map(|group| GroupView::new(view.state, group))
            .collect();
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
        let after = Some(RobotKey(after)).filter(|key| key.0 > 0);
        let page = RobotPage::of(view.state.members(group, None), after, limit);
        Ok::<_, ApiError>(GroupDetail {
            group: GroupView {
                robot_count: Some(page.total),
                ..GroupView::new(view.state, group)
            },
            robots: page.ids,
            next: page.next,
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
