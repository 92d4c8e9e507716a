//! What an ECU runs.

use prost::Message;
use uuid::Uuid;

use super::DecodeError;
use super::check;
use super::wire::{self, Field, Kind, Wire};
use crate::ident;

/// What an ECU runs, as it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImage {
    /// Name of the image.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Which build of that version.
    pub build_id: Option<String>,
    /// SHA-256 of the installed artifact.
    pub digest: Option<[u8; 32]>,
    /// The operation that brought it.
    pub operation: Option<Uuid>,
}

impl Wire for wire::BaseImage {
    const FIELDS: &'static [Field] = &[
        ("name", Kind::Bytes),
        ("version", Kind::Bytes),
        ("build_id", Kind::Bytes),
        ("digest", Kind::Bytes),
        ("operation", Kind::Bytes),
    ];
}

impl BaseImage {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::BaseImage {
            name: self.name.clone(),
            version: self.version.clone(),
            build_id: self.build_id.clone(),
            digest: self.digest.map(Vec::from),
            operation: self
                .operation
                .map(|operation| operation.as_bytes().to_vec()),
        }
        .encode_to_vec()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// Names the first field that is not as documented.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        wire::decode::<wire::BaseImage>(payload)?.try_into()
    }
}

impl TryFrom<wire::BaseImage> for BaseImage {
    type Error = DecodeError;

    fn try_from(wire: wire::BaseImage) -> Result<Self, DecodeError> {
        let version = ident::is_version;
        Ok(Self {
            name: check::text(
                "name",
                wire.name,
                ident::HARDWARE_ID_MAX,
                ident::is_hardware_id,
            )?,
            version: check::text("version", wire.version, ident::VERSION_MAX, version)?,
            build_id: wire
                .build_id
                .map(|build_id| check::text("build_id", build_id, ident::VERSION_MAX, version))
                .transpose()?,
            digest: wire
                .digest
                .map(|digest| check::digest("digest", &digest))
                .transpose()?,
            operation: wire
                .operation
                .map(|operation| check::uuid("operation", &operation))
                .transpose()?,
        })
    }
}
