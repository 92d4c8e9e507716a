//! A publish, held against the introspection and the table (Astarte's rules, device-contract 1.4 and 1.7).

use super::{Interface, Kind, Owner};
use crate::edgehog::{Data, DecodeError, InterfaceVersion, Value};

/// Longest string or blob in bytes, as in Astarte.
const VALUE_MAX: usize = 65_536;

/// What a publish that follows the rules does.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// It sets or removes a property; otherwise it is a value of a moment.
    pub property: bool,
    /// The value; `None` removes the property.
    pub data: Option<Data>,
}

/// Why a publish is discarded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The introspection does not list the interface.
    #[error("interface is not in the device's introspection")]
    NotInstalled,
    /// Only the server publishes there.
    #[error("interface belongs to the server")]
    ServerOwned,
    /// The device has another major version of it than the server knows.
    #[error(
        "interface has version {found}.x on the device; the server knows {known}.x and discards what it says"
    )]
    UnknownMajor {
        /// The device's.
        found: u32,
        /// The table's.
        known: u32,
    },
    /// The device has a later minor version, and this is new in it.
    #[error("{what} is not in version {}.{} of the interface, which the server knows", .known.0, .known.1)]
    NewerMinor {
        /// A path or a key.
        what: String,
        /// The table's version.
        known: (u32, u32),
    },
    /// The interface has no such path.
    #[error("interface has no path /{0}")]
    NoMapping(String),
    /// The interface's object has no such key.
    #[error("interface has no key {0:?}")]
    UnexpectedKey(String),
    /// The value is of another type than the mapping's.
    #[error("{0} has the wrong type")]
    UnexpectedType(String),
    /// The interface does not allow its properties to be removed.
    #[error("property cannot be unset")]
    UnsetNotAllowed,
    /// A datastream has nothing that could be removed.
    #[error("a datastream cannot be unset")]
    UnsetDatastream,
    /// Longer than allowed.
    #[error("value is longer than allowed: {0}")]
    SizeExceeded(String),
    /// Not a value at all.
    #[error(transparent)]
    Undecodable(DecodeError),
}

impl Rejection {
    /// Whether Astarte disconnects the device for it. A version that only the server lacks is no fault of the device.
    #[must_use]
    pub const fn disconnects(&self) -> bool {
        !matches!(
            self,
            Self::UnsetDatastream | Self::UnknownMajor { .. } | Self::NewerMinor { .. }
        )
    }

    /// A stable word for programs and counters, mostly Astarte's own.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotInstalled => "interface_not_installed",
            Self::ServerOwned => "write_on_server_owned_interface",
            Self::UnknownMajor { .. } => "unknown_interface_major",
            Self::NewerMinor { .. } => "newer_interface_minor",
            Self::NoMapping(_) => "mapping_not_found",
            Self::UnexpectedKey(_) => "unexpected_object_key",
            Self::UnexpectedType(_) => "unexpected_value_type",
            Self::UnsetNotAllowed => "unset_not_allowed",
            Self::UnsetDatastream => "unset_on_datastream",
            Self::SizeExceeded(_) => "value_size_exceeded",
            Self::Undecodable(_) => "undecodable_bson",
        }
    }
}

impl From<DecodeError> for Rejection {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::TooLarge(_) | DecodeError::TooLong { .. } => {
                Self::SizeExceeded(error.to_string())
            }
            DecodeError::WrongType(what) => Self::UnexpectedType(what.to_owned()),
            other => Self::Undecodable(other),
        }
    }
}

/// Checks what a device published on `interface`, which its introspection lists with version `installed`.
///
/// # Errors
/// Says which rule the publish breaks. Nothing of it may be used then.
pub fn check(
    installed: Option<InterfaceVersion>,
    interface: &str,
    path: &str,
    payload: &[u8],
) -> Result<Accepted, Rejection> {
    let known = Interface::known(interface);
    // Ownership does not change with versions, and must not depend on what a device declares.
    if known.is_some_and(|known| known.owner == Owner::Server) {
        return Err(Rejection::ServerOwned);
    }
    let installed = installed.ok_or(Rejection::NotInstalled)?;
    match known {
        None => any_value(payload),
        Some(known) if known.version.0 != installed.major => Err(Rejection::UnknownMajor {
            found: installed.major,
            known: known.version.0,
        }),
        Some(known) => known.checked(path, payload).map_err(|rejection| {
            let newer = installed.minor > known.version.1;
            match rejection {
                Rejection::NoMapping(what) | Rejection::UnexpectedKey(what) if newer => {
                    Rejection::NewerMinor {
                        what,
                        known: known.version,
                    }
                }
                other => other,
            }
        }),
    }
}

/// A customer's own interface: everything that Astarte has a type for.
fn any_value(payload: &[u8]) -> Result<Accepted, Rejection> {
    if payload.is_empty() {
        return Ok(Accepted {
            property: true,
            data: None,
        });
    }
    let (data, timestamp) = Data::decode(payload)?;
    check_size(&data)?;
    // Without its definition an interface is taken by the form of what it says: properties are single values and have
    // no time.
    let property = timestamp.is_none() && matches!(data, Data::Individual(_));
    Ok(Accepted {
        property,
        data: Some(data),
    })
}

impl Interface {
    fn checked(&self, path: &str, payload: &[u8]) -> Result<Accepted, Rejection> {
        let property = self.kind == Kind::Properties;
        if self.kind == Kind::Object {
            if !super::matches_path(self.base, path) {
                return Err(Rejection::NoMapping(shorten(path)));
            }
        } else if self.mapping(path).is_none() {
            return Err(Rejection::NoMapping(shorten(path)));
        }
        if payload.is_empty() {
            return match (property, self.allow_unset) {
                (true, true) => Ok(Accepted {
                    property,
                    data: None,
                }),
                (true, false) => Err(Rejection::UnsetNotAllowed),
                (false, _) => Err(Rejection::UnsetDatastream),
            };
        }
        // A missing time is that of the arrival, as in Astarte; one too many is ignored.
        let (data, _) = Data::decode(payload)?;
        check_size(&data)?;
        match &data {
            Data::Individual(value) => self.admit(path, self.mapping(path), value)?,
            Data::Object(values) => {
                for (key, value) in values {
                    if self.kind != Kind::Object {
                        return Err(Rejection::UnexpectedType("v".to_owned()));
                    }
                    let kind = self.key(key);
                    if kind.is_none() {
                        return Err(Rejection::UnexpectedKey(shorten(key)));
                    }
                    self.admit(key, kind, value)?;
                }
            }
        }
        Ok(Accepted {
            property,
            data: Some(data),
        })
    }

    fn admit(&self, what: &str, kind: Option<super::Type>, value: &Value) -> Result<(), Rejection> {
        if kind.is_some_and(|kind| kind.admits(value)) {
            Ok(())
        } else {
            Err(Rejection::UnexpectedType(shorten(what)))
        }
    }
}

fn check_size(data: &Data) -> Result<(), Rejection> {
    let fits = |value: &Value| match value {
        Value::String(text) => text.len() <= VALUE_MAX,
        Value::BinaryBlob(bytes) => bytes.len() <= VALUE_MAX,
        _ => true,
    };
    let all = match data {
        Data::Individual(Value::Array(values)) => values.iter().all(fits),
        Data::Individual(value) => fits(value),
        Data::Object(values) => values.values().all(fits),
    };
    if all {
        Ok(())
    } else {
        Err(Rejection::SizeExceeded(format!(
            "{VALUE_MAX} bytes at most"
        )))
    }
}

/// What comes from outside is repeated in part only.
fn shorten(text: &str) -> String {
    text.chars().take(128).collect()
}
