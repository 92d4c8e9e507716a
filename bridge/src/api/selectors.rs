//! Trying out a selector before a group or a rollout is made of it.

use super::Context;
use super::error::ApiError;
use super::groups::MembershipView;
use super::request::{Json, PageQuery, Query, Viewer};
use axum::extract::State;
use rollcall_engine::{Robot, RobotKey, Selector};
use serde::{Deserialize, Serialize};

/// A selector to try out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectorToCheck {
    /// The selector.
    pub selector: String,
    /// A robot of which to say whether it is meant, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robot: Option<String>,
}

/// What a selector means now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckedSelector {
    /// The selector, written plainly.
    pub selector: String,
    /// Robots that it means.
    pub robot_count: usize,
    /// A page of their ids, in the order of registration.
    pub items: Vec<String>,
    /// The `after` of the next page.
    pub next: Option<String>,
    /// The robot that was asked for.
    pub robot: Option<MembershipView>,
}

/// A page of robots, and how many there are on all pages.
pub(super) struct RobotPage {
    pub(super) total: usize,
    pub(super) ids: Vec<String>,
    pub(super) next: Option<String>,
}

impl RobotPage {
    /// Goes over `robots` once.
    pub(super) fn of<'a>(
        robots: impl Iterator<Item = &'a Robot>,
        after: Option<RobotKey>,
        limit: usize,
    ) -> Self {
        let mut page = Self {
            total: 0,
            ids: Vec::new(),
            next: None,
        };
        let mut last = None;
        for robot in robots {
            page.total += 1;
            if Some(robot.key) <= after {
                continue;
            }
            if page.ids.len() < limit {
                page.ids.push(robot.id.to_string());
                last = Some(robot.key);
            } else if page.next.is_none() {
                page.next = last.map(|key| key.0.to_string());
            }
        }
        page
    }
}

/// `POST /v1/selectors/check`: nothing is stored.
pub(super) async fn check(
    State(context): State<Context>,
    _: Viewer,
    Query(page): Query<PageQuery>,
    Json(asked): Json<SelectorToCheck>,
) -> Result<axum::Json<CheckedSelector>, ApiError> {
    let selector: Selector = asked.selector.parse()?;
    let (after, limit) = (page.after_number()?.map(RobotKey), page.limit());
    let checked = context.bridge.query(move |view| {
        let robot = asked.robot.as_deref();
        let robot = robot.map(|id| super::robots::find(view, id)).transpose()?;
        let page = RobotPage::of(view.state.selected_by(&selector, None), after, limit);
        Ok::<_, ApiError>(CheckedSelector {
            selector: selector.to_string(),
            robot_count: page.total,
            items: page.ids,
            next: page.next,
            robot: robot.map(|robot| MembershipView::selected(view.state, &selector, robot)),
        })
    });
    Ok(axum::Json(checked.await??))
}
