//! A real server in this process, and a client that shows status and body of every answer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    reason = "tests fail by panicking, and each uses its own part of this"
)]

use rollcall::config::{Config, Overrides, Switch};
use rollcall::server::Server;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use ureq::Agent;

/// A running server with everything in a temporary directory.
pub(crate) struct Served {
    runtime: Runtime,
    server: Option<Server>,
    directory: TempDir,
    http: SocketAddr,
    pub(crate) device: SocketAddr,
    agent: Agent,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Status and error code.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let json = self.json();
        let error = &json["error"];
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{json}"
        );
        (self.status, error["code"].as_str().unwrap().to_owned())
    }

    /// The body of an answer that says yes.
    pub(crate) fn ok(self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{} {}",
            self.status,
            self.text()
        );
        self.json()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Served {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::in_directory(tempfile::tempdir().unwrap(), change)
    }

    pub(crate) fn in_directory(directory: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let any = Some("127.0.0.1:0".parse().unwrap());
        let flags = Overrides {
            data_dir: Some(directory.path().join("data")),
            mqtt: any,
            mqtts: Some(Switch::Off),
            websocket: None,
            http: any,
            device_http: any,
            dev: false,
        };
        let mut config = Config::load(None, flags).unwrap();
        change(&mut config);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime.block_on(Server::start(config)).unwrap();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_idle_connections(0)
            .build()
            .into();
        Self {
            http: server.addresses.http,
            device: server.addresses.device_http,
            runtime,
            server: Some(server),
            directory,
            agent,
        }
    }

    /// Shuts the server down and gives the directory back.
    pub(crate) fn stop(mut self) -> TempDir {
        let server = self.server.take().unwrap();
        self.runtime.block_on(server.shut_down()).unwrap();
        std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap())
    }

    pub(crate) fn artifacts(&self) -> &rollcall::artifacts::Artifacts {
        &self.server.as_ref().unwrap().artifacts
    }

    pub(crate) fn mqtt(&self) -> SocketAddr {
        self.server.as_ref().unwrap().addresses.mqtt
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn token(&self, role: &str) -> String {
        token(&self.data(), role)
    }

    /// A request with the admin token; a body that is not `Null` is sent as JSON.
    pub(crate) fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        self.send(method, path, &[("content-type", "application/json")], bytes)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call("GET", path, Value::Null)
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, body)
    }

    /// A request with the admin token and headers of one's own.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let bearer = format!("Bearer {}", self.token("admin"));
        let mut headers = headers.to_vec();
        headers.push(("authorization", &bearer));
        self.bare(method, path, &headers, body)
    }

    /// A request with exactly these headers.
    pub(crate) fn bare(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        self.request(self.http, method, path, headers, body)
    }

    /// A request to the device listener.
    pub(crate) fn fetch(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request(self.device, method, path, headers, Vec::new())
    }

    /// A request to the device listener with a body.
    pub(crate) fn device_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        self.request(self.device, method, path, headers, body)
    }

    /// A request to the pairing API; a body that is not `Null` is sent as JSON.
    pub(crate) fn pair(
        &self,
        method: &str,
        path: &str,
        bearer: Option<&str>,
        body: &Value,
    ) -> Answer {
        let bearer = bearer.map(|bearer| format!("Bearer {bearer}"));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(
            bearer
                .iter()
                .map(|bearer| ("authorization", bearer.as_str())),
        );
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        self.device_request(method, &format!("/pairing/v1{path}"), &headers, body)
    }

    /// Where MQTT with TLS is served.
    pub(crate) fn mqtts(&self) -> SocketAddr {
        let server = self.server.as_ref().unwrap();
        server.addresses.mqtts.unwrap()
    }

    fn request(
        &self,
        to: SocketAddr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{to}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = if body.is_empty() {
            self.agent.run(request.body(()).unwrap())
        } else {
            self.agent.run(request.body(body).unwrap())
        };
        let mut response = sent.unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            bytes: response
                .body_mut()
                .with_config()
                .limit(1 << 30)
                .read_to_vec()
                .unwrap(),
        }
    }

    /// Writes raw bytes to the API's socket and returns all that comes back until the server closes.
    pub(crate) fn raw(&self, to: SocketAddr, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // A server that has refused may reset what it did not read; what it said before counts.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) const fn http(&self) -> SocketAddr {
        self.http
    }

    /// Registers a robot with one ECU `main`.
    pub(crate) fn robot(&self, id: &str, hardware_id: &str) -> Value {
        let ecus =
            serde_json::json!([{ "name": "main", "hardware_id": hardware_id, "primary": true }]);
        self.post("/v1/robots", serde_json::json!({ "id": id, "ecus": ecus }))
            .ok()
    }

    /// Adds an image by URL for one hardware id.
    pub(crate) fn image(&self, reference: &str, hardware_id: &str) -> Value {
        let body = serde_json::json!({
            "image": reference, "hardware_ids": [hardware_id], "url": "http://127.0.0.1/x", "size": 3,
            "sha256": "ab".repeat(32),
        });
        self.post("/v1/images", body).ok()
    }
}

pub(crate) fn token(data: &Path, role: &str) -> String {
    std::fs::read_to_string(data.join(format!("{role}.token")))
        .unwrap()
        .trim()
        .to_owned()
}
