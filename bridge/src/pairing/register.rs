//! A robot registers itself with a pairing token, and gets its secret.

use super::Context;
use super::answer::{Body, Data, Refused};
use crate::api::request::bearer;
use crate::api::tokens::digest;
use crate::writer::wall_clock;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rollcall_engine::{Actor, Command, RobotId, TokenKey, TokenName};
use serde::{Deserialize, Serialize};

/// A pairing token in force: its number, which no other token gets when its name is used again, and its name.
pub(super) struct Token(TokenKey, TokenName);

impl FromRequestParts<Context> for Token {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Refused> {
        let token = bearer(&parts.headers).and_then(|token| {
            context
                .registry
                .token(&digest(token.as_bytes()), wall_clock())
        });
        token.map(|(key, name)| Self(key, name)).ok_or_else(|| {
            context.bridge.status().refuse("pairing_without_token");
            Refused::unauthorized(
                "send a pairing token that is good as `Authorization: Bearer TOKEN`; `rollcall pairing token add` makes one",
            )
        })
    }
}

/// What is asked for. Astarte also takes `initial_introspection`; the device says it again when it connects.
#[derive(Debug, Deserialize)]
pub(super) struct Registration {
    hw_id: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Registered {
    credentials_secret: String,
}

/// A secret as Astarte's are: 32 random bytes in standard base64.
fn secret() -> String {
    STANDARD.encode(rand::random::<[u8; 32]>())
}

/// `POST /v1/{realm}/agent/devices`
pub(super) async fn register(
    State(context): State<Context>,
    Token(token, token_name): Token,
    path: Result<Path<String>, PathRejection>,
    Body(registration): Body<Registration>,
) -> Result<(StatusCode, Json<Data<Registered>>), Refused> {
    if !path.is_ok_and(|Path(realm)| *realm == *context.realm) {
        let why = format!("this server serves the realm {}", context.realm);
        return Err(Refused::new(StatusCode::NOT_FOUND, why));
    }
    let robot = RobotId::new(&registration.hw_id).map_err(Refused::unprocessable)?;
    let credentials_secret = secret();
    let command = Command::PairRobot {
        token,
        token_name,
        robot,
        secret: digest(credentials_secret.as_bytes()),
    };
    let by = Actor("pairing".to_owned());
    context.bridge.command(by, command).await?;
    let data = Registered { credentials_secret };
    Ok((StatusCode::CREATED, Json(Data { data })))
}
