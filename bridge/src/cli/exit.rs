//! How a command ends: documented exit codes, and failures that say what, where and what next.

use super::output::Closed;
use crate::api::ErrorView;
use std::process::ExitCode;

/// The exit codes. They are part of the interface: scripts depend on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It worked.
    Success = 0,
    /// It failed for a reason that has no code of its own.
    Failure = 1,
    /// The command line or the configuration is wrong; nothing was tried.
    Usage = 2,
    /// The server refused; nothing has changed.
    Refused = 3,
    /// What was named does not exist.
    NotFound = 4,
    /// The server cannot be reached, or does not know the token.
    Unreachable = 5,
    /// The watched rollout completed, but its outcome is not success.
    RolloutNotSuccessful = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) error: ErrorView,
}

impl Failure {
    pub(super) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
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

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// A failure of the machine, with its whole chain of causes.
    pub(super) fn other(error: &anyhow::Error) -> Self {
        Self::new(Exit::Failure, "failure", format!("{error:#}"))
    }

    /// What the server said with status `status`.
    pub(super) fn of_server(status: u16, error: ErrorView) -> Self {
        let exit = match status {
            401 | 403 => Exit::Unreachable,
            404 => Exit::NotFound,
            400..=499 | 503 | 507 => Exit::Refused,
            _ => Exit::Failure,
        };
        Self { exit, error }
    }
}

impl From<Closed> for Failure {
    fn from(closed: Closed) -> Self {
        Self::new(Exit::Failure, "output", closed.to_string())
    }
}
