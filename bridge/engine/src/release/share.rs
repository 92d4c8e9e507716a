//! The share of a pool that a release goes to, in whole percent (G4).

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;

/// A whole number of percent from 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Share(u8);

/// What is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a rollout percentage is a whole number from 1 to 100, not {found}; say 25 for a quarter of the robots"
)]
pub struct ShareError {
    found: String,
}

impl Share {
    /// Every robot.
    pub const ALL: Self = Self(100);

    /// A share of so many percent.
    ///
    /// # Errors
    /// Refuses what is not from 1 to 100.
    pub fn new(percent: u64) -> Result<Self, ShareError> {
        match u8::try_from(percent) {
            Ok(percent @ 1..=100) => Ok(Self(percent)),
            _ => Err(ShareError::of(percent)),
        }
    }

    /// In percent, 1 to 100.
    #[must_use]
    pub const fn percent(self) -> u8 {
        self.0
    }

    /// How many of `pool` robots it is, rounded up: at least one robot of those that there are (X9).
    #[must_use]
    pub fn count(self, pool: usize) -> usize {
        let hundredths = u128::from(self.0) * pool as u128;
        usize::try_from(hundredths.div_ceil(100)).unwrap_or(pool)
    }

    /// Whether a robot with this rank is in it when each robot is chosen by its own chance.
    #[must_use]
    pub fn takes(self, rank: u64) -> bool {
        u128::from(rank) * 100 < (u128::from(self.0) << 64)
    }
}

impl ShareError {
    fn of(found: impl fmt::Display) -> Self {
        let mut found = found.to_string();
        found.truncate(found.floor_char_boundary(64));
        Self { found }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        // `+5` and `007` are nobody's way to write a percentage.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        let number = digits.then(|| text.parse().ok()).flatten();
        number.map_or_else(|| Err(ShareError::of(format_args!("{text:?}"))), Self::new)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Number)
    }
}

/// Takes a whole number, and names in the error whatever else was there.
struct Number;

impl Visitor<'_> for Number {
    type Value = Share;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 1 to 100")
    }

    fn visit_u64<E: Error>(self, found: u64) -> Result<Share, E> {
        Share::new(found).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, found: i64) -> Result<Share, E> {
        let number = u64::try_from(found).map_err(|_| ShareError::of(found));
        number.and_then(Share::new).map_err(E::custom)
    }

    fn visit_f64<E: Error>(self, found: f64) -> Result<Share, E> {
        Err(E::custom(ShareError::of(format_args!("{found:?}"))))
    }

    fn visit_str<E: Error>(self, found: &str) -> Result<Share, E> {
        Err(E::custom(ShareError::of(format_args!("{found:?}"))))
    }
}
