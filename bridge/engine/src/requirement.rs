//! What an image asks of the version that it replaces (E17), as Elixir's `Version` reads it (device-contract 4.8).

use crate::syntax::SyntaxError;
use semver::{BuildMetadata, Prerelease, Version};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest text of a requirement, bytes.
const MAX_BYTES: usize = 256;

/// A requirement on a version: comparisons joined by `and` and `or`.
///
/// `and` and `or` have the same rank and are taken from left to right, as Elixir does. Pre-releases match like any other
/// version, but `~>` never reaches the pre-releases of its upper bound. Build metadata has no say.
///
/// ```
/// use rollcall_engine::Requirement;
///
/// let requirement: Requirement = ">= 1.0.0 and < 2.0.0".parse()?;
/// assert!(requirement.matches(&semver::Version::new(1, 9, 0)));
/// assert!(!requirement.matches(&semver::Version::new(2, 0, 0)));
/// # Ok::<(), rollcall_engine::SyntaxError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Requirement(Arc<Parts>);

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    text: Box<str>,
    first: Condition,
    rest: Vec<(Connective, Condition)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connective {
    And,
    Or,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    operator: Operator,
    version: Version,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// `~>`: at least the version, and below this.
    Approximate(Version),
}

/// Longer ones first.
const OPERATORS: [(&str, Operator); 6] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    (">", Operator::Greater),
    ("<", Operator::Less),
];
const APPROXIMATE: &str = "~>";

impl Requirement {
    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether `version` meets the requirement.
    #[must_use]
    pub fn matches(&self, version: &Version) -> bool {
        let first = self.0.first.matches(version);
        self.0
            .rest
            .iter()
            .fold(first, |met, (connective, condition)| match connective {
                Connective::And => met && condition.matches(version),
                Connective::Or => met || condition.matches(version),
            })
    }
}

impl Condition {
    fn matches(&self, version: &Version) -> bool {
        let order = version.cmp_precedence(&self.version);
        match &self.operator {
            Operator::Equal => order.is_eq(),
            Operator::NotEqual => order.is_ne(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::Approximate(below) => {
                order.is_ge() && version.cmp_precedence(below) == Ordering::Less
            }
        }
    }
}

impl FromStr for Requirement {
    type Err = SyntaxError;
    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        if text.len() > MAX_BYTES {
            let message = format!("it is longer than {MAX_BYTES} bytes; shorten it");
            return Err(error(text, MAX_BYTES, message));
        }
        let mut reader = Reader { text, offset: 0 };
        let first = reader.condition()?;
        let mut rest = Vec::new();
        while let Some(connective) = reader.connective()? {
            rest.push((connective, reader.condition()?));
        }
        let text = text.into();
        Ok(Self(Arc::new(Parts { text, first, rest })))
    }
}

fn error(text: &str, offset: usize, message: impl Into<String>) -> SyntaxError {
    SyntaxError::new("version requirement", text, offset, message)
}

struct Reader<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.offset..]
    }

    fn skip_blanks(&mut self) {
        self.offset = self.text.len() - self.rest().trim_start_matches(' ').len();
    }

    /// The text up to the next blank or operator.
    fn word(&mut self) -> (&'a str, usize) {
        self.skip_blanks();
        let (rest, start) = (self.rest(), self.offset);
        let ends = |c: char| c == ' ' || "=!<>~".contains(c);
        let word = &rest[..rest.find(ends).unwrap_or(rest.len())];
        self.offset += word.len();
        (word, start)
    }

    fn condition(&mut self) -> Result<Condition, SyntaxError> {
        self.skip_blanks();
        let rest = self.rest();
        if rest.starts_with(APPROXIMATE) {
            self.offset += APPROXIMATE.len();
            return self.approximate();
        }
        let found = OPERATORS
            .into_iter()
            .find(|(sign, _)| rest.starts_with(sign));
        let operator = match found {
            Some((sign, operator)) => {
                self.offset += sign.len();
                operator
            }
            // A bare version means exactly that one.
            None => Operator::Equal,
        };
        let (word, start) = self.word();
        let version = Version::parse(word).map_err(|_| {
            let what = if word.is_empty() { "nothing" } else { word };
            error(
                self.text,
                start,
                format!("expected a version MAJOR.MINOR.PATCH behind one of == != > >= < <= ~>, found {what}"),
            )
        })?;
        Ok(Condition { operator, version })
    }

    /// Behind `~>`, where the patch may be missing: then the minor may grow too.
    fn approximate(&mut self) -> Result<Condition, SyntaxError> {
        let (word, start) = self.word();
        let numbers = word.find(['-', '+']).unwrap_or(word.len());
        let whole = word[..numbers].matches('.').count() >= 2;
        let completed = if whole {
            word.to_owned()
        } else {
            format!("{}.0{}", &word[..numbers], &word[numbers..])
        };
        let version = Version::parse(&completed).map_err(|_| {
            let message = "expected MAJOR.MINOR or MAJOR.MINOR.PATCH behind ~>";
            error(self.text, start, message)
        })?;
        let too_large = || error(self.text, start, "this version is too large");
        let (major, minor) = if whole {
            (
                version.major,
                version.minor.checked_add(1).ok_or_else(too_large)?,
            )
        } else {
            (version.major.checked_add(1).ok_or_else(too_large)?, 0)
        };
        let below = Version {
            major,
            minor,
            patch: 0,
            // The lowest of all pre-releases of the bound.
            pre: Prerelease::new("0").map_err(|_| too_large())?,
            build: BuildMetadata::EMPTY,
        };
        Ok(Condition {
            operator: Operator::Approximate(below),
            version,
        })
    }

    fn connective(&mut self) -> Result<Option<Connective>, SyntaxError> {
        if self.rest().trim_start_matches(' ').is_empty() {
            return Ok(None);
        }
        let (word, start) = self.word();
        let connective = match word {
            "and" => Connective::And,
            "or" => Connective::Or,
            _ => {
                return Err(error(self.text, start, "expected `and`, `or` or the end"));
            }
        };
        if !self.rest().starts_with(' ') {
            let message = format!("expected a blank and a comparison behind `{word}`");
            return Err(error(self.text, self.offset, message));
        }
        Ok(Some(connective))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for Requirement {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|error: SyntaxError| error.one_line())
    }
}

impl From<Requirement> for String {
    fn from(requirement: Requirement) -> Self {
        requirement.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(requirement: &str, version: &str) -> bool {
        let requirement: Requirement = requirement.parse().unwrap_or_else(|e| panic!("{e}"));
        requirement.matches(&Version::parse(version).unwrap())
    }

    /// The table of Elixir's `Version` with `allow_pre`, which Edgehog uses (device-contract 4.6 and 4.8).
    #[test]
    fn requirements_mean_what_they_mean_in_elixir() {
        for (requirement, version, expected) in [
            ("== 2.0.0", "2.0.0", true),
            ("2.0.0", "2.0.0", true),
            ("2.0.0", "2.0.1", false),
            ("> 1.0.0", "2.0.0", true),
            ("== 1.0.0", "2.0.0", false),
            ("!= 1.0.0", "2.0.0", true),
            (">= 2.0.0 and < 2.1.0", "2.0.5", true),
            (">= 2.0.0 and < 2.1.0", "2.1.0", false),
            ("~> 2.0", "2.1.0", true),
            ("~> 2.0", "3.0.0", false),
            ("~> 2.0", "1.9.9", false),
            ("~> 2.1", "2.0.9", false),
            ("~> 2.0.0", "2.0.1", true),
            ("~> 2.0.0", "2.1.0", false),
            ("~> 2.1.2", "2.1.3-dev", true),
            ("~> 2.1.2", "2.1.2-dev", false),
            ("~> 2.1-dev", "2.2.0-dev", true),
            ("~> 2.1-dev", "2.1.0-dev", true),
            ("~> 2.1.2-dev", "2.1.3-dev", true),
            ("~> 2.1.3-dev", "2.2.0", false),
            (">= 2.1.0", "2.2.0-dev", true),
            (">= 2.1.0-dev", "2.2.3-dev", true),
            // The upper bound of ~> never includes its pre-releases.
            ("~> 2.0.0", "2.1.0-dev", false),
            ("~> 2.0", "3.0.0-rc.1", false),
            ("< 3.0.0", "3.0.0-rc.1", true),
            // SemVer's order: numbers as numbers, pre-releases before their release.
            ("> 1.0.0-2", "1.0.0-10", true),
            ("> 1.0.0-rc1", "1.0.0-beta", false),
            ("> 1.9.0", "1.10.0", true),
            // Build metadata has no say.
            ("== 2.0.1", "2.0.1+build0", true),
            ("> 2.0.1", "2.0.1+build0", false),
            ("== 2.0.1+a", "2.0.1+b", true),
            // From left to right, without precedence.
            ("== 1.0.0 or == 2.0.0", "2.0.0", true),
            ("== 1.0.0 or == 2.0.0 and > 1.5.0", "1.0.0", false),
            (">= 1.0.0 and < 2.0.0 or >= 3.0.0", "3.1.0", true),
            // Blanks are free but around `and` and `or`.
            (">=1.0.0   and   <2.0.0", "1.5.0", true),
            ("  == 1.0.0  ", "1.0.0", true),
            ("1.0.0 or 2.0.0", "2.0.0", true),
        ] {
            assert_eq!(
                matches(requirement, version),
                expected,
                "{version} {requirement}"
            );
        }
    }

    #[test]
    fn what_is_no_requirement_is_refused_with_its_place() {
        for (text, offset) in [
            ("", 0),
            ("  ", 2),
            ("== == 1.0.0", 3),
            ("1.0", 0),
            (">= 1.0", 3),
            (">= v1.0.0", 3),
            (">= 01.0.0", 3),
            (">= 1.0.0.0", 3),
            ("~> 1", 3),
            ("~> 1.0.0.0", 3),
            ("~> 1.x", 3),
            ("~> 1.18446744073709551615.0", 3),
            ("^1.0.0", 0),
            (">= 1.0.0, < 2.0.0", 3),
            (">= 1.0.0 < 2.0.0", 9),
            (">= 1.0.0 and", 12),
            (">= 1.0.0 and ", 13),
            (">= 1.0.0 and<2.0.0", 12),
            (">= 1.0.0 AND < 2.0.0", 9),
            (">= 1.0.0 && < 2.0.0", 9),
            ("or 1.0.0", 0),
            ("=> 1.0.0", 0),
            (">= 99999999999999999999.0.0", 3),
        ] {
            let error = text.parse::<Requirement>().unwrap_err();
            assert_eq!(error.offset, offset, "{text:?}\n{error}");
        }
        let long = format!(">= 1.0.0-{}", "a".repeat(MAX_BYTES));
        assert!(long.parse::<Requirement>().is_err());
    }
}
