//! Why an attempt to pair failed.

use std::path::PathBuf;

use super::api::Call;

#[derive(Debug, thiserror::Error)]
pub(in super::super) enum PairingError {
    /// Neither secret nor token.
    #[error(
        "the robot has no credentials secret, and no pairing token is given to register it with"
    )]
    NoSecret,
    /// No connection, or it broke.
    #[error("{call}: {reason}")]
    Transfer { call: Call, reason: String },
    #[error("{call}: the server is silent")]
    Silent { call: Call },
    #[error("{call}: the server answered {status}: {detail}")]
    Status {
        call: Call,
        status: u16,
        detail: String,
    },
    /// An answer that the SDK does not take.
    #[error("{call}: the answer {reason}")]
    Answer { call: Call, reason: String },
    /// Making a key or a certificate request failed.
    #[error("make a key and a certificate request")]
    Key(#[from] rcgen::Error),
    #[error("write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl PairingError {
    /// Under which words attempts are counted.
    pub(in super::super) fn reason(&self) -> String {
        match self {
            Self::NoSecret => "pairing: no secret".to_owned(),
            Self::Transfer { call, .. } => format!("pairing: {call} failed"),
            Self::Silent { call } => format!("pairing: {call} unanswered"),
            Self::Status { call, status, .. } => format!("pairing: {call} {status}"),
            Self::Answer { call, .. } => format!("pairing: {call} answer unusable"),
            Self::Key(_) => "pairing: no key".to_owned(),
            Self::Write { .. } => "pairing: state not written".to_owned(),
        }
    }
}
