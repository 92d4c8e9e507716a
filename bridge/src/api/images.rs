//! Images: added by URL, or by uploading the file.

use super::Context;
use super::error::{ApiError, unexpected_reply};
use super::request::{Json, Operator, PageQuery, Path, Query, Viewer};
use super::views::{ImageView, Page};
use crate::artifacts::Condition;
use crate::hex;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use rollcall_engine::{
    Actor, Command, HardwareId, Image, ImageRef, ImageSpec, Model, NameError, Refusal, Reply,
    Requirement,
};
use serde::{Deserialize, Serialize};

/// An image that lies elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewImage {
    /// `NAME@VERSION`
    pub image: String,
    /// The boards that it runs on.
    pub hardware_ids: Vec<String>,
    /// The only model that it is meant for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The build id that must be reported after the update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// What the version that it replaces must meet, such as `>= 1.0.0 and < 2.0.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_version: Option<String>,
    /// Where robots fetch it.
    pub url: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the file, 64 hexadecimal digits.
    pub sha256: String,
}

/// What is said of an uploaded file in the query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadQuery {
    /// The boards that it runs on, separated by commas.
    hardware: String,
    model: Option<String>,
    build_id: Option<String>,
    from_version: Option<String>,
    /// Refuse the file if it is another.
    sha256: Option<String>,
}

fn digest(text: &str) -> Result<[u8; 32], ApiError> {
    let error = || {
        let found: String = text.chars().take(80).collect();
        ApiError::invalid(format!(
            "sha256 {found:?} is not valid: write 64 hexadecimal digits"
        ))
    };
    hex::decode(&text.to_ascii_lowercase()).ok_or_else(error)
}

/// What an image is, apart from its file.
struct Description {
    reference: ImageRef,
    hardware_ids: Vec<HardwareId>,
    model: Option<Model>,
    build_id: Option<String>,
    from_version: Option<Requirement>,
}

impl Description {
    fn new<'a>(
        image: &str,
        hardware_ids: impl Iterator<Item = &'a str>,
        model: Option<&str>,
        build_id: Option<String>,
        from_version: Option<&str>,
    ) -> Result<Self, ApiError> {
        let hardware_ids = hardware_ids.map(HardwareId::new);
        if build_id
            .as_ref()
            .is_some_and(|id| id.is_empty() || id.len() > 256)
        {
            return Err(ApiError::invalid(
                "build_id is not valid: use 1 to 256 bytes",
            ));
        }
        Ok(Self {
            reference: image
                .parse()
                .map_err(|error: String| ApiError::invalid(error))?,
            hardware_ids: hardware_ids
                .collect::<Result<_, NameError>>()
                .map_err(ApiError::invalid)?,
            model: model
                .map(Model::new)
                .transpose()
                .map_err(ApiError::invalid)?,
            build_id,
            from_version: from_version.map(str::parse).transpose()?,
        })
    }

    fn spec(self, url: String, hosted: bool, size: u64, sha256: [u8; 32]) -> ImageSpec {
        ImageSpec {
            reference: self.reference,
            hardware_ids: self.hardware_ids,
            model: self.model,
            build_id: self.build_id,
            from_version: self.from_version,
            url,
            hosted,
            size,
            sha256,
        }
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

type Added = Result<(StatusCode, axum::Json<ImageView>), ApiError>;

async fn add_image(context: &Context, by: Actor, spec: ImageSpec) -> Added {
    let Reply::Image(key) = context.bridge.command(by, Command::AddImage(spec)).await? else {
        return Err(unexpected_reply());
    };
    let artifacts = context.artifacts.clone();
    let image = context.bridge.query(move |view| {
        view.state
            .image(key)
            .map(|image| ImageView::new(&artifacts, image))
    });
    let image = image.await?.ok_or_else(unexpected_reply)?;
    Ok((StatusCode::CREATED, axum::Json(image)))
}

/// `POST /v1/images`: an image that lies elsewhere.
pub(super) async fn add(
    State(context): State<Context>,
    Operator(by): Operator,
    Json(image): Json<NewImage>,
) -> Added {
    let hardware_ids = image.hardware_ids.iter().map(String::as_str);
    let model = image.model.as_deref();
    let description = Description::new(
        &image.image,
        hardware_ids,
        model,
        image.build_id.clone(),
        image.from_version.as_deref(),
    )?;
    let spec = description.spec(image.url, false, image.size, digest(&image.sha256)?);
    add_image(&context, by, spec).await
}

/// `POST /v1/images/{image}/file`: an image whose file is the body.
pub(super) async fn upload(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(image): Path<String>,
    Query(query): Query<UploadQuery>,
    headers: HeaderMap,
    body: Body,
) -> Added {
    let hardware_ids = query.hardware.split(',').map(str::trim);
    let description = Description::new(
        &image,
        hardware_ids,
        query.model.as_deref(),
        query.build_id,
        query.from_version.as_deref(),
    )?;
    let expected = query.sha256.as_deref().map(digest).transpose()?;
    refuse_existing(&context, &description.reference).await?;
    let announced = announced(&headers);
    let name = description.reference.to_string();
    let store = context.artifacts.store(&name, body, announced, expected);
    let stored = store.await?;
    // From here on the client's going away must change nothing: the command may be durable already.
    let finish = async move {
        let spec = description.spec(stored.token.clone(), true, stored.size, stored.sha256);
        let added = add_image(&context, by, spec).await;
        match &added {
            Ok(_) => context.artifacts.settle(&stored.token),
            Err(_) => context.artifacts.discard(&stored.token).await,
        }
        added
    };
    tokio::spawn(finish)
        .await
        .map_err(|error| super::error::internal(&error))?
}

/// `PUT /v1/images/{image}/file`: puts the file of an image back that is lost.
pub(super) async fn restore(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(image): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<axum::Json<ImageView>, ApiError> {
    let image = find(&context, &image).await?;
    if context
        .artifacts
        .condition(&image)
        .is_none_or(Condition::is_given)
    {
        let message = format!(
            "the file of image {} is not lost: nothing to put back",
            image.reference
        );
        return Err(ApiError::new(StatusCode::CONFLICT, "not_lost", message));
    }
    let announced = announced(&headers);
    context.artifacts.restore(&image, body, announced).await?;
    tracing::info!(image = %image.reference, by = by.0, "the file of an image is put back");
    Ok(axum::Json(ImageView::new(&context.artifacts, &image)))
}

/// `DELETE /v1/images/{image}`: the image and its file.
pub(super) async fn remove(
    State(context): State<Context>,
    Operator(by): Operator,
    Path(name): Path<String>,
) -> Result<axum::Json<serde_json::Value>, ApiError> {
    let image = find(&context, &name).await?;
    // From here on the client's going away must change nothing: the command may be durable already.
    let remove = async move {
        if image.hosted {
            let noted = context.artifacts.note(&image.url);
            noted.map_err(|error| super::error::internal(&error))?;
        }
        let command = Command::RemoveImage {
            image: image.reference,
        };
        let removed = context.bridge.command(by, command).await;
        match (image.hosted, &removed) {
            (false, _) => {}
            (true, Ok(_)) => context.artifacts.discard(&image.url).await,
            (true, Err(_)) => context.artifacts.settle(&image.url),
        }
        let unknown = |refusal: &Refusal| matches!(refusal, Refusal::UnknownImage { .. });
        removed.map_err(|error| ApiError::command(error, unknown))?;
        Ok(axum::Json(serde_json::json!({ "removed": name })))
    };
    tokio::spawn(remove)
        .await
        .map_err(|error| super::error::internal(&error))?
}

/// Says so before gigabytes were sent in vain; the command has the last word.
async fn refuse_existing(context: &Context, reference: &ImageRef) -> Result<(), ApiError> {
    let image = reference.clone();
    if context
        .bridge
        .query(move |view| view.state.image_key(&image).is_some())
        .await?
    {
        return Err(Refusal::ImageExists {
            image: reference.clone(),
        }
        .into());
    }
    Ok(())
}

/// `GET /v1/images`
pub(super) async fn list(
    State(context): State<Context>,
    _: Viewer,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<ImageView>>, ApiError> {
    let (after, limit) = (page.after_number()?.unwrap_or(0), page.limit());
    let artifacts = context.artifacts.clone();
    let page = context.bridge.query(move |view| {
        let images = view.state.images();
        let mut rest = images.filter(|image| image.key.0 > after && image.removed.is_none());
        let images: Vec<_> = rest.by_ref().take(limit).collect();
        let more = rest.next().is_some();
        Page {
            next: images
                .last()
                .filter(|_| more)
                .map(|image| image.key.0.to_string()),
            items: images
                .into_iter()
                .map(|image| ImageView::new(&artifacts, image))
                .collect(),
        }
    });
    Ok(axum::Json(page.await?))
}

/// `GET /v1/images/{image}`
pub(super) async fn show(
    State(context): State<Context>,
    _: Viewer,
    Path(image): Path<String>,
) -> Result<axum::Json<ImageView>, ApiError> {
    let image = find(&context, &image).await?;
    Ok(axum::Json(ImageView::new(&context.artifacts, &image)))
}

async fn find(context: &Context, name: &str) -> Result<Image, ApiError> {
    let unknown = |error: String| ApiError::new(StatusCode::NOT_FOUND, "unknown_image", error);
    let image: ImageRef = name.parse().map_err(unknown)?;
    let found = context.bridge.query(move |view| {
        let key = view.state.image_key(&image);
        let found = key.and_then(|key| view.state.image(key)).cloned();
        found.ok_or_else(|| ApiError::unknown(&Refusal::UnknownImage { image }))
    });
    found.await?
}
