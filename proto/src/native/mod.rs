//! Rollcall's native protocol, version 1. The `.proto` files in `rollcall/v1` are its documentation.
//!
//! Decoding is strict: an unknown field, a repeated singular field, a missing required field or a
//! value out of bounds is a [`DecodeError`] that names the field. Encoding does not check; the bounds
//! are the caller's duty, and the other side refuses what breaks them.
//!
//! ```
//! use rollcall_proto::native::Ack;
//!
//! let ack = Ack { boot: 3, counter: 17 };
//! assert_eq!(Ack::decode(&ack.encode()), Ok(ack));
//! assert!(Ack::decode(b"\x08\x03").is_err());
//! ```

mod ack;
mod check;
mod error;
mod event;
mod image;
mod manifest;
mod request;
mod state;
mod wire;

pub use ack::Ack;
pub use error::DecodeError;
pub use event::{MESSAGE_MAX, OtaEvent};
pub use image::BaseImage;
pub use manifest::{ECUS_MAX, EcuDescription, Manifest};
pub use request::{OtaRequest, RequestKind, URL_MAX};
pub use state::{OperationalState, State};

/// The newest protocol version that this crate speaks, and the only one so far.
pub const PROTOCOL_VERSION: u32 = 1;
/// Largest native payload in bytes.
pub const PAYLOAD_MAX: usize = 16 * 1024;
