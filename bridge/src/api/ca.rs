//! The certificates in force.

use super::Context;
use super::error::ApiError;
use super::request::{Admin, Viewer};
use super::views::rfc3339;
use crate::pki::{Pki, WARN_BEFORE_MS};
use crate::writer::wall_clock;
use axum::extract::State;
use axum::http::StatusCode;
use rollcall_engine::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The certificate authority and the server's certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct CaView {
    pub subject: String,
    /// SHA-256 of the CA's certificate, hexadecimal.
    pub fingerprint: String,
    pub not_after: String,
    pub not_after_ms: u64,
    /// The CA's certificate, PEM.
    pub certificate: String,
    pub server: ServerCertificateView,
    /// What ends in less than 30 days, or has ended.
    pub warnings: Vec<String>,
}

/// The server's certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/api.md explains every field")]
pub struct ServerCertificateView {
    pub names: BTreeSet<String>,
    pub not_after: String,
    pub not_after_ms: u64,
}

/// What a look at the files has led to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Whether anything is different now.
    pub changed: bool,
    /// What is in force.
    pub ca: CaView,
}

impl CaView {
    fn new(pki: &Pki) -> Self {
        let summary = pki.summary();
        let now = wall_clock().0;
        let mut warnings = Vec::new();
        for (what, end) in [
            ("the CA's certificate", summary.authority_not_after_ms),
            ("the server's certificate", summary.server_not_after_ms),
        ] {
            let left = end.saturating_sub(now);
            if left < WARN_BEFORE_MS {
                let word = if left == 0 { "has ended on" } else { "ends on" };
                let end = rfc3339(Timestamp(end));
                warnings.push(format!("{what} {word} {end}; replace it and reload"));
            }
        }
        Self {
            subject: summary.authority,
            fingerprint: summary.fingerprint,
            not_after: rfc3339(Timestamp(summary.authority_not_after_ms)),
            not_after_ms: summary.authority_not_after_ms,
            certificate: summary.pem,
            server: ServerCertificateView {
                names: summary.names,
                not_after: rfc3339(Timestamp(summary.server_not_after_ms)),
                not_after_ms: summary.server_not_after_ms,
            },
            warnings,
        }
    }
}

/// `GET /v1/ca`
pub(super) async fn show(
    State(context): State<Context>,
    _: Viewer,
) -> Result<axum::Json<CaView>, ApiError> {
    Ok(axum::Json(CaView::new(&context.pki)))
}

/// `POST /v1/ca/reload`
pub(super) async fn reload(
    State(context): State<Context>,
    Admin(by): Admin,
) -> Result<axum::Json<Reloaded>, ApiError> {
    tracing::info!(by = by.0, "reloading certificates");
    let changed = context.pki.reload_in_background().await.map_err(|error| {
        let error = anyhow::Error::from(error);
        let message = format!("{error:#}; what was in force stays in force");
        ApiError::new(StatusCode::CONFLICT, "certificates_unusable", message)
    })?;
    Ok(axum::Json(Reloaded {
        changed,
        ca: CaView::new(&context.pki),
    }))
}
