//! Is the certificate that the robot has still good? Every robot asks before every connection.

use super::Context;
use super::answer::{Body, Data, Refused};
use super::robot::Robot;
use crate::api::rfc3339;
use crate::pki::CertificateFault;
use crate::writer::wall_clock;
use axum::Json;
use axum::extract::State;
use rollcall_engine::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    client_crt: String,
}

/// What is said of a certificate; the SDK looks at `valid` only.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    valid: bool,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<String>,
}

/// Why a certificate is not good; the first half is Astarte's word where it has one.
type Fault = (&'static str, String);

/// `POST /v1/{realm}/devices/{device}/protocols/astarte_mqtt_v1/credentials/verify`
pub(super) async fn verify(
    State(context): State<Context>,
    robot: Robot,
    Body(request): Body<Request>,
) -> Result<Json<Data<Verdict>>, Refused> {
    let now = wall_clock();
    let judged = judge(&context, &robot, &request.client_crt, now);
    let timestamp = rfc3339(now);
    let data = match judged {
        Ok(until) => Verdict {
            valid: true,
            timestamp,
            until: Some(rfc3339(until)),
            cause: None,
            details: None,
        },
        Err((cause, details)) => Verdict {
            valid: false,
            timestamp,
            until: None,
            cause: Some(cause),
            details: Some(details),
        },
    };
    Ok(Json(Data { data }))
}

fn judge(context: &Context, robot: &Robot, pem: &str, now: Timestamp) -> Result<Timestamp, Fault> {
    let fault = |cause, details: &str| Err((cause, details.to_owned()));
    let certificate = context.pki.verify(pem).map_err(|fault| {
        let cause = match fault {
            CertificateFault::Malformed => "INVALID",
            CertificateFault::OtherIssuer => "INVALID_ISSUER",
            CertificateFault::NotForClients => "INVALID_KEY_USAGE",
        };
        (cause, fault.to_string())
    })?;
    if certificate.name != robot.name(context) {
        return fault("NAME_NOT_PERMITTED", "the certificate is another robot's");
    }
    if certificate.not_after_ms <= now.0 {
        return fault("EXPIRED", "the certificate has expired");
    }
    let credentials = &robot.entry.credentials;
    if credentials.inhibited.is_some() {
        return fault("INHIBITED", "the robot's credentials are inhibited");
    }
    match credentials.certificate {
        Some(current) if current.serial == certificate.serial => {
            Ok(Timestamp(certificate.not_after_ms))
        }
        _ => fault(
            "REVOKED",
            "the robot was given another certificate, or another secret, since",
        ),
    }
}
