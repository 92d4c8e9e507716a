//! Ranges and percentages, the two forms of a profile's values.

use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// A probability in percent, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Percent(f64);

impl Percent {
    /// Never.
    pub const NEVER: Self = Self(0.0);
    /// Always.
    pub const ALWAYS: Self = Self(100.0);

    /// From a number of percent; `None` outside 0 to 100.
    #[must_use]
    pub fn new(percent: f64) -> Option<Self> {
        (0.0..=100.0).contains(&percent).then_some(Self(percent))
    }

    /// The number of percent.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// Draws. Always consumes the same amount of randomness, so that raising one percentage does not
    /// change what the others decide.
    pub(crate) fn happens(self, rng: &mut ChaCha8Rng) -> bool {
        rng.random_range(0.0..100.0) < self.0
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = f64;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a percentage from 0 to 100")
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
                Ok(value)
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
                i32::try_from(value)
                    .map(f64::from)
                    .map_err(|_| E::custom("percentage out of range"))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
                u32::try_from(value)
                    .map(f64::from)
                    .map_err(|_| E::custom("percentage out of range"))
            }
        }
        let value = deserializer.deserialize_any(Number)?;
        Self::new(value).ok_or_else(|| D::Error::custom(format!("{value} is not within 0 to 100")))
    }
}

/// What a range's ends are written as.
pub(crate) trait Unit {
    const EXPECTING: &'static str;
    fn from_text(_text: &str) -> Option<u64> {
        None
    }
    fn from_number(_number: u64) -> Option<u64> {
        None
    }
}

/// Milliseconds, written as text such as `"1500ms"`, `"20s"` or `"2m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Millis;

impl Unit for Millis {
    const EXPECTING: &'static str =
        "a duration such as \"20s\", or two of them, [\"10s\", \"30s\"]";
    fn from_text(text: &str) -> Option<u64> {
        u64::try_from(humantime::parse_duration(text).ok()?.as_millis()).ok()
    }
}

/// Bytes per second, written as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BytesPerSecond;

impl Unit for BytesPerSecond {
    const EXPECTING: &'static str = "bytes per second above 0, or two of them, [100000, 500000]";
    fn from_number(number: u64) -> Option<u64> {
        (number > 0).then_some(number)
    }
}

/// A value that is drawn evenly from a range, both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range<U> {
    ends: RangeInclusive<u64>,
    unit: PhantomData<U>,
}

impl<U> Range<U> {
    /// Between two values; the smaller may come first or last.
    #[must_use]
    pub fn between(one: u64, other: u64) -> Self {
        Self {
            ends: one.min(other)..=one.max(other),
            unit: PhantomData,
        }
    }

    pub(crate) fn draw(&self, rng: &mut ChaCha8Rng) -> u64 {
        rng.random_range(self.ends.clone())
    }
}

impl<'de, U: Unit> Deserialize<'de> for Range<U> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RangeVisitor(PhantomData))
    }
}

/// One end of a range.
struct End<U>(u64, PhantomData<U>);

impl<'de, U: Unit> Deserialize<'de> for End<U> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let range = deserializer.deserialize_any(RangeVisitor::<U>(PhantomData))?;
        Ok(Self(*range.ends.start(), PhantomData))
    }
}

struct RangeVisitor<U>(PhantomData<U>);

impl<'de, U: Unit> Visitor<'de> for RangeVisitor<U> {
    type Value = Range<U>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(U::EXPECTING)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Range<U>, E> {
        let value =
            U::from_text(text).ok_or_else(|| E::custom(format!("expected {}", U::EXPECTING)))?;
        Ok(Range::between(value, value))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Range<U>, E> {
        let value = u64::try_from(number)
            .ok()
            .and_then(U::from_number)
            .ok_or_else(|| E::custom(format!("expected {}", U::EXPECTING)))?;
        Ok(Range::between(value, value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Range<U>, A::Error> {
        let wrong = || A::Error::custom(format!("expected {}", U::EXPECTING));
        let End::<U>(low, _) = seq.next_element()?.ok_or_else(wrong)?;
        let End::<U>(high, _) = seq.next_element()?.ok_or_else(wrong)?;
        if seq.next_element::<End<U>>()?.is_some() {
            return Err(wrong());
        }
        if low > high {
            return Err(A::Error::custom(
                "the first end of a range is above the second",
            ));
        }
        Ok(Range::between(low, high))
    }
}
