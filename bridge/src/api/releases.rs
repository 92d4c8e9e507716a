//! Releases: an image for a share of a channel's robots.

use super::Context;
use super::error::{ApiError, unexpected_reply};
use super::release_views::{
    NewRelease, ReleasePlace, ReleasePreviewView, ReleaseStandstill, ReleaseView,
};
use super::request::{Json, Operator, OptionalJson, PageQuery, Path, Query, Viewer};
use super::rollout_control::Nothing;
use super::views::Page;
use axum::extract::State;
use axum::http::StatusCode;
use rollcall_engine::{
    Actor, Command, Refusal, Release, ReleaseId, ReleaseSpec, Reply, Salt, Share, State as Fleet,
};
use serde::Deserialize;

/// The percentage to raise a release to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raise {
    percentage: Share,
}

type Answer = Result<axum::Json<ReleaseView>, ApiError>;

/// `GET /v1/releases`: the Live Releases table with its history (G9, G28), oldest first.
pub(super) async fn list(
    State(context): State<Context>,
    _: Viewer,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<ReleaseView>>, ApiError> {
    let (after, limit) = (page.after_number()?.unwrap_or(0), page.limit());
    let page = context.bridge.query(move |view| {
        let releases = view.state.releases();
        let mut rest = releases.skip_while(|release| release.id.0 <= after);
        let items = rest.by_ref().take(limit);
        let items: Vec<_> = items
            .map(|release| ReleaseView::new(view.state, release))
            .collect();
        let more = rest.next().is_some();
        let last = items.last().filter(|_| more);
        Page {
            next: last.map(|release| release.id.to_string()),
            items,
        }
    });
    Ok(axum::Json(page.await?))
}

/// `GET /v1/releases/{id}`
pub(super) async fn show(
    State(context): State<Context>,
    _: Viewer,
    Path(id): Path<String>,
) -> Answer {
    view_of(&context, number(&id)?).await
}

/// `GET /v1/channels/{name}/release`: the channel's newest release, the only one that can be live.
pub(super) async fn of_channel(
    State(context): State<Context>,
    _: Viewer,
    Path(name): Path<String>,
) -> Answer {
    let found = context.bridge.query(move |view| {
        let channel = super::channels::find(view.state, &name)?;
        let release = view.state.release_of(channel.key).ok_or_else(|| {
            let message = format!("nothing was released on channel {name}");
            ApiError::new(StatusCode::NOT_FOUND, "never_released", message).hint(format!(
                "`rollcall release publish {name} --image NAME@VERSION --percentage N` does it"
            ))
        })?;
        Ok::<_, ApiError>(ReleaseView::new(view.state, release))
    });
    Ok(axum::Json(found.await??))
}

/// `POST /v1/releases/preview`: what a publish would do. Nothing is stored.
pub(super) async fn preview(
    State(context): State<Context>,
    _: Viewer,
    Json(new): Json<NewRelease>,
) -> Result<axum::Json<ReleasePreviewView>, ApiError> {
    // Another salt chooses other robots; as many, unless each is chosen by its own chance.
    let spec = new.spec(Salt::default())?;
    let preview = context.bridge.query(move |view| {
        let preview = view.state.preview_release(&spec)?;
        Ok::<_, Refusal>(ReleasePreviewView::new(view.state, &preview))
    });
    Ok(axum::Json(preview.await??))
}

/// `POST /v1/releases`: robots get it from now on.
pub(super) async fn publish(
    State(context): State<Context>,
    Operator(by): Operator,
    Json(new): Json<NewRelease>,
) -> Result<(StatusCode, axum::Json<ReleaseView>), ApiError> {
    let spec = new.spec(Salt(rand::random()))?;
    refuse_lost_image(&context, &spec).await?;
    let command = Command::PublishRelease(Box::new(spec));
    Ok((StatusCode::CREATED, change(&context, by, command).await?))
}

/// `GET /v1/releases/{id}/stop`: what a stop would find (X18). It looks at every robot of the release.
pub(super) async fn standstill(
    State(context): State<Context>,
    _: Viewer,
    Path(id): Path<String>,
) -> Result<axum::Json<ReleaseStandstill>, ApiError> {
    let id = number(&id)?;
    let found = context.bridge.query(move |view| {
        let release = find(view.state, id)?;
        let found = view.state.standstill_of(id).unwrap_or_default();
        Ok::<_, ApiError>(ReleaseStandstill::new(release, found))
    });
    Ok(axum::Json(found.await??))
}

/// `POST /v1/releases/{id}/stop`
pub(super) async fn stop(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(id): Path<String>,
    _: OptionalJson<Nothing>,
) -> Answer {
    let release = number(&id)?;
    change(&context, by, Command::StopRelease { release }).await
}

/// `POST /v1/releases/{id}/resume`
pub(super) async fn resume(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(id): Path<String>,
    _: OptionalJson<Nothing>,
) -> Answer {
    let release = number(&id)?;
    refuse_lost_file(&context, release).await?;
    change(&context, by, Command::ResumeRelease { release }).await
}

/// `POST /v1/releases/{id}/raise`
pub(super) async fn raise(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(id): Path<String>,
    Json(Raise { percentage }): Json<Raise>,
) -> Answer {
    let release = number(&id)?;
    refuse_lost_file(&context, release).await?;
    let command = Command::RaiseRelease {
        release,
        percentage,
    };
    change(&context, by, command).await
}

/// `GET /v1/releases/{id}/robots/{robot}`: whether the release goes to the robot, and why.
pub(super) async fn place(
    State(context): State<Context>,
    _: Viewer,
    Path((id, robot)): Path<(String, String)>,
) -> Result<axum::Json<ReleasePlace>, ApiError> {
    let id = number(&id)?;
    let found = context.bridge.query(move |view| {
        let release = find(view.state, id)?;
        let robot = super::robots::find(view, &robot)?;
        Ok::<_, ApiError>(ReleasePlace::new(view.state, release, robot))
    });
    Ok(axum::Json(found.await??))
}

async fn change(context: &Context, by: Actor, command: Command) -> Answer {
    let Reply::Release(id) = context.bridge.command(by, command).await? else {
        return Err(unexpected_reply());
    };
    view_of(context, id).await
}

async fn view_of(context: &Context, id: ReleaseId) -> Answer {
    let found = context.bridge.query(move |view| {
        find(view.state, id).map(|release| ReleaseView::new(view.state, release))
    });
    Ok(axum::Json(found.await??))
}

fn find(state: &Fleet, id: ReleaseId) -> Result<&Release, ApiError> {
    let found = state.release(id);
    found.ok_or_else(|| Refusal::UnknownRelease { id }.into())
}

/// The release's number as the path has it.
fn number(text: &str) -> Result<ReleaseId, ApiError> {
    text.parse().map(ReleaseId).map_err(|_| {
        let found: String = text.chars().take(80).collect();
        let message = format!(
            "release {found:?} does not exist; releases have numbers, see `rollcall release ls --all`"
        );
        ApiError::new(StatusCode::NOT_FOUND, "unknown_release", message)
    })
}

/// As at the launch of a rollout: an update that cannot succeed is not sent.
async fn refuse_lost_image(context: &Context, spec: &ReleaseSpec) -> Result<(), ApiError> {
    let spec = spec.clone();
    let image = context
        .bridge
        .query(move |view| view.state.image_to_release(&spec).cloned());
    super::rollouts::refuse_lost(context, image.await?)
}

/// The same of a release that was published.
async fn refuse_lost_file(context: &Context, id: ReleaseId) -> Result<(), ApiError> {
    let image = context.bridge.query(move |view| {
        let release = view.state.release(id)?;
        view.state.image(release.image).cloned()
    });
    super::rollouts::refuse_lost(context, image.await?)
}
