//! A robot gets a certificate for the key of its request. The one that it had before is revoked; a connection that was
//! made with that one goes on until it ends.

use super::Context;
use super::answer::{Body, Data, Refused};
use super::robot::Robot;
use crate::pki::IssueError;
use crate::writer::wall_clock;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use rollcall_engine::{Actor, Command, Refusal, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    csr: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Answer {
    client_crt: String,
}

/// `POST /v1/{realm}/devices/{device}/protocols/astarte_mqtt_v1/credentials`
pub(super) async fn issue(
    State(context): State<Context>,
    robot: Robot,
    Body(request): Body<Request>,
) -> Result<(StatusCode, Json<Data<Answer>>), Refused> {
    if robot.entry.credentials.inhibited.is_some() {
        let refusal = Refusal::CredentialsInhibited { id: robot.id };
        context.bridge.status().refuse(refusal.code());
        return Err(Refused::forbidden(refusal.to_string()));
    }
    let name = robot.name(&context);
    let issued = match context.pki.issue(&request.csr, &name, wall_clock().0) {
        Ok(issued) => issued,
        Err(IssueError::Request(error)) => {
            context.bridge.status().refuse(error.code());
            return Err(Refused::unprocessable(error));
        }
        Err(IssueError::Signing(error)) => return Err(crate::api::internal(&error).into()),
    };
    let command = Command::IssueCertificate {
        robot: robot.id,
        serial: issued.serial,
        not_after: Timestamp(issued.not_after_ms),
        secret: Some(robot.secret),
    };
    let by = Actor("pairing".to_owned());
    context.bridge.command(by, command).await?;
    let data = Answer {
        client_crt: issued.pem,
    };
    Ok((StatusCode::CREATED, Json(Data { data })))
}
