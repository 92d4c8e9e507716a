//! Robots' credentials, as operators handle them: certificates for robots that do not pair, shutting out, replacing.

use super::Context;
use super::error::{ApiError, internal};
use super::request::{Admin, Json, OptionalJson, Path};
use super::robots::{find, unknown};
use super::tokens;
use super::views::rfc3339;
use crate::hex;
use crate::pki::IssueError;
use crate::writer::wall_clock;
use axum::extract::State;
use axum::http::StatusCode;
use rollcall_engine::{
    Actor, Certificate, Command, CredentialsStatus, Refusal, Robot, RobotId, Timestamp,
};
use serde::{Deserialize, Serialize};

/// What lets a robot in, or keeps it out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct CredentialsView {
    pub status: CredentialsStatus,
    /// When its present secret was made.
    pub secret_since: String,
    pub secret_since_ms: u64,
    /// Its newest certificate; older ones are revoked.
    pub certificate: Option<CertificateView>,
    pub inhibited: Option<String>,
    pub inhibited_ms: Option<u64>,
}

/// A robot's certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct CertificateView {
    /// Hexadecimal.
    pub serial: String,
    pub issued: String,
    pub issued_ms: u64,
    pub not_after: String,
    pub not_after_ms: u64,
}

/// A certificate to sign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRequest {
    /// A PKCS#10 request, PEM. Only its key is used.
    pub csr: String,
}

/// A certificate that was just signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignedCertificate {
    /// Whose.
    pub robot: String,
    /// The certificate, PEM.
    pub client_crt: String,
    /// The CA's certificate, PEM: what the robot trusts.
    pub ca_crt: String,
    /// Its number, hexadecimal.
    pub serial: String,
    /// When it ends.
    pub not_after: String,
    /// When it ends, milliseconds since the Unix epoch.
    pub not_after_ms: u64,
}

/// How a secret is to be replaced.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Whether the robot may also register itself with a pairing token, as after a reinstallation.
    #[serde(default)]
    pub allow_pairing: bool,
}

/// A robot's new secret, which is never shown again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewSecret {
    /// Whose.
    pub id: String,
    /// The MQTT client id to connect with.
    pub client_id: String,
    /// The MQTT user name to connect with.
    pub username: String,
    /// The MQTT password to connect with, and the bearer of the pairing API.
    pub credentials_secret: String,
}

impl CredentialsView {
    pub(super) fn new(robot: &Robot) -> Self {
        let credentials = &robot.credentials;
        Self {
            status: robot.credentials_status(),
            secret_since: rfc3339(credentials.since),
            secret_since_ms: credentials.since.0,
            certificate: credentials.certificate.as_ref().map(CertificateView::new),
            inhibited: credentials.inhibited.map(rfc3339),
            inhibited_ms: credentials.inhibited.map(|at| at.0),
        }
    }
}

impl CertificateView {
    fn new(certificate: &Certificate) -> Self {
        Self {
            serial: hex::encode(&certificate.serial),
            issued: rfc3339(certificate.issued),
            issued_ms: certificate.issued.0,
            not_after: rfc3339(certificate.not_after),
            not_after_ms: certificate.not_after.0,
        }
    }
}

/// Carries out a command about the robot that the path names.
async fn command(
    context: &Context,
    by: Actor,
    id: &str,
    command: impl FnOnce(RobotId) -> Command,
) -> Result<(), ApiError> {
    let robot = RobotId::new(id).map_err(|_| unknown(id))?;
    let done = context.bridge.command(by, command(robot)).await;
    done.map(drop)
        .map_err(|error| ApiError::command(error, |r| matches!(r, Refusal::UnknownRobot { .. })))
}

async fn shown(context: &Context, id: String) -> Result<axum::Json<CredentialsView>, ApiError> {
    let found = context
        .bridge
        .query(move |view| find(view, &id).map(CredentialsView::new));
    Ok(axum::Json(found.await??))
}

/// `POST /v1/robots/{id}/credentials/certificate`
pub(super) async fn issue(
    State(context): State<Context>,
    Admin(by): Admin,
    Path(id): Path<String>,
    Json(request): Json<CertificateRequest>,
) -> Result<(StatusCode, axum::Json<SignedCertificate>), ApiError> {
    let robot = RobotId::new(&id).map_err(|_| unknown(&id))?;
    let name = format!("{}/{robot}", context.realm);
    let issued = context.pki.issue(&request.csr, &name, wall_clock().0);
    let issued = issued.map_err(|error| match error {
        IssueError::Request(error) => ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            error.code(),
            error.to_string(),
        ),
        IssueError::Signing(error) => internal(&error),
    })?;
    let not_after = Timestamp(issued.not_after_ms);
    let note = |robot| Command::IssueCertificate {
        robot,
        serial: issued.serial,
        not_after,
        secret: None,
    };
    command(&context, by, &id, note).await?;
    let signed = SignedCertificate {
        robot: id,
        client_crt: issued.pem,
        ca_crt: context.pki.summary().pem,
        serial: hex::encode(&issued.serial),
        not_after: rfc3339(not_after),
        not_after_ms: not_after.0,
    };
    Ok((StatusCode::CREATED, axum::Json(signed)))
}

/// `POST /v1/robots/{id}/credentials/inhibit`
pub(super) async fn inhibit(
    State(context): State<Context>,
    Admin(by): Admin,
    Path(id): Path<String>,
) -> Result<axum::Json<CredentialsView>, ApiError> {
    let inhibit = |robot| Command::InhibitCredentials { robot };
    command(&context, by, &id, inhibit).await?;
    shown(&context, id).await
}

/// `POST /v1/robots/{id}/credentials/allow`
pub(super) async fn allow(
    State(context): State<Context>,
    Admin(by): Admin,
    Path(id): Path<String>,
) -> Result<axum::Json<CredentialsView>, ApiError> {
    let allow = |robot| Command::AllowCredentials { robot };
    command(&context, by, &id, allow).await?;
    shown(&context, id).await
}

/// `POST /v1/robots/{id}/credentials/rotate`
pub(super) async fn rotate(
    State(context): State<Context>,
    Admin(by): Admin,
    Path(id): Path<String>,
    OptionalJson(Rotation { allow_pairing }): OptionalJson<Rotation>,
) -> Result<axum::Json<NewSecret>, ApiError> {
    let credentials_secret = tokens::secret();
    let secret = tokens::digest(credentials_secret.as_bytes());
    let rotate = |robot| Command::RotateCredentials {
        robot,
        secret,
        allow_pairing,
    };
    command(&context, by, &id, rotate).await?;
    let address = format!("{}/{id}", context.realm);
    Ok(axum::Json(NewSecret {
        id,
        client_id: address.clone(),
        username: address,
        credentials_secret,
    }))
}
