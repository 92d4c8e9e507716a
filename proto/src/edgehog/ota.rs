//! `io.edgehog.devicemanager.OTARequest` 1.0 and `OTAEvent` 0.1.

use bson::raw::{RawBsonRef, RawDocumentBuf, cstr};
use uuid::Uuid;

use super::DecodeError;
use super::document::{self, Envelope};
use crate::native::RequestKind;
use crate::{Code, Status};

/// Longest artifact URL in bytes. An Edgehog device disconnects on packets above 10,240 bytes.
pub const URL_MAX: usize = 2048;
/// Longest message for people, in bytes. Devices put RAUC's whole error text here.
pub const MESSAGE_MAX: usize = 16_384;
/// Longest textual form of a uuid, `urn:uuid:` and hyphens included.
const UUID_TEXT_MAX: usize = 45;
const WORD_MAX: usize = 64;

/// The server's request. A Cancel must repeat the url of its Update.
///
/// ```
/// use rollcall_proto::{edgehog::OtaRequest, native::RequestKind};
///
/// let request = OtaRequest {
///     kind: RequestKind::Update,
///     operation: "6f7f2d5e-58f1-4a3a-9b6e-2f3f0d3f9a10".parse()?,
///     url: "http://127.0.0.1:8081/artifacts/a".to_owned(),
/// };
/// assert_eq!(OtaRequest::decode(&request.encode())?, request);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtaRequest {
    /// What to do.
    pub kind: RequestKind,
    /// The operation.
    pub operation: Uuid,
    /// Where the artifact is.
    pub url: String,
}

/// One step of an operation, as the device tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtaEvent {
    /// The operation; Edgehog calls it `requestUUID`.
    pub operation: Uuid,
    /// Where it stands.
    pub status: Status,
    /// Progress within the status in percent, 0 to 100.
    pub progress: u8,
    /// Why, for Error and Failure.
    pub code: Option<Code>,
    /// For people, at most [`MESSAGE_MAX`] bytes.
    pub message: String,
    /// When, in milliseconds since 1970 of the device's clock, which decides nothing.
    pub timestamp_unix_ms: Option<i64>,
}

impl OtaRequest {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let kind = match self.kind {
            RequestKind::Update => "Update",
            RequestKind::Cancel => "Cancel",
        };
        let mut object = RawDocumentBuf::new();
        object.append(cstr!("operation"), kind);
        object.append(cstr!("url"), self.url.as_str());
        object.append(cstr!("uuid"), self.operation.hyphenated().to_string());
        document::wrap(RawBsonRef::Document(&object), None)
    }

    /// Reads a payload, as the device does.
    ///
    /// # Errors
    /// Names the first key that is not as the interface says. Unlike a device, refuses a missing
    /// url, since a server must never send one.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let Envelope {
            value,
            timestamp_unix_ms,
        } = document::open(payload)?;
        if timestamp_unix_ms.is_some() {
            return Err(DecodeError::UnknownKey("t".to_owned()));
        }
        let object = value.as_document().ok_or(DecodeError::WrongType("v"))?;
        let (mut operation, mut url, mut uuid) = (None, None, None);
        document::for_each(object, |key, field| match key {
            "operation" => {
                let word = document::text("operation", field, WORD_MAX)?;
                document::once(key, &mut operation, word)
            }
            "url" => document::once(key, &mut url, document::text("url", field, URL_MAX)?),
            "uuid" => document::once(
                key,
                &mut uuid,
                document::text("uuid", field, UUID_TEXT_MAX)?,
            ),
            unknown => Err(document::unknown(unknown)),
        })?;
        Ok(Self {
            kind: match operation.ok_or(DecodeError::Missing("operation"))? {
                "Update" => RequestKind::Update,
                "Cancel" => RequestKind::Cancel,
                _ => return Err(DecodeError::Invalid("operation")),
            },
            operation: parse_uuid("uuid", uuid)?,
            url: match url {
                None | Some("") => return Err(DecodeError::Missing("url")),
                Some(url) => url.to_owned(),
            },
        })
    }
}

impl OtaEvent {
    /// The payload, keys in the alphabetical order of Astarte's SDK.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut object = RawDocumentBuf::new();
        object.append(cstr!("message"), self.message.as_str());
        object.append(
            cstr!("requestUUID"),
            self.operation.hyphenated().to_string(),
        );
        object.append(cstr!("status"), self.status.as_str());
        object.append(cstr!("statusCode"), self.code.map_or("", Code::as_str));
        object.append(cstr!("statusProgress"), i32::from(self.progress));
        document::wrap(RawBsonRef::Document(&object), self.timestamp_unix_ms)
    }

    /// Reads a payload. Missing `statusProgress`, `statusCode`, `message` and `t` are allowed. A `statusCode` that is none of
    /// Edgehog's goes into the message, and a message is cut after [`MESSAGE_MAX`] bytes.
    ///
    /// # Errors
    /// Names the first key that is not as the interface says.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let Envelope {
            value,
            timestamp_unix_ms,
        } = document::open(payload)?;
        let object = value.as_document().ok_or(DecodeError::WrongType("v"))?;
        let (mut uuid, mut status, mut progress, mut code, mut message) =
            (None, None, None, None, None);
        document::for_each(object, |key, field| match key {
            "requestUUID" => {
                let text = document::text("requestUUID", field, UUID_TEXT_MAX)?;
                document::once(key, &mut uuid, text)
            }
            "status" => {
                document::once(key, &mut status, document::text("status", field, WORD_MAX)?)
            }
            "statusProgress" => {
                let number = field
                    .as_i32()
                    .ok_or(DecodeError::WrongType("statusProgress"))?;
                document::once(key, &mut progress, number)
            }
            "statusCode" => document::once(
                key,
                &mut code,
                document::text("statusCode", field, WORD_MAX)?,
            ),
            // Its end may be lost, the event may not. The size of the packet bounds it.
            "message" => document::once(
                key,
                &mut message,
                document::text("message", field, usize::MAX)?,
            ),
            unknown => Err(document::unknown(unknown)),
        })?;
        let (code, unknown) = parse_code(code);
        let message = message.unwrap_or_default();
        let mut message = match unknown {
            None => message[..message.floor_char_boundary(MESSAGE_MAX)].to_owned(),
            Some(word) => format!("{word}: {message}"),
        };
        message.truncate(message.floor_char_boundary(MESSAGE_MAX));
        Ok(Self {
            operation: parse_uuid("requestUUID", uuid)?,
            status: match status {
                None | Some("") => return Err(DecodeError::Missing("status")),
                Some(word) => word.parse().map_err(|_| DecodeError::Invalid("status"))?,
            },
            progress: percent(progress.unwrap_or(0))?,
            code,
            message,
            timestamp_unix_ms,
        })
    }
}

fn parse_uuid(field: &'static str, text: Option<&str>) -> Result<Uuid, DecodeError> {
    match text {
        None | Some("") => Err(DecodeError::Missing(field)),
        Some(text) => Uuid::try_parse(text).map_err(|_| DecodeError::Invalid(field)),
    }
}

fn percent(number: i32) -> Result<u8, DecodeError> {
    u8::try_from(number)
        .ok()
        .filter(|percent| *percent <= 100)
        .ok_or(DecodeError::ProgressOutOfRange(number))
}

/// The code, or the word that is none. Edgehog's runtime spells InvalidRequest as RequestError in its own enumeration.
fn parse_code(word: Option<&str>) -> (Option<Code>, Option<&str>) {
    match word {
        None | Some("") => (None, None),
        Some("RequestError") => (Some(Code::InvalidRequest), None),
        Some(word) => match word.parse::<Code>() {
            Ok(code) if code.is_edgehog() => (Some(code), None),
            _ => (None, Some(word)),
        },
    }
}
