//! Pairing tokens: with one, a robot that nobody registered registers itself.

use super::Context;
use super::error::ApiError;
use super::request::{Admin, OptionalJson, Path, Viewer};
use super::tokens;
use super::views::{Page, rfc3339};
use crate::hex;
use crate::writer::wall_clock;
use axum::extract::State;
use axum::http::StatusCode;
use rollcall_engine::{Command, PairingToken, PairingTokenSpec, Refusal, Timestamp, TokenName};
use serde::{Deserialize, Serialize};

/// A pairing token to make.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewPairingToken {
    /// What people call it; made up if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long it is taken, milliseconds; for ever if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    /// How many registrations it is good for; any number if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
}

/// A pairing token that was just made; the token itself is never shown again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MadePairingToken {
    /// What people call it.
    pub name: String,
    /// What robots show.
    pub token: String,
}

/// A pairing token in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct PairingTokenView {
    pub name: String,
    pub created: String,
    pub created_ms: u64,
    pub expires: Option<String>,
    pub expires_ms: Option<u64>,
    pub uses: Option<u32>,
    pub used: u32,
    /// Whether it would be taken now.
    pub good: bool,
}

impl PairingTokenView {
    fn new(token: &PairingToken, now: Timestamp) -> Self {
        Self {
            name: token.name.to_string(),
            created: rfc3339(token.created),
            created_ms: token.created.0,
            expires: token.expires.map(rfc3339),
            expires_ms: token.expires.map(|at| at.0),
            uses: token.uses,
            used: token.used,
            good: token.is_good(now),
        }
    }
}

/// `POST /v1/pairing/tokens`
pub(super) async fn add(
    State(context): State<Context>,
    Admin(by): Admin,
    OptionalJson(new): OptionalJson<NewPairingToken>,
) -> Result<(StatusCode, axum::Json<MadePairingToken>), ApiError> {
    if new.uses == Some(0) || new.expires_in_ms == Some(0) {
        return Err(ApiError::invalid(
            "a pairing token that is never good helps nobody; use at least 1",
        ));
    }
    let made_up = || format!("token-{}", hex::encode(&rand::random::<[u8; 4]>()));
    let name = TokenName::new(&new.name.unwrap_or_else(made_up)).map_err(ApiError::invalid)?;
    let token = tokens::secret();
    let command = Command::AddPairingToken(PairingTokenSpec {
        name: name.clone(),
        digest: tokens::digest(token.as_bytes()),
        expires: new.expires_in_ms.map(|span| wall_clock().after(span)),
        uses: new.uses,
    });
    context.bridge.command(by, command).await?;
    let made = MadePairingToken {
        name: name.to_string(),
        token,
    };
    Ok((StatusCode::CREATED, axum::Json(made)))
}

/// `GET /v1/pairing/tokens`: all of them, since there are few.
pub(super) async fn list(
    State(context): State<Context>,
    _: Viewer,
) -> Result<axum::Json<Page<PairingTokenView>>, ApiError> {
    let now = wall_clock();
    let items = context.bridge.query(move |view| {
        let tokens = view.state.pairing_tokens();
        tokens
            .map(|token| PairingTokenView::new(token, now))
            .collect()
    });
    Ok(axum::Json(Page {
        items: items.await?,
        next: None,
    }))
}

/// `DELETE /v1/pairing/tokens/{name}`
pub(super) async fn remove(
    State(context): State<Context>,
    Admin(by): Admin,
    Path(name): Path<String>,
) -> Result<axum::Json<serde_json::Value>, ApiError> {
    let token = TokenName::new(&name).map_err(|error| {
        ApiError::new(StatusCode::NOT_FOUND, "unknown_token", error.to_string())
    })?;
    let removed = context
        .bridge
        .command(by, Command::RemovePairingToken { name: token })
        .await;
    removed
        .map_err(|error| ApiError::command(error, |r| matches!(r, Refusal::UnknownToken { .. })))?;
    Ok(axum::Json(serde_json::json!({ "removed": name })))
}
