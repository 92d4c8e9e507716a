//! Grammars of the names on the wire. A name that passes is safe as a topic level and in a log.

/// Longest realm in bytes.
pub const REALM_MAX: usize = 48;
/// Longest robot id in bytes.
pub const ROBOT_ID_MAX: usize = 64;
/// Longest ECU name in bytes.
pub const ECU_NAME_MAX: usize = 32;
/// Longest hardware id, image name and model in bytes.
pub const HARDWARE_ID_MAX: usize = 64;
/// Longest version and build id in bytes.
pub const VERSION_MAX: usize = 64;

fn all(text: &str, max: usize, allowed: impl Fn(u8) -> bool) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(allowed)
}

/// Astarte's realm grammar, `[a-z][a-z0-9]{0,47}`.
#[must_use]
pub fn is_realm(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && all(text, REALM_MAX, |byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit()
        })
}

/// Robot id, `[A-Za-z0-9_-]{1,64}`. Astarte's 22-character device ids are among them.
#[must_use]
pub fn is_robot_id(text: &str) -> bool {
    all(text, ROBOT_ID_MAX, |byte| {
        byte.is_ascii_alphanumeric() || b"_-".contains(&byte)
    })
}

/// ECU name, `[A-Za-z0-9_-]{1,32}`.
#[must_use]
pub fn is_ecu_name(text: &str) -> bool {
    all(text, ECU_NAME_MAX, |byte| {
        byte.is_ascii_alphanumeric() || b"_-".contains(&byte)
    })
}

/// Hardware id, image name and model, `[A-Za-z0-9._-]{1,64}`.
#[must_use]
pub fn is_hardware_id(text: &str) -> bool {
    all(text, HARDWARE_ID_MAX, |byte| {
        byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
    })
}

/// Version and build id: 1 to 64 printable ASCII characters without space.
#[must_use]
pub fn is_version(text: &str) -> bool {
    all(text, VERSION_MAX, |byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realm_follows_astarte() {
        assert!(is_realm("fleet") && is_realm("a") && is_realm(&"a".repeat(48)));
        for bad in ["", "1a", "Fleet", "fl-eet", "fleet/", "é", &"a".repeat(49)] {
            assert!(!is_realm(bad), "{bad}");
        }
    }

    #[test]
    fn names_are_bounded_and_never_contain_topic_syntax() {
        assert!(is_robot_id("2TBn-jNESuuHamE2Zo1anA"));
        assert!(is_robot_id(&"r".repeat(64)) && !is_robot_id(&"r".repeat(65)));
        assert!(is_ecu_name(&"e".repeat(32)) && !is_ecu_name(&"e".repeat(33)));
        assert!(is_hardware_id("x.y_z-1") && !is_robot_id("x.y"));
        assert!(is_version("1.0.0+b7") && !is_version("1 0"));
        for bad in ["", "a/b", "a+\0", "#", "a#", "ä", "a b", "\n"] {
            assert!(
                !is_robot_id(bad) && !is_ecu_name(bad) && !is_hardware_id(bad),
                "{bad}"
            );
        }
    }
}
