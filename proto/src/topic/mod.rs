//! Topic names: `<realm>/<robot>/<interface>/<path>`, parsed without copying.
//!
//! [`Uplink::parse`] knows every topic on which a robot may publish; what it refuses, a robot may
//! not publish. [`Base`] builds the topics of both directions.
//!
//! ```
//! use rollcall_proto::topic::{Base, Uplink};
//!
//! let (base, uplink) = Uplink::parse("fleet/robot-1/rollcall.v1.OTAEvent/arm")?;
//! assert_eq!(base, Base { realm: "fleet", robot: "robot-1" });
//! assert_eq!(uplink, Uplink::OtaEvent { ecu: "arm" });
//! assert_eq!(base.ota_request("arm"), "fleet/robot-1/rollcall.v1.OTARequest/arm");
//! # Ok::<(), rollcall_proto::topic::TopicError>(())
//! ```

mod base;
mod uplink;

pub use base::Base;
pub use uplink::{TOPIC_MAX, TopicError, Uplink, is_device_publishable};

/// Longest interface name in bytes, as in Astarte.
pub const INTERFACE_NAME_MAX: usize = 128;

/// Whether this is an Astarte interface name: words of letters, digits and inner hyphens, joined by
/// dots, the first beginning with a letter.
#[must_use]
pub fn is_interface_name(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty()
            && !word.starts_with('-')
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= INTERFACE_NAME_MAX
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.split('.').all(word)
}
