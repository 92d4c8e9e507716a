//! Downloading an artifact: streamed, counted and hashed, never kept.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::model::{Artifact, FetchError, ImageLabel};

/// Downloads at once. Each costs a file descriptor here and one in the server.
const AT_ONCE: usize = 64;
/// Longest silence of the server within a download.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Largest artifact in bytes, so that a server cannot keep a download going for ever.
const ARTIFACT_MAX: u64 = 8 << 30;

#[derive(Debug)]
pub(super) struct Http {
    client: Client<HttpConnector, Empty<Bytes>>,
    at_once: Semaphore,
}

impl Http {
    pub(super) fn new() -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(AT_ONCE)
            .pool_idle_timeout(Duration::from_secs(10))
            .build_http();
        Self {
            client,
            at_once: Semaphore::new(AT_ONCE),
        }
    }

    pub(super) async fn fetch(&self, operation: Uuid, url: &str) -> Result<Artifact, FetchError> {
        let _turn = self.at_once.acquire().await;
        let uri: Uri = url.parse().map_err(network)?;
        let request = Request::get(uri)
            .header("x-edgehog-ota-id", operation.hyphenated().to_string())
            .body(Empty::new())
            .map_err(network)?;
        let response = in_time(self.client.request(request))
            .await?
            .map_err(network)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let mut body = response.into_body();
        let mut reading = Reading::default();
        while let Some(frame) = in_time(body.frame()).await? {
            if let Ok(data) = frame.map_err(network)?.into_data() {
                reading.take(&data);
            }
            if reading.size > ARTIFACT_MAX {
                return Err(FetchError::Network(
                    "artifact is larger than 8 GiB".to_owned(),
                ));
            }
        }
        Ok(reading.finish())
    }
}

async fn in_time<F: Future>(future: F) -> Result<F::Output, FetchError> {
    let silent = |_| FetchError::Network("server is silent".to_owned());
    tokio::time::timeout(SILENCE_MAX, future)
        .await
        .map_err(silent)
}

fn network(error: impl std::error::Error) -> FetchError {
    FetchError::Network(error.to_string())
}

/// What is known of an artifact while it streams by.
#[derive(Default)]
struct Reading {
    size: u64,
    hash: Sha256,
    head: Vec<u8>,
}

impl Reading {
    fn take(&mut self, data: &[u8]) {
        self.size += data.len() as u64;
        self.hash.update(data);
        let room = ImageLabel::LINE_MAX - self.head.len();
        self.head.extend_from_slice(&data[..data.len().min(room)]);
    }

    fn finish(self) -> Artifact {
        Artifact {
            size: self.size,
            sha256: self.hash.finalize().into(),
            label: ImageLabel::read(&self.head),
        }
    }
}
