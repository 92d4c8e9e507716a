//! Giving files out: what the device HTTP listener serves.

use super::Artifacts;
use super::range::{Wanted, wanted};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::io::SeekFrom;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

/// Bytes that are read from disk at a time.
const CHUNK: usize = 64 * 1024;

/// The device HTTP listener: `/artifacts/<token>`, and an empty 404 for everything else.
pub fn router(artifacts: Arc<Artifacts>) -> Router {
    Router::new()
        .route("/artifacts/{token}", get(artifact))
        .fallback(async || StatusCode::NOT_FOUND)
        .with_state(artifacts)
}

async fn artifact(
    State(artifacts): State<Arc<Artifacts>>,
    method: Method,
    token: Result<Path<String>, axum::extract::rejection::PathRejection>,
    headers: HeaderMap,
) -> Response {
    // A path that is no text is no token either.
    let Some(path) = token.ok().and_then(|Path(token)| artifacts.path(&token)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Ok(mut file) = tokio::fs::File::open(&path).await else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let size = match file.metadata().await {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    // A token is given once and its file never changes, so the token is a strong validator.
    let token = path.file_name().unwrap_or_default().to_string_lossy();
    let etag = format!("\"{token}\"");
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if text(IF_NONE_MATCH).is_some_and(|tags| tags == "*" || tags.contains(&etag)) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response();
    }
    // Range has a meaning for GET only, and none when it was made for another file.
    let range = text(RANGE)
        .filter(|_| method == Method::GET)
        .filter(|_| text(IF_RANGE).is_none_or(|tag| tag == etag));
    let (status, first, length, content_range) = match wanted(range.unwrap_or(""), size) {
        Wanted::Whole => (StatusCode::OK, 0, size, None),
        Wanted::Part(part) => {
            let (first, last) = part.into_inner();
            let range = format!("bytes {first}-{last}/{size}");
            (
                StatusCode::PARTIAL_CONTENT,
                first,
                last - first + 1,
                Some(range),
            )
        }
        Wanted::Nothing => {
            let range = [(CONTENT_RANGE, format!("bytes */{size}"))];
            return (StatusCode::RANGE_NOT_SATISFIABLE, range).into_response();
        }
    };
    if file.seek(SeekFrom::Start(first)).await.is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let headers = [
        (CONTENT_LENGTH, length.to_string()),
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (
            CACHE_CONTROL,
            "private, max-age=31536000, immutable".to_owned(),
        ),
        (ETAG, etag),
    ];
    let content_range = content_range.map(|range| [(CONTENT_RANGE, range)]);
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        Body::from_stream(ReaderStream::with_capacity(file.take(length), CHUNK))
    };
    match content_range {
        Some(range) => (status, headers, range, body).into_response(),
        None => (status, headers, body).into_response(),
    }
}
