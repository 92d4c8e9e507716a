//! The payloads of Astarte MQTT v1 as Edgehog devices speak them.
//!
//! - [`OtaRequest`] and [`OtaEvent`]: the object datastreams of an update.
//! - [`SystemStatus`]: the object datastream that names the machine's start.
//! - [`Property`] and [`Value`]: individual values, `BaseImage` and the other properties.
//! - [`interface`]: the interfaces that are known, and what they allow.
//! - [`introspection`]: the list of interfaces that a device has.
//! - [`purge`]: the compressed lists of properties that exist.
//!
//! Decoding is strict: a document with an unknown or repeated key, a wrong BSON type or a length
//! that lies is a [`DecodeError`]. Keys may be missing where Astarte allows it.

mod document;
mod error;
pub mod interface;
pub mod introspection;
mod ota;
pub mod purge;
mod system_status;
mod value;

pub use error::DecodeError;
pub use introspection::InterfaceVersion;
pub use ota::{MESSAGE_MAX, OtaEvent, OtaRequest, URL_MAX};
pub use system_status::{BOOT_ID_MAX, SystemStatus};
pub use value::{Data, Property, Value};

/// Whether a payload is a BSON document at all, of an allowed size.
#[must_use]
pub fn is_document(payload: &[u8]) -> bool {
    payload.len() <= DOCUMENT_MAX && document::is_valid(payload)
}

/// Largest BSON payload in bytes; Astarte's broker has the same limit for messages.
pub const DOCUMENT_MAX: usize = 65_535;

/// Greatest remaining length of an MQTT packet to a device; the released SDK disconnects on a longer one.
pub const PACKET_MAX: usize = 10_240;

/// Prefix of Edgehog's interface names, with its trailing dot.
pub const INTERFACE_PREFIX: &str = "io.edgehog.devicemanager.";
