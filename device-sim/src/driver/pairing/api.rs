//! The four calls of the pairing API (device-contract 2).

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rollcall_proto::topic::Base;
use serde_json::{Value, json};

use super::super::http::{Connector, chain};
use super::{PairingError, Service};

/// Longest silence of the server, as in Astarte's SDK.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Largest answer in bytes; a certificate has one thousand.
const ANSWER_MAX: usize = 64 * 1024;
/// How much of a refusal is repeated, in bytes, as in Astarte's SDK.
const DETAIL_MAX: usize = 150;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Call {
    Register,
    Credentials,
    Verify,
    Info,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Register => "register",
            Self::Credentials => "credentials",
            Self::Verify => "verify",
            Self::Info => "device info",
        })
    }
}

impl Call {
    fn path(self, Base { realm, robot }: Base<'_>) -> String {
        let device = format!("/v1/{realm}/devices/{robot}");
        match self {
            Self::Register => format!("/v1/{realm}/agent/devices"),
            Self::Credentials => format!("{device}/protocols/astarte_mqtt_v1/credentials"),
            Self::Verify => format!("{device}/protocols/astarte_mqtt_v1/credentials/verify"),
            Self::Info => device,
        }
    }

    fn success(self) -> u16 {
        match self {
            Self::Register | Self::Credentials => 201,
            Self::Verify | Self::Info => 200,
        }
    }
}

/// One robot's exchange with the server. Each has a connection of its own, as each device has.
pub(super) struct Api<'a> {
    service: &'a Service,
    robot: Base<'a>,
    client: Client<Connector, Full<Bytes>>,
}

impl<'a> Api<'a> {
    pub(super) fn new(service: &'a Service, robot: Base<'a>) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(1)
            .build(service.connector.clone());
        Self {
            service,
            robot,
            client,
        }
    }

    pub(super) async fn register(&self, token: &str) -> Result<String, PairingError> {
        let request = json!({ "hw_id": self.robot.robot });
        let answer = self.call(Call::Register, token, Some(request)).await?;
        text(Call::Register, &answer, "/credentials_secret")
    }

    pub(super) async fn credentials(
        &self,
        secret: &str,
        csr: &str,
    ) -> Result<String, PairingError> {
        let request = json!({ "csr": csr });
        let answer = self.call(Call::Credentials, secret, Some(request)).await?;
        text(Call::Credentials, &answer, "/client_crt")
    }

    pub(super) async fn verify(&self, secret: &str, pem: &str) -> Result<bool, PairingError> {
        let request = json!({ "client_crt": pem });
        let answer = self.call(Call::Verify, secret, Some(request)).await?;
        let valid = answer.get("valid").and_then(Value::as_bool);
        valid.ok_or_else(|| unusable(Call::Verify, "has no valid"))
    }

    /// The broker's url. The SDK wants the other keys too.
    pub(super) async fn broker_url(&self, secret: &str) -> Result<String, PairingError> {
        let answer = self.call(Call::Info, secret, None).await?;
        for key in ["/version", "/status"] {
            text(Call::Info, &answer, key)?;
        }
        text(Call::Info, &answer, "/protocols/astarte_mqtt_v1/broker_url")
    }

    async fn call(
        &self,
        call: Call,
        bearer: &str,
        data: Option<Value>,
    ) -> Result<Value, PairingError> {
        let answer = tokio::time::timeout(SILENCE_MAX, self.exchange(call, bearer, data)).await;
        let (status, body) = answer.map_err(|_| PairingError::Silent { call })??;
        if status != call.success() {
            let shown = body.len().min(DETAIL_MAX);
            let detail = String::from_utf8_lossy(&body[..shown]).into_owned();
            return Err(PairingError::Status {
                call,
                status,
                detail,
            });
        }
        let answer: Value = serde_json::from_slice(&body)
            .map_err(|error| unusable(call, &format!("is not json: {error}")))?;
        let data = answer.get("data").cloned();
        data.ok_or_else(|| unusable(call, "has no data"))
    }

    async fn exchange(
        &self,
        call: Call,
        bearer: &str,
        data: Option<Value>,
    ) -> Result<(u16, Bytes), PairingError> {
        let failed = |error: &dyn std::error::Error| PairingError::Transfer {
            call,
            reason: chain(error),
        };
        let method = if data.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let body = data.map_or_else(String::new, |data| json!({ "data": data }).to_string());
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{}", self.service.url, call.path(self.robot)))
            .header("authorization", format!("Bearer {bearer}"))
            .header("content-type", "application/json")
            .body(Full::from(body))
            .map_err(|error| failed(&error))?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| failed(&error))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|error| failed(error.as_ref()))?;
        Ok((status, body.to_bytes()))
    }
}

fn text(call: Call, answer: &Value, pointer: &str) -> Result<String, PairingError> {
    let text = answer.pointer(pointer).and_then(Value::as_str);
    text.map(str::to_owned)
        .ok_or_else(|| unusable(call, &format!("has no {}", &pointer[1..])))
}

pub(super) fn unusable(call: Call, reason: &str) -> PairingError {
    let reason = reason.to_owned();
    PairingError::Answer { call, reason }
}
