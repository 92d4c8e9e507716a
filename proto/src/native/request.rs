//! A request of the server to one ECU.

use prost::Message;
use uuid::Uuid;

use super::DecodeError;
use super::check;
use super::wire::{self, Field, Kind, Wire, ota_request};
use crate::ident;

/// Longest artifact URL in bytes.
pub const URL_MAX: usize = 2048;

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// Install the image.
    Update,
    /// Give the operation up.
    Cancel,
}

/// A request to one ECU.
///
/// A Cancel carries kind, operation, attempt and url; its other fields may be empty or zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtaRequest {
    /// What to do.
    pub kind: RequestKind,
    /// The operation.
    pub operation: Uuid,
    /// Which attempt of its target the operation is, at least 1.
    pub attempt: u32,
    /// Name of the image.
    pub image_name: String,
    /// Its version.
    pub image_version: String,
    /// Where the artifact is, http or https, at most [`URL_MAX`] bytes.
    pub url: String,
    /// Size of the artifact in bytes.
    pub size: u64,
    /// SHA-256 of the artifact.
    pub sha256: [u8; 32],
    /// The hardware id that the image is meant for.
    pub hardware_id: String,
    /// The version that must be installed now, if it matters.
    pub expected_version: Option<String>,
    /// When the server gives up, in milliseconds since 1970 of its own clock; 0 for never.
    pub deadline_unix_ms: u64,
}

impl Wire for wire::OtaRequest {
    const FIELDS: &'static [Field] = &[
        ("kind", Kind::Number),
        ("operation", Kind::Bytes),
        ("attempt", Kind::Number),
        ("image_name", Kind::Bytes),
        ("image_version", Kind::Bytes),
        ("url", Kind::Bytes),
        ("size", Kind::Number),
        ("sha256", Kind::Bytes),
        ("hardware_id", Kind::Bytes),
        ("expected_version", Kind::Bytes),
        ("deadline_unix_ms", Kind::Number),
    ];
}

const NO_DIGEST: [u8; 32] = [0; 32];

impl OtaRequest {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let kind = match self.kind {
            RequestKind::Update => ota_request::Kind::Update,
            RequestKind::Cancel => ota_request::Kind::Cancel,
        };
        let digest_given = self.kind == RequestKind::Update || self.sha256 != NO_DIGEST;
        wire::OtaRequest {
            kind: kind.into(),
            operation: self.operation.as_bytes().to_vec(),
            attempt: self.attempt,
            image_name: self.image_name.clone(),
            image_version: self.image_version.clone(),
            url: self.url.clone(),
            size: self.size,
            sha256: if digest_given {
                self.sha256.to_vec()
            } else {
                Vec::new()
            },
            hardware_id: self.hardware_id.clone(),
            expected_version: self.expected_version.clone(),
            deadline_unix_ms: self.deadline_unix_ms,
        }
        .encode_to_vec()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// Names the first field that is not as documented.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        wire::decode::<wire::OtaRequest>(payload)?.try_into()
    }
}

impl TryFrom<wire::OtaRequest> for OtaRequest {
    type Error = DecodeError;

    fn try_from(wire: wire::OtaRequest) -> Result<Self, DecodeError> {
        let kind = match ota_request::Kind::try_from(wire.kind) {
            Ok(ota_request::Kind::Update) => RequestKind::Update,
            Ok(ota_request::Kind::Cancel) => RequestKind::Cancel,
            Ok(ota_request::Kind::Unspecified) => return Err(DecodeError::Missing("kind")),
            Err(_) => return Err(DecodeError::Invalid("kind")),
        };
        let text = match kind {
            RequestKind::Update => check::text,
            RequestKind::Cancel => check::text_or_empty,
        };
        let (size, sha256) = match kind {
            RequestKind::Cancel if wire.sha256.is_empty() => (wire.size, NO_DIGEST),
            RequestKind::Cancel => (wire.size, check::digest("sha256", &wire.sha256)?),
            RequestKind::Update => (
                check::at_least_one("size", wire.size)?,
                check::digest("sha256", &wire.sha256)?,
            ),
        };
        let (name_max, name) = (ident::HARDWARE_ID_MAX, ident::is_hardware_id);
        let (version_max, version) = (ident::VERSION_MAX, ident::is_version);
        Ok(Self {
            kind,
            operation: check::uuid("operation", &wire.operation)?,
            attempt: check::at_least_one("attempt", wire.attempt)?,
            image_name: text("image_name", wire.image_name, name_max, name)?,
            image_version: text("image_version", wire.image_version, version_max, version)?,
            url: check::text("url", wire.url, URL_MAX, is_artifact_url)?,
            size,
            sha256,
            hardware_id: text("hardware_id", wire.hardware_id, name_max, name)?,
            expected_version: wire
                .expected_version
                .map(|expected| check::text("expected_version", expected, version_max, version))
                .transpose()?,
            deadline_unix_ms: wire.deadline_unix_ms,
        })
    }
}

/// An absolute http or https URL without blanks; whether it leads anywhere shows the download.
fn is_artifact_url(url: &str) -> bool {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()))
}
