//! One step of an operation, as the robot tells it. The hot path of the server.

use prost::Message;
use uuid::Uuid;

use super::DecodeError;
use super::check;
use super::wire::{self, Field, Kind, Wire};
use crate::{Code, Status};

/// Longest message for people, in bytes.
pub const MESSAGE_MAX: usize = 1024;

/// One step of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtaEvent {
    /// The robot's boot, at least 1.
    pub boot: u64,
    /// Number of the event within the boot, at least 1.
    pub counter: u64,
    /// The operation.
    pub operation: Uuid,
    /// Where it stands.
    pub status: Status,
    /// Progress within Downloading or Deploying in percent, 0 to 100.
    pub progress: u8,
    /// Why, for Error and Failure.
    pub code: Option<Code>,
    /// For people, at most [`MESSAGE_MAX`] bytes.
    pub message: String,
}

impl Wire for wire::OtaEvent {
    const FIELDS: &'static [Field] = &[
        ("boot", Kind::Number),
        ("counter", Kind::Number),
        ("operation", Kind::Bytes),
        ("status", Kind::Number),
        ("progress", Kind::Number),
        ("code", Kind::Number),
        ("message", Kind::Bytes),
    ];
}

impl OtaEvent {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::OtaEvent {
            boot: self.boot,
            counter: self.counter,
            operation: self.operation.as_bytes().to_vec(),
            status: status_to_wire(self.status).into(),
            progress: self.progress.into(),
            code: code_to_wire(self.code).into(),
            message: self.message.clone(),
        }
        .encode_to_vec()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// Names the first field that is not as documented.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        wire::decode::<wire::OtaEvent>(payload)?.try_into()
    }
}

impl TryFrom<wire::OtaEvent> for OtaEvent {
    type Error = DecodeError;

    fn try_from(wire: wire::OtaEvent) -> Result<Self, DecodeError> {
        check::at_most("message", &wire.message, MESSAGE_MAX)?;
        Ok(Self {
            boot: check::at_least_one("boot", wire.boot)?,
            counter: check::at_least_one("counter", wire.counter)?,
            operation: check::uuid("operation", &wire.operation)?,
            status: status_from_wire(wire.status)?,
            progress: check::percent("progress", wire.progress)?,
            code: code_from_wire(wire.code)?,
            message: wire.message,
        })
    }
}

fn status_to_wire(status: Status) -> wire::Status {
    match status {
        Status::Acknowledged => wire::Status::Acknowledged,
        Status::Downloading => wire::Status::Downloading,
        Status::Deploying => wire::Status::Deploying,
        Status::Deployed => wire::Status::Deployed,
        Status::Rebooting => wire::Status::Rebooting,
        Status::Success => wire::Status::Success,
        Status::Error => wire::Status::Error,
        Status::Failure => wire::Status::Failure,
    }
}

fn status_from_wire(number: i32) -> Result<Status, DecodeError> {
    match wire::Status::try_from(number).map_err(|_| DecodeError::Invalid("status"))? {
        wire::Status::Unspecified => Err(DecodeError::Missing("status")),
        wire::Status::Acknowledged => Ok(Status::Acknowledged),
        wire::Status::Downloading => Ok(Status::Downloading),
        wire::Status::Deploying => Ok(Status::Deploying),
        wire::Status::Deployed => Ok(Status::Deployed),
        wire::Status::Rebooting => Ok(Status::Rebooting),
        wire::Status::Success => Ok(Status::Success),
        wire::Status::Error => Ok(Status::Error),
        wire::Status::Failure => Ok(Status::Failure),
    }
}

fn code_to_wire(code: Option<Code>) -> wire::Code {
    match code {
        None => wire::Code::Unspecified,
        Some(Code::InvalidRequest) => wire::Code::InvalidRequest,
        Some(Code::UpdateAlreadyInProgress) => wire::Code::UpdateAlreadyInProgress,
        Some(Code::NetworkError) => wire::Code::NetworkError,
        Some(Code::IoError) => wire::Code::IoError,
        Some(Code::InternalError) => wire::Code::InternalError,
        Some(Code::InvalidBaseImage) => wire::Code::InvalidBaseImage,
        Some(Code::SystemRollback) => wire::Code::SystemRollback,
        Some(Code::Canceled) => wire::Code::Canceled,
        Some(Code::IncompatibleHardware) => wire::Code::IncompatibleHardware,
        Some(Code::UnexpectedVersion) => wire::Code::UnexpectedVersion,
        Some(Code::DigestMismatch) => wire::Code::DigestMismatch,
        Some(Code::Refused) => wire::Code::Refused,
        Some(Code::Busy) => wire::Code::Busy,
        Some(Code::StorageFull) => wire::Code::StorageFull,
    }
}

fn code_from_wire(number: i32) -> Result<Option<Code>, DecodeError> {
    let code = match wire::Code::try_from(number).map_err(|_| DecodeError::Invalid("code"))? {
        wire::Code::Unspecified => return Ok(None),
        wire::Code::InvalidRequest => Code::InvalidRequest,
        wire::Code::UpdateAlreadyInProgress => Code::UpdateAlreadyInProgress,
        wire::Code::NetworkError => Code::NetworkError,
        wire::Code::IoError => Code::IoError,
        wire::Code::InternalError => Code::InternalError,
        wire::Code::InvalidBaseImage => Code::InvalidBaseImage,
        wire::Code::SystemRollback => Code::SystemRollback,
        wire::Code::Canceled => Code::Canceled,
        wire::Code::IncompatibleHardware => Code::IncompatibleHardware,
        wire::Code::UnexpectedVersion => Code::UnexpectedVersion,
        wire::Code::DigestMismatch => Code::DigestMismatch,
        wire::Code::Refused => Code::Refused,
        wire::Code::Busy => Code::Busy,
        wire::Code::StorageFull => Code::StorageFull,
    };
    Ok(Some(code))
}
