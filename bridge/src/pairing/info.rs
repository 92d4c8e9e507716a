//! Where the robot finds its broker, and how far its pairing has come.

use super::Context;
use super::answer::{Data, Refused};
use super::robot::Robot;
use crate::pki;
use axum::Json;
use axum::extract::State;
use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode};
use rollcall_engine::CredentialsStatus;
use serde::Serialize;

/// How robots reach MQTT with TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerUrl {
    /// Always so.
    Fixed(String),
    /// On this port of the host under which the robot has reached the pairing API.
    SameHost(u16),
    /// Not at all.
    Off,
}

impl BrokerUrl {
    /// The URL for a robot that has asked `host`; devices need the port in so many words (device-contract 0.9).
    fn of(&self, host: Option<&str>) -> Option<String> {
        match self {
            Self::Fixed(url) => Some(url.clone()),
            Self::Off => None,
            Self::SameHost(port) => {
                let host = host.and_then(pki::host_of)?;
                Some(if host.contains(':') {
                    format!("mqtts://[{host}]:{port}")
                } else {
                    format!("mqtts://{host}:{port}")
                })
            }
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Info {
    version: &'static str,
    status: CredentialsStatus,
    protocols: Protocols,
}

#[derive(Debug, Serialize)]
struct Protocols {
    astarte_mqtt_v1: AstarteMqttV1,
}

#[derive(Debug, Serialize)]
struct AstarteMqttV1 {
    broker_url: String,
}

/// `GET /v1/{realm}/devices/{device}`
pub(super) async fn info(
    State(context): State<Context>,
    robot: Robot,
    headers: HeaderMap,
) -> Result<Json<Data<Info>>, Refused> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let broker_url = context.broker_url.of(host).ok_or_else(|| {
        Refused::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "robots cannot reach MQTT with TLS: set mqtts.address, and mqtts.public_url if the host cannot be told",
        )
    })?;
    // "Confirmed" is a robot that has asked for a certificate; whether it has connected without one is not Astarte's
    // question.
    let credentials = &robot.entry.credentials;
    let status = if credentials.inhibited.is_some() {
        CredentialsStatus::Inhibited
    } else if credentials.certificate.is_some() {
        CredentialsStatus::Confirmed
    } else {
        CredentialsStatus::Pending
    };
    let data = Info {
        version: env!("CARGO_PKG_VERSION"),
        status,
        protocols: Protocols {
            astarte_mqtt_v1: AstarteMqttV1 { broker_url },
        },
    };
    Ok(Json(Data { data }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_url_always_has_a_port() {
        let same = BrokerUrl::SameHost(8883);
        for (host, url) in [
            (
                "robots.example.org:8081",
                Some("mqtts://robots.example.org:8883"),
            ),
            ("10.0.0.1", Some("mqtts://10.0.0.1:8883")),
            ("[::1]:8081", Some("mqtts://[::1]:8883")),
            ("a b", None),
            ("", None),
        ] {
            assert_eq!(same.of(Some(host)).as_deref(), url, "{host:?}");
        }
        assert_eq!(same.of(None), None);
        assert_eq!(BrokerUrl::Off.of(Some("a")), None);
    }
}
