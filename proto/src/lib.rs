//! What robots and the server say to each other, and nothing else: payload codecs and topic names.
//!
//! - [`native`]: Rollcall's own protocol, protobuf; documented in `rollcall/v1/*.proto`.
//! - [`edgehog`]: the Astarte MQTT v1 payloads of unmodified Edgehog devices, BSON.
//! - [`topic`]: topic names, parsed and built.
//! - [`ident`]: the grammars of names, shared by all of them.
//!
//! Invariant: everything here is a pure function of its arguments. No input makes a decoder panic,
//! and none allocates more than a small multiple of its documented size limit.

pub mod edgehog;
pub mod ident;
pub mod native;
mod status;
pub mod topic;

pub use status::{Code, Status, UnknownWord};
