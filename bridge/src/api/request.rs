//! What is read from a request, each with its own clear refusal: who asks, path, query, JSON body.

use super::Context;
use super::error::ApiError;
use super::tokens::{Caller, Role};
use crate::history::Record;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use rollcall_engine::Actor;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Greatest JSON body, bytes.
pub const BODY_LIMIT: usize = 1 << 20;
/// Greatest body of a registration, which may hold 10,000 robots, bytes.
pub const REGISTRATION_LIMIT: usize = 16 << 20;
/// A body that takes longer is given up, so that nobody holds memory by sending slowly.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// Rows of a page that asks for no number.
const DEFAULT_PAGE: usize = 100;
/// Most rows of a page.
pub const MAX_PAGE: usize = 1_000;

/// A caller who may look.
#[derive(Debug)]
pub(super) struct Viewer;
/// A caller who may change groups, images and rollouts.
#[derive(Debug)]
pub(super) struct Operator(pub(super) Actor);
/// A caller who may register and remove robots.
#[derive(Debug)]
pub(super) struct Admin(pub(super) Actor);

fn authorise(parts: &Parts, context: &Context, needed: Role) -> Result<Caller, ApiError> {
    let caller = bearer(&parts.headers)
        .and_then(|token| context.tokens.caller(token))
        .ok_or_else(|| {
            ApiError::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "the request has no valid token",
            )
            .hint("send `Authorization: Bearer TOKEN`; admin.token in the data directory holds one")
        })?;
    if caller.role < needed {
        let message = format!(
            "token {:?} has the role {}, and this needs {}",
            caller.name,
            caller.role.name(),
            needed.name()
        );
        return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message));
    }
    Ok(caller.clone())
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl FromRequestParts<Context> for Viewer {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, ApiError> {
        authorise(parts, context, Role::Viewer).map(|_| Self)
    }
}

impl FromRequestParts<Context> for Operator {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, ApiError> {
        authorise(parts, context, Role::Operator).map(|caller| Self(Actor(caller.name)))
    }
}

impl FromRequestParts<Context> for Admin {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, ApiError> {
        authorise(parts, context, Role::Admin).map(|caller| Self(Actor(caller.name)))
    }
}

/// What the path names.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Context> for Path<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, ApiError> {
        let path = axum::extract::Path::from_request_parts(parts, context).await;
        path.map(|axum::extract::Path(value)| Self(value))
            .map_err(|error| {
                ApiError::new(StatusCode::BAD_REQUEST, "invalid_path", error.body_text())
            })
    }
}

/// What the query asks for.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Context> for Query<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, ApiError> {
        let query = axum::extract::Query::from_request_parts(parts, context).await;
        query
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|error| {
                ApiError::new(StatusCode::BAD_REQUEST, "invalid_query", error.body_text())
            })
    }
}

/// Which part of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// The `next` of the page before.
    after: Option<String>,
    limit: Option<usize>,
}

impl PageQuery {
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE)
    }

    pub(super) fn after_text(&self) -> Option<String> {
        self.after.clone()
    }

    pub(super) fn after_number(&self) -> Result<Option<u32>, ApiError> {
        let number = |after: &String| {
            after.parse().map_err(|_| {
                let message =
                    format!("after = {after:?} is not valid; use the `next` of the page before");
                ApiError::new(StatusCode::BAD_REQUEST, "invalid_query", message)
            })
        };
        self.after.as_ref().map(number).transpose()
    }
}

/// Which part of a history.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryQuery {
    /// The `next` of the page before.
    pub(super) before: Option<u64>,
    limit: Option<usize>,
}

impl HistoryQuery {
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE)
    }

    /// Where the page after these records begins; none after a page that was not full.
    pub(super) fn next(&self, records: &[Record]) -> Option<u64> {
        let last = records.last().filter(|_| records.len() == self.limit());
        last.map(|record| record.seq)
    }
}

/// A JSON body of at most [`BODY_LIMIT`] bytes.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Context> for Json<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &Context) -> Result<Self, ApiError> {
        check_content_type(request.headers())?;
        parse(&read::<BODY_LIMIT>(request).await?).map(Self)
    }
}

/// A body that says it is JSON, of at most `LIMIT` bytes, not parsed.
#[derive(Debug)]
pub(super) struct RawJson<const LIMIT: usize>(pub(super) bytes::Bytes);

impl<const LIMIT: usize> FromRequest<Context> for RawJson<LIMIT> {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &Context) -> Result<Self, ApiError> {
        check_content_type(request.headers())?;
        read::<LIMIT>(request).await.map(Self)
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub(super) struct OptionalJson<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequest<Context> for OptionalJson<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &Context) -> Result<Self, ApiError> {
        let headers = request.headers().clone();
        let body = read::<BODY_LIMIT>(request).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        check_content_type(&headers)?;
        parse(&body).map(Self)
    }
}

pub(crate) fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let found = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("none");
    let essence = found.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = format!("content type {found:?} is not understood here; send application/json");
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        message,
    ))
}

pub(crate) async fn read<const LIMIT: usize>(request: Request) -> Result<bytes::Bytes, ApiError> {
    let body = Limited::new(request.into_body(), LIMIT).collect();
    let body = tokio::time::timeout(BODY_TIMEOUT, body)
        .await
        .map_err(|_| {
            ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                "the body did not come in time",
            )
        })?;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                let message = format!("the body is larger than {LIMIT} bytes");
                ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
            } else {
                ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "body_incomplete",
                    "the body ended too early",
                )
            }
        })
}

/// Reads JSON; what is no JSON is malformed, what is JSON of another shape is invalid.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            ApiError::invalid(format!("the body is not what is expected here: {error}"))
        } else {
            let message = format!("the body is not JSON: {error}");
            ApiError::new(StatusCode::BAD_REQUEST, "malformed_json", message)
        }
    })
}
