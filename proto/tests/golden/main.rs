//! Frozen bytes of every message, one file per protocol version.
//!
//! A failure here means that this crate no longer speaks with robots in the field. Revert the
//! change; a new form needs a new protocol version and a new file, never an edit of these.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod edgehog;
mod v1;

fn bytes(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2));
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn operation() -> uuid::Uuid {
    "6f7f2d5e-58f1-4a3a-9b6e-2f3f0d3f9a10".parse().unwrap()
}

fn digest() -> [u8; 32] {
    std::array::from_fn(|index| u8::try_from(index).unwrap())
}

/// Both directions: the value encodes to the frozen bytes, and they decode to the value.
macro_rules! frozen {
    ($type:ty, $hex:expr, $value:expr) => {{
        let value: $type = $value;
        assert_eq!(crate::hex(&value.encode()), $hex);
        assert_eq!(<$type>::decode(&crate::bytes($hex)), Ok(value));
    }};
}
use frozen;
