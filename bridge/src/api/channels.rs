//! Channels: what releases are made to, and the target groups that they own.

use super::Context;
use super::error::ApiError;
use super::groups::MembershipView;
use super::ledger::SourceView;
use super::request::{Json, Operator, PageQuery, Path, Query, Viewer};
use super::views::{Page, rfc3339};
use axum::extract::State;
use axum::http::StatusCode;
use rollcall_engine::{
    Channel, ChannelEdit, ChannelName, Command, Group, GroupName, NameError, Refusal, RobotKey,
    State as Fleet,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A channel to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewChannel {
    /// Its name.
    pub name: String,
    /// Its target groups; none means every robot.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// What to change at a channel: either all its groups, or some.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChangedChannel {
    /// Its groups from now on; none means every robot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// Groups to add.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_groups: Vec<String>,
    /// Groups to take away, before others are added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_groups: Vec<String>,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelView {
    /// Its name.
    pub name: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The same in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Its target groups by name; none means every robot.
    pub groups: Vec<String>,
    /// Robots that it means now; `null` in lists, which do not look at the whole fleet.
    pub robot_count: Option<usize>,
    /// Where its releases come from.
    pub source: SourceView,
}

/// A robot of a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelRobot {
    /// Its id.
    pub robot: String,
    /// The channel's groups that it is in; none in a channel that means every robot.
    pub groups: Vec<String>,
}

/// A channel with a part of its robots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelDetail {
    /// The channel.
    #[serde(flatten)]
    pub channel: ChannelView,
    /// A page of its robots, in the order of registration.
    pub robots: Vec<ChannelRobot>,
    /// The `after` of the next page.
    pub next: Option<String>,
}

/// Whether a channel means a robot, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelMembership {
    /// Which robot.
    pub robot: String,
    /// Whether the channel means it now.
    pub member: bool,
    /// What each of the channel's groups says of it; none in a channel that means every robot.
    pub groups: Vec<GroupMembership>,
}

/// What one group says of a robot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupMembership {
    /// Which group.
    pub group: String,
    /// Whether the robot belongs to it, and why.
    #[serde(flatten)]
    pub membership: MembershipView,
}

impl ChannelView {
    fn new(state: &Fleet, channel: &Channel) -> Self {
        let groups = state.groups_of_channel(channel).into_iter();
        Self {
            name: channel.name.to_string(),
            created: rfc3339(channel.created),
            created_ms: channel.created.0,
            groups: groups.map(|group| group.name.to_string()).collect(),
            robot_count: None,
            source: SourceView::new(&channel.source),
        }
    }
}

impl ChannelDetail {
    /// Goes over the fleet once.
    fn of(state: &Fleet, channel: &Channel, after: Option<RobotKey>, limit: usize) -> Self {
        let (mut count, mut robots, mut next, mut last) = (0, Vec::new(), None, None);
        for (robot, groups) in state.robots_of_channel(channel, None) {
            count += 1;
            if Some(robot.key) <= after {
                continue;
            }
            if robots.len() < limit {
                robots.push(ChannelRobot {
                    robot: robot.id.to_string(),
                    groups: groups.into_iter().map(ToString::to_string).collect(),
                });
                last = Some(robot.key);
            } else if next.is_none() {
                next = last.map(|key| key.0.to_string());
            }
        }
        Self {
            channel: ChannelView {
                robot_count: Some(count),
                ..ChannelView::new(state, channel)
            },
            robots,
            next,
        }
    }
}

/// `POST /v1/channels`
pub(super) async fn add(
    State(context): State<Context>,
    Operator(by): Operator,
    Json(channel): Json<NewChannel>,
) -> Result<axum::Json<ChannelView>, ApiError> {
    let name = ChannelName::new(&channel.name).map_err(ApiError::invalid)?;
    let command = Command::AddChannel {
        name: name.clone(),
        groups: group_names(&channel.groups)?,
    };
    context.bridge.command(by, command).await?;
    view_of(&context, name).await
}

/// `PATCH /v1/channels/{name}`
pub(super) async fn edit(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(name): Path<String>,
    Json(changed): Json<ChangedChannel>,
) -> Result<axum::Json<ChannelView>, ApiError> {
    let channel = ChannelName::new(&name).map_err(|_| unknown(&name))?;
    let (add, remove) = (
        group_names(&changed.add_groups)?,
        group_names(&changed.remove_groups)?,
    );
    let edit = match &changed.groups {
        Some(groups) if add.is_empty() && remove.is_empty() => {
            ChannelEdit::Set(group_names(groups)?)
        }
        Some(_) => {
            return Err(ApiError::invalid(
                "give `groups` for all groups, or `add_groups` and `remove_groups` for some; not both",
            ));
        }
        None => ChannelEdit::Change { add, remove },
    };
    let command = Command::EditChannel {
        name: channel.clone(),
        edit,
    };
    let edited = context.bridge.command(by, command).await;
    edited.map_err(|error| ApiError::command(error, is_subject))?;
    view_of(&context, channel).await
}

/// `GET /v1/channels`
pub(super) async fn list(
    State(context): State<Context>,
    _: Viewer,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<ChannelView>>, ApiError> {
    let (after, limit) = (page.after_text().unwrap_or_default(), page.limit());
    let page = context.bridge.query(move |view| {
        let state = view.state;
        let behind = |channel: &&Channel| channel.name.as_str() <= after.as_str();
        let mut rest = state.channels().skip_while(behind);
        let items = rest.by_ref().take(limit);
        let items: Vec<_> = items.map(|c| ChannelView::new(state, c)).collect();
        let last = items.last().map(|channel| channel.name.clone());
        let next = rest.next().and(last);
        Page { items, next }
    });
    Ok(axum::Json(page.await?))
}

/// `GET /v1/channels/{name}`: the channel with a page of its robots.
pub(super) async fn show(
    State(context): State<Context>,
    _: Viewer,
    Path(name): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<ChannelDetail>, ApiError> {
    let (after, limit) = (page.after_number()?.map(RobotKey), page.limit());
    let detail = context.bridge.query(move |view| {
        let channel = find(view.state, &name)?;
        Ok::<_, ApiError>(ChannelDetail::of(view.state, channel, after, limit))
    });
    Ok(axum::Json(detail.await??))
}

/// `GET /v1/channels/{name}/robots/{robot}`: whether the channel means the robot, and why.
pub(super) async fn membership(
    State(context): State<Context>,
    _: Viewer,
    Path((name, id)): Path<(String, String)>,
) -> Result<axum::Json<ChannelMembership>, ApiError> {
    let found = context.bridge.query(move |view| {
        let channel = find(view.state, &name)?;
        let robot = super::robots::find(view, &id)?;
        let membership = |group: &Group| GroupMembership {
            group: group.name.to_string(),
            membership: MembershipView::of(view.state, group, robot),
        };
        let groups = view.state.groups_of_channel(channel).into_iter();
        let groups: Vec<_> = groups.map(membership).collect();
        Ok::<_, ApiError>(ChannelMembership {
            robot: robot.id.to_string(),
            member: groups.is_empty() || groups.iter().any(|group| group.membership.member),
            groups,
        })
    });
    Ok(axum::Json(found.await??))
}

/// `DELETE /v1/channels/{name}`
pub(super) async fn remove(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(name): Path<String>,
) -> Result<axum::Json<serde_json::Value>, ApiError> {
    let channel = ChannelName::new(&name).map_err(|_| unknown(&name))?;
    let command = Command::RemoveChannel { name: channel };
    let removed = context.bridge.command(by, command).await;
    removed.map_err(|error| ApiError::command(error, is_subject))?;
    Ok(axum::Json(serde_json::json!({ "removed": name })))
}

async fn view_of(
    context: &Context,
    name: ChannelName,
) -> Result<axum::Json<ChannelView>, ApiError> {
    let found = context.bridge.query(move |view| {
        let channel = find(view.state, name.as_str())?;
        let count = view.state.robots_of_channel(channel, None).count();
        Ok::<_, ApiError>(ChannelView {
            robot_count: Some(count),
            ..ChannelView::new(view.state, channel)
        })
    });
    Ok(axum::Json(found.await??))
}

fn group_names(names: &[String]) -> Result<BTreeSet<GroupName>, ApiError> {
    let names = names.iter().map(|name| GroupName::new(name));
    let names: Result<_, NameError> = names.collect();
    names.map_err(ApiError::invalid)
}

pub(super) const fn is_subject(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::UnknownChannel { .. })
}

pub(super) fn find<'a>(state: &'a Fleet, name: &str) -> Result<&'a Channel, ApiError> {
    state.channel(name).ok_or_else(|| unknown(name))
}

pub(super) fn unknown(name: &str) -> ApiError {
    match ChannelName::new(name) {
        Ok(name) => ApiError::unknown(&Refusal::UnknownChannel { name }),
        Err(error) => ApiError::new(StatusCode::NOT_FOUND, "unknown_channel", error.to_string()),
    }
}
