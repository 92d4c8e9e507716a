//! The API's client.

use super::exit::{Exit, Failure};
use crate::api::tokens::ADMIN_TOKEN_FILE;
use crate::api::{ErrorBody, MAX_PAGE, Page};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;
use ureq::http::{Request, Response};
use ureq::{Agent, AsSendBody, Body, SendBody};

/// A server that does not answer for so long is given up. It commits before it answers, so this is generous.
const PATIENCE: Duration = Duration::from_secs(120);
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of one answer; a page of robots is far smaller.
const ANSWER_LIMIT: u64 = 64 << 20;

/// Speaks to one server.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    api: String,
    token: String,
}

impl Client {
    pub(super) fn new(api: &str, token: Option<&str>, data_dir: &Path) -> Result<Self, Failure> {
        if !api.starts_with("http://") {
            let message =
                format!("--api {api:?} is not a URL of an API; write it as http://127.0.0.1:8080");
            return Err(Failure::usage(message));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .max_redirects(0);
        Ok(Self {
            agent: config.build().into(),
            api: api.trim_end_matches('/').to_owned(),
            token: token.map_or_else(|| read_token(data_dir), |token| Ok(token.to_owned()))?,
        })
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.without_body("GET", path)
    }

    pub(super) fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.without_body("DELETE", path)
    }

    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.with_json("POST", path, body)
    }

    pub(super) fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.with_json("PATCH", path, body)
    }

    pub(super) fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.with_json("PUT", path, body)
    }

    fn without_body<T: DeserializeOwned>(&self, method: &str, path: &str) -> Result<T, Failure> {
        let request = self.request(method, path).body(());
        self.send(request.map_err(|error| bad_request(&error))?)
    }

    fn with_json<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::usage(error.to_string()))?;
        let request = self
            .request(method, path)
            .header("content-type", "application/json")
            .body(body);
        self.send(request.map_err(|error| bad_request(&error))?)
    }

    /// Sends a file as it is read from disk.
    /// Sends a file with `method`.
    pub(super) fn upload<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        file: File,
        size: u64,
    ) -> Result<T, Failure> {
        let request = self
            .request(method, path)
            .header("content-type", "application/octet-stream")
            .header("content-length", size.to_string())
            // A refusal comes before the file was sent in vain.
            .header("expect", "100-continue")
            .body(SendBody::from_owned_reader(file));
        self.send(request.map_err(|error| bad_request(&error))?)
    }

    fn request(&self, method: &str, path: &str) -> ureq::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}/v1{path}", self.api))
            .header("authorization", format!("Bearer {}", self.token))
    }

    fn send<T: DeserializeOwned>(&self, request: Request<impl AsSendBody>) -> Result<T, Failure> {
        let mut response = self
            .agent
            .run(request)
            .map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return self.read(&mut response);
        }
        let error = self.read::<ErrorBody>(&mut response).map_err(|_| {
            let message = format!(
                "{} answered {status}, which is not Rollcall's API",
                self.api
            );
            Failure::new(Exit::Failure, "not_rollcall", message).hint("check --api")
        })?;
        Err(Failure::of_server(status.as_u16(), error.error))
    }

    fn read<T: DeserializeOwned>(&self, response: &mut Response<Body>) -> Result<T, Failure> {
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_LIMIT)
            .read_json();
        body.map_err(|error| {
            let message = format!("the answer of {} cannot be understood: {error}", self.api);
            Failure::new(Exit::Failure, "bad_answer", message)
                .hint("check that --api is a Rollcall server of the same version")
        })
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        Failure::new(
            Exit::Unreachable,
            "unreachable",
            format!("{} does not answer: {error}", self.api),
        )
        .hint("start it with `rollcall serve`, or name another with --api (ROLLCALL_API)")
    }

    /// Every entry of a list, page by page.
    pub(super) fn all<T: DeserializeOwned>(&self, path: &str) -> Result<Page<T>, Failure> {
        let mut all = Page {
            items: Vec::new(),
            next: None,
        };
        loop {
            let page: Page<T> = self.get(&paged(path, all.next.as_deref()))?;
            all.items.extend(page.items);
            all.next = page.next;
            if all.next.is_none() {
                return Ok(all);
            }
        }
    }
}

/// The path of the page after `after`.
pub(super) fn paged(path: &str, after: Option<&str>) -> String {
    let after = after
        .map(|after| format!("&after={}", segment(after)))
        .unwrap_or_default();
    format!("{path}?limit={MAX_PAGE}{after}")
}

/// Makes any text one segment of a path, or one value of a query.
pub(super) fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~@".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

fn read_token(data_dir: &Path) -> Result<String, Failure> {
    let path = data_dir.join(ADMIN_TOKEN_FILE);
    std::fs::read_to_string(&path).map(|token| token.trim().to_owned()).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "does not exist".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        Failure::new(Exit::Unreachable, "no_token", format!("there is no token: {} {why}", path.display())).hint(
            "name the server's data directory with --data-dir, or give --token (ROLLCALL_TOKEN); `rollcall serve` \
             makes the file at its first start",
        )
    })
}

fn bad_request(error: &ureq::http::Error) -> Failure {
    Failure::usage(format!("the request cannot be made: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_one_segment_of_a_path() {
        assert_eq!(segment("fw@1.0.0+b7"), "fw@1.0.0%2Bb7");
        assert_eq!(segment("../a b?c#d"), "..%2Fa%20b%3Fc%23d");
        assert_eq!(segment("\u{e4}"), "%C3%A4");
    }
}
