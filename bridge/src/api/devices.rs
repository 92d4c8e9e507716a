//! What operators do to a robot while it works: cancel its operation, set the properties that the server owns.

use super::Context;
use super::device_views::SettingView;
use super::error::ApiError;
use super::request::{Json, Operator, OptionalJson, Path, Viewer};
use super::robots::{find, shown, unknown};
use super::views::RobotView;
use axum::extract::State;
use rollcall_engine::{Command, PropertyChange, Refusal, RobotId};
use rollcall_proto::edgehog::interface::{Interface, Owner};
use serde::{Deserialize, Serialize};

/// What to cancel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CancelWhat {
    /// Everything that the robot waits for too, in every running rollout.
    pub all: bool,
}

/// A property to set or to remove.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewProperty {
    /// The interface, with its whole name.
    pub interface: String,
    /// The path, with or without its leading `/`.
    pub path: String,
    /// The value, as JSON or as text; `null` removes the property.
    pub value: serde_json::Value,
}

/// The properties that are set on a robot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerProperties {
    /// Which robot.
    pub robot: String,
    /// One for each.
    pub items: Vec<SettingView>,
}

async fn carry_out(
    context: &Context,
    id: &str,
    by: rollcall_engine::Actor,
    command: Command,
) -> Result<axum::Json<RobotView>, ApiError> {
    let done = context.bridge.command(by, command).await;
    done.map_err(|error| ApiError::command(error, |r| matches!(r, Refusal::UnknownRobot { .. })))?;
    shown(context, id.to_owned()).await
}

/// `POST /v1/robots/{id}/accept`: what the robot declares becomes its registration.
pub(super) async fn accept(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(id): Path<String>,
) -> Result<axum::Json<RobotView>, ApiError> {
    let robot = RobotId::new(&id).map_err(|_| unknown(&id))?;
    carry_out(&context, &id, by, Command::AcceptDeclared { robot }).await
}

/// `POST /v1/robots/{id}/cancel`: the operation under way, and with `all` what waits.
pub(super) async fn cancel(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(id): Path<String>,
    OptionalJson(CancelWhat { all }): OptionalJson<CancelWhat>,
) -> Result<axum::Json<RobotView>, ApiError> {
    let robot = RobotId::new(&id).map_err(|_| unknown(&id))?;
    carry_out(&context, &id, by, Command::CancelOperation { robot, all }).await
}

/// `PUT /v1/robots/{id}/properties`: sets or removes one.
pub(super) async fn set_property(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(id): Path<String>,
    Json(new): Json<NewProperty>,
) -> Result<axum::Json<RobotView>, ApiError> {
    let robot = RobotId::new(&id).map_err(|_| unknown(&id))?;
    let change = new.change()?;
    carry_out(&context, &id, by, Command::SetProperty { robot, change }).await
}

/// `GET /v1/robots/{id}/properties`
pub(super) async fn properties(
    State(context): State<Context>,
    _: Viewer,
    Path(id): Path<String>,
) -> Result<axum::Json<ServerProperties>, ApiError> {
    let found = context.bridge.query(move |view| {
        let items = SettingView::all(find(view, &id)?);
        Ok::<_, ApiError>(ServerProperties { robot: id, items })
    });
    Ok(axum::Json(found.await??))
}

impl NewProperty {
    /// The change, with a value that the interface allows.
    fn change(self) -> Result<PropertyChange, ApiError> {
        let interface = Interface::known(&self.interface).ok_or_else(|| {
            let known: String = self.interface.chars().take(128).collect();
            ApiError::invalid(format!(
                "interface {known:?} is not one whose properties can be set"
            ))
        })?;
        let path = self.path.strip_prefix('/').unwrap_or(&self.path).to_owned();
        let plain = |c: char| !c.is_control() && !matches!(c, '+' | '#' | ';');
        if path.len() > 512 || !path.chars().all(plain) {
            return Err(ApiError::invalid(
                "the path is longer than 512 bytes, or has one of + # ;",
            ));
        }
        let text = match &self.value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        match (&text, interface.mapping(&path)) {
            (None, Some(_)) if interface.owner == Owner::Server && interface.allow_unset => {}
            // An unset is checked for its path as well, so that a slip of the pen is found.
            (text, _) => {
                let text = text.as_deref().unwrap_or_default();
                interface.setting(&path, text).map_err(ApiError::invalid)?;
            }
        }
        Ok(PropertyChange {
            interface: self.interface,
            path,
            value: text,
        })
    }
}
