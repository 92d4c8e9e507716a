//! What operators do to a launched rollout: pause, resume, stop, cancel, approve.

use super::Context;
use super::error::ApiError;
use super::request::{Operator, OptionalJson, Path, Viewer};
use super::rollout_views::RolloutView;
use super::rollouts::{change, find, number};
use axum::extract::State;
use rollcall_engine::{Actor, Command, RolloutId, Standstill};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU16;

/// A body that has nothing to say: none, or `{}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Which phase is approved.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Approval {
    /// The phase that is done, from 1: refused when another one waits. None: whichever waits.
    phase: Option<NonZeroU16>,
}

/// X18: what a stop or a cancel would find now, in robots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct StandstillView {
    pub rollout: u32,
    pub status: String,
    #[serde(flatten)]
    pub robots: Standstill,
}

type Answer = Result<axum::Json<RolloutView>, ApiError>;

async fn control(
    context: &Context,
    by: Actor,
    id: &str,
    command: impl FnOnce(RolloutId) -> Command,
) -> Answer {
    change(context, by, command(number(id)?)).await
}

/// `POST /v1/rollouts/{id}/pause`
pub(super) async fn pause(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(id): Path<String>,
    _: OptionalJson<Nothing>,
) -> Answer {
    control(&context, by, &id, |rollout| Command::PauseRollout {
        rollout,
    })
    .await
}

/// `POST /v1/rollouts/{id}/resume`
pub(super) async fn resume(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(id): Path<String>,
    _: OptionalJson<Nothing>,
) -> Answer {
    control(&context, by, &id, |rollout| Command::ResumeRollout {
        rollout,
    })
    .await
}

/// `POST /v1/rollouts/{id}/stop`
pub(super) async fn stop(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(id): Path<String>,
    _: OptionalJson<Nothing>,
) -> Answer {
    control(&context, by, &id, |rollout| Command::StopRollout {
        rollout,
    })
    .await
}

/// `POST /v1/rollouts/{id}/cancel`
pub(super) async fn cancel(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(id): Path<String>,
    _: OptionalJson<Nothing>,
) -> Answer {
    control(&context, by, &id, |rollout| Command::CancelRollout {
        rollout,
    })
    .await
}

/// `POST /v1/rollouts/{id}/approve`
pub(super) async fn approve(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(id): Path<String>,
    OptionalJson(approval): OptionalJson<Approval>,
) -> Answer {
    let phase = approval.phase.map(|phase| phase.get() - 1);
    control(&context, by, &id, |rollout| Command::ApprovePhase {
        rollout,
        phase,
    })
    .await
}

/// `GET /v1/rollouts/{id}/stop`: it looks at every robot of the rollout, which is why no other view has it.
pub(super) async fn standstill(
    State(context): State<Context>,
    _: Viewer,
    Path(id): Path<String>,
) -> Result<axum::Json<StandstillView>, ApiError> {
    let id = number(&id)?;
    let found = context.bridge.query(move |view| {
        let rollout = find(view.state, id)?;
        Ok::<_, ApiError>(StandstillView {
            rollout: id.0,
            status: rollout.word().to_owned(),
            robots: rollout.standstill(),
        })
    });
    Ok(axum::Json(found.await??))
}
