//! Health for whatever watches the process. Neither route needs a token, neither says more than it must.

use super::Context;
use super::error::ApiError;
use axum::extract::State;
use axum::http::StatusCode;

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> axum::Json<serde_json::Value> {
    axum::Json(serde_json::json!({ "status": "ok" }))
}

/// `GET /readyz`: the server takes commands and events in.
pub(super) async fn readyz(
    State(context): State<Context>,
) -> Result<axum::Json<serde_json::Value>, ApiError> {
    if let Some(why) = context.bridge.status().intake_stopped() {
        let message = format!("intake is stopped: {why}");
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "intake_stopped",
            message,
        ));
    }
    // Only a writer that lives answers.
    context.bridge.query(|_| ()).await?;
    Ok(axum::Json(serde_json::json!({ "status": "ready" })))
}
