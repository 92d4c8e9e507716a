//! Percentages with two decimals, kept as whole hundredths: nothing that the engine decides depends on how a machine
//! rounds.

use serde::{Deserialize, Serialize};
use std::fmt;

/// From 0 to 100 percent, in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Percent(u16);

/// Why a number is no percentage.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{found} is no percentage: use 0 to 100 with at most two decimals")]
pub struct PercentError {
    found: String,
}

impl Percent {
    /// 0 %.
    pub const ZERO: Self = Self(0);
    /// 100 %.
    pub const ALL: Self = Self(10_000);

    /// So many hundredths of a percent; `None` above 100 %.
    #[must_use]
    pub const fn hundredths(hundredths: u16) -> Option<Self> {
        if hundredths <= Self::ALL.0 {
            Some(Self(hundredths))
        } else {
            None
        }
    }

    /// In hundredths of a percent.
    #[must_use]
    pub const fn in_hundredths(self) -> u16 {
        self.0
    }

    /// Whether `part` of `whole` is strictly more than this.
    #[must_use]
    pub const fn is_exceeded_by(self, part: u32, whole: u32) -> bool {
        part as u64 * 10_000 > self.0 as u64 * whole as u64
    }

    /// Whether `part` of `whole` is this or more.
    #[must_use]
    pub const fn is_reached_by(self, part: u32, whole: u32) -> bool {
        part as u64 * 10_000 >= self.0 as u64 * whole as u64
    }

    /// This share of `whole`, rounded up, so that no share but 0 % is nobody.
    #[must_use]
    pub fn of(self, whole: u32) -> u32 {
        let share = (u64::from(self.0) * u64::from(whole)).div_ceil(10_000);
        u32::try_from(share).unwrap_or(whole)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match (rest / 10, rest % 10) {
            (0, 0) => write!(f, "{whole} %"),
            (tenths, 0) => write!(f, "{whole}.{tenths} %"),
            (tenths, hundredths) => write!(f, "{whole}.{tenths}{hundredths} %"),
        }
    }
}

impl std::str::FromStr for Percent {
    type Err = PercentError;
    /// Reads `12.5`, with or without a `%`.
    fn from_str(text: &str) -> Result<Self, PercentError> {
        let bad = || PercentError {
            found: format!("{:?}", text.chars().take(40).collect::<String>()),
        };
        let digits = text.trim().trim_end_matches('%').trim_end();
        let plain = |c: char| c.is_ascii_digit() || c == '.';
        if digits.len() > 8
            || !digits.starts_with(|c: char| c.is_ascii_digit())
            || !digits.chars().all(plain)
        {
            return Err(bad());
        }
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        if decimals.len() > 2 || digits.ends_with('.') {
            return Err(bad());
        }
        let whole: u32 = whole.parse().map_err(|_| bad())?;
        let decimals: u32 = format!("{decimals:0<2}").parse().map_err(|_| bad())?;
        let hundredths = whole.checked_mul(100).and_then(|h| h.checked_add(decimals));
        let hundredths = hundredths.and_then(|h| u16::try_from(h).ok());
        hundredths.and_then(Self::hundredths).ok_or_else(bad)
    }
}

impl TryFrom<f64> for Percent {
    type Error = PercentError;
    fn try_from(number: f64) -> Result<Self, PercentError> {
        // The shortest text that reads back as the number is what was written.
        let text = number.to_string();
        text.parse().map_err(|_| PercentError { found: text })
    }
}

impl From<Percent> for f64 {
    fn from(percent: Percent) -> Self {
        Self::from(percent.0) / 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hundredth_survives_json() {
        for hundredths in 0..=10_000 {
            let percent = Percent(hundredths);
            let json = serde_json::to_string(&percent).unwrap();
            assert_eq!(serde_json::from_str::<Percent>(&json).unwrap(), percent);
            let text = percent.to_string();
            assert_eq!(text.parse::<Percent>().unwrap(), percent, "{text}");
        }
        assert_eq!(serde_json::from_str::<Percent>("7").unwrap(), Percent(700));
    }

    #[test]
    fn what_is_no_percentage_is_refused() {
        for bad in [
            "",
            "%",
            "101",
            "100.01",
            "-1",
            "1.234",
            "ten",
            "1e2",
            ".5",
            "5.",
            "1.2.3",
            "99999999999",
            "+5",
            "1 2",
        ] {
            assert!(bad.parse::<Percent>().is_err(), "{bad:?}");
        }
        for bad in ["100.001", "-0.5", "1e300", "\"5\"", "null"] {
            assert!(serde_json::from_str::<Percent>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn thresholds_are_strict_where_they_say_so() {
        let ten: Percent = "10".parse().unwrap();
        assert!(!ten.is_exceeded_by(10, 100) && ten.is_exceeded_by(11, 100));
        assert!(ten.is_reached_by(10, 100) && !ten.is_reached_by(9, 100));
        assert!(!Percent::ALL.is_exceeded_by(u32::MAX, u32::MAX));
        assert!(Percent::ZERO.is_exceeded_by(1, u32::MAX));
        assert_eq!((ten.of(1), ten.of(10), ten.of(11), ten.of(0)), (1, 1, 2, 0));
        assert_eq!(Percent::ALL.of(u32::MAX), u32::MAX);
    }
}
