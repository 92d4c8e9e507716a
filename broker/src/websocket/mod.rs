//! MQTT over WebSocket (MQTT 5.0 and 3.1.1, chapter 6; RFC 6455), without sockets: the request that asks for it, and one
//! connection's frames.
//!
//! Frames are only an envelope. Where they begin and end says nothing about packets, so what they hold goes to the
//! packet codec as it comes, and no frame is ever kept until it is whole.

mod frames;
mod head;

pub use frames::{Frames, Violation};
pub use head::{Granted, Refusal, examine};
