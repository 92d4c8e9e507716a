//! The interfaces that Edgehog's runtime has, and what they allow.
//!
//! [`check`] holds a publish of a device against its introspection and the table of known interfaces. An interface that
//! is not in the table (a customer's own) may publish any value that Astarte has a type for.

mod check;
mod table;

pub use check::{Accepted, Rejection, check};

use super::{INTERFACE_PREFIX, Value};

/// Who publishes on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The device.
    Device,
    /// The server.
    Server,
}

/// What an interface carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Values that last; one per path.
    Properties,
    /// Values of a moment; one per path.
    Individual,
    /// Several values of one moment; one object per path.
    Object,
}

/// The QoS with which an interface publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reliability {
    /// QoS 0.
    Unreliable,
    /// QoS 1.
    Guaranteed,
    /// QoS 2.
    Unique,
}

/// The type of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Astarte's")]
pub enum Type {
    Double,
    Integer,
    Boolean,
    LongInteger,
    String,
    DateTime,
    StringArray,
    LongIntegerArray,
}

/// One endpoint: its path without the leading `/`, or the key of an object. `%{…}` stands for any one level.
pub type Mapping = (&'static str, Type);

/// One interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// Its name, without [`INTERFACE_PREFIX`].
    pub name: &'static str,
    /// Its version, major and minor.
    pub version: (u32, u32),
    /// Who publishes.
    pub owner: Owner,
    /// What.
    pub kind: Kind,
    /// With which QoS.
    pub reliability: Reliability,
    /// Whether the sender says when.
    pub explicit_timestamp: bool,
    /// Whether a property can be removed again.
    pub allow_unset: bool,
    /// The path of the object, for [`Kind::Object`].
    pub base: &'static str,
    /// The endpoints. Empty for an interface of the server on which nothing is published here.
    pub mappings: &'static [Mapping],
}

impl Interface {
    /// The known interface called `name`, prefix included.
    #[must_use]
    pub fn known(name: &str) -> Option<&'static Self> {
        let name = name.strip_prefix(INTERFACE_PREFIX)?;
        table::INTERFACES
            .binary_search_by(|interface| interface.name.cmp(name))
            .ok()
            .map(|index| &table::INTERFACES[index])
    }

    /// All known interfaces, by name.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        table::INTERFACES.iter()
    }

    /// The type of the individual value at `path` (without a leading `/`).
    #[must_use]
    pub fn mapping(&self, path: &str) -> Option<Type> {
        let found = self
            .mappings
            .iter()
            .find(|(pattern, _)| matches_path(pattern, path));
        found
            .map(|(_, kind)| *kind)
            .filter(|_| self.kind != Kind::Object)
    }

    /// The value that an operator's text means for the server's property at `path`.
    ///
    /// # Errors
    /// Says what is wrong with the path or the text.
    ///
    /// ```
    /// use rollcall_proto::edgehog::{Value, interface::Interface};
    ///
    /// let telemetry = Interface::known("io.edgehog.devicemanager.config.Telemetry").unwrap();
    /// let period = telemetry.setting("request/a.B/periodSeconds", "60");
    /// assert_eq!(period, Ok(Value::LongInteger(60)));
    /// assert!(telemetry.setting("request/a.B/enable", "60").is_err());
    /// ```
    pub fn setting(&self, path: &str, text: &str) -> Result<Value, SettingError> {
        let name = || format!("{INTERFACE_PREFIX}{}", self.name);
        if self.owner != Owner::Server || self.kind != Kind::Properties {
            return Err(SettingError::NotSettable(name()));
        }
        let kind = self.mapping(path).ok_or_else(|| SettingError::NoPath {
            interface: name(),
            paths: self.mappings.iter().map(|(path, _)| *path).collect(),
        })?;
        kind.parse(text).ok_or(SettingError::WrongType(kind))
    }

    /// The type of an object's value under `key`.
    #[must_use]
    pub fn key(&self, key: &str) -> Option<Type> {
        let found = self.mappings.iter().find(|(name, _)| *name == key);
        found
            .map(|(_, kind)| *kind)
            .filter(|_| self.kind == Kind::Object)
    }
}

impl Type {
    /// Whether `value` is of this type. Like Astarte's SDK, a long integer may come as a shorter one.
    #[must_use]
    pub fn admits(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Double, Value::Double(_))
            | (Self::Integer, Value::Integer(_))
            | (Self::Boolean, Value::Boolean(_))
            | (Self::LongInteger, Value::LongInteger(_) | Value::Integer(_))
            | (Self::String, Value::String(_))
            | (Self::DateTime, Value::DateTime(_)) => true,
            (Self::StringArray, Value::Array(all)) => all.iter().all(|v| Self::String.admits(v)),
            (Self::LongIntegerArray, Value::Array(all)) => {
                all.iter().all(|v| Self::LongInteger.admits(v))
            }
            _ => false,
        }
    }
}

/// Why a text cannot be set as a property.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// The interface has no properties of the server.
    #[error("{0} has no properties that the server sets")]
    NotSettable(String),
    /// No such path.
    #[error("{interface} has no such path; it has {}", .paths.join(", "))]
    NoPath {
        /// The interface.
        interface: String,
        /// Its paths.
        paths: Vec<&'static str>,
    },
    /// The text is not a value of the path's type.
    #[error("the value is not {0}")]
    WrongType(Type),
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Double => "a number",
            Self::Integer => "an integer of 32 bits",
            Self::Boolean => "true or false",
            Self::LongInteger => "an integer of 64 bits",
            Self::String => "a text",
            Self::DateTime => "a moment",
            Self::StringArray => "a list of texts",
            Self::LongIntegerArray => "a list of integers",
        })
    }
}

impl Type {
    /// The value that a text means. No known property of the server is a moment or a list.
    fn parse(self, text: &str) -> Option<Value> {
        match self {
            Self::Double => {
                let number: f64 = text.parse().ok()?;
                number.is_finite().then_some(Value::Double(number))
            }
            Self::Integer => text.parse().ok().map(Value::Integer),
            Self::Boolean => text.parse().ok().map(Value::Boolean),
            Self::LongInteger => text.parse().ok().map(Value::LongInteger),
            Self::String => Some(Value::String(text.to_owned())),
            Self::DateTime | Self::StringArray | Self::LongIntegerArray => None,
        }
    }
}

/// Whether `path` is one that `pattern` describes.
fn matches_path(pattern: &str, path: &str) -> bool {
    let mut levels = path.split('/');
    for wanted in pattern.split('/') {
        match levels.next() {
            Some(level) if wanted.starts_with("%{") && !level.is_empty() => {}
            Some(level) if wanted == level => {}
            Some(_) | None => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_by_name_so_that_every_interface_is_found() {
        for interface in Interface::all() {
            let name = format!("{INTERFACE_PREFIX}{}", interface.name);
            assert_eq!(Interface::known(&name), Some(interface), "{name}");
        }
        assert_eq!(Interface::known("org.example.Own"), None);
    }

    #[test]
    fn parameters_stand_for_one_level() {
        assert!(matches_path("request/%{name}/enable", "request/a.B/enable"));
        for path in [
            "request/enable",
            "request//enable",
            "request/a/b/enable",
            "request/a/enable/x",
        ] {
            assert!(!matches_path("request/%{name}/enable", path), "{path}");
        }
    }

    #[test]
    fn the_table_is_that_of_the_released_runtime() {
        // device-contract 5 and 6 list 28 interfaces each.
        let apps = Interface::all().filter(|i| i.name.starts_with("apps."));
        assert_eq!(apps.count(), 28);
        assert_eq!(Interface::all().count(), 56);
        let owned = |owner| Interface::all().filter(move |i| i.owner == owner).count();
        assert_eq!((owned(Owner::Device), owned(Owner::Server)), (37, 19));
        // Properties are always published with QoS 2.
        assert!(
            Interface::all()
                .filter(|i| i.kind == Kind::Properties)
                .all(|i| i.reliability == Reliability::Unique)
        );
    }
}
