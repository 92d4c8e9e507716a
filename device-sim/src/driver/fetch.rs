//! Downloading an artifact: streamed, counted and hashed, never kept.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::header::{LOCATION, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::http::{Connector, chain, connector};
use crate::model::{Artifact, FetchError, ImageLabel, Protocol};

/// Downloads at once. Each costs a file descriptor here and one in the server.
const AT_ONCE: usize = 64;
/// Longest silence of the server within a download.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Largest artifact in bytes, so that a server cannot keep a download going for ever.
const ARTIFACT_MAX: u64 = 8 << 30;
/// How often an Edgehog device lets itself be sent elsewhere.
const REDIRECTS_MAX: usize = 3;
/// What Edgehog's runtime calls itself.
const RUNTIME: &str = "edgehog-device-runtime/0.13.1";

#[derive(Debug)]
pub(super) struct Http {
    client: Client<Connector, Empty<Bytes>>,
    at_once: Semaphore,
}

impl Http {
    pub(super) fn new(tls: ClientConfig) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(AT_ONCE)
            .pool_idle_timeout(Duration::from_secs(10))
            .build(connector(tls));
        Self {
            client,
            at_once: Semaphore::new(AT_ONCE),
        }
    }

    pub(super) async fn fetch(
        &self,
        protocol: Protocol,
        operation: Uuid,
        url: &str,
    ) -> Result<Artifact, FetchError> {
        let _turn = self.at_once.acquire().await;
        let response = match protocol {
            Protocol::Native => self.get_natively(operation, url).await?,
            Protocol::Edgehog => self.get_as_edgehog(operation, url).await?,
        };
        read(response.into_body()).await
    }

    async fn get_natively(
        &self,
        operation: Uuid,
        url: &str,
    ) -> Result<Response<Incoming>, FetchError> {
        let uri = url.parse().map_err(network)?;
        let response = self.get(uri, operation, "device-sim").await?;
        match response.status() {
            StatusCode::OK => Ok(response),
            other => Err(FetchError::Status(other.as_u16())),
        }
    }

    /// As the runtime does (device-contract 3.2): redirects are followed, the status is not looked at,
    /// and an answer must say how long it is.
    async fn get_as_edgehog(
        &self,
        operation: Uuid,
        url: &str,
    ) -> Result<Response<Incoming>, FetchError> {
        let mut uri: Uri = url.parse().map_err(network)?;
        for _ in 0..=REDIRECTS_MAX {
            let response = self.get(uri.clone(), operation, RUNTIME).await?;
            let place = response.headers().get(LOCATION);
            let place = place.and_then(|place| place.to_str().ok());
            match place.filter(|_| response.status().is_redirection()) {
                Some(place) => uri = elsewhere(&uri, place)?,
                None if response.body().size_hint().exact().unwrap_or(0) == 0 => {
                    return Err(FetchError::NoLength);
                }
                None => return Ok(response),
            }
        }
        Err(FetchError::Network("too many redirects".to_owned()))
    }

    async fn get(
        &self,
        uri: Uri,
        operation: Uuid,
        agent: &str,
    ) -> Result<Response<Incoming>, FetchError> {
        let request = Request::get(uri)
            .header(USER_AGENT, agent)
            .header("x-edgehog-ota-id", operation.hyphenated().to_string())
            .body(Empty::new())
            .map_err(network)?;
        in_time(self.client.request(request))
            .await?
            .map_err(network)
    }
}

/// Where a redirect leads, which is another address or another path of this one.
fn elsewhere(from: &Uri, to: &str) -> Result<Uri, FetchError> {
    if !to.starts_with('/') {
        return to.parse().map_err(network);
    }
    let (scheme, authority) = (from.scheme_str(), from.authority());
    let (scheme, authority) = (
        scheme.unwrap_or("http"),
        authority.map_or("", |a| a.as_str()),
    );
    format!("{scheme}://{authority}{to}")
        .parse()
        .map_err(network)
}

/// Reads a body to its end.
async fn read(mut body: Incoming) -> Result<Artifact, FetchError> {
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

async fn in_time<F: Future>(future: F) -> Result<F::Output, FetchError> {
    let silent = |_| FetchError::Network("server is silent".to_owned());
    tokio::time::timeout(SILENCE_MAX, future)
        .await
        .map_err(silent)
}

fn network(error: impl std::error::Error) -> FetchError {
    FetchError::Network(chain(&error))
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
