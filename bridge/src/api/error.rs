//! Answers that say no: a stable code for programs, a sentence for people, the right HTTP status for what lies between.

use crate::artifacts::UploadError;
use crate::history;
use crate::writer::CommandError;
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use rollcall_engine::{Refusal, SyntaxError};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// An answer that says no.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// What the body says.
    pub error: ErrorView,
}

/// What is wrong, as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorView {
    /// A stable word for programs.
    pub code: String,
    /// What is wrong with what.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// More of it for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<serde_json::Value>,
}

/// The body of every answer that says no.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What is wrong.
    pub error: ErrorView,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            error: ErrorView {
                code: code.to_owned(),
                message: message.into(),
                hint: None,
                detail: None,
            },
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.error.hint = Some(hint.into());
        self
    }

    pub(super) fn detail(mut self, detail: serde_json::Value) -> Self {
        self.error.detail = Some(detail);
        self
    }

    /// A value in the request that is not what it should be.
    pub(super) fn invalid(message: impl ToString) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_value",
            message.to_string(),
        )
    }

    /// What the path names does not exist.
    pub(super) fn unknown(refusal: &Refusal) -> Self {
        Self::new(StatusCode::NOT_FOUND, refusal.code(), refusal.to_string())
    }

    /// The command was not carried out; `subject` says which refusals are about what the path names.
    pub(super) fn command(error: CommandError, subject: fn(&Refusal) -> bool) -> Self {
        match error {
            CommandError::Refused(refusal) if subject(&refusal) => Self::unknown(&refusal),
            other => other.into(),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::UnknownRollout { .. } | Refusal::UnknownRelease { .. } => {
                StatusCode::NOT_FOUND
            }
            Refusal::RobotExists { .. }
            | Refusal::CredentialsInhibited { .. }
            | Refusal::SecretReplaced { .. }
            | Refusal::AlreadyPaired { .. }
            | Refusal::RegistrationClosed { .. }
            | Refusal::TokenExists { .. }
            | Refusal::GroupExists { .. }
            | Refusal::GroupHasSelector { .. }
            | Refusal::GroupListsRobots { .. }
            | Refusal::GroupInUse { .. }
            | Refusal::GroupHasChannel { .. }
            | Refusal::ChannelExists { .. }
            | Refusal::LastGroup { .. }
            | Refusal::ChannelStays { .. }
            | Refusal::ChannelIsLive { .. }
            | Refusal::ChooseSet { .. }
            | Refusal::NoFormerSet { .. }
            | Refusal::LowerPercentage { .. }
            | Refusal::ReleaseIsInactive { .. }
            | Refusal::ReleaseIsLive { .. }
            | Refusal::ReleaseIsReplaced { .. }
            | Refusal::RolloutOfRelease { .. }
            | Refusal::ReleaseIsReadOnly { .. }
            | Refusal::ReleaseIsOver { .. }
            | Refusal::SourceIsLedger { .. }
            | Refusal::NothingOnLedger { .. }
            | Refusal::LedgerFileMissing { .. }
            | Refusal::ImageReleased { .. }
            | Refusal::ImageExists { .. }
            | Refusal::ImageInUse { .. }
            | Refusal::ProductFollowed { .. }
            | Refusal::NotFromLedger { .. }
            | Refusal::LedgerSourceChanged { .. }
            | Refusal::LedgerVersionWithdrawn { .. }
            | Refusal::ImageOfLedger { .. }
            | Refusal::ImageWithdrawn { .. }
            | Refusal::NotPrepared { .. }
            | Refusal::NotLaunched { .. }
            | Refusal::NotNow { .. }
            | Refusal::NeedsApproval { .. }
            | Refusal::NothingToApprove { .. }
            | Refusal::OtherPhase { .. }
            | Refusal::FixedAtLaunch { .. }
            | Refusal::Immutable { .. }
            | Refusal::NothingDeclared { .. }
            | Refusal::OperationUnderWay { .. }
            | Refusal::NotAcceptable { .. }
            | Refusal::NothingToCancel { .. }
            | Refusal::AlreadyCancelling { .. }
            | Refusal::InterfaceNotInstalled { .. }
            | Refusal::PropertyNotSet { .. }
            | Refusal::OtherRevision { .. }
            | Refusal::Drifted { .. } => StatusCode::CONFLICT,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let error = Self::new(status, refusal.code(), refusal.to_string());
        explain(error, &refusal)
    }
}

/// Numbers for programs, and what a program can do that a person at the command line cannot.
fn explain(error: ApiError, refusal: &Refusal) -> ApiError {
    match refusal {
        Refusal::OtherRevision { current, found, .. } => error
            .hint("GET the rollout, look whether your change still makes sense, and send its revision")
            .detail(json!({ "current": current, "found": found })),
        Refusal::OtherPhase { current, found, .. } => error
            .hint("GET the rollout, look at the robots of the phase, and send its number")
            .detail(json!({ "current": current, "found": found })),
        Refusal::LowerPercentage { current, found, .. } => error.detail(json!({
            "current": current,
            "found": found,
        })),
        Refusal::NeedsApproval { phase, .. } => error.detail(json!({ "phase": phase + 1 })),
        Refusal::NotNow { status, .. }
        | Refusal::NotPrepared { status, .. }
        | Refusal::NotLaunched { status, .. }
        | Refusal::NothingToApprove { status, .. } => error.detail(json!({ "status": status })),
        Refusal::OutOfRange {
            min, max, found, ..
        } => error.detail(json!({ "min": min, "max": max, "found": found })),
        _ => error,
    }
}

impl From<SyntaxError> for ApiError {
    fn from(error: SyntaxError) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            &format!("invalid_{}", error.what.replace(' ', "_")),
            error.one_line(),
        )
        .hint("docs/selectors.md and docs/versions.md have the grammars with examples")
        .detail(json!({
            "offset": error.offset,
            "line": error.line,
            "column": error.column,
        }))
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        let unavailable =
            |code| Self::new(StatusCode::SERVICE_UNAVAILABLE, code, error.to_string());
        match &error {
            CommandError::Refused(refusal) => refusal.clone().into(),
            CommandError::IntakeStopped { .. } => unavailable("intake_stopped").hint(
                "nothing was changed; the server takes commands again when the cause is gone",
            ),
            CommandError::ShuttingDown => unavailable("shutting_down"),
        }
    }
}

impl From<history::Error> for ApiError {
    fn from(error: history::Error) -> Self {
        match error {
            history::Error::Writer(error) => error.into(),
            other => internal(&other),
        }
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        let answer = |status, code| Self::new(status, code, error.to_string());
        match &error {
            UploadError::Busy { .. } => answer(StatusCode::SERVICE_UNAVAILABLE, "too_many_uploads"),
            UploadError::TooLarge { .. } => answer(StatusCode::PAYLOAD_TOO_LARGE, "file_too_large"),
            UploadError::DiskFull { .. } => answer(StatusCode::INSUFFICIENT_STORAGE, "disk_full"),
            UploadError::Incomplete => answer(StatusCode::BAD_REQUEST, "upload_incomplete"),
            UploadError::OtherDigest { .. } => {
                answer(StatusCode::UNPROCESSABLE_ENTITY, "digest_mismatch")
            }
            UploadError::Storage(_) => answer(StatusCode::BAD_GATEWAY, "storage_failed"),
            UploadError::Write(cause) if cause.kind() == std::io::ErrorKind::StorageFull => {
                answer(StatusCode::INSUFFICIENT_STORAGE, "disk_full")
            }
            UploadError::Write(_) => internal(&error),
        }
    }
}

/// A fault of the server: the log has the cause, the answer does not.
pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> ApiError {
    tracing::error!(error, "request failed");
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the server failed; its log says why",
    )
}

/// The engine answered a command with the reply to another, which its types cannot rule out.
pub(super) fn unexpected_reply() -> ApiError {
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the command was carried out, but its answer makes no sense",
    )
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = (status, Json(ErrorBody { error: self.error })).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                WWW_AUTHENTICATE,
                axum::http::HeaderValue::from_static("Bearer"),
            );
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, axum::http::HeaderValue::from_static("1"));
        }
        response
    }
}
