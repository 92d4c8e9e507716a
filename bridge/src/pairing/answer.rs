//! Requests and answers in Astarte's form: `{"data": …}` and `{"errors": {"detail": …}}`.

use super::Context;
use crate::api::ApiError;
use crate::api::request::{check_content_type, parse, read};
use crate::writer::CommandError;
use axum::Json;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use rollcall_engine::Refusal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Greatest body, bytes: a request for an RSA key of 8192 bits has three thousand.
const BODY_LIMIT: usize = 32 << 10;

/// The wrapper of everything that is sent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Data<T> {
    pub(super) data: T,
}

/// A body of at most [`BODY_LIMIT`] bytes.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Context> for Body<T> {
    type Rejection = Refused;
    async fn from_request(request: Request, _: &Context) -> Result<Self, Refused> {
        check_content_type(request.headers())?;
        let bytes = read::<BODY_LIMIT>(request).await?;
        Ok(Self(parse::<Data<T>>(&bytes)?.data))
    }
}

/// An answer that says no.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    detail: String,
}

impl Refused {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
        }
    }

    pub(super) fn unauthorized(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    pub(super) fn unprocessable(detail: impl ToString) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail.to_string())
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::new(error.status, error.error.message)
    }
}

impl From<CommandError> for Refused {
    fn from(error: CommandError) -> Self {
        let status = match &error {
            CommandError::Refused(refusal) => match refusal {
                Refusal::UnknownToken { .. } => StatusCode::UNAUTHORIZED,
                Refusal::CredentialsInhibited { .. } | Refusal::SecretReplaced { .. } => {
                    StatusCode::FORBIDDEN
                }
                Refusal::UnknownRobot { .. } | Refusal::RobotGone => StatusCode::NOT_FOUND,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            },
            CommandError::IntakeStopped { .. } | CommandError::ShuttingDown => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "errors": { "detail": self.detail } });
        let header = match self.status {
            StatusCode::UNAUTHORIZED => Some([(WWW_AUTHENTICATE, "Bearer")]),
            StatusCode::SERVICE_UNAVAILABLE => Some([(RETRY_AFTER, "1")]),
            _ => None,
        };
        let answer = (self.status, Json(body));
        match header {
            Some(header) => (header, answer).into_response(),
            None => answer.into_response(),
        }
    }
}
