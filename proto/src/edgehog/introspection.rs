//! Introspection: the text in which a device lists its interfaces, `name:major:minor;…`.
//!
//! The payload is always the complete set. Its order means nothing.

use std::collections::BTreeMap;

use crate::topic::is_interface_name;

/// Largest introspection in bytes. A device with all of Edgehog's interfaces sends 2 kB.
pub const INTROSPECTION_MAX: usize = 16 * 1024;

/// Version of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceVersion {
    /// Changes that break.
    pub major: u32,
    /// Changes that do not.
    pub minor: u32,
}

/// Why an introspection is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntrospectionError {
    /// Refused unread.
    #[error("introspection of {0} bytes exceeds {INTROSPECTION_MAX}")]
    TooLarge(usize),
    /// Not text.
    #[error("introspection is not utf-8")]
    NotText,
    /// An entry that is not `name:major:minor`.
    #[error("introspection entry {0} is not name:major:minor")]
    BadEntry(usize),
    /// An interface listed twice.
    #[error("introspection lists {0} twice")]
    Duplicate(String),
}

/// Reads an introspection.
///
/// # Errors
/// The text is too long or not of the grammar. A trailing `;` is refused, as Astarte does.
///
/// ```
/// use rollcall_proto::edgehog::introspection;
///
/// let interfaces = introspection::parse(b"io.edgehog.devicemanager.BaseImage:0:1")?;
/// assert_eq!(interfaces["io.edgehog.devicemanager.BaseImage"].minor, 1);
/// # Ok::<(), introspection::IntrospectionError>(())
/// ```
pub fn parse(payload: &[u8]) -> Result<BTreeMap<String, InterfaceVersion>, IntrospectionError> {
    if payload.len() > INTROSPECTION_MAX {
        return Err(IntrospectionError::TooLarge(payload.len()));
    }
    let text = std::str::from_utf8(payload).map_err(|_| IntrospectionError::NotText)?;
    let mut interfaces = BTreeMap::new();
    if text.is_empty() {
        return Ok(interfaces);
    }
    for (index, entry) in text.split(';').enumerate() {
        let (name, version) = parse_entry(entry).ok_or(IntrospectionError::BadEntry(index + 1))?;
        if interfaces.insert(name.to_owned(), version).is_some() {
            return Err(IntrospectionError::Duplicate(name.to_owned()));
        }
    }
    Ok(interfaces)
}

fn parse_entry(entry: &str) -> Option<(&str, InterfaceVersion)> {
    let mut parts = entry.split(':');
    let (name, major, minor) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !is_interface_name(name) {
        return None;
    }
    Some((
        name,
        InterfaceVersion {
            major: number(major)?,
            minor: number(minor)?,
        },
    ))
}

/// Decimal digits only: `u32::from_str` would take a sign.
fn number(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

/// Writes an introspection, sorted by name.
#[must_use]
pub fn format(interfaces: &BTreeMap<String, InterfaceVersion>) -> String {
    let entries: Vec<_> = interfaces
        .iter()
        .map(|(name, version)| format!("{name}:{}:{}", version.major, version.minor))
        .collect();
    entries.join(";")
}
