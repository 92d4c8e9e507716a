//! The escape hatch: an update of one robot by hand (requirements E19 to E21).

use super::Context;
use super::error::{ApiError, unexpected_reply};
use super::request::{Admin, Json, Path};
use super::robots::unknown;
use super::rollout_views::RolloutView;
use super::rollouts::{refuse_lost, view_of};
use axum::extract::State;
use axum::http::StatusCode;
use rollcall_engine::{
    Command, EcuName, ImageRef, ManualUpdate, Millis, OfflinePolicy, Refusal, Reply, RobotId,
};
use serde::{Deserialize, Serialize};

/// An update of one robot, past its model and the rules for versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateByHand {
    /// `NAME@VERSION`
    pub image: String,
    /// Which of its ECUs; may be left out when it has only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecu: Option<EcuName>,
    /// The robot's id once more.
    #[serde(default)]
    pub confirm: String,
    /// What happens while it is offline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<OfflinePolicy>,
    /// Milliseconds from now to the end of the wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Millis>,
}

/// `POST /v1/robots/{id}/update`
pub(super) async fn update(
    State(context): State<Context>,
    Admin(by): Admin,
    Path(id): Path<String>,
    Json(new): Json<UpdateByHand>,
) -> Result<(StatusCode, axum::Json<RolloutView>), ApiError> {
    let robot = RobotId::new(&id).map_err(|_| unknown(&id))?;
    let image: ImageRef = new
        .image
        .parse()
        .map_err(|error: String| ApiError::invalid(error))?;
    let reference = image.clone();
    let found = context.bridge.query(move |view| {
        let key = view.state.image_key(&reference)?;
        view.state.image(key).cloned()
    });
    refuse_lost(&context, found.await?)?;
    let command = Command::ManualUpdate(ManualUpdate {
        robot,
        ecu: new.ecu,
        image,
        confirm: new.confirm,
        offline: new.offline,
        deadline: new.deadline,
    });
    let subject = |refusal: &Refusal| matches!(refusal, Refusal::UnknownRobot { .. });
    let reply = context.bridge.command(by, command).await;
    match reply.map_err(|error| ApiError::command(error, subject))? {
        Reply::Rollout(rollout) => Ok((StatusCode::CREATED, view_of(&context, rollout).await?)),
        _ => Err(unexpected_reply()),
    }
}
