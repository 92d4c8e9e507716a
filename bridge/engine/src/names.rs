//! The names that people and robots use, each checked once when it enters.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is not the name that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {found:?} is not valid: use 1 to {max} of {allowed}")]
pub struct NameError {
    what: &'static str,
    found: String,
    max: usize,
    allowed: &'static str,
}

fn check(
    text: &str,
    what: &'static str,
    max: usize,
    allowed: &'static str,
    is_allowed: fn(char) -> bool,
) -> Result<Box<str>, NameError> {
    if !text.is_empty() && text.len() <= max && text.chars().all(is_allowed) {
        return Ok(text.into());
    }
    // The message echoes the text, so it must not echo a megabyte.
    let found = text.chars().take(80).collect();
    Err(NameError {
        what,
        found,
        max,
        allowed,
    })
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident($what:literal, $max:literal, $allowed:literal, $is_allowed:expr);)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks `text` against the name's grammar.
            ///
            /// # Errors
            /// Names the text, the grammar and the greatest length.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text, $what, $max, $allowed, $is_allowed).map(Self)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.into()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

fn identifier(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn dotted(c: char) -> bool {
    identifier(c) || c == '.'
}

names! {
    /// A robot's identity for life; Astarte's 22-character ids are among them.
    RobotId("robot id", 64, "letters, digits, '_' and '-'", identifier);
    /// An ECU's name, unique on its robot.
    EcuName("ECU name", 32, "letters, digits, '_' and '-'", identifier);
    /// The board that an image runs on. Several ECUs of a robot may share one.
    HardwareId("hardware id", 64, "letters, digits, '.', '_' and '-'", dotted);
    /// An image's name; with a version it names one image.
    ImageName("image name", 64, "letters, digits, '.', '_' and '-'", dotted);
    /// An image's version, as the robot will report it.
    ImageVersion("image version", 64, "letters, digits, '.', '_', '-' and '+'", |c| dotted(c) || c == '+');
    /// The product that a robot is; Edgehog's part number.
    Model("model", 64, "letters, digits, '.', '_' and '-'", dotted);
    /// A word that people put on robots, to select them by; a robot has a set of them.
    Tag("tag", 64, "letters, digits, '.', '_', '-' and ':'", |c| dotted(c) || c == ':');
    /// A group's name.
    GroupName("group name", 64, "lower-case letters, digits and '-'",
        |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    /// A channel's name.
    ChannelName("channel name", 64, "lower-case letters, digits and '-'",
        |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    /// A pairing token's name.
    TokenName("token name", 64, "letters, digits, '.', '_' and '-'", dotted);
    /// What people call a rollout; it need not be unique.
    RolloutName("rollout name", 128, "printable characters", |c| !c.is_control());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_their_grammar() {
        assert!(RobotId::new("2TBn-jNESuuHamE2Zo1anA").is_ok());
        assert!(EcuName::new("motor_1").is_ok());
        assert!(ImageVersion::new("1.0.0+b7").is_ok());
        for bad in ["", "a/b", "a b", "ä", "a\0", "+", "#", &"x".repeat(65)] {
            assert!(RobotId::new(bad).is_err(), "{bad:?}");
            assert!(HardwareId::new(bad).is_err(), "{bad:?}");
        }
        assert!(GroupName::new("Warehouse").is_err());
    }

    #[test]
    fn a_refused_name_is_not_echoed_at_length() {
        let error = RobotId::new(&"/".repeat(1_000_000)).unwrap_err();
        assert!(error.to_string().len() < 300);
    }
}
