//! Giving files out: what the device HTTP listener serves.
//!
//! **Invariant**: an answer that is not 200 or 206 has no body, and says so with Content-Length 0: an Edgehog device does
//! not look at the status, and would install an error message (device-contract 0.10).

use super::Artifacts;
use super::catalogue::{Condition, Hosted};
use super::download::Download;
use super::ledger::End;
use super::range::{Wanted, wanted};
use super::storage::ReadError;
use crate::api::listener;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    IF_RANGE, RANGE, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::ops::Range;
use std::sync::Arc;
use uuid::Uuid;

/// The operation for which a robot downloads; Edgehog's name for it (device-contract 3.2).
const OPERATION: HeaderName = HeaderName::from_static("x-edgehog-ota-id");
/// Seconds after which a refused download may be tried again.
const RETRY_BUSY: HeaderValue = HeaderValue::from_static("5");
const RETRY_UNAVAILABLE: HeaderValue = HeaderValue::from_static("60");

/// The device HTTP listener: `/artifacts/<token>`, and an empty 404 for everything else.
pub fn router(artifacts: Arc<Artifacts>) -> Router {
    Router::new()
        .route("/artifacts/{token}", get(artifact))
        .fallback(async || StatusCode::NOT_FOUND)
        // A robot fetches its file and goes, as in pairing.
        .layer(map_response(listener::close))
        .with_state(artifacts)
}

async fn artifact(
    State(artifacts): State<Arc<Artifacts>>,
    method: Method,
    token: Result<Path<String>, axum::extract::rejection::PathRejection>,
    headers: HeaderMap,
) -> Response {
    let operation = operation(&artifacts, &headers);
    // A path that is no text is no token either.
    let hosted = token
        .ok()
        .and_then(|Path(token)| artifacts.catalogue.get(&token));
    let known = hosted.is_some();
    let response = match hosted {
        Some(hosted) => answer(&artifacts, &method, hosted, operation, &headers).await,
        None => refuse(&artifacts, End::Unknown, StatusCode::NOT_FOUND, None),
    };
    artifacts
        .ledger
        .answered(operation, response.status().as_u16(), known);
    response
}

fn operation(artifacts: &Artifacts, headers: &HeaderMap) -> Option<Uuid> {
    let value = headers.get(OPERATION)?;
    let operation = value.to_str().ok().filter(|text| text.len() == 36);
    let operation = operation.and_then(|text| Uuid::try_parse(text).ok());
    if operation.is_none() {
        artifacts.ledger.strange_operation();
    }
    operation
}

/// An answer without a body; never kept by anybody in between.
fn refuse(
    artifacts: &Artifacts,
    end: End,
    status: StatusCode,
    retry: Option<HeaderValue>,
) -> Response {
    artifacts.ledger.ended(end);
    let mut response = (status, [(CACHE_CONTROL, "no-store")]).into_response();
    if let Some(retry) = retry {
        response.headers_mut().insert(RETRY_AFTER, retry);
    }
    response
}

fn unavailable(artifacts: &Artifacts) -> Response {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    refuse(artifacts, End::Unavailable, status, Some(RETRY_UNAVAILABLE))
}

async fn answer(
    artifacts: &Arc<Artifacts>,
    method: &Method,
    hosted: Arc<Hosted>,
    operation: Option<Uuid>,
    headers: &HeaderMap,
) -> Response {
    if !hosted.condition().is_given() {
        return unavailable(artifacts);
    }
    // A token is given once and its file never changes, so the token is a strong validator.
    let etag = format!("\"{}\"", hosted.token);
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if text(IF_NONE_MATCH).is_some_and(|tags| tags.trim() == "*" || tags.contains(&etag)) {
        artifacts.ledger.ended(End::NoBody);
        return (StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response();
    }
    // Range has a meaning for GET only, and none when it was made for another file, or twice. A part of a file that was
    // not read since the start could not be checked, so it is answered with the whole, which is.
    let range = text(RANGE)
        .filter(|_| hosted.condition() == Condition::Whole)
        .filter(|_| method == Method::GET && headers.get_all(RANGE).iter().count() == 1)
        .filter(|_| text(IF_RANGE).is_none_or(|tag| tag == etag));
    let (status, range) = match wanted(range.unwrap_or(""), hosted.size) {
        Wanted::Whole => (StatusCode::OK, 0..hosted.size),
        Wanted::Part(part) => {
            let (first, last) = part.into_inner();
            (StatusCode::PARTIAL_CONTENT, first..last + 1)
        }
        Wanted::Nothing => {
            artifacts.ledger.ended(End::Unsatisfiable);
            let range = [(CONTENT_RANGE, format!("bytes */{}", hosted.size))];
            return (StatusCode::RANGE_NOT_SATISFIABLE, range).into_response();
        }
    };
    let head = head(status, &hosted, &range, etag);
    if method == Method::HEAD {
        artifacts.ledger.ended(End::NoBody);
        return (status, head).into_response();
    }
    match body(artifacts, hosted, range, operation).await {
        Ok(body) => (status, head, body).into_response(),
        Err(refused) => refused,
    }
}

fn head(status: StatusCode, hosted: &Hosted, range: &Range<u64>, etag: String) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_LENGTH, (range.end - range.start).into());
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("private, max-age=31536000, immutable"),
    );
    let content_range = format!("bytes {}-{}/{}", range.start, range.end - 1, hosted.size);
    let texts = [(ETAG, Some(etag))].into_iter().chain([(
        CONTENT_RANGE,
        (status == StatusCode::PARTIAL_CONTENT).then_some(content_range),
    )]);
    for (name, text) in texts {
        // Tokens and numbers are always header text.
        if let Some(Ok(value)) = text.map(HeaderValue::try_from) {
            headers.insert(name, value);
        }
    }
    headers
}

async fn body(
    artifacts: &Arc<Artifacts>,
    hosted: Arc<Hosted>,
    range: Range<u64>,
    operation: Option<Uuid>,
) -> Result<Body, Response> {
    let Some(slot) = artifacts.gate.enter().await else {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Err(refuse(artifacts, End::Busy, status, Some(RETRY_BUSY)));
    };
    let asked = (range.end - range.start < hosted.size).then(|| range.clone());
    let reading = match artifacts.storage.read(&hosted.token, asked).await {
        Ok(reading) => reading,
        Err(error) => {
            read_failed(&hosted, &error);
            return Err(unavailable(artifacts));
        }
    };
    if reading.size != hosted.size {
        hosted.found(Condition::Damaged);
        return Err(unavailable(artifacts));
    }
    let download = Download {
        hosted,
        range,
        operation,
        _slot: slot,
    };
    Ok(download.start(Arc::clone(artifacts), reading))
}

fn read_failed(hosted: &Hosted, error: &ReadError) {
    match error {
        ReadError::Missing => hosted.found(Condition::Missing),
        ReadError::Storage(source) => {
            tracing::warn!(image = hosted.image, error = %source, "an artifact cannot be given: the storage fails");
        }
        ReadError::Disk(source) => {
            tracing::warn!(image = hosted.image, error = %source, "an artifact cannot be given: the disk fails");
        }
    }
}
